//! Asking the database to accept an operation.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use toolbox_api::dtma::{Reason, ToolSpec};
use toolbox_api::edge::{Action, OperationState};
use toolbox_api::error::{ErrorCode, ErrorDetails};
use toolbox_clients::supabase::rows::{
    BeginOperation, Begun, EnvironmentRow, InstanceRow, OperationRow,
};
use toolbox_domain::ids::{CatalogToolId, ToolInstanceId, ToolboxId, UserId};
use toolbox_domain::lifecycle::{
    Desired, EnvironmentStatus, InstanceState, InstanceStatus, Request, request,
};
use toolbox_edge::{ApiError, Cx, Reply};

use super::{conclude, lease_seconds};
use crate::toolbox::{self, Target};

/// A decision that meets a moved row is made again on what the row is now, this often.
const ATTEMPTS: usize = 3;

/// What the caller asks for, before any instance is known.
pub(super) struct Intent<'a> {
    pub(super) cx: &'a Cx,
    pub(super) toolbox: ToolboxId,
    user: UserId,
    pub(super) action: Action,
    request: Request,
    /// What the user wants from then on.
    pub(super) desired: Desired,
    key: Option<&'a str>,
    fingerprint: Option<String>,
}

/// An operation that is ours.
pub(super) struct Started {
    pub(super) operation: Box<OperationRow>,
    pub(super) row: Box<InstanceRow>,
    pub(super) previous: Option<InstanceState>,
}

/// What the database accepted.
pub(super) enum Accepted {
    Started(Box<Started>),
    /// The request was made before under the same key; this is its answer.
    Replayed(Reply),
}

/// The parts of a new instance.
pub(super) struct NewInstance<'a> {
    pub(super) id: ToolInstanceId,
    pub(super) name: &'a str,
    pub(super) container_name: &'a str,
    pub(super) catalog_id: CatalogToolId,
    pub(super) spec: &'a ToolSpec,
}

/// A changed spec and the generation it was made from.
pub(super) struct NewSpec<'a> {
    pub(super) spec: &'a ToolSpec,
    pub(super) generation: u64,
}

impl<'a> Intent<'a> {
    pub(super) fn new(
        cx: &'a Cx,
        toolbox: ToolboxId,
        action: Action,
        request: Request,
        desired: Desired,
    ) -> Result<Self, ApiError> {
        let key = cx.idempotency_key()?;
        let fingerprint = key.map(|_| fingerprint(cx));
        Ok(Self {
            cx,
            toolbox,
            user: cx.caller()?.user,
            action,
            request,
            desired,
            key,
            fingerprint,
        })
    }

    fn argument(&self, instance: ToolInstanceId, to: InstanceStatus) -> BeginOperation<'_> {
        BeginOperation {
            toolbox_id: self.toolbox,
            user_id: self.user,
            action: self.action.as_str(),
            instance_id: instance,
            request_id: &self.cx.request_id,
            idempotency_key: self.key,
            request_fingerprint: self.fingerprint.as_deref(),
            lease_seconds: lease_seconds(self.action),
            expected_status: None,
            expected_generation: None,
            to_status: to.as_str(),
            desired_status: self.desired.as_str(),
            spec: None,
            name: None,
            container_name: None,
            tool_catalog_id: None,
            max_instances: None,
        }
    }
}

/// SHA-256 over method, path and body: a key belongs to one request.
fn fingerprint(cx: &Cx) -> String {
    let mut hash = Sha256::new();
    for part in [cx.method.as_bytes(), cx.path.as_bytes()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(&cx.body);
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Only a toolbox whose agent has reported takes commands.
pub(super) fn check_toolbox(toolbox: &EnvironmentRow) -> Result<(), ApiError> {
    match toolbox.status.parse() {
        Ok(EnvironmentStatus::Active | EnvironmentStatus::Unresponsive) => Ok(()),
        _ => Err(ApiError::new(ErrorCode::ToolboxNotActive)),
    }
}

/// Begins the first operation of a new instance.
pub(super) async fn new_instance(
    intent: &Intent<'_>,
    new: &NewInstance<'_>,
) -> Result<Accepted, ApiError> {
    let mut p = intent.argument(new.id, InstanceStatus::Deploying);
    p.spec = Some(new.spec);
    p.name = Some(new.name);
    p.container_name = Some(new.container_name);
    p.tool_catalog_id = Some(new.catalog_id);
    let quotas = intent.cx.app.config.quotas.as_ref()?;
    p.max_instances = Some(quotas.max_instances);
    match intent.cx.app.supabase.begin(&p).await? {
        Begun::Started {
            operation,
            instance,
        } => Ok(Accepted::Started(Box::new(Started {
            operation,
            row: instance,
            previous: None,
        }))),
        other => answered(intent, other),
    }
}

/// Begins an operation on an instance that exists.
pub(super) async fn existing(
    intent: &Intent<'_>,
    mut row: Box<InstanceRow>,
    new_spec: Option<NewSpec<'_>>,
) -> Result<Accepted, ApiError> {
    for _ in 0..ATTEMPTS {
        let state = row.state()?;
        // What runs, or ran under the same key, says more than the state it put the row in. So the
        // database is asked about what is not allowed too; no row has the status "", so nothing begins.
        let (to, expected, refusal) = match request(&state, intent.request) {
            Ok(to) => (to, state.status().as_str(), None),
            Err(refusal) => (state.status(), "", Some(refusal)),
        };
        let mut p = intent.argument(row.id, to);
        p.expected_status = Some(expected);
        if let Some(new) = &new_spec {
            p.spec = Some(new.spec);
            p.expected_generation = Some(new.generation);
        }
        match intent.cx.app.supabase.begin(&p).await? {
            Begun::Started {
                operation,
                instance,
            } => {
                return Ok(Accepted::Started(Box::new(Started {
                    operation,
                    row: instance,
                    previous: Some(state),
                })));
            }
            // A spec merged from an older one would undo what came between.
            Begun::StatusChanged if new_spec.is_none() || refusal.is_some() => {
                let target = Target::Id(row.id);
                let now = toolbox::find_instance(intent.cx, intent.toolbox, &target)
                    .await?
                    .1;
                if let Some(refusal) = refusal
                    && now.status_on_toolbox == row.status_on_toolbox
                {
                    let message = refusal.to_string();
                    return Err(ApiError::with_message(ErrorCode::IllegalState, message));
                }
                row = now;
            }
            other => return answered(intent, other),
        }
    }
    Err(ApiError::new(ErrorCode::StateChanged))
}

/// A delete that is repeated under its key after the row is gone is still answered as before.
pub(super) async fn replay_of_deleted(
    intent: &Intent<'_>,
    target: &Target,
    error: ApiError,
) -> Result<Reply, ApiError> {
    let (Target::Id(id), Some(_), Action::Delete, ErrorCode::InstanceNotFound) =
        (target, intent.key, intent.action, error.code)
    else {
        return Err(error);
    };
    let p = intent.argument(*id, InstanceStatus::PendingDelete);
    match intent.cx.app.supabase.begin(&p).await? {
        begun @ (Begun::Replayed { .. } | Begun::KeyReused) => match answered(intent, begun)? {
            Accepted::Replayed(reply) => Ok(reply),
            Accepted::Started(_) => Err(error),
        },
        _ => Err(error),
    }
}

/// Every outcome but the one that lets the request go on.
fn answered(intent: &Intent<'_>, begun: Begun) -> Result<Accepted, ApiError> {
    Err(match begun {
        Begun::Replayed {
            operation,
            instance,
        } => {
            return replayed(intent, operation, instance.as_deref()).map(Accepted::Replayed);
        }
        Begun::InProgress { operation } => {
            let mut error = ApiError::new(ErrorCode::OperationInProgress);
            error.details = Some(Box::new(ErrorDetails {
                operation: Some(operation.into()),
                ..ErrorDetails::default()
            }));
            error
        }
        Begun::NameTaken => ApiError::new(ErrorCode::NameTaken),
        Begun::KeyReused => ApiError::new(ErrorCode::IdempotencyKeyReused),
        Begun::QuotaExceeded { limit } => ApiError::with_message(
            ErrorCode::QuotaExceeded,
            format!("The toolbox holds {limit} instances, as many as it may"),
        ),
        Begun::NotFound if intent.action == Action::Deploy => {
            ApiError::new(ErrorCode::ToolboxNotFound)
        }
        Begun::NotFound => ApiError::new(ErrorCode::InstanceNotFound),
        Begun::StatusChanged | Begun::Started { .. } => ApiError::new(ErrorCode::StateChanged),
    })
}

/// The answer of the operation that a key began before, as far as it is now.
fn replayed(
    intent: &Intent<'_>,
    operation: Box<OperationRow>,
    row: Option<&InstanceRow>,
) -> Result<Reply, ApiError> {
    let cx = intent.cx;
    match operation.state {
        OperationState::InProgress | OperationState::Succeeded => {
            let status = match (operation.state, intent.action) {
                (OperationState::InProgress, _) => 202,
                (_, Action::Deploy) => 201,
                _ => 200,
            };
            let id = operation.tool_instance_id;
            let view = operation.into();
            conclude::success(
                &cx.app,
                &cx.request_id,
                intent.action,
                status,
                id,
                view,
                row,
                None,
            )
        }
        OperationState::Failed => {
            let reason = Reason {
                code: operation.error_code.clone().unwrap_or_default(),
                message: operation.error_message.clone().unwrap_or_default(),
            };
            let answered = operation.answered_code.as_deref();
            let code = ErrorCode::ALL
                .iter()
                .copied()
                .find(|code| Some(code.as_str()) == answered)
                .unwrap_or_else(|| conclude::failure_code(intent.action));
            let error = ApiError::new(code).with_reason(reason);
            Err(conclude::with_operation(error, operation.into()))
        }
        OperationState::Abandoned => {
            let error = ApiError::with_message(
                ErrorCode::StateChanged,
                "The end of the operation was not observed; read the instance and try again",
            );
            Err(conclude::with_operation(error, operation.into()))
        }
    }
}
