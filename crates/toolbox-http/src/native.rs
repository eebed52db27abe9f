//! [`Transport`] and [`Clock`] for native programs, by reqwest, rustls and tokio.
//!
//! Futures are `Send` and run on any tokio runtime. The public roots are compiled in, as in the agent.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::select;
use futures_util::stream::unfold;
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, Proxy};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use toolbox_domain::retry::Fault;

use crate::message::Response;
use crate::pinned::pinned_client_config;
use crate::transport::{
    BodyStream, BoxFuture, Call, Clock, Pin, Transport, TransportError, classify,
};

/// Clients with a certificate of their own that are kept, so that connections are reused.
const CLIENTS_KEPT: usize = 256;

/// Longest that connecting may take, within the deadline of its call.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept: gateways close theirs after about a minute.
const IDLE_LIMIT: Duration = Duration::from_secs(45);

/// HTTP calls of a native program. Redirects are never followed, and proxies of the environment are not used: a machine
/// must not be able to send the control plane, with its keys, somewhere else.
pub struct Native {
    public: Client,
    /// The last used is at the end.
    pinned: Mutex<Vec<(Pin, Client)>>,
}

/// The calls cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// Some text is not certificates in PEM.
    #[error("expected certificates (PEM)")]
    NoCertificate,
    /// rustls refuses.
    #[error("TLS is not set up")]
    Tls(#[from] rustls::Error),
    /// reqwest refuses.
    #[error("the HTTP client is not set up")]
    Client(#[from] reqwest::Error),
}

impl From<SetupError> for TransportError {
    fn from(error: SetupError) -> Self {
        Self::new(Fault::Tls, error.to_string())
    }
}

impl Native {
    /// Trusts the public roots.
    pub fn new() -> Result<Self, SetupError> {
        Self::with(public_roots())
    }

    /// Trusts the certificates in `pem` beside the public roots.
    pub fn trusting(pem: &[u8]) -> Result<Self, SetupError> {
        let mut roots = public_roots();
        add(&mut roots, pem)?;
        Self::with(roots)
    }

    fn with(roots: RootCertStore) -> Result<Self, SetupError> {
        Ok(Self {
            public: builder(config(roots)?).no_proxy().build()?,
            pinned: Mutex::default(),
        })
    }

    fn client(&self, pin: Option<&Pin>) -> Result<Client, TransportError> {
        let Some(pin) = pin else {
            return Ok(self.public.clone());
        };
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match pinned.iter().position(|(of, _)| of == pin) {
            Some(at) => pinned.remove(at),
            None => (pin.clone(), pinned_client(pin)?),
        };
        if pinned.len() >= CLIENTS_KEPT {
            pinned.remove(0);
        }
        let client = kept.1.clone();
        pinned.push(kept);
        Ok(client)
    }

    async fn start(&self, call: Call) -> Result<reqwest::Response, TransportError> {
        call.check_pin()?;
        let client = self.client(call.pin.as_ref())?;
        let unsendable = |_| TransportError::new(Fault::BadBody, "the method is malformed");
        let method = Method::from_bytes(call.request.method.as_bytes()).map_err(unsendable)?;
        let mut request = client.request(method, call.request.url);
        for (name, value) in call.request.headers.iter() {
            request = request.header(name, value);
        }
        if !call.request.body.is_empty() {
            request = request.body(call.request.body);
        }
        request.send().await.map_err(failure)
    }
}

fn public_roots() -> RootCertStore {
    RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    }
}

/// Adds the certificates in `pem`, of which there must be one at least.
fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), SetupError> {
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(|_| SetupError::NoCertificate)?)?;
    }
    if roots.len() == before {
        return Err(SetupError::NoCertificate);
    }
    Ok(())
}

fn config(roots: RootCertStore) -> Result<ClientConfig, SetupError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A client that takes the enrolled certificate only, and reaches the agent through its own tunnel.
fn pinned_client(pin: &Pin) -> Result<Client, TransportError> {
    let tls = pinned_client_config(&pin.certificate)
        .map_err(|error| TransportError::new(Fault::Tls, error.to_string()))?;
    let proxy = Proxy::all(&*pin.proxy).map_err(failure)?;
    builder(tls).proxy(proxy).build().map_err(failure)
}

fn builder(tls: ClientConfig) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_LIMIT)
        .pool_idle_timeout(IDLE_LIMIT)
}

/// What hyper says, which is where an error of reqwest comes from. It is without the address.
fn failure(error: reqwest::Error) -> TransportError {
    let error = error.without_url();
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(cause.to_string());
        source = cause.source();
    }
    if causes.is_empty() {
        causes.push(error.to_string());
    }
    classify(&causes.join(": "))
}

fn late(deadline: Duration) -> TransportError {
    TransportError::new(Fault::Timeout, format!("after {} s", deadline.as_secs()))
}

async fn within<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    timeout(deadline, work)
        .await
        .unwrap_or_else(|_| Err(late(deadline)))
}

fn answer<T>(head: &reqwest::Response, body: T, keep_type: bool) -> Response<T> {
    let mut answer = Response::new(head.status().as_u16(), body);
    let kept: &[&str] = match (answer.is_success(), keep_type) {
        (true, false) => &[],
        (true, true) => &["content-type"],
        (false, _) => &["content-type", "retry-after", "ratelimit-reset", "date"],
    };
    for name in kept {
        if let Some(value) = head.headers().get(*name).and_then(|v| v.to_str().ok()) {
            answer.headers.set(name, value);
        }
    }
    answer
}

/// Reads at most `limit` bytes.
async fn read(response: &mut reqwest::Response, limit: usize) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failure)? {
        if chunk.len() > limit - body.len() {
            return Err(TransportError::new(
                Fault::BadBody,
                "the answer is too large",
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Passes a body on until it ends or fails, its time is over, or nobody wants it any more. At the end of its time it ends like
/// one that is complete. This is a task of its own, so that the connection is let go then also while nobody reads.
async fn pass_on(
    mut response: reqwest::Response,
    to: mpsc::Sender<Result<Bytes, TransportError>>,
    end: Instant,
) {
    let passed_on = async {
        loop {
            let part = match response.chunk().await {
                Ok(Some(chunk)) => Ok(chunk),
                Ok(None) => return,
                Err(error) => Err(failure(error)),
            };
            let is_last = part.is_err();
            if to.send(part).await.is_err() || is_last {
                return;
            }
        }
    };
    let _ = timeout_at(end, select(pin!(passed_on), pin!(to.closed()))).await;
}

impl Transport for Native {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response, TransportError>> {
        let (limit, keep_type) = (call.max_answer, call.keep_type);
        Box::pin(within(call.deadline, async move {
            let mut response = self.start(call).await?;
            let body = read(&mut response, limit).await?;
            Ok(answer(&response, body, keep_type))
        }))
    }

    fn open(
        &self,
        call: Call,
        longest: Duration,
    ) -> BoxFuture<'_, Result<Response<BodyStream>, TransportError>> {
        let keep_type = call.keep_type;
        Box::pin(within(call.deadline, async move {
            let response = self.start(call).await?;
            let head = answer(&response, (), keep_type);
            let (sender, receiver) = mpsc::channel(1);
            tokio::spawn(pass_on(response, sender, Instant::now() + longest));
            let chunks = unfold(receiver, |mut receiver| async move {
                Some((receiver.recv().await?, receiver))
            });
            Ok(Response {
                status: head.status,
                headers: head.headers,
                body: BodyStream::new(chunks),
            })
        }))
    }
}

impl Clock for Native {
    fn now(&self) -> Duration {
        // Zero for a machine whose clock is set before 1970.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
    }

    fn random(&self) -> f64 {
        // 53 random bits; without a source of chance, delays are not spread.
        getrandom::u64().map_or(0.5, |bits| {
            #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
            let share = (bits >> 11) as f64;
            share / 9_007_199_254_740_992.0
        })
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(sleep(duration))
    }
}
