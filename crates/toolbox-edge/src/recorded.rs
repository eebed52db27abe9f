//! A host for native tests: signatures are a fixed text, background work is kept until asked for. And a whole function on it, also
//! with a scripted database.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_http::recorded::{JumpingClock, Recorded, lock, run};
use toolbox_http::{BoxFuture, Headers, LocalFuture, Request, Response, TransportError};

use crate::body::{Incoming, Unread};
use crate::config::Config;
use crate::context::FunctionState;
use crate::entry::Service;
use crate::host::{Algorithm, Host, KeyHandle, KeyMaterial, UnusableKey};
use crate::reply::Body;
use crate::router;

/// Checks that the OpenAPI document of `function` has its routes and no others.
///
/// # Panics
/// When it has not.
pub fn assert_published(function: &router::Function, document: &str) {
    let document: Value = serde_json::from_str(document).unwrap_or_default();
    let mut published = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in item.as_object().into_iter().flat_map(|item| item.keys()) {
            published.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routes = function.routes.iter();
    let mut routes: Vec<_> = routes.map(|r| format!("{} {}", r.method, r.path)).collect();
    published.sort();
    routes.sort();
    assert_eq!(published, routes);
}

/// Checks that the OpenAPI document of `function` says that this request may be answered so.
///
/// # Panics
/// When it does not.
pub fn assert_documented(
    function: &router::Function,
    document: &Value,
    method: &str,
    path: &str,
    seen: &Seen,
) {
    let path = path.split('?').next().unwrap_or_default();
    let Ok(found) = function.find(method, &format!("/{}{path}", function.name)) else {
        return;
    };
    let route = found.route;
    let operation = &document["paths"][route.path][method.to_lowercase()];
    let answer = &operation["responses"][seen.status.to_string()];
    let told = answer["description"].as_str().unwrap_or_default();
    let is_code_told = seen.code().is_empty() || told.contains(&format!("`{}`", seen.code()));
    assert!(
        answer.is_object() && is_code_told,
        "{method} {} may be answered {} {}, which its document does not say",
        route.path,
        seen.status,
        seen.code()
    );
}

/// The root secret of the toolboxes' keys.
pub const ROOT: &str = "0123456789abcdef0123456789abcdef";

/// A signature this host takes for that of any key of the algorithm it names.
pub const fn signature(algorithm: Algorithm) -> &'static [u8] {
    match algorithm {
        Algorithm::Es256 => b"signed-es256",
        Algorithm::Rs256 => b"signed-rs256",
        Algorithm::Hs256 => b"signed-hs256",
    }
}

/// A token of `user` that this host takes for signed, good until `expires`, in seconds since the epoch.
pub fn user_token(user: &str, expires: u64) -> String {
    signed(
        &json!({"iss": "http://supabase/auth/v1", "aud": "authenticated",
        "role": "authenticated", "sub": user, "exp": expires}),
    )
}

/// The same of somebody of whom the project says `app`, and who says `user` of themself.
pub fn described_token(id: &str, app: &Value, user: &Value, expires: u64) -> String {
    signed(
        &json!({"iss": "http://supabase/auth/v1", "aud": "authenticated", "role": "authenticated",
        "sub": id, "exp": expires, "app_metadata": app, "user_metadata": user}),
    )
}

/// The same of a program that acts for the user.
pub fn program_token(user: &str, client: &str, expires: u64) -> String {
    signed(
        &json!({"iss": "http://supabase/auth/v1", "aud": "authenticated",
        "role": "authenticated", "sub": user, "exp": expires, "client_id": client}),
    )
}

fn signed(claims: &Value) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!(
        "{}.{}.{}",
        part(br#"{"alg":"HS256"}"#),
        part(claims.to_string().as_bytes()),
        part(signature(Algorithm::Hs256))
    )
}

/// See the module.
#[derive(Default)]
pub struct RecordedHost {
    counter: AtomicU8,
    background: Mutex<Vec<BoxFuture<'static, ()>>>,
    log: Mutex<Vec<String>>,
    checks: AtomicUsize,
    listeners: Mutex<HashMap<u16, Vec<u8>>>,
    dialed: Mutex<Vec<SocketAddr>>,
}

impl RecordedHost {
    /// Runs the work that was put off, and what it puts off in turn; says how many there were.
    pub fn run_background(&self) -> usize {
        let mut done = 0;
        loop {
            let work = lock(&self.background).pop();
            let Some(work) = work else {
                return done;
            };
            run(work);
            done += 1;
        }
    }

    /// The operator's log.
    pub fn log(&self) -> String {
        lock(&self.log).join("\n")
    }

    /// Something listens at this port from now on, and says this first.
    pub fn listen(&self, port: u16, greeting: &[u8]) {
        lock(&self.listeners).insert(port, greeting.to_vec());
    }

    /// Where it was connected to, in order.
    pub fn dialed(&self) -> Vec<SocketAddr> {
        lock(&self.dialed).clone()
    }

    /// How many signatures were checked.
    pub fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }
}

impl Host for RecordedHost {
    fn import_key(&self, key: &KeyMaterial) -> LocalFuture<'_, Result<KeyHandle, UnusableKey>> {
        let handle: KeyHandle = Rc::new(key.clone());
        Box::pin(std::future::ready(Ok(handle)))
    }

    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a KeyHandle,
        _message: &'a [u8],
        given: &'a [u8],
    ) -> LocalFuture<'a, bool> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        let fits = key
            .downcast_ref::<KeyMaterial>()
            .is_some_and(|k| k.algorithm() == algorithm);
        Box::pin(std::future::ready(fits && given == signature(algorithm)))
    }

    fn random_bytes(&self) -> [u8; 16] {
        [self.counter.fetch_add(1, Ordering::Relaxed).wrapping_add(1); 16]
    }

    fn background(&self, work: BoxFuture<'static, ()>) {
        lock(&self.background).push(work);
    }

    fn dial(
        &self,
        address: SocketAddr,
        greets: bool,
    ) -> LocalFuture<'_, Result<Vec<u8>, TransportError>> {
        lock(&self.dialed).push(address);
        let greeting = lock(&self.listeners).get(&address.port()).cloned();
        let answer = greeting
            .map(|greeting| if greets { greeting } else { Vec::new() })
            .ok_or_else(|| TransportError::new(Fault::Refused, "recorded"));
        Box::pin(std::future::ready(answer))
    }

    fn log_error(&self, line: &str) {
        lock(&self.log).push(line.to_owned());
    }
}

const NOW: u64 = 1_767_225_600; // 2026-01-01T00:00:00Z

/// A function whose callers are no users, over a scripted database. What it answers is held against its OpenAPI document.
pub struct Scripted {
    /// The function.
    pub function: Function,
    /// What it sends.
    pub transport: Arc<Recorded>,
    of: &'static router::Function,
    document: Value,
    answers: Script,
}

type Answer = Result<Response, TransportError>;
type Script = Arc<Mutex<Vec<(&'static str, Answer)>>>;

impl Scripted {
    /// `function` with its OpenAPI `document`; `variables` come first.
    ///
    /// # Panics
    /// When the configuration or the document is not accepted.
    #[allow(clippy::panic, reason = "a mistake of the test")]
    pub fn new(
        function: &'static router::Function,
        document: &str,
        variables: &[(&str, &str)],
    ) -> Self {
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
        let answers = Script::default();
        let script = Arc::clone(&answers);
        transport.on(move |request| {
            let name = request.url.strip_prefix("http://supabase/rest/v1/rpc/")?;
            let mut script = lock(&script);
            let at = script.iter().position(|(of, _)| *of == name)?;
            // The last answer to a function stays.
            let is_last = script[at + 1..].iter().all(|(of, _)| *of != name);
            Some(if is_last {
                script[at].1.clone()
            } else {
                script.remove(at).1
            })
        });
        Self {
            function: Function::new(function, variables, Arc::clone(&transport), clock),
            transport,
            of: function,
            document: serde_json::from_str(document).unwrap_or_else(|error| panic!("{error}")),
            answers,
        }
    }

    /// What it runs on.
    pub fn host(&self) -> &RecordedHost {
        &self.function.host
    }

    /// The database's next answer to this function; the last one stays.
    pub fn on(&self, function: &'static str, body: &Value) -> &Self {
        self.on_raw(
            function,
            Ok(Response::new(200, body.to_string().into_bytes())),
        )
    }

    /// The same with any answer.
    pub fn on_raw(&self, function: &'static str, answer: Answer) -> &Self {
        lock(&self.answers).push((function, answer));
        self
    }

    /// A request that presents `bearer`.
    pub fn ask(&self, method: &str, path: &str, bearer: &str, body: &str) -> Seen {
        let mut headers = Headers::default();
        headers.set("authorization", format!("Bearer {bearer}"));
        headers.set("content-type", "application/json");
        headers.set("x-request-id", "req-1");
        let body = Incoming::Complete(body.as_bytes().to_vec());
        self.ask_with(method, path, headers, body)
    }

    /// Any request.
    pub fn ask_with(&self, method: &str, path: &str, headers: Headers, body: Incoming) -> Seen {
        let seen = self.function.ask_with(method, path, headers, body);
        assert_documented(self.of, &self.document, method, path, &seen);
        seen
    }

    /// Arguments of the calls to a function of the database.
    pub fn asked(&self, function: &str) -> Vec<Value> {
        let calls = self.transport.sent();
        let calls = calls
            .iter()
            .filter(|call| call.request.url.ends_with(function));
        let body = |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap_or_default();
        calls
            .map(|call| body(&call.request.body)["p"].clone())
            .collect()
    }

    /// Checks that nothing of a secret is in the operator's log.
    ///
    /// # Panics
    /// When something is.
    pub fn assert_log_is_clean(&self) {
        let log = self.host().log();
        for secret in ["CANARY", "c0ffee", "tbk_", "tbe_", "SECRET"] {
            assert!(!log.contains(secret), "{log}");
        }
    }
}

/// A function as its callers see it, with recorded answers behind it.
pub struct Function {
    service: Service,
    /// What it runs on.
    pub host: Arc<RecordedHost>,
}

/// An answer as its caller reads it.
#[derive(Debug)]
pub struct Seen {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Headers,
    /// The body.
    pub text: String,
    /// The same as JSON; null when it is none.
    pub body: Value,
}

impl Seen {
    /// The error code; empty for a success.
    pub fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    /// Status and error code.
    pub fn refusal(&self) -> (u16, &str) {
        (self.status, self.code())
    }
}

impl Function {
    /// `function` with the project `http://supabase` and the root secret [`ROOT`]; `variables` come first.
    ///
    /// # Panics
    /// When the configuration is not accepted.
    #[allow(clippy::panic, reason = "a mistake of the test")]
    pub fn new(
        function: &'static router::Function,
        variables: &[(&str, &str)],
        transport: Arc<Recorded>,
        clock: Arc<JumpingClock>,
    ) -> Self {
        let defaults = [
            ("SUPABASE_URL", "http://supabase"),
            (
                "SUPABASE_PUBLISHABLE_KEYS",
                r#"{"default":"sb_publishable_x"}"#,
            ),
            ("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_x"}"#),
            ("BACKEND_TO_DTMA_API_KEY", ROOT),
        ];
        let config = Config::read(|name| {
            let mut all = variables.iter().chain(&defaults);
            all.find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned())
        });
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let host = Arc::new(RecordedHost::default());
        let state = FunctionState::new(config, transport, clock, Arc::clone(&host) as _);
        let service = Service {
            function,
            state: Ok(Rc::new(state)),
            host: Arc::clone(&host) as _,
        };
        Self { service, host }
    }

    /// A request with a whole body.
    pub fn ask(&self, method: &str, path: &str, headers: Headers, body: &[u8]) -> Seen {
        self.ask_with(method, path, headers, Incoming::Complete(body.to_vec()))
    }

    /// A request with any body.
    pub fn ask_with(&self, method: &str, path: &str, headers: Headers, body: Incoming) -> Seen {
        self.ask_unread(method, path, headers, Box::pin(std::future::ready(body)))
    }

    /// A request with a body that arrives when it is read.
    pub fn ask_unread(&self, method: &str, path: &str, headers: Headers, body: Unread) -> Seen {
        let request = Request {
            method: method.to_owned(),
            url: format!("http://f/{}{path}", self.service.function.name),
            headers,
            body,
        };
        let reply = run(self.service.respond(request));
        let bytes = match reply.body {
            Body::Bytes(bytes) => bytes,
            Body::Stream(stream) => stream.into_bytes(),
            Body::Empty => Vec::new(),
        };
        Seen {
            status: reply.status,
            headers: reply.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }
}
