//! A new image or configuration for an instance that exists. The agent keeps the old version running until the new one has
//! started. When the new one does not start, the agent and the stored spec go back to the old one. An instance that is to be
//! stopped stays stopped: its new version is fetched now, and tried when it is started.

use toolbox_api::edge::{Action, ConfigOverride};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::supabase::rows::{EnvironmentRow, InstanceRow};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::{Desired, Request};
use toolbox_domain::sealing::SealingKeys;

use crate::begin::{self, Intent, NewSpec};
use crate::find::Target;
use crate::settle::Outcome;
use crate::{Instances, UserRequest, spec};

impl Instances {
    /// Applies `wanted` to what the instance runs.
    pub async fn update(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
        wanted: &ConfigOverride,
    ) -> Result<Outcome, ApiError> {
        let (toolbox, row) = self.find_instance(request, toolbox_id, target).await?;
        begin::check_toolbox(&toolbox)?;
        // Read without the user's token: the read before has shown that the instance is theirs.
        let stored = self.database.spec(row.id).await?;
        let mut stored = stored.ok_or_else(|| ApiError::new(ErrorCode::InstanceNotFound))?;
        let sealing = self.agents.sealing_keys(toolbox_id)?;
        let unopened = sealing.open_spec(row.id, stored.spec.secrets());
        // A variable that the catalog entry requires can be lost only where variables are changed.
        let catalog = match row.tool_catalog_id {
            Some(id) if wanted.environment_variables.is_some() => {
                self.database.catalog_tool(&request.token, id).await?
            }
            _ => None,
        };
        let spec = spec::of_update(stored.spec, &unopened, catalog.as_deref(), wanted)?;
        let new = NewSpec {
            spec: &spec,
            generation: stored.generation,
            restores: None,
        };
        self.update_to(request, &toolbox, row, sealing, new).await
    }

    /// Runs another spec in an instance.
    pub(crate) async fn update_to(
        &self,
        request: &UserRequest,
        toolbox: &EnvironmentRow,
        row: Box<InstanceRow>,
        sealing: SealingKeys,
        new: NewSpec<'_>,
    ) -> Result<Outcome, ApiError> {
        let agent = self.agents.connect(toolbox, &request.id)?;
        let desired = match row.desired()? {
            Desired::Stopped => Desired::Stopped,
            Desired::Running | Desired::Absent => Desired::Running,
        };
        let intent = Intent {
            instances: self,
            request,
            toolbox: toolbox.id,
            action: Action::Update,
            transition: Request::Update,
            desired,
            sealing,
        };
        let accepted = begin::existing(&intent, row, Some(new)).await?;
        intent.carry_out(accepted, agent).await
    }
}
