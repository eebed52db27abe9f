//! A checked spec, and what a broken rule looks like.

use core::fmt;
use core::net::IpAddr;

use super::host_access::HostAccess;
use super::image::ImageSource;
use super::wire::{Protocol, ToolSpec};

/// One violated rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct SpecError {
    /// Path of the field as on the wire, such as `ports[0].host_port`.
    pub field: String,
    /// Stable code.
    pub code: &'static str,
    /// What is expected; never a value, which might be a secret.
    pub message: String,
}

/// A spec that keeps every rule. Only [`InstanceSpec::validate`] and [`InstanceSpec::taken_before`] make one.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceSpec {
    pub(super) wire: ToolSpec,
    pub(super) image: ImageSource,
    pub(super) env: Vec<EnvVar>,
    pub(super) ports: Vec<Port>,
    pub(super) resources: ResourceLimits,
    pub(super) host_access: Vec<HostAccess>,
}

impl InstanceSpec {
    /// The spec in its one spelling, which is checked to the same value: paths without a trailing slash, capabilities
    /// sorted and without `CAP_`, networks and what it may reach of the machine sorted, names of headers in lower case,
    /// standard input open for the transport `stdio`. What has no reading of its own below is read from here.
    pub const fn wire(&self) -> &ToolSpec {
        &self.wire
    }

    /// The same, without a copy.
    pub fn into_wire(self) -> ToolSpec {
        self.wire
    }

    /// What to run.
    pub const fn image(&self) -> &ImageSource {
        &self.image
    }

    /// Environment variables, sorted by name, taken out of their envelopes.
    pub fn env(&self) -> &[EnvVar] {
        &self.env
    }

    /// Ports to publish, in the order given.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Headers for the MCP server: names in lower case, values taken out of their envelopes, which may be secrets.
    pub fn mcp_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let headers = &self.wire.mcp_headers;
        headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.reveal()?)))
    }

    /// Every text of the spec that may be a secret and must not be shown. Of a header such as `Bearer …` the part after the
    /// scheme is one too.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let headers = self.mcp_headers().flat_map(|(_, value)| {
            let credential = value.split_once(' ').map(|(_, credential)| credential);
            core::iter::once(value).chain(credential)
        });
        self.env.iter().map(EnvVar::value).chain(headers)
    }

    /// What it may reach of the machine itself, in order and each once.
    pub fn host_access(&self) -> &[HostAccess] {
        &self.host_access
    }

    /// The same with this limit on the disk.
    #[must_use]
    pub const fn with_disk_limit(mut self, disk_bytes: Option<u64>) -> Self {
        self.resources.disk_bytes = disk_bytes;
        self
    }

    /// Limits, with the defaults for those not given.
    pub const fn resources(&self) -> ResourceLimits {
        self.resources
    }
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

/// Limits of the container; each was within bounds when the spec was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceLimits {
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// CPU in billionths of a CPU, as Docker counts it.
    pub nano_cpus: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Bytes on the disk: what it writes outside its volumes, and its volumes, together. None for a tool that was deployed
    /// before there was such a limit.
    pub disk_bytes: Option<u64>,
}
