//! A new instance.

use futures_util::future::join;
use toolbox_api::edge::{Action, ConfigOverride};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::problem::FieldError;
use toolbox_clients::supabase::Select;
use toolbox_domain::ids::{CatalogToolId, ToolInstanceId, ToolboxId};
use toolbox_domain::lifecycle::{Desired, Request};
use toolbox_domain::names::{ContainerName, DisplayName};

use crate::begin::{self, Intent, NewInstance};
use crate::settle::Outcome;
use crate::{Instances, UserRequest, spec};

/// A tool to deploy.
#[derive(Clone, Debug)]
pub struct NewTool {
    /// Its entry in the catalog.
    pub catalog_id: CatalogToolId,
    /// The name of the instance.
    pub name: DisplayName,
    /// What is to differ from the catalog entry.
    pub config: ConfigOverride,
    /// How many instances the toolbox may hold, with this one.
    pub max_instances: u32,
    /// Pin the tools that its MCP server lists first.
    pub pin_tools: bool,
}

impl Instances {
    /// Deploys a tool as a new instance.
    pub async fn deploy(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        tool: &NewTool,
    ) -> Result<Outcome, ApiError> {
        let intent = Intent {
            instances: self,
            request,
            toolbox: toolbox_id,
            action: Action::Deploy,
            transition: Request::Deploy,
            desired: Desired::Running,
            sealing: self.agents.sealing_keys(toolbox_id)?,
        };
        let (toolbox, catalog) = join(
            self.find_toolbox(request, toolbox_id, Select::None),
            self.database.catalog_tool(&request.token, tool.catalog_id),
        )
        .await;
        let toolbox = toolbox?;
        let catalog = catalog?.ok_or_else(|| ApiError::new(ErrorCode::CatalogToolNotFound))?;
        begin::check_toolbox(&toolbox)?;
        let agent = self.agents.connect(&toolbox, &request.id)?;
        let spec = spec::of_new(&catalog, &tool.config)?;
        if tool.pin_tools && spec.transport.is_none() {
            return Err(ApiError::validation(vec![FieldError {
                field: "pinTools".to_owned(),
                code: "not_mcp".to_owned(),
                message:
                    "Only an MCP server has tools to pin: name its transport, or leave pinTools out"
                        .to_owned(),
            }]));
        }

        let random = uuid::Builder::from_random_bytes(self.host.random_bytes());
        let id = ToolInstanceId::new(random.into_uuid());
        let container_name = ContainerName::derive(&tool.name, id);
        let new = NewInstance {
            id,
            name: tool.name.as_str(),
            container_name: container_name.as_str(),
            catalog_id: tool.catalog_id,
            spec: &spec,
            max_instances: tool.max_instances,
            pin_tools: tool.pin_tools,
        };
        let accepted = begin::new_instance(&intent, &new).await?;
        intent.carry_out(accepted, agent).await
    }
}
