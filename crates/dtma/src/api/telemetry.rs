//! `GET /metrics`: what the agent counts and measures, for Prometheus.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::error::ApiError;
use crate::telemetry::CONTENT_TYPE;

pub async fn metrics(State(state): State<AppState>) -> Result<Response, ApiError> {
    let tools = state.instances.list().await?;
    let text = state.telemetry.text(tools.iter().map(AsRef::as_ref));
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response())
}
