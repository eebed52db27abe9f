//! What is sent to a channel of alerts.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Body of a webhook, in the form of Standard Webhooks.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertEvent {
    /// `alert.opened`, `alert.recovered` or `alert.test`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When this attempt was made, RFC 3339.
    pub timestamp: String,
    /// What it is about.
    pub data: AlertData,
}

/// What an alert is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AlertData {
    /// A sentence for people.
    pub summary: String,
    /// The alert; none in a test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
}

/// An alert: a rule and what it found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Alert {
    /// Its id, the same in both messages.
    pub id: String,
    /// The rule's kind: `toolbox_silent`, `instance_error`, `instance_flapping`, `disk_full`, `certificate_changed`,
    /// `tools_changed` or `agent_outdated`.
    pub kind: String,
    /// The toolbox.
    pub toolbox_id: String,
    /// Its display name.
    pub toolbox_name: String,
    /// The instance; null when it is about the toolbox.
    pub instance_id: Option<String>,
    /// Its display name.
    pub instance_name: Option<String>,
    /// What was seen, by kind.
    pub detail: Map<String, Value>,
    /// When it began, RFC 3339.
    pub opened_at: String,
    /// When it ended, RFC 3339; null while it lasts.
    pub closed_at: Option<String>,
    /// How often it was seen.
    pub times: u32,
}
