//! One instance.

use toolbox_api::edge::{AgentView, GetResponse};
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{ApiError, Cx, Reply, reply};

use super::list::{absent, heal};
use crate::sighting;
use crate::toolbox::{self, Target};

/// Answers with the row joined with the agent's view of this instance.
pub(super) async fn get(
    cx: &Cx,
    toolbox_id: ToolboxId,
    target: &Target,
) -> Result<Reply, ApiError> {
    let (found, row) = toolbox::find_instance(cx, toolbox_id, target).await?;
    let live = match toolbox::agent(&cx.app, &found) {
        Ok(agent) => match agent.get(row.id, None, None).await {
            Ok(view) => Ok(Some(view)),
            Err(error) if error.is_instance_unknown() => Ok(None),
            Err(error) => Err(error.into()),
        },
        Err(error) => Err(error),
    };
    let now = cx.app.clock.now();
    let checked_at = cx.app.timestamp();
    let (agent, tool_instance) = match live {
        Ok(view) => {
            if sighting::is_news(&row, view.as_deref()) {
                heal(cx, vec![(row.clone(), view.clone())]);
            }
            let instance = sighting::view(*row, Some(view.as_deref()), now)?;
            let version = found.dtma_last_known_version;
            let agent = AgentView {
                reachable: true,
                code: None,
                message: None,
                version,
                checked_at,
            };
            (agent, instance)
        }
        Err(error) => (
            absent(&error, found.dtma_last_known_version, &checked_at),
            sighting::view(*row, None, now)?,
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
