//! Paths of the edge function `manage-agent-tool-environment`. The functions are never called: their attributes are the document.
#![allow(dead_code, reason = "only the attributes are used")]

use utoipa::{Modify, OpenApi};

use super::errors;
use super::tools::UserSecrets;
use crate::agents::AgentEnvironment;
use crate::error::{ErrorCode, ErrorEnvelope};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "manage-agent-tool-environment",
        description = "The tool environment of a user's agent: a toolbox that is made for it. An agent of somebody else does not exist for the caller. Errors have the envelope and a stable code; where the operator runs a backend, its status and its JSON are passed on."
    ),
    servers((url = "/functions/v1/manage-agent-tool-environment")),
    paths(get, ensure, remove, get_of_none, ensure_of_none, remove_of_none),
    components(schemas(ErrorCode, ErrorEnvelope)),
    modifiers(&UserSecrets, &Errors),
    security(("user_token" = [], "apikey" = []))
)]
pub(super) struct Document;

struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        errors::add(openapi, errors::of_agent_environments);
    }
}

/// How the tool environment is.
#[utoipa::path(get, path = "/{agentId}", params(("agentId" = String, Path, format = "uuid")), responses((status = 200, body = AgentEnvironment)))]
fn get() {}

/// Sees to it that the agent has one: orders a machine unless there is one, and tries again what failed. Asked twice it makes one.
#[utoipa::path(post, path = "/{agentId}", params(("agentId" = String, Path, format = "uuid"), ("Prefer" = Option<String>, Header, description = "wait=N seconds until it is ready, N at most 60")),
    responses((status = 200, description = "It is ready", body = AgentEnvironment), (status = 202, description = "It is being made; `progress` tells how far it is", body = AgentEnvironment)))]
fn ensure() {}

/// Removes it, with its machine.
#[utoipa::path(delete, path = "/{agentId}", params(("agentId" = String, Path, format = "uuid")),
    responses((status = 200, description = "The agent has none", body = AgentEnvironment), (status = 202, description = "It is being removed", body = AgentEnvironment)))]
fn remove() {}

/// Answers 400: the agent is missing.
#[utoipa::path(get, path = "/", responses())]
fn get_of_none() {}

/// Answers 400: the agent is missing.
#[utoipa::path(post, path = "/", responses())]
fn ensure_of_none() {}

/// Answers 400: the agent is missing.
#[utoipa::path(delete, path = "/", responses())]
fn remove_of_none() {}
