//! One server over standard streams, for many HTTP clients.
//!
//! [`start`] gives a [`Bridge`], whose [`Bridge::serve`] answers HTTP requests, and the task that owns the server's
//! connection. They meet in a bounded queue of inputs; answers come back through one mailbox per request. The task ends
//! when the last handle is gone.

mod runner;

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use toolbox_api::mcp::McpHealth;
use uuid::Uuid;

use crate::health::Tracker;
use crate::hub::{BATCHES, Input, Post};
use crate::limits::Limits;
use crate::mailbox::mailbox;
use crate::memory::Memory;
use crate::process::ServerProcess;
use crate::redact::Redactor;
use crate::rpc::{self, Fields, Kind, MOST_OF_ID, MOST_OF_URI, Malformed, Message, code};
use crate::wire::accept::Accepts;
use crate::wire::body::{self, BodyError, Budget};
use crate::wire::checks::{self, Era, Origins};
use crate::wire::{cors, reply};

/// Inputs that may wait for the task. It takes them at once, so they do not wait long.
const INPUTS: usize = 1024;

/// What a bridge is started with.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its bounds.
    pub limits: Limits,
    /// Removes secrets from the server's output.
    pub redactor: Redactor,
    /// What was learned of it at an earlier time.
    pub known: Memory,
    /// It is said to speak the stateless revision, and is asked for that first. Over HTTP it has no effect.
    pub stateless: bool,
    /// Web pages that may call.
    pub origins: Origins,
    /// Memory for long messages, shared by all bridges of the program.
    pub budget: Budget,
}

/// A handle on the bridge to one server. Clones share the bridge.
#[derive(Clone, Debug)]
pub struct Bridge {
    inputs: mpsc::Sender<Input>,
    health: watch::Receiver<Arc<McpHealth>>,
    memory: watch::Receiver<Memory>,
    wake: Arc<Notify>,
    options: Arc<Options>,
}

/// A bridge to `process`, and the task that must run for it.
pub fn start(
    process: Arc<dyn ServerProcess>,
    options: Options,
) -> (Bridge, impl Future<Output = ()> + Send) {
    let (inputs, receiver) = mpsc::channel(INPUTS);
    let mut tracker = Tracker::new(time::OffsetDateTime::now_utc(), options.known.tools.clone());
    tracker.set_redactor(options.redactor.clone());
    let (publish, health) = watch::channel(Arc::new(tracker.health().clone()));
    let (remember, memory) = watch::channel(options.known.clone());
    let wake = Arc::new(Notify::new());
    let runner = runner::Runner {
        process,
        inputs: receiver,
        wake: Arc::clone(&wake),
        limits: options.limits.clone(),
        stateless: options.stateless,
        redactor: options.redactor.clone(),
        budget: options.budget.clone(),
        tracker,
        publish,
        memory: remember,
    };
    let bridge = Bridge {
        inputs,
        health,
        memory,
        wake,
        options: Arc::new(options),
    };
    (bridge, runner.run())
}

impl Bridge {
    /// The server's health, now and after each change.
    pub fn health(&self) -> watch::Receiver<Arc<McpHealth>> {
        self.health.clone()
    }

    /// What was learned of the server, so that the caller can store it.
    pub fn memory(&self) -> watch::Receiver<Memory> {
        self.memory.clone()
    }

    /// Something about the server changed: connect and probe at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Its tools may be others than those that are known: list them soon.
    pub fn look(&self) {
        // One that has as much to do as it takes in looks another time.
        let _ = self.inputs.try_send(Input::Look);
    }

    /// Answers a request to the MCP endpoint. The caller has been authorised before.
    pub async fn serve(&self, request: Request<Body>) -> Response<Body> {
        if let Err(refusal) = self.options.origins.check(request.headers()) {
            return refusal.into_response();
        }
        let (head, body) = request.into_parts();
        let mut response = match head.method {
            Method::POST => self.post(&head.headers, body).await,
            Method::GET => self.listen(&head.headers).await,
            Method::DELETE => self.end(&head.headers).await,
            Method::OPTIONS => return cors::preflight(&self.options.origins, &head.headers),
            _ => reply::status(StatusCode::METHOD_NOT_ALLOWED, "GET, POST, DELETE"),
        };
        cors::readable(head.headers.get(header::ORIGIN), &mut response);
        response
    }

    async fn post(&self, headers: &HeaderMap, body: Body) -> Response<Body> {
        let accepts = match Accepts::read(headers) {
            Ok(accepts) => accepts,
            Err(refusal) => return refusal.into_response(),
        };
        if let Err(refusal) = checks::content_type(headers) {
            return refusal.into_response();
        }
        let limits = &self.options.limits;
        let read = body::read(body, limits.message_bytes, &self.options.budget).await;
        let bytes = match read {
            Ok((bytes, held)) => held.carried_by(bytes),
            Err(error) => return too_much(error),
        };
        let (message, fields) = match parse(bytes.clone()) {
            Ok(read) => read,
            Err(Malformed::Batch) => return self.batch(headers, &bytes, accepts).await,
            Err(error) => return malformed(error),
        };
        // A long message is not kept while its call is under way.
        drop(bytes);
        let era = match checks::era(headers, &message, &fields) {
            Ok(era) => era,
            Err(refusal) => return refusal.into_response(),
        };
        let stateless = era != Era::Sessions;
        let session = match checks::session(headers) {
            Ok(session) => session.filter(|_| !stateless),
            Err(refusal) => return refusal.for_request(&message).into_response(),
        };
        let wants_answer = message.kind == Kind::Request;
        let listens = &*message.method == "subscriptions/listen";
        let fresh = Uuid::new_v4();
        let begins = (!stateless && &*message.method == "initialize").then_some(fresh);
        let (sender, receiver) = mailbox(self.unread(accepts));
        let sender = sender.within(&self.options.budget);
        let post = Post {
            message,
            fields,
            stateless,
            unsupported: match era {
                Era::Unsupported(version) => Some(version),
                Era::Sessions | Era::Stateless => None,
            },
            parameters: if stateless {
                checks::parameters(headers)
            } else {
                Vec::new()
            },
            session,
            fresh,
            reply: sender,
        };
        if self.inputs.send(Input::Post(Box::new(post))).await.is_err() {
            return stopped();
        }
        if wants_answer {
            reply::exchange(receiver, accepts, listens, begins).await
        } else {
            reply::short(receiver).await
        }
    }

    /// Several messages at once: one revision has them.
    async fn batch(&self, headers: &HeaderMap, bytes: &Bytes, accepts: Accepts) -> Response<Body> {
        if headers.get(&checks::VERSION).is_some_and(|v| v != BATCHES) {
            return malformed(Malformed::Batch);
        }
        let session = match checks::session(headers) {
            Ok(Some(session)) => session,
            Ok(None) => return checks::session_missing().into_response(),
            Err(refusal) => return refusal.into_response(),
        };
        let parts = match rpc::batch(bytes) {
            Ok(parts) => parts,
            Err(error) => return malformed(error),
        };
        let mut posts = Vec::with_capacity(parts.len());
        let mut answers = Vec::new();
        for part in parts {
            let (message, fields) = match parse(part) {
                Ok(read) => read,
                Err(error) => return malformed(error),
            };
            // Neither a handshake nor a message of another revision can be part of one.
            if &*message.method == "initialize" || fields.meta.version.is_some() {
                return malformed(Malformed::Batch);
            }
            let (sender, receiver) = mailbox(self.unread(accepts));
            if message.kind == Kind::Request {
                answers.push(receiver);
            }
            posts.push(Post {
                message,
                fields,
                stateless: false,
                unsupported: None,
                parameters: Vec::new(),
                session: Some(session),
                fresh: Uuid::new_v4(),
                reply: sender.within(&self.options.budget),
            });
        }
        let (sender, receiver) = mailbox(0);
        let input = Input::Batch {
            session,
            posts,
            reply: sender,
        };
        if self.inputs.send(input).await.is_err() {
            return stopped();
        }
        let taken = reply::short(receiver).await;
        if taken.status() != StatusCode::ACCEPTED || answers.is_empty() {
            return taken;
        }
        reply::several(answers, accepts).await
    }

    /// Bytes of messages that may wait for a client beside its answer. One that takes no events gets none there, so that a
    /// question for it goes where it listens.
    fn unread(&self, accepts: Accepts) -> usize {
        if accepts.events {
            self.options.limits.unread_bytes
        } else {
            0
        }
    }

    async fn listen(&self, headers: &HeaderMap) -> Response<Body> {
        if checks::is_stateless(headers) {
            return reply::status(StatusCode::METHOD_NOT_ALLOWED, "POST");
        }
        match Accepts::read(headers) {
            Ok(accepts) if accepts.events => {}
            _ => return checks::not_acceptable("text/event-stream").into_response(),
        }
        let session = match checks::session(headers) {
            Ok(Some(session)) => session,
            Ok(None) => return checks::session_missing().into_response(),
            Err(refusal) => return refusal.into_response(),
        };
        let (sender, receiver) = mailbox(self.options.limits.unread_bytes);
        let input = Input::Listen {
            session,
            reply: sender.within(&self.options.budget),
        };
        if self.inputs.send(input).await.is_err() {
            return stopped();
        }
        reply::stream(receiver).await
    }

    async fn end(&self, headers: &HeaderMap) -> Response<Body> {
        if checks::is_stateless(headers) {
            return reply::status(StatusCode::METHOD_NOT_ALLOWED, "POST");
        }
        let session = match checks::session(headers) {
            Ok(Some(session)) => session,
            Ok(None) => return checks::session_missing().into_response(),
            Err(refusal) => return refusal.into_response(),
        };
        let (sender, receiver) = mailbox(0);
        let input = Input::End {
            session,
            reply: sender,
        };
        if self.inputs.send(input).await.is_err() {
            return stopped();
        }
        let response = reply::short(receiver).await;
        if response.status() == StatusCode::ACCEPTED {
            return reply::status(StatusCode::NO_CONTENT, "");
        }
        response
    }
}

/// A client's message.
pub(crate) fn parse(bytes: Bytes) -> Result<(Message, Fields), Malformed> {
    let message = Message::parse(bytes)?;
    if message.null_id && message.kind != Kind::Response {
        return Err(Malformed::Id);
    }
    let fields = message.fields()?;
    // These outlive the message: they are kept while a call or a subscription lasts.
    let longer = |span: &Option<rpc::Span>, most| span.as_ref().is_some_and(|s| s.len() > most);
    if longer(&message.id, MOST_OF_ID) || longer(&fields.meta.progress_token, MOST_OF_ID) {
        return Err(Malformed::LongId);
    }
    if &*message.method == "resources/subscribe" && longer(&fields.uri, MOST_OF_URI) {
        return Err(Malformed::LongUri);
    }
    Ok((message, fields))
}

fn stopped() -> Response<Body> {
    let body = rpc::error("null", code::UNAVAILABLE, "the bridge has stopped", None);
    reply::json(StatusCode::SERVICE_UNAVAILABLE, body)
}

fn malformed(error: Malformed) -> Response<Body> {
    let body = rpc::error("null", error.code(), &error.to_string(), None);
    reply::json(StatusCode::BAD_REQUEST, body)
}

/// Refuses a body.
pub fn too_much(error: BodyError) -> Response<Body> {
    let status = error.status();
    let body = rpc::error("null", code::INVALID_REQUEST, &error.to_string(), None);
    let mut response = reply::json(status, body);
    // What is left of the body is not read.
    response.headers_mut().insert(
        header::CONNECTION,
        header::HeaderValue::from_static("close"),
    );
    response
}
