//! Answers.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use toolbox_http::BodyStream;

use crate::error::ApiError;

/// Body of an answer.
#[derive(Debug)]
pub enum Body {
    /// No body at all.
    Empty,
    /// Whole.
    Bytes(Bytes),
    /// Passed on as it comes.
    Stream(BodyStream),
}

/// An answer of a handler, before the headers every answer has.
#[derive(Debug)]
pub struct Reply(pub Response<Body>);

impl Reply {
    /// `value` as JSON.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Self, ApiError> {
        let bytes = serde_json::to_vec(value).map_err(|e| ApiError::internal(&e))?;
        Ok(Self::with(
            status,
            "application/json",
            Body::Bytes(bytes.into()),
        ))
    }

    /// A body that is passed on as it comes.
    pub fn stream(content_type: &'static str, stream: BodyStream) -> Self {
        Self::with(StatusCode::OK, content_type, Body::Stream(stream))
    }

    /// No body.
    pub fn empty(status: StatusCode) -> Self {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = status;
        Self(response)
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers_mut().insert(name, value);
        self
    }

    fn with(status: StatusCode, content_type: &'static str, body: Body) -> Self {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self(response)
    }
}
