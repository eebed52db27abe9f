//! Paths of the edge function `toolbox-dtma-console`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::{Modify, OpenApi};

use super::errors;
use super::tools::UserSecrets;
use crate::console::{
    ConsoleChange, ConsoleDiagnosis, ConsoleLogs, ConsoleRedeployRequest, ConsoleRequest,
    ConsoleRollout, ConsoleRolloutRequest, ConsoleStatus,
};
use crate::error::{ErrorCode, ErrorEnvelope};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "toolbox-dtma-console",
        description = "See, restart, replace and diagnose the agent of a toolbox. Each answer says by which way it came (agent, companion, SSH) and what failed before. Errors of a request have the envelope and a stable code; where a machine was asked and could not be reached, `success`, `connection_status` or `attempts` stand beside `error`."
    ),
    servers((url = "/functions/v1/toolbox-dtma-console")),
    paths(invoke, invoke_by_put, invoke_by_patch, invoke_by_delete, status, diagnose, logs, operation, restart, redeploy, rollback, begin_rollout, rollout, stop_rollout),
    components(schemas(ErrorCode, ErrorEnvelope, ConsoleStatus, ConsoleChange, ConsoleLogs, ConsoleDiagnosis)),
    modifiers(&UserSecrets, &Errors),
    security(("user_token" = [], "apikey" = []))
)]
pub(super) struct Document;

struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        errors::add(openapi, errors::of_console);
    }
}

/// Any action, as `supabase.functions.invoke` sends it. Answers as the action's own route does.
#[utoipa::path(post, path = "/", request_body = ConsoleRequest, params(("Prefer" = Option<String>, Header, description = "wait=N seconds for the end of a change, N at most 60")),
    responses((status = 200, description = "As the action's own route answers", body = ConsoleStatus), (status = 202, description = "The machine has accepted it", body = ConsoleChange)))]
fn invoke() {}

/// The same for actions that change nothing.
#[utoipa::path(put, path = "/", request_body = ConsoleRequest, responses((status = 200, body = ConsoleStatus)))]
fn invoke_by_put() {}

/// The same for actions that change nothing.
#[utoipa::path(patch, path = "/", request_body = ConsoleRequest, responses((status = 200, body = ConsoleStatus)))]
fn invoke_by_patch() {}

/// The same for actions that change nothing.
#[utoipa::path(delete, path = "/", request_body = ConsoleRequest, responses((status = 200, body = ConsoleStatus)))]
fn invoke_by_delete() {}

/// How the machine and its agent are: health, versions, metrics of the last hour, certificate, last heartbeat, and each part with its response time.
#[utoipa::path(get, path = "/{toolboxId}/status", params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = ConsoleStatus)))]
fn status() {}

/// What is wrong, from the control plane to the machine and on it: each check with a verdict, evidence and the one thing to do.
#[utoipa::path(get, path = "/{toolboxId}/diagnose", params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = ConsoleDiagnosis)))]
fn diagnose() {}

/// The end of the agent's own log; with `follow=true` a stream of lines.
#[utoipa::path(get, path = "/{toolboxId}/logs",
    params(("toolboxId" = String, Path, format = "uuid"), ("tail" = Option<String>, Query, description = "lines from the end, at most 5000, or `all`; 100 when absent"), ("follow" = Option<bool>, Query)),
    responses((status = 200, content((ConsoleLogs = "application/json"), (String = "text/plain")))))]
fn logs() {}

/// How the last redeployment or rollback goes.
#[utoipa::path(get, path = "/{toolboxId}/operation", params(("toolboxId" = String, Path, format = "uuid")),
    responses((status = 200, body = ConsoleChange)))]
fn operation() {}

/// Ends the agent, which is started again. Containers go on running.
#[utoipa::path(post, path = "/{toolboxId}/restart", params(("toolboxId" = String, Path, format = "uuid"), ("Prefer" = Option<String>, Header, description = "wait=N seconds for the end, N at most 60")),
    responses((status = 200, description = "It answers again", body = ConsoleChange), (status = 202, description = "The machine has accepted it", body = ConsoleChange)))]
fn restart() {}

/// Replaces the agent by another version; the one before comes back by itself when the new one is not healthy.
#[utoipa::path(post, path = "/{toolboxId}/redeploy", request_body = Option<ConsoleRedeployRequest>, params(("toolboxId" = String, Path, format = "uuid"), ("Prefer" = Option<String>, Header, description = "wait=N seconds for the end, N at most 60")),
    responses((status = 200, description = "The new version is healthy", body = ConsoleChange), (status = 202, description = "The machine has accepted it", body = ConsoleChange)))]
fn redeploy() {}

/// Replaces the agent by the version before.
#[utoipa::path(post, path = "/{toolboxId}/rollback", params(("toolboxId" = String, Path, format = "uuid"), ("Prefer" = Option<String>, Header, description = "wait=N seconds for the end, N at most 60")),
    responses((status = 200, description = "The version before is healthy", body = ConsoleChange), (status = 202, description = "The machine has accepted it", body = ConsoleChange)))]
fn rollback() {}

/// Replaces the agents of many toolboxes in waves. It begins with the next tick; the next wave begins when every toolbox of the one before is healthy; a machine that is silent when it is its turn is not asked, and the first failure stops it.
#[utoipa::path(post, path = "/rollouts", request_body = Option<ConsoleRolloutRequest>, responses((status = 202, description = "It begins with the next tick", body = ConsoleRollout)))]
fn begin_rollout() {}

/// How a rollout goes.
#[utoipa::path(get, path = "/rollouts/{rolloutId}", params(("rolloutId" = String, Path, format = "uuid")),
    responses((status = 200, body = ConsoleRollout)))]
fn rollout() {}

/// Lets a rollout ask no further toolbox; those that were asked go on. One that has ended stays as it is.
#[utoipa::path(post, path = "/rollouts/{rolloutId}/stop", params(("rolloutId" = String, Path, format = "uuid")),
    responses((status = 200, body = ConsoleRollout)))]
fn stop_rollout() {}
