//! The machine is asked now.

use std::sync::Arc;

use toolbox_api::dtma::Status;
use toolbox_api::error::{ApiError, ErrorBody};
use toolbox_api::toolboxes::{ToolboxKind, ToolboxRefreshed};
use toolbox_clients::supabase::toolboxes::ToolboxRow;
use toolbox_edge::{Reply, RequestContext, reply};
use toolbox_instances::reach::HttpsAgents;
use toolbox_provisioning::view::view;

use crate::{bought, routes};

/// Answers what the machine said, or as it failed; either way with what was last known and how old that is. Nothing is
/// written: what machines report themselves is what counts.
pub(crate) async fn refresh(cx: &RequestContext) -> Result<Reply, ApiError> {
    let mut row = routes::find(cx).await?;
    if row.kind == ToolboxKind::Droplet {
        if let Err(error) = bought::look(cx, &row).await {
            // The agent's own answer counts more than DigitalOcean's.
            cx.state.log(&cx.request_id, "refresh-status", &error);
        }
        row = routes::read(cx, row.toolbox.id).await?;
    }
    // A machine that is being made has no agent to ask.
    let is_made = row.kind == ToolboxKind::Byo || row.last_heartbeat_at.is_some();
    let asked = if is_made {
        ask(cx, &row).await.map(Some)
    } else {
        Ok(None)
    };
    let mut answer = ToolboxRefreshed {
        toolbox: view(cx.state.clock.now(), &row),
        agent_version: None,
        docker_reachable: None,
        checked_at: cx.state.timestamp(),
        error: None,
    };
    let status = match asked {
        Ok(None) => 200,
        Ok(Some(status)) => {
            answer.agent_version = Some(status.version);
            answer.docker_reachable = Some(status.docker.reachable);
            200
        }
        Err(error) => {
            if error.code.status() >= 500 {
                cx.state.log(&cx.request_id, "refresh-status", &error);
            }
            answer.error = Some(ErrorBody {
                code: error.code.as_str().to_owned(),
                message: error.message().to_owned(),
                details: None,
                request_id: cx.request_id.to_string(),
            });
            error.code.status()
        }
    };
    reply::json(status, &answer)
}

async fn ask(cx: &RequestContext, row: &ToolboxRow) -> Result<Box<Status>, ApiError> {
    let secrets = cx.state.config.agents.as_ref()?;
    let agents = HttpsAgents {
        transport: Arc::clone(&cx.state.transport),
        deadline: cx.state.config.upstream_timeout,
        root_secret: secrets.root_secret.clone(),
        previous_root_secret: secrets.previous_root_secret.clone(),
    };
    let agent = agents.program_at(&row.toolbox, row.toolbox.dtma_port, &cx.request_id)?;
    Ok(agent.status().await?)
}
