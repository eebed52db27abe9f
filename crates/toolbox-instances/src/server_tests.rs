//! What a native server needs: use cases that its threads can share and await, and agents reached in another way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use toolbox_api::dtma::{DeployRequest, LogLine, LogStream, ToolList, ToolView};
use toolbox_api::edge::ConfigOverride;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::mcp_pin::McpTools;
use toolbox_clients::dtma::{AgentError, Command, Deleted, LogQuery};
use toolbox_clients::supabase::rows::EnvironmentRow;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::keys::McpToken;
use toolbox_domain::names::DisplayName;
use toolbox_domain::sealing::{Owner, Roots, SealingKeys};
use toolbox_http::BodyStream;
use toolbox_http::recorded::{lock, run};

use crate::agent::{AgentFuture, Agents, InstanceAgent};
use crate::change::Change;
use crate::deploy::NewTool;
use crate::test_world::{DONE, World, request, target, toolbox};
use crate::testing::{CATALOG, view};

/// A machine that is reached without HTTP.
#[derive(Default)]
struct Direct {
    /// What was asked, in order.
    asked: Mutex<Vec<String>>,
}

/// Hands out the same machine for every toolbox.
struct DirectAgents(Arc<Direct>);

fn at_once<'a, T: Send + 'a>(result: Result<T, AgentError>) -> AgentFuture<'a, T> {
    Box::pin(std::future::ready(result))
}

fn tool(phase: &str, generation: u64) -> Box<ToolView> {
    serde_json::from_value(view(phase, generation)).unwrap()
}

impl InstanceAgent for Direct {
    fn list(&self) -> AgentFuture<'_, ToolList> {
        at_once(Err(AgentError::TooOld))
    }

    fn get(
        &self,
        _: ToolInstanceId,
        generation: Option<u64>,
        _: Option<Duration>,
    ) -> AgentFuture<'_, Box<ToolView>> {
        at_once(Ok(tool("running", generation.unwrap_or(4))))
    }

    fn deploy<'a>(
        &'a self,
        _: ToolInstanceId,
        request: &'a DeployRequest,
        _: Option<Duration>,
    ) -> AgentFuture<'a, Box<ToolView>> {
        at_once(Ok(tool("pending", request.generation)))
    }

    fn command(
        &self,
        _: ToolInstanceId,
        command: Command,
        generation: u64,
        _: Option<Duration>,
    ) -> AgentFuture<'_, Box<ToolView>> {
        lock(&self.asked).push(format!("{command:?} {generation}"));
        at_once(Ok(tool("stopped", generation)))
    }

    fn delete(&self, _: ToolInstanceId, _: u64, _: Option<Duration>) -> AgentFuture<'_, Deleted> {
        at_once(Ok(Deleted::Gone))
    }

    fn mcp_tools(&self, _: ToolInstanceId) -> AgentFuture<'_, McpTools> {
        at_once(Err(AgentError::TooOld))
    }

    fn logs<'a>(&'a self, _: ToolInstanceId, _: &'a LogQuery) -> AgentFuture<'a, Vec<LogLine>> {
        at_once(Ok(vec![LogLine {
            stream: LogStream::Stdout,
            time: None,
            line: "hello".to_owned(),
            truncated: false,
        }]))
    }

    fn follow_logs<'a>(
        &'a self,
        _: ToolInstanceId,
        _: &'a LogQuery,
        _: Duration,
    ) -> AgentFuture<'a, BodyStream> {
        at_once(Err(AgentError::TooOld))
    }
}

impl Agents for DirectAgents {
    fn connect(
        &self,
        _: &EnvironmentRow,
        _: &Arc<str>,
    ) -> Result<Arc<dyn InstanceAgent>, ApiError> {
        Ok(Arc::clone(&self.0) as _)
    }

    fn mcp_endpoint(
        &self,
        _: &EnvironmentRow,
        _: ToolInstanceId,
    ) -> Result<(String, McpToken), ApiError> {
        Err(ApiError::new(ErrorCode::AgentNotEnrolled))
    }

    fn sealing_keys(&self, toolbox: ToolboxId) -> Result<SealingKeys, ApiError> {
        let roots = Roots {
            current: &[7; 32],
            previous: None,
        };
        Ok(SealingKeys::derive(roots, Owner::Toolbox(toolbox)).unwrap())
    }
}

#[test]
fn a_machine_that_is_reached_in_another_way_takes_the_same_use_cases() {
    let world = World::new("running");
    let direct = Arc::new(Direct::default());
    let mut instances = world.instances.clone();
    instances.agents = Arc::new(DirectAgents(Arc::clone(&direct)));
    let (request, target) = (request(), target());
    let stop = instances.change(&request, toolbox(), &target, Change::Stop);
    let outcome = run(stop).unwrap();
    assert_eq!(Some(outcome.progress), DONE);
    assert_eq!(
        (world.status().as_str(), world.operation().as_str()),
        ("stopped", "succeeded")
    );
    assert_eq!(*lock(&direct.asked), ["Stop 5"]);
    let query = LogQuery::default();
    let found = run(instances.logs(&request, toolbox(), &target, &query)).unwrap();
    let lines = found.lines;
    assert_eq!(lines[0].line, "hello");
    assert!(world.sent_to_agent().is_empty(), "nothing went over HTTP");
}

#[test]
fn a_use_case_moves_between_threads() {
    let world = World::new("running");
    let instances = world.instances.clone();
    let work = async move {
        let request = request();
        let get = instances.get(&request, toolbox(), &target()).await;
        let wanted = ConfigOverride::default();
        let update = instances
            .update(&request, toolbox(), &target(), &wanted)
            .await;
        let tool = NewTool {
            catalog_id: CATALOG.parse().unwrap(),
            name: DisplayName::parse("another").unwrap(),
            config: wanted,
            max_instances: 100,
            pin_tools: false,
        };
        let deploy = instances.deploy(&request, toolbox(), &tool).await;
        let access = instances.mcp_access(&request, toolbox(), &target()).await;
        (get.is_ok(), update.is_ok(), deploy.is_err(), access.is_ok())
    };
    // Compiles only if the future is `Send`.
    let done = std::thread::spawn(move || run(work)).join().unwrap();
    assert_eq!(done, (true, true, true, true));
}
