//! What the server counts, for `GET /metrics`. Labels come from fixed sets: nothing that a caller sent is in them.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// Content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds.
const SECONDS: [f64; 9] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0];

type Requests = Family<[(&'static str, String); 2], Counter>;

/// The metrics; each is shared with the registry.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Requests,
    rounds: Family<[(&'static str, &'static str); 1], Counter>,
    round_duration: Histogram,
    advanced: Counter,
    last_round: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("toolbox_backend");
        let info = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The server's version", info);
        let requests = Requests::default();
        let help = "Requests by route and status";
        registry.register("requests", help, requests.clone());
        let rounds = Family::default();
        let help = "Looks for toolboxes that are due, by what became of them";
        registry.register("rounds", help, rounds.clone());
        let round_duration = Histogram::new(SECONDS);
        let help = "Time of such a look";
        registry.register_with_unit(
            "round_duration",
            help,
            Unit::Seconds,
            round_duration.clone(),
        );
        let advanced = Counter::default();
        let help = "Steps of toolboxes that were taken";
        registry.register("advanced", help, advanced.clone());
        let last_round = Gauge::<f64, AtomicU64>::default();
        let help = "When the last look ended well, in seconds since the Unix epoch";
        registry.register_with_unit("last_round", help, Unit::Seconds, last_round.clone());
        Self {
            registry,
            requests,
            rounds,
            round_duration,
            advanced,
            last_round,
        }
    }
}

impl Metrics {
    /// A request was answered. `route` is a pattern of the table.
    pub(crate) fn answered(&self, route: &str, status: u16) {
        let labels = [("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
    }

    /// A look for due toolboxes ended: how many were gone on with, unless it failed.
    pub(crate) fn looked(&self, took: Duration, advanced: Option<u32>, now: Duration) {
        let outcome = if advanced.is_some() { "done" } else { "failed" };
        self.rounds.get_or_create(&[("outcome", outcome)]).inc();
        self.round_duration.observe(took.as_secs_f64());
        if let Some(advanced) = advanced {
            self.advanced.inc_by(advanced.into());
            self.last_round.set(now.as_secs_f64());
        }
    }

    /// All of them, in the text format that Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into memory does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
