//! Callers who may use some tools only: what they send is checked and written anew, and what servers list is cut.
//!
//! [`Allowed`] says which tools. [`serve`] stands between such a caller and a bridge of any kind. A call of another tool does
//! not reach the server, in whichever era of the protocol, alone or in a batch. Nothing that is passed on can be read in two
//! ways: a message is written anew from the fields that were checked, each once. In answers every list of tools is cut,
//! also when it is sent again later. Resources and prompts are not limited.
//!
//! Where a server's owner pinned its tools, a caller sees and calls those that are as they were accepted; [`held`] answers one
//! that comes while the server lists others.

mod answer;
mod request;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde::Deserialize;

use self::request::Checked;
use crate::lenient;
use crate::tools::Toolset;
use crate::wire::body::{self, Budget};
use crate::wire::{checks, reply};

/// The tools that a caller may use.
#[derive(Clone, Default)]
pub struct Allowed {
    /// Their names; all without a list.
    pub tools: Option<BTreeSet<String>>,
    /// Only those that the server calls read-only.
    pub read_only: bool,
    /// The tools as the server listed them when it was asked last.
    pub known: Option<Arc<Toolset>>,
    /// Only those that are as `known` has them, because these are pinned; called when the server lists others.
    pub pinned: Option<OnOther>,
}

/// See [`Allowed::pinned`].
pub type OnOther = Arc<dyn Fn() + Send + Sync>;

impl Allowed {
    /// Whether there is anything to hold the caller to.
    pub fn is_all(&self) -> bool {
        self.tools.is_none() && !self.read_only && self.pinned.is_none()
    }

    /// Whether the tool of this name may be called.
    fn may_call(&self, name: &str) -> bool {
        let known =
            |is: fn(&Toolset, &str) -> bool| self.known.as_ref().is_some_and(|k| is(k, name));
        self.names(name)
            && (!self.read_only || known(|tools, name| tools.read_only().contains(name)))
            && (self.pinned.is_none() || known(Toolset::has))
    }

    /// Whether a tool appears in a list, by its entry there.
    pub fn may_see(&self, tool: &str) -> bool {
        #[derive(Deserialize)]
        struct Entry {
            name: String,
            #[serde(default)]
            annotations: Option<Annotations>,
        }
        #[derive(Default, Deserialize)]
        struct Annotations {
            #[serde(default, rename = "readOnlyHint")]
            read_only: Option<bool>,
        }
        if let Some(on_other) = &self.pinned
            && !self.known.as_ref().is_some_and(|known| known.lists(tool))
        {
            on_other();
            return false;
        }
        // What cannot be read is not shown.
        lenient::read::<Entry>(tool).is_some_and(|entry| {
            let hint = entry.annotations.unwrap_or_default().read_only;
            self.names(&entry.name) && (!self.read_only || hint == Some(true))
        })
    }

    fn names(&self, name: &str) -> bool {
        self.tools.as_ref().is_none_or(|tools| tools.contains(name))
    }
}

/// Answers a caller who is held back from a server, with `text`, its stable `code` and an HTTP status. A session may be ended.
pub async fn held(
    request: Request<Body>,
    limit: usize,
    budget: &Budget,
    (status, code, text): (StatusCode, &str, &str),
) -> Response<Body> {
    let bytes = match body::read(request.into_body(), limit, budget).await {
        Ok((bytes, memory)) => memory.carried_by(bytes),
        Err(error) => return crate::bridge::too_much(error),
    };
    reply::json(status, request::refused(&bytes, code, text))
}

/// Serves a caller who may use the `allowed` tools only. `limit` is the longest message in bytes, in either direction.
pub async fn serve<F>(
    allowed: Allowed,
    request: Request<Body>,
    limit: usize,
    budget: &Budget,
    bridge: impl FnOnce(Request<Body>) -> F,
) -> Response<Body>
where
    F: Future<Output = Response<Body>>,
{
    let (mut head, body) = request.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let body = if head.method == Method::POST {
        if let Err(refusal) = checks::content_type(&head.headers) {
            return refusal.into_response();
        }
        let (bytes, memory) = match body::read(body, limit, budget).await {
            Ok(read) => read,
            Err(error) => return crate::bridge::too_much(error),
        };
        match request::check(&allowed, &head.headers, &bytes) {
            Checked::Pass(message) => {
                // It was read as UTF-8, so no server may read it in another character set.
                let json = HeaderValue::from_static("application/json");
                head.headers.insert(header::CONTENT_TYPE, json);
                Body::from(memory.carried_by(message.into()))
            }
            Checked::Refused(answer) => return answer,
        }
    } else {
        // No other method has a message.
        head.headers.remove(header::TRANSFER_ENCODING);
        head.headers.remove(header::CONTENT_TYPE);
        Body::empty()
    };
    answer::cut(
        allowed,
        bridge(Request::from_parts(head, body)).await,
        limit,
        budget,
    )
    .await
}
