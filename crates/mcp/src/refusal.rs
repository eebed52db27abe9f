//! An error as MCP clients read it: a JSON-RPC error with the HTTP status of the failure.

use serde::Serialize;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::dtma::SERVER_ERROR;
use toolbox_edge::{Reply, RequestContext, reply};

/// When it is worth to come again, in seconds.
const SOON: &str = "5";

#[derive(Serialize)]
struct Message<'a> {
    jsonrpc: &'static str,
    /// The request was not read, so its id is not known.
    id: Option<()>,
    error: Failure<'a>,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: i32,
    message: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    code: &'a str,
    request_id: &'a str,
}

/// The answer that an error becomes. Its cause is not in it; a failure that is not the caller's is logged.
pub(crate) fn reply(cx: &RequestContext, error: &ApiError) -> Reply {
    let status = error.code.status();
    if status >= 500 {
        let what = format!("{} {}", cx.method, cx.path);
        cx.state.log(&cx.request_id, &what, error);
    }
    let message = Message {
        jsonrpc: "2.0",
        id: None,
        error: Failure {
            code: SERVER_ERROR,
            message: error.message(),
            data: Data {
                code: error.code.as_str(),
                request_id: &cx.request_id,
            },
        },
    };
    let mut reply = match reply::json(status, &message) {
        Ok(reply) => reply,
        Err(error) => return reply::error(error, &cx.request_id),
    };
    match status {
        401 if error.code == ErrorCode::InvalidToken => {
            let challenge = "Bearer error=\"invalid_token\"";
            reply.headers.set("www-authenticate", challenge);
        }
        401 => reply.headers.set("www-authenticate", "Bearer"),
        503 => reply.headers.set("retry-after", SOON),
        _ => {}
    }
    reply
}
