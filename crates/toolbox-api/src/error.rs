//! Errors of the edge functions: one table of codes with their HTTP statuses, and the envelope.
//!
//! The status says who does what about it: 4xx the caller, 502 the machine answered something
//! unusable, 503 something is down, 504 something is slow, 500 a defect of ours.

use std::error::Error;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::dtma::Reason;
use crate::heartbeat::HeartbeatNumbers;
use crate::problem::{FieldError, codes};

codes! {
    /// What can be wrong with a call to an edge function.
    ErrorCode {
        /// The body is not JSON or not the shape expected.
        InvalidJson = "invalid_json", 400, "The request body is not valid JSON of the expected shape";
        /// A path segment, query parameter or header is malformed.
        InvalidRequest = "invalid_request", 400, "The request is malformed";
        /// `action` is none of those known.
        InvalidAction = "invalid_action", 400, "The action is unknown";
        /// No bearer token.
        AuthenticationRequired = "authentication_required", 401, "Sign in and send the access token as a bearer token";
        /// The token is malformed, forged, expired or for somebody else.
        InvalidToken = "invalid_token", 401, "The access token is not valid";
        /// An API key was sent where a user's token is needed.
        UserTokenRequired = "user_token_required", 401, "An API key is not a user; send the user's access token";
        /// The enrolment token is not one of this toolbox.
        EnrolmentTokenInvalid = "enrolment_token_invalid", 401, "The enrolment token is not one of this toolbox";
        /// The enrolment token's time is over.
        EnrolmentTokenExpired = "enrolment_token_expired", 401, "The enrolment token has expired; make a new one";
        /// Unknown toolbox and wrong key alike.
        HeartbeatKeyInvalid = "heartbeat_key_invalid", 401, "The key is not this toolbox's; enrol it again";
        /// No secret key of the project, or a wrong one.
        SecretKeyRequired = "secret_key_required", 401, "Present a secret key of the project";
        /// The caller is known and may not do this.
        Forbidden = "forbidden", 403, "The caller may not do this";
        /// The user has no account, and the operator wants one (`TOOLBOX_ANONYMOUS_USERS`).
        AnonymousRefused = "anonymous_refused", 403, "Anonymous users may not use this; sign in with an account";
        /// What is asked for is none of the operations that may be done by SSH.
        OperationNotAllowed = "operation_not_allowed", 403, "This is none of the operations that are allowed by SSH";
        /// A program has not been let in to an MCP server by its user; `details.grant_url` is where they do that.
        McpGrantRequired = "mcp_grant_required", 403, "This program has not been let in to this MCP server by its user";
        /// No such path.
        RouteNotFound = "route_not_found", 404, "No such route";
        /// No such toolbox, or not the caller's.
        ToolboxNotFound = "toolbox_not_found", 404, "No such toolbox, or not yours";
        /// No such instance in this toolbox, or not the caller's.
        InstanceNotFound = "instance_not_found", 404, "No such tool instance, or not yours";
        /// The version of the instance was never there, or is not kept any more.
        VersionNotKept = "version_not_kept", 404, "This version of the tool is not kept; its list of versions says which are";
        /// No such catalog entry, or not offered.
        CatalogToolNotFound = "catalog_tool_not_found", 404, "No such entry in the tool catalog";
        /// No such agent of a user, or not the caller's.
        AgentNotFound = "agent_not_found", 404, "No such agent, or not yours";
        /// No such rollout, or not the caller's.
        RolloutNotFound = "rollout_not_found", 404, "No such rollout, or not yours";
        /// No such access to MCP servers, or not of a toolbox of the caller.
        McpAccessNotFound = "mcp_access_not_found", 404, "No such access to MCP servers, or not yours";
        /// The path exists for other methods.
        MethodNotAllowed = "method_not_allowed", 405, "Method not allowed on this route";
        /// The body did not arrive in time, or made room for others.
        BodyTooSlow = "body_too_slow", 408, "The request body did not arrive in time";
        /// Another mutation of the instance runs.
        OperationInProgress = "operation_in_progress", 409, "Another operation on this instance is in progress";
        /// The name is taken in this toolbox.
        NameTaken = "name_taken", 409, "Another instance of this toolbox has this name";
        /// The instance's state does not allow it.
        IllegalState = "illegal_state", 409, "The state of the instance does not allow this";
        /// The state kept changing while the request was decided.
        StateChanged = "state_changed", 409, "The state of the instance changed meanwhile; read it and try again";
        /// The toolbox is not in a state that can take this.
        ToolboxNotActive = "toolbox_not_active", 409, "The toolbox is not active";
        /// Several toolboxes of the caller have the address that was given.
        ToolboxAmbiguous = "toolbox_ambiguous", 409, "Several of your toolboxes are at this address, so nothing was done; name one by toolboxId";
        /// The enrolment token was used, with another certificate.
        EnrolmentTokenUsed = "enrolment_token_used", 409, "The enrolment token was used before; make a new one";
        /// A heartbeat of this boot and sequence, or a later one, was accepted before.
        HeartbeatReplayed = "heartbeat_replayed", 409, "A later heartbeat was accepted before";
        /// The toolbox presents another certificate than the one it enrolled.
        CertificateChanged = "certificate_changed", 409, "The certificate is not the enrolled one; enrol the toolbox again";
        /// An MCP server lists other tools than those that its owner accepted, or has seen.
        McpToolsChanged = "mcp_tools_changed", 409, "The tools of the MCP server are others than those that were accepted";
        /// The agent is being redeployed or rolled back already.
        VersionChangeInProgress = "version_change_in_progress", 409, "The agent's version is being changed already; wait for its end";
        /// The user has a rollout that runs.
        RolloutInProgress = "rollout_in_progress", 409, "A rollout of yours runs already, or toolboxes that it asked are under way; wait for their end";
        /// There is no version to go back to.
        NoPreviousVersion = "no_previous_version", 409, "There is no version before the one that runs";
        /// The machine was not told where releases are.
        ReleasesNotConfigured = "releases_not_configured", 409, "The machine was not told where releases are";
        /// There is no such release.
        ReleaseUnknown = "release_unknown", 404, "There is no such release";
        /// Releases cannot be asked for, or what is there is none.
        ReleaseUnavailable = "release_unavailable", 502, "The machine could not fetch the release";
        /// The body is larger than the limit.
        BodyTooLarge = "body_too_large", 413, "The request body is too large";
        /// The body is of a media type that is not JSON.
        UnsupportedMediaType = "unsupported_media_type", 415, "Send application/json";
        /// The body breaks a rule.
        ValidationFailed = "validation_failed", 422, "The request breaks a rule";
        /// The idempotency key was used for another request.
        IdempotencyKeyReused = "idempotency_key_reused", 422, "The idempotency key was used for a different request";
        /// The toolbox holds as many instances as it may.
        QuotaExceeded = "quota_exceeded", 429, "The toolbox holds as many instances as it may";
        /// A defect of ours.
        Internal = "internal", 500, "Internal error";
        /// The function lacks configuration.
        NotConfigured = "not_configured", 500, "The function is not configured";
        /// `Deno.createHttpClient` is missing, or its `proxy` is ignored: nothing was sent to the agent.
        AgentPinUnsupported = "agent_pin_unsupported", 500, "The runtime of this function cannot verify the agent's certificate; it needs Deno.createHttpClient with the options caCerts and proxy";
        /// The instance could not be deployed; `details.reason` says why.
        DeployFailed = "deploy_failed", 502, "The instance could not be deployed";
        /// The instance could not be started; `details.reason` says why.
        StartFailed = "start_failed", 502, "The instance could not be started";
        /// The instance could not be stopped; `details.reason` says why.
        StopFailed = "stop_failed", 502, "The instance could not be stopped";
        /// The instance could not be updated; the version before it was kept where there was one.
        UpdateFailed = "update_failed", 502, "The instance could not be updated";
        /// The instance could not be deleted; `details.reason` says why.
        DeleteFailed = "delete_failed", 502, "The instance could not be deleted";
        /// The agent could not be replaced; `details.reason` says why.
        RedeployFailed = "redeploy_failed", 502, "The agent could not be replaced; the version before it was kept";
        /// The agent answered something that is not its protocol.
        AgentBadResponse = "agent_bad_response", 502, "The agent's answer could not be understood";
        /// The agent answered with a server error.
        AgentFailed = "agent_failed", 502, "The agent failed";
        /// The agent lacks a route this control plane needs.
        AgentTooOld = "agent_too_old", 502, "The agent is too old; redeploy it";
        /// The agent refused the toolbox's key.
        AgentUnauthorized = "agent_unauthorized", 502, "The agent refused the toolbox's key";
        /// What answers at the agent's address does not prove to be the enrolled agent: it has another certificate, or one
        /// from before certificates carried the agent's name, or it is no agent.
        AgentCertificateInvalid = "agent_certificate_invalid", 502, "What answers at the agent's address does not have the enrolled certificate; update the agent and enrol the toolbox again";
        /// Docker on the machine refused or failed.
        DockerFailed = "docker_failed", 502, "Docker on the machine reported a failure";
        /// The agent could not store the desired state.
        AgentStoreFailed = "agent_store_failed", 502, "The agent could not store the desired state";
        /// The database answered something that is not its protocol.
        DatabaseBadResponse = "database_bad_response", 502, "The database's answer could not be understood";
        /// The backend answered something that is not its protocol, or refused the function's secret.
        BackendBadResponse = "backend_bad_response", 502, "The backend's answer could not be understood";
        /// The machine of a toolbox could not be made; the message says why.
        ProvisioningFailed = "provisioning_failed", 502, "The machine could not be made";
        /// DigitalOcean, where droplets are bought, refuses.
        ProviderRefused = "provider_refused", 502, "DigitalOcean refused the request";
        /// What answers at the SSH port is no SSH server.
        SshNoServer = "ssh_no_server", 502, "What answers at the machine's SSH port does not speak SSH 2";
        /// SSH's key exchange failed.
        SshKeyExchangeFailed = "ssh_key_exchange_failed", 502, "The SSH key exchange with the machine failed; does its sshd allow curve25519 and ed25519?";
        /// The host key is another one than at the enrolment.
        SshHostKeyChanged = "ssh_host_key_changed", 502, "The machine's SSH host key is not the enrolled one, so nothing was done; enrol the toolbox again if the machine is yours";
        /// The machine takes certificates of another time only.
        SshClockSkew = "ssh_clock_skew", 502, "The machine's clock differs from the control plane's by more than a minute; set it";
        /// The machine refuses the certificate.
        SshNotAdmitted = "ssh_not_admitted", 502, "The machine's sshd refused the certificate: it trusts another authority, or is set up for another toolbox; run dtma ssh-setup on it";
        /// The machine opens no session.
        SshChannelRefused = "ssh_channel_refused", 502, "The machine's sshd opened no session; it may be overloaded";
        /// The machine does not run the forced command.
        SshCommandRefused = "ssh_command_refused", 502, "The machine's sshd did not run the operation; run dtma ssh-setup on the machine";
        /// More output than is read.
        SshOutputTooLarge = "ssh_output_too_large", 502, "The machine answered with more than is read; ask for fewer lines";
        /// The connection was cut.
        SshConnectionLost = "ssh_connection_lost", 502, "The SSH connection was cut";
        /// Nothing listens at the SSH port.
        SshRefused = "ssh_refused", 503, "The machine refused the SSH connection; does its sshd run?";
        /// There is no way to the machine.
        SshUnreachable = "ssh_unreachable", 503, "The machine cannot be reached by SSH";
        /// The machine told no host key.
        SshNotEnrolled = "ssh_not_enrolled", 503, "The machine told no SSH host key when it enrolled; enrol it again with an sshd";
        /// The backend cannot be reached.
        BackendUnreachable = "backend_unreachable", 503, "The backend cannot be reached";
        /// Nothing listens at the agent's address.
        AgentUnreachable = "agent_unreachable", 503, "The agent cannot be reached";
        /// The companion on the machine cannot be reached.
        CompanionUnreachable = "companion_unreachable", 503, "The companion on the machine cannot be reached";
        /// The toolbox has no address yet.
        ToolboxNotReady = "toolbox_not_ready", 503, "The toolbox has no address yet";
        /// The agent has not enrolled a certificate, and its address is not loopback.
        AgentNotEnrolled = "agent_not_enrolled", 503, "The agent has not enrolled its certificate yet";
        /// It is not known which tools an MCP server lists.
        McpToolsUnknown = "mcp_tools_unknown", 503, "The MCP server does not tell its tools now";
        /// Docker on the machine does not answer.
        DockerUnreachable = "docker_unreachable", 503, "Docker on the machine does not answer";
        /// DigitalOcean, where droplets are bought, does not answer.
        ProviderUnavailable = "provider_unavailable", 503, "DigitalOcean does not answer; try again in a moment";
        /// The database cannot be reached.
        DatabaseUnreachable = "database_unreachable", 503, "The database cannot be reached";
        /// The signing keys cannot be read.
        AuthUnreachable = "auth_unreachable", 503, "The keys to check access tokens cannot be read";
        /// The backend did not answer in time.
        BackendTimeout = "backend_timeout", 504, "The backend did not answer in time";
        /// The agent did not answer in time.
        AgentTimeout = "agent_timeout", 504, "The agent did not answer in time";
        /// The machine did not answer SSH in time; the message says in which phase.
        SshTimeout = "ssh_timeout", 504, "The machine did not answer SSH in time";
        /// Docker on the machine did not answer in time.
        DockerTimeout = "docker_timeout", 504, "Docker on the machine did not answer in time";
        /// The database did not answer in time.
        DatabaseTimeout = "database_timeout", 504, "The database did not answer in time";
    }
}

/// What every error answer carries.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorEnvelope {
    /// The error.
    pub error: ErrorBody,
}

/// The error itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// Stable code, one of [`ErrorCode`].
    pub code: String,
    /// What happened and what to do; never a secret, never the caller's body.
    pub message: String,
    /// More, where there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<ErrorDetails>,
    /// The request, as in the `x-request-id` header and the event log.
    pub request_id: String,
}

/// What more there is to say about an error.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct ErrorDetails {
    /// Violated rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Why the machine could not do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The operation that is in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<crate::edge::OperationView>,
    /// The instance as it is now, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_instance: Option<Box<crate::edge::ToolInstanceView>>,
    /// What is allowed instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// The page on which a user lets a program in to an MCP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_url: Option<String>,
    /// The last accepted heartbeat: the next must have greater numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted: Option<HeartbeatNumbers>,
}

/// Why a request was not carried out. Callers see code, message and details; the cause is for the operator's log.
#[derive(Debug)]
pub struct ApiError {
    /// The stable code, which also decides the status.
    pub code: ErrorCode,
    /// What happened this time; the code's title when there is no more to say.
    pub message: Option<String>,
    /// More for the caller.
    pub details: Option<Box<ErrorDetails>>,
    /// One more header of the answer.
    pub header: Option<(&'static str, String)>,
    /// For the log only.
    pub cause: Option<String>,
}

impl ApiError {
    /// An error whose title says it all.
    pub const fn new(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
            details: None,
            header: None,
            cause: None,
        }
    }

    /// An error with a sentence of its own; never a value from the caller's body.
    pub fn with_message(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::new(code)
        }
    }

    /// Rules the request breaks.
    pub fn validation(errors: Vec<FieldError>) -> Self {
        Self::of_fields(ErrorCode::ValidationFailed, errors)
    }

    /// What is wrong with fields of the request. The message says the first of it, and how much there is more.
    pub fn of_fields(code: ErrorCode, errors: Vec<FieldError>) -> Self {
        let message = errors.first().map(|first| {
            let FieldError { field, message, .. } = first;
            let more = match errors.len() {
                1 => String::new(),
                many => format!(" (and {} more)", many - 1),
            };
            if field.is_empty() {
                format!("{message}{more}")
            } else {
                format!("{field}: {message}{more}")
            }
        });
        Self {
            message,
            details: Some(Box::new(ErrorDetails {
                errors,
                ..ErrorDetails::default()
            })),
            ..Self::new(code)
        }
    }

    /// A defect of ours.
    pub fn internal(cause: &impl Error) -> Self {
        Self::new(ErrorCode::Internal).caused_by(cause)
    }

    /// The same with what the machine gave as the reason.
    #[must_use]
    pub fn with_reason(mut self, reason: Reason) -> Self {
        self.details.get_or_insert_default().reason = Some(reason);
        self
    }

    /// The same with the operation it is about.
    #[must_use]
    pub fn with_operation(mut self, operation: crate::edge::OperationView) -> Self {
        self.details.get_or_insert_default().operation = Some(operation);
        self
    }

    /// The same with its cause for the log.
    #[must_use]
    pub fn caused_by(mut self, cause: &impl Error) -> Self {
        self.cause = Some(chain(cause));
        self
    }

    /// The sentence callers see.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_else(|| self.code.title())
    }
}

/// An error and its sources in one line.
pub fn chain(error: &impl Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_serde_agree() {
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
        }
    }

    #[test]
    fn the_message_says_the_first_broken_rule_in_words() {
        let error = |field: &str| FieldError {
            field: field.to_owned(),
            code: "c".to_owned(),
            message: "give 16 MiB to 64 GiB".to_owned(),
        };
        for (errors, message) in [
            (vec![error("a.b")], "a.b: give 16 MiB to 64 GiB"),
            (vec![error("")], "give 16 MiB to 64 GiB"),
            (
                vec![error("a[0]"), error("b"), error("c")],
                "a[0]: give 16 MiB to 64 GiB (and 2 more)",
            ),
            (vec![], ErrorCode::ValidationFailed.title()),
        ] {
            assert_eq!(ApiError::validation(errors).message(), message);
        }
    }

    #[test]
    fn every_status_the_contract_names_is_used() {
        for status in [
            400, 401, 403, 404, 405, 408, 409, 413, 415, 422, 429, 500, 502, 503, 504,
        ] {
            assert!(
                ErrorCode::ALL.iter().any(|c| c.status() == status),
                "{status}"
            );
        }
    }
}
