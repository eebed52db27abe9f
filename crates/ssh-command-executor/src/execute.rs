//! One operation: what is asked for, whose machine it is, the event row, the connection, the answer.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};
use toolbox_api::error::{ApiError, ErrorCode, ErrorDetails};
use toolbox_api::executor::{ExecuteRequest, ExecuteResponse};
use toolbox_api::ssh::CommandAnswer;
use toolbox_clients::supabase::ssh::{InstanceFilter, SshMachineRow, SshTarget};
use toolbox_clients::supabase::toolbox_events::{EventId, ToolboxEvent};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::machine_operation::{
    ALLOWED, MachineOperation, OperationError, PredecessorCommand,
};
use toolbox_edge::{Reply, RequestContext, reply};
use toolbox_ssh::authority::Authority;
use toolbox_ssh::client::{End, Limits, Source, randomness, run};
use toolbox_ssh::connect::connect;
use toolbox_ssh::error::SshError;
use toolbox_ssh::host_key::HostKey;

use crate::failure::failure;

/// How long TCP may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long the operation may take, unless the caller says.
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);
/// Bounds of what the caller may say.
const LIMITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Most bytes of output: logs of 5,000 lines of usual length fit.
const MAX_OUTPUT: usize = 4 * 1024 * 1024;

/// Answers a request.
pub(crate) async fn execute(cx: &RequestContext) -> Result<Reply, ApiError> {
    let request: ExecuteRequest = cx.json().await?;
    let asked = asked_for(&request)?;
    let limit = request
        .timeout
        .map_or(DEFAULT_LIMIT, Duration::from_millis)
        .clamp(LIMITS.0, LIMITS.1);
    let (machine, operation) = find(cx, &request, asked).await?;

    let event = begin(cx, &machine, &operation).await?;
    let begun = cx.state.clock.now();
    let done = by_ssh(cx, &machine, &operation, limit).await;
    let duration = cx.state.clock.now().saturating_sub(begun);
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    end(cx, event, duration_ms, &done).await;
    let done = done?;

    reply::json(
        200,
        &ExecuteResponse {
            success: done.is_success(),
            exit_code: done.exit_code(),
            stdout: done.stdout,
            stderr: done.stderr,
            command: operation.to_string(),
            timestamp: cx.state.timestamp(),
            duration: duration_ms,
            toolbox_id: machine.id,
            answer: done.answer,
            request_id: cx.request_id.to_string(),
        },
    )
}

/// What the request asks for; a container's name is not looked up yet.
fn asked_for(request: &ExecuteRequest) -> Result<PredecessorCommand, ApiError> {
    match (&request.operation, &request.command) {
        (Some(operation), None) => serde_json::from_value(operation.clone())
            .map(PredecessorCommand::Operation)
            .map_err(|_| not_allowed(OperationError::Unknown)),
        (None, Some(command)) => command.parse().map_err(not_allowed),
        _ => Err(ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give either operation or command",
        )),
    }
}

/// The caller's machine, and the operation on an instance of it.
async fn find(
    cx: &RequestContext,
    request: &ExecuteRequest,
    asked: PredecessorCommand,
) -> Result<(SshMachineRow, MachineOperation), ApiError> {
    let caller = cx.caller()?;
    let target = match (&request.toolbox_id, &request.droplet_ip) {
        (Some(id), None) => SshTarget::Toolbox(id.parse().map_err(|_| {
            ApiError::with_message(
                ErrorCode::InvalidRequest,
                "Give the id of the toolbox, a UUID",
            )
        })?),
        (None, Some(ip)) => SshTarget::Address(ip.parse::<IpAddr>().map_err(|_| {
            ApiError::with_message(
                ErrorCode::InvalidRequest,
                "Give the address of the toolbox, an IP address",
            )
        })?),
        _ => {
            return Err(ApiError::with_message(
                ErrorCode::InvalidRequest,
                "Give either toolboxId or dropletIp",
            ));
        }
    };
    let filter = match &asked {
        PredecessorCommand::Operation(
            MachineOperation::Instance { id, .. } | MachineOperation::InstanceLogs { id, .. },
        ) => InstanceFilter::Id(*id),
        PredecessorCommand::Operation(_) => InstanceFilter::None,
        PredecessorCommand::Named { name, .. } | PredecessorCommand::NamedLogs { name, .. } => {
            InstanceFilter::Name(name)
        }
    };
    let names_instance = matches!(filter, InstanceFilter::Id(_));
    let database = &cx.state.supabase;
    let mut found = database
        .ssh_machines(&caller.token, target, filter)
        .await?
        .into_iter();
    let machine = match (found.next(), found.next()) {
        (Some(machine), None) => machine,
        (None, _) => return Err(ApiError::new(ErrorCode::ToolboxNotFound)),
        (Some(_), Some(_)) => return Err(ApiError::new(ErrorCode::ToolboxAmbiguous)),
    };
    let operation = match asked {
        PredecessorCommand::Operation(operation) => {
            if names_instance {
                instance(&machine)?;
            }
            operation
        }
        PredecessorCommand::Named { action, .. } => MachineOperation::Instance {
            action,
            id: instance(&machine)?,
        },
        PredecessorCommand::NamedLogs { tail, .. } => MachineOperation::InstanceLogs {
            id: instance(&machine)?,
            tail,
        },
    };
    Ok((machine, operation))
}

/// The one instance that was looked for.
fn instance(machine: &SshMachineRow) -> Result<ToolInstanceId, ApiError> {
    match machine.account_tool_instances.as_slice() {
        [one] => Ok(one.id),
        [] => Err(ApiError::new(ErrorCode::InstanceNotFound)),
        _ => Err(ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Several instances have this name; give the id of one",
        )),
    }
}

/// What came back from a machine.
struct Done {
    end: End,
    stdout: String,
    stderr: String,
    /// The line of the forced command.
    answer: Option<CommandAnswer>,
}

impl Done {
    /// The machine says that it was done, in the words of its forced command: exit code 0 alone says little.
    fn is_success(&self) -> bool {
        self.end == End::Exited(0) && self.answer.as_ref().is_some_and(|answer| answer.ok)
    }

    fn exit_code(&self) -> i64 {
        match self.end {
            End::Exited(code) => code.into(),
            End::Killed => -1,
        }
    }
}

async fn by_ssh(
    cx: &RequestContext,
    machine: &SshMachineRow,
    operation: &MachineOperation,
    limit: Duration,
) -> Result<Done, ApiError> {
    let not_configured = |cause: &dyn std::error::Error| ApiError {
        cause: Some(cause.to_string()),
        ..ApiError::with_message(
            ErrorCode::NotConfigured,
            "SSH is not configured: set TOOLBOX_SSH_CA_KEY",
        )
    };
    let authority = Authority::parse(cx.state.config.ssh_ca_key.as_deref().unwrap_or_default())
        .map_err(|error| not_configured(&error))?;
    // Postgres writes the length of a network after an address that is not a single host's.
    let address = machine
        .public_ip_address
        .as_deref()
        .and_then(|text| text.split('/').next());
    let address = address.ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotReady))?;
    let host_key: Option<HostKey> = machine
        .ssh_host_key
        .as_deref()
        .and_then(|key| key.parse().ok());
    let host_key = host_key.ok_or_else(|| ApiError::new(ErrorCode::SshNotEnrolled))?;

    let random = randomness().map_err(|error| failure(&error))?;
    let now = cx.state.clock.now().as_secs();
    let credentials = authority
        .issue(machine.id, now, &random)
        .map_err(|error| ApiError::internal(&error))?;
    let limits = Limits {
        operation: limit,
        output_bytes: MAX_OUTPUT,
        ..Limits::default()
    };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let ended: Result<End, SshError> = async {
        let wire = connect(address, machine.ssh_port, CONNECT_LIMIT).await?;
        let mut take = |source, bytes: &[u8]| match source {
            Source::Stdout => stdout.extend_from_slice(bytes),
            Source::Stderr => stderr.extend_from_slice(bytes),
        };
        run(wire, &host_key, &credentials, operation, &limits, &mut take).await
    }
    .await;
    let end = ended.map_err(|error| failure(&error))?;
    Ok(Done {
        end,
        answer: serde_json::from_slice(&stdout).ok(),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// Every use is in the history of the toolbox before the machine is reached: what cannot be written is not done.
async fn begin(
    cx: &RequestContext,
    machine: &SshMachineRow,
    operation: &MachineOperation,
) -> Result<EventId, ApiError> {
    let mut detail = Map::new();
    detail.insert("operation".to_owned(), operation.to_string().into());
    let event = ToolboxEvent {
        toolbox: machine.id,
        user: cx.caller()?.user,
        as_operator: false,
        kind: "ssh_command",
        detail: &detail,
        request_id: Some(&cx.request_id),
    };
    let begun = cx.state.supabase.begin_toolbox_event(&event).await?;
    begun.ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))
}

/// The operation is over: an end that cannot be written is in the log at least.
async fn end(cx: &RequestContext, event: EventId, duration_ms: u64, done: &Result<Done, ApiError>) {
    let mut detail = Map::new();
    detail.insert("duration_ms".to_owned(), duration_ms.into());
    let mut result = "succeeded";
    match done {
        Ok(done) => {
            detail.insert("exit_code".to_owned(), done.exit_code().into());
            if let Some(answer) = &done.answer {
                let by = serde_json::to_value(answer.by).unwrap_or(Value::Null);
                detail.insert("by".to_owned(), by);
            }
            if !done.is_success() {
                result = "ssh_command_failed";
            }
        }
        Err(error) => result = error.code.as_str(),
    }
    let database = &cx.state.supabase;
    if let Err(error) = database.end_toolbox_event(event, result, &detail).await {
        cx.state.log(
            &cx.request_id,
            "record the end of a use of SSH",
            &error.into(),
        );
    }
}

fn not_allowed(error: OperationError) -> ApiError {
    let message = match error {
        OperationError::KeptVolumes => format!("Nothing was done; {error}"),
        _ => format!("Nothing was done. Allowed are: {}", ALLOWED.join(", ")),
    };
    let allowed = ALLOWED.map(str::to_owned).to_vec();
    ApiError {
        details: Some(Box::new(ErrorDetails {
            allowed,
            ..ErrorDetails::default()
        })),
        ..ApiError::with_message(ErrorCode::OperationNotAllowed, message)
    }
}
