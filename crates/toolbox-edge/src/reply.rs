//! Answers.

use serde::Serialize;
use toolbox_http::{BodyStream, Response};

use crate::error::ApiError;

/// Body of an answer.
#[derive(Debug)]
pub enum Body {
    /// No body at all.
    Empty,
    /// Whole.
    Bytes(Vec<u8>),
    /// Passed on as it comes.
    Stream(BodyStream),
}

/// An answer of a handler, before the headers every answer has.
pub type Reply = Response<Body>;

/// `value` as JSON.
pub fn json(status: u16, value: &impl Serialize) -> Result<Reply, ApiError> {
    let bytes = serde_json::to_vec(value).map_err(|e| ApiError::internal(&e))?;
    let mut reply = Response::new(status, Body::Bytes(bytes));
    reply.headers.set("content-type", "application/json");
    Ok(reply)
}

/// A body that is passed on as it comes.
pub fn stream(content_type: &str, stream: BodyStream) -> Reply {
    let mut reply = Response::new(200, Body::Stream(stream));
    reply.headers.set("content-type", content_type);
    reply
}
