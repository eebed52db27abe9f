//! Answers.

use serde::Serialize;
use toolbox_api::error::{ApiError, ErrorBody, ErrorEnvelope};
use toolbox_http::{BodyStream, Response};

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

/// The answer that an error becomes. Its cause is not in it.
pub fn error(error: ApiError, request_id: &str) -> Reply {
    let status = error.code.status();
    let envelope = ErrorEnvelope {
        error: ErrorBody {
            code: error.code.as_str().to_owned(),
            message: error.message().to_owned(),
            details: error.details.map(|details| *details),
            request_id: request_id.to_owned(),
        },
    };
    let mut reply = json(status, &envelope).unwrap_or_else(|_| Reply::new(status, Body::Empty));
    if let Some((name, value)) = error.header {
        reply.headers.set(name, value);
    }
    if status == 401 {
        reply.headers.set("www-authenticate", "Bearer");
    }
    reply
}

#[cfg(test)]
mod tests {
    use toolbox_clients::supabase::DatabaseError;
    use toolbox_domain::retry::Fault;
    use toolbox_http::TransportError;

    use super::*;

    #[test]
    fn the_cause_is_logged_and_never_answered() {
        let cause = TransportError::new(Fault::Reset, "SECRET");
        let failed = ApiError::from(DatabaseError::Unreachable(Box::new(cause)));
        assert_eq!(
            failed.cause.as_deref(),
            Some("the database cannot be reached: connection lost (SECRET)")
        );
        let reply = error(failed, "r1");
        assert_eq!(reply.status, 503);
        let Body::Bytes(bytes) = reply.body else {
            panic!("no body")
        };
        let body = String::from_utf8(bytes).unwrap();
        assert!(!body.contains("SECRET"), "{body}");
        assert_eq!(
            body,
            r#"{"error":{"code":"database_unreachable","message":"The database cannot be reached","request_id":"r1"}}"#
        );
    }
}
