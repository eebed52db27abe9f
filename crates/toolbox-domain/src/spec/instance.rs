//! A checked spec, and what a broken rule looks like.

use super::image::ImageSource;
use super::parts::{Confinement, EnvVar, Port, Resources, Transport, Volume};

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

/// A spec that keeps every rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSpec {
    pub(super) image: ImageSource,
    pub(super) command: Option<Vec<String>>,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) env: Vec<EnvVar>,
    pub(super) ports: Vec<Port>,
    pub(super) volumes: Vec<Volume>,
    pub(super) resources: Resources,
    pub(super) confinement: Confinement,
    pub(super) transport: Option<Transport>,
    pub(super) mcp_path: Option<String>,
    pub(super) stdin_open: bool,
}

impl InstanceSpec {
    /// What to run.
    pub const fn image(&self) -> &ImageSource {
        &self.image
    }

    /// Arguments instead of the image's.
    pub fn command(&self) -> Option<&[String]> {
        self.command.as_deref()
    }

    /// Entry point instead of the image's.
    pub fn entrypoint(&self) -> Option<&[String]> {
        self.entrypoint.as_deref()
    }

    /// Environment variables, sorted by name.
    pub fn env(&self) -> &[EnvVar] {
        &self.env
    }

    /// Ports to publish, in the order given.
    pub fn ports(&self) -> &[Port] {
        &self.ports
    }

    /// Volumes, in the order given.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// Limits.
    pub const fn resources(&self) -> Resources {
        self.resources
    }

    /// Confinement.
    pub const fn confinement(&self) -> &Confinement {
        &self.confinement
    }

    /// MCP transport; none for a tool that is no MCP server.
    pub const fn transport(&self) -> Option<Transport> {
        self.transport
    }

    /// Path of the MCP endpoint.
    pub fn mcp_path(&self) -> Option<&str> {
        self.mcp_path.as_deref()
    }

    /// Keep standard input open; always so for the transport `stdio`.
    pub const fn stdin_open(&self) -> bool {
        self.stdin_open
    }
}
