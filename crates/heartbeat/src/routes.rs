//! Everything `heartbeat` answers.

use toolbox_edge::{Function, Route};

use crate::{beat, desired, enrol};

/// The function and its table of routes.
pub static FUNCTION: Function = Function {
    name: "heartbeat",
    users: None,
    routes: &[
        Route {
            method: "POST",
            path: "/{toolboxId}",
            handler: |cx| Box::pin(async move { beat::beat(&cx).await }),
        },
        Route {
            method: "POST",
            path: "/{toolboxId}/enrol",
            handler: |cx| Box::pin(async move { enrol::enrol(&cx).await }),
        },
        Route {
            method: "GET",
            path: "/{toolboxId}/desired",
            handler: |cx| Box::pin(async move { desired::desired(&cx).await }),
        },
    ],
};
