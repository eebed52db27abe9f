//! The one wire form of a spec: what callers of the agent send, what the database and the catalog hold, what the agent
//! keeps on disk and in labels.
//!
//! It has its serde form here and not in the crate of the wire types, beside the rules that check it: a form of its own
//! for the rules would be a copy of every field. Renaming a field here changes the protocol.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret::SecretValue;
use crate::objects;

/// What runs in an instance.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ToolSpec {
    /// Image reference, or a Git source to build. A catalog entry may leave it to the user.
    pub image: String,
    /// Arguments instead of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Entry point instead of the image's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables. Each value may be a secret, so each is in an envelope.
    pub env: BTreeMap<String, SecretValue>,
    /// Ports to publish.
    #[serde(deserialize_with = "objects::list")]
    pub ports: Vec<PortSpec>,
    /// Volumes that live as long as the instance.
    #[serde(deserialize_with = "objects::list")]
    pub volumes: Vec<VolumeSpec>,
    /// Limits.
    #[serde(deserialize_with = "objects::required")]
    pub resources: Resources,
    /// Confinement.
    #[serde(deserialize_with = "objects::required")]
    pub confinement: Confinement,
    /// Networks that it shares with the tools of the same toolbox that name them too. Nothing else reaches it, but through
    /// its published ports.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<String>,
    /// What it may reach of the machine itself, which is refused otherwise: `host:PORT`, with `/udp` for UDP. Ports of the
    /// agent, its companion, sshd and Docker are refused to every tool, and so are link-local addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_access: Vec<String>,
    /// MCP transport; none for a tool that is no MCP server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<McpTransport>,
    /// Path of the MCP endpoint, such as `/mcp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp_path: Option<String>,
    /// Headers of every request to an MCP server that speaks HTTP, such as its own key. Each value may be a secret, so each
    /// is in an envelope. They reach nobody but the server.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub mcp_headers: BTreeMap<String, SecretValue>,
    /// How long a call of the MCP server may take without a sign of progress, in seconds; the bridge's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp_call_timeout_seconds: Option<u32>,
    /// How long the MCP server may take to start, in seconds; the bridge's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mcp_start_timeout_seconds: Option<u32>,
    /// The MCP server speaks the stateless revision, and is asked for that first. Others are asked first for a session,
    /// because servers that know only sessions may end when anything else comes first. Only for the transport `stdio`.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub mcp_stateless: bool,
    /// The MCP server is stopped when nobody has used it for so many minutes, and the next call starts it. Never when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_minutes: Option<u32>,
    /// Keep standard input open; always so for the transport `stdio`.
    pub stdin_open: bool,
}

impl fmt::Debug for ToolSpec {
    /// Leaves out arguments and values, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToolSpec")
            .field("image", &self.image)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("mcp_headers", &self.mcp_headers.keys().collect::<Vec<_>>())
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// Transport protocol of a port.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// `tcp` or `udp`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port the container listens on, as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    /// Port inside the container, 1 to 65535.
    pub container_port: u16,
    /// `tcp` unless given.
    #[serde(default)]
    pub protocol: Protocol,
    /// Port on the machine; the agent allocates one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
    /// Address on the machine; `127.0.0.1` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
}

/// A named volume of the instance, removed with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VolumeSpec {
    /// Name within the instance: lower-case letters, digits, `-`.
    pub name: String,
    /// Absolute path inside the container.
    pub path: String,
}

/// Limits of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Resources {
    /// Memory limit in bytes; the default of the domain when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// CPUs, such as 0.25.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
    /// Most processes and threads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids: Option<u32>,
    /// Most bytes on the disk: what it writes outside its volumes, and its volumes, together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_bytes: Option<u64>,
}

/// How far a container is confined beyond the fixed rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Confinement {
    /// Mount the container's root read-only.
    pub read_only_root: bool,
    /// Absolute paths mounted as tmpfs.
    pub tmpfs: Vec<String>,
    /// Capabilities given back after all were dropped, such as `NET_BIND_SERVICE`.
    pub add_capabilities: Vec<String>,
    /// User that it runs as instead of the image's: `uid` or `uid:gid`, in numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// How an MCP server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum McpTransport {
    /// Standard input and output of the container.
    Stdio,
    /// Streamable HTTP.
    StreamableHttp,
    /// HTTP with server-sent events (before 2025-03-26).
    Sse,
    /// WebSocket, kept for callers of the predecessor.
    Websocket,
}

impl McpTransport {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdio => "stdio",
            Self::StreamableHttp => "streamable-http",
            Self::Sse => "sse",
            Self::Websocket => "websocket",
        }
    }
}
