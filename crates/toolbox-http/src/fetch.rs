//! [`Transport`] and [`Clock`] by the host's `fetch`, timers and `Math.random`.

use std::cell::RefCell;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, join, select};
use futures_util::stream;
use gloo_net::http::{Request as HostRequest, Response as HostResponse};
use gloo_timers::callback::Timeout;
use gloo_timers::future::sleep;
use js_sys::{Math, Reflect, Uint8Array};
use serde::Serialize;
use toolbox_domain::retry::Fault;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use wasm_streams::ReadableStream;
use web_sys::{AbortController, RequestInit, RequestRedirect};

use crate::message::{Request, Response};
use crate::transport::{
    BodyStream, Break, Call, Clock, LocalFuture, Passed, Passing, Pin, Transport, TransportError,
    classify,
};

#[wasm_bindgen]
extern "C" {
    type HttpClient;
    #[wasm_bindgen(method)]
    fn close(this: &HttpClient);

    #[wasm_bindgen(js_name = fetch, catch)]
    fn fetch_stream(url: &str, init: &RequestInit) -> Result<js_sys::Promise, JsValue>;

    /// `Deno`, which not every runtime has, and some have in part.
    #[wasm_bindgen(thread_local_v2, js_name = globalThis)]
    static GLOBAL: Global;
    type Global;
    #[wasm_bindgen(method, getter, js_name = Deno)]
    fn deno(this: &Global) -> Option<Deno>;
    type Deno;
    #[wasm_bindgen(method, getter, js_name = createHttpClient)]
    fn client_maker(this: &Deno) -> Option<js_sys::Function>;
    #[wasm_bindgen(method, getter, js_name = resolveDns)]
    fn resolver(this: &Deno) -> Option<js_sys::Function>;
    #[wasm_bindgen(method, js_name = createHttpClient, catch)]
    fn create_http_client(this: &Deno, options: &JsValue) -> Result<HttpClient, JsValue>;
}

/// What `Deno.createHttpClient` takes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClientOptions<'a> {
    ca_certs: [&'a str; 1],
    proxy: Proxy<'a>,
}

#[derive(Serialize)]
struct Proxy<'a> {
    url: &'a str,
}

/// A value as the host's plain objects, arrays and texts.
pub fn to_host(value: &impl Serialize) -> Result<JsValue, serde_wasm_bindgen::Error> {
    value.serialize(&serde_wasm_bindgen::Serializer::json_compatible())
}

/// Clients of pinned agents that are kept, so that connections are reused.
const CLIENTS_KEPT: usize = 32;

/// The host's `fetch`. Redirects are never followed: a machine must not be able to send the
/// control plane, with its keys, somewhere else.
#[derive(Default)]
pub struct Fetch {
    /// The one used last is at the end.
    clients: RefCell<Vec<(Pin, Rc<PinnedClient>)>>,
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
    abort: AbortOnDrop,
    _client: Option<Rc<PinnedClient>>,
}

/// A failure of the host as an error of a call.
pub fn js_error(error: &JsValue) -> TransportError {
    let message = error
        .dyn_ref::<js_sys::Error>()
        .map(|e| String::from(e.message()));
    classify(message.as_deref().unwrap_or("unknown error"))
}

/// Whether Deno says that there is no such thing.
fn is_not_found(error: &JsValue) -> bool {
    let error = error.dyn_ref::<js_sys::Error>();
    error.is_some_and(|error| error.name() == "NotFound")
}

fn net_error(error: &gloo_net::Error) -> TransportError {
    match error {
        gloo_net::Error::JsError(error) => classify(&error.message),
        gloo_net::Error::GlooError(text) => classify(text),
    }
}

impl Fetch {
    fn client(&self, pin: &Pin) -> Result<Rc<PinnedClient>, TransportError> {
        let mut clients = self.clients.borrow_mut();
        if let Some(at) = clients.iter().position(|(of, _)| of == pin) {
            let kept = clients.remove(at);
            let client = Rc::clone(&kept.1);
            clients.push(kept);
            return Ok(client);
        }
        let client = Rc::new(PinnedClient(create_client(pin)?));
        if clients.len() >= CLIENTS_KEPT {
            clients.remove(0);
        }
        clients.push((pin.clone(), Rc::clone(&client)));
        Ok(client)
    }

    async fn start(
        &self,
        call: &Call,
        body: Option<BodyStream>,
    ) -> Result<(HostResponse, Held), TransportError> {
        call.check_pin()?;
        let client = call.pin.as_ref().map(|pin| self.client(pin)).transpose()?;
        let abort = AbortController::new().map_err(|e| js_error(&e))?;
        let init = request_init(&call.request, body.as_ref(), client.as_deref(), &abort);
        let init = init.map_err(|e| js_error(&e))?;
        let held = Held {
            abort: AbortOnDrop(abort),
            _client: client,
        };
        let url = &call.request.url;
        let sent = if body.is_some() {
            send_stream(url, &init).await.map_err(|e| js_error(&e))
        } else {
            let request = web_sys::Request::new_with_str_and_init(url, &init);
            let request = HostRequest::from(request.map_err(|e| js_error(&e))?);
            request.send().await.map_err(|e| net_error(&e))
        };
        let response = sent.map_err(|error| {
            if call.pin.is_some() && error.fault == Fault::Dns {
                let detail = "the runtime looked for the agent's name instead of using the proxy";
                TransportError::new(Fault::CannotPin, detail)
            } else {
                error
            }
        })?;
        Ok((response, held))
    }
}

/// Sends a body that is a stream. Aborting does not end the call of a `Request` with one: Deno 2.1 waits for its parts.
async fn send_stream(url: &str, init: &RequestInit) -> Result<HostResponse, JsValue> {
    let response = JsFuture::from(fetch_stream(url, init)?).await?;
    Ok(HostResponse::from(
        response.unchecked_into::<web_sys::Response>(),
    ))
}

/// A client whose TLS runs to the agent through the agent's own tunnel. Its certificate is added to those the runtime
/// trusts, not put in their place; what keeps others out is the name, which the runtime verifies as well.
fn create_client(pin: &Pin) -> Result<HttpClient, TransportError> {
    let cannot_pin = |detail: String| TransportError::new(Fault::CannotPin, detail);
    let deno = GLOBAL.with(Global::deno);
    let deno = deno.filter(|deno| deno.client_maker().is_some());
    let deno = deno.ok_or_else(|| cannot_pin("there is no Deno.createHttpClient".to_owned()))?;
    let options = to_host(&ClientOptions {
        ca_certs: [&pin.certificate],
        proxy: Proxy { url: &pin.proxy },
    })
    .map_err(|error| cannot_pin(error.to_string()))?;
    deno.create_http_client(&options)
        .map_err(|thrown| match js_error(&thrown) {
            unreadable if unreadable.fault == Fault::Tls => unreadable,
            other => cannot_pin(other.detail),
        })
}

/// gloo-net's own builder cannot name a client, so the host's request is described here.
fn request_init(
    request: &Request,
    body: Option<&BodyStream>,
    client: Option<&PinnedClient>,
    abort: &AbortController,
) -> Result<RequestInit, JsValue> {
    let init = RequestInit::new();
    init.set_method(&request.method);
    init.set_headers(&to_host(&request.headers)?);
    init.set_redirect(RequestRedirect::Manual);
    init.set_signal(Some(&abort.signal()));
    if !request.body.is_empty() {
        init.set_body(&Uint8Array::from(request.body.as_slice()));
    }
    if let Some(body) = body {
        init.set_body(&body.inner);
        // Hosts ask for this word beside a stream.
        Reflect::set(&init, &"duplex".into(), &"half".into())?;
    }
    if let Some(client) = client {
        Reflect::set(&init, &"client".into(), &client.0)?;
    }
    Ok(init)
}

impl Transport for Fetch {
    fn send(&self, call: Call) -> LocalFuture<'_, Result<Response, TransportError>> {
        Box::pin(before(call.deadline, async move {
            let (response, _held) = self.start(&call, None).await?;
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
            let (response, held) = self.start(&call, None).await?;
            let body = response
                .body()
                .ok_or_else(|| TransportError::new(Fault::BadBody, "no body to stream"))?;
            let inner = bounded(body, held, longest)?;
            Ok(answer(&response, BodyStream { inner }, call.keep_type))
        }))
    }

    fn pipe(
        &self,
        mut call: Call,
        body: Option<BodyStream>,
        passing: Passing,
    ) -> LocalFuture<'_, Result<Response<Passed>, TransportError>> {
        Box::pin(before(call.deadline, async move {
            let rest = match body {
                Some(body) => match beginning(body.inner).await? {
                    Beginning::Whole(bytes) => {
                        call.request.body = bytes;
                        None
                    }
                    Beginning::Long(stream) => Some(stream),
                },
                None => None,
            };
            let (response, held) = self.start(&call, rest).await?;
            let kind = response.headers().get("content-type");
            let is_events = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
            let request = call.request.body;
            // Whoever reads the answer learns how it broke off, in its own terms where it has some.
            let broken = move |why: Break| {
                let words = is_events.then(|| (passing.last_words)(&request, why));
                match words.flatten() {
                    Some(text) => Ok(Uint8Array::from(text.as_bytes()).into()),
                    None => Err(js_sys::Error::new(why.text()).into()),
                }
            };
            let announced = response.headers().get("content-length");
            let length = announced.and_then(|text| text.parse::<usize>().ok());
            let body = match response.body() {
                None => Passed::Whole(Vec::new()),
                Some(_) if length.is_some_and(|length| length <= ONE_PIECE) => {
                    Passed::Whole(read_body(&response, ONE_PIECE).await?)
                }
                Some(body) => Passed::Stream(BodyStream {
                    inner: piped(body, held, passing, broken)?,
                }),
            };
            let mut passed = Response::new(response.status(), body);
            for name in passing.headers {
                if let Some(value) = response.headers().get(name) {
                    passed.headers.set(name, value);
                }
            }
            Ok(passed)
        }))
    }

    fn resolve<'a>(
        &'a self,
        name: &'a str,
        deadline: Duration,
    ) -> LocalFuture<'a, Result<Option<Vec<IpAddr>>, TransportError>> {
        Box::pin(before(deadline, async move {
            let resolver = GLOBAL.with(Global::deno).and_then(|deno| deno.resolver());
            let Some(resolver) = resolver else {
                return Ok(None);
            };
            let (of_four, of_six) = join(
                lookup(&resolver, name, "A"),
                lookup(&resolver, name, "AAAA"),
            )
            .await;
            match (of_four, of_six) {
                // A name has addresses of one kind, or of both.
                (Ok(four), Ok(six)) => Ok(Some(four.into_iter().chain(six).collect())),
                (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(Some(found)),
                (Err(error), Err(_)) if is_not_found(&error) => {
                    Err(TransportError::new(Fault::Dns, "no such name"))
                }
                // The runtime has the function and does not let it work.
                (Err(_), Err(_)) => Ok(None),
            }
        }))
    }
}

/// The addresses that DNS has for `name`, of one type of record.
async fn lookup(resolver: &js_sys::Function, name: &str, of: &str) -> Result<Vec<IpAddr>, JsValue> {
    let asked = resolver.call2(&JsValue::UNDEFINED, &name.into(), &of.into())?;
    let told = JsFuture::from(js_sys::Promise::from(asked)).await?;
    let texts: Vec<String> = serde_wasm_bindgen::from_value(told)?;
    Ok(texts.iter().filter_map(|text| text.parse().ok()).collect())
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
        (false, _) => &["content-type", "retry-after", "ratelimit-reset"],
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

/// How much of a stream that is too large is read and dropped, in bytes: a caller whose connection is closed while it still
/// sends may never see the answer.
const DROPPED: usize = 1024 * 1024;

/// Reads a stream to its end, or gives none when it holds more than `limit` bytes.
pub async fn read_stream(
    stream: web_sys::ReadableStream,
    limit: usize,
) -> Result<Option<Vec<u8>>, TransportError> {
    let mut chunks = chunks_of(stream)?;
    let mut bytes = Vec::new();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = bytes_of(chunk)?;
        length += chunk.length() as usize;
        if length <= limit {
            bytes.extend(chunk.to_vec());
        } else if length - limit > DROPPED {
            break;
        }
    }
    Ok((length <= limit).then_some(bytes))
}

/// Bodies up to this size are passed on in one piece. The host writes a stream's head and each of its parts by itself, and the
/// kernel holds the second one back until the first is acknowledged: that takes a round trip, or 40 ms.
const ONE_PIECE: usize = 64 * 1024;

/// A body of which as much was read as is sent in one piece.
enum Beginning {
    /// All of it.
    Whole(Vec<u8>),
    /// There is more.
    Long(BodyStream),
}

async fn beginning(stream: web_sys::ReadableStream) -> Result<Beginning, TransportError> {
    let mut chunks = chunks_of(stream)?;
    let mut read = Vec::new();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = bytes_of(chunk)?;
        length += chunk.length() as usize;
        read.push(chunk);
        if length > ONE_PIECE {
            let read = stream::iter(read).map(|chunk| Ok(chunk.into()));
            let inner = ReadableStream::from_stream(read.chain(chunks)).into_raw();
            return Ok(Beginning::Long(BodyStream { inner }));
        }
    }
    let mut whole = Vec::with_capacity(length);
    for chunk in read {
        whole.extend(chunk.to_vec());
    }
    Ok(Beginning::Whole(whole))
}

fn bytes_of(chunk: Result<JsValue, JsValue>) -> Result<Uint8Array, TransportError> {
    let chunk = chunk.map_err(|e| js_error(&e))?;
    chunk
        .dyn_into()
        .map_err(|_| TransportError::new(Fault::BadBody, "a chunk that is not bytes"))
}

/// The chunks of a stream; dropping them cancels it.
fn chunks_of(
    stream: web_sys::ReadableStream,
) -> Result<wasm_streams::readable::IntoStream<'static>, TransportError> {
    ReadableStream::from_raw(stream)
        .try_into_stream()
        .map_err(|(error, _)| js_error(&error))
}

/// The same stream, ended after `longest`. Chunks stay with the host; none is copied to wasm. Who reads then sees its end;
/// while nobody reads, nothing here runs, so a timer of the host ends the call.
fn bounded(
    stream: web_sys::ReadableStream,
    held: Held,
    longest: Duration,
) -> Result<web_sys::ReadableStream, TransportError> {
    let ends = sleep(longest);
    let abort = held.abort.0.clone();
    let milliseconds = u32::try_from(longest.as_millis()).unwrap_or(u32::MAX);
    let end_of_call = Timeout::new(milliseconds, move || abort.abort());
    let chunks = stream::unfold(
        (chunks_of(stream)?, (held, end_of_call)),
        |(mut chunks, held)| async move { Some((chunks.next().await?, (chunks, held))) },
    );
    Ok(ReadableStream::from_stream(chunks.take_until(ends)).into_raw())
}

/// The same stream, until it is silent for too long, breaks, or its time is over. Chunks stay with the host.
fn piped(
    stream: web_sys::ReadableStream,
    held: Held,
    passing: Passing,
    broken: impl Fn(Break) -> Result<JsValue, JsValue> + 'static,
) -> Result<web_sys::ReadableStream, TransportError> {
    let abort = held.abort.0.clone();
    // While nobody reads, nothing below runs.
    let latest = u32::try_from((passing.longest + passing.silence).as_millis());
    let end_of_call = Timeout::new(latest.unwrap_or(u32::MAX), move || abort.abort());
    let state = (
        chunks_of(stream)?,
        sleep(passing.longest),
        held,
        end_of_call,
    );
    let broken = Rc::new(broken);
    let chunks = stream::unfold(Some(state), move |state| {
        let broken = Rc::clone(&broken);
        async move {
            let (mut chunks, mut end, held, end_of_call) = state?;
            let ended = select(sleep(passing.silence), &mut end);
            match select(chunks.next(), ended).await {
                Either::Left((None, _)) => None,
                Either::Left((Some(Err(_)), _)) => Some((broken(Break::Lost), None)),
                Either::Left((Some(chunk), _)) => {
                    Some((chunk, Some((chunks, end, held, end_of_call))))
                }
                Either::Right((Either::Left(_), _)) => Some((broken(Break::Silent), None)),
                Either::Right((Either::Right(_), _)) => {
                    let last = match passing.farewell {
                        Some(text) => Ok(Uint8Array::from(text.as_bytes()).into()),
                        None => broken(Break::Late),
                    };
                    Some((last, None))
                }
            }
        }
    });
    Ok(ReadableStream::from_stream(chunks).into_raw())
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
