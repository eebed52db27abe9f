//! Probes the server itself, right after the handshake and then at intervals.
//!
//! A probe is a call of the bridge's own through the same process that serves the clients: a `ping`, to which any answer
//! will do. In its place the tools are listed right after the handshake, after the server said that they changed, and
//! rarely otherwise: what a server writes to its standard output lands in its container's log. A server that nobody uses is
//! pinged rarely as well.
//!
//! One probe is under way at a time. A server that works on calls one by one leaves it unanswered for as long as they take,
//! so what an unanswered probe means depends on what else the server has to do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;

use super::greeting::{Legacy, stateless_params};
use super::mirrors::Mirrors;
use super::{Hub, Owner, Post};
use crate::health::{Finding, Identity, Success};
use crate::lenient;
use crate::limits::{UNUSED_AFTER, UNUSED_PAUSE};
use crate::rpc::Message;
use crate::tools::{Page, Toolset};

/// Most pages of tools that are read. A server with more is taken to repeat itself.
const MAX_PAGES: u32 = 50;
/// Ends of the process within this time count against it.
const RECENT: Duration = Duration::from_mins(5);
/// The tools of a server that announces no change are read again this often, or more rarely if they take up much.
const LIST_AGAIN: Duration = Duration::from_hours(1);
/// Bytes a day that reading the tools again may write into a server's log.
const LIST_BYTES_A_DAY: u64 = 256 * 1024;
/// Pause before the tools are read again when the server says that they changed, or could not list them.
const LIST_PAUSE: Duration = Duration::from_secs(10);
const LIST_RETRY: Duration = Duration::from_mins(1);
/// A silent server is probed again this often, because the probe before may be lost.
const LOST: Duration = Duration::from_mins(1);
/// Longest list that is kept to answer clients of a busy server.
const KEPT_LIST: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct Probe {
    due: Option<Instant>,
    under_way: Option<UnderWay>,
    /// The last probe was not answered in time.
    missed: bool,
    /// When the tools are read next; none is at once.
    list_due: Option<Instant>,
    /// When they were read last because the server said that they changed.
    change_read: Option<Instant>,
    /// The server has said that the list under way, or read last, does not hold any more.
    stale: bool,
    /// Why the tools could not be read.
    list_problem: Option<String>,
    /// The list as the server gave it, if it has one page.
    list: Option<Box<str>>,
}

#[derive(Debug)]
struct UnderWay {
    id: u32,
    begun: Instant,
    /// Set while the tools are listed; else it is a ping.
    listing: Option<Listing>,
}

/// What was read so far.
#[derive(Debug, Default)]
struct Listing {
    pages: u32,
    bytes: usize,
    tools: Toolset,
    mirrors: Mirrors,
}

impl UnderWay {
    const fn method(&self) -> &'static str {
        if self.listing.is_some() {
            "tools/list"
        } else {
            "ping"
        }
    }
}

impl Probe {
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// When the next step is due.
    pub(super) fn due(&self, otherwise: Instant) -> Instant {
        self.due.unwrap_or(otherwise)
    }

    /// Asks as soon as possible.
    pub(super) fn ask_now(&mut self, now: Instant) {
        if self.under_way.is_none() {
            self.due = Some(now);
        }
    }

    /// An answer came after its caller gave up. The server may be well again, so it is probed at once.
    pub(super) fn answered_late(&mut self, now: Instant) {
        if self.missed {
            self.due = Some(now);
        }
    }

    /// The server says that its tools changed. However often it says so, they are read at most every few seconds.
    pub(super) fn list_changed(&mut self, now: Instant) {
        self.stale = true;
        let due = self.change_read.map_or(now, |at| now.max(at + LIST_PAUSE));
        self.list_due = Some(due);
        if self.under_way.is_none() {
            self.due = Some(self.due.map_or(due, |before| before.min(due)));
        }
    }
}

impl Hub {
    pub(super) fn probe_timeout(&mut self, now: Instant) {
        if self.probe.due.is_some_and(|due| due > now) {
            return;
        }
        if let Some(under_way) = &self.probe.under_way {
            let begun = under_way.begun;
            self.probe_missed(now);
            // A server that answers others has lost this one. One that is silent may have, but what it does not read it
            // cannot lose.
            let lost = self.answered_since(begun)
                || now.saturating_duration_since(begun) >= LOST && self.out.is_empty();
            if !lost {
                return;
            }
            if let Some(under_way) = self.probe.under_way.take() {
                self.calls.remove(&under_way.id);
            }
        }
        let lists = self.has_tools() && self.probe.list_due.is_none_or(|due| due <= now);
        if lists && std::mem::take(&mut self.probe.stale) {
            self.probe.change_read = Some(now);
        }
        let listing = lists.then(|| Listing {
            tools: Toolset::new(self.limits.keeps_tools),
            ..Listing::default()
        });
        self.probe_with(now, now, listing, None);
    }

    fn has_tools(&self) -> bool {
        match (&self.discovered, &self.legacy) {
            (_, Legacy::Spoken(handshake)) => handshake.has_tools,
            (Some(discovered), _) => discovered.has_tools,
            (None, _) => false,
        }
    }

    fn answered_since(&self, begun: Instant) -> bool {
        self.process.answered.is_some_and(|at| at > begun)
    }

    fn probe_with(
        &mut self,
        now: Instant,
        begun: Instant,
        listing: Option<Listing>,
        cursor: Option<&str>,
    ) {
        let mut under_way = UnderWay {
            id: 0,
            begun,
            listing,
        };
        let params = match (&self.legacy, cursor) {
            (Legacy::Spoken(_), Some(cursor)) => json!({ "cursor": cursor }),
            (Legacy::Spoken(_), None) => json!({}),
            (_, cursor) => stateless_params(cursor),
        };
        let method = under_way.method();
        under_way.id = self.send_request(now, Owner::Probe, method, &params.to_string());
        // Listing is work, so it may take longer.
        let patience = self.limits.probe * if under_way.listing.is_some() { 2 } else { 1 };
        self.probe.due = Some(begun + patience);
        self.probe.under_way = Some(under_way);
    }

    /// The probe under way has not been answered in time.
    fn probe_missed(&mut self, now: Instant) {
        let Some(under_way) = &self.probe.under_way else {
            return;
        };
        let method = under_way.method();
        let waited = now.saturating_duration_since(under_way.begun);
        let busy = self.busy_words(now);
        let words = format!(
            "{method} was not answered within {} s{busy}{}",
            waited.as_secs(),
            self.garbage_words()
        );
        let since = self.process.since.unwrap_or(now);
        let young = now.saturating_duration_since(since) < self.limits.starting;
        let (state, evidence) = if !busy.is_empty() || self.answered_since(under_way.begun) {
            (McpState::Degraded, format!("it is busy: {words}"))
        } else if young && !self.process.listed && under_way.listing.is_some() {
            (McpState::Starting, words)
        } else {
            (McpState::Unhealthy, words)
        };
        self.probe.missed = true;
        self.schedule(now);
        self.found(Finding {
            state,
            evidence,
            success: None,
        });
    }

    pub(super) fn probe_answered(&mut self, now: Instant, id: u32, message: &Message) {
        let Some(UnderWay { begun, listing, .. }) = self.probe.under_way.take_if(|u| u.id == id)
        else {
            return;
        };
        let Some(mut listing) = listing else {
            if std::mem::take(&mut self.probe.missed) {
                // How long it took says what else the server had to do. How it is now, the next one tells.
                self.probe.due = Some(now);
            } else {
                self.probe_succeeded(now, begun, false);
            }
            return;
        };
        self.probe.missed = false;
        if let Some(error) = &message.error {
            let error = self.redactor.clean(message.raw(error));
            self.list_failed(
                now,
                format!("tools/list was answered with an error: {error}"),
            );
            return;
        }
        let raw = message.result.as_ref().map_or("", |span| message.raw(span));
        listing.bytes += raw.len();
        // Most lists are the same as before, and small enough to compare as they are.
        if listing.pages == 0
            && let Some(tools) = self.tools.clone()
            && self.probe.list.as_deref() == Some(raw)
        {
            self.listed(now, begun, tools, listing.bytes);
            return;
        }
        let page = match Page::read(raw) {
            Ok(page) => page,
            Err(error) => return self.list_failed(now, error.to_string()),
        };
        if let Err(error) = listing.tools.add(&page) {
            return self.list_failed(now, error.to_string());
        }
        for tool in page.entries {
            if let Some(tool) = lenient::read::<Value>(tool.get()) {
                listing.mirrors.add(&json!({ "tools": [tool] }));
            }
        }
        match page.next {
            Some(cursor) if listing.pages < MAX_PAGES => {
                listing.pages += 1;
                self.probe_with(now, begun, Some(listing), Some(&cursor));
            }
            Some(_) => {
                let problem = format!("its list of tools has no end after {MAX_PAGES} pages");
                self.list_failed(now, problem);
            }
            None => {
                self.mirrors = listing.mirrors;
                let kept = listing.pages == 0 && raw.len() <= KEPT_LIST;
                self.probe.list = kept.then(|| raw.into());
                self.listed(now, begun, Arc::new(listing.tools), listing.bytes);
            }
        }
    }

    fn listed(&mut self, now: Instant, begun: Instant, tools: Arc<Toolset>, bytes: usize) {
        self.probe.list_problem = None;
        let day = Duration::from_hours(24).as_secs();
        let pause = Duration::from_secs(day.saturating_mul(bytes as u64) / LIST_BYTES_A_DAY);
        let pause = if self.probe.stale {
            LIST_PAUSE
        } else {
            pause.max(LIST_AGAIN)
        };
        self.probe.list_due = Some(now + pause);
        let first = !std::mem::replace(&mut self.process.listed, true);
        let changed = self.tools.as_ref().is_some_and(|before| *before != tools);
        self.tools = Some(tools);
        if changed {
            self.turns.forget();
        }
        if first && changed {
            self.tools_changed();
        }
        self.probe_succeeded(now, begun, true);
    }

    fn list_failed(&mut self, now: Instant, problem: String) {
        self.probe.list = None;
        self.probe.list_due = Some(now + LIST_RETRY);
        self.probe.list_problem = Some(problem);
        self.probe_succeeded(now, now, true);
    }

    /// The list that a busy server gave last, for a client that asks for it. An idle server is asked itself.
    pub(super) fn known_list(&self, post: &Post) -> Option<&str> {
        let whole = post
            .message
            .params
            .as_ref()
            .is_none_or(|params| !post.message.raw(params).contains("\"cursor\""));
        self.probe
            .list
            .as_deref()
            .filter(|_| self.probe.missed && !self.probe.stale && whole)
    }

    /// The server answered a probe, whatever it said.
    fn probe_succeeded(&mut self, now: Instant, begun: Instant, listed: bool) {
        self.schedule(now);
        let latency = now.saturating_duration_since(begun);
        let ran = self
            .process
            .since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if ran >= self.limits.proven {
            self.crashes_in_a_row = 0;
        }
        while self
            .ends
            .front()
            .is_some_and(|end| now.saturating_duration_since(*end) > RECENT)
        {
            self.ends.pop_front();
        }
        let garbage = self.garbage_words();
        self.process.garbage = super::Garbage::default();
        if let Some(problem) = &self.probe.list_problem {
            let evidence = format!("{problem}{garbage}");
            self.found(Finding {
                state: McpState::Unhealthy,
                evidence,
                success: None,
            });
            return;
        }
        let tools = if self.has_tools() {
            self.tools.clone().unwrap_or_default()
        } else {
            Arc::default()
        };
        let (count, milliseconds) = (tools.len(), latency.as_millis());
        let what = if listed {
            format!("listed {count} tools in {milliseconds} ms")
        } else if self.has_tools() {
            format!("answered ping in {milliseconds} ms; it has {count} tools")
        } else {
            format!("answered ping in {milliseconds} ms; it has no tools")
        };
        let (state, evidence) = if self.ends.len() >= 3 {
            let ends = self.ends.len();
            let text = format!(
                "{what}, but ended {ends} times within 5 minutes; last it {}",
                self.last_end
            );
            (McpState::Degraded, text)
        } else if latency > self.limits.slow {
            let limit = self.limits.slow.as_millis();
            (McpState::Degraded, format!("{what}, more than {limit} ms"))
        } else if !garbage.is_empty() {
            (McpState::Degraded, format!("{what}{garbage}"))
        } else {
            (McpState::Healthy, what)
        };
        let server = self.identity();
        self.found(Finding {
            state,
            evidence,
            success: Some(Success {
                latency,
                server,
                tools,
            }),
        });
    }

    /// A new process does not notify the clients of the one before, so the bridge does. What changes within a process is
    /// the server's to announce: its own notification has been passed on.
    fn tools_changed(&mut self) {
        let news = bytes::Bytes::from_static(
            br#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#,
        );
        for session in self.sessions.values_mut() {
            session.push(news.clone());
        }
    }

    fn identity(&self) -> Identity {
        match (&self.discovered, &self.legacy) {
            (_, Legacy::Spoken(handshake)) => handshake.identity.clone(),
            (Some(discovered), _) => discovered.identity.clone(),
            _ => Identity::default(),
        }
    }

    fn schedule(&mut self, now: Instant) {
        // xorshift: any spread will do, so that many servers are not asked at one moment.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let part = u32::try_from(self.jitter % 1000).unwrap_or_default();
        let unused = now.saturating_duration_since(self.used) >= UNUSED_AFTER;
        let interval = if unused && self.sessions.is_empty() && !self.probe.missed {
            UNUSED_PAUSE
        } else {
            self.limits.probe_interval
        };
        self.probe.due = Some(now + interval + interval / 10 * part / 1000);
    }

    /// Somebody uses the server, so its state matters now.
    pub(super) fn used(&mut self, now: Instant) {
        let before = std::mem::replace(&mut self.used, now);
        if now.saturating_duration_since(before) >= UNUSED_AFTER {
            self.probe.ask_now(now);
        }
    }

    fn busy_words(&self, now: Instant) -> String {
        let longest = self
            .calls
            .values()
            .filter(|call| matches!(call.owner, Owner::Client { .. }) && call.deadline.is_some())
            .map(|call| now.saturating_duration_since(call.begun).as_secs());
        let calls = longest.clone().count();
        match longest.max() {
            Some(seconds) => format!("; {calls} calls are under way, the longest for {seconds} s"),
            None => String::new(),
        }
    }
}
