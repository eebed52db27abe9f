//! The desired state, for an agent whose digest differs from the one a heartbeat was answered with.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::supabase::secrets::StoredSpec;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::sealing::{Owner, SealingKeys};
use toolbox_edge::reply::Body;
use toolbox_edge::{Reply, RequestContext};
use toolbox_http::Response;

use crate::presented;

/// Answers with the desired state of every instance of the toolbox. The database holds it in the wire's form, with its
/// secrets sealed: they are opened, and all else is passed on as it is.
pub(crate) async fn desired(cx: &RequestContext) -> Result<Reply, ApiError> {
    let toolbox_id = presented::toolbox(cx)?;
    let key_hash = presented::key_hash(cx)?;
    let state = cx
        .state
        .supabase
        .desired_state(toolbox_id, &key_hash)
        .await?
        .ok_or_else(|| ApiError::new(ErrorCode::HeartbeatKeyInvalid))?;
    let opened = open(cx, toolbox_id, &state)?;
    let mut reply = Response::new(200, Body::Bytes(opened));
    reply.headers.set("content-type", "application/json");
    Ok(reply)
}

#[derive(Deserialize, Serialize)]
struct State {
    instances: Vec<Instance>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize, Serialize)]
struct Instance {
    id: ToolInstanceId,
    spec: Spec,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One that cannot be read must not keep the others from the agent, which says so of it.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Spec {
    Readable(Box<StoredSpec>),
    Unreadable(Value),
}

/// What does not open stays sealed: the agent refuses that instance and reports it, and takes the others.
fn open(cx: &RequestContext, toolbox: ToolboxId, state: &[u8]) -> Result<Vec<u8>, ApiError> {
    let mut state: State =
        serde_json::from_slice(state).map_err(|_| ApiError::new(ErrorCode::DatabaseBadResponse))?;
    let roots = cx.state.config.agents.as_ref()?.roots();
    let keys = SealingKeys::derive(roots, Owner::Toolbox(toolbox))
        .map_err(|error| ApiError::new(ErrorCode::NotConfigured).caused_by(&error))?;
    for instance in &mut state.instances {
        let Spec::Readable(spec) = &mut instance.spec else {
            continue;
        };
        if let Some(first) = keys.open_spec(instance.id, spec.secrets()).first() {
            let what = format!("open the secrets of instance {}", instance.id);
            let error = ApiError::new(ErrorCode::Internal).caused_by(first);
            cx.state.log(&cx.request_id, &what, &error);
        }
    }
    serde_json::to_vec(&state).map_err(|error| ApiError::new(ErrorCode::Internal).caused_by(&error))
}
