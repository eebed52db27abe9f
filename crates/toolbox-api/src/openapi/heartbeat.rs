//! Paths of the edge function `heartbeat`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::errors;
use crate::error::{ErrorCode, ErrorEnvelope};
use crate::heartbeat::{
    DesiredState, EnrolRequest, EnrolResponse, Heartbeat, HeartbeatResponse, TickResponse,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "heartbeat",
        description = "What agents tell the control plane and what they are told. Each request presents the toolbox's own key, or an enrolment token. The clock presents a secret key of the project. Every error has the envelope and a stable code."
    ),
    servers((url = "/functions/v1/heartbeat")),
    paths(tick, beat, enrol, desired),
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
            let apikey = ApiKey::Header(ApiKeyValue::with_description(
                "apikey",
                "A secret key of the project, here or as the bearer token; the legacy service_role key too",
            ));
            components.add_security_scheme("secret_key", SecurityScheme::ApiKey(apikey));
        }
    }
}

struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        errors::add(openapi, errors::of_heartbeat);
    }
}

/// Runs the jobs that are due without anybody asking: marks silent toolboxes, gives up operations without an outcome,
/// seals secrets and receipts, deletes what is older than the retention. Bounded; the next tick goes on. A job that fails keeps no other from running.
#[utoipa::path(post, path = "/tick", security(("secret_key" = [])),
    responses((status = 200, description = "What became of each job; some may have failed", body = TickResponse)))]
fn tick() {}

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
