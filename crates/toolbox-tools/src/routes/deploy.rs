//! A new instance.

use toolbox_api::edge::InvokeRequest;
use toolbox_api::error::ApiError;
use toolbox_api::problem::FieldError;
use toolbox_domain::ids::{CatalogToolId, ToolboxId};
use toolbox_domain::names::DisplayName;
use toolbox_edge::{Reply, RequestContext};
use toolbox_instances::deploy::NewTool;

use super::change;
use crate::host::{change_request, instances};

/// Deploys what the body asks for.
pub(super) async fn deploy(
    cx: &RequestContext,
    toolbox: ToolboxId,
    body: InvokeRequest,
) -> Result<Reply, ApiError> {
    let request = change_request(cx).await?;
    let quotas = cx.state.config.quotas.as_ref()?;
    let tool = new_tool(body, quotas.max_instances)?;
    let outcome = instances(cx)?.deploy(&request, toolbox, &tool).await?;
    change::answer(cx, &request, toolbox, outcome)
}

/// What a deploy cannot do without.
fn new_tool(body: InvokeRequest, max_instances: u32) -> Result<NewTool, ApiError> {
    let mut errors = Vec::new();
    let mut violated = |field: &str, code: &str, message: String| {
        errors.push(FieldError {
            field: field.to_owned(),
            code: code.to_owned(),
            message,
        });
    };
    let catalog_id = body
        .tool_catalog_id
        .as_deref()
        .map(str::parse::<CatalogToolId>);
    match &catalog_id {
        None => violated(
            "toolCatalogId",
            "required",
            "Give the id of a catalog entry".to_owned(),
        ),
        Some(Err(error)) => violated("toolCatalogId", "not_a_uuid", error.to_string()),
        Some(Ok(_)) => {}
    }
    let name = body
        .instance_name_on_toolbox
        .as_deref()
        .map(DisplayName::parse);
    match &name {
        None => {
            violated(
                "instanceNameOnToolbox",
                "required",
                "Give the instance a name".to_owned(),
            );
        }
        Some(Err(error)) => violated("instanceNameOnToolbox", error.code(), error.to_string()),
        Some(Ok(_)) => {}
    }
    match (catalog_id, name) {
        (Some(Ok(catalog_id)), Some(Ok(name))) => Ok(NewTool {
            catalog_id,
            name,
            config: body.base_config_override_json.unwrap_or_default(),
            max_instances,
            pin_tools: body.pin_tools.unwrap_or_default(),
        }),
        _ => Err(ApiError::validation(errors)),
    }
}
