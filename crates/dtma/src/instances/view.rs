//! The view of an instance, from its record and what its task knows.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::Instant;
use toolbox_api::dtma::{Phase, Reason, ToolView};

use super::memory::Memory;
use crate::record::Record;
use crate::runtime::ContainerState;

/// The view, without its version.
pub fn of(record: &Record, memory: &Memory, now: Instant) -> ToolView {
    let container = memory.observed.current(record);
    let error = error(record, memory, now);
    let (phase, settled) = match &error {
        Some(_) => (Phase::Error, true),
        None => (memory.status.phase, memory.status.settled),
    };
    let update_failed = record.update_failure.is_some();
    ToolView {
        id: record.id,
        name: record.name.as_str().to_owned(),
        container_name: record.container_name.clone(),
        generation: record.generation,
        desired: record.desired,
        phase,
        settled,
        reason: error.or_else(|| record.update_failure.clone()),
        progress: memory.status.progress.clone(),
        container_id: container.map(|c| c.id.as_str().to_owned()),
        image: record.current.spec.wire().image.clone(),
        image_digest: container.and_then(|c| c.image_digest.clone()),
        registry_digest: container
            .filter(|c| c.image_digest == record.current.image_digest)
            .and_then(|_| record.current.registry_digest.clone()),
        ports: record.current.ports.clone(),
        health: container
            .filter(|c| c.state == ContainerState::Running)
            .and_then(|c| c.health),
        started_at: container.and_then(|c| c.started_at).map(text),
        finished_at: container.and_then(|c| c.finished_at).map(text),
        // Docker answers 0 while it runs.
        exit_code: container
            .filter(|c| c.state == ContainerState::Exited)
            .and_then(|c| c.exit_code),
        restart_count: memory.attempts.restart_count,
        update_failed,
        rolled_back: record.is_rolled_back(),
        // The bridges know it, and the API adds it.
        mcp: None,
        updated_at: text(OffsetDateTime::now_utc()),
        version: None,
    }
}

/// How a view differs from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// In its time at most.
    None,
    /// In its progress only.
    Progress,
    /// In something that is reported to the control plane.
    State,
}

/// What is new in `fresh`.
pub fn news(old: &ToolView, fresh: &ToolView) -> News {
    let mut old = ToolView {
        updated_at: fresh.updated_at.clone(),
        version: fresh.version,
        ..old.clone()
    };
    if old == *fresh {
        return News::None;
    }
    old.progress.clone_from(&fresh.progress);
    if old == *fresh {
        News::Progress
    } else {
        News::State
    }
}

/// The error to show: Docker's absence before anything else, because nothing else is known for sure then.
fn error(record: &Record, memory: &Memory, now: Instant) -> Option<Reason> {
    if let Some(outage) = memory.attempts.outage.as_ref().filter(|o| o.shown(now)) {
        return Some(outage.why.clone().into());
    }
    if let Some(backoff) = memory.attempts.backoff.as_ref().filter(|f| f.shown) {
        return Some(backoff.why.clone().into());
    }
    let wanted = record.is_to_run();
    let halt = record.halted.as_ref().filter(|h| wanted && !h.asked_again);
    let containers = &mut memory.observed.containers.iter();
    if let Some(halt) = halt.filter(|_| !containers.any(|c| c.state == ContainerState::Running)) {
        return Some(halt.reason.clone());
    }
    // A failure of the current version is shown only while that version should run.
    let matters = wanted && record.next.is_none();
    memory
        .attempts
        .failures
        .get(&record.current.revision)
        .filter(|f| matters && f.shown)
        .map(|f| f.why.clone().into())
}

/// RFC 3339 in UTC.
pub fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}
