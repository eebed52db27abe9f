//! The companion as seen from the agent: it presents the agent's certificate on another port of this machine.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use toolbox_api::machine::CompanionState;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::names::agent_host;
use toolbox_http::native::Native;
use toolbox_http::{Call, Pin, Request, Response as Answer, Transport, TransportError};

/// How long it may take to answer.
const LIMIT: Duration = Duration::from_secs(2);
/// How long it may take to begin what is handed on: it asks first whether there is such a release.
const HAND_ON_LIMIT: Duration = Duration::from_secs(25);
/// Largest answer to that.
const MAX_ANSWER: usize = 64 * 1024;

/// The way to the companion.
pub struct Companion {
    http: Native,
    url: String,
    pin: Option<Pin>,
}

/// The part of its `GET /health` that is of interest here.
#[derive(Deserialize)]
struct Health {
    version: String,
}

impl Companion {
    /// The companion of `toolbox` at this address. Without a certificate it speaks plain HTTP, as the agent does.
    pub fn new(
        http: Native,
        toolbox: ToolboxId,
        address: SocketAddr,
        certificate: Option<&str>,
    ) -> Self {
        let (url, pin) = match certificate {
            None => (format!("http://{address}"), None),
            Some(pem) => {
                let pin = Pin {
                    certificate: pem.into(),
                    proxy: format!("http://{address}").into(),
                };
                (format!("https://{}", agent_host(toolbox)), Some(pin))
            }
        };
        Self { http, url, pin }
    }

    /// Its version, or why there is no answer.
    async fn version(&self) -> Result<Option<String>, TransportError> {
        let mut call = Call::new(Request::new("GET", format!("{}/health", self.url)), LIMIT);
        call.pin = self.pin.clone();
        let answer = self.http.send(call).await?;
        let health = serde_json::from_slice::<Health>(&answer.body).ok();
        Ok(health.filter(|_| answer.status == 200).map(|h| h.version))
    }

    /// Hands a request on, with the caller's own key; its answer.
    pub async fn hand_on(
        &self,
        path: &str,
        key: &str,
        body: Vec<u8>,
    ) -> Result<Answer, TransportError> {
        let mut request = Request::new("POST", format!("{}{path}", self.url));
        request
            .headers
            .set("authorization", format!("Bearer {key}"));
        request.headers.set("content-type", "application/json");
        request.body = body;
        let mut call = Call::new(request, HAND_ON_LIMIT);
        (call.pin, call.max_answer, call.keep_type) = (self.pin.clone(), MAX_ANSWER, true);
        self.http.send(call).await
    }

    /// How it is, and the evidence for that.
    pub async fn state(&self) -> (CompanionState, String) {
        let (version, evidence) = match self.version().await {
            Ok(Some(version)) => (
                Some(version.clone()),
                format!("version {version} answers on its port"),
            ),
            Ok(None) => (
                None,
                "what answers on its port is not the companion".to_owned(),
            ),
            Err(error) => (None, format!("no answer on its port: {error}")),
        };
        let state = CompanionState {
            reachable: version.is_some(),
            version,
        };
        (state, evidence)
    }
}
