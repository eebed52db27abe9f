//! The endpoint of an instance's HTTP server: the port it publishes on this machine, and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use toolbox_api::dtma::{Desired, Phase, PortBinding, Protocol};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::http::{Locate, Target};
use toolbox_mcp::process::NotRunning;

use crate::instances::{Entry, Shared};

/// Path of the endpoint where the spec names none.
const DEFAULT_PATH: &str = "/mcp";

/// Reads an instance's endpoint from the ports that the agent published for it.
pub(super) struct PublishedEndpoint {
    pub(super) id: ToolInstanceId,
    pub(super) entry: Entry,
    pub(super) shared: Arc<Shared>,
    /// The path, by the release it was read from.
    pub(super) path: std::sync::Mutex<Option<(u64, String)>>,
}

impl Locate for PublishedEndpoint {
    fn locate(&self) -> Result<Target, NotRunning> {
        let not_running = |reason: &str, intended| NotRunning {
            reason: reason.to_owned(),
            intended,
        };
        let view = self
            .entry
            .view()
            .ok_or_else(|| not_running("the instance is gone", true))?;
        if view.desired != Desired::Running {
            return Err(not_running("the tool is stopped", true));
        }
        if view.phase != Phase::Running {
            let reason = view
                .reason
                .as_ref()
                .map_or("its container does not run", |reason| {
                    reason.message.as_str()
                });
            return Err(not_running(reason, false));
        }
        let address = view.ports.iter().find_map(published).ok_or_else(|| {
            not_running("it publishes no TCP port, so nothing can reach it", false)
        })?;
        Ok(Target {
            address,
            path: self.path(view.generation),
        })
    }
}

impl PublishedEndpoint {
    fn path(&self, generation: u64) -> String {
        let mut held = match self.path.lock() {
            Ok(held) => held,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some((of, path)) = &*held
            && *of == generation
        {
            return path.clone();
        }
        let record = self.shared.store.find(self.id);
        let path = record
            .and_then(|record| record.current.spec.into_wire().mcp_path)
            .filter(|path| path.starts_with('/'))
            .unwrap_or_else(|| DEFAULT_PATH.to_owned());
        *held = Some((generation, path.clone()));
        path
    }
}

/// The port as this machine reaches it.
fn published(port: &PortBinding) -> Option<SocketAddr> {
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
