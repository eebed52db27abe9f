//! Follows Docker's events, and lists all containers after a lost connection and from time to time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::watch;
use toolbox_domain::ids::ToolInstanceId;

use super::{InstancesHandle, Shared, stopped};
use crate::runtime::{RuntimeError, networks};

/// How often all containers are listed although no event came.
const PERIOD: Duration = Duration::from_mins(1);
/// Longest pause before Docker is tried again.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// Events after which a container may differ from the desired state.
const RELEVANT: &[&str] = &[
    "die", "destroy", "start", "pause", "unpause", "rename", "update", "create",
];

/// Watches until the shutdown signal. `looked` turns true once Docker was asked for the first time, with or without success.
pub async fn run(
    shared: Arc<Shared>,
    instances: InstancesHandle,
    looked: watch::Sender<bool>,
    mut shutdown: watch::Receiver<bool>,
) {
    let watching = async {
        let mut failures = 0_u32;
        loop {
            let ended = watch_once(&shared, &instances, &looked, &mut failures).await;
            looked.send_replace(true);
            match ended {
                Ok(()) => tracing::info!("Docker closed the event stream"),
                Err(error) if failures == 0 => {
                    tracing::warn!(%error, "lost Docker's events; trying again");
                }
                Err(error) => tracing::debug!(%error, failures, "Docker's events are still away"),
            }
            if failures == 0 {
                instances.look_all().await;
            }
            failures = failures.saturating_add(1);
            let pause = Duration::from_millis(250) * 2_u32.pow(failures.min(6));
            tokio::time::sleep(pause.min(MAX_PAUSE)).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stopped(&mut shutdown) => {}
    }
}

/// One connection. The stream is opened before the containers are listed, so that no change in between is missed.
async fn watch_once(
    shared: &Shared,
    instances: &InstancesHandle,
    looked: &watch::Sender<bool>,
    failures: &mut u32,
) -> Result<(), RuntimeError> {
    let mut events = shared.runtime.events().await?;
    let mut period = tokio::time::interval(PERIOD);
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return Ok(()),
                Some(event) => {
                    let event = event?;
                    let action = event.action.as_str();
                    // Docker adds the health itself: `health_status: healthy`.
                    if RELEVANT.contains(&action) || action.starts_with("health_status") {
                        instances.changed(event.instance).await;
                    }
                }
            },
            _ = period.tick() => {
                let inventory = shared.runtime.inventory().await?;
                if std::mem::take(failures) > 0 {
                    tracing::info!("Docker answers again");
                    // Before the instances are woken, which ask for it.
                    shared.docker_returns.fetch_add(1, Ordering::Relaxed);
                }
                let ours: BTreeSet<_> = inventory.ours.into_iter().map(|(id, _)| id).collect();
                instances.inventory(ours.iter().copied().collect()).await;
                looked.send_replace(true);
                remove_unwanted_networks(shared, &ours).await?;
            }
        }
    }
}

/// Removes networks that belong to no instance any more: neither to a record nor to one of `containers`.
async fn remove_unwanted_networks(
    shared: &Shared,
    containers: &BTreeSet<ToolInstanceId>,
) -> Result<(), RuntimeError> {
    let (store, toolbox) = (Arc::clone(&shared.store), shared.toolbox);
    let of_records = tokio::task::spawn_blocking(move || store.networks(toolbox)).await;
    let Ok(Ok(Some(mut wanted))) = of_records else {
        return Ok(());
    };
    wanted.insert(networks::of_builds(toolbox));
    wanted.extend(
        containers
            .iter()
            .map(|id| networks::of_instance(toolbox, *id)),
    );
    shared.runtime.remove_networks_except(&wanted).await
}
