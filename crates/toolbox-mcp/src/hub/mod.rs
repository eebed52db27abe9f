//! One server's messages and all its clients, without a socket, a process or a clock.
//!
//! The runner feeds it what clients post ([`Hub::input`]), what the server writes ([`Hub::line`], [`Hub::logged`]), that
//! the server came or went ([`Hub::connected`], [`Hub::ended`], [`Hub::not_running`]) and the passing of time
//! ([`Hub::timeout`] at [`Hub::next_timeout`]). It takes from it the bytes for the server ([`Hub::out`]), when to connect
//! ([`Hub::connect_at`]) and what is found about the server's health ([`Hub::finding`]).
//!
//! Ids and progress tokens of clients are replaced by numbers that are unique on the one connection, and put back on the
//! way out. Each client's mail waits in its own bounded mailbox, so none can hold up another.

mod clients;
mod cut;
mod greeting;
mod ids;
mod link;
mod mirrors;
mod probe;
mod server;
mod sessions;
#[cfg(test)]
mod tests;
mod turns;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use toolbox_api::mcp::McpState;
use uuid::Uuid;

pub use self::greeting::{
    BATCHES, LEGACY, STATELESS, initialize_params, read_discover, read_initialize, stateless_params,
};
use self::greeting::{Discover, Discovered, Legacy as LegacyEra};
use self::ids::Ids;
use self::link::{CRASH_LOOP, Link, SHORT_PAUSE};
use self::mirrors::Mirrors;
pub use self::mirrors::Parameter;
use self::probe::Probe;
use self::sessions::Session;
use self::turns::{Turn, Turns};
use crate::health::{Finding, LastLines};
use crate::limits::Limits;
use crate::mailbox::{Answer, Sender};
use crate::memory::KnownEra;
use crate::redact::Redactor;
use crate::rpc::{self, Fields, Message, code};
use crate::tools::Toolset;

/// How often calls and sessions are checked for what is overdue.
const SWEEP: Duration = Duration::from_millis(250);

/// A message a client posted.
#[derive(Debug)]
pub struct Post {
    /// The message.
    pub message: Message,
    /// The known fields of its parameters.
    pub fields: Fields,
    /// It carries its protocol revision itself, so it belongs to no session.
    pub stateless: bool,
    /// The revision it carries, if that is none.
    pub unsupported: Option<String>,
    /// Its headers of tool parameters, if it is stateless.
    pub parameters: Vec<Parameter>,
    /// The session it names.
    pub session: Option<Uuid>,
    /// The id of the session it begins, if it begins one.
    pub fresh: Uuid,
    /// Where its answer goes.
    pub reply: Sender,
}

/// What a client wants.
#[derive(Debug)]
pub enum Input {
    /// Pass this on.
    Post(Box<Post>),
    /// Pass these on, in the order in which they stand.
    Batch {
        /// The session they belong to.
        session: Uuid,
        /// The messages.
        posts: Vec<Post>,
        /// Where it goes that they were taken, or why not.
        reply: Sender,
    },
    /// Send what belongs to this session and to no call here.
    Listen {
        /// The session.
        session: Uuid,
        /// Where to.
        reply: Sender,
    },
    /// End this session.
    End {
        /// The session.
        session: Uuid,
        /// Where the confirmation goes.
        reply: Sender,
    },
    /// A client was told of other tools than those that are known.
    Look,
}

/// Whose call it is.
#[derive(Debug)]
enum Owner {
    Client {
        session: Option<Uuid>,
        /// The client's own id, as JSON.
        id: Bytes,
        /// The client's own progress token, as JSON.
        token: Option<Bytes>,
        /// A stateless call that asked for log messages.
        wants_log: bool,
        reply: Sender,
    },
    Discover,
    Initialize,
    Probe,
}

#[derive(Debug)]
struct Call {
    owner: Owner,
    method: Box<str>,
    begun: Instant,
    /// None for a subscription.
    deadline: Option<Instant>,
    /// Set if the server may ask its client something meanwhile.
    turn: Option<Turn>,
}

/// A request of the server that a client was asked to answer.
#[derive(Debug)]
struct Asked {
    /// The server's own id, as JSON.
    id: Bytes,
    session: Uuid,
    /// The call that caused it, if that is known.
    call: Option<u32>,
    since: Instant,
}

/// What the process did since it was connected.
#[derive(Debug, Default)]
struct Process {
    since: Option<Instant>,
    revision: u64,
    last_log: LastLines,
    /// Whether any message of it could be read.
    spoke: bool,
    /// When it last answered anything.
    answered: Option<Instant>,
    /// Whether its tools, or what stands in their stead, have been listed.
    listed: bool,
    garbage: Garbage,
}

/// Output that helps nobody.
#[derive(Debug, Default)]
struct Garbage {
    /// Lines that are no message, and the first of them.
    lines: u64,
    sample: String,
    /// Answers to requests that nobody made, and the id of the first.
    unmatched: u64,
    unmatched_id: String,
}

/// See the module.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    redactor: Redactor,
    link: Link,
    out: BytesMut,
    ids: Ids,
    calls: HashMap<u32, Call>,
    /// Posts for a server that is not ready yet.
    waiting: VecDeque<(Instant, Box<Post>)>,
    sessions: HashMap<Uuid, Session>,
    asked: HashMap<u32, Asked>,
    turns: Turns,
    process: Process,
    discovered: Option<Discovered>,
    legacy: LegacyEra,
    discover: Discover,
    era: KnownEra,
    /// It is said to speak the stateless revision.
    stateless_first: bool,
    /// It ended once because it was asked for an era that it does not speak. That is no fault of it.
    shied: bool,
    /// When `initialize` was sent last.
    greeted: Instant,
    /// When it was connected, or a client last wanted anything.
    used: Instant,
    /// Ends in a row, each after a short run.
    crashes_in_a_row: u32,
    ends: VecDeque<Instant>,
    last_end: String,
    /// Why there was no server the last time.
    last_reason: String,
    probe: Probe,
    tools: Option<Arc<Toolset>>,
    mirrors: Mirrors,
    state: McpState,
    finding: Option<Finding>,
    swept: Instant,
    /// Bytes since the last sweep that are no message, or have no receiver.
    discarded: usize,
    jitter: u64,
}

impl Hub {
    /// A hub for a server that is not connected yet. `seed` is random: it keeps ids apart from those of an earlier hub
    /// for the same server, and probes of many servers from falling together.
    pub fn new(now: Instant, limits: Limits, redactor: Redactor, seed: u64) -> Self {
        Self {
            limits,
            redactor,
            link: Link::Down {
                why: "not connected yet".to_owned(),
                retry_at: now,
            },
            out: BytesMut::new(),
            ids: Ids::new(seed),
            calls: HashMap::new(),
            waiting: VecDeque::new(),
            sessions: HashMap::new(),
            asked: HashMap::new(),
            turns: Turns::default(),
            process: Process::default(),
            discovered: None,
            legacy: LegacyEra::Unknown,
            discover: Discover::Unasked,
            era: KnownEra::default(),
            stateless_first: false,
            shied: false,
            greeted: now,
            used: now,
            crashes_in_a_row: 0,
            ends: VecDeque::new(),
            last_end: String::new(),
            last_reason: String::new(),
            probe: Probe::default(),
            tools: None,
            mirrors: Mirrors::default(),
            state: McpState::Starting,
            finding: None,
            swept: now,
            discarded: 0,
            jitter: seed | 1,
        }
    }

    /// Takes what a client wants.
    pub fn input(&mut self, now: Instant, input: Input) {
        self.used(now);
        match input {
            Input::Post(post) => self.post(now, post),
            Input::Batch {
                session,
                posts,
                reply,
            } => self.batch(now, session, posts, reply),
            Input::Listen { session, reply } => self.listen(now, session, reply),
            Input::End { session, reply } => {
                let answer = if self.end_session(now, session) {
                    Answer::accepted()
                } else {
                    unknown_session("null")
                };
                reply.answer(answer);
            }
            Input::Look if matches!(self.link, Link::Ready) => self.probe.list_changed(now),
            Input::Look => {}
        }
    }

    /// Bytes for the server's standard input; the runner takes away what it wrote.
    pub const fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    /// Replaces the redactor of the server's output.
    pub fn set_redactor(&mut self, redactor: Redactor) {
        self.redactor = redactor;
    }

    /// Which image the server is made from, before it is connected; none if it is no image.
    pub fn set_image(&mut self, image: Option<String>) {
        if self.era.image != image {
            self.era = KnownEra { image, only: None };
        }
    }

    /// Takes up what was learned at an earlier time.
    pub fn recall(&mut self, era: KnownEra) {
        self.era = era;
    }

    /// Asks the server for the stateless revision first, until it shows that it does not speak it. What was remembered of
    /// that does not count: a server that speaks both eras may have been held to the other one.
    pub fn ask_stateless_first(&mut self) {
        self.stateless_first = true;
        self.era.only = None;
    }

    /// What was learned of the server's era.
    pub const fn era(&self) -> &KnownEra {
        &self.era
    }

    /// The next time [`Hub::timeout`] has something to do.
    pub fn next_timeout(&self) -> Instant {
        let busy = !self.calls.is_empty()
            || !self.waiting.is_empty()
            || !self.asked.is_empty()
            || !self.turns.idle()
            || self.discarded > 0
            || matches!(self.link, Link::Greeting { .. });
        let sweep = self.swept + if busy { SWEEP } else { SWEEP * 40 };
        match self.link {
            Link::Ready => sweep.min(self.probe.due(self.swept)),
            _ => sweep,
        }
    }

    /// Time has passed.
    pub fn timeout(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept) >= SWEEP {
            self.swept = now;
            self.discarded = 0;
            self.discover_timeout(now);
            self.sweep_calls(now);
            self.sweep_sessions(now);
            self.sweep_asked(now);
            self.sweep_turns(now);
        }
        match self.link {
            Link::Greeting { since } => self.greeting_timeout(now, since),
            Link::Ready => self.probe_timeout(now),
            Link::Down { .. } | Link::Opening => {}
        }
    }

    /// The server writes too much that is discarded. The runner stops reading until the next timeout.
    pub const fn flooded(&self) -> bool {
        self.discarded > 2 * 1024 * 1024
    }

    /// What was found since this was last asked.
    pub fn finding(&mut self) -> Option<Finding> {
        self.finding.take()
    }

    /// Counts of calls and sessions, for metrics.
    pub fn load(&self) -> (usize, usize) {
        let waiting = self.waiting.len() + self.turns.held.len();
        (self.calls.len() + waiting, self.sessions.len())
    }

    fn found(&mut self, finding: Finding) {
        self.state = finding.state;
        self.finding = Some(finding);
    }

    fn sweep_calls(&mut self, now: Instant) {
        while self.waiting.front().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, post)) = self.waiting.pop_front() {
                let text = format!(
                    "the server was not ready within {} s: {}",
                    self.limits.ready.as_secs(),
                    self.not_ready()
                );
                refuse(*post, 503, code::UNAVAILABLE, &text);
            }
        }
        let overdue: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| match &call.owner {
                Owner::Client { session, reply, .. } => {
                    call.deadline.is_some_and(|deadline| deadline <= now)
                        // Without a session, a client cancels by leaving. Within one, the call goes on.
                        || session.is_none() && reply.abandoned()
                }
                _ => false,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in overdue {
            let Some(call) = self.calls.remove(&id) else {
                continue;
            };
            self.give_up(now, id, &call);
            self.send_message(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the caller no longer waits"}}}}"#
            ));
            if let Owner::Client {
                session, id, reply, ..
            } = call.owner
            {
                if let Some(session) = session.and_then(|s| self.sessions.get_mut(&s)) {
                    session.used = now;
                }
                let seconds = now.saturating_duration_since(call.begun).as_secs();
                let text = format!(
                    "the server did not answer {} within {seconds} s",
                    call.method
                );
                reply.answer(Answer::ok(rpc::error(
                    &as_text(&id),
                    code::TIMED_OUT,
                    &text,
                    None,
                )));
            }
        }
    }

    /// Whether so many more bytes of clients may wait for the server to read them.
    fn has_room(&self, bytes: usize) -> bool {
        self.out.len() + bytes <= self.limits.queued_bytes
    }

    /// Answers the server itself. One that has left so much unread would not read this either.
    fn answer_server(&mut self, answer: &Bytes) {
        if self.out.len() <= 2 * self.limits.queued_bytes {
            self.send_message(&as_text(answer));
        } else {
            self.discarded += answer.len();
        }
    }

    fn fresh_id(&mut self) -> u32 {
        let (calls, asked) = (&self.calls, &self.asked);
        self.ids
            .fresh(|id| calls.contains_key(&id) || asked.contains_key(&id))
    }

    /// Sends a message of the bridge itself to the server.
    fn send_message(&mut self, message: &str) {
        self.out.extend_from_slice(message.as_bytes());
        self.out.extend_from_slice(b"\n");
    }

    /// Sends a request of the bridge itself to the server, and ignores its answer. Returns its id.
    fn tell(&mut self, method: &str, params: &str) -> u32 {
        let id = self.fresh_id();
        self.send_message(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#
        ));
        id
    }

    /// Sends a request of the bridge itself to the server. Returns its id.
    fn send_request(&mut self, now: Instant, owner: Owner, method: &str, params: &str) -> u32 {
        let id = self.tell(method, params);
        self.calls.insert(
            id,
            Call {
                owner,
                method: method.into(),
                begun: now,
                deadline: None,
                turn: None,
            },
        );
        id
    }
}

fn as_text(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
}

fn unavailable(id: &[u8], text: &str, may_have_run: bool) -> Answer {
    let data = serde_json::json!({ "reason": "server_unavailable", "may_have_run": may_have_run });
    Answer::ok(rpc::error(
        &as_text(id),
        code::UNAVAILABLE,
        text,
        Some(data),
    ))
}

fn unknown_session(id: &str) -> Answer {
    let text = "Session not found; begin a new one with initialize";
    Answer::refused(404, rpc::error(id, code::TIMED_OUT, text, None))
}

/// Answers a post with an error. The error of a notification has no id.
fn refuse(post: Post, status: u16, code: i32, text: &str) {
    refuse_with(post, status, code, text, None);
}

fn refuse_with(post: Post, status: u16, code: i32, text: &str, data: Option<serde_json::Value>) {
    let id = post
        .message
        .id
        .as_ref()
        .map_or("null", |id| post.message.raw(id));
    let body = rpc::error(id, code, text, data);
    post.reply.answer(Answer::refused(status, body));
}
