//! Stops an MCP server that nobody uses, and starts it again for whoever comes.
//!
//! Whoever passes a request on counts it in the server's [`Use`] first, and then looks whether the instance rests. The task that
//! lets it rest says so first, and then looks into the `Use`. One of the two sees the other, so no request meets a server that is
//! being stopped unless it waits for its start.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use toolbox_api::dtma::Phase;

use super::task::Instance;
use super::view;

/// How a server is used.
#[derive(Debug)]
pub struct Use(Mutex<Used>);

#[derive(Debug)]
struct Used {
    /// Requests under way.
    now: usize,
    /// When the last of them ended, or the server was started.
    last: Instant,
}

impl Use {
    /// Nobody uses it yet.
    pub const fn new(now: Instant) -> Self {
        Self(Mutex::new(Used { now: 0, last: now }))
    }

    /// Somebody uses it until this is dropped.
    pub fn begin(self: &Arc<Self>) -> InUse {
        self.used().now += 1;
        InUse(Arc::clone(self))
    }

    /// It was started, so it has not been without use for long.
    pub fn started(&self, now: Instant) {
        self.used().last = now;
    }

    /// When nobody will have used it for `limit`; none while somebody does.
    pub fn due(&self, limit: Duration) -> Option<Instant> {
        let used = self.used();
        (used.now == 0).then(|| used.last + limit)
    }

    // A leaf lock, never held across an await.
    fn used(&self) -> MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way.
#[derive(Debug)]
pub struct InUse(Arc<Use>);

impl Drop for InUse {
    fn drop(&mut self) {
        let mut used = self.0.used();
        used.now -= 1;
        used.last = Instant::now();
    }
}

impl Instance {
    /// Stops the server, if it runs as asked and nobody has used it for `limit`.
    pub(super) async fn rest(&mut self, usage: &Use, limit: Duration) {
        let is_unused = || usage.due(limit).is_some_and(|due| due <= Instant::now());
        let Some(record) = &mut self.record else {
            return;
        };
        let view = view::of(record, &self.memory, Instant::now());
        let runs = view.phase == Phase::Running && view.settled && record.next.is_none();
        if !runs || !record.is_to_run() || !is_unused() {
            return;
        }
        record.rests = true;
        if !self.save().await {
            // What is not durable does not hold; it is asked again.
            if let Some(record) = &mut self.record {
                record.rests = false;
            }
            return;
        }
        self.memory.status.phase = Phase::Stopping;
        self.memory.status.settled = false;
        self.look_anew();
        if is_unused() {
            tracing::info!(instance = %self.id, unused = ?limit, "stopping a server that nobody uses");
        } else {
            self.wake_up().await;
        }
    }

    /// Starts the server if it rests.
    pub(super) async fn wake_up(&mut self) {
        let Some(record) = self.record.as_mut().filter(|record| record.rests) else {
            return;
        };
        record.rests = false;
        tracing::info!(instance = %self.id, "starting a server that somebody wants to use");
        // Where it cannot be stored it starts all the same, and is stored later.
        self.save().await;
        self.memory.reset(Phase::Starting);
        self.look_anew();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_mins(30);

    #[tokio::test(start_paused = true)]
    async fn a_server_is_unused_from_the_end_of_its_last_request() {
        let begun = Instant::now();
        let usage = Arc::new(Use::new(begun));
        assert_eq!(usage.due(LIMIT), Some(begun + LIMIT));
        let (one, other) = (usage.begin(), usage.begin());
        assert_eq!(usage.due(LIMIT), None);
        tokio::time::advance(LIMIT * 2).await;
        drop(one);
        assert_eq!(usage.due(LIMIT), None, "one is under way");
        tokio::time::advance(LIMIT).await;
        drop(other);
        assert_eq!(usage.due(LIMIT), Some(begun + LIMIT * 4));
        usage.started(begun + LIMIT * 5);
        assert_eq!(usage.due(LIMIT), Some(begun + LIMIT * 6));
    }
}
