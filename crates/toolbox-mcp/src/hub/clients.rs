//! From clients to the server.

use std::time::Instant;

use uuid::Uuid;

use super::greeting::{BATCHES, Legacy, supported, version_for};
use super::sessions::{Capabilities, Session, level_number};
use super::turns::Turn;
use super::{
    CRASH_LOOP, Call, Hub, Link, Owner, Post, SHORT_PAUSE, refuse, refuse_with, unknown_session,
};
use crate::mailbox::{self, Answer};
use crate::rpc::{self, Kind, Malformed, Span, code};

impl Hub {
    pub(super) fn post(&mut self, now: Instant, post: Box<Post>) {
        match post.message.kind {
            // The supported revisions are known only once the server is ready.
            _ if post.unsupported.is_some() => self.request(now, post),
            Kind::Request => self.request(now, post),
            Kind::Notification => self.notification(now, *post),
            Kind::Response => self.response(now, *post),
        }
    }

    /// Takes several messages of a session, if its revision has batches.
    pub(super) fn batch(
        &mut self,
        now: Instant,
        session: Uuid,
        posts: Vec<Post>,
        reply: mailbox::Sender,
    ) {
        let answer = match self.sessions.get(&session) {
            None => unknown_session("null"),
            Some(session) if session.version != BATCHES => {
                let refused = Malformed::Batch;
                let body = rpc::error("null", refused.code(), &refused.to_string(), None);
                Answer::refused(400, body)
            }
            Some(_) => {
                for post in posts {
                    self.post(now, Box::new(post));
                }
                Answer::accepted()
            }
        };
        reply.answer(answer);
    }

    /// The session of a post that needs one; answers the post when there is none.
    fn in_session(&mut self, now: Instant, post: Box<Post>) -> Option<Box<Post>> {
        let Some(id) = post.session else {
            let text =
                "Bad Request: begin with initialize, then name the session in Mcp-Session-Id";
            refuse(*post, 400, code::BAD_SESSION, text);
            return None;
        };
        let Some(session) = self.sessions.get_mut(&id) else {
            let request = post
                .message
                .id
                .as_ref()
                .map_or("null", |id| post.message.raw(id));
            let answer = unknown_session(request);
            post.reply.answer(answer);
            return None;
        };
        session.used = now;
        Some(post)
    }

    fn request(&mut self, now: Instant, post: Box<Post>) {
        let opens = !post.stateless && &*post.message.method == "initialize";
        let post = if post.stateless || opens {
            post
        } else {
            let Some(post) = self.in_session(now, post) else {
                return;
            };
            post
        };
        if matches!(self.link, Link::Ready) && post.stateless && self.finding_era(now) {
            self.park(now, post);
            return;
        }
        match &self.link {
            Link::Ready if post.unsupported.is_some() => self.unsupported(*post),
            Link::Ready if post.stateless => self.stateless(now, *post),
            Link::Ready if opens => self.open_session(now, post),
            Link::Ready => self.in_era(now, *post),
            Link::Down { why, retry_at }
                if self.crashes_in_a_row >= CRASH_LOOP
                    || retry_at.saturating_duration_since(now) > SHORT_PAUSE =>
            {
                let text = why.clone();
                refuse(*post, 503, code::UNAVAILABLE, &text);
            }
            // A server in a crash loop is not waited for.
            Link::Opening | Link::Greeting { .. } if self.crashes_in_a_row >= CRASH_LOOP => {
                let text = self.why_down();
                refuse(*post, 503, code::UNAVAILABLE, &text);
            }
            _ => self.park(now, post),
        }
    }

    fn why_down(&self) -> String {
        if self.last_reason.is_empty() {
            self.not_ready()
        } else {
            self.last_reason.clone()
        }
    }

    /// Keeps a post until the server is ready.
    fn park(&mut self, now: Instant, post: Box<Post>) {
        if let Some(post) = self.if_room(post) {
            self.waiting.push_back((now + self.limits.ready, post));
        }
    }

    /// The post, if one more may wait; else it is refused.
    pub(super) fn if_room(&self, post: Box<Post>) -> Option<Box<Post>> {
        let waiting = self.waiting.iter().chain(&self.turns.held);
        let sizes = waiting.clone().map(|(_, p)| p.message.bytes().len());
        let bytes = sizes.sum::<usize>() + post.message.bytes().len();
        if waiting.count() >= self.limits.calls || bytes > self.limits.queued_bytes {
            let text = if matches!(self.link, Link::Ready) {
                "too many calls wait for those of other clients".to_owned()
            } else {
                format!("too many calls wait for the server: {}", self.not_ready())
            };
            refuse(*post, 503, code::UNAVAILABLE, &text);
            return None;
        }
        Some(post)
    }

    /// The server is ready: sends the posts that waited.
    pub(super) fn unpark(&mut self, now: Instant) {
        for (_, post) in std::mem::take(&mut self.waiting) {
            self.request(now, post);
        }
    }

    fn unsupported(&self, post: Post) {
        let data = serde_json::json!({
            "supported": supported(self.discovered.as_ref(), &self.legacy),
            "requested": post.unsupported,
        });
        let text = "Unsupported protocol version";
        refuse_with(post, 400, code::UNSUPPORTED_VERSION, text, Some(data));
    }

    fn stateless(&mut self, now: Instant, post: Post) {
        if self.discovered.is_some() {
            match self.mirrored(&post) {
                Ok(()) => self.forward(now, post),
                Err(text) => refuse(post, 400, code::HEADER_MISMATCH, &text),
            }
            return;
        }
        let version = match &self.legacy {
            Legacy::Spoken(handshake) => handshake.version.as_str(),
            _ => "an older revision",
        };
        // Not one of the codes by which clients recognise a stateless server.
        let text = format!("Bad Request: this server speaks {version}; begin with initialize");
        refuse(post, 400, code::BAD_SESSION, &text);
    }

    /// Whether the headers of a tool's parameters agree with its body.
    fn mirrored(&self, post: &Post) -> Result<(), String> {
        if &*post.message.method != "tools/call" {
            return Ok(());
        }
        let tool = post.message.text(post.fields.name.as_ref());
        let Some(tool) = tool.filter(|tool| self.mirrors.any(tool)) else {
            return Ok(());
        };
        let arguments = post.fields.arguments.as_ref();
        let arguments =
            arguments.and_then(|span| serde_json::from_str(post.message.raw(span)).ok());
        let arguments = arguments.unwrap_or_default();
        self.mirrors.check(&tool, &arguments, &post.parameters)
    }

    fn in_era(&mut self, now: Instant, post: Post) {
        match &*post.message.method {
            "logging/setLevel" => self.set_level(now, post),
            "resources/subscribe" | "resources/unsubscribe" => self.subscribe(now, post),
            "tools/list" => {
                if let Some(list) = self.known_list(&post) {
                    let id = post.message.id.as_ref();
                    let body = rpc::result(id.map_or("null", |id| post.message.raw(id)), list);
                    post.reply.answer(Answer::ok(body));
                } else {
                    self.forward(now, post);
                }
            }
            _ => self.forward(now, post),
        }
    }

    fn open_session(&mut self, now: Instant, post: Box<Post>) {
        match &self.legacy {
            Legacy::Spoken(handshake) => {
                let wanted = post.message.text(post.fields.protocol_version.as_ref());
                let version = version_for(wanted.as_deref(), &handshake.version);
                let result = handshake.result_at(&version);
                let capabilities = Capabilities::read(&post.message, &post.fields);
                self.make_room(now);
                self.sessions
                    .insert(post.fresh, Session::new(now, capabilities, version));
                let id = post
                    .message
                    .id
                    .as_ref()
                    .map_or("null", |id| post.message.raw(id));
                let body = rpc::result(id, &result);
                let answer = Answer {
                    session: Some(post.fresh),
                    ..Answer::ok(body)
                };
                post.reply.answer(answer);
            }
            Legacy::Refused(why) => {
                let text = format!(
                    "this server speaks only the stateless revision {}: {why}",
                    super::greeting::STATELESS
                );
                refuse(*post, 400, code::UNSUPPORTED_VERSION, &text);
            }
            Legacy::Unknown => {
                self.greet_legacy(now);
                self.park(now, post);
            }
            Legacy::Asked => self.park(now, post),
        }
    }

    /// Sends the call to the server under an id of the bridge.
    pub(super) fn send(&mut self, now: Instant, post: Post, turn: Option<Turn>) {
        let Some(id_span) = post.message.id.clone() else {
            return;
        };
        // A call that its caller gave up still occupies the server.
        let under_way = self.calls.len() + self.turns.given_up();
        if under_way >= self.limits.calls {
            let text = format!("{under_way} calls are under way, and no more are taken");
            refuse(post, 503, code::UNAVAILABLE, &text);
            return;
        }
        if !self.has_room(post.message.bytes().len()) {
            let text = self.unread();
            refuse(post, 503, code::UNAVAILABLE, &text);
            return;
        }
        let id = self.fresh_id();
        let number = id.to_string();
        let mut edits: Vec<(Span, &[u8])> = vec![(id_span.clone(), number.as_bytes())];
        edits.extend(
            post.fields
                .meta
                .progress_token
                .clone()
                .map(|token| (token, number.as_bytes())),
        );
        rpc::put_line(&mut self.out, |out| {
            post.message.splice_into(&mut edits, out);
        });
        let listens = &*post.message.method == "subscriptions/listen";
        let owner = Owner::Client {
            session: post.session.filter(|_| !post.stateless),
            id: post.message.keep(&id_span),
            token: post
                .fields
                .meta
                .progress_token
                .as_ref()
                .map(|t| post.message.keep(t)),
            wants_log: post.stateless && post.fields.meta.log_level.is_some(),
            reply: post.reply,
        };
        self.calls.insert(
            id,
            Call {
                owner,
                method: post.message.method,
                begun: now,
                deadline: (!listens).then(|| now + self.limits.call),
                turn,
            },
        );
    }

    fn unread(&self) -> String {
        let bytes = self.out.len();
        format!("the server does not read its input; {bytes} bytes wait for it")
    }

    fn notification(&mut self, now: Instant, post: Post) {
        let post = if post.stateless {
            post
        } else {
            let Some(post) = self.in_session(now, Box::new(post)) else {
                return;
            };
            *post
        };
        match &*post.message.method {
            // The bridge has sent it to the server itself.
            "notifications/initialized" if post.stateless => {}
            "notifications/initialized" | "notifications/roots/list_changed" => {
                let session = post.session.and_then(|id| self.sessions.get(&id));
                if session.is_some_and(|session| session.capabilities.roots) {
                    self.roots_changed();
                }
            }
            "notifications/cancelled" => self.cancel(now, &post),
            _ if matches!(self.link, Link::Ready) && self.has_room(post.message.bytes().len()) => {
                rpc::put_line(&mut self.out, |out| {
                    out.extend_from_slice(post.message.bytes());
                });
            }
            _ => {}
        }
        post.reply.answer(Answer::accepted());
    }

    /// Passes a cancellation on, for a call of the same session only.
    fn cancel(&mut self, now: Instant, post: &Post) {
        let Some(wanted) = &post.fields.request_id else {
            return;
        };
        let raw = post.message.raw(wanted).as_bytes();
        let found = self.calls.iter_mut().find(|(_, call)| {
            matches!(&call.owner, Owner::Client { session, id, .. }
                if session.is_some() && *session == post.session && id == raw)
        });
        if let Some((id, call)) = found {
            let number = id.to_string();
            // The server may still answer, and the caller may still wait; both only for a short time.
            call.deadline = Some(now + super::SWEEP * 8);
            // Without room, the server hears of it at that deadline.
            if self.has_room(post.message.bytes().len()) {
                let mut edits = [(wanted.clone(), number.as_bytes())];
                rpc::put_line(&mut self.out, |out| {
                    post.message.splice_into(&mut edits, out);
                });
            }
        } else if post.session.is_some() {
            let stays = |(_, waiting): &(Instant, Box<Post>)| {
                waiting.session != post.session
                    || waiting
                        .message
                        .id
                        .as_ref()
                        .map(|id| waiting.message.raw(id).as_bytes())
                        != Some(raw)
            };
            self.waiting.retain(stays);
            self.turns.held.retain(stays);
        }
    }

    /// A client's answer to a request of the server.
    fn response(&mut self, now: Instant, post: Post) {
        let Some(post) = self.in_session(now, Box::new(post)) else {
            return;
        };
        let number = post.message.number(post.message.id.as_ref());
        let asked = number
            .and_then(|n| self.asked.get(&n).map(|asked| (n, asked)))
            .filter(|(_, asked)| Some(asked.session) == post.session);
        if let Some((n, asked)) = asked
            && let Some(span) = post.message.id.clone()
        {
            if !self.has_room(post.message.bytes().len()) {
                let body = rpc::error("null", code::UNAVAILABLE, &self.unread(), None);
                post.reply.answer(Answer::refused(503, body));
                return;
            }
            let mut edits = [(span, &*asked.id)];
            rpc::put_line(&mut self.out, |out| {
                post.message.splice_into(&mut edits, out);
            });
            self.question_ends(now, n);
        }
        post.reply.answer(Answer::accepted());
    }

    /// The server has one level for all sessions: the lowest that any of them wants.
    fn set_level(&mut self, now: Instant, mut post: Post) {
        let wanted = post.message.text(post.fields.level.as_ref());
        let number = wanted.as_deref().and_then(level_number);
        if let (Some(number), Some(session)) = (
            number,
            post.session.and_then(|id| self.sessions.get_mut(&id)),
        ) {
            session.level = Some(number);
        }
        if let (Some(span), Some(level)) = (&post.fields.level, self.level())
            && number.is_some()
        {
            let level = format!("\"{level}\"");
            let spliced = post.message.splice(&mut [(span.clone(), level.as_bytes())]);
            // One text replaces another, so the result is a message again.
            if let Ok(message) = rpc::Message::parse(spliced) {
                post.fields = message.fields().unwrap_or_default();
                post.message = message;
            }
        }
        self.forward(now, post);
    }

    /// Several sessions may subscribe to one resource. Only the first and the last are passed to the server.
    fn subscribe(&mut self, now: Instant, post: Post) {
        let uri = post.message.text(post.fields.uri.as_ref());
        let (Some(uri), Some(id)) = (uri, post.session) else {
            self.forward(now, post);
            return;
        };
        let subscribes = &*post.message.method == "resources/subscribe";
        let allowed = self.limits.calls;
        if let Some(session) = self.sessions.get_mut(&id) {
            if subscribes && session.subscriptions.len() < allowed {
                session.subscriptions.insert(uri.clone());
            } else if !subscribes {
                session.subscriptions.remove(&uri);
            }
        }
        let others = self
            .sessions
            .values()
            .any(|s| s.subscriptions.contains(&uri));
        if subscribes || !others {
            self.forward(now, post);
        } else {
            let request = post
                .message
                .id
                .as_ref()
                .map_or("null", |id| post.message.raw(id));
            let body = rpc::result(request, "{}");
            post.reply.answer(Answer::ok(body));
        }
    }
}
