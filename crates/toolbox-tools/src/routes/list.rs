//! All instances of a toolbox: the database joined with the agent's view, in two round trips.

use std::rc::Rc;

use toolbox_api::dtma::{ToolList, ToolView};
use toolbox_api::edge::{AgentView, ListResponse, ToolInstanceView};
use toolbox_api::moment::Moment;
use toolbox_clients::dtma::{Agent, AgentError, Deleted};
use toolbox_clients::supabase::Select;
use toolbox_clients::supabase::rows::{EnvironmentRow, InstanceRow};
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, ApiError, App, Cx, Reply, reply};

use crate::toolbox::toolbox_id;
use crate::{sighting, toolbox};

/// `GET /{toolboxId}/tools`.
pub(super) fn handle(cx: Cx) -> Answer {
    Box::pin(async move { list(&cx, toolbox_id(cx.param(0))?).await })
}

/// Answers with what is known: live where the agent answers, last known with its age where not.
pub(super) async fn list(cx: &Cx, toolbox_id: ToolboxId) -> Result<Reply, ApiError> {
    let found = toolbox::find(cx, toolbox_id, Select::All).await?;
    let live = match toolbox::agent(cx, &found) {
        Ok(agent) => match ask(&agent, toolbox_id).await {
            Ok(list) => Ok((agent, list)),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error),
    };
    let now = cx.app.moment();
    let (agent, tool_instances, orphan_tools, foreign_containers) = match live {
        Ok((agent, list)) => {
            let view = present(&found, Some(list.version.clone()), &now.text);
            let (instances, orphans, foreign) = joined(cx, &agent, found.instances, list, &now)?;
            (view, instances, orphans, foreign)
        }
        Err(error) => {
            let view = absent(&error, &found, &now.text);
            (view, last_known(*found, &now)?, Vec::new(), Vec::new())
        }
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
            last_checked: now.text,
            request_id: cx.request_id.to_string(),
        },
    )
}

async fn ask(agent: &Agent, toolbox_id: ToolboxId) -> Result<ToolList, AgentError> {
    let list = agent.list().await?;
    // The address belongs to another toolbox now; its containers are none of the caller's business.
    if list.toolbox_id == toolbox_id {
        Ok(list)
    } else {
        Err(AgentError::BadResponse { status: 200 })
    }
}

/// The agent answered.
pub(super) fn present(
    toolbox: &EnvironmentRow,
    version: Option<String>,
    checked_at: &str,
) -> AgentView {
    AgentView {
        reachable: true,
        code: None,
        message: None,
        version,
        unresponsive_since: toolbox.unresponsive_since.clone(),
        checked_at: checked_at.to_owned(),
    }
}

/// Why the agent's view is missing.
pub(super) fn absent(error: &ApiError, toolbox: &EnvironmentRow, checked_at: &str) -> AgentView {
    AgentView {
        reachable: false,
        code: Some(error.code.as_str().to_owned()),
        message: Some(error.message().to_owned()),
        ..present(toolbox, toolbox.dtma_last_known_version.clone(), checked_at)
    }
}

fn last_known(
    mut toolbox: EnvironmentRow,
    now: &Moment,
) -> Result<Vec<ToolInstanceView>, ApiError> {
    let rows = std::mem::take(&mut toolbox.instances);
    rows.into_iter()
        .map(|row| sighting::last_known(*row, &toolbox, now).map_err(ApiError::from))
        .collect()
}

type Joined = (
    Vec<ToolInstanceView>,
    Vec<ToolView>,
    Vec<toolbox_api::dtma::ForeignContainer>,
);

#[allow(clippy::vec_box, reason = "rows are handed on one by one, as pointers")]
fn joined(
    cx: &Cx,
    agent: &Agent,
    rows: Vec<Box<InstanceRow>>,
    list: ToolList,
    now: &Moment,
) -> Result<Joined, ApiError> {
    let mut views = list.tools;
    let mut instances = Vec::with_capacity(rows.len());
    let mut news = Vec::new();
    for row in rows {
        let at = views.iter().position(|view| view.id == row.id);
        let view = at.map(|at| Box::new(views.swap_remove(at)));
        if sighting::is_news(&row, view.as_deref()) {
            news.push((row.clone(), view.clone()));
        }
        instances.push(sighting::view(*row, Some(view), now)?);
    }
    heal(cx, agent, news);
    Ok((instances, views, list.foreign))
}

/// Records, after the answer, what the agent shows differently from the rows.
pub(super) fn heal(cx: &Cx, agent: &Agent, news: Vec<(Box<InstanceRow>, Option<Box<ToolView>>)>) {
    if news.is_empty() {
        return;
    }
    let (app, request_id) = (Rc::clone(&cx.app), Rc::clone(&cx.request_id));
    let agent = agent.clone();
    cx.app.host.background(Box::pin(async move {
        for (row, view) in news {
            if let Err(error) = heal_one(&app, &agent, &row, view.as_deref(), &request_id).await {
                app.log(&request_id, "observe", &error);
            }
        }
    }));
}

/// That an agent shows nothing of an instance does not end its row: what was sent before the deletion may still be on
/// its way and make it again. The answer to a deletion does, because the agent then refuses what comes late.
async fn heal_one(
    app: &App,
    agent: &Agent,
    row: &InstanceRow,
    view: Option<&ToolView>,
    request_id: &str,
) -> Result<(), ApiError> {
    if view.is_none() && sighting::is_leaving(row)? {
        match agent.delete(row.id, row.generation, None).await? {
            Deleted::Gone => {}
            Deleted::Pending(_) => return Ok(()),
        }
    }
    sighting::record(app, row, view, None, request_id).await?;
    Ok(())
}
