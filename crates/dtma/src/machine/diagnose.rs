//! What is wrong on this machine: each check has a verdict, what it rests on, and the one thing to do.
//!
//! The checks run at once, each with a deadline. What depends on a check that failed is `not_checked`, so that the first
//! thing to do is told once.

mod control;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use toolbox_api::dtma::{DiskMetrics, FirewallState, HostFirewall};
use toolbox_api::machine::{Check, Diagnosis, Verdict};
use toolbox_domain::ids::ToolboxId;

use super::companion::Companion;
use crate::metrics::Machine;
use crate::runtime::ContainerRuntime;

/// How long Docker may take to answer.
const DOCKER_LIMIT: Duration = Duration::from_secs(5);

/// What the checks look at.
pub struct Doctor {
    pub toolbox: ToolboxId,
    pub runtime: Arc<dyn ContainerRuntime>,
    pub machine: Arc<Machine>,
    /// Share of the disk that should be free, in percent.
    pub disk_free_percent: u8,
    /// The control plane's function `heartbeat`, and further certificates for it.
    pub control_url: Option<Uri>,
    pub control_ca_file: Option<PathBuf>,
    /// The companion; none where none is configured.
    pub companion: Option<Arc<Companion>>,
}

impl Doctor {
    /// All checks.
    pub async fn diagnose(&self) -> Diagnosis {
        let (docker, companion, control) =
            tokio::join!(self.docker(), self.companion(), control::checks(self));
        let metrics = self.machine.read();
        let mut checks = vec![
            docker,
            disk(metrics.disk.as_ref(), self.disk_free_percent),
            host_firewall(metrics.host_firewall.as_ref()),
        ];
        checks.extend(control);
        checks.push(companion);
        Diagnosis { checks }
    }

    async fn docker(&self) -> Check {
        let start = "Start Docker on the machine: systemctl start docker";
        match tokio::time::timeout(DOCKER_LIMIT, self.runtime.info()).await {
            Ok(Ok(engine)) => Check::new(
                "docker",
                Verdict::Ok,
                format!(
                    "Docker {} answers (API {})",
                    engine.version, engine.api_version
                ),
            ),
            Ok(Err(error)) => {
                Check::new("docker", Verdict::Failed, crate::error_chain(&error)).then(start)
            }
            Err(_) => {
                let evidence = format!("Docker did not answer within {} s", DOCKER_LIMIT.as_secs());
                Check::new("docker", Verdict::Failed, evidence)
                    .then("Restart Docker on the machine: systemctl restart docker")
            }
        }
    }

    async fn companion(&self) -> Check {
        let Some(companion) = &self.companion else {
            return Check::new(
                "companion",
                Verdict::NotChecked,
                "the agent is told of no companion (DTMA_COMPANION_PORT)",
            );
        };
        let (state, evidence) = companion.state().await;
        if state.reachable {
            Check::new("companion", Verdict::Ok, evidence)
        } else {
            Check::new("companion", Verdict::Failed, evidence)
                .then("Start the companion on the machine: systemctl start dtma-companion")
        }
    }
}

/// Less than the share that should be free is a warning, less than a quarter of it a failure: images can then not be
/// fetched, nor records written.
fn disk(disk: Option<&DiskMetrics>, free_percent: u8) -> Check {
    let Some(disk) = disk.filter(|disk| disk.total_bytes > 0) else {
        return Check::new(
            "disk",
            Verdict::NotChecked,
            "the disk could not be measured",
        );
    };
    let share = |percent: u64| disk.total_bytes / 100 * percent;
    let verdict = match disk.free_bytes {
        free if free.saturating_mul(4) < share(free_percent.into()) => Verdict::Failed,
        free if free < share(free_percent.into()) => Verdict::Warning,
        _ => Verdict::Ok,
    };
    let tenths = disk.free_bytes.saturating_mul(1000) / disk.total_bytes;
    let evidence = format!(
        "{}.{} % of {} is free ({} MiB of {} MiB); {free_percent} % should be",
        tenths / 10,
        tenths % 10,
        disk.mount,
        disk.free_bytes >> 20,
        disk.total_bytes >> 20,
    );
    let found = Check::new("disk", verdict, evidence);
    match verdict {
        Verdict::Ok => found,
        _ => found.then(
            "Free space on the machine, such as with docker image prune --all, or enlarge the disk",
        ),
    }
}

/// Whether the rules keep containers away from the machine, as was last tried.
fn host_firewall(told: Option<&HostFirewall>) -> Check {
    let check = |verdict, evidence: &str| Check::new("host_firewall", verdict, evidence);
    let Some(told) = told else {
        return check(Verdict::NotChecked, "this program sets no rules");
    };
    let detail = told.detail.as_deref().unwrap_or_default();
    match told.state {
        FirewallState::Verified => check(
            Verdict::Ok,
            "containers are kept away from the machine; one that tried was refused",
        ),
        FirewallState::Unverified => check(Verdict::Warning, detail)
            .then("Mend what keeps a container from trying the rules; it is tried again within a minute"),
        FirewallState::Ineffective => check(Verdict::Failed, detail)
            .then("Run the agent in the machine's own network, and end what removes its rules or takes packets past nftables"),
        FirewallState::Unavailable => check(Verdict::Failed, detail)
            .then("Start the agent with the capability NET_ADMIN in the machine's own network, on a kernel with nftables"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_firewall_is_well_only_where_a_container_was_refused() {
        let judged = |state| {
            let told = HostFirewall {
                state,
                detail: (state != FirewallState::Verified).then(|| "why".to_owned()),
                since: "2026-01-01T00:00:00Z".to_owned(),
            };
            host_firewall(Some(&told))
        };
        for (state, verdict) in [
            (FirewallState::Verified, Verdict::Ok),
            (FirewallState::Unverified, Verdict::Warning),
            (FirewallState::Ineffective, Verdict::Failed),
            (FirewallState::Unavailable, Verdict::Failed),
        ] {
            let found = judged(state);
            assert_eq!(found.verdict, verdict, "{state:?}");
            assert_eq!(found.action.is_some(), verdict != Verdict::Ok);
            assert_eq!(found.evidence == "why", verdict != Verdict::Ok);
        }
        assert_eq!(host_firewall(None).verdict, Verdict::NotChecked);
    }

    #[test]
    fn a_disk_is_judged_by_the_share_that_is_free() {
        let judged = |free_bytes, percent| {
            let metrics = DiskMetrics {
                mount: "/var".to_owned(),
                total_bytes: 1000 << 20,
                used_bytes: 0,
                free_bytes,
            };
            disk(Some(&metrics), percent)
        };
        for (free, verdict) in [
            (100, Verdict::Ok),
            (99, Verdict::Warning),
            (25, Verdict::Warning),
            (24, Verdict::Failed),
            (0, Verdict::Failed),
        ] {
            let found = judged(free << 20, 10);
            assert_eq!(found.verdict, verdict, "{}", found.evidence);
            assert_eq!(found.action.is_some(), verdict != Verdict::Ok);
        }
        assert_eq!(
            judged(0, 0).verdict,
            Verdict::Ok,
            "the check is switched off"
        );
        assert_eq!(
            judged(55 << 20, 10).evidence,
            "5.5 % of /var is free (55 MiB of 1000 MiB); 10 % should be"
        );
        assert_eq!(disk(None, 10).verdict, Verdict::NotChecked);
    }
}
