//! Rows as PostgREST and the functions that write give them, and what these functions take.
//!
//! These are wire types of our own database; only columns the control plane uses are named.

use serde::{Deserialize, Serialize};
use toolbox_api::dtma::{PortBinding, ToolSpec, ViewVersion};
use toolbox_api::edge::{OperationState, OperationView};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::heartbeat::HeartbeatNumbers;
use toolbox_api::mcp::McpHealth;
use toolbox_domain::ids::{CatalogToolId, OperationId, ToolInstanceId, ToolboxId, UserId};
use toolbox_domain::lifecycle::{Desired, InstanceState, InstanceStatus, Known, Reason};

/// A toolbox, with the instances that were asked for.
#[derive(Clone, Debug, Deserialize)]
pub struct EnvironmentRow {
    /// Id.
    pub id: ToolboxId,
    /// Lifecycle status.
    pub status: String,
    /// Where the agent answers.
    pub public_ip_address: Option<String>,
    /// Port of the agent there.
    pub dtma_port: u16,
    /// The certificate to pin, PEM.
    pub dtma_certificate_pem: Option<String>,
    /// Which keys the agent last proved to hold; none: the first of the current root secret.
    pub dtma_key_id: Option<String>,
    /// When a full heartbeat last told nothing that the rows of the instances did not say already.
    pub instances_confirmed_at: Option<String>,
    /// Since when the agent has not reported; none while it does.
    pub unresponsive_since: Option<String>,
    /// Version of its API that the agent last reported.
    pub dtma_api_version: Option<u32>,
    /// Version the agent last reported.
    pub dtma_last_known_version: Option<String>,
    /// Its instances.
    #[serde(default, rename = "account_tool_instances")]
    pub instances: Vec<Box<InstanceRow>>,
}

/// A tool instance. `spec` is there only in answers of `begin_tool_instance_operation`.
#[derive(Clone, Debug, Deserialize)]
pub struct InstanceRow {
    /// Id.
    pub id: ToolInstanceId,
    /// Catalog entry.
    pub tool_catalog_id: Option<CatalogToolId>,
    /// Display name.
    pub instance_name_on_toolbox: String,
    /// Docker name.
    pub container_name: String,
    /// Image, or Git source.
    pub docker_image_url: Option<String>,
    /// MCP transport.
    pub mcp_transport_type: Option<String>,
    /// MCP path.
    pub mcp_endpoint_path: Option<String>,
    /// Grows with every accepted operation.
    pub generation: u64,
    /// What the user asked for.
    pub desired_status: String,
    /// Lifecycle status.
    pub status_on_toolbox: String,
    /// Set exactly in `error`.
    pub instance_error_code: Option<String>,
    /// Set exactly in `error`.
    pub instance_error_message: Option<String>,
    /// Docker id last observed.
    pub container_id: Option<String>,
    /// Image digest last observed.
    pub image_digest: Option<String>,
    /// Ports last observed.
    #[serde(default)]
    pub port_mapping_json: Vec<PortBinding>,
    /// Health of the MCP server, as the agent last told it.
    pub mcp_health: Option<Box<McpHealth>>,
    /// Fingerprint of the tools that the owner accepted.
    pub mcp_pinned_fingerprint: Option<String>,
    /// Set while the tools that it lists first are still to be pinned.
    pub mcp_pin_due_at: Option<String>,
    /// When the agent last told of it.
    pub last_observed_at: Option<String>,
    /// Tag of the image.
    pub version: Option<String>,
    /// When it was asked for.
    pub created_at: String,
    /// When the row last changed.
    pub updated_at: String,
    /// What runs, secrets included.
    pub spec: Option<Box<ToolSpec>>,
}

/// A row among others: one that cannot be read must not hide the rest.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum ReadRow {
    /// The row.
    Row(Box<InstanceRow>),
    /// It has not the form that this version knows.
    Unreadable {
        /// The instance.
        id: ToolInstanceId,
    },
}

/// A row that breaks the rules of the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row of a tool instance has an unknown state")]
pub struct BadRow;

impl From<BadRow> for ApiError {
    fn from(error: BadRow) -> Self {
        Self::new(ErrorCode::DatabaseBadResponse).caused_by(&error)
    }
}

impl InstanceRow {
    /// Status and reason.
    pub fn state(&self) -> Result<InstanceState, BadRow> {
        let status: InstanceStatus = self.status_on_toolbox.parse().map_err(|_| BadRow)?;
        let reason = match (
            status,
            &self.instance_error_code,
            &self.instance_error_message,
        ) {
            (InstanceStatus::Error, Some(code), Some(message)) => {
                Some(Reason::new(code.as_str(), message.as_str()).map_err(|_| BadRow)?)
            }
            _ => None,
        };
        InstanceState::new(status, reason).map_err(|_| BadRow)
    }

    /// What the user asked for.
    pub fn desired(&self) -> Result<Desired, BadRow> {
        self.desired_status.parse().map_err(|_| BadRow)
    }

    /// What the domain needs to know of it.
    pub fn known(&self) -> Result<Known, BadRow> {
        Ok(Known {
            state: self.state()?,
            desired: self.desired()?,
            generation: self.generation,
        })
    }
}

/// What an instance runs, secrets included.
#[derive(Clone, Debug, Deserialize)]
pub struct SpecRow {
    /// The spec.
    pub spec: Box<ToolSpec>,
    /// The generation it belongs to.
    pub generation: u64,
}

/// A version of an instance that is kept, secrets included.
#[derive(Clone, Debug, Deserialize)]
pub struct VersionRow {
    /// The generation that brought it.
    pub generation: u64,
    /// The spec.
    pub spec: Box<ToolSpec>,
    /// Content id of the image that it was last seen running.
    pub image_digest: Option<String>,
    /// Digest by which its registry has that image.
    pub registry_digest: Option<String>,
    /// When it was first seen running.
    pub ran_at: Option<String>,
    /// The version that it brings back.
    pub restores: Option<u64>,
    /// `user`, `agent`, `control_plane` or `database`.
    pub actor_kind: String,
    /// The user, or the toolbox of the agent.
    pub actor_id: Option<String>,
    /// When it was asked for.
    pub created_at: String,
}

/// An entry of the tool catalog.
#[derive(Clone, Debug, Deserialize)]
pub struct CatalogRow {
    /// Id.
    pub id: CatalogToolId,
    /// What it runs by default; without an image when the caller must name one.
    pub default_spec: Box<ToolSpec>,
    /// Variables a user sets.
    pub required_config_schema: VariablesSchema,
    /// Variables that are secrets.
    pub required_secrets_schema: VariablesSchema,
}

/// The part of a JSON Schema the control plane acts on: which variables must be given.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct VariablesSchema {
    /// Names of variables.
    #[serde(default)]
    pub required: Vec<String>,
}

/// Argument of `begin_tool_instance_operation`.
#[derive(Clone, Debug, Serialize)]
pub struct BeginOperation<'a> {
    /// The toolbox; must belong to the user.
    pub toolbox_id: ToolboxId,
    /// The caller.
    pub user_id: UserId,
    /// `deploy`, `update`, `start`, `stop`, `restart` or `delete`.
    pub action: &'a str,
    /// The instance; a new id for `deploy`.
    pub instance_id: ToolInstanceId,
    /// The request, for the event log.
    pub request_id: &'a str,
    /// The caller's key, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<&'a str>,
    /// Keyed hash of what was asked, so that a key cannot be used for something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_fingerprint: Option<&'a str>,
    /// The same with the root secret before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub former_request_fingerprint: Option<&'a str>,
    /// Actions of an operation in progress that gives way to this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preempts: Vec<&'static str>,
    /// How long nobody else may take over.
    pub lease_seconds: u32,
    /// The status this was decided on; none for a new instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_status: Option<&'a str>,
    /// The generation this was decided on, where more than the status mattered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_generation: Option<u64>,
    /// The status to write.
    pub to_status: &'a str,
    /// What the user wants.
    pub desired_status: &'a str,
    /// For `deploy` and `update`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<&'a ToolSpec>,
    /// Generation of the kept version that the spec is of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restores: Option<u64>,
    /// For `deploy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// For `deploy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<&'a str>,
    /// For `deploy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_catalog_id: Option<CatalogToolId>,
    /// For `deploy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_instances: Option<u32>,
    /// For `deploy`: pin the tools that its MCP server lists first.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pin_tools: bool,
}

/// Answer of `begin_tool_instance_operation`.
#[derive(Clone, Debug)]
pub enum Begun {
    /// The operation is ours.
    Started {
        /// The operation.
        operation: Box<OperationRow>,
        /// The row after its first write, spec included.
        instance: Box<InstanceRow>,
    },
    /// The idempotency key was used for this very request before.
    Replayed {
        /// The operation of then.
        operation: Box<OperationRow>,
        /// The row now, unless it is gone.
        instance: Option<Box<InstanceRow>>,
    },
    /// Another operation runs.
    InProgress {
        /// It.
        operation: Box<OperationRow>,
    },
    /// The row is not in the expected status any more.
    StatusChanged,
    /// Another instance has the name.
    NameTaken,
    /// The idempotency key was used for another request.
    KeyReused,
    /// No such toolbox of this user, or no such instance in it.
    NotFound,
    /// The toolbox is full.
    QuotaExceeded {
        /// How many it may hold.
        limit: u32,
    },
}

/// An operation as the functions give it.
#[derive(Clone, Debug, Deserialize)]
pub struct OperationRow {
    /// Id.
    pub id: OperationId,
    /// The instance.
    pub tool_instance_id: ToolInstanceId,
    /// What was asked for.
    pub action: String,
    /// How far it is.
    pub state: OperationState,
    /// The request that began it.
    pub request_id: Option<String>,
    /// When it began.
    pub started_at: Option<String>,
    /// When another may take over.
    pub lease_expires_at: Option<String>,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// The code its caller was answered, when that is not the one of an end that was observed.
    #[serde(default)]
    pub answered_code: Option<String>,
}

impl From<Box<OperationRow>> for OperationView {
    fn from(row: Box<OperationRow>) -> Self {
        Self {
            id: row.id,
            action: row.action,
            state: row.state,
            request_id: row.request_id,
            started_at: row.started_at,
            lease_expires_at: row.lease_expires_at,
        }
    }
}

/// The flat form of [`Begun`] on the wire.
#[derive(Deserialize)]
pub(super) struct BegunWire {
    outcome: String,
    operation: Option<Box<OperationRow>>,
    instance: Option<Box<InstanceRow>>,
    limit: Option<u32>,
}

impl BegunWire {
    pub(super) fn read(self) -> Option<Begun> {
        Some(match self.outcome.as_str() {
            "started" => Begun::Started {
                operation: self.operation?,
                instance: self.instance?,
            },
            "replayed" => Begun::Replayed {
                operation: self.operation?,
                instance: self.instance,
            },
            "in_progress" => Begun::InProgress {
                operation: self.operation?,
            },
            "status_changed" => Begun::StatusChanged,
            "name_taken" => Begun::NameTaken,
            "key_reused" => Begun::KeyReused,
            "not_found" => Begun::NotFound,
            "quota_exceeded" => Begun::QuotaExceeded { limit: self.limit? },
            _ => return None,
        })
    }
}

/// What `record_tool_instance_states` writes of one instance.
#[allow(
    clippy::struct_excessive_bools,
    reason = "keys of the function's argument, each independent of the others"
)]
#[derive(Clone, Debug, Serialize)]
pub struct RecordState<'a> {
    /// The instance.
    pub instance_id: ToolInstanceId,
    /// The generation that was seen; the row's for what is about none.
    pub generation: u64,
    /// The generation of the row that this was decided of.
    pub expected_generation: u64,
    /// The status of the row that this was decided of. The steps begin there.
    pub expected_status: &'a str,
    /// The operation it ends, when we began it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// Who saw or decided it: `agent` or `control_plane`.
    pub actor_kind: &'a str,
    /// What was seen lasts. An operation whose lease is over goes on as long as its progress is seen.
    pub settled: bool,
    /// Not to be written while somebody's operation is under way.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub only_idle: bool,
    /// Statuses to write one after another.
    pub steps: Vec<RecordStep>,
    /// Which of the agent's views was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view_version: Option<ViewVersion>,
    /// What the agent showed beside the status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<ObservedRow<'a>>,
    /// How the operation ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_result: Option<OperationResult>,
    /// Go back to the spec before the update.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restore_previous_spec: bool,
    /// Want again what was wanted before the operation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub restore_previous_desired: bool,
    /// Nothing is left of it: delete the row after the steps.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub remove_row: bool,
}

/// The heartbeat that told of what is to be recorded.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HeartbeatRef {
    /// The toolbox to which all instances must belong, and whose digest is to be answered.
    pub toolbox_id: ToolboxId,
    /// Once a later one is recorded, nothing of this one is.
    #[serde(flatten)]
    pub heartbeat: HeartbeatNumbers,
}

/// Argument of `record_tool_instance_states`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct RecordStates<'a> {
    /// The request, for the event log.
    pub(super) request_id: &'a str,
    /// The heartbeat, for what one told.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) heartbeat_ref: Option<HeartbeatRef>,
    /// What to write.
    pub(super) items: &'a [RecordState<'a>],
}

/// One status to write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordStep {
    /// The status.
    pub status: &'static str,
    /// Set exactly for `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// Set exactly for `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<&InstanceState> for RecordStep {
    fn from(state: &InstanceState) -> Self {
        Self {
            status: state.status().as_str(),
            reason_code: state.reason().map(|r| r.code().to_owned()),
            reason: state.reason().map(|r| r.message().to_owned()),
        }
    }
}

/// What the agent showed beside the status.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ObservedRow<'a> {
    /// Docker id.
    pub container_id: Option<&'a str>,
    /// Content id of the image.
    pub image_digest: Option<&'a str>,
    /// Digest by which its registry has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry_digest: Option<&'a str>,
    /// Published ports.
    pub ports: &'a [PortBinding],
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationResult {
    /// `succeeded` or `failed`.
    pub state: &'static str,
    /// Set exactly when failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Set exactly when failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// The code the caller is answered, when that is not the one of an end that was observed: a
    /// reason and a refusal may have the same name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_code: Option<&'static str>,
}

impl OperationResult {
    /// It ended as asked.
    pub const fn succeeded() -> Self {
        Self {
            state: "succeeded",
            error_code: None,
            error_message: None,
            answered_code: None,
        }
    }

    /// It ended otherwise.
    pub fn failed(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            state: "failed",
            error_code: Some(code.into()),
            error_message: Some(message.into()),
            answered_code: None,
        }
    }
}

/// What became of one item of `record_tool_instance_states`.
#[derive(Clone, Debug)]
pub enum Recorded {
    /// Written. None: the row is gone.
    Written(Option<ReadRow>),
    /// The row has moved on; this is where it is.
    Stale(ReadRow),
    /// There is no such row.
    NotFound,
    /// It breaks a rule of the database.
    Refused {
        /// The SQLSTATE.
        code: String,
    },
    /// A later heartbeat of the toolbox was recorded.
    Superseded,
}

/// Answer of `record_tool_instance_states`.
#[derive(Clone, Debug)]
pub struct RecordedStates {
    /// What became of each item, in their order.
    pub results: Vec<Recorded>,
    /// Digest of the desired state of the toolbox that was named.
    pub desired_digest: Option<String>,
}

/// The flat form of [`RecordedStates`] on the wire.
#[derive(Deserialize)]
pub(super) struct RecordedStatesWire {
    results: Vec<RecordedWire>,
    desired_digest: Option<String>,
}

impl RecordedStatesWire {
    /// None: the answer is not one to this many items.
    pub(super) fn read(self, items: usize) -> Option<RecordedStates> {
        let results = self.results.into_iter().map(RecordedWire::read);
        let results: Vec<_> = results.collect::<Option<_>>()?;
        (results.len() == items).then_some(RecordedStates {
            results,
            desired_digest: self.desired_digest,
        })
    }
}

#[derive(Deserialize)]
struct RecordedWire {
    outcome: String,
    instance: Option<ReadRow>,
    code: Option<String>,
}

impl RecordedWire {
    fn read(self) -> Option<Recorded> {
        Some(match self.outcome.as_str() {
            "recorded" => Recorded::Written(self.instance),
            "stale" => Recorded::Stale(self.instance?),
            "not_found" => Recorded::NotFound,
            "refused" => Recorded::Refused { code: self.code? },
            "superseded" => Recorded::Superseded,
            _ => return None,
        })
    }
}
