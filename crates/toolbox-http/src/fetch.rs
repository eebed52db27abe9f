//! [`Transport`] and [`Clock`] by the host's `fetch`, timers and `Math.random`.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream;
use gloo_net::http::{Request as HostRequest, Response as HostResponse};
use gloo_timers::future::sleep;
use js_sys::{Math, Reflect, Uint8Array};
use serde::Serialize;
use toolbox_domain::retry::Fault;
use wasm_bindgen::prelude::*;
use wasm_streams::ReadableStream;
use web_sys::{AbortController, RequestInit, RequestRedirect};

use crate::message::{Request, Response};
use crate::transport::{BodyStream, Call, Clock, LocalFuture, Transport, TransportError, classify};

#[wasm_bindgen]
extern "C" {
    type HttpClient;
    #[wasm_bindgen(js_namespace = Deno, js_name = createHttpClient, catch)]
    fn create_http_client(options: &JsValue) -> Result<HttpClient, JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &HttpClient);
}

/// What `Deno.createHttpClient` takes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientOptions<'a> {
    ca_certs: [&'a str; 1],
}

/// A value as the host's plain objects, arrays and texts.
pub fn to_host(value: &impl Serialize) -> Result<JsValue, serde_wasm_bindgen::Error> {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible())
}

/// Clients with a certificate of their own that are kept, so that connections are reused.
const CLIENTS_KEPT: usize = 32;

/// The host's `fetch`. Redirects are never followed: a machine must not be able to send the
/// control plane, with its keys, somewhere else.
#[derive(Default)]
pub struct Fetch {
    /// The one used last is at the end.
    clients: RefCell<Vec<(Arc<str>, Rc<PinnedClient>)>>,
}

struct PinnedClient(HttpClient);

impl Drop for PinnedClient {
    /// Runs when the last call that uses the client has ended.
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Aborts the call when dropped, so that a deadline frees the connection. Aborting a call that has ended does nothing.
struct AbortOnDrop(AbortController);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What has to live as long as the answer's body.
struct Held {
    _abort: AbortOnDrop,
    _client: Option<Rc<PinnedClient>>,
}

fn js_error(error: &JsValue) -> TransportError {
    let message = error
        .dyn_ref::<js_sys::Error>()
        .map(|e| String::from(e.message()));
    classify(message.as_deref().unwrap_or("unknown error"))
}

fn net_error(error: &gloo_net::Error) -> TransportError {
    match error {
        gloo_net::Error::JsError(error) => classify(&error.message),
        gloo_net::Error::GlooError(text) => classify(text),
    }
}

impl Fetch {
    fn client(&self, certificate: &Arc<str>) -> Result<Rc<PinnedClient>, TransportError> {
        let mut clients = self.clients.borrow_mut();
        if let Some(at) = clients.iter().position(|(pem, _)| pem == certificate) {
            let kept = clients.remove(at);
            let client = Rc::clone(&kept.1);
            clients.push(kept);
            return Ok(client);
        }
        let unusable = || TransportError::new(Fault::Tls, "the certificate could not be read");
        let options = ClientOptions {
            ca_certs: [certificate],
        };
        let options = to_host(&options).map_err(|_| unusable())?;
        let client = create_http_client(&options).map_err(|_| unusable())?;
        let client = Rc::new(PinnedClient(client));
        if clients.len() >= CLIENTS_KEPT {
            clients.remove(0);
        }
        clients.push((Arc::clone(certificate), Rc::clone(&client)));
        Ok(client)
    }

    async fn start(&self, call: &Call) -> Result<(HostResponse, Held), TransportError> {
        let client = call.certificate.as_ref();
        let client = client.map(|pem| self.client(pem)).transpose()?;
        let abort = AbortController::new().map_err(|e| js_error(&e))?;
        let request = host_request(&call.request, client.as_deref(), &abort);
        let request = request.map_err(|e| js_error(&e))?;
        let held = Held {
            _abort: AbortOnDrop(abort),
            _client: client,
        };
        let response = request.send().await.map_err(|e| net_error(&e))?;
        Ok((response, held))
    }
}

/// gloo-net's own builder cannot name a client, so the host's request is made here.
fn host_request(
    request: &Request,
    client: Option<&PinnedClient>,
    abort: &AbortController,
) -> Result<HostRequest, JsValue> {
    let init = RequestInit::new();
    init.set_method(&request.method);
    init.set_headers(&to_host(&request.headers)?);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&abort.signal()));
    if !request.body.is_empty() {
        init.set_body(&Uint8Array::from(request.body.as_slice()));
    }
    if let Some(client) = client {
        Reflect::set(&init, &"client".into(), &client.0)?;
    }
    web_sys::Request::new_with_str_and_init(&request.url, &init).map(HostRequest::from)
}

impl Transport for Fetch {
    fn send(&self, call: Call) -> LocalFuture<'_, Result<Response, TransportError>> {
        Box::pin(before(call.deadline, async move {
            let (response, _held) = self.start(&call).await?;
            let body = read_body(&response, call.max_answer).await?;
            Ok(answer(&response, body, call.keep_type))
        }))
    }

    fn open(
        &self,
        call: Call,
        longest: Duration,
    ) -> LocalFuture<'_, Result<Response<BodyStream>, TransportError>> {
        Box::pin(before(call.deadline, async move {
            let (response, held) = self.start(&call).await?;
            let body = response
                .body()
                .ok_or_else(|| TransportError::new(Fault::BadBody, "no body to stream"))?;
            let inner = bounded(body, held, longest)?;
            Ok(answer(&response, BodyStream { inner }, call.keep_type))
        }))
    }
}

/// Drops `work`, and so aborts its call, when `deadline` passes first.
async fn before<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    match select(Box::pin(work), sleep(deadline)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(TransportError::new(
            Fault::Timeout,
            format!("after {} s", deadline.as_secs()),
        )),
    }
}

fn answer<T>(response: &HostResponse, body: T, keep_type: bool) -> Response<T> {
    let mut answer = Response::new(response.status(), body);
    let kept: &[&str] = match (answer.is_success(), keep_type) {
        (true, false) => &[],
        (true, true) => &["content-type"],
        (false, _) => &["content-type", "retry-after"],
    };
    for name in kept {
        if let Some(value) = response.headers().get(name) {
            answer.headers.set(name, value);
        }
    }
    answer
}

/// Reads at most `limit` bytes. An announced length lets the host read in one go; it removes the
/// header when it decompresses, so a small compressed body cannot become a large one.
async fn read_body(response: &HostResponse, limit: usize) -> Result<Vec<u8>, TransportError> {
    let too_large = || TransportError::new(Fault::BadBody, "the answer is too large");
    let announced = response.headers().get("content-length");
    match announced.and_then(|text| text.parse::<usize>().ok()) {
        Some(length) if length > limit => Err(too_large()),
        None if limit < usize::MAX => match response.body() {
            Some(body) => read_stream(body, limit).await?.ok_or_else(too_large),
            None => Ok(Vec::new()),
        },
        _ => response.binary().await.map_err(|e| net_error(&e)),
    }
}

/// Reads a stream to its end, or gives none (and cancels it) when it holds more than `limit` bytes.
pub async fn read_stream(
    stream: web_sys::ReadableStream,
    limit: usize,
) -> Result<Option<Vec<u8>>, TransportError> {
    let mut chunks = chunks_of(stream)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| js_error(&e))?;
        let chunk: Uint8Array = chunk
            .dyn_into()
            .map_err(|_| TransportError::new(Fault::BadBody, "a chunk that is not bytes"))?;
        if bytes.len() + chunk.length() as usize > limit {
            return Ok(None);
        }
        bytes.extend(chunk.to_vec());
    }
    Ok(Some(bytes))
}

/// The chunks of a stream; dropping them cancels it.
fn chunks_of(
    stream: web_sys::ReadableStream,
) -> Result<wasm_streams::readable::IntoStream<'static>, TransportError> {
    ReadableStream::from_raw(stream)
        .try_into_stream()
        .map_err(|(error, _)| js_error(&error))
}

/// The same stream, ended after `longest`. Chunks stay with the host; none is copied to wasm.
fn bounded(
    stream: web_sys::ReadableStream,
    held: Held,
    longest: Duration,
) -> Result<web_sys::ReadableStream, TransportError> {
    let chunks = stream::unfold(
        (chunks_of(stream)?, held),
        |(mut chunks, held)| async move { Some((chunks.next().await?, (chunks, held))) },
    );
    Ok(ReadableStream::from_stream(chunks.take_until(sleep(longest))).into_raw())
}

impl Clock for Fetch {
    fn now(&self) -> Duration {
        Duration::from_secs_f64(js_sys::Date::now() / 1000.0)
    }

    fn random(&self) -> f64 {
        Math::random()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<'_, ()> {
        Box::pin(sleep(duration))
    }
}
