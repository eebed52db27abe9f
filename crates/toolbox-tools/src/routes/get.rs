//! One instance.

use toolbox_api::edge::GetResponse;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Answer, ApiError, Cx, Reply, reply};

use super::instance;
use super::list::{absent, heal, present};
use crate::sighting;
use crate::toolbox::{self, Target};

/// `GET /{toolboxId}/tools/{instance}`.
pub(super) fn handle(cx: Cx) -> Answer {
    Box::pin(async move {
        let (toolbox, target) = instance(&cx)?;
        get(&cx, toolbox, &target).await
    })
}

/// Answers with the row joined with the agent's view of this instance.
pub(super) async fn get(
    cx: &Cx,
    toolbox_id: ToolboxId,
    target: &Target,
) -> Result<Reply, ApiError> {
    let (found, row) = toolbox::find_instance(cx, toolbox_id, target).await?;
    let live = match toolbox::agent(cx, &found) {
        Ok(agent) => match agent.get(row.id, None, None).await {
            Ok(view) => Ok((agent, Some(view))),
            Err(error) if error.is_instance_unknown() => Ok((agent, None)),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error),
    };
    let now = cx.app.moment();
    let (agent, tool_instance) = match live {
        Ok((agent, view)) => {
            if sighting::is_news(&row, view.as_deref()) {
                heal(cx, &agent, vec![(row.clone(), view.clone())]);
            }
            let instance = sighting::view(*row, Some(view), &now)?;
            let version = found.dtma_last_known_version.clone();
            (present(&found, version, &now.text), instance)
        }
        Err(error) => (
            absent(&error, &found, &now.text),
            sighting::last_known(*row, &found, &now)?,
        ),
    };
    reply::json(
        200,
        &GetResponse {
            success: agent.reachable,
            tool_instance,
            agent,
            request_id: cx.request_id.to_string(),
        },
    )
}
