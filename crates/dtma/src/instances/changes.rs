//! Which instances changed and are not reported to the control plane yet; and the versions that order their views.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;
use toolbox_api::dtma::ViewVersion;
use toolbox_domain::ids::{AgentRunId, ToolInstanceId};
use uuid::Uuid;

/// Marks of changed instances, each with the time of its first change. One per instance, however often it changes,
/// so it cannot grow beyond the number of instances.
#[derive(Debug)]
pub struct Changes {
    run: AgentRunId,
    versions: AtomicU64,
    // A leaf lock around a map, never held across an await.
    marks: Mutex<BTreeMap<ToolInstanceId, Instant>>,
    marked: Notify,
}

impl Default for Changes {
    fn default() -> Self {
        Self {
            run: AgentRunId::new(Uuid::new_v4()),
            versions: AtomicU64::new(0),
            marks: Mutex::default(),
            marked: Notify::new(),
        }
    }
}

impl Changes {
    /// The next version, greater than every earlier one of this run. All instances share one counter, so it also grows
    /// for an instance that is deleted and deployed again.
    pub fn next_version(&self) -> ViewVersion {
        ViewVersion {
            run: self.run,
            number: self.versions.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }

    /// The instance changed in something that is reported to the control plane.
    pub fn mark(&self, id: ToolInstanceId) {
        if let Ok(mut marks) = self.marks.lock() {
            marks.entry(id).or_insert_with(Instant::now);
        }
        self.marked.notify_one();
    }

    /// Takes all marks.
    pub fn take(&self) -> BTreeMap<ToolInstanceId, Instant> {
        self.marks
            .lock()
            .map(|mut marks| std::mem::take(&mut *marks))
            .unwrap_or_default()
    }

    /// Waits for a mark that was not waited for before. For one waiter.
    pub async fn marked(&self) {
        self.marked.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_grow_within_a_run() {
        let changes = Changes::default();
        let (first, second) = (changes.next_version(), changes.next_version());
        assert_eq!((first.run, first.number, second.number), (second.run, 1, 2));
        assert_ne!(Changes::default().next_version().run, first.run);
    }

    #[tokio::test]
    async fn a_mark_keeps_its_first_time_and_is_not_missed() {
        let changes = Changes::default();
        let id = ToolInstanceId::new(Uuid::from_u128(7));
        changes.mark(id);
        let first = Instant::now();
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        changes.mark(id);
        changes.marked().await;
        let taken = changes.take();
        assert!(taken.len() == 1 && taken[&id] <= first);
        assert!(changes.take().is_empty());
    }
}
