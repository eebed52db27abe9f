//! What may run in a container.
//!
//! There are two forms. [`ToolSpec`] is the wire form: callers, the database, the catalog and the agent's disk all hold
//! it. [`InstanceSpec::validate`] takes one and returns either a value that keeps every rule, with defaults filled in,
//! or every violated rule at once.

mod git;
mod host_access;
mod image;
mod instance;
mod secret;
mod validate;
mod wire;

pub use git::GitSource;
pub use host_access::HostAccess;
pub use image::{ImageError, ImageReference, ImageSource};
pub use instance::{EnvVar, InstanceSpec, Port, ResourceLimits, SpecError};
pub use secret::{SecretValue, SpecSecrets};
pub use validate::limits;
pub use wire::{Confinement, McpTransport, PortSpec, Protocol, Resources, ToolSpec, VolumeSpec};
