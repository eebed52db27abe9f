//! The agent and its companion, as callers on this machine reach them: on loopback, by their certificate and key.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use toolbox_api::ssh::CommandBy;
use toolbox_domain::names::agent_host;
use toolbox_domain::retry::Fault;
use toolbox_http::native::Native;
use toolbox_http::{Call, Pin, Request, Transport};

use crate::config::read_keys;
use crate::config::ssh::SshConfig;
use crate::keys::KeyRing;
use crate::tls::Identity;

/// Largest answer, in bytes.
const MAX_ANSWER: usize = 3 * 1024 * 1024;

/// A program of this machine that serves an API.
pub(super) struct Local {
    http: Native,
    pub(super) by: CommandBy,
    address: SocketAddr,
    base: String,
    pin: Option<Pin>,
    key: String,
}

/// It may have been carried out: there was a connection and no answer.
#[derive(Debug)]
pub(super) struct Lost(pub(super) String);

/// An answer.
pub(super) struct LocalAnswer {
    pub(super) status: u16,
    pub(super) text: String,
    pub(super) body: Value,
}

impl Local {
    /// The agent; none where nobody has a key to it, or it has no certificate.
    pub(super) fn agent(config: &SshConfig) -> Option<Self> {
        Self::at(config, config.listen, CommandBy::Agent)
    }

    /// Its companion.
    pub(super) fn companion(config: &SshConfig) -> Option<Self> {
        let listen = SocketAddr::new(config.listen.ip(), config.companion_port);
        Self::at(config, listen, CommandBy::Companion)
    }

    fn at(config: &SshConfig, listen: SocketAddr, by: CommandBy) -> Option<Self> {
        let ip = if listen.ip().is_unspecified() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            listen.ip()
        };
        let address = SocketAddr::new(ip, listen.port());
        let machine = &config.machine;
        let of_file = machine.key_file.as_deref().map(read_keys).transpose();
        let of_file = of_file.ok()?.unwrap_or_default();
        let ring = KeyRing::load(&machine.state_dir, &of_file).ok()?;
        let key = ring.of_callers()?;
        let (base, pin) = if machine.insecure_http {
            (format!("http://{address}"), None)
        } else {
            let identity = Identity::load(&machine.state_dir, machine.toolbox_id);
            let certificate = identity.ok().flatten()?.certificate_pem;
            let proxy = format!("http://{address}").into();
            (
                format!("https://{}", agent_host(machine.toolbox_id)),
                Some(Pin {
                    certificate: certificate.into(),
                    proxy,
                }),
            )
        };
        Some(Self {
            http: Native::new().ok()?,
            by,
            address,
            base,
            pin,
            key,
        })
    }

    /// Asks for a path, with a body of JSON where there is one. None: nobody is there, and nothing was sent.
    pub(super) async fn ask(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<Option<LocalAnswer>, Lost> {
        let mut request = Request::new(method, format!("{}{path}", self.base));
        request
            .headers
            .set("authorization", format!("Bearer {}", self.key));
        if method != "GET" {
            // Less than the deadline, so that the answer still arrives.
            let wait = limit.as_secs().saturating_sub(2).min(20);
            request.headers.set("prefer", format!("wait={wait}"));
        }
        if let Some(body) = body {
            request.headers.set("content-type", "application/json");
            request.body = body.to_string().into_bytes();
        }
        let mut call = Call::new(request, limit);
        call.pin.clone_from(&self.pin);
        call.max_answer = MAX_ANSWER;
        let answer = match self.http.send(call).await {
            Ok(answer) => answer,
            Err(error) if matches!(error.fault, Fault::Refused | Fault::Tls) => return Ok(None),
            Err(error) => {
                let address = self.address;
                let why = crate::error_chain(&error);
                return Err(Lost(format!("no answer came from {address}: {why}")));
            }
        };
        Ok(Some(LocalAnswer {
            status: answer.status,
            body: serde_json::from_slice(&answer.body).unwrap_or_default(),
            text: String::from_utf8_lossy(&answer.body).into_owned(),
        }))
    }
}
