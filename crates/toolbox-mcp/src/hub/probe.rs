//! Probes the server itself, right after the handshake and then at intervals.
//!
//! A probe is a call of the bridge's own through the same process that serves the clients. It lists the tools; a server
//! that has none is asked for its discovery or a ping instead.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;

use super::greeting::{Legacy, stateless_params};
use super::mirrors::Mirrors;
use super::{Hub, Owner};
use crate::health::{Finding, Identity, Success};
use crate::rpc::Message;
use crate::tools::Toolset;

/// Most pages of tools that are read. A server with more is taken to repeat itself.
const MAX_PAGES: u32 = 50;
/// Ends of the process within this time count against it.
const RECENT: Duration = Duration::from_mins(5);

#[derive(Debug, Default)]
pub(super) struct Probe {
    due: Option<Instant>,
    under_way: Option<UnderWay>,
    failure: Option<(McpState, String)>,
    last_raw: Option<(Box<str>, Arc<Toolset>)>,
}

#[derive(Debug)]
struct UnderWay {
    id: u32,
    begun: Instant,
    method: &'static str,
    pages: u32,
    tools: Toolset,
    mirrors: Mirrors,
}

impl Probe {
    pub(super) fn reset(&mut self) {
        self.under_way = None;
        self.failure = None;
        self.due = None;
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
        if self.failure.is_some() {
            self.ask_now(now);
        }
    }

    /// Whether the last probe failed.
    pub(super) const fn failed(&self) -> bool {
        self.failure.is_some()
    }

    pub(super) fn evidence(&self) -> &str {
        self.failure.as_ref().map_or("", |(_, evidence)| evidence)
    }

    pub(super) fn state_word(&self) -> &'static str {
        match &self.failure {
            Some((McpState::NotMcp, _)) => "no MCP server",
            _ => "unhealthy",
        }
    }
}

impl Hub {
    pub(super) fn probe_timeout(&mut self, now: Instant) {
        let due = self.probe.due.is_none_or(|due| due <= now);
        if !due {
            return;
        }
        if let Some(under_way) = self.probe.under_way.take() {
            self.calls.remove(&under_way.id);
            let evidence = format!(
                "{} was not answered within {} s{}{}",
                under_way.method,
                self.limits.probe.as_secs(),
                self.busy_words(now),
                self.garbage_words(),
            );
            self.probe_failed(now, McpState::Unhealthy, evidence);
            return;
        }
        // A server that does not read gets no more probes, which would only fill its input.
        if self.probe.failed() && self.out.len() > 64 * 1024 {
            let evidence = format!("it does not read its input; {} bytes wait", self.out.len());
            self.probe_failed(now, McpState::Unhealthy, evidence);
            return;
        }
        let method = self.probe_method();
        self.probe_page(now, method, None, 0, now, Default::default());
    }

    fn probe_method(&self) -> &'static str {
        match (&self.discovered, &self.legacy) {
            (Some(discovered), _) if discovered.has_tools => "tools/list",
            (Some(_), _) => "server/discover",
            (None, Legacy::Spoken(handshake)) if handshake.has_tools => "tools/list",
            _ => "ping",
        }
    }

    fn probe_page(
        &mut self,
        now: Instant,
        method: &'static str,
        cursor: Option<&str>,
        pages: u32,
        begun: Instant,
        (tools, mirrors): (Toolset, Mirrors),
    ) {
        let params = match (&self.discovered, cursor) {
            (Some(_), cursor) => stateless_params(cursor),
            (None, Some(cursor)) => json!({ "cursor": cursor }),
            (None, None) => json!({}),
        };
        let id = self.send_request(now, Owner::Probe, method, &params.to_string());
        self.probe.under_way = Some(UnderWay {
            id,
            begun,
            method,
            pages,
            tools,
            mirrors,
        });
        self.probe.due = Some(begun + self.limits.probe);
    }

    pub(super) fn probe_answered(&mut self, now: Instant, id: u32, message: &Message) {
        let Some(mut under_way) = self.probe.under_way.take_if(|u| u.id == id) else {
            return;
        };
        if let Some(error) = &message.error {
            let error = self.redactor.clean(message.raw(error));
            let evidence = format!("{} was answered with an error: {error}", under_way.method);
            self.probe_failed(now, McpState::Unhealthy, evidence);
            return;
        }
        if under_way.method != "tools/list" {
            self.probe_succeeded(now, under_way.begun, &under_way.method, Arc::default());
            return;
        }
        let raw = message.result.as_ref().map_or("", |span| message.raw(span));
        // Most lists are the same as before, and small enough to compare as they are.
        if let Some((_, tools)) = self
            .probe
            .last_raw
            .as_ref()
            .filter(|(last, _)| **last == *raw)
        {
            let tools = Arc::clone(tools);
            self.probe_succeeded(now, under_way.begun, &"tools/list", tools);
            return;
        }
        let result: Value = serde_json::from_str(raw).unwrap_or_default();
        if let Err(error) = under_way.tools.add(&result) {
            self.probe_failed(now, McpState::Unhealthy, error.to_string());
            return;
        }
        under_way.mirrors.add(&result);
        match result.get("nextCursor").and_then(Value::as_str) {
            Some(cursor) if under_way.pages < MAX_PAGES => {
                let (pages, begun) = (under_way.pages + 1, under_way.begun);
                self.probe_page(
                    now,
                    "tools/list",
                    Some(cursor),
                    pages,
                    begun,
                    (under_way.tools, under_way.mirrors),
                );
            }
            Some(_) => {
                let evidence = format!("its list of tools has no end after {MAX_PAGES} pages");
                self.probe_failed(now, McpState::Unhealthy, evidence);
            }
            None => {
                self.mirrors = under_way.mirrors;
                let tools = Arc::new(under_way.tools);
                let single = under_way.pages == 0 && raw.len() <= 256 * 1024;
                self.probe.last_raw = single.then(|| (raw.into(), Arc::clone(&tools)));
                self.probe_succeeded(now, under_way.begun, &"tools/list", tools);
            }
        }
    }

    fn probe_succeeded(
        &mut self,
        now: Instant,
        begun: Instant,
        method: &&'static str,
        tools: Arc<Toolset>,
    ) {
        self.schedule(now);
        self.probe.failure = None;
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
        let what = if *method == "tools/list" {
            format!("listed {} tools in {} ms", tools.len(), latency.as_millis())
        } else {
            format!(
                "answered {method} in {} ms; it has no tools",
                latency.as_millis()
            )
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
        let first = !std::mem::replace(&mut self.process.listed, true);
        let changed = self.tools.as_ref().is_some_and(|before| *before != tools);
        self.tools = Some(Arc::clone(&tools));
        if first && changed {
            self.tools_changed();
        }
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
            (Some(discovered), _) => discovered.identity.clone(),
            (None, Legacy::Spoken(handshake)) => handshake.identity.clone(),
            _ => Identity::default(),
        }
    }

    fn probe_failed(&mut self, now: Instant, state: McpState, evidence: String) {
        self.schedule(now);
        self.probe.failure = Some((state, evidence.clone()));
        self.found(Finding {
            state,
            evidence,
            success: None,
        });
    }

    fn schedule(&mut self, now: Instant) {
        // xorshift: any spread will do, so that many servers are not asked at one moment.
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        let part = u32::try_from(self.jitter % 1000).unwrap_or_default();
        let jitter = self.limits.probe_interval / 10 * part / 1000;
        self.probe.due = Some(now + self.limits.probe_interval + jitter);
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
