//! Paths of the edge function `ssh-command-executor`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::{Modify, OpenApi};

use super::errors;
use super::tools::UserSecrets;
use crate::error::{ErrorCode, ErrorEnvelope};
use crate::executor::{ExecuteRequest, ExecuteResponse};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ssh-command-executor",
        description = "One operation of a closed set on the machine of a toolbox, by SSH: for machines whose agent and companion do not answer. No text of a request reaches a machine. `details.allowed` of a refusal lists what is allowed."
    ),
    servers((url = "/functions/v1/ssh-command-executor")),
    paths(execute),
    components(schemas(ErrorCode, ErrorEnvelope)),
    modifiers(&UserSecrets, &Errors),
    security(("user_token" = [], "apikey" = []))
)]
pub(super) struct Document;

struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        errors::add(openapi, errors::of_executor);
    }
}

/// Carries out one operation. 200 says that the machine answered: `success` says whether it was done, `answer` by whom and why not.
#[utoipa::path(post, path = "/", request_body = ExecuteRequest, responses((status = 200, body = ExecuteResponse)))]
fn execute() {}
