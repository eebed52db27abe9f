//! A function whose handlers panic, for the test of the wrapper (tests/edge/panics_test.ts).
//! Never deployed: only `scripts/build-wasm --tests` builds it.
#![allow(
    missing_docs,
    clippy::panic,
    reason = "a test fixture whose purpose is to panic"
)]

use std::time::Duration;

use toolbox_api::error::ApiError;
use toolbox_edge::{Function, Reply, RequestContext, Route, reply};

pub static FUNCTION: Function = Function {
    name: "test-panics",
    users: Some(toolbox_edge::identity::user),
    routes: &[
        Route {
            method: "GET",
            path: "/fine",
            handler: |cx| Box::pin(fine(cx)),
        },
        Route {
            method: "GET",
            path: "/at-once",
            handler: |_| panic!("SECRET at once"),
        },
        Route {
            method: "GET",
            path: "/later",
            handler: |cx| Box::pin(later(cx)),
        },
        Route {
            method: "GET",
            path: "/overflow",
            handler: |cx| Box::pin(overflow(cx)),
        },
        Route {
            method: "GET",
            path: "/background",
            handler: |cx| Box::pin(background(cx)),
        },
    ],
};

async fn wait(cx: &RequestContext) {
    let share = cx.state.clock.random();
    cx.state
        .clock
        .sleep(Duration::from_millis(30).mul_f64(share))
        .await;
}

async fn fine(cx: RequestContext) -> Result<Reply, ApiError> {
    wait(&cx).await;
    wait(&cx).await;
    reply::json(200, &cx.request_id.as_ref())
}

async fn later(cx: RequestContext) -> Result<Reply, ApiError> {
    wait(&cx).await;
    panic!("SECRET later")
}

async fn overflow(cx: RequestContext) -> Result<Reply, ApiError> {
    wait(&cx).await;
    reply::json(200, &recurse(0))
}

/// Uses stack until there is none left.
#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    recurse(depth + 1).wrapping_add(frame[usize::try_from(depth % 64).unwrap_or_default()])
}

async fn background(cx: RequestContext) -> Result<Reply, ApiError> {
    wait(&cx).await;
    let clock = std::sync::Arc::clone(&cx.state.clock);
    cx.state.host.background(Box::pin(async move {
        clock.sleep(Duration::from_millis(10)).await;
        panic!("SECRET after the answer")
    }));
    reply::json(200, &"answered")
}

#[cfg(target_arch = "wasm32")]
#[wasm_bindgen::prelude::wasm_bindgen(start)]
fn start() {
    toolbox_edge::wasm::install(&FUNCTION);
}
