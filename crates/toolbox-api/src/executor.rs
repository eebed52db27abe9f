//! What the edge function `ssh-command-executor` speaks to its callers.
//!
//! Field names of the predecessor stay: `dropletIp`, `command` and `timeout` of a request; `success`, `exitCode`, `stdout`,
//! `stderr`, `command`, `timestamp` and `duration` of an answer.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use toolbox_domain::ids::ToolboxId;

use crate::ssh::CommandAnswer;

/// Body of `POST /`. A machine by `toolboxId` or `dropletIp`, an operation by `operation` or `command`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExecuteRequest {
    /// The toolbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub toolbox_id: Option<String>,
    /// The operation: one of a closed set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<toolbox_domain::machine_operation::MachineOperation>))]
    pub operation: Option<Value>,
    /// The predecessor's way to name a machine: the address of a toolbox of the caller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub droplet_ip: Option<String>,
    /// The predecessor's way to name an operation: a text that is exactly one of the set, such as `docker stop <name>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// How long the operation may take, in milliseconds: 1,000 to 60,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
}

/// What came back from the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ExecuteResponse {
    /// The machine says that the operation was done.
    pub success: bool,
    /// Exit code of the forced command; -1 when a signal ended it.
    pub exit_code: i64,
    /// What it printed: `answer` as one line of JSON.
    pub stdout: String,
    /// What it printed as errors.
    pub stderr: String,
    /// The operation as text.
    pub command: String,
    /// When it was answered, RFC 3339.
    pub timestamp: String,
    /// How long it took, in milliseconds.
    pub duration: u64,
    /// The toolbox.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: ToolboxId,
    /// What was done, by whom, or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<CommandAnswer>,
    /// The request, as in the `x-request-id` header and the history.
    #[serde(rename = "request_id")]
    pub request_id: String,
}
