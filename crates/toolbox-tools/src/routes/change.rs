//! The paths that change an instance, and the answer to every change.

use toolbox_api::edge::{Action, MutationResponse, ToolInstanceView, UpdateToolRequest};
use toolbox_api::error::ApiError;
use toolbox_api::mcp::McpState;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::InstanceStatus;
use toolbox_edge::{Answer, Reply, RequestContext, reply};
use toolbox_instances::change::Change;
use toolbox_instances::{Outcome, Progress, UserRequest};

use super::instance;
use crate::host::{change_request, instances};

pub(super) fn start(cx: RequestContext) -> Answer {
    change(cx, Change::Start)
}

pub(super) fn stop(cx: RequestContext) -> Answer {
    change(cx, Change::Stop)
}

pub(super) fn restart(cx: RequestContext) -> Answer {
    change(cx, Change::Restart)
}

pub(super) fn delete(cx: RequestContext) -> Answer {
    change(cx, Change::Delete)
}

fn change(cx: RequestContext, change: Change) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let request = change_request(&cx).await?;
        let outcome = instances(&cx)?
            .change(&request, toolbox, &target, change)
            .await?;
        answer(&cx, &request, toolbox, outcome)
    })
}

pub(super) fn update(cx: RequestContext) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        let body: UpdateToolRequest = cx.json().await?;
        let request = change_request(&cx).await?;
        let outcome = instances(&cx)?
            .update(&request, toolbox, &target, &body.base_config_override_json)
            .await?;
        answer(&cx, &request, toolbox, outcome)
    })
}

/// That the tool runs is not all that was asked for, if its MCP server cannot be used. A clause that says so and why.
fn not_healthy(instance: &ToolInstanceView) -> String {
    let Some(mcp) = &instance.mcp else {
        return String::new();
    };
    let is = match mcp.state {
        _ if instance.status_on_toolbox != InstanceStatus::Running.as_str() => {
            return String::new();
        }
        McpState::Healthy => return String::new(),
        McpState::Degraded => "and its MCP server is degraded",
        McpState::Starting => "and its MCP server is still starting",
        McpState::Unhealthy => "but its MCP server is unhealthy",
        McpState::Unreachable => "but its MCP server is unreachable",
        McpState::NotMcp => "but what answers is no MCP server",
        McpState::Idle => "and its MCP server is idle",
    };
    format!(", {is}: {}", mcp.evidence)
}

/// The answer to a change that was accepted, or has ended as asked.
pub(super) fn answer(
    cx: &RequestContext,
    request: &UserRequest,
    toolbox: ToolboxId,
    outcome: Outcome,
) -> Result<Reply, ApiError> {
    let id = outcome.instance_id;
    let is_deploy = outcome.action == Action::Deploy;
    let (status, progress) = match outcome.progress {
        Progress::Accepted => (202, "Accepted"),
        Progress::Done => (if is_deploy { 201 } else { 200 }, "Done"),
    };
    let state = outcome
        .instance
        .as_ref()
        .map_or("deleted", |instance| &instance.status_on_toolbox)
        .to_owned();
    let mcp = outcome
        .instance
        .as_ref()
        .map_or_else(String::new, not_healthy);
    let mut reply = reply::json(
        status,
        &MutationResponse {
            success: true,
            action: outcome.action,
            instance_id: id,
            id,
            message: format!(
                "{progress}: {}; the tool is {state}{mcp}",
                outcome.action.as_str()
            ),
            status: state,
            tool_instance: outcome.instance,
            operation: outcome.operation,
            via: outcome.via,
            request_id: cx.request_id.to_string(),
            timestamp: cx.state.timestamp(),
        },
    )?;
    // What a repeated request asked for beside the change was done when it was made first.
    if !outcome.replayed {
        if is_deploy {
            let location = format!("/functions/v1/toolbox-tools/{toolbox}/tools/{id}");
            reply.headers.set("location", location);
        }
        if let Some(wait) = request.wait {
            let applied = format!("wait={}", wait.as_secs());
            reply.headers.set("preference-applied", applied);
        }
    }
    Ok(reply)
}
