//! The boundary itself: one export, `Instance`, and two conversions.
//!
//! A wasm instance is single-threaded and answers many requests at once. A panic traps and leaves
//! it poisoned; the wrapper (`supabase/functions/_shared/serve.ts`) then needs to know whose
//! request it was. So every task carries its request's number, which is noted while the task is
//! polled, and the panic hook tells the wrapper that number before the trap.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::{Either, select};
use js_sys::{Object, Promise, Uint8Array};
use serde::Serialize;
use toolbox_http::fetch::{Fetch, js_error, read_stream, to_host};
use toolbox_http::{BodyStream, BoxFuture, Headers, LocalFuture, Request, TransportError};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise, spawn_local};
use web_sys::{AbortSignal, Crypto, CryptoKey};

use crate::body::{BODY_LIMIT, Incoming, Unread};
use crate::config::Config;
use crate::context::FunctionState;
use crate::entry::{
    READ_HEADERS, READ_HEADERS_OF_MUTATIONS, READ_HEADERS_OF_PIPES, READ_HEADERS_OF_PREFLIGHTS,
    READ_PREFIX_OF_PIPES, Service,
};
use crate::host::{Algorithm, Host, KeyHandle, KeyMaterial, MAX_GREETING, UnusableKey};
use crate::reply::{Body, Reply};
use crate::router::Function;

#[wasm_bindgen]
extern "C" {
    /// What the wrapper gives the instance.
    #[derive(Clone)]
    pub type Wrapper;
    /// The request with this number panics now; the text is for the operator.
    #[wasm_bindgen(method)]
    fn panicked(this: &Wrapper, request: u32, text: &str);
    /// Keeps the worker alive until the promise settles, as long as the platform allows.
    #[wasm_bindgen(method, js_name = waitUntil)]
    fn wait_until(this: &Wrapper, work: &Promise);

    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(line: &str);

    /// `Deno.connect`; fails in a runtime without it.
    #[wasm_bindgen(js_namespace = Deno, js_name = connect, catch)]
    fn connect(options: &JsValue) -> Result<Promise, JsValue>;
    type Connection;
    /// How many bytes were read into the array; null at the end.
    #[wasm_bindgen(method, catch)]
    fn read(this: &Connection, into: &Uint8Array) -> Result<Promise, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &Connection) -> Result<(), JsValue>;

    #[wasm_bindgen(thread_local_v2, js_name = crypto)]
    static CRYPTO: Crypto;

    /// The constructor takes a body of any kind here; web-sys has one for each kind.
    #[wasm_bindgen(js_name = Response)]
    type HostResponse;
    #[wasm_bindgen(constructor, js_class = "Response", catch)]
    fn new(body: &JsValue, init: &JsValue) -> Result<HostResponse, JsValue>;
}

thread_local! {
    static FUNCTION: Cell<Option<&'static Function>> = const { Cell::new(None) };
    /// The function passes bodies on without reading them.
    static PIPES: Cell<bool> = const { Cell::new(false) };
    static WRAPPER: RefCell<Option<Wrapper>> = const { RefCell::new(None) };
    /// Number of the request whose task is being polled; 0 for none.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

/// Names the function this wasm is; its crate calls this from its start export.
pub fn install(function: &'static Function) {
    FUNCTION.set(Some(function));
}

/// The same for a function that passes bodies on without reading them. Its work ends when its caller goes.
pub fn install_pipe(function: &'static Function) {
    install(function);
    PIPES.set(true);
}

/// One instance of a function.
#[wasm_bindgen]
pub struct Instance {
    service: Rc<Service>,
}

#[wasm_bindgen]
impl Instance {
    /// `environment` is an object of variables, read once.
    #[wasm_bindgen(constructor)]
    pub fn new(environment: JsValue, wrapper: Wrapper) -> Result<Instance, JsError> {
        let function = FUNCTION
            .get()
            .ok_or_else(|| JsError::new("no function is installed"))?;
        WRAPPER.set(Some(wrapper.clone()));
        std::panic::set_hook(Box::new(|panic| {
            let text = panic.to_string();
            WRAPPER.with_borrow(|wrapper| {
                if let Some(wrapper) = wrapper {
                    wrapper.panicked(CURRENT.get(), &text);
                }
            });
        }));
        let host = Arc::new(WebHost { wrapper });
        let variables: HashMap<String, String> = serde_wasm_bindgen::from_value(environment)
            .map_err(|_| JsError::new("the environment is not an object of texts"))?;
        let config = Config::read(|name| variables.get(name).cloned());
        let state = config.map(|config| {
            let fetch = Arc::new(Fetch::default());
            let host: Arc<dyn Host> = host.clone();
            Rc::new(FunctionState::new(config, fetch.clone(), fetch, host))
        });
        Ok(Self {
            service: Rc::new(Service {
                function,
                state,
                host,
            }),
        })
    }

    /// Answers a request with a `Response`. `number` is above 0 and unique among the wrapper's.
    pub fn handle(&self, request: web_sys::Request, number: u32) -> Promise {
        let service = Rc::clone(&self.service);
        tagged_promise(number, async move {
            if !PIPES.get() {
                let request = from_js(request)?;
                return to_js(service.respond(request).await);
            }
            let gone = gone(&request.signal());
            let request = from_js(request)?;
            // What is dropped here aborts its call.
            match select(Box::pin(service.respond(request)), gone).await {
                Either::Left((reply, _)) => to_js(reply),
                Either::Right(_) => Err(JsError::new("the caller has gone").into()),
            }
        })
    }

    /// The route table as JSON.
    pub fn routes(&self) -> String {
        self.service.function.routes_json()
    }

    /// Number of the request whose task is being polled, or was when the instance trapped.
    pub fn current(&self) -> u32 {
        CURRENT.get()
    }

    /// After a trap the queue of ready tasks is not run until something new is queued; this does.
    pub fn nudge(&self) {
        spawn_local(async {});
    }
}

/// A task that says whose it is while it is polled.
struct Tagged<F> {
    number: u32,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Tagged<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        CURRENT.set(self.number);
        let result = self.work.as_mut().poll(context);
        CURRENT.set(0);
        result
    }
}

fn tagged_promise(
    number: u32,
    work: impl Future<Output = Result<JsValue, JsValue>> + 'static,
) -> Promise {
    future_to_promise(Tagged {
        number,
        work: Box::pin(work),
    })
}

/// Ends when the caller goes.
fn gone(signal: &AbortSignal) -> JsFuture {
    JsFuture::from(Promise::new(&mut |resolve, _| {
        signal.set_onabort(Some(&resolve));
    }))
}

/// Copies the headers of the protocol that is passed on.
fn copy_of_pipes(given: &web_sys::Headers, headers: &mut Headers) -> Result<(), JsValue> {
    for entry in given.entries() {
        let entry: js_sys::Array = entry?.unchecked_into();
        let (Some(name), Some(value)) = (entry.get(0).as_string(), entry.get(1).as_string()) else {
            continue;
        };
        if READ_HEADERS_OF_PIPES.contains(&&*name) || name.starts_with(READ_PREFIX_OF_PIPES) {
            headers.set_named(name, value);
        }
    }
    Ok(())
}

fn from_js(request: web_sys::Request) -> Result<Request<Unread>, JsValue> {
    let given = request.headers();
    let method = request.method();
    let mut headers = Headers::default();
    let has_body = !matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS");
    let mut copy = |name: &'static str| -> Result<(), JsValue> {
        if let Some(value) = given.get(name)? {
            headers.set(name, value);
        }
        Ok(())
    };
    for name in READ_HEADERS {
        copy(name)?;
    }
    if has_body {
        for name in READ_HEADERS_OF_MUTATIONS {
            copy(name)?;
        }
    }
    if method == "OPTIONS" {
        for name in READ_HEADERS_OF_PREFLIGHTS {
            copy(name)?;
        }
    }
    if headers.get("authorization").is_none()
        && let Some(key) = given.get("apikey")?
    {
        headers.set("apikey", key);
    }
    if PIPES.get() {
        copy_of_pipes(&given, &mut headers)?;
    }
    let url = request.url();
    let body: Unread = if PIPES.get() {
        let incoming = match request.body().filter(|_| has_body) {
            Some(stream) => Incoming::Stream(BodyStream::of_js(stream)),
            None => Incoming::Complete(Vec::new()),
        };
        Box::pin(std::future::ready(incoming))
    } else if has_body {
        Box::pin(async move { read_body(&request).await.unwrap_or(Incoming::Broken) })
    } else {
        Box::pin(std::future::ready(Incoming::Complete(Vec::new())))
    };
    Ok(Request {
        method,
        url,
        headers,
        body,
    })
}

/// Counted while it comes, so that dropping this ends it.
async fn read_body(request: &web_sys::Request) -> Result<Incoming, JsValue> {
    let announced = request.headers().get("content-length")?;
    if announced
        .and_then(|text| text.parse::<usize>().ok())
        .is_some_and(|length| length > BODY_LIMIT)
    {
        return Ok(Incoming::TooLarge);
    }
    let Some(stream) = request.body() else {
        return Ok(Incoming::Complete(Vec::new()));
    };
    Ok(match read_stream(stream, BODY_LIMIT).await {
        Ok(Some(bytes)) => Incoming::Complete(bytes),
        Ok(None) => Incoming::TooLarge,
        Err(_) => Incoming::Broken,
    })
}

/// What `Response` takes beside the body.
#[derive(Serialize)]
struct ResponseInit<'a> {
    status: u16,
    headers: &'a Headers,
}

fn to_js(reply: Reply) -> Result<JsValue, JsValue> {
    let init = to_host(&ResponseInit {
        status: reply.status,
        headers: &reply.headers,
    })?;
    let body = match reply.body {
        Body::Empty => JsValue::NULL,
        Body::Bytes(bytes) => Uint8Array::from(bytes.as_slice()).into(),
        Body::Stream(stream) => stream.into_js().into(),
    };
    HostResponse::new(&body, &init).map(JsValue::from)
}

/// [`Host`] by WebCrypto and the wrapper.
struct WebHost {
    wrapper: Wrapper,
}

/// A key that WebCrypto has read, with the algorithm it is for.
struct ImportedKey {
    algorithm: Object,
    key: CryptoKey,
}

/// A connection that is being made or is there. It is closed when this is dropped, also if it is only there later.
struct Dialed(Promise);

impl Drop for Dialed {
    fn drop(&mut self) {
        let connection = JsFuture::from(self.0.clone());
        spawn_local(async move {
            if let Ok(connection) = connection.await {
                // It may be closed already.
                let _ = connection.unchecked_into::<Connection>().close();
            }
        });
    }
}

/// What `Deno.connect` takes.
#[derive(Serialize)]
struct ConnectOptions {
    hostname: String,
    port: u16,
}

/// Connects, reads what the other side says first where that is wanted, and hangs up.
async fn dial(address: SocketAddr, greets: bool) -> Result<Vec<u8>, JsValue> {
    let options = ConnectOptions {
        hostname: address.ip().to_string(),
        port: address.port(),
    };
    let dialed = Dialed(connect(&to_host(&options)?)?);
    let connection: Connection = JsFuture::from(dialed.0.clone()).await?.unchecked_into();
    if !greets {
        return Ok(Vec::new());
    }
    let array = Uint8Array::new_with_length(u32::try_from(MAX_GREETING).unwrap_or_default());
    JsFuture::from(connection.read(&array)?).await?;
    let mut greeting = array.to_vec();
    // A greeting is text, and what was not read is zeros.
    let end = greeting.iter().position(|byte| *byte == 0);
    greeting.truncate(end.unwrap_or(MAX_GREETING));
    Ok(greeting)
}

/// What WebCrypto takes for an algorithm.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AlgorithmOptions {
    name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    named_curve: Option<&'static str>,
    hash: &'static str,
}

/// A public key as WebCrypto takes it.
#[derive(Serialize)]
#[serde(tag = "kty")]
enum PublicKey<'a> {
    #[serde(rename = "EC")]
    Ec {
        crv: &'static str,
        x: &'a str,
        y: &'a str,
    },
    #[serde(rename = "RSA")]
    Rsa { n: &'a str, e: &'a str },
}

fn algorithm_options(algorithm: Algorithm) -> AlgorithmOptions {
    let (name, named_curve) = match algorithm {
        Algorithm::Es256 => ("ECDSA", Some("P-256")),
        Algorithm::Rs256 => ("RSASSA-PKCS1-v1_5", None),
        Algorithm::Hs256 => ("HMAC", None),
    };
    AlgorithmOptions {
        name,
        named_curve,
        hash: "SHA-256",
    }
}

async fn import(key: KeyMaterial) -> Result<ImportedKey, JsValue> {
    let algorithm: Object = to_host(&algorithm_options(key.algorithm()))?.unchecked_into();
    let (format, material) = match &key {
        KeyMaterial::Es256 { x, y } => {
            let crv = "P-256";
            ("jwk", to_host(&PublicKey::Ec { crv, x, y })?)
        }
        KeyMaterial::Rs256 { n, e } => ("jwk", to_host(&PublicKey::Rsa { n, e })?),
        KeyMaterial::Hs256 { secret } => ("raw", Uint8Array::from(secret.as_slice()).into()),
    };
    let imported = CRYPTO.with(Crypto::subtle).import_key_with_object(
        format,
        material.unchecked_ref(),
        &algorithm,
        false,
        &to_host(&["verify"])?,
    )?;
    let key = JsFuture::from(imported).await?.unchecked_into();
    Ok(ImportedKey { algorithm, key })
}

async fn verify(key: &ImportedKey, message: &[u8], signature: &[u8]) -> Result<bool, JsValue> {
    let verdict = CRYPTO
        .with(Crypto::subtle)
        .verify_with_object_and_js_u8_array_and_js_u8_array(
            &key.algorithm,
            &key.key,
            &Uint8Array::from(signature),
            &Uint8Array::from(message),
        )?;
    Ok(JsFuture::from(verdict).await?.is_truthy())
}

impl Host for WebHost {
    fn import_key(&self, key: &KeyMaterial) -> LocalFuture<'_, Result<KeyHandle, UnusableKey>> {
        let key = key.clone();
        Box::pin(async move {
            let imported = import(key).await.map_err(|_| UnusableKey)?;
            let handle: KeyHandle = Rc::new(imported);
            Ok(handle)
        })
    }

    fn verify<'a>(
        &'a self,
        _algorithm: Algorithm,
        key: &'a KeyHandle,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> LocalFuture<'a, bool> {
        Box::pin(async move {
            // The key was imported for one algorithm; its own is used.
            match key.downcast_ref::<ImportedKey>() {
                Some(key) => verify(key, message, signature).await.unwrap_or(false),
                None => false,
            }
        })
    }

    fn random_bytes(&self) -> [u8; 16] {
        let array = Uint8Array::new_with_length(16);
        // Never fails: it refuses only more than 64 KiB at once.
        let _ = CRYPTO.with(|crypto| crypto.get_random_values_with_js_u8_array(&array));
        let mut bytes = [0; 16];
        array.copy_to(&mut bytes);
        bytes
    }

    fn background(&self, work: BoxFuture<'static, ()>) {
        let promise = tagged_promise(CURRENT.get(), async move {
            work.await;
            Ok(JsValue::UNDEFINED)
        });
        self.wrapper.wait_until(&promise);
    }

    fn dial(
        &self,
        address: SocketAddr,
        greets: bool,
    ) -> LocalFuture<'_, Result<Vec<u8>, TransportError>> {
        Box::pin(async move { dial(address, greets).await.map_err(|e| js_error(&e)) })
    }

    fn log_error(&self, line: &str) {
        console_error(line);
    }
}
