//! A second, private door for tests: start, stop, kill, restart and suspend the services of a running stack.
//!
//! `POST /{start|stop|kill|restart|pause|resume}/{service}` answers 204 when it is done; `POST /env` takes an object
//! of variables for all functions (null removes one) and restarts them; `GET /state` shows every service. Each
//! request needs `Authorization: Bearer <control_token>` of the ready line.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use axum::extract::{Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use serde_json::{Value, json};

use crate::error::chain;
use crate::functions::SharedEnv;
use crate::unit::{Handle, Request as Ask};

/// What the door opens to.
pub(crate) struct Control {
    pub(crate) token: String,
    pub(crate) services: BTreeMap<String, Handle>,
    /// Names of the services that are functions.
    pub(crate) functions: Vec<String>,
    pub(crate) env: SharedEnv,
}

pub(crate) fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route("/state", get(state))
        .route("/env", post(set_env))
        .route("/{action}/{service}", post(act))
        .layer(from_fn_with_state(Arc::clone(&control), only_with_token))
        .with_state(control)
}

async fn only_with_token(
    State(control): State<Arc<Control>>,
    request: Request,
    next: Next,
) -> Response {
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    if given == Some(&format!("Bearer {}", control.token)) {
        next.run(request).await
    } else {
        StatusCode::UNAUTHORIZED.into_response()
    }
}

async fn state(State(control): State<Arc<Control>>) -> Json<Value> {
    let one = |handle: &Handle| {
        let state = handle.state();
        json!({ "pid": state.pid, "ready": state.ready, "restarts": state.restarts })
    };
    Json(
        control
            .services
            .iter()
            .map(|(name, handle)| (name.clone(), one(handle)))
            .collect(),
    )
}

async fn act(
    State(control): State<Arc<Control>>,
    Path((action, service)): Path<(String, String)>,
) -> Response {
    let request = match action.as_str() {
        "start" => Ask::Start,
        "stop" => Ask::Stop,
        "kill" => Ask::Kill,
        "restart" => Ask::Restart,
        "pause" => Ask::Pause,
        "resume" => Ask::Resume,
        _ => return (StatusCode::NOT_FOUND, "no such action").into_response(),
    };
    let Some(handle) = control.services.get(&service) else {
        return (StatusCode::NOT_FOUND, "no such service").into_response();
    };
    answer(handle.ask(request).await)
}

async fn set_env(
    State(control): State<Arc<Control>>,
    Json(changes): Json<BTreeMap<String, Option<String>>>,
) -> Response {
    {
        let mut env = control.env.write().unwrap_or_else(PoisonError::into_inner);
        for (name, value) in changes {
            match value {
                Some(value) => env.insert(name, value),
                None => env.remove(&name),
            };
        }
    }
    for handle in control
        .functions
        .iter()
        .filter_map(|name| control.services.get(name))
    {
        // One that did not run before is no reason to refuse the change.
        let ran = handle.state().ready;
        if let Err(error) = handle.ask(Ask::Restart).await
            && ran
        {
            return answer(Err(error));
        }
    }
    StatusCode::NO_CONTENT.into_response()
}

fn answer(result: Result<(), crate::error::StackError>) -> Response {
    match result {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => (StatusCode::CONFLICT, chain(&error)).into_response(),
    }
}
