//! Paths of the edge function `heartbeat`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::errors;
use crate::error::{ErrorCode, ErrorEnvelope};
use crate::heartbeat::{DesiredState, EnrolRequest, EnrolResponse, Heartbeat, HeartbeatResponse};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "heartbeat",
        description = "What agents tell the control plane and what they are told. Each request presents the toolbox's own key, or an enrolment token. Every error has the envelope and a stable code."
    ),
    servers((url = "/functions/v1/heartbeat")),
    paths(beat, enrol, desired),
    components(schemas(ErrorCode, ErrorEnvelope)),
    modifiers(&Secrets, &Errors),
    security(("toolbox_key" = []))
)]
pub(super) struct Document;

struct Secrets;

impl Modify for Secrets {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = openapi.components.as_mut() {
            for (name, form) in [("toolbox_key", "tbk_"), ("enrolment_token", "tbe_")] {
                let mut http = Http::new(HttpAuthScheme::Bearer);
                http.bearer_format = Some(form.to_owned());
                components.add_security_scheme(name, SecurityScheme::Http(http));
            }
        }
    }
}

struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        errors::add(openapi, errors::of_heartbeat);
    }
}

/// Records what the agent tells; the answer names the desired state by its digest. A heartbeat is accepted once.
#[utoipa::path(post, path = "/{toolboxId}", request_body = Heartbeat, params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = HeartbeatResponse)))]
fn beat() {}

/// Turns a single-use token into the toolbox's keys and pins the agent's certificate. Until the first heartbeat it may
/// be asked again with the same certificate, and answers the same.
#[utoipa::path(post, path = "/{toolboxId}/enrol", request_body = EnrolRequest, params(("toolboxId" = String, Path, format = "uuid")),
    security(("enrolment_token" = [])),
    responses((status = 200, body = EnrolResponse)))]
fn enrol() {}

/// Every instance of the toolbox as it should be, environments included.
#[utoipa::path(get, path = "/{toolboxId}/desired", params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = DesiredState)))]
fn desired() {}
