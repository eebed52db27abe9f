//! The agent and its machine, as `/v1/machine` shows them. The agent serves this, and the companion may.
//!
//! - [`history`]: the machine's metrics of the last hour.
//! - [`log`]: the end of the program's own log.
//! - [`companion`]: whether the companion answers.
//! - [`diagnose`]: what is wrong on this machine, and what to do about it; `control` in it is the way to the control plane.

pub mod companion;
pub mod diagnose;
pub mod history;
pub mod log;

use std::path::Path;

/// Where the version is linked that ran before this one.
const PREVIOUS: &str = "/usr/local/lib/dtma/previous";

/// The version that a rollback goes back to. None where none is installed, or where the agent does not see the host's
/// folder.
pub fn previous_version() -> Option<String> {
    let version = std::fs::read_link(Path::new(PREVIOUS)).ok()?;
    version.file_name()?.to_str().map(str::to_owned)
}
