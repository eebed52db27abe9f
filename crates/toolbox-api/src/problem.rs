//! Errors of the agent: RFC 9457 problem details with stable codes.

use serde::{Deserialize, Serialize};

use crate::texts;

/// Media type of a problem.
pub const CONTENT_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $status:literal, $title:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// A short sentence, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The code with this name.
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|c| c.as_str() == code)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use codes;

codes! {
    /// What can be wrong with a call to the agent.
    ProblemCode {
        /// No key, or a wrong one.
        Unauthorized = "unauthorized", 401, "Present the toolbox's key as a bearer token";
        /// The agent has no such route: the caller is newer, or the path is wrong.
        RouteUnknown = "route_unknown", 404, "No such route on this agent";
        /// The route exists; the instance does not.
        InstanceUnknown = "instance_unknown", 404, "No such tool instance on this agent";
        /// The route exists for other methods.
        MethodNotAllowed = "method_not_allowed", 405, "Method not allowed on this route";
        /// The body is not the JSON expected, or a query parameter is malformed.
        InvalidBody = "invalid_body", 400, "The request could not be read";
        /// The spec breaks a rule.
        InvalidSpec = "invalid_spec", 422, "The spec is not valid";
        /// The body is larger than the limit.
        BodyTooLarge = "body_too_large", 413, "The request body is too large";
        /// The body is not JSON.
        UnsupportedMediaType = "unsupported_media_type", 415, "Send application/json";
        /// The agent already holds a newer desired state.
        StaleGeneration = "stale_generation", 409, "A newer generation is already held";
        /// The agent has missed a change of the desired state, so a command without a spec may not pass over it.
        GenerationGap = "generation_gap", 409, "The agent has missed a generation; send the whole desired state";
        /// A port asked for is taken.
        PortInUse = "port_in_use", 409, "A host port is already in use";
        /// No port of the range is free.
        PortsExhausted = "ports_exhausted", 409, "No host port is free";
        /// The instance is being deleted.
        InstanceDeleting = "instance_deleting", 409, "The tool instance is being deleted";
        /// The agent is being redeployed or rolled back already.
        VersionChangeInProgress = "version_change_in_progress", 409, "The agent's version is being changed already";
        /// There is no version to go back to.
        NoPreviousVersion = "no_previous_version", 409, "There is no version before the one that runs";
        /// The machine was not told where releases are.
        ReleasesNotConfigured = "releases_not_configured", 409, "This machine was not told where releases are";
        /// There is no such release.
        ReleaseUnknown = "release_unknown", 404, "There is no such release";
        /// Releases cannot be asked for, or what is there is none.
        ReleaseUnavailable = "release_unavailable", 502, "The release could not be fetched";
        /// The companion serves its own machine only.
        ToolboxUnknown = "toolbox_unknown", 404, "This machine is another toolbox";
        /// The companion could not bring the agent up.
        AgentNotHealthy = "agent_not_healthy", 503, "The agent is not healthy";
        /// The agent's own log cannot be read.
        LogUnavailable = "log_unavailable", 502, "The agent's log could not be read";
        /// The agent cannot hand a redeploy or a rollback on.
        CompanionUnreachable = "companion_unreachable", 503, "The companion on this machine cannot be reached";
        /// It is not known which tools an MCP server lists.
        McpToolsUnknown = "mcp_tools_unknown", 503, "The MCP server does not tell its tools now";
        /// Docker does not answer on its socket.
        DockerUnreachable = "docker_unreachable", 503, "Docker does not answer";
        /// Docker did not answer in time.
        DockerTimeout = "docker_timeout", 504, "Docker did not answer in time";
        /// Docker refused or failed.
        DockerFailed = "docker_failed", 502, "Docker reported a failure";
        /// The desired state could not be made durable; nothing was changed.
        StoreFailed = "store_failed", 507, "The desired state could not be stored";
        /// The agent is stopping.
        ShuttingDown = "shutting_down", 503, "The agent is shutting down";
        /// More clients of MCP servers are connected than the agent serves at once.
        TooManyConnections = "too_many_connections", 503, "Too many connections are open";
        /// A defect of the agent.
        Internal = "internal", 500, "Internal error";
    }
}

impl ProblemCode {
    /// The same call may succeed later without a change by the caller.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::DockerUnreachable
                | Self::DockerTimeout
                | Self::CompanionUnreachable
                | Self::ShuttingDown
                | Self::TooManyConnections
        )
    }
}

/// One violated rule of a spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// Path of the field, such as `ports[0].host_port`.
    #[serde(deserialize_with = "texts::line")]
    pub field: String,
    /// Stable code.
    #[serde(deserialize_with = "texts::line")]
    pub code: String,
    /// What is expected.
    #[serde(deserialize_with = "texts::line")]
    pub message: String,
}

impl From<&toolbox_domain::spec::SpecError> for FieldError {
    fn from(error: &toolbox_domain::spec::SpecError) -> Self {
        Self {
            field: error.field.clone(),
            code: error.code.to_owned(),
            message: error.message.clone(),
        }
    }
}

/// Body of every error answer of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:toolbox:problem:<code>`.
    #[serde(rename = "type", deserialize_with = "texts::line")]
    pub kind: String,
    /// The same for every occurrence of the code.
    #[serde(deserialize_with = "texts::line")]
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time and what to do.
    #[serde(deserialize_with = "texts::text")]
    pub detail: String,
    /// Stable code.
    #[serde(deserialize_with = "texts::line")]
    pub code: String,
    /// The same call may succeed later.
    pub retryable: bool,
    /// Violated rules, for `invalid_spec`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of `code`, saying `detail`.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:toolbox:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str().to_owned(),
            retryable: code.retryable(),
            errors: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_serde_agree() {
        for code in ProblemCode::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, format!("\"{}\"", code.as_str()));
            assert_eq!(ProblemCode::from_code(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.status()));
        }
    }
}
