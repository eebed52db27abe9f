//! The endpoint of an instance's HTTP server: the port it publishes on this machine, and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use axum::http::{HeaderName, HeaderValue};
use toolbox_api::dtma::{Desired, Phase, PortBinding, Protocol};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::http::{Explaining, Explanation, Locate, Private, Target};
use toolbox_mcp::process::{Absence, NotRunning};
use toolbox_mcp::redact::Redactor;

use super::idle::{self, Idle};
use crate::instances::{Entry, Shared};
use crate::record::Release;
use crate::runtime::{ContainerId, sockets};

/// Path of the endpoint where the spec names none.
const DEFAULT_PATH: &str = "/mcp";

/// Reads an instance's endpoint from the ports that the agent published for it.
pub(super) struct PublishedEndpoint {
    pub(super) id: ToolInstanceId,
    pub(super) entry: Entry,
    pub(super) shared: Arc<Shared>,
    /// Set if it is stopped when nobody uses it.
    pub(super) idle: Option<Arc<Idle>>,
    /// What the spec says of the endpoint, by the generation it was read in.
    pub(super) settings: Mutex<Option<(u64, Settings)>>,
}

/// What a spec says of an endpoint.
#[derive(Clone)]
pub(super) struct Settings {
    path: String,
    private: Arc<Private>,
    revision: u64,
}

impl Settings {
    fn of(release: &Release) -> Self {
        let spec = &release.spec;
        let path = spec.wire().mcp_path.clone();
        let headers = spec.mcp_headers().filter_map(|(name, value)| {
            let mut value: HeaderValue = value.parse().ok()?;
            value.set_sensitive(true);
            Some((name.parse::<HeaderName>().ok()?, value))
        });
        Self {
            path: path
                .filter(|path| path.starts_with('/'))
                .unwrap_or_else(|| DEFAULT_PATH.to_owned()),
            private: Arc::new(Private {
                headers: headers.collect(),
                redactor: Redactor::new(spec.secrets()),
            }),
            revision: release.revision,
        }
    }
}

impl Locate for PublishedEndpoint {
    fn locate(&self) -> Result<Target, NotRunning> {
        let not_running = |reason: &str, absence| NotRunning {
            reason: reason.to_owned(),
            absence,
        };
        let gone = || not_running("the instance is gone", Absence::Intended);
        let published = self.entry.published();
        let view = published.view.ok_or_else(gone)?;
        if view.desired != Desired::Running {
            return Err(not_running("the tool is stopped", Absence::Intended));
        }
        if published.rests {
            return Err(not_running(
                idle::words(self.idle.as_deref()),
                Absence::Idle,
            ));
        }
        if view.phase != Phase::Running {
            let reason = view
                .reason
                .as_ref()
                .map_or("its container does not run", |reason| {
                    reason.message.as_str()
                });
            let absence = match view.reason {
                None => Absence::Starting,
                Some(_) => Absence::Fault,
            };
            return Err(not_running(reason, absence));
        }
        let address = view.ports.iter().find_map(address_of).ok_or_else(|| {
            not_running(
                "it publishes no TCP port, so nothing can reach it; set portMappings",
                Absence::Fault,
            )
        })?;
        let Settings {
            path,
            private,
            revision,
        } = self.settings(view.generation).ok_or_else(gone)?;
        Ok(Target {
            address,
            path,
            private,
            revision,
        })
    }

    fn explain(&self) -> Explaining<'_> {
        Box::pin(self.look())
    }
}

/// The likely causes where it could not be looked up which.
const LIKELY: &str = "likely it is not up yet, or listens on 127.0.0.1 inside its container, where nothing outside reaches it (make \
it listen on 0.0.0.0, by command or environmentVariables), or listens at another port (set portMappings)";

impl PublishedEndpoint {
    async fn look(&self) -> Option<Explanation> {
        let view = self.entry.view()?;
        let port = view.ports.iter().find(|port| address_of(port).is_some())?;
        let container = ContainerId::new(view.container_id.as_ref()?);
        let pid = self.shared.runtime.pid(&container).await.ok().flatten();
        let listening = match pid {
            Some(pid) => sockets::listening(pid, &container).await,
            None => None,
        };
        Some(explanation(port.container_port, listening.as_deref()))
    }

    fn settings(&self, generation: u64) -> Option<Settings> {
        let mut held = match self.settings.lock() {
            Ok(held) => held,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some((of, settings)) = &*held
            && *of == generation
        {
            return Some(settings.clone());
        }
        let record = self.shared.store.find(self.id)?;
        let settings = Settings::of(&record.current);
        // While an update is tried, the record of this generation still has the spec before it.
        let lasts = record.next.is_none();
        *held = lasts.then(|| (generation, settings.clone()));
        Some(settings)
    }
}

/// Why nothing answers at `port`, from the addresses at which something in the container listens, if they are known.
fn explanation(port: u16, listening: Option<&[SocketAddr]>) -> Explanation {
    let certain = |words: String, lasts| Explanation { words, lasts };
    let Some(listening) = listening else {
        return certain(LIKELY.to_owned(), false);
    };
    // Docker's own resolver listens in every container.
    let is_docker = |at: &&SocketAddr| at.ip() == IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
    let listening = listening.iter().filter(|at| !is_docker(at));
    let mut own = listening.clone().filter(|at| at.port() == port).peekable();
    if let Some(at) = own.peek().copied() {
        if own.all(|at| at.ip().to_canonical().is_loopback()) {
            return certain(
                format!(
                    "it listens on {at} inside its container, where nothing outside reaches it; make it listen on 0.0.0.0, by command or environmentVariables"
                ),
                true,
            );
        }
        return certain(
            format!("something listens at port {port} in its container"),
            false,
        );
    }
    let mut ports: Vec<_> = listening.map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<_> = ports.iter().take(8).map(u16::to_string).collect();
    certain(
        if ports.is_empty() {
            format!("nothing listens in its container yet; it should at port {port}")
        } else {
            format!(
                "nothing listens at port {port} in its container, but at {}; set portMappings",
                ports.join(", ")
            )
        },
        false,
    )
}

/// The port as this machine reaches it.
fn address_of(port: &PortBinding) -> Option<SocketAddr> {
    if port.protocol != Protocol::Tcp {
        return None;
    }
    let ip = match port.host_ip.parse().ok()? {
        IpAddr::V4(ip) if !ip.is_unspecified() => ip.into(),
        IpAddr::V6(ip) if !ip.is_unspecified() => ip.into(),
        // Published everywhere, so here too.
        _ => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    Some(SocketAddr::new(ip, port.host_port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_in_the_container_explains_why_nothing_answers() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let docker_dns = at("127.0.0.11:40000");
        for (listening, words, lasts) in [
            (
                None,
                "likely it is not up yet, or listens on 127.0.0.1",
                false,
            ),
            (Some(vec![]), "nothing listens in its container yet", false),
            (
                Some(vec![at("127.0.0.1:8080")]),
                "it listens on 127.0.0.1:8080 inside",
                true,
            ),
            (
                Some(vec![at("[::1]:8080")]),
                "it listens on [::1]:8080 inside",
                true,
            ),
            (
                Some(vec![at("127.0.0.1:8080"), at("0.0.0.0:8080")]),
                "something listens at port 8080",
                false,
            ),
            (
                Some(vec![at("0.0.0.0:3000"), at("[::]:3000"), docker_dns]),
                "nothing listens at port 8080 in its container, but at 3000; set portMappings",
                false,
            ),
        ] {
            let found = explanation(8080, listening.as_deref());
            assert!(found.words.starts_with(words), "{}", found.words);
            assert_eq!(found.lasts, lasts, "{listening:?}");
        }
    }
}
