//! The versions of an instance that are kept, and the way back to one: an update whose spec is a kept one. An image of a registry
//! is asked for by the digest that was seen, because its tag may name another one by now.

use toolbox_api::edge::ConfigOverride;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::tool_versions::{ToolVersion, differences};
use toolbox_clients::supabase::rows::VersionRow;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::spec::ImageSource;

use crate::begin::{self, NewSpec};
use crate::find::Target;
use crate::settle::Outcome;
use crate::{Instances, UserRequest, spec};

/// The versions of one instance.
#[derive(Debug)]
pub struct Versions {
    /// The instance.
    pub instance_id: ToolInstanceId,
    /// Newest first.
    pub versions: Vec<ToolVersion>,
}

impl Instances {
    /// What is kept of an instance, without its secrets.
    pub async fn versions(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
    ) -> Result<Versions, ApiError> {
        let (_, row) = self.find_instance(request, toolbox_id, target).await?;
        let sealing = self.agents.sealing_keys(toolbox_id)?;
        // Read without the user's token: the read before has shown that the instance is theirs.
        let mut rows = self.database.versions(row.id, None).await?;
        for kept in &mut rows {
            // What does not open stays sealed, so it is another value than any.
            let _ = sealing.open_spec(row.id, kept.spec.secrets());
        }
        let now = rows.first().map(|newest| newest.spec.clone());
        let views = rows.into_iter().map(|kept| {
            let now = now.as_deref().unwrap_or(&kept.spec);
            ToolVersion {
                current: false,
                differences: differences(&kept.spec, now),
                rollback_image: rollback_image(&kept),
                generation: kept.generation,
                image: kept.spec.image,
                image_digest: kept.image_digest,
                ran_at: kept.ran_at,
                restores: kept.restores,
                actor_kind: kept.actor_kind,
                actor_id: kept.actor_id,
                created_at: kept.created_at,
            }
        });
        let mut versions: Vec<_> = views.collect();
        if let Some(newest) = versions.first_mut() {
            newest.current = true;
        }
        Ok(Versions {
            instance_id: row.id,
            versions,
        })
    }

    /// Goes back to the version that `generation` brought.
    pub async fn roll_back(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
        generation: u64,
    ) -> Result<Outcome, ApiError> {
        let (toolbox, row) = self.find_instance(request, toolbox_id, target).await?;
        begin::check_toolbox(&toolbox)?;
        let kept = self.database.versions(row.id, Some(generation)).await?;
        let mut kept = kept
            .into_iter()
            .next()
            .ok_or_else(|| ApiError::new(ErrorCode::VersionNotKept))?;
        let sealing = self.agents.sealing_keys(toolbox_id)?;
        let unopened = sealing.open_spec(row.id, kept.spec.secrets());
        let wanted = ConfigOverride {
            docker_image: Some(rollback_image(&kept)),
            ..ConfigOverride::default()
        };
        // It ran without what the catalog entry may want today.
        let spec = spec::of_update(kept.spec, &unopened, None, &wanted)?;
        let new = NewSpec {
            spec: &spec,
            generation: row.generation,
            restores: Some(generation),
        };
        self.update_to(request, &toolbox, row, sealing, new).await
    }
}

/// The image by the digest that its registry had it under, where that was seen.
fn rollback_image(kept: &VersionRow) -> String {
    let image = &kept.spec.image;
    let by_digest = || match ImageSource::parse(image).ok()? {
        ImageSource::Reference(reference) if reference.is_floating() => {
            let reference = reference.with_digest(kept.registry_digest.as_deref()?);
            Some(reference.ok()?.to_string())
        }
        _ => None,
    };
    by_digest().unwrap_or_else(|| image.clone())
}
