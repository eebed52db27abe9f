//! A new instance.

use futures_util::future::join;
use toolbox_api::edge::{Action, InvokeRequest};
use toolbox_api::error::ErrorCode;
use toolbox_api::problem::FieldError;
use toolbox_clients::supabase::Select;
use toolbox_domain::ids::{CatalogToolId, ToolInstanceId, ToolboxId};
use toolbox_domain::lifecycle::{Desired, Request};
use toolbox_domain::names::{ContainerName, DisplayName};
use toolbox_edge::{ApiError, Cx, Reply};

use super::begin::{self, Accepted, Intent, NewInstance};
use super::{Operation, conclude};
use crate::{spec, toolbox};

/// Deploys what the body asks for.
pub(crate) async fn deploy(
    cx: &Cx,
    toolbox_id: ToolboxId,
    body: Box<InvokeRequest>,
) -> Result<Reply, ApiError> {
    let wait = cx.wait()?;
    let intent = Intent::new(
        cx,
        toolbox_id,
        Action::Deploy,
        Request::Deploy,
        Desired::Running,
    )?;
    let (catalog_id, name) = read(&body)?;
    let app = &cx.app;
    let (found, catalog) = join(
        toolbox::find(cx, toolbox_id, Select::None),
        app.supabase.catalog_tool(&cx.caller()?.token, catalog_id),
    )
    .await;
    let found = found?;
    let catalog = catalog?.ok_or_else(|| ApiError::new(ErrorCode::CatalogToolNotFound))?;
    begin::check_toolbox(&found)?;
    let agent = toolbox::agent(cx, &found)?;
    let spec = spec::of_new(
        *catalog,
        &body.base_config_override_json.unwrap_or_default(),
    )?;

    let id = ToolInstanceId::new(app.new_uuid());
    let container_name = ContainerName::derive(&name, id);
    let new = NewInstance {
        id,
        name: name.as_str(),
        container_name: container_name.as_str(),
        catalog_id,
        spec: &spec,
    };
    match begin::new_instance(&intent, &new).await? {
        Accepted::Replayed(reply) => Ok(reply),
        Accepted::Started(started) => {
            let operation = Operation::new(cx, toolbox_id, agent, Action::Deploy, *started);
            conclude::run(operation, wait).await
        }
    }
}

/// What a deploy cannot do without.
fn read(body: &InvokeRequest) -> Result<(CatalogToolId, DisplayName), ApiError> {
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
        (Some(Ok(catalog_id)), Some(Ok(name))) => Ok((catalog_id, name)),
        _ => Err(ApiError::validation(errors)),
    }
}
