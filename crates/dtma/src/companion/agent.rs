//! The agent as seen from the companion: asked on loopback, known by the machine's certificate.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use toolbox_api::dtma::Health;
use toolbox_domain::names::agent_host;
use toolbox_http::native::Native;
use toolbox_http::{Call, Pin, Request, Transport};

use crate::config::MachineConfig;
use crate::tls::Identity;

/// How long an agent may take to say how it is; it asks Docker for 2 s at most.
const LIMIT: Duration = Duration::from_secs(5);
/// Largest answer.
const MAX_BYTES: usize = 16 * 1024;

/// Asks agents of this machine how they are.
pub struct Agents {
    http: Native,
    machine: MachineConfig,
}

impl Agents {
    pub const fn new(http: Native, machine: MachineConfig) -> Self {
        Self { http, machine }
    }

    /// How the agent at that address is; why it is not known otherwise.
    pub async fn health(&self, address: SocketAddr) -> Result<Health, String> {
        let address = on_loopback(address);
        let (url, pin) = if self.machine.insecure_http {
            (format!("http://{address}/health"), None)
        } else {
            let identity = Identity::load(&self.machine.state_dir, self.machine.toolbox_id);
            let identity = identity.map_err(|error| crate::error_chain(&error))?;
            let identity = identity.ok_or("there is no certificate yet")?;
            let pin = Pin {
                certificate: identity.certificate_pem.into(),
                proxy: format!("http://{address}").into(),
            };
            (
                format!("https://{}/health", agent_host(self.machine.toolbox_id)),
                Some(pin),
            )
        };
        let mut call = Call::new(Request::new("GET", url), LIMIT);
        (call.pin, call.max_answer) = (pin, MAX_BYTES);
        let answer = self
            .http
            .send(call)
            .await
            .map_err(|error| crate::error_chain(&error))?;
        if answer.status != 200 {
            return Err(format!("it answers {}", answer.status));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| "its answer could not be understood".to_owned())
    }
}

/// Where a program that listens at `address` is reached from its own machine.
pub fn on_loopback(address: SocketAddr) -> SocketAddr {
    let unspecified = address.ip().is_unspecified();
    let ip = if unspecified {
        Ipv4Addr::LOCALHOST.into()
    } else {
        address.ip()
    };
    SocketAddr::new(ip, address.port())
}
