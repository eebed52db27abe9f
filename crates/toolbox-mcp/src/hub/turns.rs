//! Whose question it is, when the server asks for something.
//!
//! Standard streams do not say on whose behalf a server asks. What one person is asked must not reach another, so a question
//! goes to a client only when every call that may have caused it is that client's; otherwise it is declined, with the reason.
//! A call may cause a question while it is under way, also while it waits for the answer to another, and for [`GIVEN_UP`]
//! after its caller no longer waits, unless the server answers it before.
//!
//! So that two clients who can be asked each get their own, a call of such a client to a tool that may ask waits until no call
//! of another client may, and keeps others waiting until it ends: for [`HELD`] at most if the tool is known to ask, for
//! [`UNKNOWN`] if nothing is known of it, because most ask nothing and those that do ask soon. A tool is known to be quiet once
//! a call of it has ended without a question. A person who thinks holds up only calls that may ask themselves: a call whose
//! one question has been with its client for [`SETTLED`] keeps no others waiting.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::{Asked, Call, Hub, Link, Owner, Post};
use crate::rpc::code;

/// How long a call may wait for its turn, and keep others waiting, if its tool is known to ask.
pub(super) const HELD: Duration = Duration::from_secs(10);
/// The same for a tool of which nothing is known.
pub(super) const UNKNOWN: Duration = Duration::from_secs(2);
/// How long a call may still ask after its caller gave it up. Servers need not heed a cancellation, and need not answer a
/// call that was cancelled. A question that is open then is answered within this time, and the call may go on after that.
pub(super) const GIVEN_UP: Duration = Duration::from_mins(15);
/// How long a question must be with its client before its call is taken to wait. What is asked together comes together.
pub(super) const SETTLED: Duration = Duration::from_secs(1);
/// Tools of which is remembered whether they ask.
const MOST_KNOWN: usize = 4096;

/// The question for roots.
const ROOTS: &str = "roots/list";

/// Requests during which no server asks anything.
const ASKS_NOTHING: [&str; 15] = [
    "completion/complete",
    "logging/setLevel",
    "ping",
    "prompts/list",
    "resources/list",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/update",
    "tools/list",
];

/// A call under way that may ask.
#[derive(Debug)]
pub(super) struct Turn {
    /// The tool or prompt it calls.
    tool: Tool,
    /// Until then calls of other clients wait.
    alone_until: Option<Instant>,
    /// A question came that it may have caused.
    asked: bool,
}

/// What keeps a call from its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Obstacle {
    /// Nothing but calls that wait for an answer of their clients.
    Thinking,
    Calls,
}

/// A hash of method and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Tool(u64);

impl Tool {
    /// None if such a call cannot ask.
    fn of(post: &Post) -> Option<Self> {
        let method = &*post.message.method;
        if ASKS_NOTHING.contains(&method) {
            return None;
        }
        let name = post.fields.name.as_ref().map(|n| post.message.raw(n));
        let mut hasher = DefaultHasher::new();
        (method, name).hash(&mut hasher);
        Some(Self(hasher.finish()))
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Calls that wait for their turn, until when at the latest.
    pub(super) held: VecDeque<(Instant, Box<Post>)>,
    /// Whether a tool asks.
    known: HashMap<Tool, bool>,
    /// Calls that their caller gave up: whose, and until when they may ask. None are stateless.
    given_up: HashMap<u32, (Option<Uuid>, Instant)>,
    roots: Roots,
}

/// Servers keep the roots they were told, and ask again when they hear of a change.
#[derive(Debug, Default)]
struct Roots {
    /// The server has asked for roots, so it wants to hear of a change.
    wanted: bool,
    changed: bool,
    /// It was not told whose were meant, because several clients offered some.
    unclear: bool,
}

/// Whose calls may have caused a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    Nobody,
    Session(Uuid),
    /// A call without a session, which cannot be asked.
    Stateless,
    Several,
}

/// Who may see a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogsFor {
    All,
    Session(Uuid),
    /// A stateless call.
    Call(u32),
    Nobody,
}

/// The one client among `clients`; none of these is a call without a session.
fn only(mut clients: impl Iterator<Item = Option<Uuid>>) -> Caller {
    match clients.next() {
        None => Caller::Nobody,
        Some(first) => match (first, clients.all(|next| next == first)) {
            (Some(session), true) => Caller::Session(session),
            (None, true) => Caller::Stateless,
            (_, false) => Caller::Several,
        },
    }
}

impl Turns {
    /// Calls that were given up and may still run.
    pub(super) fn given_up(&self) -> usize {
        self.given_up.len()
    }

    /// Whether nothing waits for time to pass.
    pub(super) fn idle(&self) -> bool {
        self.held.is_empty() && !self.roots.changed
    }

    /// The server answered a call that was given up.
    pub(super) fn ended(&mut self, number: u32) {
        self.given_up.remove(&number);
    }

    /// The tools have changed, so nothing is known of them.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    fn learn(&mut self, tool: Tool, asks: bool) {
        if self.known.len() < MOST_KNOWN || self.known.contains_key(&tool) {
            self.known.insert(tool, asks);
        }
    }

    /// The server ended. Returns the calls that waited for their turn.
    pub(super) fn reset(&mut self) -> VecDeque<(Instant, Box<Post>)> {
        std::mem::take(self).held
    }
}

impl Hub {
    /// Sends a call to the server when its turn comes.
    pub(super) fn forward(&mut self, now: Instant, post: Post) {
        if self.turns.held.is_empty() && self.may_go(now, &post) || Tool::of(&post).is_none() {
            self.go(now, post);
        } else if let Some(post) = self.if_room(Box::new(post)) {
            let patience = self.alone_for(&post).unwrap_or(HELD);
            self.turns.held.push_back((now + patience, post));
            self.take_turns(now);
        }
    }

    fn go(&mut self, now: Instant, post: Post) {
        let turn = Tool::of(&post).map(|tool| Turn {
            tool,
            alone_until: self
                .alone_for(&post)
                .filter(|_| self.may_go(now, &post))
                .map(|time| now + time),
            asked: false,
        });
        self.send(now, post, turn);
    }

    /// Lets calls go whose turn it is, or that have waited long enough.
    pub(super) fn take_turns(&mut self, now: Instant) {
        while let Some(at) = self.next_turn(now)
            && let Some((_, post)) = self.turns.held.remove(at)
        {
            // Without a session, a client cancels by leaving.
            if !(post.stateless && post.reply.abandoned()) {
                self.go(now, *post);
            }
        }
        self.tell_roots();
    }

    /// Which of the calls that wait is next, if one can go. Only those pass others that these do not wait for.
    fn next_turn(&self, now: Instant) -> Option<usize> {
        let held = &self.turns.held;
        let overdue = held.iter().position(|(until, _)| *until <= now);
        overdue.or_else(|| {
            let mut obstacles = held.iter().map(|(_, post)| self.obstacle(now, post));
            let next = obstacles.position(|found| found != Some(Obstacle::Thinking))?;
            self.may_go(now, &held.get(next)?.1).then_some(next)
        })
    }

    pub(super) fn sweep_turns(&mut self, now: Instant) {
        self.turns.given_up.retain(|_, (_, until)| *until > now);
        self.take_turns(now);
    }

    /// How long a call keeps others waiting, if it does: it may ask, and its client can be asked.
    fn alone_for(&self, post: &Post) -> Option<Duration> {
        let tool = Tool::of(post)?;
        let session = post.session.filter(|_| !post.stateless)?;
        if !self.sessions.get(&session)?.capabilities.answers() {
            return None;
        }
        match self.turns.known.get(&tool) {
            Some(true) => Some(HELD),
            Some(false) => None,
            None => Some(UNKNOWN),
        }
    }

    /// Whether a call can go without making it unclear whose the next question is.
    fn may_go(&self, now: Instant, post: &Post) -> bool {
        self.obstacle(now, post).is_none()
    }

    fn obstacle(&self, now: Instant, post: &Post) -> Option<Obstacle> {
        Tool::of(post)?;
        let session = post.session.filter(|_| !post.stateless);
        let needs_alone = self.alone_for(post).is_some();
        let others = self
            .may_ask()
            .filter(|(_, s, _)| s.is_none() || *s != session);
        let obstacles = others.filter_map(|(number, session, turn)| {
            let thinks = self.waits_for_its_client(now, number, session);
            let alone = turn.alone_until.is_some_and(|until| until > now);
            match (needs_alone, thinks) {
                (true, true) => Some(Obstacle::Thinking),
                (true, false) => Some(Obstacle::Calls),
                (false, false) if alone => Some(Obstacle::Calls),
                (false, _) => None,
            }
        });
        obstacles.max()
    }

    /// Calls under way that may ask, and whose they are.
    fn may_ask(&self) -> impl Iterator<Item = (u32, Option<Uuid>, &Turn)> {
        self.calls
            .iter()
            .filter_map(|(number, call)| match (&call.owner, &call.turn) {
                (Owner::Client { session, .. }, Some(turn)) => Some((*number, *session, turn)),
                _ => None,
            })
    }

    /// See the module: whether a call keeps no others waiting, because it waits for an answer itself.
    fn waits_for_its_client(&self, now: Instant, number: u32, session: Option<Uuid>) -> bool {
        let mut open = self.asked.values().filter(|a| Some(a.session) == session);
        let (Some(question), None) = (open.next(), open.next()) else {
            return false;
        };
        question.call == Some(number) && now >= question.since + SETTLED
    }

    /// Whose calls may have caused a request of the server.
    fn caller(&self, method: &str) -> Caller {
        // Roots are the server's own concern and not one call's, so a call that was given up hides nobody's.
        let asks_of_calls = method != ROOTS;
        let given_up = self.turns.given_up.values();
        let given_up = given_up
            .filter(|_| asks_of_calls)
            .map(|(session, _)| *session);
        only(
            self.may_ask()
                .map(|(_, session, _)| session)
                .chain(given_up),
        )
    }

    /// The session that a question is for, and the call that caused it if that is known; else the code and the reason for
    /// declining it.
    pub(super) fn meant(
        &mut self,
        method: &str,
        mode: Option<&str>,
    ) -> Result<(Uuid, Option<u32>), (i32, &'static str)> {
        let caller = self.caller(method);
        self.note_question();
        let meant = match caller {
            Caller::Session(id) => self.takes(id, method, mode).map(|()| id),
            Caller::Stateless => Err((
                code::METHOD_NOT_FOUND,
                "the client whose call is under way speaks a revision without requests of the server",
            )),
            Caller::Several => Err((
                code::UNAVAILABLE,
                "calls of several clients are under way or were given up lately, and the request does not say whose it belongs to; call again when fewer are",
            )),
            Caller::Nobody if method == ROOTS => self.only_with_roots(),
            Caller::Nobody => Err((
                code::UNAVAILABLE,
                "no client's call is under way, so nobody can be asked",
            )),
        };
        if method == ROOTS {
            self.turns.roots.wanted = true;
            self.turns.roots.unclear =
                caller == Caller::Nobody && meant.is_err_and(|(code, _)| code == code::UNAVAILABLE);
            // Those who offer roots are asked when nobody else can be meant.
            self.turns.roots.changed |=
                meant.is_err() && caller != Caller::Nobody && self.only_with_roots().is_ok();
        }
        let session = meant?;
        let mut calls = self.may_ask().filter(|(_, s, _)| *s == Some(session));
        let call = match (calls.next(), calls.next()) {
            (Some((number, ..)), None) => Some(number),
            _ => None,
        };
        Ok((session, call))
    }

    fn takes(&self, id: Uuid, method: &str, mode: Option<&str>) -> Result<(), (i32, &'static str)> {
        let waits = self.may_ask().any(|(_, session, _)| session == Some(id));
        match self.sessions.get(&id).filter(|_| waits) {
            Some(session) => session.capabilities.take(method, mode),
            None => Err((code::UNAVAILABLE, "the caller no longer waits")),
        }
    }

    /// The only session that offers roots, among those that listen if any does: clients leave sessions behind.
    fn only_with_roots(&self) -> Result<Uuid, (i32, &'static str)> {
        let offering = self.sessions.iter().filter(|(_, s)| s.capabilities.roots);
        let listening = offering.clone().filter(|(_, s)| s.listens());
        let one = |mut found: Vec<_>| (found.pop(), found.pop());
        let found = match one(listening.collect()) {
            (None, _) => one(offering.collect()),
            found => found,
        };
        match found {
            (Some((id, _)), None) => Ok(*id),
            (None, _) => Err((code::METHOD_NOT_FOUND, "no connected client offers roots")),
            (Some(_), Some(_)) => Err((
                code::UNAVAILABLE,
                "several clients offer roots, and the request does not say whose are meant",
            )),
        }
    }

    /// The tools of calls that may have caused a question ask.
    fn note_question(&mut self) {
        let suspects: Vec<u32> = self.may_ask().map(|(number, ..)| number).collect();
        for number in suspects {
            if let Some(turn) = self.turn(number) {
                turn.asked = true;
                let tool = turn.tool;
                self.turns.learn(tool, true);
            }
        }
    }

    fn turn(&mut self, number: u32) -> Option<&mut Turn> {
        self.calls.get_mut(&number)?.turn.as_mut()
    }

    /// A question was answered or withdrawn: its call goes on, and may ask again.
    pub(super) fn question_ends(&mut self, now: Instant, number: u32) -> Option<Asked> {
        let asked = self.asked.remove(&number)?;
        if let Some(turn) = asked.call.and_then(|call| self.turn(call)) {
            turn.alone_until = Some(now + HELD);
        }
        Some(asked)
    }

    /// A call was answered; one that asked nothing shows that its tool is quiet.
    pub(super) fn turn_ends(&mut self, call: &Call, failed: bool) {
        if let Some(turn) = &call.turn
            && !turn.asked
            && !failed
        {
            self.turns.learn(turn.tool, false);
        }
    }

    /// A caller no longer waits. The server may go on.
    pub(super) fn give_up(&mut self, now: Instant, number: u32, call: &Call) {
        if let (Owner::Client { session, .. }, Some(_)) = (&call.owner, &call.turn) {
            let until = now + GIVEN_UP;
            self.turns.given_up.insert(number, (*session, until));
        }
    }

    /// Who may see a log line.
    pub(super) fn logs_for(&self) -> LogsFor {
        let calls = self.calls.iter().filter_map(|(number, call)| {
            let Owner::Client { session, .. } = &call.owner else {
                return None;
            };
            (&*call.method != "subscriptions/listen").then_some((*number, *session))
        });
        let given_up = self.turns.given_up.iter().map(|(n, (s, _))| (*n, *s));
        let mut all = calls.chain(given_up);
        match (only(all.clone().map(|(_, session)| session)), all.next()) {
            (Caller::Nobody, _) => LogsFor::All,
            (Caller::Session(id), _) => LogsFor::Session(id),
            (Caller::Stateless, Some((number, _))) if all.next().is_none() => LogsFor::Call(number),
            (Caller::Stateless | Caller::Several, _) => LogsFor::Nobody,
        }
    }

    /// The roots of a session began, changed or ended.
    pub(super) fn roots_changed(&mut self) {
        self.turns.roots.changed = self.turns.roots.wanted;
        self.tell_roots();
    }

    /// A session that offers roots listens, which may tell it from those that are left behind.
    pub(super) fn roots_listen(&mut self) {
        if self.turns.roots.unclear {
            self.roots_changed();
        }
    }

    /// Tells the server of changed roots, once no call hides whose roots it asks for then.
    fn tell_roots(&mut self) {
        let roots = &self.turns.roots;
        if !roots.changed || !matches!(self.link, Link::Ready) {
            return;
        }
        let unclear = match self.caller(ROOTS) {
            Caller::Nobody => false,
            Caller::Session(id) => self.only_with_roots() != Ok(id),
            Caller::Stateless | Caller::Several => true,
        };
        if !unclear {
            self.turns.roots.changed = false;
            self.send_message(r#"{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}"#);
        }
    }
}
