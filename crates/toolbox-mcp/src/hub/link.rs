//! The connection to the server, and when it is made again: at once after an end, with growing pauses in a crash loop.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use toolbox_api::mcp::McpState;

use super::greeting::Legacy;
use super::{Hub, Owner, refuse, unavailable};
use crate::health::{Finding, lacking};
use crate::memory::Only;
use crate::process::{Absence, Ended, NotRunning};
use crate::rpc::code;

/// So many ends in a row are a crash loop.
pub(super) const CRASH_LOOP: u32 = 3;
/// First pause before a server that ends again and again is started; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Callers wait out a pause of at most this length. During a longer one they get an error.
pub(super) const SHORT_PAUSE: Duration = Duration::from_secs(1);
/// How often the bridge checks for a server that is not meant to run.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How the server is connected.
#[derive(Debug)]
pub(super) enum Link {
    /// There is none; the runner connects at `retry_at`.
    Down { why: String, retry_at: Instant },
    /// The runner is connecting.
    Opening,
    /// The handshake is under way.
    Greeting { since: Instant },
    /// It takes calls.
    Ready,
}

impl Hub {
    /// When to connect; none while connected or connecting.
    pub const fn connect_at(&self) -> Option<Instant> {
        match self.link {
            Link::Down { retry_at, .. } => Some(retry_at),
            _ => None,
        }
    }

    /// Something changed about the server: connect at once, if there is no connection.
    pub fn wake(&mut self, now: Instant) {
        if let Link::Down { retry_at, .. } = &mut self.link {
            *retry_at = now;
        }
    }

    /// The runner connects.
    pub fn connecting(&mut self) {
        self.link = Link::Opening;
    }

    /// There is no server to connect to.
    pub fn not_running(&mut self, now: Instant, reason: &NotRunning) {
        let why = self.redactor.clean(&reason.reason);
        // Nobody waits for a server that is not meant to run, and a change of it connects at once.
        let retry_at = match reason.absence {
            Absence::Intended => now + LOOK_AGAIN,
            Absence::Idle => {
                // Its last end was meant, and it was well before.
                self.ends.clear();
                self.crashes_in_a_row = 0;
                now + LOOK_AGAIN
            }
            Absence::Starting => now,
            Absence::Fault => {
                self.crashes_in_a_row += 1;
                now + self.pause()
            }
        };
        self.found(Finding {
            state: reason.absence.state(),
            evidence: why.clone(),
            success: None,
        });
        self.down(now, &why, retry_at);
    }

    /// What the server logs; one of its last lines explains an end.
    pub fn logged(&mut self, text: &[u8]) {
        self.process.last_log.push(text, &self.redactor);
    }

    /// The server ended.
    pub fn ended(&mut self, now: Instant, ended: &Ended) {
        let ran = self
            .process
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let mut why = ended.words();
        if let Some(said) = self.process.last_log.telling(&self.redactor) {
            why = format!("{why}; it last logged: {said}{}", lacking(&said));
        }
        let mut calls = self.calls.values();
        // Some servers exit when they are asked for an era that they do not speak, once they have started.
        if calls.any(|call| {
            matches!(call.owner, Owner::Discover)
                && now.saturating_duration_since(call.begun) < self.limits.starting
        }) {
            self.era.only = match (self.era.only, &self.legacy) {
                (None, Legacy::Refused(_)) => Some(Only::Stateless),
                _ => Some(Only::Sessions),
            };
            // Once, that is no fault.
            if !std::mem::replace(&mut self.shied, true) {
                self.down(now, &why, now);
                return;
            }
        }
        if ran >= self.limits.proven {
            self.crashes_in_a_row = 0;
        }
        self.crashes_in_a_row += 1;
        if self.ends.len() == 16 {
            self.ends.pop_front();
        }
        self.ends.push_back(now);
        self.last_end.clone_from(&why);
        let retry_at = now + self.pause();
        let evidence = if self.crashes_in_a_row >= CRASH_LOOP {
            format!(
                "crash loop, {} ends in a row: the server {why}",
                self.crashes_in_a_row
            )
        } else {
            format!("the server {why}; it is started again")
        };
        self.found(Finding {
            state: McpState::Unhealthy,
            evidence,
            success: None,
        });
        self.down(now, &format!("the server {why}"), retry_at);
    }

    fn pause(&self) -> Duration {
        match self.crashes_in_a_row {
            0 | 1 => Duration::ZERO,
            n => (FIRST_PAUSE * 2_u32.pow((n - 2).min(16))).min(self.limits.restart_pause),
        }
    }

    /// No connection: calls under way fail with the reason, sessions stay.
    fn down(&mut self, now: Instant, why: &str, retry_at: Instant) {
        self.link = Link::Down {
            why: why.to_owned(),
            retry_at,
        };
        why.clone_into(&mut self.last_reason);
        self.out = BytesMut::new();
        self.asked.clear();
        for (_, post) in self.turns.reset() {
            self.waiting.push_back((now + self.limits.ready, post));
        }
        self.probe.reset();
        for (_, call) in std::mem::take(&mut self.calls) {
            if let Owner::Client { id, reply, .. } = call.owner {
                let text = format!(
                    "{why}; {} was under way and may have had its effect",
                    call.method
                );
                reply.answer(unavailable(&id, &text, true));
            }
        }
        if retry_at.saturating_duration_since(now) > SHORT_PAUSE
            || self.crashes_in_a_row >= CRASH_LOOP
        {
            self.refuse_waiting(why);
        }
    }

    pub(super) fn refuse_waiting(&mut self, why: &str) {
        for (_, post) in std::mem::take(&mut self.waiting) {
            refuse(*post, 503, code::UNAVAILABLE, why);
        }
    }

    /// Why there is no server to call, in words.
    pub(super) fn not_ready(&self) -> String {
        match &self.link {
            Link::Down { why, .. } => why.clone(),
            Link::Opening => "it is not connected".to_owned(),
            Link::Greeting { .. } => match &self.legacy {
                Legacy::Refused(why) => format!("it answered initialize with an error: {why}"),
                _ => "it has not answered the handshake".to_owned(),
            },
            Link::Ready => "it has not answered initialize".to_owned(),
        }
    }
}
