//! The OpenAPI 3.1 documents, made from the wire types.
//!
//! `cargo run -p toolbox-api --features openapi --bin toolbox-openapi -- docs/api` writes them; with
//! `--check` it compares instead. Tests beside the servers compare the paths with the route tables.

mod agent;
mod agent_environments;
mod clock;
mod console;
mod errors;
mod executor;
mod heartbeat;
mod operators;
mod toolboxes;
mod tools;

use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

/// The edge function `toolbox-tools`.
pub fn toolbox_tools() -> OpenApi {
    tools::Document::openapi()
}

/// The edge function `toolbox-dtma-console`.
pub fn toolbox_dtma_console() -> OpenApi {
    console::Document::openapi()
}

/// The edge function `ssh-command-executor`.
pub fn ssh_command_executor() -> OpenApi {
    executor::Document::openapi()
}

/// The edge function `manage-agent-tool-environment`.
pub fn manage_agent_tool_environment() -> OpenApi {
    agent_environments::Document::openapi()
}

/// The edge function `toolboxes-user`.
pub fn toolboxes_user() -> OpenApi {
    toolboxes::Document::openapi()
}

/// The edge function `operators`.
pub fn operators() -> OpenApi {
    operators::Document::openapi()
}

/// The edge function `heartbeat`.
pub fn heartbeat() -> OpenApi {
    heartbeat::Document::openapi()
}

/// The edge function `clock`.
pub fn clock() -> OpenApi {
    clock::Document::openapi()
}

/// The agent.
pub fn dtma() -> OpenApi {
    agent::Document::openapi()
}

/// Method and path of every operation of `document`, sorted; methods in upper case.
pub fn operations(document: &OpenApi) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (path, item) in &document.paths.paths {
        let methods = [
            ("GET", item.get.is_some()),
            ("PUT", item.put.is_some()),
            ("POST", item.post.is_some()),
            ("PATCH", item.patch.is_some()),
            ("DELETE", item.delete.is_some()),
        ];
        for (method, present) in methods {
            if present {
                found.push((method.to_owned(), path.clone()));
            }
        }
    }
    found.sort();
    found
}
