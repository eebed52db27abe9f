//! Paths of the edge function `operators`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::{Modify, OpenApi};

use super::errors;
use super::tools::UserSecrets;
use crate::console::{ConsoleRollout, ConsoleRolloutRequest};
use crate::error::{ErrorCode, ErrorEnvelope};
use crate::operators::{
    AgentVersionRequest, CatalogEntryRequest, Fleet, FleetRollout, OperatorCatalog, OwnQuota,
    UserQuotas,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "operators",
        description = "For operators alone, whose access token says `app_metadata.toolbox_role: operator`; everybody else is answered 403. The toolboxes of all users, the replacement of their agents, the catalog, and how much each user may have. Errors have the envelope and a stable code."
    ),
    servers((url = "/functions/v1/operators")),
    paths(fleet, set_agent_version, begin_rollout, rollout, stop_rollout, catalog, put_entry, delete_entry, quotas, set_quota),
    components(schemas(ErrorCode, ErrorEnvelope)),
    modifiers(&UserSecrets, &Errors),
    security(("user_token" = [], "apikey" = []))
)]
pub(super) struct Document;

struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        errors::add(openapi, errors::of_operators);
    }
}

/// The toolboxes of all users, 50 at once, and the last rollouts of the fleet.
#[utoipa::path(get, path = "/fleet", params(("show" = Option<String>, Query, description = "`all` (also when absent), `old`, `silent` or `failing`"), ("search" = Option<String>, Query, description = "part of the owner's address or id, or of the toolbox's name or id"), ("offset" = Option<u32>, Query, description = "how many to leave out")),
    responses((status = 200, body = Fleet)))]
fn fleet() {}

/// Says which version agents should have.
#[utoipa::path(put, path = "/agent-version", request_body = AgentVersionRequest, responses((status = 204)))]
fn set_agent_version() {}

/// Replaces the agents of toolboxes of all users in waves; the first failure stops it, and a machine that is silent when it is
/// its turn is not asked. Without `toolboxIds` those that report and have another version, 500 at once.
#[utoipa::path(post, path = "/rollouts", request_body = ConsoleRolloutRequest, responses((status = 202, body = ConsoleRollout)))]
fn begin_rollout() {}

/// A rollout of the fleet with all its toolboxes.
#[utoipa::path(get, path = "/rollouts/{rolloutId}", params(("rolloutId" = String, Path, format = "uuid")), responses((status = 200, body = FleetRollout)))]
fn rollout() {}

/// Lets a rollout of the fleet ask no further toolbox, whichever operator began it.
#[utoipa::path(post, path = "/rollouts/{rolloutId}/stop", params(("rolloutId" = String, Path, format = "uuid")), responses((status = 200, body = ConsoleRollout)))]
fn stop_rollout() {}

/// Every entry of the catalog, also those that users do not see.
#[utoipa::path(get, path = "/catalog", responses((status = 200, body = OperatorCatalog)))]
fn catalog() {}

/// Makes an entry under an id that the caller draws, or writes all of it anew. What was deployed from it stays as it is.
#[utoipa::path(put, path = "/catalog/{catalogId}", request_body = CatalogEntryRequest, params(("catalogId" = String, Path, format = "uuid")), responses((status = 201, description = "It is new"), (status = 204, description = "It is changed")))]
fn put_entry() {}

/// Removes an entry from which nothing was deployed. Another one is archived instead.
#[utoipa::path(delete, path = "/catalog/{catalogId}", params(("catalogId" = String, Path, format = "uuid")), responses((status = 204, description = "It is gone")))]
fn delete_entry() {}

/// Users, 50 at once, each with what was set for them and what they have.
#[utoipa::path(get, path = "/quotas", params(("search" = Option<String>, Query, description = "part of the user's address or id"), ("offset" = Option<u32>, Query, description = "how many to leave out")),
    responses((status = 200, body = UserQuotas)))]
fn quotas() {}

/// Says how much one user may have. What they have already stays.
#[utoipa::path(put, path = "/quotas/{userId}", request_body = OwnQuota, params(("userId" = String, Path, format = "uuid")), responses((status = 204)))]
fn set_quota() {}
