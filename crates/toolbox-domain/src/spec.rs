//! What may run in a container.
//!
//! There are two forms. [`ToolSpec`] is the wire form: callers, the database, the catalog and the agent's disk all hold
//! it. [`InstanceSpec::validate`] takes one and returns either a value that keeps every rule, with defaults filled in,
//! or every violated rule at once.
//!
//! A new option of Docker is a field in `wire`, its rule in `validate`, a field of `ConfigOverride` in the crate of the
//! wire types, and its use where the agent makes a container.

mod git;
mod image;
mod instance;
mod secret;
mod validate;
mod wire;

pub use git::GitSource;
pub use image::{ImageError, ImagePolicy, ImageReference, ImageSource};
pub use instance::{EnvVar, InstanceSpec, Port, ResourceLimits, SpecError};
pub use secret::SecretValue;
pub use wire::{Confinement, McpTransport, PortSpec, Protocol, Resources, ToolSpec, VolumeSpec};

/// Bounds and defaults of a spec.
pub mod limits {
    use core::ops::RangeInclusive;

    /// Most bytes of all texts of a spec together.
    pub const MAX_SPEC_BYTES: usize = 128 * 1024;
    /// Most arguments of the command, and of the entry point.
    pub const MAX_ARGS: usize = 64;
    /// Most environment variables.
    pub const MAX_ENV_VARS: usize = 100;
    /// Most bytes of the name of an environment variable.
    pub const MAX_ENV_NAME_BYTES: usize = 255;
    /// Most bytes of the value of an environment variable.
    pub const MAX_ENV_VALUE_BYTES: usize = 32 * 1024;
    /// Most ports.
    pub const MAX_PORTS: usize = 32;
    /// Host ports that belong to the machine: SSH, the companion server, DTMA.
    pub const RESERVED_HOST_PORTS: &[u16] = &[22, 3000, 30000];
    /// Most volumes.
    pub const MAX_VOLUMES: usize = 16;
    /// Most characters of the name of a volume.
    pub const MAX_VOLUME_NAME_CHARS: usize = 40;
    /// Most tmpfs mounts.
    pub const MAX_TMPFS: usize = 16;
    /// Most bytes of a path.
    pub const MAX_PATH_BYTES: usize = 255;
    /// Memory limit in bytes.
    pub const MEMORY_BYTES: RangeInclusive<u64> = 16 * MIB..=64 * 1024 * MIB;
    /// Memory limit in bytes when none is given.
    pub const DEFAULT_MEMORY_BYTES: u64 = 512 * MIB;
    /// CPU limit in billionths of a CPU (0.01 to 64 CPUs).
    pub const NANO_CPUS: RangeInclusive<u64> = 10_000_000..=64_000_000_000;
    /// CPU limit in billionths of a CPU when none is given.
    pub const DEFAULT_NANO_CPUS: u64 = 1_000_000_000;
    /// Most processes and threads.
    pub const PIDS: RangeInclusive<u32> = 1..=4096;
    /// Most processes and threads when no number is given.
    pub const DEFAULT_PIDS: u32 = 256;
    /// Capabilities a spec may ask for: those Docker gives by default.
    pub const CAPABILITIES: &[&str] = &[
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];

    const MIB: u64 = 1024 * 1024;
}
