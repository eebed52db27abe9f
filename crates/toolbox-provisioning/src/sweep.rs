//! Are the droplets that are paid for those that rows name?

use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::digitalocean::DropletId;
use toolbox_clients::supabase::provisioning::TaggedDroplet;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::provisioning::{TAG, toolbox_of};

use crate::{Provisioning, provider_error, within};

/// A droplet with our tag that no row has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// DigitalOcean's number.
    pub droplet: u64,
    /// The toolbox of its tag.
    pub toolbox: Option<ToolboxId>,
    /// `second` (its toolbox has another one), `removed` (its toolbox was removed), or `unknown`.
    pub why: String,
    /// It was ours beyond doubt, and is removed now. Others are only told of.
    pub is_removed: bool,
}

/// What a sweep found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Droplets that no row has.
    pub droplets_without_row: Vec<Stray>,
    /// Toolboxes whose droplet was not listed. Each is looked at by itself now, and told of when it is gone.
    pub rows_without_droplet: Vec<ToolboxId>,
    /// Toolboxes whose droplet has another address than their row says. The row gets it now.
    pub moved: Vec<ToolboxId>,
    /// Toolboxes that had given their machine up and have one all the same: it is being removed.
    pub cleaned: Vec<ToolboxId>,
}

impl SweepReport {
    /// Each difference as a sentence for the operator.
    pub fn sentences(&self) -> Vec<String> {
        let strays = self.droplets_without_row.iter().map(|stray| {
            let whose = stray
                .toolbox
                .map_or_else(|| "no toolbox".to_owned(), |id| format!("toolbox {id}"));
            let end = if stray.is_removed {
                "it was removed"
            } else {
                "look at it at DigitalOcean, and remove it if it is nobody's"
            };
            format!(
                "droplet {} of {whose} has no row ({}); {end}",
                stray.droplet, stray.why
            )
        });
        let missing = self
            .rows_without_droplet
            .iter()
            .map(|id| format!("the droplet of toolbox {id} is not listed; it is looked at"));
        let moved = self
            .moved
            .iter()
            .map(|id| format!("the droplet of toolbox {id} has another address; it is looked at"));
        let cleaned = self.cleaned.iter().map(|id| {
            format!("toolbox {id} had given its droplet up, and it is there; it is being removed")
        });
        strays.chain(missing).chain(moved).chain(cleaned).collect()
    }
}

impl Provisioning<'_> {
    /// Compares all droplets with our tag with the rows, within `limit`. Removes what is ours and nobody's, and tells of the
    /// rest.
    pub async fn sweep(&self, limit: Duration) -> Result<SweepReport, ApiError> {
        within(self.clock, limit, self.sweep_all())
            .await
            .unwrap_or_else(|| Err(ApiError::new(ErrorCode::ProviderUnavailable)))
    }

    async fn sweep_all(&self) -> Result<SweepReport, ApiError> {
        let asked_at = self.clock.now();
        let droplets = self.digitalocean.droplets_by_tag(TAG).await;
        let droplets = droplets.map_err(|error| provider_error(&error))?;
        let tagged: Vec<TaggedDroplet> = droplets
            .iter()
            .map(|droplet| TaggedDroplet {
                droplet_id: droplet.id.0,
                toolbox_id: droplet.tags.iter().find_map(|tag| toolbox_of(tag)),
                address: droplet.public_ipv4,
            })
            .collect();
        let age = self.clock.now().saturating_sub(asked_at);
        let swept = self
            .supabase
            .sweep_toolboxes(&tagged, age.as_secs_f64())
            .await?;
        let mut strays = Vec::new();
        for extra in swept.droplets {
            // One that cannot be removed now is found by the next sweep.
            let is_removed = extra.is_ours
                && self
                    .digitalocean
                    .delete_droplet(DropletId(extra.droplet_id))
                    .await
                    .is_ok();
            strays.push(Stray {
                droplet: extra.droplet_id,
                toolbox: extra.toolbox_id,
                why: extra.why,
                is_removed,
            });
        }
        Ok(SweepReport {
            droplets_without_row: strays,
            rows_without_droplet: swept.unseen,
            moved: swept.moved,
            cleaned: swept.cleaned,
        })
    }
}
