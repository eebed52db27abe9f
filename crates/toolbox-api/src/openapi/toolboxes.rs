//! Paths of the edge function `toolboxes-user`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::{Modify, OpenApi};

use super::errors;
use super::tools::UserSecrets;
use crate::error::{ErrorCode, ErrorEnvelope};
use crate::toolboxes::{
    CreateToolboxRequest, ToolboxEnrolment, ToolboxRefreshed, ToolboxView, UpdateToolboxRequest,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "toolboxes-user",
        description = "The caller's toolboxes: made, seen, renamed and removed. A toolbox of somebody else does not exist for the caller. Errors have the envelope and a stable code; where a machine was asked and did not answer, the toolbox stands beside `error`."
    ),
    servers((url = "/functions/v1/toolboxes-user")),
    paths(create, list, get, update, remove, enrol, refresh),
    components(schemas(ErrorCode, ErrorEnvelope)),
    modifiers(&UserSecrets, &Errors),
    security(("user_token" = [], "apikey" = []))
)]
pub(super) struct Document;

struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        errors::add(openapi, errors::of_toolboxes);
    }
}

/// Makes a toolbox. For a machine of the user's own the answer holds the one command that lets it join.
#[utoipa::path(post, path = "/", request_body = CreateToolboxRequest, responses((status = 201, body = ToolboxEnrolment)))]
fn create() {}

/// The caller's toolboxes, the oldest first.
#[utoipa::path(get, path = "/", responses((status = 200, body = [ToolboxView])))]
fn list() {}

/// One toolbox.
#[utoipa::path(get, path = "/{toolboxId}", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 200, body = ToolboxView)))]
fn get() {}

/// Renames a toolbox, describes it anew, or says where a machine of the user's own answers.
#[utoipa::path(patch, path = "/{toolboxId}", request_body = UpdateToolboxRequest, params(("toolboxId" = String, Path, format = "uuid")), responses((status = 200, body = ToolboxView)))]
fn update() {}

/// Removes a toolbox. A machine of the user's own is forgotten at once; what runs on it stays until it is uninstalled there.
#[utoipa::path(delete, path = "/{toolboxId}", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 204, description = "It is gone")))]
fn remove() {}

/// A new command for a machine of the user's own, with a new token. Earlier tokens end; once it is used, so do earlier keys.
#[utoipa::path(post, path = "/{toolboxId}/enrolment", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 201, body = ToolboxEnrolment)))]
fn enrol() {}

/// Asks the machine now.
#[utoipa::path(post, path = "/{toolboxId}/refresh-status", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 200, body = ToolboxRefreshed)))]
fn refresh() {}
