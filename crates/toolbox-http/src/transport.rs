//! What the control plane needs from the host to call HTTP, and what a call is.

use std::fmt;
use std::future::{Future, ready};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

#[cfg(not(target_arch = "wasm32"))]
use bytes::Bytes;
use futures_util::future::{Either, select};
#[cfg(not(target_arch = "wasm32"))]
use futures_util::{Stream, StreamExt};
use toolbox_domain::retry::Fault;

use crate::message::{Request, Response};

/// A boxed future that stays on this thread.
pub type LocalFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + 'a>>;

/// A boxed future of a call, a pause or a use case. On native targets it may move between threads, so that the
/// handlers of a server such as axum can await it. The host's values in wasm cannot move.
#[cfg(not(target_arch = "wasm32"))]
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A boxed future of a call, a pause or a use case.
#[cfg(target_arch = "wasm32")]
pub type BoxFuture<'a, T> = LocalFuture<'a, T>;

/// What threads of a native program can share. In wasm, which has one thread, everything is.
#[cfg(not(target_arch = "wasm32"))]
pub trait ThreadSafe: Send + Sync {}
#[cfg(not(target_arch = "wasm32"))]
impl<T: Send + Sync + ?Sized> ThreadSafe for T {}
/// What threads of a native program can share. In wasm, which has one thread, everything is.
#[cfg(target_arch = "wasm32")]
pub trait ThreadSafe {}
#[cfg(target_arch = "wasm32")]
impl<T: ?Sized> ThreadSafe for T {}

/// Largest answer kept in memory unless a call says otherwise, in bytes.
pub const DEFAULT_MAX_ANSWER: usize = 8 * 1024 * 1024;

/// One request with what bounds it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request.
    pub request: Request,
    /// From the call to the last byte of the answer; to its headers for a stream.
    pub deadline: Duration,
    /// Whose certificate alone is accepted, for `https` to an agent.
    pub pin: Option<Pin>,
    /// Larger answers are refused as [`Fault::BadBody`], in bytes.
    pub max_answer: usize,
    /// Keep the `content-type` of a success too.
    pub keep_type: bool,
}

/// An agent that is known by its certificate. Its URL has the name that only this certificate carries
/// ([`toolbox_domain::names::agent_host`]); where it answers is said here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The enrolled certificate, PEM.
    pub certificate: Arc<str>,
    /// The agent as the HTTP proxy of its own name: `http://` with its IP address and port. The proxy sees one
    /// `CONNECT` with the name; TLS with the agent runs inside the tunnel.
    pub proxy: Arc<str>,
}

impl Call {
    /// A call to whoever the public authorities vouch for.
    pub fn new(request: Request, deadline: Duration) -> Self {
        Self {
            request,
            deadline,
            pin: None,
            max_answer: DEFAULT_MAX_ANSWER,
            keep_type: false,
        }
    }

    /// A pin counts with TLS only: a call with one is not sent over plain HTTP.
    #[cfg_attr(
        not(target_arch = "wasm32"),
        allow(dead_code, reason = "used by the transports")
    )]
    pub(crate) fn check_pin(&self) -> Result<(), TransportError> {
        if self.pin.is_some() && !self.request.url.starts_with("https://") {
            let detail = "an agent with a certificate is called over https only";
            return Err(TransportError::new(Fault::CannotPin, detail));
        }
        Ok(())
    }
}

/// Sends calls. Of a refusal's headers only `content-type`, `retry-after` and `ratelimit-reset` are kept, natively `date` too,
/// of a success' none ([`Call::keep_type`]): each header read costs a crossing into the host.
pub trait Transport: ThreadSafe {
    /// Sends, and reads the whole answer. Any HTTP status is an answer.
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response, TransportError>>;

    /// Sends, and hands the answer's body on as a stream that ends after `longest`. Its connection ends then too, also
    /// while nobody reads.
    fn open(
        &self,
        call: Call,
        longest: Duration,
    ) -> BoxFuture<'_, Result<Response<BodyStream>, TransportError>>;

    /// Sends with a body that is passed on as it comes, and hands the answer's body on, either in one piece where it is short.
    /// Nothing is understood here. A host that is never asked to says so.
    fn pipe(
        &self,
        call: Call,
        body: Option<BodyStream>,
        passing: Passing,
    ) -> BoxFuture<'_, Result<Response<Passed>, TransportError>> {
        let _ = (call, body, passing);
        let cannot = TransportError::new(Fault::BadBody, "this host passes no bodies on");
        Box::pin(ready(Err(cannot)))
    }

    /// The addresses of a name; none where the host has no way to ask.
    fn resolve<'a>(
        &'a self,
        name: &'a str,
        deadline: Duration,
    ) -> BoxFuture<'a, Result<Option<Vec<IpAddr>>, TransportError>> {
        let _ = (name, deadline);
        Box::pin(ready(Ok(None)))
    }
}

/// How an answer is passed on. [`Call::deadline`] is the time to its head.
#[derive(Clone, Copy, Debug)]
pub struct Passing {
    /// The headers of the answer that are kept.
    pub headers: &'static [&'static str],
    /// An answer that is silent for so long breaks off with an error.
    pub silence: Duration,
    /// An answer ends after so long.
    pub longest: Duration,
    /// What an answer that ends so says last; without it, it breaks off.
    pub farewell: Option<&'static str>,
    /// What a stream of events says last where it breaks off, made of the request's body, which is empty where it was long,
    /// and of why. Where it makes nothing, the stream ends with an error.
    pub last_words: fn(&[u8], Break) -> Option<String>,
}

/// Why an answer that had begun breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It was silent for too long.
    Silent,
    /// It takes too long.
    Late,
    /// The connection broke.
    Lost,
}

impl Break {
    /// For whoever reads the error.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Silent => "the machine has fallen silent",
            Self::Late => "the answer takes longer than it may",
            Self::Lost => "the connection to the machine broke",
        }
    }
}

/// Time and chance, so that tests can simulate both.
pub trait Clock: ThreadSafe {
    /// Time since the Unix epoch.
    fn now(&self) -> Duration;
    /// A number in `[0, 1)`.
    fn random(&self) -> f64;
    /// Completes after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// The result of `work`; none when it takes longer than `limit`. What it waits for then is given up.
pub async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let work = std::pin::pin!(work);
    match select(work, clock.sleep(limit)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

/// A body that is passed on without being read here.
pub struct BodyStream {
    #[cfg(target_arch = "wasm32")]
    pub(crate) inner: web_sys::ReadableStream,
    #[cfg(not(target_arch = "wasm32"))]
    inner: Chunks,
}

/// The parts of a body as they come.
#[cfg(not(target_arch = "wasm32"))]
pub type Chunks = std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

#[cfg(target_arch = "wasm32")]
impl BodyStream {
    /// The host's stream.
    pub fn into_js(self) -> web_sys::ReadableStream {
        self.inner
    }

    /// A body of the host.
    pub fn of_js(inner: web_sys::ReadableStream) -> Self {
        Self { inner }
    }

    /// Reads it to its end; an error when it is longer than `limit` bytes.
    pub async fn read(self, limit: usize) -> Result<Vec<u8>, TransportError> {
        crate::fetch::read_stream(self.inner, limit)
            .await?
            .ok_or_else(|| TransportError::new(Fault::BadBody, "the answer is too large"))
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl BodyStream {
    /// A body of these parts.
    pub fn new(chunks: impl Stream<Item = Result<Bytes, TransportError>> + Send + 'static) -> Self {
        let inner = Box::pin(chunks);
        Self { inner }
    }

    /// The parts.
    pub fn into_chunks(self) -> Chunks {
        self.inner
    }

    /// Reads it to its end; an error when it is longer than `limit` bytes.
    pub async fn read(mut self, limit: usize) -> Result<Vec<u8>, TransportError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.inner.next().await {
            bytes.extend_from_slice(&chunk?);
            if bytes.len() > limit {
                let detail = "the answer is too large";
                return Err(TransportError::new(Fault::BadBody, detail));
            }
        }
        Ok(bytes)
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyStream")
    }
}

/// The body of an answer that is passed on.
#[derive(Debug)]
pub enum Passed {
    /// All of it, or nothing.
    Whole(Vec<u8>),
    /// As it comes.
    Stream(BodyStream),
}

impl Passed {
    /// Reads it to its end; an error when it is longer than `limit` bytes.
    pub async fn read(self, limit: usize) -> Result<Vec<u8>, TransportError> {
        match self {
            Self::Whole(bytes) => Ok(bytes),
            Self::Stream(stream) => stream.read(limit).await,
        }
    }
}

/// A call that got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} ({detail})", fault_text(self.fault))]
pub struct TransportError {
    /// What kind of failure it is.
    pub fault: Fault,
    /// What the host said, without the address; for the operator only.
    pub detail: String,
}

impl TransportError {
    /// A failure of `fault`, described by the host as `detail`.
    pub fn new(fault: Fault, detail: impl Into<String>) -> Self {
        Self {
            fault,
            detail: detail.into(),
        }
    }

    /// The request certainly did not reach its receiver, so nothing was changed by it.
    pub fn never_arrived(&self) -> bool {
        matches!(
            self.fault,
            Fault::Refused | Fault::Dns | Fault::Tls | Fault::CannotPin
        )
    }
}

const fn fault_text(fault: Fault) -> &'static str {
    match fault {
        Fault::Refused => "connection refused",
        Fault::Reset => "connection lost",
        Fault::Timeout => "no answer before the deadline",
        Fault::Status(_) => "unexpected status",
        Fault::BadBody => "unreadable answer",
        Fault::Tls => "certificate or TLS failure",
        Fault::Dns => "name not found",
        Fault::CannotPin => "no way to verify a pinned certificate",
    }
}

/// Classifies the text of the host's network error. Deno's `fetch` and reqwest both stand on hyper-util, so their texts
/// are alike, and they give no codes for most errors. So this one function reads texts; it drops the part that holds the address first, because that
/// may contain anything.
///
/// Only what fails while connecting is known not to have arrived. The same words on a connection
/// that was open, such as rustls' "peer closed connection without sending TLS `close_notify`",
/// are a connection lost, after the request may have been read.
#[cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "used by the transports and by tests")
)]
pub(crate) fn classify(message: &str) -> TransportError {
    // "error sending request for url (http://…): client error (Connect): tcp connect error: …"
    let cause = message.find("client error (").map_or_else(
        || {
            message
                .rsplit_once("): ")
                .map_or(message, |(_, cause)| cause)
        },
        |at| &message[at..],
    );
    let has = |needle: &str| cause.contains(needle);
    let connecting = cause.starts_with("client error (Connect)");
    // A handshake or a tunnel that ends was with a program that died meanwhile: it showed no certificate and got no
    // request.
    let fault = if connecting
        && (has("onnection refused")
            || has("unreachable")
            || has("No route to host")
            || has("eof")
            || has("unexpected end of file")
            || has("io error establishing tunnel"))
    {
        Fault::Refused
    } else if connecting && (has("dns error") || has("failed to lookup")) {
        Fault::Dns
    } else if has("invalid peer certificate")
        // What answers at the agent's address is not this agent, or one from before there was the tunnel.
        || connecting && (has("certificate") || has("tls") || has("unsuccessful") && has("tunnel"))
    {
        Fault::Tls
    } else if has("timed out") {
        Fault::Timeout
    } else if has("parsed") || has("invalid HTTP") || has("decod") {
        Fault::BadBody
    } else {
        Fault::Reset
    };
    TransportError::new(fault, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deno_texts_are_classified() {
        let cases = [
            (
                "error sending request for url (http://127.0.0.1:9/x): client error (Connect): tcp \
                 connect error: Connection refused (os error 111)",
                Fault::Refused,
            ),
            (
                "error sending request from 127.0.0.1:45388 for http://127.0.0.1:9333/ \
                 (127.0.0.1:9333): client error (SendRequest): connection closed before message \
                 completed",
                Fault::Reset,
            ),
            ("error reading a body from connection", Fault::Reset),
            (
                "error sending request from 127.0.0.1:1 for http://127.0.0.1:9335/ \
                 (127.0.0.1:9335): client error (SendRequest): invalid HTTP version parsed",
                Fault::BadBody,
            ),
            (
                "error sending request for url (http://nosuch.invalid/): client error (Connect): \
                 dns error: failed to lookup address information",
                Fault::Dns,
            ),
            (
                "error sending request for url (https://127.0.0.1/): client error (Connect): \
                 invalid peer certificate: UnknownIssuer",
                Fault::Tls,
            ),
            (
                "error sending request for url (https://127.0.0.1/): client error (Connect): tls \
                 handshake eof",
                Fault::Refused,
            ),
            // hyper-util's words, from native programs.
            (
                "client error (Connect): tunnel error: unsuccessful",
                Fault::Tls,
            ),
            (
                "client error (Connect): tunnel error: unexpected end of file",
                Fault::Refused,
            ),
            (
                "client error (Connect): tunnel error: io error establishing tunnel: broken pipe",
                Fault::Refused,
            ),
            (
                "error sending request for url (https://x.toolbox.invalid/): client error (Connect): \
                 unsuccessful tunnel",
                Fault::Tls,
            ),
            (
                "error sending request for url (https://x.toolbox.invalid/): client error (Connect): \
                 unexpected eof while tunneling",
                Fault::Refused,
            ),
            (
                "error sending request from 127.0.0.1:45388 for https://127.0.0.1:9333/ \
                 (127.0.0.1:9333): client error (SendRequest): connection error: peer closed \
                 connection without sending TLS close_notify: \
                 https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof",
                Fault::Reset,
            ),
            (
                "error sending request from 10.0.0.2:45388 for https://10.0.0.3:9333/ \
                 (10.0.0.3:9333): client error (SendRequest): connection error: No route to host \
                 (os error 113)",
                Fault::Reset,
            ),
            (
                "error sending request from 10.0.0.2:45388 for https://10.0.0.3:9333/ \
                 (10.0.0.3:9333): client error (SendRequest): connection error: Network is \
                 unreachable (os error 101)",
                Fault::Reset,
            ),
            (
                "error sending request for url (http://10.0.0.3/): client error (Connect): tcp \
                 connect error: No route to host (os error 113)",
                Fault::Refused,
            ),
        ];
        for (message, fault) in cases {
            assert_eq!(classify(message).fault, fault, "{message}");
        }
    }

    #[test]
    fn the_address_is_neither_classified_nor_kept() {
        let error = classify(
            "error sending request for url (http://h/?name=eq.dns%20error&k=SECRET): client error \
             (SendRequest): connection closed before message completed",
        );
        assert_eq!(error.fault, Fault::Reset);
        assert!(!error.to_string().contains("SECRET"));
    }
}
