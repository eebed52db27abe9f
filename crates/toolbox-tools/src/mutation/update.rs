//! A new image or configuration for an instance that exists. The agent keeps the old version
//! running until the new one has started; when it does not start, so does the stored spec. What is
//! to be stopped stays stopped: the new version is fetched and tried when it is started.

use toolbox_api::edge::{Action, ConfigOverride};
use toolbox_api::error::ErrorCode;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::{Desired, Request};
use toolbox_edge::{ApiError, Cx, Reply};

use super::begin::{self, Accepted, Intent, NewSpec};
use super::{Operation, conclude};
use crate::spec;
use crate::toolbox::{self, Target};

/// Applies `wanted` to what the instance runs.
pub(crate) async fn update(
    cx: &Cx,
    toolbox_id: ToolboxId,
    target: &Target,
    wanted: &ConfigOverride,
) -> Result<Reply, ApiError> {
    let wait = cx.wait()?;
    let mut intent = Intent::new(
        cx,
        toolbox_id,
        Action::Update,
        Request::Update,
        Desired::Running,
    )?;
    let (found, row) = toolbox::find_instance(cx, toolbox_id, target).await?;
    begin::check_toolbox(&found)?;
    let agent = toolbox::agent(cx, &found)?;
    if row.desired()? == Desired::Stopped {
        intent.desired = Desired::Stopped;
    }
    // The caller was just shown to own it.
    let stored = cx.app.supabase.spec(row.id).await?;
    let stored = stored.ok_or_else(|| ApiError::new(ErrorCode::InstanceNotFound))?;
    // Only then can a variable be lost that the catalog entry requires.
    let catalog = match row.tool_catalog_id {
        Some(id) if wanted.environment_variables.is_some() => {
            let token = &cx.caller()?.token;
            cx.app.supabase.catalog_tool(token, id).await?
        }
        _ => None,
    };
    let spec = spec::of_update(stored.spec, catalog.as_deref(), wanted)?;
    let new = NewSpec {
        spec: &spec,
        generation: stored.generation,
    };
    match begin::existing(&intent, row, Some(new)).await? {
        Accepted::Replayed(reply) => Ok(reply),
        Accepted::Started(started) => {
            let operation = Operation::new(cx, toolbox_id, agent, Action::Update, *started);
            conclude::run(operation, wait).await
        }
    }
}
