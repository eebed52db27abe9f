//! What the edge function `toolboxes-user` speaks to its callers: toolboxes themselves, how they are made and removed.
//!
//! Field names of the predecessor stay: `name`, `description`, `regionSlug`, `sizeSlug` and `imageSlug` of a request; a toolbox
//! is answered with the names of its columns. No answer holds a key, or the hash of one; a new enrolment token alone is told,
//! once.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::ToolboxId;

use crate::error::ErrorBody;

/// How long an enrolment token for a machine of the user's own is good, in seconds.
pub const ENROLMENT_SECONDS: u32 = 900;

/// Longest description, in characters.
pub const MAX_DESCRIPTION_CHARS: usize = 2000;

/// Where a toolbox's machine comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ToolboxKind {
    /// The user brings it.
    #[default]
    Byo,
    /// It is bought at DigitalOcean.
    Droplet,
}

/// Body of `POST /`: a toolbox that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateToolboxRequest {
    /// `byo` for a machine that the user brings, `droplet` for one that is bought. A region or a size means a droplet, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<ToolboxKind>,
    /// What the user calls it.
    pub name: String,
    /// What the user says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For `byo`: the address at which the machine answers; that from which it enrols when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, example = "198.51.100.7"))]
    pub address: Option<IpAddr>,
    /// For `droplet`: the region; the operator's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region_slug: Option<String>,
    /// For `droplet`: the size; the operator's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_slug: Option<String>,
    /// For `droplet`: the image; the operator's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_slug: Option<String>,
}

/// Body of `POST /{toolboxId}/resize`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ResizeToolboxRequest {
    /// The size that the machine shall have.
    pub size_slug: String,
}

/// Body of `PATCH /{toolboxId}`. What is absent stays; `null` ends a description or an address.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct UpdateToolboxRequest {
    /// What the user calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the user says of it.
    #[serde(skip_serializing_if = "Option::is_none", with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub description: Option<Option<String>>,
    /// The address at which a machine of the user's own answers.
    #[serde(skip_serializing_if = "Option::is_none", with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub address: Option<Option<IpAddr>>,
}

/// A field that is `null` is another thing than one that is absent.
mod given {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[allow(
        clippy::option_option,
        clippy::ref_option,
        reason = "absent, null, or a value"
    )]
    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    #[allow(clippy::option_option, reason = "absent, null, or a value")]
    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}

/// A toolbox as its owner sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolboxView {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolboxId,
    /// Where its machine comes from.
    pub kind: ToolboxKind,
    /// What the user calls it.
    pub name: String,
    /// What the user says of it.
    pub description: Option<String>,
    /// Where it is in its life: `pending_provision`, `provisioning`, `awaiting_heartbeat`, `active`, `unresponsive`,
    /// `pending_deprovision`, `deprovisioning`, `deprovisioned`, `error_provisioning`, `error_deprovisioning`.
    pub status: String,
    /// Since when, RFC 3339.
    pub status_changed_at: String,
    /// The same as an age, in seconds.
    pub status_age_seconds: u64,
    /// How far it is, while something is under way.
    pub progress: Option<ToolboxProgress>,
    /// Why making or removing it failed, in words; only in the two error statuses.
    pub provisioning_error_message: Option<String>,
    /// What a bought machine costs; null for one that the user brings.
    pub cost: Option<ToolboxCost>,
    /// Region at DigitalOcean.
    pub region_slug: Option<String>,
    /// Size at DigitalOcean.
    pub size_slug: Option<String>,
    /// Image at DigitalOcean.
    pub image_slug: Option<String>,
    /// The droplet at DigitalOcean.
    pub do_droplet_id: Option<i64>,
    /// Its name there.
    pub do_droplet_name: Option<String>,
    /// Where its machine answers, once that is known.
    pub public_ip_address: Option<String>,
    /// Version that its agent last reported.
    pub dtma_last_known_version: Option<String>,
    /// When its agent last reported, RFC 3339.
    pub last_heartbeat_at: Option<String>,
    /// The same as an age, in seconds.
    pub last_heartbeat_age_seconds: Option<u64>,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When its row last changed, RFC 3339.
    pub updated_at: String,
}

/// What a bought machine costs, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolboxCost {
    /// So far, with all its earlier sizes.
    pub so_far_usd: f64,
    /// An hour, at its present size.
    pub per_hour_usd: f64,
    /// A month at most, at its present size.
    pub per_month_usd: f64,
}

/// What machines can be bought now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolboxOptions {
    /// Where they can be.
    pub regions: Vec<RegionOption>,
    /// How large they can be, the cheapest first.
    pub sizes: Vec<SizeOption>,
    /// Region of an order that names none; null when each has to.
    pub default_region_slug: Option<String>,
    /// Size of an order that names none; null when each has to.
    pub default_size_slug: Option<String>,
    /// Image of an order that names none.
    pub default_image_slug: String,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegionOption {
    /// Names it in an order.
    pub slug: String,
    /// Its name for people.
    pub name: String,
}

/// A size, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SizeOption {
    /// Names it in an order.
    pub slug: String,
    /// Its class, such as `Basic`.
    pub description: String,
    /// Processors.
    pub vcpus: u32,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Disk, in GiB.
    pub disk_gib: u64,
    /// US dollars a month at most.
    pub price_monthly_usd: f64,
    /// US dollars an hour.
    pub price_hourly_usd: f64,
    /// Slugs of the regions that have it.
    pub regions: Vec<String>,
}

/// How much a user may have, and has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolboxQuota {
    /// They may.
    pub limits: QuotaLimits,
    /// They have.
    pub used: QuotaUsed,
}

/// How much a user may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaLimits {
    /// So many toolboxes.
    pub toolboxes: u32,
    /// All bought machines may cost so many US dollars a month.
    pub monthly_usd: u32,
    /// So many tools in one toolbox.
    pub tools: u32,
}

/// What a user has of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuotaUsed {
    /// So many toolboxes.
    pub toolboxes: u32,
    /// All bought machines cost so many US dollars a month at most.
    pub monthly_usd: f64,
}

/// How far a toolbox is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolboxProgress {
    /// Stable name of the step; the status where there are no steps.
    pub step: String,
    /// What happens now, in words.
    pub message: String,
    /// How much is done, 0 to 100.
    pub percent: u8,
    /// Since when this step runs, RFC 3339.
    pub since: String,
    /// The same as an age, in seconds.
    pub age_seconds: u64,
    /// What comes after it, in words; null when nothing comes by itself.
    pub next: Option<String>,
    /// What went wrong with it last, in words, while it is tried again.
    pub problem: Option<String>,
}

/// Answer of `POST /` for a machine of the user's own, and of `POST /{toolboxId}/enrolment`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolboxEnrolment {
    /// The toolbox.
    #[serde(flatten)]
    pub toolbox: ToolboxView,
    /// How the machine joins.
    pub enrolment: Enrolment,
}

/// How a machine joins.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Enrolment {
    /// One command, for a shell of root on the machine. It holds a token that is good once.
    pub command: String,
    /// Until when the token is good, RFC 3339.
    pub expires_at: String,
}

/// Without the token.
impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Enrolment")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Answer of `POST /{toolboxId}/refresh-status`: what the machine said when it was asked just now, or why it did not.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolboxRefreshed {
    /// The toolbox as its row says; `last_heartbeat_age_seconds` tells how old that is.
    #[serde(flatten)]
    pub toolbox: ToolboxView,
    /// Version of the agent that answered just now; null when none did.
    pub agent_version: Option<String>,
    /// Whether Docker on the machine answers the agent; null when no agent answered.
    pub docker_reachable: Option<bool>,
    /// When it was asked, RFC 3339.
    pub checked_at: String,
    /// Why it did not answer. The HTTP status is then that of this code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_null_is_not_what_is_absent() {
        let read = |text| serde_json::from_str::<UpdateToolboxRequest>(text).unwrap();
        let absent = read("{}");
        assert_eq!((absent.description, absent.address), (None, None));
        let ended = read(r#"{"description": null, "address": null}"#);
        assert_eq!((ended.description, ended.address), (Some(None), Some(None)));
        let set = read(r#"{"description": "x", "address": "198.51.100.7"}"#);
        assert_eq!(set.description, Some(Some("x".to_owned())));
        assert_eq!(set.address, Some(Some([198, 51, 100, 7].into())));
    }

    #[test]
    fn the_command_is_in_no_log() {
        let enrolment = Enrolment {
            command: "SECRET".to_owned(),
            expires_at: "2026-01-01T00:00:00Z".to_owned(),
        };
        assert!(!format!("{enrolment:?}").contains("SECRET"));
    }
}
