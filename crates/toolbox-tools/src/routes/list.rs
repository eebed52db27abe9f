//! All instances of a toolbox: the database joined with the agent's view, in two round trips.

use std::rc::Rc;

use toolbox_api::dtma::{ToolList, ToolView};
use toolbox_api::edge::{AgentView, ListResponse, ToolInstanceView};
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::Select;
use toolbox_clients::supabase::rows::InstanceRow;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{ApiError, Cx, Reply, reply};

use crate::{sighting, toolbox};

/// Answers with what is known: live where the agent answers, last known with its age where not.
pub(super) async fn list(cx: &Cx, toolbox_id: ToolboxId) -> Result<Reply, ApiError> {
    let found = toolbox::find(cx, toolbox_id, Select::All).await?;
    let live = match toolbox::agent(&cx.app, &found) {
        Ok(agent) => ask(&agent, toolbox_id).await.map_err(ApiError::from),
        Err(error) => Err(error),
    };
    let checked_at = cx.app.timestamp();
    let (agent, live) = match live {
        Ok(list) => (
            AgentView {
                reachable: true,
                code: None,
                message: None,
                version: Some(list.version.clone()),
                checked_at: checked_at.clone(),
            },
            Some(list),
        ),
        Err(error) => (
            absent(&error, found.dtma_last_known_version.clone(), &checked_at),
            None,
        ),
    };
    let (tool_instances, orphan_tools, foreign_containers) = match live {
        Some(list) => joined(cx, found.instances, list)?,
        None => (last_known(cx, found.instances)?, Vec::new(), Vec::new()),
    };
    reply::json(
        200,
        &ListResponse {
            success: agent.reachable,
            tool_instances,
            dtma_connected: agent.reachable,
            connection_error: agent.message.clone(),
            agent,
            foreign_containers,
            orphan_tools,
            last_checked: checked_at,
            request_id: cx.request_id.to_string(),
        },
    )
}

async fn ask(
    agent: &toolbox_clients::dtma::Agent,
    toolbox_id: ToolboxId,
) -> Result<ToolList, AgentError> {
    let list = agent.list().await?;
    // The address belongs to another toolbox now; its containers are none of the caller's business.
    if list.toolbox_id == toolbox_id {
        Ok(list)
    } else {
        Err(AgentError::BadResponse { status: 200 })
    }
}

/// Why the agent's view is missing.
pub(super) fn absent(
    error: &ApiError,
    last_version: Option<String>,
    checked_at: &str,
) -> AgentView {
    AgentView {
        reachable: false,
        code: Some(error.code.as_str().to_owned()),
        message: Some(error.message().to_owned()),
        version: last_version,
        checked_at: checked_at.to_owned(),
    }
}

#[allow(clippy::vec_box, reason = "rows are handed on one by one, as pointers")]
fn last_known(cx: &Cx, rows: Vec<Box<InstanceRow>>) -> Result<Vec<ToolInstanceView>, ApiError> {
    let now = cx.app.clock.now();
    rows.into_iter()
        .map(|row| sighting::view(*row, None, now).map_err(ApiError::from))
        .collect()
}

type Joined = (
    Vec<ToolInstanceView>,
    Vec<ToolView>,
    Vec<toolbox_api::dtma::ForeignContainer>,
);

#[allow(clippy::vec_box, reason = "rows are handed on one by one, as pointers")]
fn joined(cx: &Cx, rows: Vec<Box<InstanceRow>>, list: ToolList) -> Result<Joined, ApiError> {
    let now = cx.app.clock.now();
    let mut views = list.tools;
    let mut instances = Vec::with_capacity(rows.len());
    let mut news = Vec::new();
    for row in rows {
        let at = views.iter().position(|view| view.id == row.id);
        let view = at.map(|at| Box::new(views.swap_remove(at)));
        if sighting::is_news(&row, view.as_deref()) {
            news.push((row.clone(), view.clone()));
        }
        instances.push(sighting::view(*row, Some(view.as_deref()), now)?);
    }
    heal(cx, news);
    Ok((instances, views, list.foreign))
}

/// Records, after the answer, what the agent shows differently from the rows.
pub(super) fn heal(cx: &Cx, news: Vec<(Box<InstanceRow>, Option<Box<ToolView>>)>) {
    if news.is_empty() {
        return;
    }
    let (app, request_id) = (Rc::clone(&cx.app), Rc::clone(&cx.request_id));
    cx.app.host.background(Box::pin(async move {
        for (row, view) in news {
            let recorded = sighting::record(&app, &row, view.as_deref(), None, &request_id).await;
            if let Err(error) = recorded {
                app.log(&request_id, "observe", &ApiError::from(error));
            }
        }
    }));
}
