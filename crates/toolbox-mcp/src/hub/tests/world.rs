//! A hub in simulated time, and hands for both its sides.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::health::Finding;
use crate::hub::{Hub, Input, Post, STATELESS};
use crate::limits::Limits;
use crate::lines::Line;
use crate::mailbox::{Answer, Mail, Receiver, mailbox};
use crate::redact::Redactor;
use crate::rpc::Message;

pub(super) const META: &str = "io.modelcontextprotocol/protocolVersion";

/// A hub, a clock, and both its sides.
pub(super) struct World {
    pub(super) hub: Hub,
    pub(super) now: Instant,
    pub(super) findings: Vec<Finding>,
}

impl World {
    pub(super) fn new() -> Self {
        Self::limited(Limits::default())
    }

    pub(super) fn limited(limits: Limits) -> Self {
        let now = Instant::now();
        let redactor = Redactor::new(["hunter22"]);
        let mut hub = Hub::new(now, limits, redactor, 7);
        hub.connecting();
        hub.connected(now, 1);
        Self {
            hub,
            now,
            findings: Vec::new(),
        }
    }

    /// A server of the older era, ready and probed.
    pub(super) fn ready() -> Self {
        let mut world = Self::new();
        world.greet();
        world
    }

    /// A server that takes stateless requests only.
    pub(super) fn stateless() -> Self {
        let mut world = Self::new();
        world.refuse("initialize", -32022);
        world.discovered();
        world
    }

    /// Answers `server/discover`, and the first probe.
    pub(super) fn discovered(&mut self) {
        for message in self.written() {
            if message["method"] == "server/discover" {
                self.server(&json!({"id": message["id"], "result": {
                    "supportedVersions": [STATELESS], "capabilities": {"tools": {}},
                    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "n"}}}}));
            }
        }
        self.pass(Duration::ZERO);
        self.answer_probe();
    }

    /// Answers `method` with an error.
    pub(super) fn refuse(&mut self, method: &str, code: i32) {
        for message in self.written() {
            if message["method"] == method {
                self.server(
                    &json!({"id": message["id"], "error": {"code": code, "message": "no"}}),
                );
            }
        }
    }

    /// A server of the older era answers what it is asked.
    pub(super) fn greet(&mut self) {
        for message in self.written() {
            if message["method"] == "initialize" {
                self.server(&json!({"id": message["id"], "result": {
                    "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                    "serverInfo": {"name": "s", "version": "1"}}}));
            }
        }
        self.pass(Duration::ZERO);
        self.answer_probe();
    }

    pub(super) fn answer_probe(&mut self) {
        for message in self.written() {
            match message["method"].as_str() {
                Some("tools/list") => {
                    self.server(
                        &json!({"id": message["id"], "result": {"tools": [{"name": "a"}]}}),
                    );
                }
                Some("ping") => self.server(&json!({"id": message["id"], "result": {}})),
                Some("server/discover") => {
                    self.server(
                        &json!({"id": message["id"], "error": {"code": -32601, "message": "no"}}),
                    );
                }
                _ => {}
            }
        }
    }

    /// What the hub wrote to the server since the last look.
    pub(super) fn written(&mut self) -> Vec<Value> {
        let out = self.hub.out();
        let text = String::from_utf8(out.to_vec()).unwrap();
        out.advance(out.len());
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(super) fn server(&mut self, message: &Value) {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        self.raw(&message.to_string());
    }

    pub(super) fn raw(&mut self, line: &str) {
        let line = Line::Whole(Bytes::copy_from_slice(line.as_bytes()));
        self.hub.line(self.now, line);
        self.findings.extend(self.hub.finding());
    }

    /// Lets time pass, with a look at every step the hub asks for.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.now = self.hub.next_timeout().clamp(self.now, end);
            self.hub.timeout(self.now);
            self.findings.extend(self.hub.finding());
            if self.now >= end {
                return;
            }
            self.now = end.min(self.now + Duration::from_millis(1));
        }
    }

    pub(super) fn post(&mut self, session: Option<Uuid>, message: &Value) -> Receiver {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        let message = Message::parse(message.to_string().into()).unwrap();
        let fields = message.fields().unwrap();
        let (reply, receiver) = mailbox(1 << 20);
        let revision = message.text(fields.meta.version.as_ref());
        let stateless = revision.is_some();
        let post = Post {
            message,
            fields,
            unsupported: revision.filter(|revision| revision != STATELESS),
            parameters: Vec::new(),
            stateless,
            session,
            fresh: Uuid::new_v4(),
            reply,
        };
        self.hub.input(self.now, Input::Post(Box::new(post)));
        receiver
    }

    pub(super) fn open(&mut self, capabilities: &Value) -> Uuid {
        let mut mail = self.post(
            None,
            &json!({"id": 0, "method": "initialize",
            "params": {"protocolVersion": "2025-06-18", "capabilities": capabilities}}),
        );
        let answer = answer(&mut mail).unwrap();
        assert_eq!(json_of(&answer)["result"]["protocolVersion"], "2025-06-18");
        answer.session.unwrap()
    }

    pub(super) fn call(&mut self, session: Uuid, id: &Value, token: &Value) -> (Receiver, Value) {
        let mail = self.post(
            Some(session),
            &json!({"id": id, "method": "tools/call",
            "params": {"name": "a", "_meta": {"progressToken": token}}}),
        );
        (mail, self.written().pop().unwrap())
    }

    pub(super) fn last(&self) -> &Finding {
        self.findings.last().unwrap()
    }
}

pub(super) fn answer(mail: &mut Receiver) -> Option<Answer> {
    match mail.try_next()? {
        Mail::Answer(answer) => Some(answer),
        Mail::Message(message) => panic!("expected an answer, got {message:?}"),
    }
}

pub(super) fn message(mail: &mut Receiver) -> Option<Value> {
    match mail.try_next()? {
        Mail::Message(message) => Some(serde_json::from_slice(&message).unwrap()),
        Mail::Answer(answer) => panic!("expected a message, got {answer:?}"),
    }
}

pub(super) fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}
