//! Calls of tools as they pass: which tool, how long, how large, and whether it failed. Nothing of a message is kept.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, Response, header};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lenient;
use crate::rpc::{MOST_IN_BATCH, MOST_OF_ID};
use crate::wire::body::{self, Budget, SMALL};
use crate::wire::sse::{Part, Reader};

/// Most calls of a batch that are told.
const MOST_CALLS: usize = MOST_IN_BATCH;

/// Longest name of a tool that is told, in bytes.
const MOST_OF_NAME: usize = 1024;

/// A call that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The tool, as the client names it; empty where the name is longer than any tool's.
    pub tool: String,
    /// From the request to the answer.
    pub took: Duration,
    /// Bytes of the request and the answer.
    pub bytes: u64,
    /// The answer is an error, says that the tool failed, or did not come.
    pub failed: bool,
}

/// Who is told of each call.
pub type Told = Arc<dyn Fn(Call) + Send + Sync>;

/// Calls whose answers have not come.
struct Pending {
    /// By id, as JSON.
    calls: BTreeMap<String, (String, u64)>,
    begun: Instant,
    told: Told,
    /// The status says that it failed.
    refused: bool,
    /// An answer came that was too long to be looked into.
    long: bool,
}

/// Passes a request on, and tells of the calls in it once they have ended. A message may have `limit` bytes.
pub async fn measured<F>(
    request: Request<Body>,
    limit: usize,
    budget: &Budget,
    told: Told,
    serve: impl FnOnce(Request<Body>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let begun = Instant::now();
    if request.method() != Method::POST {
        return serve(request).await;
    }
    let (head, body) = request.into_parts();
    // Whoever answers counts it in the budget again.
    let bytes = match body::read(body, limit, budget).await {
        Ok((bytes, _)) => bytes,
        Err(error) => return crate::bridge::too_much(error),
    };
    let calls = calls(&bytes);
    let request = Request::from_parts(head, Body::from(bytes));
    if calls.is_empty() {
        return serve(request).await;
    }
    let mut pending = Pending {
        calls,
        begun,
        told,
        refused: false,
        long: false,
    };
    let response = serve(request).await;
    pending.refused = !response.status().is_success();
    let is_events = is_events(response.headers());
    response.map(|body| {
        let watched = Watched {
            pending,
            events: is_events.then(Reader::default),
            held: Vec::new(),
            bytes: 0,
        };
        Body::from_stream(watch(body.into_data_stream(), watched))
    })
}

fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The calls of a message or a batch: tool and length by id. A call whose id is too long is refused, and none.
fn calls(bytes: &[u8]) -> BTreeMap<String, (String, u64)> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        id: Option<&'a RawValue>,
        #[serde(borrow)]
        method: Option<&'a RawValue>,
        #[serde(borrow)]
        params: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: &'a RawValue,
    }
    // What is long is not copied.
    let text = |value: &RawValue| -> Option<String> {
        let is_short = value.get().len() <= MOST_OF_NAME;
        is_short.then(|| lenient::read(value.get())).flatten()
    };
    let call = |message: &RawValue| {
        let wire: Wire<'_> = serde_json::from_str(message.get()).ok()?;
        let id = wire.id.filter(|id| id.get().len() <= MOST_OF_ID)?;
        if text(wire.method?)? != "tools/call" {
            return None;
        }
        let named: Named<'_> = serde_json::from_str(wire.params?.get()).ok()?;
        let is_named = named.name.get().starts_with('"');
        is_named.then(|| {
            let tool = text(named.name).unwrap_or_default();
            (id.get().to_owned(), (tool, message.get().len() as u64))
        })
    };
    let Ok(raw) = serde_json::from_slice::<&RawValue>(bytes) else {
        return BTreeMap::new();
    };
    if !raw.get().starts_with('[') {
        return call(raw).into_iter().collect();
    }
    let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
    parts
        .into_iter()
        .take(MOST_CALLS)
        .filter_map(call)
        .collect()
}

struct Watched {
    pending: Pending,
    events: Option<Reader>,
    /// The beginning of the message that is arriving.
    held: Vec<u8>,
    /// Its length.
    bytes: u64,
}

fn watch<E: Send + 'static>(
    body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    watched: Watched,
) -> impl Stream<Item = Result<Bytes, E>> + Send {
    stream::unfold((body, watched), |(mut body, mut watched)| async {
        match body.next().await {
            Some(Ok(chunk)) => {
                watched.take(&chunk);
                Some((Ok(chunk), (body, watched)))
            }
            Some(Err(error)) => Some((Err(error), (body, watched))),
            None => {
                watched.end();
                None
            }
        }
    })
}

impl Watched {
    fn take(&mut self, chunk: &[u8]) {
        let Some(mut events) = self.events.take() else {
            hold(&mut self.held, &mut self.bytes, chunk);
            return;
        };
        events.read(chunk, |_, part| match part {
            Part::Data(data) => hold(&mut self.held, &mut self.bytes, data),
            Part::End => {
                self.pending.message(&self.held, self.bytes);
                self.held.clear();
                self.bytes = 0;
            }
        });
        self.events = Some(events);
    }

    fn end(&mut self) {
        if self.events.is_none() {
            self.pending.message(&self.held, self.bytes);
        }
        self.pending.end();
    }
}

fn hold(held: &mut Vec<u8>, bytes: &mut u64, more: &[u8]) {
    *bytes += more.len() as u64;
    let room = SMALL.saturating_sub(held.len()).min(more.len());
    held.extend_from_slice(more.get(..room).unwrap_or_default());
}

impl Pending {
    fn message(&mut self, held: &[u8], bytes: u64) {
        if bytes > held.len() as u64 {
            // What is so long is no error.
            self.long = true;
            if let (1, Some(id)) = (self.calls.len(), self.calls.keys().next().cloned()) {
                self.ended(&id, bytes, false);
            }
            return;
        }
        let Ok(raw) = serde_json::from_slice::<&RawValue>(held) else {
            return;
        };
        if raw.get().starts_with('[') {
            let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            for part in parts {
                self.one(part);
            }
        } else {
            self.one(raw);
        }
    }

    fn one(&mut self, message: &RawValue) {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            id: Option<&'a RawValue>,
            #[serde(borrow)]
            method: Option<&'a RawValue>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
            #[serde(borrow)]
            result: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Outcome {
            #[serde(default)]
            is_error: bool,
        }
        let Ok(wire) = serde_json::from_str::<Wire<'_>>(message.get()) else {
            return;
        };
        if let (Some(id), None) = (wire.id, wire.method) {
            let outcome = wire.result.and_then(|r| lenient::read::<Outcome>(r.get()));
            let failed = wire.error.is_some() || outcome.is_some_and(|o| o.is_error);
            self.ended(id.get(), message.get().len() as u64, failed);
        }
    }

    fn ended(&mut self, id: &str, bytes: u64, failed: bool) {
        if let Some((tool, asked)) = self.calls.remove(id) {
            (self.told)(Call {
                tool,
                took: self.begun.elapsed(),
                bytes: asked + bytes,
                failed: failed || self.refused,
            });
        }
    }

    fn end(&mut self) {
        let failed = !self.long;
        while let Some(id) = self.calls.keys().next().cloned() {
            self.ended(&id, 0, failed);
        }
    }
}

impl Drop for Pending {
    /// Nobody waits any more for what has not come.
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use axum::http::StatusCode;
    use serde_json::json;

    use super::*;

    /// What is told of a request that is answered so: tool, bytes, failed.
    async fn told(
        request: &str,
        status: u16,
        kind: &str,
        pieces: &[&str],
    ) -> Vec<(String, u64, bool)> {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&calls);
        let told: Told = Arc::new(move |call: Call| {
            kept.lock()
                .unwrap()
                .push((call.tool, call.bytes, call.failed));
        });
        let request = Request::post("/")
            .body(Body::from(request.to_owned()))
            .unwrap();
        let pieces: Vec<_> = pieces
            .iter()
            .map(|p| Ok::<_, Infallible>((*p).to_owned()))
            .collect();
        let budget = Budget::default();
        let response = measured(request, 100_000, &budget, told, |_| async move {
            let body = Body::from_stream(stream::iter(pieces));
            let mut response = Response::new(body);
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, kind.parse().unwrap());
            response
        });
        let body = response.await.into_body();
        axum::body::to_bytes(body, 1_000_000).await.unwrap();
        let calls = calls.lock().unwrap();
        calls.clone()
    }

    const JSON: &str = "application/json";
    const EVENTS: &str = "text/event-stream";

    #[tokio::test]
    async fn a_call_is_told_with_its_outcome_and_nothing_else_is() {
        let call =
            json!({"jsonrpc": "2.0", "id": "7", "method": "tools/call", "params": {"name": "a"}})
                .to_string();
        let asked = call.len() as u64;
        let long = format!(r#"{{"id":"7","result":{{"x":"{}"}}}}"#, "x".repeat(SMALL));
        for (answer, failed) in [
            (r#"{"id":"7","result":{}}"#, false),
            (r#"{"id":"7","result":{"isError":true}}"#, true),
            (r#"{"id":"7","error":{"code":1,"message":"isError"}}"#, true),
            (&*long, false),
        ] {
            let one = vec![("a".to_owned(), asked + answer.len() as u64, failed)];
            let (half, rest) = answer.split_at(9);
            assert_eq!(told(&call, 200, JSON, &[half, rest]).await, one);
            let progress = "data: {\"method\":\"notifications/progress\"}\n\n: x\n\n";
            let first = format!("{progress}data: {half}");
            let event = [&*first, rest, "\n\n"];
            assert_eq!(told(&call, 200, EVENTS, &event).await, one);
        }
        // What did not come has failed, whatever the status.
        let none = vec![("a".to_owned(), asked, true)];
        assert_eq!(told(&call, 200, EVENTS, &[": x\n\n"]).await, none);
        assert_eq!(
            told(&call, 503, JSON, &[r#"{"id":null,"error":{}}"#]).await,
            none
        );
        for other in [
            "{}",
            "x",
            r#"{"id":1,"method":"tools/list"}"#,
            r#"{"method":"tools/call","params":{"name":"a"}}"#,
        ] {
            assert_eq!(told(other, 200, JSON, &["{}"]).await, vec![]);
        }
    }

    #[tokio::test]
    async fn long_names_and_ids_are_not_copied() {
        let long = "x".repeat(2000);
        let call = |id: &str, name: &str| json!({"id": id, "method": "tools/call", "params": {"name": name}});
        let answer = json!({"id": "7", "result": {}}).to_string();
        let found = told(&call("7", &long).to_string(), 200, JSON, &[&answer]).await;
        let (tool, _, failed) = found.first().unwrap();
        assert_eq!((&**tool, *failed), ("", false), "it counts all the same");
        let found = told(&call(&long, "a").to_string(), 200, JSON, &[&answer]).await;
        assert_eq!(found, []);
    }

    #[tokio::test]
    async fn each_call_of_a_batch_is_told() {
        let call = |id: u32, name: &str| json!({"id": id, "method": "tools/call", "params": {"name": name}});
        let batch = json!([call(1, "a"), {"id": 2, "method": "ping"}, call(3, "b")]).to_string();
        let answers = r#"[{"id":3,"error":{}},{"id":1,"result":{}}]"#;
        let found = told(&batch, 200, JSON, &[answers]).await;
        let found: Vec<_> = found
            .iter()
            .map(|(tool, _, failed)| (&**tool, *failed))
            .collect();
        assert_eq!(found, [("b", true), ("a", false)]);
    }
}
