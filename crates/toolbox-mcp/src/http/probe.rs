//! Asks an HTTP server at intervals whether it works: `initialize` once per session, or `server/discover` where that is
//! refused, then `tools/list`; from then on `ping`, and `tools/list` now and then, because nothing tells it that they
//! changed. It has one session of its own and ends it, so that probing leaves nothing behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use toolbox_api::mcp::{McpHealth, McpState};

use super::probe_call::{self, Exchange, Reply, Silence};
use super::{HttpClient, Locate, Target, Usage, events};
use crate::health::{Finding, Identity, Success, Tracker};
use crate::hub::{STATELESS, initialize_params, read_discover, read_initialize, stateless_params};
use crate::lenient;
use crate::limits::{Limits, UNUSED_PAUSE};
use crate::memory::Memory;
use crate::rpc::code;
use crate::tools::{Page, Toolset};

/// Pages of tools that are read.
const MAX_PAGES: u32 = 50;
/// How often the tools are read again.
const LIST_AGAIN: Duration = Duration::from_mins(5);
/// How long a server that has just started is not asked why it does not answer.
const EXPLAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a look for the older transport may take.
const LOOK: Duration = Duration::from_secs(1);
/// How long the end of a session may take.
const END: Duration = Duration::from_secs(1);
/// So many probes in a row without an answer are made in one session, unless calls are under way; then the server may have
/// lost it.
const SAME_SESSION: u32 = 3;
/// Pause between probes while nothing listens yet.
const NOT_YET: Duration = Duration::from_millis(500);

pub(super) struct Prober {
    pub(super) client: HttpClient,
    pub(super) place: Arc<dyn Locate>,
    pub(super) limits: Limits,
    pub(super) usage: Arc<Usage>,
    pub(super) wake: Arc<Notify>,
    pub(super) tracker: Tracker,
    pub(super) publish: watch::Sender<Arc<McpHealth>>,
    pub(super) memory: watch::Sender<Memory>,
}

/// What was agreed with the server.
#[derive(Clone, Debug)]
struct Terms {
    target: Target,
    identity: Identity,
    has_tools: bool,
    stateless: bool,
    session: Option<String>,
    version: String,
    /// Its tools, and when they were read.
    listed: Option<(Instant, Arc<Toolset>)>,
}

/// A server that has answered.
struct Answered {
    success: Success,
    /// Set if it was asked for its tools.
    listed: bool,
}

/// A probe that failed.
struct ProbeFailure(McpState, String);

impl Prober {
    pub(super) async fn run(mut self) {
        let mut terms: Option<Terms> = None;
        let mut since: Option<Instant> = None;
        let mut unanswered = 0_u32;
        // Ends with the last handle on the bridge.
        while !self.publish.is_closed() {
            let begun = Instant::now();
            let (finding, pause) = match self.place.locate() {
                Err(reason) => {
                    terms = None;
                    since = None;
                    let state = reason.absence.state();
                    (finding(state, reason.reason), Duration::from_secs(1))
                }
                Ok(target) => {
                    if terms.as_ref().is_some_and(|t| t.target != target) {
                        terms = None;
                    }
                    let started = *since.get_or_insert(begun);
                    let deadline = self.limits.probe;
                    let asking = self.probe(&target, &mut terms);
                    let asked = tokio::time::timeout(deadline, asking).await;
                    unanswered = if asked.is_ok() { 0 } else { unanswered + 1 };
                    let found = match asked {
                        Ok(Ok(answered)) => self.judged(answered),
                        Ok(Err(ProbeFailure(state, words))) => {
                            self.end(terms.take()).await;
                            finding(state, words)
                        }
                        Err(_) => {
                            let seconds = deadline.as_secs();
                            let words = format!("the server did not answer within {seconds} s");
                            match self.usage.calls.load(Ordering::Relaxed) {
                                0 => {
                                    if unanswered.is_multiple_of(SAME_SESSION) {
                                        self.end(terms.take()).await;
                                    }
                                    finding(McpState::Unhealthy, words)
                                }
                                // Slow is not sick: it may do one thing at a time.
                                calls => finding(
                                    McpState::Degraded,
                                    format!("it is busy: {words}; {calls} calls are under way"),
                                ),
                            }
                        }
                    };
                    self.paced(found, started, begun).await
                }
            };
            self.tracker.found(OffsetDateTime::now_utc(), finding);
            // Whoever sees that it was heard finds what was heard.
            let tools = self.tracker.tools();
            self.memory.send_if_modified(|memory| {
                let changed = memory.tools.as_ref() != tools;
                if changed {
                    memory.tools = tools.cloned();
                }
                changed
            });
            self.publish
                .send_replace(Arc::new(self.tracker.health().clone()));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wake.notified() => {
                    // Another process may have other tools.
                    if let Some(terms) = &mut terms {
                        terms.listed = None;
                    }
                }
                () = self.usage.returned.notified() => {}
                () = self.publish.closed() => break,
            }
        }
        self.end(terms).await;
    }

    /// Ends a session that is used no more.
    async fn end(&self, terms: Option<Terms>) {
        let Some(Terms {
            target,
            session: Some(session),
            ..
        }) = terms
        else {
            return;
        };
        let ending = probe_call::end(&self.client, &target, &session);
        // Best effort: the server would end the session by itself.
        let _ = tokio::time::timeout(END, ending).await;
    }

    /// A server that has just started may not listen yet. It is probed more often, and counts as starting, unless waiting
    /// cannot help.
    async fn paced(
        &self,
        mut found: Finding,
        started: Instant,
        begun: Instant,
    ) -> (Finding, Duration) {
        let waited = begun.saturating_duration_since(started);
        let starting = waited < self.limits.starting;
        let mut lasts = false;
        if found.state == McpState::Unreachable
            && waited > EXPLAIN_AFTER
            && let Some(why) = self.place.explain().await
        {
            found.evidence = format!("{}; {}", found.evidence, why.words);
            lasts = why.lasts;
        }
        if found.state == McpState::Unreachable && starting && !self.succeeded() && !lasts {
            let finding = Finding {
                state: McpState::Starting,
                ..found
            };
            return (finding, NOT_YET);
        }
        if found.state == McpState::Unreachable {
            return (found, NOT_YET * 2);
        }
        let part = uuid::Uuid::new_v4().as_u64_pair().0 % 1000;
        let mut interval = self.limits.probe_interval;
        if found.success.is_some() && self.usage.ended(Instant::now()) {
            interval = interval.max(UNUSED_PAUSE);
        }
        let jitter = interval / 10 * u32::try_from(part).unwrap_or_default() / 1000;
        (found, interval + jitter)
    }

    fn succeeded(&self) -> bool {
        self.tracker.health().last_success_at.is_some()
    }

    fn judged(&self, Answered { success, listed }: Answered) -> Finding {
        let (count, milliseconds) = (success.tools.len(), success.latency.as_millis());
        let slow = success.latency > self.limits.slow;
        let words = if listed {
            format!("listed {count} tools in {milliseconds} ms")
        } else {
            format!("answered in {milliseconds} ms; it has {count} tools")
        };
        Finding {
            state: if slow {
                McpState::Degraded
            } else {
                McpState::Healthy
            },
            evidence: if slow {
                format!("{words}, more than {} ms", self.limits.slow.as_millis())
            } else {
                words
            },
            success: Some(success),
        }
    }

    async fn probe(
        &self,
        target: &Target,
        terms: &mut Option<Terms>,
    ) -> Result<Answered, ProbeFailure> {
        // A session may have ended with the server's last process; then once more from the start.
        for _ in 0..2 {
            let begins = terms.is_none();
            let agreed = match terms.clone() {
                Some(agreed) => agreed,
                None => self.agree(target, terms).await?,
            };
            let begun = Instant::now();
            let known = match &agreed.listed {
                _ if !agreed.has_tools => Some(Arc::default()),
                Some((at, tools)) if at.elapsed() < LIST_AGAIN => Some(Arc::clone(tools)),
                _ => None,
            };
            let listed = known.is_none();
            let tools = match known {
                Some(tools) => self.ping(&agreed, begins).await?.then_some(tools),
                None => self.list(&agreed).await?.map(Arc::new),
            };
            if let Some(tools) = tools {
                if let Some(terms) = terms
                    && listed
                {
                    terms.listed = Some((begun, Arc::clone(&tools)));
                }
                let success = Success {
                    latency: begun.elapsed(),
                    server: agreed.identity,
                    tools,
                };
                return Ok(Answered { success, listed });
            }
            self.end(terms.take()).await;
            tracing::debug!("the probe's session has ended; opening another");
        }
        let words = "its sessions end at once";
        Err(ProbeFailure(McpState::Unhealthy, words.to_owned()))
    }

    async fn call(
        &self,
        terms: &Terms,
        method: &str,
        params: Value,
        wants_answer: bool,
    ) -> Result<(Reply, Option<String>), ProbeFailure> {
        let mut body = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        if wants_answer {
            body["id"] = 1.into();
        }
        let exchange = Exchange {
            target: &terms.target,
            session: terms.session.as_deref(),
            version: (!terms.version.is_empty()).then_some(&*terms.version),
            method,
            stateless: terms.stateless,
            body,
        };
        match probe_call::exchange(&self.client, exchange, self.limits.message_bytes).await {
            Ok((Reply::Elsewhere(words), _)) => {
                let words = terms.target.private.redactor.clean(&words);
                let words = format!("{method} was answered with {words}");
                Err(ProbeFailure(McpState::NotMcp, words))
            }
            Ok(answered) => Ok(answered),
            Err(Silence::Refused) => {
                let words = format!("nothing listens at port {}", terms.target.address.port());
                Err(ProbeFailure(McpState::Unreachable, words))
            }
            // Docker takes connections to a published port also where nothing listens behind it, and then breaks them.
            Err(Silence::Broken) => {
                let words = format!("the connection broke during {method}");
                let state = if self.succeeded() {
                    McpState::Unhealthy
                } else {
                    McpState::Unreachable
                };
                Err(ProbeFailure(state, words))
            }
        }
    }

    /// The likely cause of an endpoint that is none, and the field that cures it.
    async fn misplaced(&self, target: &Target) -> String {
        for path in [&*target.path, "/sse"] {
            let looking = events::is_endpoint(&self.client, target, path);
            if tokio::time::timeout(LOOK, looking).await == Ok(true) {
                return format!(
                    "; at {path} it speaks the older HTTP with events: set transport to sse and endpointPath to {path}"
                );
            }
        }
        "; if its endpoint has another path, set endpointPath".to_owned()
    }

    /// Finds out which era of the protocol the server speaks, and agrees with it on a revision. It begins as a client of
    /// the older era would: a server of that era may make a session of any other first request. A session is in `held` as
    /// soon as there is one, so that it can be ended whatever comes.
    async fn agree(
        &self,
        target: &Target,
        held: &mut Option<Terms>,
    ) -> Result<Terms, ProbeFailure> {
        let refusal = match self.initialize(target).await? {
            Ok(terms) => {
                *held = Some(terms.clone());
                let method = "notifications/initialized";
                self.call(&terms, method, json!({}), false).await?;
                return Ok(terms);
            }
            Err(refusal) => refusal,
        };
        let mut terms = Terms {
            target: target.clone(),
            identity: Identity::default(),
            has_tools: true,
            stateless: true,
            session: None,
            version: STATELESS.to_owned(),
            listed: None,
        };
        let params = stateless_params(None);
        let (said, _) = self.call(&terms, "server/discover", params, true).await?;
        if let Reply::Result(result) = said
            && let Some((identity, tools)) = lenient::read(&result).as_ref().and_then(read_discover)
        {
            terms.identity = identity;
            terms.has_tools = tools;
            *held = Some(terms.clone());
            return Ok(terms);
        }
        let ProbeFailure(state, mut words) = refusal;
        if state == McpState::NotMcp {
            words += &self.misplaced(target).await;
        }
        Err(ProbeFailure(state, words))
    }

    /// The answer to `initialize`; or the server's refusal, which one that takes stateless requests only gives as well.
    async fn initialize(
        &self,
        target: &Target,
    ) -> Result<Result<Terms, ProbeFailure>, ProbeFailure> {
        let mut terms = Terms {
            target: target.clone(),
            identity: Identity::default(),
            has_tools: true,
            stateless: false,
            session: None,
            version: String::new(),
            listed: None,
        };
        let params = initialize_params(&json!({}));
        let (said, session) = self.call(&terms, "initialize", params, true).await?;
        let result = match said {
            Reply::Result(result) => result,
            Reply::Error(status, error) => {
                refused(status)?;
                let words = terms.target.private.redactor.clean(&error.to_string());
                let words = format!("initialize was answered with an error: {words}");
                return Ok(Err(ProbeFailure(McpState::Unhealthy, words)));
            }
            Reply::Other(status, text) => {
                refused(status)?;
                let text = terms.target.private.redactor.clean(&text);
                let words = format!(
                    "initialize was answered with HTTP {}: {text}",
                    status.as_u16()
                );
                return Ok(Err(ProbeFailure(McpState::NotMcp, words)));
            }
            Reply::NoSession | Reply::Elsewhere(_) => {
                let words = "initialize was answered with HTTP 404".to_owned();
                return Ok(Err(ProbeFailure(McpState::NotMcp, words)));
            }
        };
        terms.session = session;
        let Some((version, identity, has_tools)) = read_initialize(&result) else {
            self.end(Some(terms)).await;
            let words = "the answer to initialize names no protocol revision".to_owned();
            return Ok(Err(ProbeFailure(McpState::NotMcp, words)));
        };
        terms.version = version;
        terms.identity = identity;
        terms.has_tools = has_tools;
        Ok(Ok(terms))
    }

    /// Whether it answers: anything will do. Some servers answer with an error when a session has ended, which one that has
    /// just begun has not.
    async fn ping(&self, terms: &Terms, begins: bool) -> Result<bool, ProbeFailure> {
        // The stateless era has no ping.
        let (method, params) = if terms.stateless {
            ("server/discover", stateless_params(None))
        } else {
            ("ping", json!({}))
        };
        match self.call(terms, method, params, true).await?.0 {
            Reply::Result(_) => Ok(true),
            Reply::NoSession | Reply::Elsewhere(_) => Ok(false),
            Reply::Error(status, error) => {
                refused(status)?;
                let unknown = error.get("code") == Some(&code::METHOD_NOT_FOUND.into());
                Ok(status.is_success() || unknown || begins || terms.session.is_none())
            }
            Reply::Other(status, text) => Err(no_answer(terms, method, status, &text)),
        }
    }

    /// Its tools; none when the session has ended.
    async fn list(&self, terms: &Terms) -> Result<Option<Toolset>, ProbeFailure> {
        let mut tools = Toolset::new(self.limits.keeps_tools);
        let mut cursor: Option<String> = None;
        let method = "tools/list";
        for _ in 0..MAX_PAGES {
            let params = match &cursor {
                cursor if terms.stateless => stateless_params(cursor.as_deref()),
                Some(cursor) => json!({ "cursor": cursor }),
                None => json!({}),
            };
            let result = match self.call(terms, method, params, true).await?.0 {
                Reply::Result(result) => result,
                Reply::NoSession | Reply::Elsewhere(_) => return Ok(None),
                Reply::Error(_, error) => {
                    let words = terms.target.private.redactor.clean(&error.to_string());
                    let words = format!("{method} was answered with an error: {words}");
                    return Err(ProbeFailure(McpState::Unhealthy, words));
                }
                Reply::Other(status, text) => return Err(no_answer(terms, method, status, &text)),
            };
            let page = Page::read(&result).and_then(|page| tools.add(&page).map(|()| page));
            let page =
                page.map_err(|error| ProbeFailure(McpState::Unhealthy, error.to_string()))?;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(Some(tools));
            }
        }
        let words = format!("its list of tools has no end after {MAX_PAGES} pages");
        Err(ProbeFailure(McpState::Unhealthy, words))
    }
}

fn no_answer(terms: &Terms, method: &str, status: StatusCode, text: &str) -> ProbeFailure {
    let text = terms.target.private.redactor.clean(text);
    let status = status.as_u16();
    let words = format!("{method} was answered with HTTP {status}: {text}");
    ProbeFailure(McpState::Unhealthy, words)
}

/// Statuses that are a failure in either era of the protocol.
fn refused(status: StatusCode) -> Result<(), ProbeFailure> {
    let what = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "it wants credentials that it was not given; give them with upstreamHeaders"
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => "it is too busy to answer",
        status if status.is_server_error() => "it fails",
        _ => return Ok(()),
    };
    Err(ProbeFailure(
        McpState::Unhealthy,
        format!("{what}: HTTP {}", status.as_u16()),
    ))
}

fn finding(state: McpState, evidence: String) -> Finding {
    Finding {
        state,
        evidence,
        success: None,
    }
}
