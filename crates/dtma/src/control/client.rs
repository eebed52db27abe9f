//! Calls to the control plane's function `heartbeat`: over TLS, each with a deadline and a bounded answer.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toolbox_api::heartbeat::{
    DesiredState, EnrolRequest, EnrolResponse, HeartbeatNumbers, HeartbeatResponse,
};
use toolbox_domain::ids::ToolboxId;

/// How long a call may take, from the connection to the last byte.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. Pushes come in bunches; gateways close after about a minute.
const IDLE_LIMIT: Duration = Duration::from_secs(45);
/// Largest answer: the specs of a full toolbox.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// The control plane's certificates cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("could not read the certificates in '{path}'")]
    Unreadable { path: PathBuf, source: io::Error },
    /// The file holds none.
    #[error("'{path}' holds no certificate (PEM)")]
    NoCertificate { path: PathBuf },
    /// rustls refuses.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer: the network, TLS, or the time.
    #[error("no answer from the control plane: {0}")]
    NoAnswer(String),
    /// An answer with a status that is no success.
    #[error("the control plane answered {status} {code}")]
    Refused {
        status: u16,
        /// The code of the error; empty when there is none.
        code: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// The last heartbeat it accepted, where it says so.
        accepted: Option<HeartbeatNumbers>,
    },
    /// A success whose body is something else.
    #[error("the control plane's answer could not be understood")]
    BadAnswer,
}

impl CallError {
    /// The code the control plane gave.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// The last heartbeat the control plane accepted, where that is why it refuses another.
    pub const fn accepted(&self) -> Option<HeartbeatNumbers> {
        match self {
            Self::Refused { accepted, .. } => *accepted,
            _ => None,
        }
    }

    /// When the control plane wants to be asked again.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A client of the control plane.
pub struct ControlClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
}

impl ControlClient {
    /// For the function at `url` and `toolbox`. `ca_file` holds certificates that are trusted beside the public roots.
    pub fn new(url: &Uri, toolbox: ToolboxId, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let mut roots = RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        };
        if let Some(path) = ca_file {
            add_roots(&mut roots, path)?;
        }
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_LIMIT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            // The configuration allows plain HTTP to this machine only.
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .pool_max_idle_per_host(1)
            .build(connector);
        let base = url.to_string();
        Ok(Self {
            http,
            base: format!("{}/{toolbox}", base.trim_end_matches('/')),
        })
    }

    /// Enrols with a single-use token.
    pub async fn enrol(
        &self,
        token: &str,
        request: &EnrolRequest,
        request_id: &str,
    ) -> Result<EnrolResponse, CallError> {
        let body = serde_json::to_vec(request).map_err(|_| CallError::BadAnswer)?;
        self.call(Method::POST, "/enrol", token, request_id, body)
            .await
    }

    /// Sends a heartbeat, which is JSON already.
    pub async fn send_heartbeat(
        &self,
        key: &str,
        heartbeat: Vec<u8>,
        request_id: &str,
    ) -> Result<HeartbeatResponse, CallError> {
        self.call(Method::POST, "", key, request_id, heartbeat)
            .await
    }

    /// Fetches the desired state.
    pub async fn desired(&self, key: &str, request_id: &str) -> Result<DesiredState, CallError> {
        self.call(Method::GET, "/desired", key, request_id, Vec::new())
            .await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        bearer: &str,
        request_id: &str,
        body: Vec<u8>,
    ) -> Result<T, CallError> {
        let unsendable = |_| CallError::NoAnswer("the request cannot be sent".to_owned());
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {bearer}")).map_err(|e| unsendable(e.into()))?;
        authorization.set_sensitive(true);
        let mut request = Request::builder()
            .method(&method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, authorization)
            .header(ACCEPT, "application/json")
            .header("x-request-id", request_id);
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(unsendable)?;
        tokio::time::timeout(CALL_LIMIT, self.exchange(request))
            .await
            .unwrap_or_else(|_| {
                let seconds = CALL_LIMIT.as_secs();
                Err(CallError::NoAnswer(format!("none within {seconds} s")))
            })
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<T, CallError> {
        let no_answer = |error: &(dyn std::error::Error + 'static)| {
            CallError::NoAnswer(crate::reason::one_line(&crate::error_chain(error)))
        };
        let answer = self
            .http
            .request(request)
            .await
            .map_err(|e| no_answer(&e))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|e| no_answer(e.as_ref()))?
            .to_bytes();
        if status != StatusCode::OK {
            let retry_after = headers
                .get(RETRY_AFTER)
                .and_then(|v| v.to_str().ok()?.parse().ok())
                .map(Duration::from_secs);
            let (code, accepted) = refusal(&body);
            return Err(CallError::Refused {
                status: status.as_u16(),
                code,
                retry_after,
                accepted,
            });
        }
        serde_json::from_slice(&body).map_err(|_| CallError::BadAnswer)
    }
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), ClientError> {
    let none = || ClientError::NoCertificate {
        path: path.to_owned(),
    };
    let pem = std::fs::read(path).map_err(|source| ClientError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let before = roots.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        roots.add(certificate.map_err(|_| none())?)?;
    }
    if roots.len() == before {
        return Err(none());
    }
    Ok(())
}

/// The stable code of an error answer, and the numbers it names; whatever else the body says is not for our log.
fn refusal(body: &[u8]) -> (String, Option<HeartbeatNumbers>) {
    #[derive(Deserialize)]
    struct Envelope {
        error: Body,
    }
    #[derive(Deserialize)]
    struct Body {
        code: String,
        details: Option<Details>,
    }
    #[derive(Deserialize)]
    struct Details {
        accepted: Option<HeartbeatNumbers>,
    }
    let is_plain =
        |c: &str| c.len() <= 64 && c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    serde_json::from_slice::<Envelope>(body)
        .ok()
        .filter(|e| is_plain(&e.error.code))
        .map(|e| (e.error.code, e.error.details.and_then(|d| d.accepted)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_codes_and_numbers_are_taken_from_an_error() {
        let plain = br#"{"error":{"code":"certificate_changed","message":"m"}}"#;
        assert_eq!(refusal(plain), ("certificate_changed".to_owned(), None));
        let numbered = br#"{"error":{"code":"heartbeat_replayed","details":{"accepted":{"boot":7,"sequence":9}}}}"#;
        let accepted = HeartbeatNumbers {
            boot: 7,
            sequence: 9,
        };
        assert_eq!(
            refusal(numbered),
            ("heartbeat_replayed".to_owned(), Some(accepted))
        );
        assert_eq!(refusal(br#"{"error":{"code":"a\nb"}}"#).0, "");
        assert_eq!(refusal(b"<html>").0, "");
    }
}
