//! [`Transport`] and [`Clock`] for native programs, by reqwest, rustls and tokio.
//!
//! Futures are `Send` and run on any tokio runtime. The public roots are compiled in, as in the agent.

#[cfg(test)]
mod tests;

use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::unfold;
use reqwest::redirect::Policy;
use reqwest::{Client, Method};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use toolbox_domain::retry::Fault;

use crate::message::Response;
use crate::transport::{BodyStream, BoxFuture, Call, Clock, Transport, TransportError, classify};

/// Clients with a certificate of their own that are kept, so that connections are reused.
const CLIENTS_KEPT: usize = 256;

/// HTTP calls of a native program. Redirects are never followed, and proxies of the environment are not used: a machine
/// must not be able to send the control plane, with its keys, somewhere else.
pub struct Native {
    public: Client,
    /// By certificate; the last used is at the end.
    pinned: Mutex<Vec<(Arc<str>, Client)>>,
}

impl Native {
    /// Fails when TLS cannot be set up.
    pub fn new() -> Result<Self, TransportError> {
        let roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        Ok(Self {
            public: client(trusting(roots)?)?,
            pinned: Mutex::default(),
        })
    }

    fn client(&self, certificate: Option<&Arc<str>>) -> Result<Client, TransportError> {
        let Some(certificate) = certificate else {
            return Ok(self.public.clone());
        };
        let mut pinned = self.pinned.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match pinned.iter().position(|(pem, _)| pem == certificate) {
            Some(at) => pinned.remove(at),
            None => (
                Arc::clone(certificate),
                client(pinned_config(certificate)?)?,
            ),
        };
        if pinned.len() >= CLIENTS_KEPT {
            pinned.remove(0);
        }
        let client = kept.1.clone();
        pinned.push(kept);
        Ok(client)
    }

    async fn start(&self, call: Call) -> Result<reqwest::Response, TransportError> {
        let client = self.client(call.certificate.as_ref())?;
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

/// What a client trusts for an agent: the given certificate only.
fn pinned_config(pem: &str) -> Result<ClientConfig, TransportError> {
    let unreadable = || TransportError::new(Fault::Tls, "the certificate could not be read");
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| unreadable())?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|_| unreadable())?;
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, TransportError> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TransportError::new(Fault::Tls, error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn client(tls: ClientConfig) -> Result<Client, TransportError> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .build()
        .map_err(failure)
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
        (false, _) => &["content-type", "retry-after"],
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
            let end = Instant::now() + longest;
            // None once the stream has failed; at the end of its time it ends like one that is complete.
            let chunks = unfold(Some(response), move |response| async move {
                let mut response = response?;
                match timeout_at(end, response.chunk()).await {
                    Ok(Ok(Some(chunk))) => Some((Ok(chunk), Some(response))),
                    Ok(Ok(None)) | Err(_) => None,
                    Ok(Err(error)) => Some((Err(failure(error)), None)),
                }
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
        // The clock of a machine that is set before 1970 is no clock.
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
