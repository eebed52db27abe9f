//! Bounds of a bridge that can be set, in one place.

use std::time::Duration;

/// A server that nobody used for so long is probed this often, and at once when somebody comes: some write a line of their
/// log for each request.
pub(crate) const UNUSED_AFTER: Duration = Duration::from_mins(5);
/// Pause between two probes of such a server.
pub(crate) const UNUSED_PAUSE: Duration = Duration::from_mins(1);

/// Bounds of one server's bridge. Those that nobody sets stand where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest message in either direction, in bytes.
    pub message_bytes: usize,
    /// Bytes that may wait for the server to read them; and as many of calls that wait until it is ready.
    pub queued_bytes: usize,
    /// Bytes of notifications that may wait for one client to read them.
    pub unread_bytes: usize,
    /// Calls under way at once.
    pub calls: usize,
    /// Sessions held at once; beyond it the one that was silent longest ends.
    pub sessions: usize,
    /// How long a session may be silent.
    pub session_idle: Duration,
    /// How long a call may take without a sign of progress.
    pub call: Duration,
    /// How long a call may take in all.
    pub call_in_all: Duration,
    /// How long a caller waits for a server that is just starting.
    pub ready: Duration,
    /// How long a server may leave `server/discover` unanswered before it is taken to be one of the older era.
    pub discover: Duration,
    /// How long a server that has just started counts as starting.
    pub starting: Duration,
    /// Pause between two probes; a tenth of it is jitter.
    pub probe_interval: Duration,
    /// How long a probe may take.
    pub probe: Duration,
    /// A probe that takes longer finds the server degraded.
    pub slow: Duration,
    /// A server that ran this long counts as one that can run: it is started again without a pause.
    pub proven: Duration,
    /// Longest pause before a server that keeps ending is started again.
    pub restart_pause: Duration,
    /// Its list of tools is kept whole, so that it can be shown while the server does not run.
    pub keeps_tools: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Screenshots of 15 MB are messages of this length.
            message_bytes: 20 * 1024 * 1024,
            queued_bytes: 32 * 1024 * 1024,
            unread_bytes: 1024 * 1024,
            calls: 1024,
            sessions: 1024,
            session_idle: Duration::from_mins(30),
            call: Duration::from_mins(15),
            call_in_all: Duration::from_hours(24),
            ready: Duration::from_mins(2),
            discover: Duration::from_secs(2),
            starting: Duration::from_mins(2),
            // With jitter and deadline, a server in use that hangs is noticed within 14 s; within 19 s if the probe lists
            // its tools, which takes two deadlines; within 71 s if nobody has used it for some minutes.
            probe_interval: Duration::from_secs(8),
            probe: Duration::from_secs(5),
            slow: Duration::from_secs(2),
            proven: Duration::from_secs(10),
            restart_pause: Duration::from_secs(30),
            keeps_tools: false,
        }
    }
}

impl Limits {
    /// With a call's and a start's patience of its own, where given.
    #[must_use]
    pub fn with_times(mut self, call: Option<Duration>, start: Option<Duration>) -> Self {
        if let Some(call) = call {
            self.call = call;
            self.call_in_all = self.call_in_all.max(call);
        }
        if let Some(start) = start {
            self.starting = start;
            self.ready = start;
        }
        self
    }
}
