//! Everything `manage-agent-tool-environment` answers.

use std::sync::Arc;
use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::backend::Backend;
use toolbox_clients::supabase::agents::AgentRow;
use toolbox_edge::{Answer, Function, Reply, RequestContext, Route, reply};
use toolbox_provisioning::agents;

/// Names this worker in rows.
const HOLDER: &str = "manage-agent-tool-environment";
/// How long steps are taken after the answer, if the platform lets it.
const BACKGROUND: Duration = Duration::from_secs(100);

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "manage-agent-tool-environment",
    users: Some(toolbox_edge::identity::user),
    routes: &[
        Route {
            method: "GET",
            path: "/{agentId}",
            handler: |cx| Box::pin(async move { read(&cx).await }),
        },
        Route {
            method: "POST",
            path: "/{agentId}",
            handler: |cx| Box::pin(async move { ensure(&cx).await }),
        },
        Route {
            method: "DELETE",
            path: "/{agentId}",
            handler: |cx| Box::pin(async move { remove(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/",
            handler: missing,
        },
        Route {
            method: "POST",
            path: "/",
            handler: missing,
        },
        Route {
            method: "DELETE",
            path: "/",
            handler: missing,
        },
    ],
};

fn missing(_: RequestContext) -> Answer {
    let error =
        ApiError::with_message(ErrorCode::InvalidRequest, "Agent ID is missing in the path");
    Box::pin(std::future::ready(Err(error)))
}

async fn read(cx: &RequestContext) -> Result<Reply, ApiError> {
    let agent = find(cx).await?;
    let token = &cx.caller()?.token;
    let row = match agent.account_tool_environment_id {
        Some(id) => cx.state.supabase.own_toolbox(token, id).await?,
        None => None,
    };
    let now = cx.state.clock.now();
    reply::json(200, &agents::state(now, &agent, row.as_deref()))
}

async fn ensure(cx: &RequestContext) -> Result<Reply, ApiError> {
    let wait = cx.wait()?;
    let agent = find(cx).await?;
    if let Some(backend) = backend(cx)? {
        let told = backend.ensure(agent.id, wait).await?;
        return reply::json(told.status, &told.body);
    }
    let provisioning = cx.state.provisioning()?;
    let row = provisioning
        .get()
        .ensure_for_agent(&agent, HOLDER, wait.unwrap_or_default(), &cx.request_id)
        .await?;
    let id = row.toolbox.id;
    cx.state.host.background(Box::pin(async move {
        // What it could not write, others find: the row is due again when the lease ends.
        let _ = provisioning.get().advance(id, HOLDER, BACKGROUND).await;
    }));
    let (status, answer) = agents::answer(cx.state.clock.now(), &agent, &row)?;
    reply::json(status, &answer)
}

async fn remove(cx: &RequestContext) -> Result<Reply, ApiError> {
    let agent = find(cx).await?;
    if let Some(backend) = backend(cx)? {
        let told = backend.remove(agent.id).await?;
        return reply::json(told.status, &told.body);
    }
    // Without a toolbox there is nothing to be configured for.
    let was_there = match agent.account_tool_environment_id {
        Some(_) => {
            let provisioning = cx.state.provisioning()?;
            let provisioning = provisioning.get();
            provisioning
                .remove_for_agent(&agent, HOLDER, &cx.request_id)
                .await?
        }
        None => false,
    };
    let (status, answer) = agents::removal(was_there);
    reply::json(status, &answer)
}

/// The agent that the path names, if it is the caller's.
async fn find(cx: &RequestContext) -> Result<AgentRow, ApiError> {
    let id = cx.param(0).parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the agent, a UUID",
        )
    })?;
    let agent = cx.state.supabase.agent(&cx.caller()?.token, id).await?;
    agent.ok_or_else(|| ApiError::new(ErrorCode::AgentNotFound))
}

/// The backend that does the work instead, if the operator names one.
fn backend(cx: &RequestContext) -> Result<Option<Backend>, ApiError> {
    let config = cx.state.config.backend.as_ref().map_err(|error| {
        ApiError::with_message(
            ErrorCode::NotConfigured,
            "Internal service communication not configured.",
        )
        .caused_by(error)
    })?;
    Ok(config.as_ref().map(|config| Backend {
        transport: Arc::clone(&cx.state.transport),
        url: config.url.clone(),
        secret: config.secret.clone(),
        deadline: cx.state.config.upstream_timeout,
        request_id: Arc::clone(&cx.request_id),
    }))
}
