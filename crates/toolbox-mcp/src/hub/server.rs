//! From the server to clients.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use uuid::Uuid;

use super::sessions::{Session, level_number};
use super::turns::LogsFor;
use super::{Asked, Call, Hub, Link, Owner};
use crate::lines::Line;
use crate::mailbox::Answer;
use crate::rpc::{self, Kind, Malformed, Message, code};
use crate::wire::checks::short;

/// How long a client may take to answer the server. It may ask a person.
const ASKED: Duration = Duration::from_mins(10);
/// Requests of the server under way at once.
const MAX_ASKED: usize = 64;

impl Hub {
    /// A line of the server's output.
    pub fn line(&mut self, now: Instant, line: Line) {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::Cut(cut) => {
                self.cut(now, &cut);
                return;
            }
        };
        match Message::parse(bytes.clone()) {
            Ok(message) => self.take(now, &message),
            // Some runtimes write one at the start of their output.
            Err(Malformed::ByteOrderMark) => self.part(now, &rpc::without_mark(&bytes)),
            Err(Malformed::Batch) => match rpc::batch(&bytes) {
                Ok(parts) => {
                    for part in parts {
                        self.part(now, &part);
                    }
                }
                Err(_) => self.not_a_message(&bytes),
            },
            Err(_) => self.not_a_message(&bytes),
        }
    }

    /// A message within a line.
    fn part(&mut self, now: Instant, bytes: &Bytes) {
        match Message::parse(bytes.clone()) {
            Ok(message) => self.take(now, &message),
            Err(_) => self.not_a_message(bytes),
        }
    }

    fn take(&mut self, now: Instant, message: &Message) {
        self.process.spoke = true;
        match message.kind {
            Kind::Response => self.answered(now, message),
            Kind::Notification => self.notified(now, message),
            Kind::Request => self.asks(now, message),
        }
    }

    fn not_a_message(&mut self, bytes: &Bytes) {
        let start = bytes.get(..bytes.len().min(80)).unwrap_or_default();
        self.garbage(bytes.len(), &String::from_utf8_lossy(start));
    }

    pub(super) fn garbage(&mut self, length: usize, sample: &str) {
        self.discarded += length + 64;
        let garbage = &mut self.process.garbage;
        garbage.lines += 1;
        if garbage.lines == 1 {
            garbage.sample = self.redactor.clean(sample);
        }
    }

    /// Clauses on output that is no message, or answers nothing, if there was any.
    pub(super) fn garbage_words(&self) -> String {
        let garbage = &self.process.garbage;
        let lines = match garbage.lines {
            0 => String::new(),
            1 => format!("; it wrote a line that is no message: {}", garbage.sample),
            n => format!(
                "; it wrote {n} lines that are no messages, the first: {}",
                garbage.sample
            ),
        };
        let id = &garbage.unmatched_id;
        match garbage.unmatched {
            0 => lines,
            1 => format!("{lines}; it answered a request that nobody made, with the id {id}"),
            n => {
                format!(
                    "{lines}; it answered {n} requests that nobody made, the first with the id {id}"
                )
            }
        }
    }

    /// An answer that matches no request: its caller waits in vain.
    fn unmatched(&mut self, message: &Message) {
        self.discarded += message.bytes().len();
        let garbage = &mut self.process.garbage;
        garbage.unmatched += 1;
        if garbage.unmatched == 1 {
            let id = message.id.as_ref().map_or("null", |id| message.raw(id));
            garbage.unmatched_id = self.redactor.clean(short(id));
        }
    }

    pub(super) fn answered(&mut self, now: Instant, message: &Message) {
        self.process.answered = Some(now);
        let number = message.number(message.id.as_ref());
        let Some(number) = number.filter(|n| self.ids.was_given(*n)) else {
            self.unmatched(message);
            return;
        };
        let Some(call) = self.calls.remove(&number) else {
            // Its caller no longer waits. The late answer still shows that the server works.
            self.turns.ended(number);
            self.probe.answered_late(now);
            self.discarded += message.bytes().len();
            return;
        };
        match call.owner {
            Owner::Client { .. } => self.deliver(now, message, call),
            Owner::Discover => self.discover_answered(now, message),
            Owner::Initialize => self.initialize_answered(now, message),
            Owner::Probe => self.probe_answered(now, number, message),
        }
    }

    fn deliver(&mut self, now: Instant, message: &Message, call: Call) {
        self.turn_ends(&call, message.error.is_some());
        let (
            Owner::Client {
                session, id, reply, ..
            },
            Some(span),
        ) = (call.owner, message.id.clone())
        else {
            return;
        };
        if let Some(session) = session.and_then(|s| self.sessions.get_mut(&s)) {
            session.used = now;
        }
        let mut edits = vec![(span, &*id)];
        if &*call.method == "subscriptions/listen"
            && let Some(own) = message
                .result_fields()
                .ok()
                .and_then(|f| f.meta.subscription)
        {
            edits.push((own, &*id));
        }
        let body = message.splice(&mut edits);
        let status = if session.is_none() {
            stateless_status(message)
        } else {
            200
        };
        reply.answer(Answer {
            status,
            ..Answer::ok(body)
        });
        self.take_turns(now);
    }

    fn notified(&mut self, now: Instant, message: &Message) {
        let Ok(fields) = message.fields() else {
            self.garbage(message.bytes().len(), "a notification with odd parameters");
            return;
        };
        // What belongs to a subscription or a call goes there and nowhere else.
        let belongs = match &*message.method {
            "notifications/progress" => fields.progress_token.clone(),
            "notifications/cancelled" => fields.request_id.clone(),
            _ => fields.meta.subscription.clone(),
        };
        match (&*message.method, belongs) {
            ("notifications/cancelled", Some(span)) => self.server_cancels(now, message, span),
            (_, Some(span)) => self.send_to_call(now, message, span),
            ("notifications/message", None) => {
                self.log_message(message, message.text(fields.level.as_ref()).as_deref());
            }
            ("notifications/resources/updated", None) => {
                let uri = message.text(fields.uri.as_ref()).unwrap_or_default();
                for session in self.sessions.values_mut() {
                    if session.subscriptions.contains(&uri) {
                        session.push(message.bytes().clone());
                    }
                }
            }
            (method, None) => {
                if method == "notifications/tools/list_changed" {
                    self.probe.list_changed(now);
                    self.turns.forget();
                }
                self.send_to_all(message.bytes());
            }
        }
    }

    fn send_to_all(&mut self, message: &Bytes) {
        let mut arrives = false;
        for session in self.sessions.values_mut() {
            arrives |= session.push(message.clone());
        }
        if !arrives {
            self.discarded += message.len();
        }
    }

    /// Progress of a call, or news of a subscription.
    fn send_to_call(&mut self, now: Instant, message: &Message, span: rpc::Span) {
        let number = message.number(Some(&span));
        let call = number.and_then(|n| self.calls.get_mut(&n));
        let Some(Call {
            owner: Owner::Client {
                id, token, reply, ..
            },
            begun,
            deadline,
            method,
            ..
        }) = call
        else {
            self.discarded += message.bytes().len();
            return;
        };
        let own = if &*message.method == "notifications/progress" {
            if let Some(deadline) = deadline {
                *deadline = (now + self.limits.call).min(*begun + self.limits.call_in_all);
            }
            token.as_ref()
        } else {
            (&**method == "subscriptions/listen").then_some(&*id)
        };
        let pushed = own.is_some_and(|own| reply.push(message.splice(&mut [(span, own)])));
        if !pushed {
            self.discarded += message.bytes().len();
        }
    }

    /// The server ends a subscription, or no longer wants an answer of a client.
    fn server_cancels(&mut self, now: Instant, message: &Message, span: rpc::Span) {
        let raw = message.raw(&span).as_bytes();
        let asked = self.asked.iter().find(|(_, asked)| asked.id == raw);
        if let Some((number, session)) = asked.map(|(n, asked)| (*n, asked.session)) {
            self.question_ends(now, number);
            let number = number.to_string();
            let spliced = message.splice(&mut [(span, number.as_bytes())]);
            self.send_to_session(session, spliced);
            return;
        }
        let number = message.number(Some(&span));
        let listens = number
            .and_then(|n| self.calls.get(&n))
            .is_some_and(|call| &*call.method == "subscriptions/listen");
        if listens
            && let Some(call) = number.and_then(|n| self.calls.remove(&n))
            && let Owner::Client { id, reply, .. } = call.owner
        {
            reply.push(message.splice(&mut [(span, &*id)]));
            // Dropping the mailbox ends the stream.
        }
    }

    /// A log line names no call. While calls are under way, it goes to the client whose they all are, or to nobody: it may
    /// tell of one client's call what another must not know. Else it goes to the sessions that want its level.
    fn log_message(&mut self, message: &Message, level: Option<&str>) {
        let level = level.and_then(level_number);
        let wants = |session: &Session| session.level.is_none() || session.level <= level;
        let mut arrives = false;
        match self.logs_for() {
            LogsFor::All => {
                for session in self.sessions.values_mut().filter(|s| wants(s)) {
                    arrives |= session.push(message.bytes().clone());
                }
            }
            LogsFor::Session(id) => {
                if self.sessions.get(&id).is_some_and(wants) {
                    arrives = self.send_to_session(id, message.bytes().clone());
                }
            }
            LogsFor::Call(number) => {
                arrives = matches!(self.calls.get(&number),
                    Some(Call { owner: Owner::Client { reply, wants_log: true, .. }, .. })
                    if reply.push(message.bytes().clone()));
            }
            LogsFor::Nobody => {}
        }
        if !arrives {
            self.discarded += message.bytes().len();
        }
    }

    /// The server asks for something.
    fn asks(&mut self, now: Instant, message: &Message) {
        let Some(span) = message.id.clone() else {
            return;
        };
        let id = message.raw(&span).to_owned();
        let method = &*message.method;
        if method == "ping" {
            self.answer_server(&rpc::result(&id, "{}"));
            return;
        }
        let (session, call) = match self.meant(method, mode(message).as_deref()) {
            Ok(_) if id.len() > rpc::MOST_OF_ID => {
                self.decline(&id, code::UNAVAILABLE, "its id is too long to be kept");
                return;
            }
            Ok(meant) if self.asked.len() < MAX_ASKED => meant,
            Ok(_) => {
                self.decline(&id, code::UNAVAILABLE, "too many requests wait for clients");
                return;
            }
            Err((code, why)) => {
                self.decline(&id, code, why);
                return;
            }
        };
        let number = self.fresh_id();
        let text = number.to_string();
        let spliced = message.splice(&mut [(span, text.as_bytes())]);
        if self.send_to_session(session, spliced) {
            let asked = Asked {
                id: Bytes::from(id),
                session,
                call,
                since: now,
            };
            self.asked.insert(number, asked);
        } else {
            self.decline(&id, code::UNAVAILABLE, "the client does not listen");
        }
    }

    /// Sends on the stream of the session's newest call, else where it listens.
    fn send_to_session(&mut self, session: Uuid, message: Bytes) -> bool {
        let call = self
            .calls
            .iter()
            .filter(|(_, call)| {
                matches!(&call.owner, Owner::Client { session: Some(s), reply, .. }
                    if *s == session && !reply.abandoned())
            })
            .max_by_key(|(number, _)| **number);
        if let Some((
            _,
            Call {
                owner: Owner::Client { reply, .. },
                ..
            },
        )) = call
            && reply.push(message.clone())
        {
            return true;
        }
        self.sessions
            .get_mut(&session)
            .is_some_and(|session| session.push(message))
    }

    fn decline(&mut self, id: &str, number: i32, why: &str) {
        self.answer_server(&rpc::error(id, number, why, None));
    }

    pub(super) fn sweep_asked(&mut self, now: Instant) {
        let over: Vec<_> = self
            .asked
            .iter()
            .filter(|(_, asked)| {
                now >= asked.since + ASKED || !self.sessions.contains_key(&asked.session)
            })
            .map(|(number, _)| *number)
            .collect();
        for number in over {
            if let Some(asked) = self.question_ends(now, number)
                && matches!(self.link, Link::Ready)
            {
                self.decline(
                    &super::as_text(&asked.id),
                    code::TIMED_OUT,
                    "the client did not answer",
                );
            }
        }
    }
}

/// How an elicitation is to be answered.
fn mode(message: &Message) -> Option<String> {
    #[derive(Deserialize)]
    struct Mode {
        mode: Option<String>,
    }
    let params = message.params.as_ref()?;
    let read: Mode = serde_json::from_str(message.raw(params)).ok()?;
    read.mode
}

/// HTTP status of a stateless answer. Some errors have one of their own.
fn stateless_status(message: &Message) -> u16 {
    #[derive(Deserialize)]
    struct Coded {
        code: i64,
    }
    let Some(error) = &message.error else {
        return 200;
    };
    let coded: Option<Coded> = serde_json::from_str(message.raw(error)).ok();
    match coded.map(|c| c.code) {
        Some(c) if c == i64::from(code::METHOD_NOT_FOUND) => 404,
        Some(c)
            if c == i64::from(code::INVALID_PARAMS) && message.raw(error).contains("_meta")
                || super::greeting::is_stateless_error(c) =>
        {
            400
        }
        _ => 200,
    }
}
