//! [`Transport`] and [`Clock`] by the host's `fetch`, timers and `Math.random`.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, select};
use js_sys::{Array, JSON, Math, Object, Promise, Uint8Array};
use serde::Serialize;
use toolbox_domain::retry::Fault;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{AbortController, AbortSignal, ReadableStream};

use crate::json;
use crate::message::{Headers, Request, Response};
use crate::timer::Timer;
use crate::transport::{
    BodyStream, Call, Clock, LocalFuture, Pin, Transport, TransportError, classify,
};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = fetch)]
    fn js_fetch(url: &str, init: &Init) -> Promise;

    type Init;
    #[wasm_bindgen(method, setter)]
    fn set_body(this: &Init, body: &Uint8Array);
    #[wasm_bindgen(method, setter)]
    fn set_signal(this: &Init, signal: &AbortSignal);
    #[wasm_bindgen(method, setter)]
    fn set_client(this: &Init, client: &HttpClient);

    type HttpClient;
    #[wasm_bindgen(method)]
    fn close(this: &HttpClient);

    /// `Deno`, which not every runtime has, and some have in part.
    #[wasm_bindgen(thread_local_v2, js_name = globalThis)]
    static GLOBAL: Global;
    type Global;
    #[wasm_bindgen(method, getter, js_name = Deno)]
    fn deno(this: &Global) -> Option<Deno>;
    type Deno;
    #[wasm_bindgen(method, getter, js_name = createHttpClient)]
    fn client_maker(this: &Deno) -> Option<js_sys::Function>;
    #[wasm_bindgen(method, js_name = createHttpClient, catch)]
    fn create_http_client(this: &Deno, options: &ClientOptions) -> Result<HttpClient, JsValue>;

    type ClientOptions;
    #[wasm_bindgen(method, setter, js_name = caCerts)]
    fn set_ca_certs(this: &ClientOptions, certificates: &Array);
    #[wasm_bindgen(method, setter)]
    fn set_proxy(this: &ClientOptions, proxy: &ProxyOptions);

    type ProxyOptions;
    #[wasm_bindgen(method, setter)]
    fn set_url(this: &ProxyOptions, url: &str);

    type Reader;
    #[wasm_bindgen(method)]
    fn read(this: &Reader) -> Promise;
    #[wasm_bindgen(method)]
    fn cancel(this: &Reader) -> Promise;

    type Chunk;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Chunk) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Chunk) -> Uint8Array;

    type Source;
    #[wasm_bindgen(method, setter)]
    fn set_pull(this: &Source, callback: &JsValue);
    #[wasm_bindgen(method, setter)]
    fn set_cancel(this: &Source, callback: &JsValue);

    type Controller;
    // These throw once the reader has cancelled the stream; there is nothing left to do then.
    #[wasm_bindgen(method, catch)]
    fn enqueue(this: &Controller, chunk: &Uint8Array) -> Result<(), JsValue>;
    #[wasm_bindgen(method, js_name = close, catch)]
    fn end(this: &Controller) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn error(this: &Controller, reason: &JsValue) -> Result<(), JsValue>;
}

/// What `fetch` takes beside host objects. It crosses as one text, because a crossing per name and
/// value costs several times as much.
#[derive(Serialize)]
struct Plain<'a> {
    method: &'a str,
    headers: &'a Headers,
    redirect: &'a str,
}

/// A plain object of the host.
pub fn plain_object(value: &impl Serialize) -> JsValue {
    // Neither fails: types of ours always serialize, and what was serialized is JSON.
    let text = json::to_string(value).unwrap_or_default();
    JSON::parse(&text).unwrap_or_default()
}

/// Clients of pinned agents that are kept, so that connections are reused.
const CLIENTS_KEPT: usize = 32;

/// The host's `fetch`. Redirects are never followed: a machine must not be able to send the
/// control plane, with its keys, somewhere else.
#[derive(Default)]
pub struct Fetch {
    clients: RefCell<Vec<(Pin, Rc<PinnedClient>)>>,
}

struct PinnedClient(HttpClient);

impl Drop for PinnedClient {
    /// Runs when the last call that uses the client has ended.
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Aborts the call when dropped before its end, so that a deadline frees the connection.
struct AbortOnDrop(Option<AbortController>);

impl AbortOnDrop {
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        if let Some(controller) = &self.0 {
            controller.abort();
        }
    }
}

/// What has to live as long as the answer's body.
struct Held {
    abort: AbortOnDrop,
    _client: Option<Rc<PinnedClient>>,
}

fn js_error(error: &JsValue) -> TransportError {
    let message = error
        .dyn_ref::<js_sys::Error>()
        .map(|e| String::from(e.message()));
    classify(message.as_deref().unwrap_or("unknown error"))
}

impl Fetch {
    fn client(&self, pin: &Pin) -> Result<Rc<PinnedClient>, TransportError> {
        let mut clients = self.clients.borrow_mut();
        if let Some(at) = clients.iter().position(|(of, _)| of == pin) {
            // The last used is at the end.
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
        request: &Request,
        pin: Option<&Pin>,
    ) -> Result<(web_sys::Response, Held), TransportError> {
        let init = plain_object(&Plain {
            method: &request.method,
            headers: &request.headers,
            redirect: "manual",
        });
        let init: Init = init.unchecked_into();
        let client = pin.map(|pin| self.client(pin)).transpose()?;
        if let Some(client) = &client {
            init.set_client(&client.0);
        }
        if !request.body.is_empty() {
            init.set_body(&Uint8Array::from(request.body.as_slice()));
        }
        let abort = AbortController::new()
            .map_err(|_| TransportError::new(Fault::Reset, "no AbortController"))?;
        init.set_signal(&abort.signal());
        let held = Held {
            abort: AbortOnDrop(Some(abort)),
            _client: client,
        };
        let response = JsFuture::from(js_fetch(&request.url, &init))
            .await
            .map_err(|e| match js_error(&e) {
                error if pin.is_some() && error.fault == Fault::Dns => TransportError::new(
                    Fault::CannotPin,
                    "the runtime looked for the agent's name instead of using the proxy",
                ),
                error => error,
            })?;
        Ok((response.unchecked_into(), held))
    }
}

/// A client whose TLS runs to the agent through the agent's own tunnel. Its certificate is added to those the runtime
/// trusts, not put in their place; what keeps others out is the name, which the runtime verifies as well.
fn create_client(pin: &Pin) -> Result<HttpClient, TransportError> {
    let deno = GLOBAL.with(Global::deno);
    let deno = deno.filter(|deno| deno.client_maker().is_some());
    let deno = deno.ok_or_else(|| {
        TransportError::new(Fault::CannotPin, "there is no Deno.createHttpClient")
    })?;
    let proxy: ProxyOptions = Object::new().unchecked_into();
    proxy.set_url(&pin.proxy);
    let options: ClientOptions = Object::new().unchecked_into();
    options.set_ca_certs(&Array::of1(&JsValue::from_str(&pin.certificate)));
    options.set_proxy(&proxy);
    deno.create_http_client(&options)
        .map_err(|thrown| match js_error(&thrown) {
            unreadable if unreadable.fault == Fault::Tls => unreadable,
            other => TransportError::new(Fault::CannotPin, other.detail),
        })
}

impl Transport for Fetch {
    fn send(&self, call: Call) -> LocalFuture<'_, Result<Response, TransportError>> {
        Box::pin(before(call.deadline, async move {
            let (response, mut held) = self.start(&call.request, call.pin.as_ref()).await?;
            let body = read_body(&response, call.max_answer).await?;
            held.abort.disarm();
            Ok(answer(&response, body, call.keep_type))
        }))
    }

    fn open(
        &self,
        call: Call,
        longest: Duration,
    ) -> LocalFuture<'_, Result<Response<BodyStream>, TransportError>> {
        Box::pin(before(call.deadline, async move {
            let (response, held) = self.start(&call.request, call.pin.as_ref()).await?;
            let body = response
                .body()
                .ok_or_else(|| TransportError::new(Fault::BadBody, "no body to stream"))?;
            let inner = bounded(&body, held, longest)?;
            Ok(answer(&response, BodyStream { inner }, call.keep_type))
        }))
    }
}

/// Drops `work`, and so aborts its call, when `deadline` passes first.
async fn before<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    match select(Box::pin(work), Timer::after(deadline)).await {
        Either::Left((result, _)) => result,
        Either::Right(_) => Err(TransportError::new(
            Fault::Timeout,
            format!("after {} s", deadline.as_secs()),
        )),
    }
}

fn answer<T>(response: &web_sys::Response, body: T, keep_type: bool) -> Response<T> {
    let mut answer = Response::new(response.status(), body);
    let kept: &[&str] = match (answer.is_success(), keep_type) {
        (true, false) => &[],
        (true, true) => &["content-type"],
        (false, _) => &["content-type", "retry-after"],
    };
    for name in kept {
        if let Some(value) = header(response, name) {
            answer.headers.set(name, value);
        }
    }
    answer
}

fn header(response: &web_sys::Response, name: &str) -> Option<String> {
    response.headers().get(name).ok().flatten()
}

/// Reads at most `limit` bytes. An announced length lets the host read in one go; it removes the
/// header when it decompresses, so a small compressed body cannot become a large one.
async fn read_body(response: &web_sys::Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    let announced = match limit {
        usize::MAX => Some(0),
        _ => header(response, "content-length").and_then(|text| text.parse::<usize>().ok()),
    };
    let too_large = || TransportError::new(Fault::BadBody, "the answer is too large");
    match announced {
        Some(length) if length > limit => Err(too_large()),
        Some(_) => {
            let promise = response.array_buffer().map_err(|e| js_error(&e))?;
            let buffer = JsFuture::from(promise).await.map_err(|e| js_error(&e))?;
            Ok(Uint8Array::new(&buffer).to_vec())
        }
        None => {
            let Some(stream) = response.body() else {
                return Ok(Vec::new());
            };
            read_stream(&stream, limit).await?.ok_or_else(too_large)
        }
    }
}

/// Reads a stream to its end, or gives none (and cancels it) when it holds more than `limit` bytes.
pub async fn read_stream(
    stream: &ReadableStream,
    limit: usize,
) -> Result<Option<Vec<u8>>, TransportError> {
    let reader: Reader = stream.get_reader().unchecked_into();
    let mut bytes = Vec::new();
    loop {
        let chunk = JsFuture::from(reader.read())
            .await
            .map_err(|e| js_error(&e))?;
        let chunk: Chunk = chunk.unchecked_into();
        if chunk.done() {
            return Ok(Some(bytes));
        }
        let value = chunk.value();
        let start = bytes.len();
        let end = start + value.length() as usize;
        if end > limit {
            // Not awaited: the caller has its answer, and the host ends the stream by itself.
            let _ = reader.cancel();
            return Ok(None);
        }
        bytes.resize(end, 0);
        value.copy_to(&mut bytes[start..]);
    }
}

/// The same stream, ended after `longest`. Chunks stay with the host; none is copied to wasm.
fn bounded(
    stream: &ReadableStream,
    held: Held,
    longest: Duration,
) -> Result<ReadableStream, TransportError> {
    let reader = Rc::new(stream.get_reader().unchecked_into::<Reader>());
    let state = Rc::new(RefCell::new(Some((held, Timer::after(longest)))));
    let source: Source = Object::new().unchecked_into();
    let pull = {
        let (reader, state) = (Rc::clone(&reader), Rc::clone(&state));
        Closure::<dyn FnMut(Controller) -> Promise>::new(move |controller: Controller| {
            let (reader, state) = (Rc::clone(&reader), Rc::clone(&state));
            future_to_promise(async move {
                pull_one(&reader, &state, &controller).await;
                Ok(JsValue::UNDEFINED)
            })
        })
    };
    let cancel = Closure::<dyn FnMut()>::new(move || {
        let _ = reader.cancel();
        state.borrow_mut().take();
    });
    source.set_pull(&pull.into_js_value());
    source.set_cancel(&cancel.into_js_value());
    ReadableStream::new_with_underlying_source(&source.unchecked_into::<Object>())
        .map_err(|e| js_error(&e))
}

async fn pull_one(
    reader: &Reader,
    state: &RefCell<Option<(Held, Timer)>>,
    controller: &Controller,
) {
    // Taken out while waiting; `cancel` may run meanwhile and finds nothing to drop.
    let Some((mut held, timer)) = state.borrow_mut().take() else {
        return;
    };
    match select(JsFuture::from(reader.read()), timer).await {
        Either::Left((Ok(chunk), timer)) => {
            let chunk: Chunk = chunk.unchecked_into();
            if chunk.done() {
                held.abort.disarm();
                let _ = controller.end();
            } else if controller.enqueue(&chunk.value()).is_ok() {
                *state.borrow_mut() = Some((held, timer));
            }
        }
        Either::Left((Err(error), _)) => {
            let _ = controller.error(&error);
        }
        Either::Right(_) => {
            let _ = reader.cancel();
            let _ = controller.end();
        }
    }
}

impl Clock for Fetch {
    fn now(&self) -> Duration {
        Duration::from_secs_f64(js_sys::Date::now() / 1000.0)
    }

    fn random(&self) -> f64 {
        Math::random()
    }

    fn sleep(&self, duration: Duration) -> LocalFuture<'_, ()> {
        Box::pin(Timer::after(duration))
    }
}
