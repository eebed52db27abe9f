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

use toolbox_domain::machine_operation::AgentVersion;

use crate::companion::versions::{Link, Versions};

/// The version that a rollback goes back to. None where none is installed, or where this program was not started from a
/// folder of installed versions.
pub fn previous_version() -> Option<AgentVersion> {
    let program = std::env::current_exe().ok()?;
    let versions = program.parent()?.parent()?;
    Versions::new(versions.to_owned()).get(Link::Previous)
}
