//! What a caller of `toolbox-tools` may change of a spec, under the predecessor's names, and how it is applied.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toolbox_domain::objects;
use toolbox_domain::spec::{
    McpTransport, PortSpec, Protocol, Resources, SecretValue, SpecError, ToolSpec, VolumeSpec,
};

use crate::problem::FieldError;

/// What differs from the catalog entry (deploy) or from what runs (update).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ConfigOverride {
    /// Image reference, Git URL, or GitHub link to a Dockerfile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_image: Option<String>,
    /// Environment variables; they are stored and never read back. Others stay as they are; null removes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<BTreeMap<String, Option<String>>>,
    /// Ports to publish.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "objects::optional_list"
    )]
    pub port_mappings: Option<Vec<PortMapping>>,
    /// Arguments instead of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Entry point instead of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Volumes that live as long as the instance.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "objects::optional_list"
    )]
    pub volumes: Option<Vec<VolumeSpec>>,
    /// Limits.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "objects::optional"
    )]
    pub resources: Option<ResourceOverride>,
    /// MCP transport; `none` for a tool that is no MCP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<TransportOverride>,
    /// Path of the MCP endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint_path: Option<String>,
    /// Headers of every request to an MCP server that speaks HTTP, such as `Authorization` with the server's own key; they
    /// are stored and never read back. Others stay as they are; null removes one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_headers: Option<BTreeMap<String, Option<String>>>,
    /// How long a call of the MCP server may take without a sign of progress, 1 to 86,400 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_timeout_seconds: Option<u32>,
    /// How long the MCP server may take to start, 1 to 1,800 seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_timeout_seconds: Option<u32>,
    /// The MCP server (transport `stdio`) speaks the stateless revision 2026-07-28, and is asked for that first. Else every
    /// client gets a revision with sessions, because a server that speaks both keeps to the one that it is asked for first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stateless_protocol: Option<bool>,
    /// Stop the MCP server when nobody has used it for so many minutes, 1 to 10,080; the next call starts it. 0 is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_minutes: Option<u32>,
    /// Capabilities that it gets back; all others are dropped. Docker's defaults may be asked for, such as `CHOWN`, `SETUID`
    /// and `SETGID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Vec<String>>,
    /// User that it runs as instead of the image's: `uid` or `uid:gid`, in numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Networks that it shares with the tools of the same toolbox that name them too, at most 8. There the tools reach each
    /// other by their container names. Without one, no other tool reaches it but through its published ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<String>>,
    /// What it may reach of its machine, at most 16: `host:PORT` for a port of the machine (the name of the machine is
    /// `host.docker.internal`), `/udp` at the end for UDP. All else of the machine is refused to it, and so are the ports of
    /// the agent, its companion, sshd and Docker, and link-local addresses such as the cloud's metadata, whatever is named here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_access: Option<Vec<String>>,
    /// Keep standard input open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin_open: Option<bool>,
}

impl std::fmt::Debug for ConfigOverride {
    /// Leaves out the values of the environment and of headers, which may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigOverride")
            .field("docker_image", &self.docker_image)
            .field("port_mappings", &self.port_mappings)
            .finish_non_exhaustive()
    }
}

impl ConfigOverride {
    /// That one of its fields breaks a rule.
    pub fn violation(field: &str, code: &str, message: &str) -> FieldError {
        FieldError {
            field: format!("baseConfigOverrideJson.{field}"),
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// A violated rule of a spec, where the caller can mend it.
    pub fn violated(error: &SpecError) -> FieldError {
        Self::told(FieldError::from(error))
    }

    /// A rule of a spec that an agent says is violated, under the path where the caller set it.
    pub fn told(error: FieldError) -> FieldError {
        let field = match error.field.as_str() {
            // It is about the whole.
            "" => "baseConfigOverrideJson".to_owned(),
            field => format!("baseConfigOverrideJson.{}", own_path(field)),
        };
        FieldError { field, ..error }
    }

    /// Makes of `spec` what the caller wants; what is left out stays. Variables are merged one by one, because nobody can
    /// read the old ones back. Returns what cannot be read; the rules of a spec are checked afterwards.
    pub fn apply(self, spec: &mut ToolSpec) -> Vec<FieldError> {
        // Every field is named, so that none can be forgotten.
        let Self {
            docker_image,
            environment_variables,
            port_mappings,
            command,
            entrypoint,
            volumes,
            resources,
            transport,
            endpoint_path,
            upstream_headers,
            call_timeout_seconds,
            start_timeout_seconds,
            stateless_protocol,
            idle_minutes,
            capabilities,
            user,
            networks,
            host_access,
            stdin_open,
        } = self;
        for (name, value) in environment_variables.unwrap_or_default() {
            match value {
                Some(value) => spec.env.insert(name, SecretValue::plain(value)),
                None => spec.env.remove(&name),
            };
        }
        if let Some(transport) = transport.map(TransportOverride::transport)
            && spec.transport != transport
        {
            // Settings of the other transport do not apply to this one.
            spec.transport = transport;
            spec.stdin_open = transport == Some(McpTransport::Stdio);
            spec.mcp_path = match transport {
                Some(McpTransport::StreamableHttp) => Some("/mcp".to_owned()),
                Some(McpTransport::Sse) => Some("/sse".to_owned()),
                Some(McpTransport::Stdio | McpTransport::Websocket) | None => None,
            };
            if !matches!(
                transport,
                Some(McpTransport::StreamableHttp | McpTransport::Sse)
            ) {
                spec.mcp_headers.clear();
            }
            if matches!(transport, None | Some(McpTransport::Websocket)) {
                spec.idle_minutes = None;
            }
        }
        for (name, value) in upstream_headers.unwrap_or_default() {
            // Capitals make no difference, and the stored name is in lower case.
            match value {
                Some(value) => {
                    if name.chars().any(|c| c.is_ascii_uppercase()) {
                        spec.mcp_headers.remove(&name.to_ascii_lowercase());
                    }
                    spec.mcp_headers.insert(name, SecretValue::plain(value));
                }
                None => {
                    spec.mcp_headers.remove(&name.to_ascii_lowercase());
                }
            }
        }
        set(
            &mut spec.mcp_call_timeout_seconds,
            call_timeout_seconds.map(Some),
        );
        set(
            &mut spec.mcp_start_timeout_seconds,
            start_timeout_seconds.map(Some),
        );
        set(&mut spec.mcp_stateless, stateless_protocol);
        set(
            &mut spec.idle_minutes,
            idle_minutes.map(|minutes| Some(minutes).filter(|minutes| *minutes > 0)),
        );
        set(&mut spec.image, docker_image);
        set(
            &mut spec.ports,
            port_mappings.map(|ports| ports.into_iter().map(PortSpec::from).collect()),
        );
        set(&mut spec.command, command.map(Some));
        set(&mut spec.entrypoint, entrypoint.map(Some));
        set(&mut spec.volumes, volumes);
        set(&mut spec.mcp_path, endpoint_path.map(Some));
        set(&mut spec.confinement.add_capabilities, capabilities);
        set(&mut spec.networks, networks);
        set(&mut spec.host_access, host_access);
        set(&mut spec.confinement.user, user.map(Some));
        set(&mut spec.stdin_open, stdin_open);
        let mut errors = Vec::new();
        resources
            .unwrap_or_default()
            .apply(&mut spec.resources, &mut errors);
        errors
    }
}

/// The path of a spec's field under the names of this API.
pub(crate) fn own_path(field: &str) -> String {
    let mut path = String::with_capacity(field.len());
    let mut rest = Some(field);
    while let Some(text) = rest {
        let (segment, after) = match text.split_once('.') {
            Some((segment, after)) => (segment, Some(after)),
            None => (text, None),
        };
        let (name, index) = segment.split_at(segment.find('[').unwrap_or(segment.len()));
        match name {
            // Its fields stand beside the others here.
            "confinement" if after.is_some() => {
                rest = after;
                continue;
            }
            "image" => path.push_str("dockerImage"),
            "ports" => path.push_str("portMappings"),
            "mcp_path" => path.push_str("endpointPath"),
            "memory_bytes" => path.push_str("memory"),
            "disk_bytes" => path.push_str("disk"),
            "cpus" => path.push_str("cpu"),
            "mcp_call_timeout_seconds" => path.push_str("callTimeoutSeconds"),
            "mcp_start_timeout_seconds" => path.push_str("startTimeoutSeconds"),
            "mcp_stateless" => path.push_str("statelessProtocol"),
            "add_capabilities" => path.push_str("capabilities"),
            // The names of variables and headers are the caller's own.
            "env" | "mcp_headers" => {
                path.push_str(match name {
                    "env" => "environmentVariables",
                    _ => "upstreamHeaders",
                });
                if let Some(own) = after {
                    path.push('.');
                    path.push_str(own);
                }
                return path;
            }
            name => push_camel_case(&mut path, name),
        }
        path.push_str(index);
        if after.is_some() {
            path.push('.');
        }
        rest = after;
    }
    path
}

fn push_camel_case(path: &mut String, name: &str) {
    for (i, word) in name.split('_').enumerate() {
        match word.split_at_checked(1) {
            Some((first, rest)) if i > 0 => {
                path.push_str(&first.to_ascii_uppercase());
                path.push_str(rest);
            }
            _ => path.push_str(word),
        }
    }
}

fn set<T>(field: &mut T, wanted: Option<T>) {
    if let Some(wanted) = wanted {
        *field = wanted;
    }
}

/// How an MCP server is spoken to, or that the tool is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum TransportOverride {
    /// It is no MCP server: nobody asks it whether it is healthy, and there is no bridge to it.
    None,
    /// Standard input and output of the container.
    Stdio,
    /// Streamable HTTP.
    StreamableHttp,
    /// HTTP with server-sent events (before 2025-03-26).
    Sse,
    /// WebSocket, kept for callers of the predecessor.
    Websocket,
}

impl TransportOverride {
    const fn transport(self) -> Option<McpTransport> {
        match self {
            Self::None => None,
            Self::Stdio => Some(McpTransport::Stdio),
            Self::StreamableHttp => Some(McpTransport::StreamableHttp),
            Self::Sse => Some(McpTransport::Sse),
            Self::Websocket => Some(McpTransport::Websocket),
        }
    }
}

/// A port to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortMapping {
    /// Port inside the container.
    pub container_port: u16,
    /// Port on the machine; allocated when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// `tcp` unless given.
    #[serde(default)]
    pub protocol: Protocol,
}

impl From<PortMapping> for PortSpec {
    fn from(port: PortMapping) -> Self {
        Self {
            container_port: port.container_port,
            protocol: port.protocol,
            host_port: port.host_port,
            host_ip: None,
        }
    }
}

/// Limits, as people write them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ResourceOverride {
    /// Bytes, or text such as `256Mi`, `0.5g`, `512m`. `k`, `m`, `g`, `t` mean powers of 1024; a part of a byte is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<NumberOrText>,
    /// CPUs, as a number or text such as `0.25`, `.5` or `250m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<NumberOrText>,
    /// Most processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// What it may keep on the disk, in its volumes and outside them: bytes, or text such as `512Mi` or `20g`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<NumberOrText>,
}

impl ResourceOverride {
    fn apply(self, resources: &mut Resources, errors: &mut Vec<FieldError>) {
        let Self {
            memory,
            cpu,
            pids,
            disk,
        } = self;
        if let Some(memory) = memory {
            match bytes(&memory) {
                Some(bytes) => resources.memory_bytes = Some(bytes),
                None => errors.push(ConfigOverride::violation(
                    "resources.memory",
                    "memory_malformed",
                    "Give bytes, or text such as \"256Mi\", \"1Gi\" or \"512m\"",
                )),
            }
        }
        if let Some(cpu) = cpu {
            match cpus(&cpu) {
                Some(cpus) => resources.cpus = Some(cpus),
                None => errors.push(ConfigOverride::violation(
                    "resources.cpu",
                    "cpu_malformed",
                    "Give CPUs as a number, or text such as \"0.25\" or \"250m\"",
                )),
            }
        }
        set(&mut resources.pids, pids.map(Some));
        if let Some(disk) = disk {
            match bytes(&disk) {
                Some(bytes) => resources.disk_bytes = Some(bytes),
                None => errors.push(ConfigOverride::violation(
                    "resources.disk",
                    "disk_malformed",
                    "Give bytes, or text such as \"512Mi\", \"20Gi\" or \"20g\"",
                )),
            }
        }
    }
}

/// A quantity or a time, as a number or as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged, expecting = "expected a number or a text")]
pub enum NumberOrText {
    /// As a number.
    Number(f64),
    /// As text, perhaps with a unit.
    Text(String),
}

impl std::fmt::Display for NumberOrText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A quantity of memory or disk in bytes, as Docker reads it: `k`, `m`, `g` mean powers of 1024, and a part of a byte is dropped.
/// Whether that much may be had is a rule of the spec.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative; what is too large becomes the largest number, which no rule allows"
)]
fn bytes(quantity: &NumberOrText) -> Option<u64> {
    let number = match quantity {
        NumberOrText::Number(number) => *number,
        NumberOrText::Text(text) => {
            let text = text.trim();
            let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.')? + 1;
            let (digits, unit) = text.split_at(end);
            let power = match unit.trim().to_ascii_lowercase().as_str() {
                "" | "b" => 0,
                "k" | "ki" | "kb" | "kib" => 1,
                "m" | "mi" | "mb" | "mib" => 2,
                "g" | "gi" | "gb" | "gib" => 3,
                "t" | "ti" | "tb" | "tib" => 4,
                _ => return None,
            };
            decimal(digits)? * 1024_f64.powi(power)
        }
    };
    (number >= 0.0).then_some(number as u64)
}

/// CPUs; `250m` means thousandths.
fn cpus(quantity: &NumberOrText) -> Option<f64> {
    let value = match quantity {
        NumberOrText::Number(number) => *number,
        NumberOrText::Text(text) => match text.trim().strip_suffix('m') {
            Some(thousandths) => decimal(thousandths)? / 1000.0,
            None => decimal(text.trim())?,
        },
    };
    (value.is_finite() && value > 0.0).then_some(value)
}

/// A number as people and Docker write it: `1`, `0.3`, `.5`, `1e9`; neither `inf` nor `NaN`.
fn decimal(text: &str) -> Option<f64> {
    text.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        .then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use toolbox_domain::spec::InstanceSpec;

    use super::*;

    #[test]
    fn quantities_people_write() {
        let text = |t: &str| NumberOrText::Text(t.to_owned());
        for (quantity, expected) in [
            (text("256Mi"), Some(256 << 20)),
            (text("1Gi"), Some(1 << 30)),
            (text("512m"), Some(512 << 20)),
            (text("0.5g"), Some(512 << 20)),
            (text("268435456"), Some(268_435_456)),
            // What Docker takes: https://pkg.go.dev/github.com/docker/go-units#RAMInBytes
            (text("0.3g"), Some(322_122_547)),
            (text("1.1Gi"), Some(1_181_116_006)),
            (text(".5"), Some(0)),
            (text(".5g"), Some(512 << 20)),
            (text("1.g"), Some(1 << 30)),
            (text("64 MB"), Some(64 << 20)),
            (text("1Ti"), Some(1 << 40)),
            (text("1e9"), Some(1_000_000_000)),
            (text("99999999999999999999g"), Some(u64::MAX)),
            (NumberOrText::Number(1024.0), Some(1024)),
            (NumberOrText::Number(1.5), Some(1)),
            (NumberOrText::Number(-1.0), None),
            (text("-1g"), None),
            (text("lots"), None),
            (text("inf"), None),
            (text("g"), None),
            (text("."), None),
            (text("1.2.3g"), None),
            (text("1gg"), None),
            (text("1p"), None),
            (text(""), None),
        ] {
            assert_eq!(bytes(&quantity), expected, "{quantity:?}");
        }
        for (quantity, expected) in [
            (text("0.25"), Some(0.25)),
            (text(".5"), Some(0.5)),
            (text("1."), Some(1.0)),
            (text(" .25 "), Some(0.25)),
            (text("250m"), Some(0.25)),
            (NumberOrText::Number(2.0), Some(2.0)),
            (NumberOrText::Number(0.0), None),
            (text("NaN"), None),
            (text("inf"), None),
            (text("1e999"), None),
            (text("-1"), None),
            (text("x"), None),
        ] {
            assert_eq!(cpus(&quantity), expected, "{quantity:?}");
        }
    }

    #[test]
    fn a_broken_rule_is_told_where_the_caller_wrote_it() {
        use serde_json::json;
        for (given, path) in [
            (json!({"dockerImage": " "}), "dockerImage"),
            (json!({"command": ["\0"]}), "command[0]"),
            (json!({"entrypoint": ["\0"]}), "entrypoint[0]"),
            (
                json!({"environmentVariables": {"IMAGE": "\0"}}),
                "environmentVariables.IMAGE",
            ),
            (
                json!({"environmentVariables": {"a.b": "x"}}),
                "environmentVariables",
            ),
            (
                json!({"portMappings": [{"containerPort": 0}]}),
                "portMappings[0].containerPort",
            ),
            (
                json!({"portMappings": [{"containerPort": 1, "hostPort": 22}]}),
                "portMappings[0].hostPort",
            ),
            (
                json!({"volumes": [{"name": "A", "path": "/a"}]}),
                "volumes[0].name",
            ),
            (json!({"resources": {"memory": 1}}), "resources.memory"),
            (json!({"resources": {"cpu": 1000}}), "resources.cpu"),
            (json!({"resources": {"pids": 0}}), "resources.pids"),
            (json!({"resources": {"disk": 1}}), "resources.disk"),
            (json!({"endpointPath": "x"}), "endpointPath"),
            (
                json!({"transport": "sse", "upstreamHeaders": {"Host": "x"}}),
                "upstreamHeaders.Host",
            ),
            (json!({"upstreamHeaders": {"X-A": "x"}}), "upstreamHeaders"),
            (json!({"callTimeoutSeconds": 0}), "callTimeoutSeconds"),
            (json!({"startTimeoutSeconds": 0}), "startTimeoutSeconds"),
            (json!({"statelessProtocol": true}), "statelessProtocol"),
            (json!({"capabilities": ["X"]}), "capabilities[0]"),
            (json!({"user": "root"}), "user"),
            (json!({"networks": ["A"]}), "networks[0]"),
            (json!({"hostAccess": ["host:22"]}), "hostAccess[0]"),
        ] {
            let wanted: ConfigOverride = serde_json::from_value(given.clone()).unwrap();
            let mut spec = ToolSpec {
                image: "x".to_owned(),
                ..ToolSpec::default()
            };
            assert!(wanted.apply(&mut spec).is_empty(), "{given}");
            let broken = InstanceSpec::validate(spec).err().unwrap_or_default();
            let told: Vec<_> = broken.iter().map(ConfigOverride::violated).collect();
            let fields: Vec<_> = told.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(
                fields,
                [format!("baseConfigOverrideJson.{path}")],
                "{given}"
            );
        }
    }

    #[test]
    fn headers_are_merged_whatever_their_capitals_and_leave_with_http() {
        let header = |name: &str| SecretValue::plain(name);
        let mut spec = ToolSpec {
            transport: Some(McpTransport::Sse),
            mcp_headers: ["authorization", "x-a", "x-b"]
                .map(|name| (name.to_owned(), header("old")))
                .into(),
            ..ToolSpec::default()
        };
        let wanted: ConfigOverride = serde_json::from_value(serde_json::json!({
            "upstreamHeaders": {"Authorization": "new", "X-A": null, "X-C": "c"},
            "callTimeoutSeconds": 3600,
            "startTimeoutSeconds": 120,
            "idleMinutes": 30,
        }))
        .unwrap();
        assert!(!format!("{wanted:?}").contains("new"));
        assert!(wanted.apply(&mut spec).is_empty());
        let expected = [("Authorization", "new"), ("X-C", "c"), ("x-b", "old")]
            .map(|(name, value)| (name.to_owned(), header(value)));
        assert_eq!(spec.mcp_headers, expected.into());
        assert_eq!(
            (
                spec.mcp_call_timeout_seconds,
                spec.mcp_start_timeout_seconds
            ),
            (Some(3600), Some(120))
        );
        assert_eq!(spec.idle_minutes, Some(30));
        let to_stdio = ConfigOverride {
            transport: Some(TransportOverride::Stdio),
            ..ConfigOverride::default()
        };
        assert!(to_stdio.apply(&mut spec).is_empty());
        assert!(spec.mcp_headers.is_empty());
        assert_eq!(spec.idle_minutes, Some(30));
        let never: ConfigOverride = serde_json::from_str(r#"{"idleMinutes": 0}"#).unwrap();
        assert!(never.apply(&mut spec).is_empty());
        assert_eq!(spec.idle_minutes, None);
        spec.idle_minutes = Some(30);
        let to_none = ConfigOverride {
            transport: Some(TransportOverride::None),
            ..ConfigOverride::default()
        };
        assert!(to_none.apply(&mut spec).is_empty());
        assert_eq!(spec.idle_minutes, None, "only a call starts it again");
    }

    #[test]
    fn a_change_of_transport_brings_its_own_defaults() {
        let mut spec = ToolSpec {
            image: "x".to_owned(),
            transport: Some(McpTransport::Stdio),
            stdin_open: true,
            ..ToolSpec::default()
        };
        let wanted = ConfigOverride {
            transport: Some(TransportOverride::StreamableHttp),
            ..ConfigOverride::default()
        };
        assert!(wanted.clone().apply(&mut spec).is_empty());
        assert_eq!(
            (spec.stdin_open, spec.mcp_path.as_deref()),
            (false, Some("/mcp"))
        );
        spec.mcp_path = Some("/other".to_owned());
        assert!(wanted.apply(&mut spec).is_empty());
        assert_eq!(spec.mcp_path.as_deref(), Some("/other"));
    }

    #[test]
    fn a_tool_can_be_said_to_be_no_mcp_server() {
        let mut spec = ToolSpec {
            image: "postgres".to_owned(),
            transport: Some(McpTransport::StreamableHttp),
            mcp_path: Some("/mcp".to_owned()),
            mcp_headers: [("x-a".to_owned(), SecretValue::plain("a"))].into(),
            ..ToolSpec::default()
        };
        let wanted: ConfigOverride = serde_json::from_value(serde_json::json!({
            "transport": "none", "capabilities": ["CHOWN"], "user": "999:999",
        }))
        .unwrap();
        assert!(wanted.apply(&mut spec).is_empty());
        let expected = ToolSpec {
            image: "postgres".to_owned(),
            confinement: toolbox_domain::spec::Confinement {
                add_capabilities: vec!["CHOWN".to_owned()],
                user: Some("999:999".to_owned()),
                ..Default::default()
            },
            ..ToolSpec::default()
        };
        assert_eq!(spec, expected);
    }
}
