//! The errors of every operation of the edge functions. For each code it is decided once which operations give it, so no
//! operation's list is written by hand, and a new code cannot be forgotten.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};

use crate::error::ErrorCode;

/// What decides which errors an operation gives.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    method: &'a str,
    path: &'a str,
    has_body: bool,
}

/// Which operations of a function give a code.
pub(super) type Gives = fn(ErrorCode, Facts<'_>) -> bool;

/// Adds to every operation the statuses that it can give, each with its codes.
pub(super) fn add(openapi: &mut OpenApi, gives: Gives) {
    for (path, item) in &mut openapi.paths.paths {
        for (method, operation) in operations_of(item) {
            let facts = Facts {
                method,
                path,
                has_body: operation.request_body.is_some(),
            };
            add_to(operation, |code| gives(code, facts));
        }
    }
}

fn operations_of(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem {
        get,
        put,
        post,
        patch,
        delete,
        ..
    } = item;
    [
        ("GET", get),
        ("PUT", put),
        ("POST", post),
        ("PATCH", patch),
        ("DELETE", delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

fn add_to(operation: &mut Operation, gives: impl Fn(ErrorCode) -> bool) {
    for code in ErrorCode::ALL.iter().copied().filter(|code| gives(*code)) {
        let told = format!("`{}`: {}", code.as_str(), code.title());
        let responses = &mut operation.responses.responses;
        if let Some(RefOr::T(response)) = responses.get_mut(&code.status().to_string()) {
            response.description = format!("{}\n\n{told}", response.description);
            continue;
        }
        let envelope = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("ErrorEnvelope")))
            .build();
        let response = ResponseBuilder::new()
            .description(told)
            .content("application/json", envelope)
            .build();
        responses.insert(code.status().to_string(), RefOr::T(response));
    }
}

/// `toolbox-tools`.
pub(super) fn of_tools(code: ErrorCode, facts: Facts<'_>) -> bool {
    use ErrorCode as C;
    // Who may use MCP servers is a matter of the database.
    let is_access = facts.path.contains("/mcp-access");
    let is_pin = facts.path.ends_with("/mcp/pin");
    let gives = is_access && facts.method == "POST" || is_pin && facts.method == "PUT";
    // A body may name any action.
    let is_any = facts.method == "POST" && !facts.path.contains("{instance}") && !is_access;
    let changes = facts.method != "GET" && !is_access && !is_pin;
    let is_mcp = facts.path.ends_with("{instance}/mcp") || is_any;
    let is_logs = facts.path.ends_with("/logs") || is_any;
    let names_instance = facts.path.contains("{instance}") || is_any;
    let asks_agent = changes || is_logs || is_pin && gives;
    let ends_with = |action: &str| facts.path.ends_with(action) || is_any;
    match code {
        C::AuthenticationRequired
        | C::InvalidToken
        | C::UserTokenRequired
        | C::AnonymousRefused
        | C::Forbidden
        | C::InvalidRequest
        | C::ToolboxNotFound
        | C::Internal
        | C::NotConfigured
        | C::DatabaseBadResponse
        | C::DatabaseUnreachable
        | C::DatabaseTimeout
        | C::AuthUnreachable => true,
        C::InvalidJson | C::UnsupportedMediaType => facts.has_body,
        C::InvalidAction | C::CatalogToolNotFound | C::NameTaken | C::DeployFailed => is_any,
        C::QuotaExceeded => is_any || is_access && gives,
        C::InstanceNotFound => names_instance || gives,
        C::McpAccessNotFound => {
            facts.path.ends_with("{accessId}") || facts.path.ends_with("{clientId}")
        }
        C::IllegalState => changes || is_mcp || is_pin && facts.method != "DELETE",
        C::McpToolsChanged | C::McpToolsUnknown => is_pin && gives,
        // A body without meaning is read too, where there is an idempotency key.
        C::BodyTooLarge | C::BodyTooSlow | C::ValidationFailed => changes || gives,
        C::OperationInProgress
        | C::StateChanged
        | C::ToolboxNotActive
        | C::IdempotencyKeyReused
        | C::AgentStoreFailed => changes,
        C::StartFailed => ends_with("/start") || ends_with("/restart"),
        C::StopFailed => ends_with("/stop"),
        C::UpdateFailed => facts.method == "PATCH" || ends_with("/rollback"),
        C::VersionNotKept => facts.path.ends_with("/rollback"),
        C::DeleteFailed => facts.method == "DELETE" || is_any,
        C::ToolboxNotReady | C::AgentNotEnrolled | C::AgentUnauthorized => asks_agent || is_mcp,
        C::AgentTooOld
        | C::AgentPinUnsupported
        | C::AgentBadResponse
        | C::AgentFailed
        | C::AgentCertificateInvalid
        | C::AgentUnreachable
        | C::AgentTimeout
        | C::DockerFailed
        | C::DockerUnreachable
        | C::DockerTimeout => asks_agent,
        // Of paths and methods that are no operation, and of other functions.
        C::OperationNotAllowed
        | C::McpGrantRequired
        | C::AgentNotFound
        | C::BackendBadResponse
        | C::BackendUnreachable
        | C::BackendTimeout
        | C::ProvisioningFailed
        | C::ProviderRefused
        | C::ProviderUnavailable
        | C::ToolboxAmbiguous
        | C::SshNoServer
        | C::SshKeyExchangeFailed
        | C::SshHostKeyChanged
        | C::SshClockSkew
        | C::SshNotAdmitted
        | C::SshChannelRefused
        | C::SshCommandRefused
        | C::SshOutputTooLarge
        | C::SshConnectionLost
        | C::SshRefused
        | C::SshUnreachable
        | C::SshNotEnrolled
        | C::SshTimeout
        | C::RouteNotFound
        | C::MethodNotAllowed
        | C::VersionChangeInProgress
        | C::RolloutNotFound
        | C::RolloutInProgress
        | C::RedeployFailed
        | C::NoPreviousVersion
        | C::ReleasesNotConfigured
        | C::ReleaseUnknown
        | C::ReleaseUnavailable
        | C::CompanionUnreachable
        | C::EnrolmentTokenInvalid
        | C::EnrolmentTokenExpired
        | C::EnrolmentTokenUsed
        | C::HeartbeatKeyInvalid
        | C::HeartbeatReplayed
        | C::CertificateChanged
        | C::SecretKeyRequired => false,
    }
}

/// `toolbox-dtma-console`.
pub(super) fn of_console(code: ErrorCode, facts: Facts<'_>) -> bool {
    use ErrorCode as C;
    let is_any = facts.path == "/";
    let posts = facts.method == "POST";
    let ends_with = |action: &str| is_any && posts || facts.path.ends_with(action);
    let is_diagnosis = facts.path.ends_with("/diagnose");
    let is_rollout = facts.path.starts_with("/rollouts");
    match code {
        C::ToolboxNotFound => !facts.path.contains("{rolloutId}"),
        C::RolloutNotFound => facts.path.contains("{rolloutId}"),
        C::RolloutInProgress => facts.path == "/rollouts",
        C::AuthenticationRequired
        | C::InvalidToken
        | C::UserTokenRequired
        | C::AnonymousRefused
        | C::Forbidden
        | C::InvalidRequest
        | C::Internal
        | C::NotConfigured
        | C::DatabaseBadResponse
        | C::DatabaseUnreachable
        | C::DatabaseTimeout
        | C::AuthUnreachable => true,
        C::InvalidAction => is_any,
        C::MethodNotAllowed => is_any && !posts,
        C::InvalidJson | C::UnsupportedMediaType | C::BodyTooLarge | C::BodyTooSlow => {
            facts.has_body
        }
        C::VersionChangeInProgress
        | C::RedeployFailed
        | C::ReleasesNotConfigured
        | C::ReleaseUnknown
        | C::ReleaseUnavailable => ends_with("/redeploy") || ends_with("/rollback"),
        C::NoPreviousVersion => ends_with("/rollback"),
        // What a diagnosis finds is in its checks.
        C::ToolboxNotReady
        | C::AgentNotEnrolled
        | C::AgentUnauthorized
        | C::AgentTooOld
        | C::AgentPinUnsupported
        | C::AgentBadResponse
        | C::AgentFailed
        | C::AgentCertificateInvalid
        | C::AgentUnreachable
        | C::AgentTimeout
        | C::CompanionUnreachable
        | C::DockerFailed
        | C::DockerUnreachable
        | C::DockerTimeout => !is_diagnosis && !is_rollout,
        // Of paths that are no operation, and of other functions.
        C::OperationNotAllowed
        | C::AgentNotFound
        | C::BackendBadResponse
        | C::BackendUnreachable
        | C::BackendTimeout
        | C::McpAccessNotFound
        | C::McpGrantRequired
        | C::McpToolsChanged
        | C::McpToolsUnknown
        | C::ProvisioningFailed
        | C::ProviderRefused
        | C::ProviderUnavailable
        | C::ToolboxAmbiguous
        | C::SshNoServer
        | C::SshKeyExchangeFailed
        | C::SshHostKeyChanged
        | C::SshClockSkew
        | C::SshNotAdmitted
        | C::SshChannelRefused
        | C::SshCommandRefused
        | C::SshOutputTooLarge
        | C::SshConnectionLost
        | C::SshRefused
        | C::SshUnreachable
        | C::SshNotEnrolled
        | C::SshTimeout
        | C::RouteNotFound
        | C::InstanceNotFound
        | C::CatalogToolNotFound
        | C::VersionNotKept
        | C::OperationInProgress
        | C::NameTaken
        | C::IllegalState
        | C::StateChanged
        | C::ToolboxNotActive
        | C::EnrolmentTokenInvalid
        | C::EnrolmentTokenExpired
        | C::EnrolmentTokenUsed
        | C::HeartbeatKeyInvalid
        | C::HeartbeatReplayed
        | C::CertificateChanged
        | C::SecretKeyRequired
        | C::ValidationFailed
        | C::IdempotencyKeyReused
        | C::QuotaExceeded
        | C::DeployFailed
        | C::StartFailed
        | C::StopFailed
        | C::UpdateFailed
        | C::DeleteFailed
        | C::AgentStoreFailed => false,
    }
}

/// `clock`. What fails in a job is in the answer.
pub(super) const fn of_clock(code: ErrorCode) -> bool {
    use ErrorCode as C;
    matches!(code, C::Internal | C::NotConfigured | C::SecretKeyRequired)
}

/// `heartbeat`.
pub(super) fn of_heartbeat(code: ErrorCode, facts: Facts<'_>) -> bool {
    use ErrorCode as C;
    let is_enrol = facts.path.ends_with("/enrol");
    let is_beat = facts.has_body && !is_enrol;
    match code {
        C::Internal
        | C::NotConfigured
        | C::AuthenticationRequired
        | C::InvalidRequest
        | C::Forbidden
        | C::DatabaseBadResponse
        | C::DatabaseUnreachable
        | C::DatabaseTimeout => true,
        C::HeartbeatKeyInvalid => !is_enrol,
        C::EnrolmentTokenInvalid | C::EnrolmentTokenExpired | C::EnrolmentTokenUsed => is_enrol,
        C::HeartbeatReplayed | C::CertificateChanged => is_beat,
        C::InvalidJson
        | C::BodyTooLarge
        | C::BodyTooSlow
        | C::UnsupportedMediaType
        | C::ValidationFailed
        | C::StateChanged => facts.has_body,
        // Of paths and methods that are no operation, and of other functions.
        C::OperationNotAllowed
        | C::AgentNotFound
        | C::BackendBadResponse
        | C::BackendUnreachable
        | C::BackendTimeout
        | C::McpAccessNotFound
        | C::McpGrantRequired
        | C::McpToolsChanged
        | C::McpToolsUnknown
        | C::ProvisioningFailed
        | C::ProviderRefused
        | C::ProviderUnavailable
        | C::ToolboxAmbiguous
        | C::SshNoServer
        | C::SshKeyExchangeFailed
        | C::SshHostKeyChanged
        | C::SshClockSkew
        | C::SshNotAdmitted
        | C::SshChannelRefused
        | C::SshCommandRefused
        | C::SshOutputTooLarge
        | C::SshConnectionLost
        | C::SshRefused
        | C::SshUnreachable
        | C::SshNotEnrolled
        | C::SshTimeout
        | C::RouteNotFound
        | C::MethodNotAllowed
        | C::VersionChangeInProgress
        | C::RolloutNotFound
        | C::RolloutInProgress
        | C::RedeployFailed
        | C::NoPreviousVersion
        | C::ReleasesNotConfigured
        | C::ReleaseUnknown
        | C::ReleaseUnavailable
        | C::CompanionUnreachable
        | C::InvalidAction
        | C::InvalidToken
        | C::UserTokenRequired
        | C::AnonymousRefused
        | C::ToolboxNotFound
        | C::InstanceNotFound
        | C::CatalogToolNotFound
        | C::VersionNotKept
        | C::OperationInProgress
        | C::NameTaken
        | C::IllegalState
        | C::ToolboxNotActive
        | C::IdempotencyKeyReused
        | C::QuotaExceeded
        | C::AgentPinUnsupported
        | C::DeployFailed
        | C::StartFailed
        | C::StopFailed
        | C::UpdateFailed
        | C::DeleteFailed
        | C::AgentBadResponse
        | C::AgentFailed
        | C::AgentTooOld
        | C::AgentUnauthorized
        | C::AgentCertificateInvalid
        | C::DockerFailed
        | C::AgentStoreFailed
        | C::AgentUnreachable
        | C::ToolboxNotReady
        | C::AgentNotEnrolled
        | C::DockerUnreachable
        | C::AuthUnreachable
        | C::AgentTimeout
        | C::SecretKeyRequired
        | C::DockerTimeout => false,
    }
}

/// `ssh-command-executor`.
pub(super) fn of_executor(code: ErrorCode, _: Facts<'_>) -> bool {
    use ErrorCode as C;
    matches!(
        code,
        C::AuthenticationRequired
            | C::InvalidToken
            | C::UserTokenRequired
            | C::AnonymousRefused
            | C::Forbidden
            | C::InvalidRequest
            | C::ToolboxNotFound
            | C::InstanceNotFound
            | C::ToolboxNotReady
            | C::Internal
            | C::NotConfigured
            | C::DatabaseBadResponse
            | C::DatabaseUnreachable
            | C::DatabaseTimeout
            | C::AuthUnreachable
            | C::InvalidJson
            | C::UnsupportedMediaType
            | C::BodyTooLarge
            | C::BodyTooSlow
            | C::ValidationFailed
            | C::McpAccessNotFound
            | C::McpGrantRequired
            | C::OperationNotAllowed
            | C::ToolboxAmbiguous
            | C::SshNoServer
            | C::SshKeyExchangeFailed
            | C::SshHostKeyChanged
            | C::SshClockSkew
            | C::SshNotAdmitted
            | C::SshChannelRefused
            | C::SshCommandRefused
            | C::SshOutputTooLarge
            | C::SshConnectionLost
            | C::SshRefused
            | C::SshUnreachable
            | C::SshNotEnrolled
            | C::SshTimeout
    )
}

/// `toolboxes-user`.
pub(super) fn of_toolboxes(code: ErrorCode, facts: Facts<'_>) -> bool {
    use ErrorCode as C;
    let names_toolbox = facts.path.contains("{toolboxId}");
    let is_creation = facts.method == "POST" && facts.path == "/";
    let changes = facts.method != "GET" && names_toolbox;
    let buys = is_creation || changes || facts.path == "/options";
    match code {
        C::AuthenticationRequired
        | C::InvalidToken
        | C::UserTokenRequired
        | C::AnonymousRefused
        | C::Forbidden
        | C::Internal
        | C::NotConfigured
        | C::DatabaseBadResponse
        | C::DatabaseUnreachable
        | C::DatabaseTimeout
        | C::AuthUnreachable => true,
        C::InvalidRequest | C::ToolboxNotFound => names_toolbox || is_creation,
        C::ProviderRefused | C::ProviderUnavailable => buys,
        C::InvalidJson
        | C::UnsupportedMediaType
        | C::BodyTooLarge
        | C::BodyTooSlow
        | C::ValidationFailed => facts.has_body,
        C::QuotaExceeded => {
            let paced = ["/resize", "/reboot", "/retry"];
            is_creation
                || facts.method == "PATCH"
                || paced.iter().any(|end| facts.path.ends_with(end))
        }
        C::IllegalState => changes,
        C::OperationInProgress => {
            facts.path.ends_with("/resize") || facts.path.ends_with("/reboot")
        }
        C::ToolboxNotReady
        | C::AgentNotEnrolled
        | C::AgentUnauthorized
        | C::AgentTooOld
        | C::AgentPinUnsupported
        | C::AgentBadResponse
        | C::AgentFailed
        | C::AgentCertificateInvalid
        | C::AgentUnreachable
        | C::AgentTimeout
        | C::DockerFailed
        | C::DockerUnreachable
        | C::DockerTimeout => facts.path.ends_with("/refresh-status"),
        _ => false,
    }
}

/// `operators`.
pub(super) fn of_operators(code: ErrorCode, facts: Facts<'_>) -> bool {
    use ErrorCode as C;
    let is_entry = facts.path.starts_with("/catalog/");
    match code {
        C::AuthenticationRequired
        | C::InvalidToken
        | C::UserTokenRequired
        | C::AnonymousRefused
        | C::Forbidden
        | C::Internal
        | C::NotConfigured
        | C::DatabaseBadResponse
        | C::DatabaseUnreachable
        | C::DatabaseTimeout
        | C::AuthUnreachable => true,
        C::InvalidRequest => facts.path != "/catalog",
        C::InvalidJson | C::UnsupportedMediaType | C::BodyTooLarge | C::BodyTooSlow => {
            facts.has_body
        }
        C::ValidationFailed => facts.method == "PUT" && facts.path.contains('{'),
        C::ToolboxNotFound | C::RolloutInProgress => facts.path == "/rollouts",
        C::RolloutNotFound => facts.path.contains("{rolloutId}"),
        C::NameTaken | C::StateChanged => is_entry && facts.method == "PUT",
        C::CatalogToolNotFound | C::IllegalState => is_entry && facts.method == "DELETE",
        _ => false,
    }
}

/// `manage-agent-tool-environment`.
pub(super) fn of_agent_environments(code: ErrorCode, facts: Facts<'_>) -> bool {
    use ErrorCode as C;
    let names_agent = facts.path.contains("{agentId}");
    let changes = names_agent && facts.method != "GET";
    let ensures = names_agent && facts.method == "POST";
    match code {
        C::AuthenticationRequired
        | C::InvalidToken
        | C::UserTokenRequired
        | C::AnonymousRefused
        | C::InvalidRequest
        | C::Internal
        | C::NotConfigured
        | C::AuthUnreachable => true,
        C::Forbidden
        | C::AgentNotFound
        | C::DatabaseBadResponse
        | C::DatabaseUnreachable
        | C::DatabaseTimeout => names_agent,
        C::BackendBadResponse
        | C::BackendUnreachable
        | C::BackendTimeout
        | C::IllegalState
        | C::StateChanged
        | C::ToolboxNotFound
        | C::OperationInProgress => changes,
        C::ProvisioningFailed
        | C::ProviderRefused
        | C::ProviderUnavailable
        | C::QuotaExceeded
        | C::ValidationFailed => ensures,
        _ => false,
    }
}
