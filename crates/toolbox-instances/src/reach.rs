//! Where the agent of a toolbox answers, and with which key it is called.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::dtma::Agent;
use toolbox_clients::supabase::rows::EnvironmentRow;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::keys::{
    AgentKey, KeyError, KeyId, McpToken, Purpose, RootId, derive_agent_key,
};
use toolbox_domain::names::agent_host;
use toolbox_domain::sealing::{Owner, Roots, SealingKeys};
use toolbox_http::{Pin, Transport};

use crate::agent::{Agents, InstanceAgent};

/// Agents over HTTPS, with keys that are derived from the root secret.
pub struct HttpsAgents {
    /// Calls out.
    pub transport: Arc<dyn Transport>,
    /// For each call, beside the time it is asked to wait.
    pub deadline: Duration,
    /// The root secret of the toolboxes' keys.
    pub root_secret: String,
    /// The root secret before, while toolboxes still hold keys of it.
    pub previous_root_secret: Option<String>,
}

impl Agents for HttpsAgents {
    fn connect(
        &self,
        toolbox: &EnvironmentRow,
        request_id: &Arc<str>,
    ) -> Result<Arc<dyn InstanceAgent>, ApiError> {
        let agent = self.program_at(toolbox, toolbox.dtma_port, request_id)?;
        Ok(Arc::new(agent))
    }

    fn mcp_endpoint(
        &self,
        toolbox: &EnvironmentRow,
        instance: ToolInstanceId,
    ) -> Result<(String, McpToken), ApiError> {
        let base = base(toolbox)?;
        let key = self.key(toolbox.id, toolbox.dtma_key_id.as_deref())?;
        let token = key
            .mcp_token(instance)
            .map_err(AgentKeyError::Underivable)?;
        Ok((format!("{base}/mcp/{instance}"), token))
    }

    fn sealing_keys(&self, toolbox: ToolboxId) -> Result<SealingKeys, ApiError> {
        let roots = Roots {
            current: self.root_secret.as_bytes(),
            previous: self.previous_root_secret.as_deref().map(str::as_bytes),
        };
        SealingKeys::derive(roots, Owner::Toolbox(toolbox))
            .map_err(|error| AgentKeyError::Underivable(error).into())
    }
}

/// The agent of a toolbox as a client on the network calls it.
fn base(toolbox: &EnvironmentRow) -> Result<String, ApiError> {
    let scheme = match &toolbox.dtma_certificate_pem {
        Some(_) => "https",
        None => "http",
    };
    Ok(format!(
        "{scheme}://{}",
        authority(toolbox, toolbox.dtma_port)?
    ))
}

/// A program of a toolbox's machine as the control plane calls it: of an enrolled one by the name in its certificate,
/// through the program's own tunnel.
fn route(toolbox: &EnvironmentRow, port: u16) -> Result<(String, Option<Pin>), ApiError> {
    let address = format!("http://{}", authority(toolbox, port)?);
    Ok(match toolbox.dtma_certificate_pem.as_deref() {
        Some(pem) => {
            let pin = Pin {
                certificate: pem.into(),
                proxy: address.into(),
            };
            (format!("https://{}", agent_host(toolbox.id)), Some(pin))
        }
        None => (address, None),
    })
}

/// IP address and port of a program. They come from a table that no user can write, and still only two kinds of agent
/// are called: one with a pinned certificate, over TLS, or one on loopback. Plain HTTP to anywhere else would show the
/// toolbox's key to the network.
fn authority(toolbox: &EnvironmentRow, port: u16) -> Result<String, ApiError> {
    let address = address(toolbox)?;
    if toolbox.dtma_certificate_pem.is_none() && !address.is_loopback() {
        return Err(ApiError::new(ErrorCode::AgentNotEnrolled));
    }
    Ok(SocketAddr::new(address, port).to_string())
}

/// The IP address of a toolbox's machine.
pub fn address(toolbox: &EnvironmentRow) -> Result<IpAddr, ApiError> {
    let text = toolbox.public_ip_address.as_deref();
    text.and_then(ip_address)
        .ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotReady))
}

/// Reads an address as Postgres prints an `inet`: with the length of its network where that is not a single host.
fn ip_address(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

/// Why there is no key for an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum AgentKeyError {
    /// The stored id of the toolbox's keys, or the root secret, is unusable.
    #[error("the toolbox's key cannot be derived")]
    Underivable(#[source] KeyError),
    /// The toolbox holds keys of a root secret that is not configured.
    #[error("the toolbox holds keys of another root secret")]
    UnknownRoot,
}

impl From<AgentKeyError> for ApiError {
    fn from(error: AgentKeyError) -> Self {
        match error {
            AgentKeyError::Underivable(_) => Self::new(ErrorCode::NotConfigured),
            AgentKeyError::UnknownRoot => Self::with_message(
                ErrorCode::AgentUnauthorized,
                "The agent holds keys of a root secret that is not configured any more; enrol the toolbox again",
            ),
        }
        .caused_by(&error)
    }
}

impl HttpsAgents {
    /// The program at a port of the toolbox's machine: its agent, or the companion, which has the same certificate and key.
    pub fn program_at(
        &self,
        toolbox: &EnvironmentRow,
        port: u16,
        request_id: &Arc<str>,
    ) -> Result<Agent, ApiError> {
        let (base, pin) = route(toolbox, port)?;
        let key = self.key(toolbox.id, toolbox.dtma_key_id.as_deref())?;
        Ok(Agent::new(
            Arc::clone(&self.transport),
            base,
            &key,
            pin,
            self.deadline,
            Arc::clone(request_id),
        ))
    }

    /// The key that a toolbox's agent accepts from us: the one with the id it last proved to hold, or the first of the
    /// current root secret when it has proved none.
    fn key(&self, toolbox: ToolboxId, key_id: Option<&str>) -> Result<AgentKey, AgentKeyError> {
        let key_id: Option<KeyId> = key_id
            .map(str::parse)
            .transpose()
            .map_err(AgentKeyError::Underivable)?;
        let (root, epoch) = match key_id {
            None => (&self.root_secret, 0),
            Some(KeyId { root, epoch }) => {
                let mut secrets = [Some(&self.root_secret), self.previous_root_secret.as_ref()]
                    .into_iter()
                    .flatten();
                let secret = secrets.find(|secret| RootId::of(secret.as_bytes()) == root);
                (secret.ok_or(AgentKeyError::UnknownRoot)?, epoch)
            }
        };
        derive_agent_key(root.as_bytes(), toolbox, Purpose::ControlToAgent, epoch)
            .map_err(AgentKeyError::Underivable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolbox(address: &str, certificate: Option<&str>) -> EnvironmentRow {
        serde_json::from_value(serde_json::json!({
            "id": "11111111-1111-4111-8111-111111111111", "status": "active", "public_ip_address": address,
            "dtma_port": 30000, "dtma_certificate_pem": certificate, "dtma_key_id": null, "instances_confirmed_at": null,
            "unresponsive_since": null, "dtma_last_known_version": null
        }))
        .unwrap()
    }

    #[test]
    fn only_addresses_are_hosts_and_only_loopback_is_called_without_a_certificate() {
        for (text, host, loopback) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.8.9.10/32", "127.8.9.10", true),
            ("::1", "[::1]", true),
            ("::1/128", "[::1]", true),
            ("10.0.0.1", "10.0.0.1", false),
            ("169.254.169.254", "169.254.169.254", false),
            ("2001:db8::1", "[2001:db8::1]", false),
            ("::ffff:127.0.0.1", "[::ffff:127.0.0.1]", false),
        ] {
            let pinned = base(&toolbox(text, Some("PEM"))).unwrap();
            assert_eq!(pinned, format!("https://{host}:30000"));
            match base(&toolbox(text, None)) {
                Ok(plain) => assert!(
                    loopback && plain == format!("http://{host}:30000"),
                    "{plain}"
                ),
                Err(error) => {
                    assert!(!loopback, "{text}");
                    assert_eq!(error.code, ErrorCode::AgentNotEnrolled);
                }
            }
        }
        for text in [
            "",
            "127.0.0",
            "127.0.0.1.2",
            "127.0.0.256",
            "127.0.0.01",
            "127.a.b.c",
            "localhost",
            "::1@x",
            "127.0.0.1:80",
        ] {
            let error = base(&toolbox(text, Some("PEM"))).unwrap_err();
            assert_eq!(error.code, ErrorCode::ToolboxNotReady, "{text}");
        }
    }
}
