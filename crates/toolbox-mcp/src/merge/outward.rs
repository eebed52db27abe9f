//! From a server to the client: a question of the server gets an id that leads back to it, the client's call has its own id
//! again, addresses of resources are those that lead to the server, and an answer that does not come is an error.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, Response, header};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer as _};
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::lists::List;
use crate::rpc::{self, Span, code};
use crate::wire::rewrite::{Rewrite, Rewritten};

/// Headers of a server's answer that pass.
const HEADERS: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
    HeaderName::from_static("x-accel-buffering"),
];

/// Most addresses of one answer: each is longer afterwards, and what is needed for that is in no budget.
const MOST_ADDRESSES: usize = 10_000;

/// What results of the stateless era say, and what those say that clients may keep.
pub(super) const COMPLETE: &str = r#""resultType":"complete""#;
pub(super) const STALE: &str = r#""resultType":"complete","ttlMs":0,"cacheScope":"private""#;

/// The answer without headers that mean something to one server's session only.
pub(super) fn head(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let mut headers = std::mem::take(&mut head.headers);
    for name in HEADERS {
        if let Some(value) = headers.remove(&name) {
            head.headers.insert(name, value);
        }
    }
    Response::from_parts(head, body)
}

/// What a call is called by the client and towards the server, as JSON.
#[derive(Clone, Debug)]
pub(super) struct Alias {
    pub(super) id: String,
    /// The id that the server was given, which is its token for progress too if `token` is another.
    pub(super) sent: String,
    /// The client's token for progress, if the server was given another.
    pub(super) token: Option<String>,
}

/// What is changed in the messages that answer a call.
#[derive(Debug)]
pub(super) struct Outward {
    pub(super) server: Uuid,
    /// What the call is about an entry of; none where no resource is named in an answer.
    pub(super) list: Option<List>,
    /// What stands before the addresses of the server's resources.
    pub(super) home: String,
    /// What a result says more to clients of the stateless era, which servers of the older one do not.
    pub(super) completes: Option<&'static str>,
    pub(super) call: Alias,
    /// The answer has passed.
    pub(super) is_answered: AtomicBool,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow, rename = "progressToken")]
    token: &'a RawValue,
}

impl Outward {
    /// What is written anew of a message; none if that is too much.
    fn edits(&self, text: &str, wire: &Wire<'_>) -> Option<Vec<(Span, Cow<'_, str>)>> {
        let mut edits = Vec::new();
        if wire.method.is_some() {
            if let Some(id) = wire.id {
                let outward = Value::from(format!("{}:{}", self.server, id.get()));
                edits.push((rpc::span_in(text, id), outward.to_string().into()));
            } else if let (Some(own), Some(params)) = (&self.call.token, wire.params)
                && let Ok(progress) = serde_json::from_str::<Progress<'_>>(params.get())
                && progress.token.get() == self.call.sent
            {
                edits.push((rpc::span_in(text, progress.token), own.into()));
            }
            return Some(edits);
        }
        if wire.result.is_some() || wire.error.is_some() {
            self.is_answered.store(true, Ordering::Relaxed);
        }
        if let Some(id) = wire.id
            && self.call.sent != self.call.id
            && id.get() == self.call.sent
        {
            edits.push((rpc::span_in(text, id), (&self.call.id).into()));
        }
        if let Some(rest) = wire
            .result
            .and_then(|result| result.get().strip_prefix('{'))
            && let Some(more) = self.completes
            && !rest.contains("\"resultType\"")
        {
            let comma = if rest.trim_start().starts_with('}') {
                ""
            } else {
                ","
            };
            let start = rest.as_ptr() as usize - text.as_ptr() as usize;
            edits.push((start..start, format!("{more}{comma}").into()));
        }
        if let (Some(list), Some(result)) = (self.list, wire.result) {
            addresses(list, result, &mut |address| {
                if edits.len() > MOST_ADDRESSES {
                    return;
                }
                // It goes on behind the quotation mark; what stands before needs no escape.
                if address.get().starts_with('"') {
                    let start = rpc::span_in(text, address).start + 1;
                    edits.push((start..start, (&self.home).into()));
                }
            });
        }
        (edits.len() <= MOST_ADDRESSES).then_some(edits)
    }
}

/// Finds the addresses of resources in the answer to a call about an entry of `list`: of links, of what is embedded, and of what
/// was read. What is formed otherwise passes as it is.
fn addresses<'a>(list: List, result: &'a RawValue, found: &mut impl FnMut(&'a RawValue)) {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        content: Option<&'a RawValue>,
        #[serde(borrow)]
        contents: Option<&'a RawValue>,
        #[serde(borrow)]
        messages: Option<&'a RawValue>,
    }
    #[derive(Deserialize)]
    struct Said<'a> {
        #[serde(borrow)]
        content: &'a RawValue,
    }
    #[derive(Deserialize)]
    struct Block<'a> {
        #[serde(borrow)]
        uri: Option<&'a RawValue>,
        #[serde(borrow)]
        resource: Option<&'a RawValue>,
    }
    if !result.get().contains("\"uri\"") && !result.get().contains("\\u") {
        return;
    }
    let Ok(answer) = serde_json::from_str::<Answer<'_>>(result.get()) else {
        return;
    };
    let parts = match list {
        List::Tools => answer.content,
        List::Prompts => answer.messages,
        List::Resources | List::Templates => answer.contents,
    };
    let read = |block: &'a RawValue| serde_json::from_str::<Block<'_>>(block.get()).ok();
    each(parts, |part| {
        let block = match list {
            List::Prompts => serde_json::from_str::<Said<'_>>(part.get()).map(|said| said.content),
            _ => Ok(part),
        };
        let block = block.ok().and_then(read);
        let inner = block.as_ref().and_then(|block| read(block.resource?));
        let found_in = |block: Block<'a>| block.uri;
        [block, inner]
            .into_iter()
            .flatten()
            .filter_map(found_in)
            .for_each(&mut *found);
    });
}

/// What stands in an array, one after the other.
fn each<'a>(array: Option<&'a RawValue>, take: impl FnMut(&'a RawValue)) {
    struct Items<F>(F);
    impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Items<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
            while let Some(item) = items.next_element()? {
                (self.0)(item);
            }
            Ok(())
        }
    }
    if let Some(array) = array {
        // Anything else has nothing.
        let _ = serde_json::Deserializer::from_str(array.get()).deserialize_seq(Items(take));
    }
}

impl Rewrite for Outward {
    fn message(&self, bytes: &[u8]) -> Rewritten {
        // What is not understood here may be to the client.
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Rewritten::Same;
        };
        let Ok(wire) = serde_json::from_str::<Wire<'_>>(text) else {
            return Rewritten::Same;
        };
        let Some(mut edits) = self.edits(text, &wire) else {
            return Rewritten::Unreadable;
        };
        if edits.is_empty() {
            return Rewritten::Same;
        }
        edits.sort_unstable_by_key(|(span, _)| span.start);
        let more: usize = edits.iter().map(|(_, value)| value.len()).sum();
        let (mut anew, mut at) = (String::with_capacity(text.len() + more), 0);
        for (span, value) in edits {
            anew.push_str(text.get(at..span.start).unwrap_or_default());
            anew.push_str(&value);
            at = span.end;
        }
        anew.push_str(text.get(at..).unwrap_or_default());
        Rewritten::Anew(anew)
    }

    fn keeps(&self, line: &str) -> bool {
        // Where a stream of one server is taken up again means nothing here.
        !line.starts_with("id:") && !line.starts_with("retry:")
    }

    fn last(&self) -> Option<Bytes> {
        if self.is_answered.load(Ordering::Relaxed) {
            return None;
        }
        let text = "the server ended its stream without an answer, which may be had by its own URL only; it may have carried out the call";
        Some(rpc::error(&self.call.id, code::UNAVAILABLE, text, None))
    }
}

/// What stands before and after `value`, which was read from `text`.
pub(super) fn around<'a>(text: &'a str, value: &RawValue) -> (&'a str, &'a str) {
    let span = rpc::span_in(text, value);
    let before = text.get(..span.start).unwrap_or_default();
    (before, text.get(span.end..).unwrap_or_default())
}

/// The server that a client's answer is for, and the id by which it asked, as JSON.
pub(super) fn inward(id: &str) -> Option<(Uuid, String)> {
    let id: String = serde_json::from_str(id).ok()?;
    let (server, id) = id.split_once(':')?;
    // The client may have written anything.
    let value: Value = serde_json::from_str(id).ok()?;
    let is_id = value.is_string() || value.is_number();
    is_id.then_some((Uuid::try_parse(server).ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_call(server: Uuid, completes: bool, sent: &str) -> Outward {
        Outward {
            server,
            list: None,
            home: String::new(),
            completes: completes.then_some(COMPLETE),
            call: Alias {
                id: "1".to_owned(),
                sent: sent.to_owned(),
                token: (sent != "1").then(|| "\"p\"".to_owned()),
            },
            is_answered: AtomicBool::new(false),
        }
    }

    #[test]
    fn a_call_has_its_own_id_and_token_again_and_no_other_message_has() {
        let outward = of_call(Uuid::nil(), true, r#""s""#);
        for (text, wanted) in [
            (
                r#"{"result":{"id":"s"}, "id":"s"}"#,
                r#"{"result":{"resultType":"complete","id":"s"}, "id":1}"#,
            ),
            (
                r#"{"id": "s","error":{"code":1,"message":"x"}}"#,
                r#"{"id": 1,"error":{"code":1,"message":"x"}}"#,
            ),
            (
                r#"{"method":"notifications/progress","params":{"progress":1,"progressToken":"s"}}"#,
                r#"{"method":"notifications/progress","params":{"progress":1,"progressToken":"p"}}"#,
            ),
        ] {
            let Rewritten::Anew(anew) = outward.message(text.as_bytes()) else {
                panic!("{text}");
            };
            assert_eq!(anew, wanted);
        }
        for other in [
            r#"{"id":"t","error":{"code":1,"message":"x"}}"#,
            r#"{"method":"notifications/progress","params":{"progressToken":"t"}}"#,
        ] {
            let same = outward.message(other.as_bytes());
            assert!(matches!(same, Rewritten::Same), "{other}");
        }
    }

    #[test]
    fn only_a_call_without_an_answer_ends_with_an_error() {
        for (text, is_answer) in [
            ("", false),
            (r#"{"method":"notifications/progress","params":{}}"#, false),
            (r#"{"id":5,"method":"elicitation/create"}"#, false),
            (r#"{"id":1,"result":{}}"#, true),
            (r#"{"id":null,"error":{"code":1,"message":"x"}}"#, true),
        ] {
            let outward = of_call(Uuid::nil(), false, "1");
            outward.message(text.as_bytes());
            assert_eq!(outward.last().is_none(), is_answer, "{text}");
        }
    }

    #[test]
    fn the_id_of_a_question_leads_back_to_who_asked() {
        let server = Uuid::from_u128(7);
        let outward = of_call(server, false, "1");
        for id in ["7", "\"a:\\\"b\"", "-1"] {
            let text =
                format!(r#"{{ "jsonrpc":"2.0", "id": {id} ,"method":"elicitation/create"}}"#);
            let Rewritten::Anew(anew) = outward.message(text.as_bytes()) else {
                panic!("{text}");
            };
            let anew: Value = serde_json::from_str(&anew).unwrap();
            let back = inward(&anew["id"].to_string());
            assert_eq!(back, Some((server, id.to_owned())));
        }
        for other in [r#"{"id":1,"result":{}}"#, r#"{"method":"x"}"#, "", "[1]"] {
            let same = outward.message(other.as_bytes());
            assert!(matches!(same, Rewritten::Same), "{other}");
        }
        for forged in [
            "1",
            "\"x\"",
            "\"x:1\"",
            &format!("\"{server}:1,2\""),
            &format!("\"{server}:{{}}\""),
        ] {
            assert_eq!(inward(forged), None, "{forged}");
        }
    }

    #[test]
    fn addresses_lead_to_the_server_and_nothing_else_is_changed() {
        for (list, result, wanted) in [
            (
                List::Tools,
                r#"{"content":[1,{"uri":"a:1"},{"type":"resource","resource":{"text":"a:1","uri": "a:\u00e4"}}],"structuredContent":{"uri":"a:1"}}"#,
                r#"{"content":[1,{"uri":"h/a:1"},{"type":"resource","resource":{"text":"a:1","uri": "h/a:\u00e4"}}],"structuredContent":{"uri":"a:1"}}"#,
            ),
            (
                List::Prompts,
                r#"{"messages":[{},{"content":{"uri":"a:1"}},{"content":{"resource":{"uri":"a:2"}}}],"content":[{"uri":"a:1"}]}"#,
                r#"{"messages":[{},{"content":{"uri":"h/a:1"}},{"content":{"resource":{"uri":"h/a:2"}}}],"content":[{"uri":"a:1"}]}"#,
            ),
            (
                List::Resources,
                r#"{"contents":[{"uri":"a:1","text":"\"uri\":\"a:1\""},{"uri":2},{"uri":""}]}"#,
                r#"{"contents":[{"uri":"h/a:1","text":"\"uri\":\"a:1\""},{"uri":2},{"uri":"h/"}]}"#,
            ),
        ] {
            let mut outward = of_call(Uuid::nil(), false, "1");
            outward.list = Some(list);
            outward.home = "h/".to_owned();
            let text = format!(r#"{{"result":{result},"id":1}}"#);
            let Rewritten::Anew(anew) = outward.message(text.as_bytes()) else {
                panic!("{text}");
            };
            assert_eq!(anew, format!(r#"{{"result":{wanted},"id":1}}"#));
        }
        let mut outward = of_call(Uuid::nil(), false, "1");
        outward.list = Some(List::Tools);
        let written = r#"{"id":1,"result":{"content":[{"\u0075ri":"a:1"}]}}"#;
        assert!(matches!(
            outward.message(written.as_bytes()),
            Rewritten::Anew(_)
        ));
        let many = vec![r#"{"uri":""}"#; MOST_ADDRESSES + 1].join(",");
        let many = format!(r#"{{"id":1,"result":{{"content":[{many}]}}}}"#);
        assert!(matches!(
            outward.message(many.as_bytes()),
            Rewritten::Unreadable
        ));
        for odd in [
            r#"{"content":{"uri":"a:1"}}"#,
            r#"{"content":[{"uri":"a:1","uri":"a:2"}]}"#,
            r#"{"contents":[{"uri":"a:1"}]}"#,
            r#""uri""#,
        ] {
            let text = format!(r#"{{"id":1,"result":{odd}}}"#);
            let same = outward.message(text.as_bytes());
            assert!(matches!(same, Rewritten::Same), "{odd}");
        }
    }

    #[test]
    fn an_older_result_is_complete() {
        let outward = of_call(Uuid::nil(), true, "1");
        for (result, complete) in [
            ("{}", r#"{"resultType":"complete"}"#),
            (r#"{"a":1}"#, r#"{"resultType":"complete","a":1}"#),
        ] {
            let text = format!(r#"{{"id":1,"result":{result}}}"#);
            let Rewritten::Anew(anew) = outward.message(text.as_bytes()) else {
                panic!("{text}");
            };
            assert_eq!(anew, format!(r#"{{"id":1,"result":{complete}}}"#));
        }
    }
}
