//! How a container is confined: what is asked of Docker, and what Docker holds after the start.
//!
//! The same value is written into the creation request and read back with inspect; a difference
//! means that the engine dropped a limit silently (cgroup controllers can be missing), or that
//! somebody changed the container.

use std::collections::{BTreeMap, BTreeSet};

use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::spec::InstanceSpec;

use super::networks;

/// Size of each tmpfs, in bytes; it counts against the memory limit as it fills.
const TMPFS_BYTES: u64 = 64 * 1024 * 1024;
/// Largest log file of a container, and how many are kept.
pub const LOG_MAX_SIZE: &str = "10m";
/// See [`LOG_MAX_SIZE`].
pub const LOG_MAX_FILES: &str = "3";

/// The confinement of one container. Everything not named here is forbidden: the flags at the end are always false.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent settings of Docker, compared one by one"
)]
pub struct Hardening {
    pub memory_bytes: i64,
    /// CPU limit in billionths of a CPU.
    pub nano_cpus: i64,
    /// Most processes and threads.
    pub pids: i64,
    /// Set-uid programs gain nothing.
    pub no_new_privileges: bool,
    /// Dropped capabilities, without `CAP_`.
    pub cap_drop: BTreeSet<String>,
    /// Capabilities given back, without `CAP_`.
    pub cap_add: BTreeSet<String>,
    /// The root file system is read-only.
    pub read_only_root: bool,
    /// Mounted tmpfs and their options.
    pub tmpfs: BTreeMap<String, String>,
    /// Its own network.
    pub network: String,
    /// Networks of the toolbox that it is in besides.
    pub joined: BTreeSet<String>,
    /// Log driver, size and number of files.
    pub log: (String, String, String),
    /// Docker restarts it by itself; always false, because the agent owns restarts.
    pub restarts: bool,
    /// An init process reaps children and passes signals on.
    pub init: bool,
    /// All limits off; always false.
    pub privileged: bool,
    /// It mounts files of the machine, such as Docker's socket; always false.
    pub host_files: bool,
    /// It shares a namespace with the machine, or has its devices; always false.
    pub host_namespaces: bool,
}

/// Differences that Docker can mend in a container that exists.
const ADJUSTABLE: &[&str] = &["memory", "cpus", "pids", "restart_policy"];

impl Hardening {
    /// The confinement that `spec` asks for an instance of `toolbox`.
    pub fn of(spec: &InstanceSpec, toolbox: ToolboxId, instance: ToolInstanceId) -> Self {
        let confinement = &spec.wire().confinement;
        let mut tmpfs: BTreeMap<String, String> = confinement
            .tmpfs
            .iter()
            .map(|path| (path.clone(), tmpfs_options()))
            .collect();
        if confinement.read_only_root {
            tmpfs.entry("/tmp".to_owned()).or_insert_with(tmpfs_options);
        }
        Self {
            memory_bytes: i64::try_from(spec.resources().memory_bytes).unwrap_or(i64::MAX),
            nano_cpus: i64::try_from(spec.resources().nano_cpus).unwrap_or(i64::MAX),
            pids: i64::from(spec.resources().pids),
            no_new_privileges: true,
            cap_drop: BTreeSet::from(["ALL".to_owned()]),
            cap_add: confinement.add_capabilities.iter().cloned().collect(),
            read_only_root: confinement.read_only_root,
            tmpfs,
            network: networks::of_instance(toolbox, instance),
            joined: networks::of_spec(toolbox, spec).collect(),
            log: (
                "json-file".to_owned(),
                LOG_MAX_SIZE.to_owned(),
                LOG_MAX_FILES.to_owned(),
            ),
            init: true,
            ..Self::default()
        }
    }

    /// Whether Docker can put every one of `differences` back in the same container.
    pub fn can_be_put_back(differences: &[&str]) -> bool {
        differences.iter().all(|name| ADJUSTABLE.contains(name))
    }

    /// Names of what `actual` does not fulfil; empty when it is as asked.
    pub fn differences(&self, actual: &Self) -> Vec<&'static str> {
        let checks = [
            ("memory", self.memory_bytes == actual.memory_bytes),
            ("cpus", self.nano_cpus == actual.nano_cpus),
            ("pids", self.pids == actual.pids),
            (
                "no_new_privileges",
                self.no_new_privileges == actual.no_new_privileges,
            ),
            ("cap_drop", self.cap_drop == actual.cap_drop),
            ("cap_add", self.cap_add == actual.cap_add),
            (
                "read_only_root",
                self.read_only_root == actual.read_only_root,
            ),
            ("tmpfs", self.tmpfs == actual.tmpfs),
            ("network", self.network == actual.network),
            ("networks", self.joined == actual.joined),
            ("log", self.log == actual.log),
            ("restart_policy", self.restarts == actual.restarts),
            ("init", self.init == actual.init),
            ("privileged", self.privileged == actual.privileged),
            ("host_files", self.host_files == actual.host_files),
            (
                "host_namespaces",
                self.host_namespaces == actual.host_namespaces,
            ),
        ];
        checks
            .into_iter()
            .filter(|(_, same)| !same)
            .map(|(name, _)| name)
            .collect()
    }
}

/// Docker adds noexec, nosuid and nodev by itself.
fn tmpfs_options() -> String {
    format!("size={TMPFS_BYTES},mode=1777")
}

/// Docker answers capabilities with or without the prefix, by version.
pub(crate) fn bare_capability(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_compared() {
        let asked = Hardening {
            memory_bytes: 1,
            init: true,
            ..Hardening::default()
        };
        assert!(asked.differences(&asked).is_empty());
        let mut found = asked.clone();
        found.memory_bytes = 0;
        found.privileged = true;
        found.cap_add.insert("SYS_ADMIN".into());
        assert_eq!(
            asked.differences(&found),
            ["memory", "cap_add", "privileged"]
        );
    }

    #[test]
    fn capabilities_are_compared_without_their_prefix() {
        assert_eq!(bare_capability("CAP_chown"), "CHOWN");
        assert_eq!(bare_capability("KILL"), "KILL");
    }
}
