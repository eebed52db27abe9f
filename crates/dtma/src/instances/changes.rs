//! Which instances changed: what the control plane has yet to be told.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::Notify;
use tokio::time::Instant;
use toolbox_domain::ids::ToolInstanceId;

/// Marks of changed instances, each with the time of its first change. One per instance, however often it changes,
/// so it cannot grow beyond the number of instances.
#[derive(Debug, Default)]
pub struct Changes {
    // A leaf lock around a map, never held across an await.
    marks: Mutex<BTreeMap<ToolInstanceId, Instant>>,
    marked: Notify,
}

impl Changes {
    /// Something that the control plane may be told of this instance changed.
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

    #[tokio::test]
    async fn a_mark_keeps_its_first_time_and_is_not_missed() {
        let changes = Changes::default();
        let id = ToolInstanceId::new(uuid::Uuid::from_u128(7));
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
