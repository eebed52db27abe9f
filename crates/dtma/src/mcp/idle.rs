//! Servers that are stopped when nobody uses them: what counts as use, and what becomes of a request that finds one stopped.
//!
//! A request counts as use until its answer was read to its end. Not a ping, nor a stream on which a client only listens: both
//! may last for ever without anybody wanting anything. Neither starts a server. What the agent itself asks passes this by.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Method, Request, Response, StatusCode};
use futures_util::StreamExt;
use tokio::time::Instant;
use toolbox_api::dtma::{Desired, Phase};
use toolbox_api::mcp::{McpHealth, McpState};
use toolbox_mcp::bridge::too_much;
use toolbox_mcp::rpc::{self, Kind, Malformed, Message};
use toolbox_mcp::wire::body::{self, Budget};
use toolbox_mcp::wire::reply;

use super::Served;
use crate::instances::Use;
use crate::instances::rest::InUse;

/// How often it is looked whether a server is still used.
const LOOK: Duration = Duration::from_secs(15);

/// When a server is stopped, and how it is used.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) limit: Duration,
    pub(super) usage: Arc<Use>,
    words: String,
    /// How long a request waits until the server is started.
    ready: Duration,
}

impl Idle {
    pub(super) fn new(minutes: u32, minute: Duration, ready: Duration) -> Self {
        let s = if minutes == 1 { "" } else { "s" };
        Self {
            limit: minute * minutes,
            usage: Arc::new(Use::new(Instant::now())),
            words: format!(
                "stopped after {minutes} minute{s} without use; the next call starts it"
            ),
            ready,
        }
    }

    /// Ends when nobody has used the server for long enough, at `not_before` at the earliest.
    pub(super) async fn unused(&self, not_before: Instant) {
        loop {
            let now = Instant::now();
            let due = self.usage.due(self.limit);
            match due.map(|due| due.max(not_before)) {
                Some(due) if due <= now => return,
                Some(due) => tokio::time::sleep_until(due).await,
                None => tokio::time::sleep(LOOK.min(self.limit)).await,
            }
        }
    }
}

/// Why a server that rests does not run.
pub(super) fn words(idle: Option<&Idle>) -> &str {
    idle.map_or("stopped; the next call starts it", |idle| &idle.words)
}

/// What a message asks of a server that may be stopped.
#[derive(Debug, PartialEq, Eq)]
enum Asks {
    /// Something that only the server can do.
    Call,
    /// Whether anybody is there; the id as JSON.
    Ping(String),
    /// Nothing, or to be told of what happens.
    Nothing,
}

fn asks(bytes: &Bytes) -> Asks {
    let message = match Message::parse(bytes.clone()) {
        Ok(message) => message,
        Err(Malformed::Batch) => return Asks::Call,
        Err(_) => return Asks::Nothing,
    };
    match (message.kind, &*message.method, &message.id) {
        (Kind::Request, "ping", Some(id)) => Asks::Ping(message.raw(id).to_owned()),
        (Kind::Request, "subscriptions/listen", _) | (Kind::Notification | Kind::Response, ..) => {
            Asks::Nothing
        }
        (Kind::Request, ..) => Asks::Call,
    }
}

impl Served {
    /// What is known of the server's health. What its bridge has not found out yet of a rest, or of its end, is added.
    pub(super) fn known_health(&self) -> McpHealth {
        let mut health = (**self.health.borrow()).clone();
        let published = self.entry.published();
        let is_idle = health.state == McpState::Idle;
        if published.rests && !is_idle {
            health.state = McpState::Idle;
            words(self.idle.as_deref()).clone_into(&mut health.evidence);
            if let Some(view) = &published.view {
                health.since.clone_from(&view.updated_at);
            }
        } else if is_idle && !published.rests {
            health.state = McpState::Starting;
            health.evidence = format!("not asked since its start; before, {}", health.evidence);
        }
        health
    }

    /// Passes a request on; one that only the server can answer waits until it is started.
    pub(super) async fn serve<F>(
        self,
        idle: Arc<Idle>,
        request: Request<Body>,
        limit: usize,
        budget: &Budget,
        pass: impl FnOnce(Request<Body>) -> F + Send + 'static,
    ) -> Response<Body>
    where
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        if request.method() != Method::POST {
            return pass(request).await;
        }
        let (parts, body) = request.into_parts();
        let (bytes, held) = match body::read(body, limit, budget).await {
            Ok(read) => read,
            Err(error) => return too_much(error),
        };
        let asks = asks(&bytes);
        let early = reply::waits(&parts.headers, &bytes);
        let request = Request::from_parts(parts, Body::from(held.carried_by(bytes)));
        match asks {
            Asks::Ping(id) if self.entry.published().rests => {
                return reply::json(StatusCode::OK, rpc::result(&id, "{}"));
            }
            Asks::Ping(_) | Asks::Nothing => return pass(request).await,
            Asks::Call => {}
        }
        let in_use = idle.usage.begin();
        if self.is_ready() {
            return until_read(pass(request).await, in_use);
        }
        let answer = async move {
            // What still keeps it from answering then, the bridge says.
            let _ = tokio::time::timeout(idle.ready, self.started()).await;
            until_read(pass(request).await, in_use)
        };
        match early {
            Some(id) => reply::in_time(Box::pin(answer), id, limit).await,
            None => answer.await,
        }
    }

    /// It runs and was heard, or it cannot be waited for.
    fn is_ready(&self) -> bool {
        let published = self.entry.published();
        let Some(view) = published.view else {
            return true;
        };
        if view.desired != Desired::Running || view.phase == Phase::Error {
            return true;
        }
        let health = super::since_start(self.known_health(), &view);
        view.phase == Phase::Running
            && !published.rests
            && !matches!(health.state, McpState::Starting | McpState::Idle)
    }

    /// Starts it if it rests, and waits until it is ready.
    async fn started(mut self) {
        loop {
            // What changes from here on is seen.
            self.health.borrow_and_update();
            self.entry.seen();
            if self.is_ready() {
                return;
            }
            if self.entry.published().rests {
                self.entry.wake().await;
            }
            tokio::select! {
                goes_on = self.entry.changed() => if !goes_on { return },
                Ok(()) = self.health.changed() => {}
            }
        }
    }
}

/// The answer, which is in use until it was read, or nobody reads it any more.
fn until_read(response: Response<Body>, in_use: InUse) -> Response<Body> {
    // Its length is known of one that is there as a whole.
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| {
        Body::from_stream(body.into_data_stream().inspect(move |_| {
            let _ = &in_use;
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_server_can_answer_is_a_call() {
        let asks = |text: &'static str| asks(&Bytes::from_static(text.as_bytes()));
        for call in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#,
            r#"{"jsonrpc":"2.0","id":"x","method":"initialize"}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#,
        ] {
            assert_eq!(asks(call), Asks::Call, "{call}");
        }
        let ping = asks(r#"{"jsonrpc":"2.0","id":"x","method":"ping"}"#);
        assert_eq!(ping, Asks::Ping(r#""x""#.to_owned()));
        for nothing in [
            r#"{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/cancelled"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            "no message",
        ] {
            assert_eq!(asks(nothing), Asks::Nothing, "{nothing}");
        }
    }
}
