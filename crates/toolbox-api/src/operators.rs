//! What the edge function `operators` speaks to its callers, who look after the toolboxes of all users.
//!
//! Of a user's toolbox operators are told what is named here, and nothing else: no spec, no variable, no log, no address and no
//! key is in any answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toolbox_domain::ids::{CatalogToolId, ToolboxId, UserId};
use toolbox_domain::objects;
use toolbox_domain::spec::ToolSpec;

use crate::rollout::Rollout;
use crate::toolboxes::{QuotaLimits, QuotaUsed, ToolboxKind};

/// Toolboxes, users of a page.
pub const PAGE: u32 = 50;
/// Most toolboxes that a user may be allowed, and most tools in one.
pub const MAX_COUNT: u32 = 10_000;
/// Most that a user's machines may be allowed to cost a month, in US dollars.
pub const MAX_MONTHLY_USD: u32 = 1_000_000;

/// The toolboxes of all users, a page of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Fleet {
    /// The version that agents should have; null: none is wanted.
    pub wanted_version: Option<String>,
    /// Of the whole fleet.
    pub counts: FleetCounts,
    /// So many toolboxes are as asked for.
    pub found: u32,
    /// A page of them; those that need a look come first.
    pub toolboxes: Vec<FleetToolbox>,
    /// The last rollouts of the fleet, the newest first. Of their toolboxes those that are under way or failed, 20 of each
    /// rollout at most; `GET /rollouts/{rolloutId}` tells all.
    pub rollouts: Vec<FleetRollout>,
}

/// A rollout of the fleet as operators see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FleetRollout {
    /// The rollout.
    #[serde(flatten)]
    pub rollout: Rollout,
    /// How far all its toolboxes are.
    pub counts: RolloutCounts,
    /// Who asked for it. They may be gone since.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub operator_id: UserId,
    /// The address that they sign in with; null when their account is gone.
    pub operator_email: Option<String>,
}

/// How many toolboxes of a rollout are how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RolloutCounts {
    /// Not asked.
    pub waiting: u32,
    /// Asked, and under way.
    pub asked: u32,
    /// They run the version.
    pub healthy: u32,
    /// They were not replaced, or nobody knows in time.
    pub failed: u32,
    /// Their agents did not report, so they were not asked.
    pub silent: u32,
    /// They are gone.
    pub removed: u32,
}

/// How many toolboxes of the fleet are how. One may be old, silent and failing at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FleetCounts {
    /// All.
    pub all: u32,
    /// Their agent is older than the wanted version.
    pub old: u32,
    /// Their agent did not report for three of its intervals.
    pub silent: u32,
    /// They are in an error, or a tool of theirs is.
    pub failing: u32,
    /// A rollout to the wanted version would ask them: they report, and have another version.
    pub ready: u32,
}

/// A toolbox as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FleetToolbox {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: ToolboxId,
    /// What its owner calls it.
    pub name: String,
    /// Its owner; null when they are gone, and their machine is not yet.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub owner_id: Option<UserId>,
    /// The address that they sign in with.
    pub owner_email: Option<String>,
    /// Where its machine comes from.
    pub kind: ToolboxKind,
    /// Its status.
    pub status: String,
    /// Since when, RFC 3339.
    pub status_changed_at: String,
    /// When its agent last reported, RFC 3339.
    pub last_heartbeat_at: Option<String>,
    /// Its agent's version.
    pub version: Option<String>,
    /// Region of a bought machine.
    pub region_slug: Option<String>,
    /// Size of a bought machine.
    pub size_slug: Option<String>,
    /// What a bought machine costs a month at most, in US dollars.
    pub price_monthly_usd: Option<f64>,
    /// What went wrong with the machine last, in words.
    pub problem: Option<String>,
    /// How many tools it has.
    pub tools: u32,
    /// How many of them are in an error.
    pub failing_tools: u32,
    /// Its agent is older than the wanted version.
    pub is_old: bool,
    /// Its agent did not report for three of its intervals.
    pub is_silent: bool,
    /// It is in an error, or a tool of it is.
    pub is_failing: bool,
}

/// Which toolboxes are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum FleetShow {
    /// All.
    #[default]
    All,
    /// Those with an old agent.
    Old,
    /// Those whose agent is silent.
    Silent,
    /// Those in an error.
    Failing,
}

/// Body of `PUT /agent-version`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AgentVersionRequest {
    /// The version that agents should have; null: none is wanted.
    pub version: Option<String>,
}

/// An entry of the catalog as operators write it. All of it is written: what is absent gets its default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CatalogEntryRequest {
    /// Display name, unique.
    pub name: String,
    /// Machine name: lower-case words joined by a hyphen.
    pub tool_name: String,
    /// One or two sentences for the user.
    #[serde(default)]
    pub description: String,
    /// Group in the console.
    #[serde(default = "mcp")]
    pub category: String,
    /// Who publishes the image.
    #[serde(default)]
    pub provider: Option<String>,
    /// Where the publisher documents the tool, `https://`.
    #[serde(default)]
    pub documentation_url: Option<String>,
    /// Square icon, `https://`.
    #[serde(default)]
    pub icon_url: Option<String>,
    /// Where the image comes from.
    #[serde(default)]
    pub packaging_type: Packaging,
    /// What runs; without an image each deployment names one. A variable with a value is everybody's, so none is a secret.
    #[serde(deserialize_with = "objects::required")]
    pub default_spec: Box<ToolSpec>,
    /// JSON Schema of the variables that users set.
    #[serde(default = "object")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub required_config_schema: Value,
    /// JSON Schema of the variables that are secrets.
    #[serde(default = "object")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub required_secrets_schema: Value,
    /// Whether it is offered, and as what.
    #[serde(default)]
    pub status: CatalogStatus,
    /// False hides it from users.
    #[serde(default = "yes")]
    pub is_public: bool,
    /// Version of this entry, not of the image.
    #[serde(default = "first")]
    pub version: String,
    /// `updated_at` of the entry as it was read: one that was changed since is left as it is (`state_changed`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<String>,
}

fn mcp() -> String {
    "mcp".to_owned()
}

fn first() -> String {
    "1.0.0".to_owned()
}

fn object() -> Value {
    serde_json::json!({"type": "object"})
}

const fn yes() -> bool {
    true
}

/// Where the image of an entry comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Packaging {
    /// A registry.
    #[default]
    DockerImage,
    /// It is built on the machine.
    GitSource,
}

/// Whether an entry is offered, and as what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CatalogStatus {
    /// It is.
    #[default]
    Available,
    /// As one that may change.
    Beta,
    /// As one that may fail.
    Experimental,
    /// As one that will go.
    Deprecated,
    /// No more. What was deployed from it stays.
    Archived,
}

/// An entry of the catalog as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperatorCatalogEntry {
    /// Its id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: CatalogToolId,
    /// Display name.
    pub name: String,
    /// Machine name.
    pub tool_name: String,
    /// One or two sentences for the user.
    pub description: String,
    /// Group in the console.
    pub category: String,
    /// Who publishes the image.
    pub provider: Option<String>,
    /// Where the publisher documents the tool.
    pub documentation_url: Option<String>,
    /// Square icon.
    pub icon_url: Option<String>,
    /// Where the image comes from.
    pub packaging_type: Packaging,
    /// What runs.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub default_spec: Value,
    /// JSON Schema of the variables that users set.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub required_config_schema: Value,
    /// JSON Schema of the variables that are secrets.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub required_secrets_schema: Value,
    /// Whether it is offered, and as what.
    pub status: CatalogStatus,
    /// False hides it from users.
    pub is_public: bool,
    /// Version of this entry.
    pub version: String,
    /// When it last changed, RFC 3339.
    pub updated_at: String,
    /// So many tools were deployed from it. While there is one, it can be archived and not removed.
    pub tools: u32,
}

/// Every entry of the catalog, archived ones last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OperatorCatalog {
    /// The entries.
    pub entries: Vec<OperatorCatalogEntry>,
}

/// Users, and how much each may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserQuotas {
    /// What everybody may have for whom nothing else was set.
    pub everybody: QuotaLimits,
    /// So many users are as asked for.
    pub found: u32,
    /// A page of them; those with a quota of their own come first.
    pub users: Vec<UserQuota>,
}

/// A user, and how much they may have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UserQuota {
    /// Their id.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: UserId,
    /// The address that they sign in with.
    pub email: Option<String>,
    /// What was set for them.
    pub quota: OwnQuota,
    /// What they have.
    pub used: QuotaUsed,
}

/// What was set for one user. Null: as everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OwnQuota {
    /// So many toolboxes.
    #[serde(default)]
    pub toolboxes: Option<u32>,
    /// All bought machines may cost so many US dollars a month.
    #[serde(default)]
    pub monthly_usd: Option<u32>,
    /// So many tools in one toolbox.
    #[serde(default)]
    pub tools: Option<u32>,
}
