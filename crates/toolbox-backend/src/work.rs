//! The loop that goes on with toolboxes under way.
//!
//! It takes those that are due and that nobody else holds, and goes on with each as long as its next step is near. It looks again
//! at once after a look that found something, and else after a [`PAUSE`].
//! Leases in the rows share the work among several servers, ticks and requests. A look that fails is logged and counted; the next
//! one comes after a longer pause.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use toolbox_api::error::ApiError;
use toolbox_http::Clock as _;

use crate::server::Backend;

/// After a look that found nothing.
const PAUSE: Duration = Duration::from_secs(3);
/// The longest pause, after looks that failed.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Toolboxes of one look.
const MOST_AT_ONCE: u32 = 20;
/// How long one look goes on with its toolboxes. The end of the server waits for it.
const BUDGET: Duration = Duration::from_secs(10);

/// Looks until `end` says that it shall end; a look that has begun ends first.
pub(crate) async fn run(backend: Arc<Backend>, mut end: watch::Receiver<bool>) {
    let mut pause = PAUSE;
    while !*end.borrow() {
        pause = match look(&backend).await {
            // More may be due than one look takes.
            Ok(1..) => Duration::ZERO,
            Ok(0) => PAUSE,
            Err(error) => {
                let code = error.code.as_str();
                let cause = error.cause.as_deref();
                tracing::error!(code, cause, "due toolboxes could not be gone on with");
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
        tokio::select! {
            // The sender is gone: so is the server.
            _ = end.wait_for(|ended| *ended) => return,
            () = sleep(pause) => {}
        }
    }
}

/// Goes on with what is due, once; how many steps that were.
pub(crate) async fn look(backend: &Backend) -> Result<u32, ApiError> {
    let begun = Instant::now();
    let provisioning = backend.provisioning.get();
    let advanced = provisioning
        .advance_due(&backend.holder, MOST_AT_ONCE, BUDGET)
        .await;
    let now = backend.native.now();
    let count = advanced.as_ref().ok().copied();
    backend.metrics.looked(begun.elapsed(), count, now);
    advanced
}
