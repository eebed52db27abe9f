//! The end of a container: waiting for it, and whether it ended by itself or somebody ended it through Docker.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::query_parameters::{EventsOptions, EventsOptionsBuilder, WaitContainerOptionsBuilder};
use futures_util::StreamExt;
use time::{Duration, OffsetDateTime};

use super::docker::DockerEngine;
use super::{Container, ContainerId, Operation, RuntimeError};

/// The longest grace that is looked back for between the signal and the end.
const GRACE: Duration = Duration::minutes(1);
/// Docker dates an end when the process ended, and the signal once it was delivered, which a busy machine delays.
const SKEW: Duration = Duration::seconds(10);
/// Signals that programs take for a request to read their files again: HUP, USR1 and USR2.
const HARMLESS: &[&str] = &["1", "10", "12"];

impl DockerEngine {
    /// Whether the container ends within this time.
    pub(super) async fn wait_for_end(
        &self,
        container: &ContainerId,
        within: std::time::Duration,
    ) -> Result<bool, RuntimeError> {
        let options = WaitContainerOptionsBuilder::default()
            .condition("not-running")
            .build();
        let client = self.client().await?;
        let mut ends = client.wait_container(container.as_str(), Some(options));
        match tokio::time::timeout(within, ends.next()).await {
            Err(_) => Ok(false),
            // bollard reports an exit code other than 0 as an error.
            Ok(Some(Ok(_) | Err(DockerError::DockerContainerWaitError { .. })) | None) => Ok(true),
            Ok(Some(Err(error))) => Err(self.fault(Operation::Look, error)),
        }
    }

    /// Whether the container, which has ended, was sent a signal through Docker shortly before. Docker keeps its last 256
    /// events (`GET /events` with `since` and `until`), and logs the signal and the end before it shows the end; what is
    /// not there any more counts as an end by itself, and so does what Docker does not tell in time.
    pub(super) async fn signalled_before_its_end(
        &self,
        container: &Container,
    ) -> Result<bool, RuntimeError> {
        let (Some(start), Some(end)) = (container.started_at, container.finished_at) else {
            return Ok(false);
        };
        let one = |value: &str| vec![value.to_owned()];
        let filters = HashMap::from([
            ("type", one("container")),
            ("container", one(container.id.as_str())),
            ("event", vec!["kill".to_owned(), "die".to_owned()]),
        ]);
        let options = EventsOptionsBuilder::default()
            .since(&unix(start.max(end - GRACE)))
            .until(&unix(end + SKEW))
            .filters(&filters)
            .build();
        let asked = self.call(
            (Operation::Look, "list events"),
            self.deadlines.look,
            |docker| first_signal(docker, options),
        );
        match asked.await {
            Err(error @ RuntimeError::Unreachable { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(container = container.id.short(), %error, "it is not known who ended the container; it counts as an end by itself");
                Ok(false)
            }
            Ok(signalled) => Ok(signalled),
        }
    }
}

/// Reads up to the end of the container, so that nobody waits for `until`.
async fn first_signal(docker: Docker, options: EventsOptions) -> Result<bool, DockerError> {
    let mut events = docker.events(Some(options));
    while let Some(event) = events.next().await.transpose()? {
        if event.action.as_deref() != Some("kill") {
            return Ok(false);
        }
        let attributes = event.actor.and_then(|actor| actor.attributes);
        let signal = attributes.and_then(|mut all| all.remove("signal"));
        if signal.is_none_or(|signal| !HARMLESS.contains(&signal.as_str())) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Seconds and nanoseconds since 1970, as Docker reads them.
fn unix(at: OffsetDateTime) -> String {
    format!("{}.{:09}", at.unix_timestamp(), at.nanosecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_docker_reads_them() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_000_000_042).unwrap();
        assert_eq!(unix(at), "1700000000.000000042");
    }
}
