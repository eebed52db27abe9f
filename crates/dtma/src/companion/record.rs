//! The last change of the agent's version, on the disk: it outlives both programs.

use std::io;
use std::path::Path;

use time::OffsetDateTime;
use toolbox_api::dtma::Reason;
use toolbox_api::machine::{VersionChange, VersionChangeKind, VersionChangePhase};
use toolbox_domain::machine_operation::AgentVersion;
use uuid::Uuid;

use crate::durable;
use crate::instances::view;

const FILE: &str = "version-change.json";

/// The change in `state_dir`; none when there was none, or it cannot be read. Blocks.
pub fn read(state_dir: &Path) -> Option<VersionChange> {
    let text = durable::read(&state_dir.join(FILE)).ok().flatten()?;
    serde_json::from_str(&text).ok()
}

/// Keeps the change in `state_dir`, durably. Blocks.
pub fn write(state_dir: &Path, change: &VersionChange) -> io::Result<()> {
    let bytes = serde_json::to_vec(change)?;
    durable::write(state_dir, FILE, &bytes)
}

/// A change that begins now.
pub fn begin(
    kind: VersionChangeKind,
    from: Option<&AgentVersion>,
    to: &AgentVersion,
) -> VersionChange {
    VersionChange {
        id: Uuid::new_v4().to_string(),
        kind,
        from: from.map(ToString::to_string),
        to: to.to_string(),
        phase: VersionChangePhase::Fetching,
        reason: None,
        started_at: now(),
        finished_at: None,
    }
}

/// The change with its end.
pub fn end(change: &mut VersionChange, phase: VersionChangePhase, reason: Option<Reason>) {
    change.phase = phase;
    change.reason = reason;
    change.finished_at = Some(now());
}

fn now() -> String {
    view::text(OffsetDateTime::now_utc())
}
