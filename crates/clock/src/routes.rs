//! Everything `clock` answers.

use toolbox_edge::{Function, Route};

use crate::tick;

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "clock",
    users: None,
    routes: &[Route {
        method: "POST",
        path: "/tick",
        handler: |cx| Box::pin(async move { tick::tick(&cx).await }),
    }],
};
