//! An error as MCP clients read it: a JSON-RPC error with the HTTP status of the failure.

use serde::Serialize;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::dtma::SERVER_ERROR;
use toolbox_edge::{Reply, RequestContext, reply};

use crate::discovery;

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
    /// Where the user lets the application in.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_url: Option<&'a str>,
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
                grant_url: error.details.as_ref().and_then(|d| d.grant_url.as_deref()),
            },
        },
    };
    let mut reply = match reply::json(status, &message) {
        Ok(reply) => reply,
        Err(error) => return reply::error(error, &cx.request_id),
    };
    match status {
        401 => {
            let error = match error.code {
                ErrorCode::InvalidToken => "error=\"invalid_token\", ",
                _ => "",
            };
            let metadata = discovery::metadata_url(cx);
            let challenge = format!("Bearer {error}resource_metadata=\"{metadata}\"");
            reply.headers.set("www-authenticate", challenge);
        }
        503 => reply.headers.set("retry-after", SOON),
        _ => {}
    }
    reply
}
