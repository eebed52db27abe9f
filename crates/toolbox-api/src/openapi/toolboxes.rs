//! Paths of the edge function `toolboxes-user`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::{Modify, OpenApi};

use super::errors;
use super::tools::UserSecrets;
use crate::error::{ErrorCode, ErrorEnvelope};
use crate::toolboxes::{
    CreateToolboxRequest, ResizeToolboxRequest, ToolboxEnrolment, ToolboxOptions, ToolboxQuota,
    ToolboxRefreshed, ToolboxView, UpdateToolboxRequest,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "toolboxes-user",
        description = "The caller's toolboxes: made, seen, renamed and removed. A toolbox of somebody else does not exist for the caller. Errors have the envelope and a stable code; where a machine was asked and did not answer, the toolbox stands beside `error`."
    ),
    servers((url = "/functions/v1/toolboxes-user")),
    paths(create, list, options, quota, get, update, remove, enrol, resize, reboot, retry, refresh),
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
#[utoipa::path(post, path = "/", request_body = CreateToolboxRequest, params(("Idempotency-Key" = Option<String>, Header, description = "of a machine that is bought: ordering again with the same key makes no second one"), ("Prefer" = Option<String>, Header, description = "wait=N seconds for a bought machine, N at most 60")),
    responses((status = 201, description = "Of a machine of the user's own; or a bought one is ready", body = ToolboxEnrolment), (status = 202, description = "A machine is ordered; `progress` tells how far it is", body = ToolboxView)))]
fn create() {}

/// The caller's toolboxes, the oldest first.
#[utoipa::path(get, path = "/", responses((status = 200, body = [ToolboxView])))]
fn list() {}

/// Regions and sizes of machines that can be bought now, with their prices.
#[utoipa::path(get, path = "/options", responses((status = 200, body = ToolboxOptions)))]
fn options() {}

/// How much the caller may have, and has.
#[utoipa::path(get, path = "/quota", responses((status = 200, body = ToolboxQuota)))]
fn quota() {}

/// One toolbox.
#[utoipa::path(get, path = "/{toolboxId}", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 200, body = ToolboxView)))]
fn get() {}

/// Renames a toolbox, describes it anew, or says where a machine of the user's own answers.
#[utoipa::path(patch, path = "/{toolboxId}", request_body = UpdateToolboxRequest, params(("toolboxId" = String, Path, format = "uuid")), responses((status = 200, body = ToolboxView)))]
fn update() {}

/// Removes a toolbox. A machine of the user's own is forgotten at once; what runs on it stays until it is uninstalled there.
#[utoipa::path(delete, path = "/{toolboxId}", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 202, description = "A bought machine is being removed", body = ToolboxView), (status = 204, description = "It is gone")))]
fn remove() {}

/// A new command for a machine of the user's own, with a new token. Earlier tokens end; once it is used, so do earlier keys.
#[utoipa::path(post, path = "/{toolboxId}/enrolment", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 201, body = ToolboxEnrolment)))]
fn enrol() {}

/// Gives a bought machine another size; its tools stay. The machine is off for some minutes.
#[utoipa::path(post, path = "/{toolboxId}/resize", request_body = ResizeToolboxRequest, params(("toolboxId" = String, Path, format = "uuid")), responses((status = 202, body = ToolboxView)))]
fn resize() {}

/// Restarts a bought machine.
#[utoipa::path(post, path = "/{toolboxId}/reboot", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 202, body = ToolboxView)))]
fn reboot() {}

/// Tries again to make or to remove a bought machine, after an error.
#[utoipa::path(post, path = "/{toolboxId}/retry", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 202, body = ToolboxView)))]
fn retry() {}

/// Asks the machine now.
#[utoipa::path(post, path = "/{toolboxId}/refresh-status", params(("toolboxId" = String, Path, format = "uuid")), responses((status = 200, body = ToolboxRefreshed)))]
fn refresh() {}
