//! The desired state, for an agent whose digest differs from the one a heartbeat was answered with.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_edge::reply::Body;
use toolbox_edge::{Reply, RequestContext};
use toolbox_http::Response;

use crate::presented;

/// Answers with the desired state of every instance of the toolbox.
///
/// The database's text is passed on as it is: it has the wire's form already, and a function that never reads the
/// environment of hundreds of instances cannot leak one.
pub(crate) async fn desired(cx: &RequestContext) -> Result<Reply, ApiError> {
    let toolbox_id = presented::toolbox(cx)?;
    let key_hash = presented::key_hash(cx)?;
    let state = cx
        .state
        .supabase
        .desired_state(toolbox_id, &key_hash)
        .await?
        .ok_or_else(|| ApiError::new(ErrorCode::HeartbeatKeyInvalid))?;
    let mut reply = Response::new(200, Body::Bytes(state));
    reply.headers.set("content-type", "application/json");
    Ok(reply)
}
