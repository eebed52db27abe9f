//! Images that the agent pulled and nobody uses any more.
//!
//! They go with the last instance that names them. What a crash, or a deployment that failed, leaves behind is found at the
//! start and from time to time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use toolbox_domain::ids::ToolInstanceId;

use super::{Shared, stopped};

/// How often leftovers are looked for.
const PERIOD: Duration = Duration::from_hours(1);

/// Removes leftovers until the shutdown signal.
pub async fn run(shared: Arc<Shared>, mut shutdown: watch::Receiver<bool>) {
    let cleaning = async {
        let mut period = tokio::time::interval(PERIOD);
        loop {
            period.tick().await;
            drop_all(&shared).await;
        }
    };
    tokio::select! {
        () = cleaning => {}
        () = stopped(&mut shutdown) => {}
    }
}

/// Removes every image that the agent pulled and no instance names. Best effort.
pub async fn drop_all(shared: &Arc<Shared>) {
    let store = Arc::clone(&shared.store);
    match tokio::task::spawn_blocking(move || store.unused()).await {
        Ok(Ok(unused)) => {
            for image in unused {
                drop_one(shared, None, image).await;
            }
        }
        Ok(Err(error)) => {
            tracing::debug!(error = %crate::error_chain(&error), "unused images are not known");
        }
        Err(error) => tracing::error!(%error, "the store panicked"),
    }
}

/// Removes an image that the agent pulled, once no instance but `except` names it and no container uses it. Best effort.
pub async fn drop_one(shared: &Arc<Shared>, except: Option<ToolInstanceId>, image: String) {
    let store = Arc::clone(&shared.store);
    let of = image.clone();
    let unused = tokio::task::spawn_blocking(move || store.is_unused(&of, except)).await;
    if !matches!(unused, Ok(Ok(true))) {
        return;
    }
    match shared.runtime.remove_unused(&image).await {
        Ok(true) => {
            tracing::info!(image, "removed an image that nobody uses any more");
            let store = Arc::clone(&shared.store);
            let forgotten = tokio::task::spawn_blocking(move || store.remove_pulled(&image)).await;
            if let Ok(Err(error)) = forgotten {
                tracing::debug!(error = %crate::error_chain(&error), "a removed image is still remembered");
            }
        }
        Ok(false) => tracing::debug!(image, "a container uses the image; it stays"),
        Err(error) => tracing::debug!(image, %error, "an image stays"),
    }
}
