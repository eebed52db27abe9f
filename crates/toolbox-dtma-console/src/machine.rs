//! The machine that a request names, and the ways to it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use toolbox_api::console::{LastHeartbeat, Way};
use toolbox_api::error::{ApiError, ErrorBody, ErrorCode};
use toolbox_api::moment;
use toolbox_clients::dtma::{Agent, AgentError};
use toolbox_clients::supabase::machines::MachineRow;
use toolbox_domain::ids::{ToolboxId, UserId};
use toolbox_edge::{FunctionState, RequestContext};
use toolbox_http::Clock;
use toolbox_instances::reach::{HttpsAgents, address};
pub(crate) use toolbox_instances::ways::{Failed, Reached, Refusal, Unreached};
use toolbox_instances::ways::{Programs, attempt, milliseconds};

/// A machine of the caller.
pub(crate) struct Machine {
    pub(crate) row: MachineRow,
    pub(crate) state: Rc<FunctionState>,
    pub(crate) request_id: Arc<str>,
    pub(crate) user: UserId,
    /// The caller's access token.
    pub(crate) token: Arc<str>,
    pub(crate) companion_port: u16,
    agents: HttpsAgents,
    /// How long the database took to answer with the row.
    pub(crate) database_ms: u64,
}

impl Machine {
    /// The machine of a toolbox that the caller owns.
    pub(crate) async fn find(cx: &RequestContext, id: ToolboxId) -> Result<Self, ApiError> {
        let caller = cx.caller()?;
        let state = &cx.state;
        let secrets = state.config.agents.as_ref()?;
        let companion_port = state.config.machines.as_ref()?.companion_port;
        let begun = state.clock.now();
        let row = state.supabase.machine(&caller.token, id).await?;
        let row = row.ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))?;
        Ok(Self {
            row,
            user: caller.user,
            token: Arc::clone(&caller.token),
            request_id: Arc::clone(&cx.request_id),
            companion_port,
            agents: HttpsAgents {
                transport: Arc::clone(&state.transport),
                deadline: state.config.upstream_timeout,
                root_secret: secrets.root_secret.clone(),
                previous_root_secret: secrets.previous_root_secret.clone(),
            },
            database_ms: milliseconds(state.clock.now().saturating_sub(begun)),
            state: Rc::clone(state),
        })
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.state.clock
    }

    /// Milliseconds since `begun`.
    pub(crate) fn ms_since(&self, begun: Duration) -> u64 {
        milliseconds(self.clock().now().saturating_sub(begun))
    }

    /// The address with a port of it.
    pub(crate) fn socket(&self, port: u16) -> Result<SocketAddr, ApiError> {
        Ok(SocketAddr::new(address(&self.row.toolbox)?, port))
    }

    pub(crate) fn agent(&self) -> Result<Agent, ApiError> {
        self.program(Way::DtmaEndpoint)
    }

    pub(crate) fn companion(&self) -> Result<Agent, ApiError> {
        self.program(Way::Companion)
    }

    fn program(&self, way: Way) -> Result<Agent, ApiError> {
        self.programs().program(way)
    }

    fn programs(&self) -> Programs<'_> {
        Programs {
            agents: &self.agents,
            toolbox: &self.row.toolbox,
            companion_port: self.companion_port,
            request_id: &self.request_id,
            clock: self.clock(),
        }
    }

    /// Asks the agent, else the companion, else by SSH.
    pub(crate) async fn reach<T>(
        &self,
        ask: impl AsyncFn(&Agent) -> Result<T, AgentError>,
        by_ssh: impl AsyncFnOnce() -> Result<T, Failed>,
    ) -> Result<Reached<T>, Unreached> {
        let mut tried = match self.reach_program(ask).await {
            Ok(reached) => return Ok(reached),
            Err(Refusal::Final(unreached)) => return Err(unreached),
            Err(Refusal::ForNow(unreached)) => unreached,
        };
        let begun = self.clock().now();
        match by_ssh().await {
            Ok(value) => Ok(Reached {
                way: Way::Ssh,
                value,
                ms: self.ms_since(begun),
                attempts: tried.attempts,
            }),
            Err(failed) => {
                let attempt = attempt(Way::Ssh, &failed, self.ms_since(begun));
                tried.attempts.push(attempt);
                tried.is_doubtful |= failed.is_doubtful;
                if failed.is_final {
                    tried.error = failed.error;
                }
                Err(tried)
            }
        }
    }

    /// Asks the agent, else the companion.
    pub(crate) async fn reach_program<T>(
        &self,
        ask: impl AsyncFn(&Agent) -> Result<T, AgentError>,
    ) -> Result<Reached<T>, Refusal> {
        self.programs().reach(ask).await
    }

    /// What was last heard of the machine without asking.
    pub(crate) fn last_heartbeat(&self) -> LastHeartbeat {
        let at = self.row.last_heartbeat_at.as_deref();
        let age = at
            .and_then(moment::parse)
            .map(|at| self.clock().now().saturating_sub(at).as_secs());
        LastHeartbeat {
            at: at.map(str::to_owned),
            age_seconds: age,
            version: self.row.toolbox.dtma_last_known_version.clone(),
            toolbox_status: self.row.toolbox.status.clone(),
        }
    }

    /// An error as a part of an answer. Its cause goes to the log.
    pub(crate) fn told(&self, what: &str, error: &ApiError) -> ErrorBody {
        if error.code.status() >= 500 {
            self.state.log(&self.request_id, what, error);
        }
        ErrorBody {
            code: error.code.as_str().to_owned(),
            message: error.message().to_owned(),
            details: None,
            request_id: self.request_id.to_string(),
        }
    }
}
