//! Sessions of clients of the older era. They outlive the server's process.

use std::collections::{HashSet, VecDeque};
use std::time::Instant;

use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use super::{Hub, Link, Owner, unknown_session};
use crate::mailbox::{Answer, Sender};
use crate::rpc::{Fields, Message, code, error};

/// Messages kept for a client that does not listen just now.
const BACKLOG: usize = 64;
/// Log levels, least important first.
const LEVELS: [&str; 8] = [
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
];

/// What a client offers to the server.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is something a client has said or not"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) sampling: bool,
    /// Elicitation by a form, and by a page of the server.
    pub(super) forms: bool,
    pub(super) pages: bool,
    pub(super) roots: bool,
}

impl Capabilities {
    pub(super) fn read(message: &Message, fields: &Fields) -> Self {
        let declared: Value = fields
            .capabilities
            .as_ref()
            .and_then(|span| serde_json::from_str(message.raw(span)).ok())
            .unwrap_or_default();
        let has = |name: &str| declared.get(name).is_some_and(|c| !c.is_null());
        let elicits = |mode: &str| declared["elicitation"].get(mode).is_some();
        Self {
            sampling: has("sampling"),
            // Without a mode, forms are meant.
            forms: has("elicitation") && (elicits("form") || !elicits("url")),
            pages: has("elicitation") && elicits("url"),
            roots: has("roots"),
        }
    }

    /// Whether the client can be asked what a person or a model answers.
    pub(super) const fn answers(self) -> bool {
        self.sampling || self.forms || self.pages
    }

    /// Refuses a request that the client has not said it takes, with the code that the protocol has for it.
    pub(super) fn take(self, method: &str, mode: Option<&str>) -> Result<(), (i32, &'static str)> {
        let missing = match (method, mode) {
            ("sampling/createMessage", _) if !self.sampling => "sampling",
            ("elicitation/create", _) if !self.forms && !self.pages => "elicitation",
            ("elicitation/create", Some("url")) if !self.pages => {
                let text = "the client whose call is under way does not take elicitation by url";
                return Err((code::INVALID_PARAMS, text));
            }
            ("elicitation/create", None | Some("form")) if !self.forms => {
                let text = "the client whose call is under way does not take elicitation by form";
                return Err((code::INVALID_PARAMS, text));
            }
            ("roots/list", _) if !self.roots => "roots",
            _ => return Ok(()),
        };
        let text = match missing {
            "sampling" => "the client whose call is under way does not offer sampling",
            "elicitation" => "the client whose call is under way does not offer elicitation",
            _ => "the client whose call is under way does not offer roots",
        };
        Err((code::METHOD_NOT_FOUND, text))
    }
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) used: Instant,
    pub(super) capabilities: Capabilities,
    /// The revision it speaks.
    pub(super) version: String,
    pub(super) level: Option<usize>,
    pub(super) subscriptions: HashSet<String>,
    listener: Option<Sender>,
    backlog: VecDeque<Bytes>,
}

impl Session {
    pub(super) fn new(now: Instant, capabilities: Capabilities, version: String) -> Self {
        Self {
            used: now,
            capabilities,
            version,
            level: None,
            subscriptions: HashSet::new(),
            listener: None,
            backlog: VecDeque::new(),
        }
    }

    pub(super) fn listens(&self) -> bool {
        self.listener.as_ref().is_some_and(|l| !l.abandoned())
    }

    /// Sends it now, or when the client listens again. Returns whether it can still arrive.
    pub(super) fn push(&mut self, message: Bytes) -> bool {
        if self.listens() {
            // A client that does not read loses what exceeds its bound. Waiting for it would hold up all others.
            return self.listener.as_ref().is_some_and(|l| l.push(message));
        }
        self.listener = None;
        if self.backlog.len() == BACKLOG || message.len() > 64 * 1024 {
            return false;
        }
        self.backlog.push_back(message);
        true
    }
}

pub(super) fn level_number(name: &str) -> Option<usize> {
    LEVELS.iter().position(|level| *level == name)
}

impl Hub {
    pub(super) fn listen(&mut self, now: Instant, id: Uuid, reply: Sender) {
        let Some(session) = self.sessions.get_mut(&id) else {
            reply.answer(unknown_session("null"));
            return;
        };
        session.used = now;
        for message in std::mem::take(&mut session.backlog) {
            reply.push(message);
        }
        // One stream per session: an older one ends.
        session.listener = Some(reply);
        if session.capabilities.roots {
            self.roots_listen();
        }
    }

    /// Ends a session and what belongs to it; whether there was one.
    pub(super) fn end_session(&mut self, now: Instant, id: Uuid) -> bool {
        let Some(session) = self.sessions.remove(&id) else {
            return false;
        };
        let calls: Vec<_> = self
            .calls
            .iter()
            .filter(|(_, call)| {
                matches!(&call.owner, Owner::Client { session: Some(s), .. } if *s == id)
            })
            .map(|(number, _)| *number)
            .collect();
        for number in calls {
            self.send_message(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{number},"reason":"the session ended"}}}}"#
            ));
            let Some(call) = self.calls.remove(&number) else {
                continue;
            };
            self.give_up(now, number, &call);
            if let Owner::Client { id, reply, .. } = call.owner {
                let id = super::as_text(&id);
                reply.answer(Answer::ok(error(
                    &id,
                    code::TIMED_OUT,
                    "the session ended",
                    None,
                )));
            }
        }
        self.waiting.retain(|(_, post)| post.session != Some(id));
        self.turns.held.retain(|(_, post)| post.session != Some(id));
        for uri in session.subscriptions {
            let wanted = self
                .sessions
                .values()
                .any(|s| s.subscriptions.contains(&uri));
            // Another process knows only of what is replayed to it.
            if !wanted && matches!(self.link, Link::Ready) && self.has_room(uri.len()) {
                let params = serde_json::json!({ "uri": uri }).to_string();
                self.tell("resources/unsubscribe", &params);
            }
        }
        if session.capabilities.roots {
            self.roots_changed();
        }
        true
    }

    /// Sessions with a call that is under way, or waits to be.
    fn in_use(&self) -> HashSet<Uuid> {
        let calls = self.calls.values().filter_map(|call| match &call.owner {
            Owner::Client { session, .. } => *session,
            _ => None,
        });
        let waiting = self.waiting.iter().chain(&self.turns.held);
        calls
            .chain(waiting.filter_map(|(_, post)| post.session))
            .collect()
    }

    /// Makes room for one more session.
    pub(super) fn make_room(&mut self, now: Instant) {
        if self.sessions.len() < self.limits.sessions {
            return;
        }
        let in_use = self.in_use();
        let oldest = self
            .sessions
            .iter()
            .min_by_key(|(id, session)| (in_use.contains(*id), session.listens(), session.used))
            .map(|(id, _)| *id);
        if let Some(id) = oldest {
            self.end_session(now, id);
        }
    }

    pub(super) fn sweep_sessions(&mut self, now: Instant) {
        let idle = self.limits.session_idle;
        let in_use = self.in_use();
        let over: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, s)| !s.listens() && now.saturating_duration_since(s.used) > idle)
            .map(|(id, _)| *id)
            .filter(|id| !in_use.contains(id))
            .collect();
        for id in over {
            self.end_session(now, id);
        }
    }

    /// The lowest level that any session wants.
    pub(super) fn level(&self) -> Option<&'static str> {
        let lowest = self.sessions.values().filter_map(|s| s.level).min()?;
        LEVELS.get(lowest).copied()
    }

    /// Restores the level and the subscriptions of the sessions in a new process.
    pub(super) fn replay(&mut self) {
        if let Some(level) = self.level() {
            let params = serde_json::json!({ "level": level }).to_string();
            self.tell("logging/setLevel", &params);
        }
        let uris: HashSet<_> = self
            .sessions
            .values()
            .flat_map(|s| s.subscriptions.iter().cloned())
            .collect();
        for uri in uris {
            let params = serde_json::json!({ "uri": uri }).to_string();
            self.tell("resources/subscribe", &params);
        }
    }
}
