//! Asking the database to accept an operation.

use toolbox_api::dtma::{API_VERSION, Reason, ToolSpec};
use toolbox_api::edge::{Action, ConfigOverride, OperationState};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::problem::FieldError;
use toolbox_clients::supabase::rows::{
    BeginOperation, Begun, EnvironmentRow, InstanceRow, OperationRow,
};
use toolbox_clients::supabase::secrets::has_room;
use toolbox_domain::ids::{CatalogToolId, ToolInstanceId, ToolboxId};
use toolbox_domain::lifecycle::{
    Desired, EnvironmentStatus, InstanceState, InstanceStatus, Request, request,
};
use toolbox_domain::sealing::SealingKeys;

use crate::find::Target;
use crate::secrets;
use crate::settle::{self, Outcome, Progress};
use crate::{Instances, UserRequest};

/// How long nobody else may begin an operation on the instance. A pull takes longer than a stop.
pub(crate) const fn lease_seconds(action: Action) -> u32 {
    match action {
        Action::Deploy | Action::Update => 180,
        _ => 90,
    }
}

/// When a caller that met an operation in progress may ask again, in seconds. Most have ended by then.
const RETRY_AFTER_SECONDS: u32 = 5;

/// How often a request is decided again when the row has changed meanwhile.
const ATTEMPTS: usize = 3;

/// What the user asks for, before any instance is known.
pub(crate) struct Intent<'a> {
    pub(crate) instances: &'a Instances,
    pub(crate) request: &'a UserRequest,
    pub(crate) toolbox: ToolboxId,
    pub(crate) action: Action,
    pub(crate) transition: Request,
    /// What the user wants from then on.
    pub(crate) desired: Desired,
    /// Seal what the database gets of a spec.
    pub(crate) sealing: SealingKeys,
}

/// An operation that this request began.
pub(crate) struct Started {
    pub(crate) operation: Box<OperationRow>,
    pub(crate) row: Box<InstanceRow>,
    pub(crate) previous: Option<InstanceState>,
}

/// What the database accepted.
pub(crate) enum Accepted {
    Started(Box<Started>),
    /// The request was made before under the same key. This is what became of it.
    Replayed(Box<Outcome>),
}

/// The parts of a new instance.
pub(crate) struct NewInstance<'a> {
    pub(crate) id: ToolInstanceId,
    pub(crate) name: &'a str,
    pub(crate) container_name: &'a str,
    pub(crate) catalog_id: CatalogToolId,
    pub(crate) spec: &'a ToolSpec,
    pub(crate) max_instances: u32,
    pub(crate) pin_tools: bool,
}

/// A changed spec and the generation it was made from.
pub(crate) struct NewSpec<'a> {
    pub(crate) spec: &'a ToolSpec,
    pub(crate) generation: u64,
    /// The kept version that it is.
    pub(crate) restores: Option<u64>,
}

impl Intent<'_> {
    fn argument(&self, instance: ToolInstanceId, to: InstanceStatus) -> BeginOperation<'_> {
        let idempotency = self.request.idempotency.as_ref();
        BeginOperation {
            toolbox_id: self.toolbox,
            user_id: self.request.user,
            action: self.action.as_str(),
            instance_id: instance,
            request_id: &self.request.id,
            idempotency_key: idempotency.map(|given| given.key.as_str()),
            request_fingerprint: idempotency.map(|given| given.fingerprint.as_str()),
            former_request_fingerprint: idempotency
                .and_then(|given| given.former_fingerprint.as_deref()),
            preempts: self
                .transition
                .preempts()
                .iter()
                .map(|action| action.as_str())
                .collect(),
            lease_seconds: lease_seconds(self.action),
            expected_status: None,
            expected_generation: None,
            to_status: to.as_str(),
            desired_status: self.desired.as_str(),
            spec: None,
            restores: None,
            name: None,
            container_name: None,
            tool_catalog_id: None,
            max_instances: None,
            pin_tools: false,
        }
    }

    /// A spec as the database holds it.
    fn sealed(&self, id: ToolInstanceId, spec: &ToolSpec) -> Result<ToolSpec, ApiError> {
        let mut sealed = spec.clone();
        let nonce = || secrets::nonce(self.instances.host.random_bytes());
        self.sealing
            .seal_spec(id, sealed.secrets(), nonce)
            .map_err(|error| ApiError::new(ErrorCode::Internal).caused_by(&error))?;
        if !has_room(&sealed) {
            return Err(ApiError::validation(vec![ConfigOverride::told(
                FieldError {
                    field: String::new(),
                    code: "spec_too_large".to_owned(),
                    message: "keep the whole spec smaller: encrypted and as JSON it takes more than 256 KiB"
                        .to_owned(),
                },
            )]));
        }
        Ok(sealed)
    }
}

/// Only a toolbox whose agent has reported, and speaks this version of its API, takes commands.
pub(crate) fn check_toolbox(toolbox: &EnvironmentRow) -> Result<(), ApiError> {
    match toolbox.status.parse() {
        Ok(EnvironmentStatus::Active | EnvironmentStatus::Unresponsive) => {}
        _ => return Err(ApiError::new(ErrorCode::ToolboxNotActive)),
    }
    match toolbox.dtma_api_version {
        Some(version) if version < API_VERSION => Err(ApiError::new(ErrorCode::AgentTooOld)),
        _ => Ok(()),
    }
}

/// Begins the first operation of a new instance.
pub(crate) async fn new_instance(
    intent: &Intent<'_>,
    new: &NewInstance<'_>,
) -> Result<Accepted, ApiError> {
    let spec = intent.sealed(new.id, new.spec)?;
    let mut p = intent.argument(new.id, InstanceStatus::Deploying);
    p.spec = Some(&spec);
    p.name = Some(new.name);
    p.container_name = Some(new.container_name);
    p.tool_catalog_id = Some(new.catalog_id);
    p.max_instances = Some(new.max_instances);
    p.pin_tools = new.pin_tools;
    match intent.instances.database.begin(&p).await? {
        Begun::Started {
            operation,
            instance,
        } => Ok(Accepted::Started(Box::new(Started {
            operation,
            row: instance,
            previous: None,
        }))),
        other => not_begun(intent, other),
    }
}

/// Begins an operation on an instance that exists.
pub(crate) async fn existing(
    intent: &Intent<'_>,
    mut row: Box<InstanceRow>,
    new_spec: Option<NewSpec<'_>>,
) -> Result<Accepted, ApiError> {
    let sealed = match &new_spec {
        Some(new) => Some(intent.sealed(row.id, new.spec)?),
        None => None,
    };
    for _ in 0..ATTEMPTS {
        let state = row.state()?;
        // The database is asked also where the state does not allow the request: an operation that runs, or ran under
        // the same key, is a better answer than the state it put the row in. No row has the status "", so nothing begins.
        let (to, expected, refusal) = match request(&state, intent.transition) {
            Ok(to) => (to, state.status().as_str(), None),
            Err(refusal) => (state.status(), "", Some(refusal)),
        };
        let mut p = intent.argument(row.id, to);
        p.expected_status = Some(expected);
        if let Some(new) = &new_spec {
            p.spec = sealed.as_ref();
            p.expected_generation = Some(new.generation);
            p.restores = new.restores;
        }
        match intent.instances.database.begin(&p).await? {
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
            // A new spec is made from the stored one. If that has changed meanwhile, the new one would undo the change.
            Begun::StatusChanged if new_spec.is_none() || refusal.is_some() => {
                let target = Target::Id(row.id);
                let (_, now) = intent
                    .instances
                    .find_instance(intent.request, intent.toolbox, &target)
                    .await?;
                if let Some(refusal) = refusal
                    && now.status_on_toolbox == row.status_on_toolbox
                {
                    let message = refusal.to_string();
                    return Err(ApiError::with_message(ErrorCode::IllegalState, message));
                }
                row = now;
            }
            other => return not_begun(intent, other),
        }
    }
    Err(ApiError::new(ErrorCode::StateChanged))
}

/// Where the instance was not found: a delete that is repeated under its key after the row is gone is answered as before.
pub(crate) async fn replay_of_deleted(
    intent: &Intent<'_>,
    target: &Target,
    error: ApiError,
) -> Result<Outcome, ApiError> {
    let (Target::Id(id), Some(_), Action::Delete, ErrorCode::InstanceNotFound) = (
        target,
        &intent.request.idempotency,
        intent.action,
        error.code,
    ) else {
        return Err(error);
    };
    let p = intent.argument(*id, InstanceStatus::PendingDelete);
    match intent.instances.database.begin(&p).await? {
        begun @ (Begun::Replayed { .. } | Begun::KeyReused) => match not_begun(intent, begun)? {
            Accepted::Replayed(outcome) => Ok(*outcome),
            Accepted::Started(_) => Err(error),
        },
        _ => Err(error),
    }
}

/// Every answer of the database but the one that lets the request go on.
fn not_begun(intent: &Intent<'_>, begun: Begun) -> Result<Accepted, ApiError> {
    Err(match begun {
        Begun::Replayed {
            operation,
            instance,
        } => {
            let outcome = replayed(intent, operation, instance.as_deref())?;
            return Ok(Accepted::Replayed(Box::new(outcome)));
        }
        Begun::InProgress { operation } => {
            let mut error =
                ApiError::new(ErrorCode::OperationInProgress).with_operation(operation.into());
            error.header = Some(("retry-after", RETRY_AFTER_SECONDS.to_string()));
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

/// What has become so far of the operation that the key began before.
fn replayed(
    intent: &Intent<'_>,
    operation: Box<OperationRow>,
    row: Option<&InstanceRow>,
) -> Result<Outcome, ApiError> {
    let progress = match operation.state {
        OperationState::InProgress => Progress::Accepted,
        OperationState::Succeeded => Progress::Done,
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
                .unwrap_or_else(|| settle::failure_code(intent.action));
            return Err(ApiError::new(code)
                .with_reason(reason)
                .with_operation(operation.into()));
        }
        OperationState::Abandoned => {
            return Err(ApiError::with_message(
                ErrorCode::StateChanged,
                "The end of the operation was not observed; read the instance and try again",
            )
            .with_operation(operation.into()));
        }
    };
    Ok(Outcome {
        action: intent.action,
        progress,
        via: None,
        replayed: true,
        instance_id: operation.tool_instance_id,
        instance: settle::view_of(intent.instances, row, None)?,
        operation: operation.into(),
    })
}
