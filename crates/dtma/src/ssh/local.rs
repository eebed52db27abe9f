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
pub struct Local {
    http: Native,
    pub by: CommandBy,
    address: SocketAddr,
    base: String,
    pin: Option<Pin>,
    key: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum LocalError {
    /// Nobody is there: nothing was sent.
    Absent(String),
    /// It may have been carried out.
    Lost(String),
}

/// An answer.
pub struct LocalAnswer {
    pub status: u16,
    pub text: String,
    pub body: Value,
}

impl Local {
    /// The agent.
    pub fn agent(config: &SshConfig) -> Result<Self, LocalError> {
        Self::at(config, config.listen, CommandBy::Agent)
    }

    /// Its companion.
    pub fn companion(config: &SshConfig) -> Result<Self, LocalError> {
        let listen = SocketAddr::new(config.listen.ip(), config.companion_port);
        Self::at(config, listen, CommandBy::Companion)
    }

    fn at(config: &SshConfig, listen: SocketAddr, by: CommandBy) -> Result<Self, LocalError> {
        let absent = |what: &str| LocalError::Absent(what.to_owned());
        let ip = if listen.ip().is_unspecified() {
            Ipv4Addr::LOCALHOST.into()
        } else {
            listen.ip()
        };
        let address = SocketAddr::new(ip, listen.port());
        let machine = &config.machine;
        let of_file = machine.key_file.as_deref().map(read_keys).transpose();
        let of_file = of_file.map_err(|_| absent("the key file cannot be used"))?;
        let ring = KeyRing::load(&machine.state_dir, &of_file.unwrap_or_default());
        let ring = ring.map_err(|_| absent("the stored keys cannot be used"))?;
        let key = ring
            .of_callers()
            .ok_or_else(|| absent("the machine is not enrolled"))?;
        let (base, pin) = if machine.insecure_http {
            (format!("http://{address}"), None)
        } else {
            let identity = Identity::load(&machine.state_dir, machine.toolbox_id)
                .ok()
                .flatten();
            let certificate = identity
                .ok_or_else(|| absent("the agent has no certificate"))?
                .certificate_pem;
            let proxy = format!("http://{address}").into();
            (
                format!("https://{}", agent_host(machine.toolbox_id)),
                Some(Pin {
                    certificate: certificate.into(),
                    proxy,
                }),
            )
        };
        Ok(Self {
            http: Native::new().map_err(|_| absent("HTTP is not set up"))?,
            by,
            address,
            base,
            pin,
            key,
        })
    }

    /// Asks for a path, with a body of JSON where there is one.
    pub async fn ask(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&Value>,
        limit: Duration,
    ) -> Result<LocalAnswer, LocalError> {
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
        let answer = self.http.send(call).await.map_err(|error| {
            let text = format!(
                "nobody answers at {}: {}",
                self.address,
                crate::error_chain(&error)
            );
            match error.fault {
                Fault::Refused | Fault::Tls => LocalError::Absent(text),
                _ => LocalError::Lost(text),
            }
        })?;
        Ok(LocalAnswer {
            status: answer.status,
            body: serde_json::from_slice(&answer.body).unwrap_or_default(),
            text: String::from_utf8_lossy(&answer.body).into_owned(),
        })
    }
}
