//! The parts of a spec, checked and unchecked.

use core::fmt;
use core::net::IpAddr;
use std::collections::BTreeMap;

use crate::string_enum::string_enum;

/// A spec as it came over a wire. `env` may hold secrets; `Debug` leaves its values out.
#[derive(Clone, Default, PartialEq)]
pub struct RawSpec {
    /// Image reference or Git source.
    pub image: String,
    /// Arguments instead of the image's.
    pub command: Option<Vec<String>>,
    /// Entry point instead of the image's.
    pub entrypoint: Option<Vec<String>>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Ports to publish.
    pub ports: Vec<RawPort>,
    /// Named volumes.
    pub volumes: Vec<RawVolume>,
    /// Limits.
    pub resources: RawResources,
    /// Confinement.
    pub confinement: RawConfinement,
    /// MCP transport.
    pub transport: Option<String>,
    /// Path of the MCP endpoint.
    pub mcp_path: Option<String>,
    /// Keep standard input open.
    pub stdin_open: bool,
}

impl fmt::Debug for RawSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSpec")
            .field("image", &self.image)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// An unchecked port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawPort {
    /// Port inside the container.
    pub container_port: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
    /// Port on the machine; the agent chooses when absent.
    pub host_port: Option<u16>,
    /// Address on the machine; loopback when absent.
    pub host_ip: Option<String>,
}

/// An unchecked volume.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawVolume {
    /// Name within the instance.
    pub name: String,
    /// Path inside the container.
    pub path: String,
}

/// Unchecked limits.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawResources {
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// CPUs.
    pub cpus: Option<f64>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// Unchecked confinement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawConfinement {
    /// Mount the root read-only.
    pub read_only_root: bool,
    /// Paths of tmpfs mounts.
    pub tmpfs: Vec<String>,
    /// Capabilities to give back.
    pub add_capabilities: Vec<String>,
}

/// An environment variable: name `[A-Za-z_][A-Za-z0-9_]*`, value without NUL. `Debug` leaves the value out.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvVar {
    pub(super) name: String,
    pub(super) value: String,
}

impl EnvVar {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value; it may be a secret.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for EnvVar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvVar({}=redacted)", self.name)
    }
}

string_enum! {
    /// Transport protocol of a port.
    pub enum Protocol as "protocol" {
        /// TCP.
        Tcp = "tcp",
        /// UDP.
        Udp = "udp",
    }
}

string_enum! {
    /// How an MCP server is spoken to.
    pub enum Transport as "MCP transport" {
        /// Standard input and output.
        Stdio = "stdio",
        /// Streamable HTTP.
        StreamableHttp = "streamable-http",
        /// HTTP with server-sent events.
        Sse = "sse",
        /// WebSocket.
        Websocket = "websocket",
    }
}

/// A port to publish. No two of a spec share container port and protocol, or host port and protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Port inside the container, never 0.
    pub container_port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Port on the machine, never 0 and never reserved; the agent chooses when absent.
    pub host_port: Option<u16>,
    /// Address on the machine; loopback unless asked otherwise.
    pub host_ip: IpAddr,
}

/// A named volume of the instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Lower-case letters, digits and `-`; distinct within the spec.
    pub name: String,
    /// Absolute path inside the container, without `.`, `..` or a trailing slash.
    pub path: String,
}

/// Limits of the container, all within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// CPU in billionths of a CPU, as Docker counts it.
    pub nano_cpus: u64,
    /// Processes and threads.
    pub pids: u32,
}

/// Confinement beyond the fixed rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// Mount the root read-only.
    pub read_only_root: bool,
    /// Absolute paths mounted as tmpfs; distinct from each other and from the volumes' paths.
    pub tmpfs: Vec<String>,
    /// Capabilities given back after all were dropped, without `CAP_`; sorted, each once.
    pub add_capabilities: Vec<&'static str>,
}
