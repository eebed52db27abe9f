//! Paths of the edge function `clock`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::errors;
use crate::clock::TickResponse;
use crate::error::{ErrorCode, ErrorEnvelope};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "clock",
        description = "What is due without anybody asking for it. A schedule calls it, with a secret key of the project. Every error has the envelope and a stable code."
    ),
    servers((url = "/functions/v1/clock")),
    paths(tick),
    components(schemas(ErrorCode, ErrorEnvelope)),
    modifiers(&Secrets, &Errors),
    security(("secret_key" = []))
)]
pub(super) struct Document;

struct Secrets;

impl Modify for Secrets {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        if let Some(components) = openapi.components.as_mut() {
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
        errors::add(openapi, |code, _| errors::of_clock(code));
    }
}

/// Runs the jobs that are due without anybody asking: marks silent toolboxes, gives up operations without an outcome,
/// seals secrets and receipts, deletes what is older than the retention. Bounded; the next tick goes on. A job that fails keeps no other from running.
#[utoipa::path(post, path = "/tick",
    responses((status = 200, description = "What became of each job; some may have failed", body = TickResponse)))]
fn tick() {}
