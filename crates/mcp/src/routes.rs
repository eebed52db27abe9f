//! Everything `mcp` answers. Preflights are answered before the table is asked.

use toolbox_edge::router::Handler;
use toolbox_edge::{Function, Route};

use crate::{discovery, pass, refusal};

const PASS: Handler = |cx| {
    Box::pin(async move {
        let answered = pass::pass(&cx).await;
        Ok(answered.unwrap_or_else(|error| refusal::reply(&cx, &error)))
    })
};

const PASS_ALL: Handler = |cx| {
    Box::pin(async move {
        let answered = pass::pass_all(&cx).await;
        Ok(answered.unwrap_or_else(|error| refusal::reply(&cx, &error)))
    })
};

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "mcp",
    users: None,
    routes: &[
        Route {
            method: "GET",
            path: "/{instanceId}/oauth-protected-resource",
            handler: discovery::metadata,
        },
        Route {
            method: "GET",
            path: "/{instanceId}/.well-known/oauth-protected-resource",
            handler: discovery::metadata,
        },
        Route {
            method: "GET",
            path: "/.well-known/oauth-protected-resource/{instanceId}",
            handler: discovery::metadata,
        },
        Route {
            method: "GET",
            path: "/toolbox/{toolboxId}/oauth-protected-resource",
            handler: discovery::metadata,
        },
        Route {
            method: "GET",
            path: "/toolbox/{toolboxId}/.well-known/oauth-protected-resource",
            handler: discovery::metadata,
        },
        Route {
            method: "GET",
            path: "/.well-known/oauth-protected-resource/toolbox/{toolboxId}",
            handler: discovery::metadata,
        },
        Route {
            method: "POST",
            path: "/{instanceId}",
            handler: PASS,
        },
        Route {
            method: "GET",
            path: "/{instanceId}",
            handler: PASS,
        },
        Route {
            method: "DELETE",
            path: "/{instanceId}",
            handler: PASS,
        },
        Route {
            method: "POST",
            path: "/toolbox/{toolboxId}",
            handler: PASS_ALL,
        },
        Route {
            method: "GET",
            path: "/toolbox/{toolboxId}",
            handler: PASS_ALL,
        },
        Route {
            method: "DELETE",
            path: "/toolbox/{toolboxId}",
            handler: PASS_ALL,
        },
    ],
};
