//! Servers whose owner pinned their tools: when a caller may come in, and what the owner is shown.
//!
//! The control plane says with each request which tools were accepted, by their fingerprint. What counts is what the agent
//! itself heard since the server was started last, so nobody comes in before that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use toolbox_api::dtma::{Desired, Phase};
use toolbox_api::error::ErrorCode;
use toolbox_api::mcp::McpState;
use toolbox_api::mcp_access::McpGrant;
use toolbox_api::mcp_pin::McpTools;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::redact::Redactor;
use toolbox_mcp::tools::Toolset;

use super::all::Granted;
use super::{Handle, LOOK, Served, since_start};

/// What callers are told of a server that lists other tools than those that were accepted.
pub(super) const OTHERS: &str = "its tools changed, so it is held back until its owner has seen the difference and accepts it; \
the console shows it on the page Tools of the server";

/// How long somebody waits until a server that was just started has told its tools. Nothing is sent meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the tools that a server lists stand to those that were accepted.
pub(super) enum Pinned {
    /// They are the same.
    Accepted(Arc<Toolset>),
    /// They are others.
    Others,
    /// Nobody has heard them since the server was started, and somebody soon will.
    Unheard,
    /// They cannot be heard, and why.
    Unknown(String),
}

/// Why a caller does not come in: HTTP status, stable code, words.
pub(super) type Held = (StatusCode, &'static str, String);

impl Pinned {
    pub(super) fn of(served: &Served, pin: &str) -> Self {
        let Some(view) = served.entry.view() else {
            return Self::Unknown("the instance is gone".to_owned());
        };
        if view.desired != Desired::Running {
            return Self::Unknown("the tool is stopped".to_owned());
        }
        if let (Phase::Error, Some(reason)) = (view.phase, &view.reason) {
            return Self::Unknown(reason.message.clone());
        }
        let health = since_start(served.known_health(), &view);
        let Some(bridge) = &served.bridge else {
            return Self::Unknown(health.evidence);
        };
        // A call starts one that is idle before it comes here. Who only listens is told nothing by it.
        let rests = served.entry.published().rests;
        let time = |text: Option<&str>| OffsetDateTime::parse(text?, &Rfc3339).ok();
        let started = time(view.started_at.as_deref());
        let is_heard = view.phase == Phase::Running
            && started.is_some()
            && time(health.last_success_at.as_deref()) >= started;
        if rests || is_heard {
            let memory = bridge.memory();
            let memory = memory.borrow();
            let tools = memory.tools.as_ref();
            return match tools.filter(|tools| tools.fingerprint() == pin) {
                Some(tools) => Self::Accepted(Arc::clone(tools)),
                None => Self::Others,
            };
        }
        if health.state == McpState::Starting || view.phase != Phase::Running {
            Self::Unheard
        } else {
            Self::Unknown(health.evidence)
        }
    }
}

impl Handle {
    /// The tools of a server, if they are those that `pin` stands for. One that was just started is waited for a little.
    pub(super) async fn accepted(
        &self,
        id: ToolInstanceId,
        pin: &str,
    ) -> Result<Arc<Toolset>, Held> {
        let unknown = |why: String| {
            let text = format!(
                "the tools of this server are pinned, and it is not known which it lists now: {why}"
            );
            (
                StatusCode::SERVICE_UNAVAILABLE,
                ErrorCode::McpToolsUnknown.as_str(),
                text,
            )
        };
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(served) = self.find(id) else {
                return Err(unknown("the instance is gone".to_owned()));
            };
            match Pinned::of(&served, pin) {
                Pinned::Accepted(tools) => return Ok(tools),
                Pinned::Others => {
                    let code = ErrorCode::McpToolsChanged.as_str();
                    return Err((StatusCode::CONFLICT, code, OTHERS.to_owned()));
                }
                Pinned::Unknown(why) => return Err(unknown(why)),
                Pinned::Unheard if Instant::now() >= until => {
                    return Err(unknown("it is still starting; try again".to_owned()));
                }
                Pinned::Unheard => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// The definitions of the tools that a server lists now, for its owner and without the secrets that it was given; or why they
    /// are not known.
    pub async fn definitions(&self, id: ToolInstanceId) -> Result<McpTools, String> {
        let grant = McpGrant {
            instances: vec![id],
            tools: None,
            read_only: false,
        };
        let servers = Granted::new(self.clone(), vec![grant], &BTreeMap::new(), String::new());
        let mut listed = Box::pin(self.merge.definitions(servers)).await?;
        if let Some(record) = self.store.find(id) {
            let redactor = Redactor::new(record.current.spec.secrets());
            let tools = listed.tools.iter_mut();
            tools.for_each(|tool| tool.values_mut().for_each(|value| redactor.hide_in(value)));
        }
        if let Some(bridge) = self.find(id).and_then(|served| served.bridge) {
            let is_known = {
                let memory = bridge.memory();
                let memory = memory.borrow();
                let known = memory.tools.as_ref().map(|known| known.fingerprint());
                known == Some(&listed.fingerprint)
            };
            if !is_known {
                bridge.look();
            }
        }
        Ok(listed)
    }
}
