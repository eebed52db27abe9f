//! Are the droplets that are paid for those that rows name?

use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::digitalocean::DropletId;
use toolbox_clients::supabase::provisioning::{Swept, TaggedDroplet};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::provisioning::{TAG, toolbox_of};
use toolbox_http::within;

use crate::{Provisioning, provider_error};

/// A droplet with our tag that no row has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// DigitalOcean's number.
    pub droplet: u64,
    /// The toolbox of its tag.
    pub toolbox: Option<ToolboxId>,
    /// `second` (its toolbox has another one), `removed` (its toolbox was removed), or `unknown`.
    pub why: String,
    /// It is ours beyond doubt. Others are only told of.
    pub is_ours: bool,
    /// It is removed now.
    pub is_removed: bool,
}

/// What a sweep found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Droplets that no row has.
    pub droplets_without_row: Vec<Stray>,
    /// Toolboxes whose row named a droplet that never enrolled, and now names the one that did.
    pub adopted: Vec<ToolboxId>,
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
            let end = match (stray.is_removed, stray.is_ours) {
                (true, _) => "it was removed",
                (false, true) => "it could not be removed now, and the next sweep tries again",
                (false, false) => "look at it at DigitalOcean, and remove it if it is nobody's",
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
        let adopted = self.adopted.iter().map(|id| {
            format!("another droplet of toolbox {id} enrolled; its row names that one now")
        });
        strays
            .chain(adopted)
            .chain(missing)
            .chain(moved)
            .chain(cleaned)
            .collect()
    }
}

impl Provisioning<'_> {
    /// Compares all droplets with our tag with the rows, and removes what is ours and nobody's, within `limit`. What the time
    /// was too short for is told all the same, and left to the next sweep.
    pub async fn sweep(&self, limit: Duration) -> Result<SweepReport, ApiError> {
        let until = self.clock.now() + limit;
        let swept = within(self.clock, limit, self.compare())
            .await
            .unwrap_or_else(|| Err(ApiError::new(ErrorCode::ProviderUnavailable)))?;
        let mut strays = Vec::new();
        for extra in swept.droplets {
            let is_removed = extra.is_ours && self.remove_by(until, extra.droplet_id).await;
            strays.push(Stray {
                droplet: extra.droplet_id,
                toolbox: extra.toolbox_id,
                why: extra.why,
                is_ours: extra.is_ours,
                is_removed,
            });
        }
        Ok(SweepReport {
            droplets_without_row: strays,
            adopted: swept.adopted,
            rows_without_droplet: swept.unseen,
            moved: swept.moved,
            cleaned: swept.cleaned,
        })
    }

    async fn remove_by(&self, until: Duration, droplet: u64) -> bool {
        let left = until.saturating_sub(self.clock.now());
        if left.is_zero() {
            return false;
        }
        let removal = self.digitalocean.delete_droplet(DropletId(droplet));
        matches!(within(self.clock, left, removal).await, Some(Ok(())))
    }

    async fn compare(&self) -> Result<Swept, ApiError> {
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
        let swept = self.supabase.sweep_toolboxes(&tagged, age.as_secs_f64());
        Ok(swept.await?)
    }
}
