//! How the agent of a toolbox is called.

use std::sync::Arc;
use std::time::Duration;

use toolbox_api::dtma::{DeployRequest, LogLine, ToolList, ToolView};
use toolbox_api::error::ApiError;
use toolbox_api::mcp_pin::McpTools;
use toolbox_clients::dtma::{Agent, AgentError, Command, Deleted, LogQuery};
use toolbox_clients::supabase::rows::EnvironmentRow;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::keys::McpToken;
use toolbox_domain::sealing::SealingKeys;
use toolbox_http::{BodyStream, BoxFuture, ThreadSafe};

/// What a call to an agent gives.
pub type AgentFuture<'a, T> = BoxFuture<'a, Result<T, AgentError>>;

/// The agent of one toolbox, as one request may call it. A `wait` lets it answer later, with the end of what was asked.
pub trait InstanceAgent: ThreadSafe {
    /// Everything on the machine.
    fn list(&self) -> AgentFuture<'_, ToolList>;

    /// One instance. With `wait`, once it is settled at `generation` or later.
    fn get(
        &self,
        id: ToolInstanceId,
        generation: Option<u64>,
        wait: Option<Duration>,
    ) -> AgentFuture<'_, Box<ToolView>>;

    /// Gives the agent all of what is desired. Success means that it is durable on the machine.
    fn deploy<'a>(
        &'a self,
        id: ToolInstanceId,
        request: &'a DeployRequest,
        wait: Option<Duration>,
    ) -> AgentFuture<'a, Box<ToolView>>;

    /// Starts, stops or restarts.
    fn command(
        &self,
        id: ToolInstanceId,
        command: Command,
        generation: u64,
        wait: Option<Duration>,
    ) -> AgentFuture<'_, Box<ToolView>>;

    /// Removes. An instance that the agent does not know is gone already.
    fn delete(
        &self,
        id: ToolInstanceId,
        generation: u64,
        wait: Option<Duration>,
    ) -> AgentFuture<'_, Deleted>;

    /// What the instance's MCP server says of its tools now.
    fn mcp_tools(&self, id: ToolInstanceId) -> AgentFuture<'_, McpTools>;

    /// Log lines that were written.
    fn logs<'a>(&'a self, id: ToolInstanceId, query: &'a LogQuery)
    -> AgentFuture<'a, Vec<LogLine>>;

    /// Log lines as they are written, as `application/x-ndjson`, for at most `longest`.
    fn follow_logs<'a>(
        &'a self,
        id: ToolInstanceId,
        query: &'a LogQuery,
        longest: Duration,
    ) -> AgentFuture<'a, BodyStream>;
}

/// The agents of all toolboxes.
pub trait Agents: ThreadSafe {
    /// The agent of `toolbox`. It logs what it is asked under `request_id`.
    fn connect(
        &self,
        toolbox: &EnvironmentRow,
        request_id: &Arc<str>,
    ) -> Result<Arc<dyn InstanceAgent>, ApiError>;

    /// Address and token of an instance's MCP endpoint on its machine.
    fn mcp_endpoint(
        &self,
        toolbox: &EnvironmentRow,
        instance: ToolInstanceId,
    ) -> Result<(String, McpToken), ApiError>;

    /// The keys that seal the specs of a toolbox in the database. The agent itself holds none of them.
    fn sealing_keys(&self, toolbox: ToolboxId) -> Result<SealingKeys, ApiError>;
}

/// Over HTTPS.
impl InstanceAgent for Agent {
    fn list(&self) -> AgentFuture<'_, ToolList> {
        Box::pin(self.list())
    }

    fn get(
        &self,
        id: ToolInstanceId,
        generation: Option<u64>,
        wait: Option<Duration>,
    ) -> AgentFuture<'_, Box<ToolView>> {
        Box::pin(self.get(id, generation, wait))
    }

    fn deploy<'a>(
        &'a self,
        id: ToolInstanceId,
        request: &'a DeployRequest,
        wait: Option<Duration>,
    ) -> AgentFuture<'a, Box<ToolView>> {
        Box::pin(self.deploy(id, request, wait))
    }

    fn command(
        &self,
        id: ToolInstanceId,
        command: Command,
        generation: u64,
        wait: Option<Duration>,
    ) -> AgentFuture<'_, Box<ToolView>> {
        Box::pin(self.command(id, command, generation, wait))
    }

    fn delete(
        &self,
        id: ToolInstanceId,
        generation: u64,
        wait: Option<Duration>,
    ) -> AgentFuture<'_, Deleted> {
        Box::pin(self.delete(id, generation, wait))
    }

    fn mcp_tools(&self, id: ToolInstanceId) -> AgentFuture<'_, McpTools> {
        Box::pin(self.mcp_tools(id))
    }

    fn logs<'a>(
        &'a self,
        id: ToolInstanceId,
        query: &'a LogQuery,
    ) -> AgentFuture<'a, Vec<LogLine>> {
        Box::pin(self.logs(id, query))
    }

    fn follow_logs<'a>(
        &'a self,
        id: ToolInstanceId,
        query: &'a LogQuery,
        longest: Duration,
    ) -> AgentFuture<'a, BodyStream> {
        Box::pin(self.follow_logs(id, query, longest))
    }
}
