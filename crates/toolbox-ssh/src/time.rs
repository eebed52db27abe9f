//! Deadlines, on the clock of the host.

use core::time::Duration;

/// What `work` gives, if it gives it within `limit`; else it is dropped.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// What `work` gives, if it gives it within `limit`; else it is dropped.
#[cfg(target_arch = "wasm32")]
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    use futures_util::future::{Either, select};

    let timer = core::pin::pin!(gloo_timers::future::sleep(limit));
    match select(core::pin::pin!(work), timer).await {
        Either::Left((value, _)) => Some(value),
        Either::Right(_) => None,
    }
}
