//! Everything `ssh-command-executor` answers.

use toolbox_edge::{Function, Route};

use crate::execute;

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "ssh-command-executor",
    users: Some(toolbox_edge::identity::user),
    routes: &[Route {
        method: "POST",
        path: "/",
        handler: |cx| Box::pin(async move { execute::execute(&cx).await }),
    }],
};
