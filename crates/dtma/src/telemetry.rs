//! What the agent counts and measures of itself, for `GET /metrics`. The machine's metrics are in [`crate::metrics`].
//!
//! Labels come from fixed sets only, so neither names, ids nor anything a user wrote can appear in them.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use toolbox_api::dtma::{FirewallState, Phase, ToolView};

/// Content type of [`Telemetry::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Label = [(&'static str, &'static str); 1];
/// Upper bounds in seconds: from a Docker call of a millisecond to the longest deadlines.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
];

/// Ticks of `/proc/self/stat` per second: fixed on Linux, whatever the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// The metrics; each field is shared with the registry.
pub struct Telemetry {
    registry: Registry,
    instances: Family<Label, Gauge>,
    /// Restarts of containers that ended although they should run.
    pub restarts: Counter,
    firewall: Family<Label, Gauge>,
    heartbeats: Family<Label, Counter>,
    heartbeat_duration: Histogram,
    push_delay: Histogram,
    docker_requests: Family<Label, Histogram, fn() -> Histogram>,
    http_requests: Family<[(&'static str, &'static str); 2], Counter>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let mut registry = Registry::default();
        let info = Info::new([("version", crate::version())]);
        registry.register("dtma_build", "The agent's version", info);
        let instances = Family::default();
        registry.register(
            "dtma_instances",
            "Tool instances by phase",
            instances.clone(),
        );
        let restarts = Counter::default();
        let help = "Restarts of containers that ended although they should run";
        registry.register("dtma_instance_restarts", help, restarts.clone());
        let firewall = Family::default();
        let help = "Whether containers are kept away from the machine: 1 for the state that holds";
        registry.register("dtma_host_firewall", help, firewall.clone());
        let heartbeats = Family::default();
        let help = "Heartbeats by what became of them";
        registry.register("dtma_heartbeats", help, heartbeats.clone());
        let seconds = |registry: &mut Registry, name: &str, help: &str| {
            let histogram = Histogram::new(SECONDS);
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
            histogram
        };
        let help = "Time until the control plane answered a heartbeat";
        let heartbeat_duration = seconds(&mut registry, "dtma_heartbeat_duration", help);
        let help = "Time from a change of an instance until the control plane had it";
        let push_delay = seconds(&mut registry, "dtma_state_push_delay", help);
        let docker_requests: Family<Label, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(SECONDS));
        registry.register_with_unit(
            "dtma_docker_request_duration",
            "Time of a call to Docker",
            Unit::Seconds,
            docker_requests.clone(),
        );
        let http_requests = Family::default();
        let help = "Requests to the agent by method and class of status";
        registry.register("dtma_http_requests", help, http_requests.clone());
        registry.register_collector(Box::new(Process));
        Self {
            registry,
            instances,
            restarts,
            firewall,
            heartbeats,
            heartbeat_duration,
            push_delay,
            docker_requests,
            http_requests,
        }
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl Telemetry {
    /// What is known of the rules that keep containers away from the machine.
    pub fn firewall(&self, state: FirewallState) {
        for one in [
            FirewallState::Verified,
            FirewallState::Unverified,
            FirewallState::Ineffective,
            FirewallState::Unavailable,
        ] {
            self.firewall
                .get_or_create(&[("state", one.as_str())])
                .set((one == state).into());
        }
    }

    /// A heartbeat ended as `outcome` after `took`.
    pub fn heartbeat(&self, outcome: &'static str, took: Duration) {
        self.heartbeats.get_or_create(&[("outcome", outcome)]).inc();
        self.heartbeat_duration.observe(took.as_secs_f64());
    }

    /// The control plane has a change that is `age` old.
    pub fn pushed(&self, age: Duration) {
        self.push_delay.observe(age.as_secs_f64());
    }

    /// A call to Docker ended after `took`.
    pub fn docker(&self, operation: &'static str, took: Duration) {
        self.docker_requests
            .get_or_create(&[("operation", operation)])
            .observe(took.as_secs_f64());
    }

    /// A request was answered.
    pub fn request(&self, method: &http::Method, status: u16) {
        // The method is the caller's text, which must not become a label.
        let method = match method.as_str() {
            "GET" | "HEAD" => "GET",
            "POST" => "POST",
            "PUT" => "PUT",
            "DELETE" => "DELETE",
            _ => "other",
        };
        let class = match status {
            200..=299 => "2xx",
            400..=499 => "4xx",
            500..=599 => "5xx",
            _ => "other",
        };
        self.http_requests
            .get_or_create(&[("method", method), ("status", class)])
            .inc();
    }

    /// All metrics as text, with `tools` counted by their phase.
    pub fn text<'a>(&self, tools: impl Iterator<Item = &'a ToolView>) -> String {
        for phase in PHASES {
            self.instances
                .get_or_create(&[("phase", name(phase))])
                .set(0);
        }
        for tool in tools {
            self.instances
                .get_or_create(&[("phase", name(tool.phase))])
                .inc();
        }
        let mut text = String::new();
        // Writing to a string never fails.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

const PHASES: [Phase; 10] = [
    Phase::Pending,
    Phase::Pulling,
    Phase::Building,
    Phase::Creating,
    Phase::Starting,
    Phase::Running,
    Phase::Stopping,
    Phase::Stopped,
    Phase::Removing,
    Phase::Error,
];

const fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "pending",
        Phase::Pulling => "pulling",
        Phase::Building => "building",
        Phase::Creating => "creating",
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Stopping => "stopping",
        Phase::Stopped => "stopped",
        Phase::Removing => "removing",
        Phase::Error => "error",
    }
}

/// The agent's own process, read when it is asked for.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/self/{file}"));
        let resident = resident_bytes(&read("status").unwrap_or_default());
        let resident = ConstGauge::new(i64::try_from(resident).unwrap_or(i64::MAX));
        resident.encode(encoder.encode_descriptor(
            "process_resident_memory_bytes",
            "Resident memory of the agent",
            None,
            resident.metric_type(),
        )?)?;
        let cpu = ConstCounter::new(cpu_seconds(&read("stat").unwrap_or_default()));
        cpu.encode(encoder.encode_descriptor(
            "process_cpu_seconds",
            "CPU time of the agent",
            None,
            cpu.metric_type(),
        )?)?;
        let files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let files = ConstGauge::new(i64::try_from(files).unwrap_or(i64::MAX));
        files.encode(encoder.encode_descriptor(
            "process_open_fds",
            "Open file descriptors of the agent",
            None,
            files.metric_type(),
        )?)
    }
}

fn resident_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kilobytes: Option<u64> = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or_default() * 1024
}

/// Fields 14 and 15, counted after the name, which may hold spaces.
fn cpu_seconds(stat: &str) -> f64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u32 = ticks.filter_map(|t| t.parse::<u32>().ok()).sum();
    f64::from(ticks) / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_the_names_that_are_promised() {
        let telemetry = Telemetry::default();
        telemetry.restarts.inc();
        telemetry.firewall(FirewallState::Verified);
        telemetry.heartbeat("recorded", Duration::from_millis(20));
        telemetry.pushed(Duration::from_millis(30));
        telemetry.docker("list containers", Duration::from_millis(2));
        telemetry.request(&http::Method::PUT, 202);
        let text = telemetry.text(std::iter::empty());
        for line in [
            "dtma_build_info{version=\"",
            "dtma_instances{phase=\"running\"} 0",
            "dtma_instance_restarts_total 1",
            "dtma_host_firewall{state=\"verified\"} 1",
            "dtma_host_firewall{state=\"ineffective\"} 0",
            "dtma_heartbeats_total{outcome=\"recorded\"} 1",
            "dtma_heartbeat_duration_seconds_count 1",
            "dtma_state_push_delay_seconds_bucket{le=\"0.1\"} 1",
            "dtma_docker_request_duration_seconds_count{operation=\"list containers\"} 1",
            "dtma_http_requests_total{method=\"PUT\",status=\"2xx\"} 1",
            "process_resident_memory_bytes ",
            "process_cpu_seconds_total ",
            "process_open_fds ",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_process_is_read_from_proc() {
        assert_eq!(
            resident_bytes("VmPeak: 9 kB\nVmRSS:\t 2048 kB\n"),
            2_097_152
        );
        let stat = "7 (a b) c) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0";
        assert!((cpu_seconds(stat) - 2.0).abs() < f64::EPSILON);
    }
}
