//! The servers that one caller may use, as one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use toolbox_api::dtma::{Desired, Phase};
use toolbox_api::mcp::McpState;
use toolbox_api::mcp_access::McpGrant;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::access::Allowed;
use toolbox_mcp::limits::Limits;
use toolbox_mcp::merge::{Member, Servers};
use toolbox_mcp::rpc;
use toolbox_mcp::wire::reply;
use uuid::Uuid;

use super::pin::{OTHERS, Pinned};
use super::{Handle, Served, since_start};

/// What a caller was given.
#[derive(Clone)]
pub(super) struct Granted {
    handle: Handle,
    allowed: Arc<BTreeMap<ToolInstanceId, One>>,
    /// What the client calls itself.
    client: Arc<str>,
}

/// What a caller was given of one server.
struct One {
    allowed: Allowed,
    /// The fingerprint of its tools, where they are pinned.
    pin: Option<String>,
}

impl Granted {
    pub(super) fn new(
        handle: Handle,
        grants: Vec<McpGrant>,
        pins: &BTreeMap<ToolInstanceId, String>,
        client: String,
    ) -> Self {
        let mut allowed = BTreeMap::new();
        for grant in grants {
            let tools = grant.tools.map(|tools| tools.into_iter().collect());
            for id in grant.instances {
                let of_one = Allowed {
                    tools: tools.clone(),
                    read_only: grant.read_only,
                    ..Allowed::default()
                };
                let one = One {
                    allowed: of_one,
                    pin: pins.get(&id).cloned(),
                };
                allowed.insert(id, one);
            }
        }
        Self {
            handle,
            allowed: Arc::new(allowed),
            client: client.into(),
        }
    }

    fn member(&self, id: ToolInstanceId, one: &One, served: &Served) -> Option<Member> {
        let view = served.entry.view()?;
        let record = self.handle.store.find(id)?;
        let start = record.current.spec.wire().mcp_start_timeout_seconds;
        let start = start.map(|seconds| Duration::from_secs(seconds.into()));
        let health = since_start(served.known_health(), &view);
        let is_idle = health.state == McpState::Idle;
        // One that is just started is there, as it was before.
        let is_awaited = is_idle || served.idle.is_some() && health.state == McpState::Starting;
        let absent = if view.desired != Desired::Running {
            Some("it is stopped".to_owned())
        } else if served.bridge.is_none() {
            Some(health.evidence.clone())
        } else if view.phase == Phase::Error {
            view.reason.as_ref().map(|reason| reason.message.clone())
        } else {
            let pin = one.pin.as_deref();
            let is_held = pin.is_some_and(|pin| matches!(Pinned::of(served, pin), Pinned::Others));
            is_held.then(|| OTHERS.to_owned())
        };
        Some(Member {
            id: *id.as_uuid(),
            name: without_digits(&record.container_name).to_owned(),
            absent,
            is_well: matches!(health.state, McpState::Healthy | McpState::Degraded) || is_awaited,
            is_idle,
            version: health.tools_fingerprint,
            run: view.started_at.clone(),
            ready: Limits::default().with_times(None, start).ready,
        })
    }
}

/// The readable beginning of a container's name.
fn without_digits(name: &str) -> &str {
    name.rsplit_once('-').map_or(name, |(slug, _)| slug)
}

impl Servers for Granted {
    fn members(&self) -> Vec<Member> {
        let each = self.allowed.iter();
        each.filter_map(|(id, one)| self.member(*id, one, &self.handle.find(*id)?))
            .collect()
    }

    fn listed(&self, id: Uuid) -> Option<Vec<String>> {
        let id = ToolInstanceId::from(id);
        let One { allowed, pin } = self.allowed.get(&id)?;
        let bridge = self.handle.find(id)?.bridge?;
        let tools = bridge.memory().borrow().tools.clone()?;
        // An entry may be another than the one of its name that counts.
        let seen = tools.entries()?.iter().filter(|entry| {
            (allowed.is_all() || allowed.may_see(entry)) && (pin.is_none() || tools.lists(entry))
        });
        Some(seen.cloned().collect())
    }

    async fn serve(&self, id: Uuid, request: Request<Body>) -> Response<Body> {
        let id = ToolInstanceId::from(id);
        let one = self.allowed.get(&id);
        let bridge = self.handle.find(id).and_then(|served| served.bridge);
        let (Some(bridge), Some(one)) = (bridge, one) else {
            let text = "the server is gone";
            let body = rpc::error("null", rpc::code::UNAVAILABLE, text, None);
            return reply::json(StatusCode::SERVICE_UNAVAILABLE, body);
        };
        let (allowed, pin) = (one.allowed.clone(), one.pin.as_deref());
        self.handle
            .serve(id, &bridge, request, allowed, pin, &self.client)
            .await
    }
}
