//! Reports the observed state to the control plane in heartbeats, and takes over the desired state from there.
//!
//! One task, driven by marks of changed instances ([`crate::instances::Changes`]) and by the clock:
//! - not enrolled, or a new token in the file: [`enrol`];
//! - a full heartbeat at the start and every interval, and one with only what changed at once after a change (then at
//!   most every 200 ms). One request is under way at a time. An instance stays marked until a heartbeat with its latest
//!   state was acknowledged, so nothing is lost, and memory is bounded by the number of instances;
//! - the answer's digest differs from the agent's own: fetch the desired state and give the commands it takes
//!   ([`desired`]);
//! - no answer, or a refusal: again after a pause with jitter that grows to a minute. Everything else in the agent works
//!   on for as long as that lasts.

mod batch;
mod boot;
pub mod client;
mod desired;
pub mod enrol;
mod report;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use toolbox_api::dtma::{Desired, Reason, ViewVersion};
use toolbox_api::heartbeat::{DEFAULT_INTERVAL_SECONDS, HeartbeatResponse, MAX_INSTANCES};
use toolbox_api::mcp::McpHealth;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::retry::RetryPolicy;
use uuid::Uuid;

use crate::instances::{Entry, InstancesHandle, Shared, stopped};
use crate::keys::KeyRing;
use crate::mcp::usage::Usage;
use crate::metrics::Machine;
use crate::runtime::probe::EngineProbe;
use crate::ssh::SshHost;
use batch::Batch;
use boot::Counters;
use client::{CallError, ControlClient, ReadInstance};
use desired::{Applied, Reconciler};
use enrol::EnrolError;

/// Least time between two heartbeats with changes.
const BATCH: Duration = Duration::from_millis(200);
/// Longest pause after failures.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// How often an agent that is not enrolled looks for a token.
const TOKEN_PERIOD: Duration = Duration::from_secs(2);
/// Pause before an incomplete heartbeat, or a desired state that was not reached, is tried again. It doubles up to the
/// interval.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long the last heartbeat may keep the agent from stopping.
const LAST_LIMIT: Duration = Duration::from_secs(2);

/// Where the health of an MCP server comes from.
pub type HealthSource = Arc<dyn Fn(ToolInstanceId) -> Option<McpHealth> + Send + Sync>;

/// What the task needs.
pub struct Control {
    /// The way to the control plane.
    pub client: ControlClient,
    pub keys: Arc<KeyRing>,
    pub instances: InstancesHandle,
    /// What they share.
    pub shared: Arc<Shared>,
    pub machine: Arc<Machine>,
    /// Whether Docker answers.
    pub probe: Arc<EngineProbe>,
    /// Health of MCP servers.
    pub health: HealthSource,
    /// How MCP servers are used.
    pub usage: Usage,
    /// Receives the instances that the control plane does not know.
    pub orphans: watch::Sender<BTreeSet<ToolInstanceId>>,
    /// The certificate's SHA-256 and PEM; none without TLS.
    pub certificate: Option<(String, String)>,
    /// This machine's sshd.
    pub ssh: SshHost,
    pub state_dir: PathBuf,
    /// File with an enrolment token.
    pub token_file: Option<PathBuf>,
    /// Seconds between two full heartbeats, if the machine's owner says.
    pub interval: Option<u32>,
}

/// The task's own state.
struct Reporter {
    control: Control,
    counters: Counters,
    /// Changed and not acknowledged, with the time of the first change.
    dirty: BTreeMap<ToolInstanceId, Instant>,
    /// Hash of the last acknowledged report, and the version of its view. The version counts too: an answer of the API
    /// may have shown another view in between, so an equal report is sent again.
    acknowledged: HashMap<ToolInstanceId, (u64, Option<ViewVersion>)>,
    /// Hashes of reports that were too large.
    left_out: HashMap<ToolInstanceId, u64>,
    /// Desired states that cannot be taken, with their generation.
    rejected: BTreeMap<ToolInstanceId, (u64, Reason)>,
    /// As last seen; also good when the supervisor has ended.
    entries: BTreeMap<ToolInstanceId, Entry>,
    docker_reachable: bool,
    certificate_sent: bool,
    /// A token that was used, but whose file could not be removed; or that was refused.
    used_token: Option<String>,
    full_at: Instant,
    not_before: Instant,
    /// Failures in a row, and since when.
    failures: u32,
    failing_since: Instant,
    failing_as: String,
    /// Most reports in one heartbeat. Smaller for a while after one was too large.
    max_reports: usize,
    /// Times in a row that a full heartbeat was due and could not be full.
    incomplete: u32,
    /// Answers in a row whose digest differed from the agent's.
    differing: u32,
}

/// Reports until the shutdown signal.
pub async fn run(control: Control, mut shutdown: watch::Receiver<bool>) {
    let now = Instant::now();
    let state_dir = control.state_dir.clone();
    let counters = tokio::task::spawn_blocking(move || Counters::begin(&state_dir)).await;
    let Ok(counters) = counters else { return };
    let mut reporter = Reporter {
        control,
        counters,
        dirty: BTreeMap::new(),
        acknowledged: HashMap::new(),
        left_out: HashMap::new(),
        rejected: BTreeMap::new(),
        entries: BTreeMap::new(),
        docker_reachable: false,
        certificate_sent: false,
        used_token: None,
        full_at: now,
        not_before: now,
        failures: 0,
        failing_since: now,
        failing_as: String::new(),
        max_reports: MAX_INSTANCES,
        incomplete: 0,
        differing: 0,
    };
    let working = async {
        loop {
            // A round may be dropped at any point: marks stay until their report is acknowledged.
            reporter.round().await;
        }
    };
    tokio::select! {
        () = working => {}
        () = stopped(&mut shutdown) => {}
    }
    let _ = tokio::time::timeout(LAST_LIMIT, reporter.send_last()).await;
}

impl Reporter {
    async fn round(&mut self) {
        tokio::time::sleep_until(self.not_before).await;
        let key = self.control.keys.own();
        match self.token() {
            Ok(Some(token)) => return self.enrol(token, key.is_some()).await,
            Ok(None) => {}
            Err(error) if key.is_none() => return self.failed("token", "", &error, None),
            Err(error) => {
                tracing::debug!(
                    error = crate::error_chain(&error),
                    "the token file cannot be used"
                );
            }
        }
        let Some(key) = key else {
            return tokio::time::sleep(TOKEN_PERIOD).await;
        };
        let full = self.due().await;
        let batch = if full {
            self.docker_reachable = self.control.probe.engine().await.is_some();
            self.full_batch().await
        } else {
            self.push_batch().await
        };
        if let Some(batch) = batch {
            self.send(batch, &key).await;
        }
    }

    /// Waits until a heartbeat is due; whether it is a full one.
    async fn due(&mut self) -> bool {
        loop {
            self.take_marks();
            if self.full_at <= Instant::now() {
                return true;
            }
            if !self.dirty.is_empty() {
                return false;
            }
            tokio::select! {
                () = self.control.shared.changes.marked() => {}
                () = tokio::time::sleep_until(self.full_at) => {}
            }
        }
    }

    fn take_marks(&mut self) {
        for (id, since) in self.control.shared.changes.take() {
            self.dirty.entry(id).or_insert(since);
        }
    }

    /// A token that was not tried yet.
    fn token(&self) -> Result<Option<String>, EnrolError> {
        let token = match &self.control.token_file {
            Some(file) => enrol::token(file)?,
            None => None,
        };
        Ok(token.filter(|token| self.used_token.as_ref() != Some(token)))
    }

    async fn enrol(&mut self, token: String, has_keys: bool) {
        let Some(file) = &self.control.token_file else {
            return;
        };
        let pem = self.control.certificate.as_ref().map_or("", |(_, pem)| pem);
        let (client, keys) = (&self.control.client, &self.control.keys);
        let about = enrol::Machine {
            certificate_pem: pem,
            ssh: &self.control.ssh,
            state_dir: &self.control.state_dir,
        };
        match enrol::enrol(client, keys, &token, about).await {
            Ok(()) => {
                enrol::remove(file);
                self.succeeded();
                self.used_token = Some(token);
                self.counters.reset();
                self.full_at = Instant::now();
                self.certificate_sent = false;
            }
            Err(EnrolError::Call(error)) => {
                // The keys it has may still be good.
                if has_keys && matches!(error, CallError::Refused { .. }) {
                    self.used_token = Some(token);
                }
                self.failed("enrolment", error.code(), &error, error.retry_after());
            }
            Err(error) => self.failed("enrolment", "", &error, None),
        }
    }

    async fn send(&mut self, batch: Batch, key: &str) {
        let request_id = Uuid::new_v4().to_string();
        let Some(body) = self.body(&batch) else {
            return;
        };
        let begun = Instant::now();
        let answer = self
            .control
            .client
            .send_heartbeat(key, body, &request_id)
            .await;
        let telemetry = &self.control.shared.telemetry;
        telemetry.heartbeat(outcome(&answer), begun.elapsed());
        tracing::debug!(
            request_id,
            full = batch.full,
            instances = batch.reports.len(),
            outcome = outcome(&answer),
            "heartbeat"
        );
        // The next push is due a moment after this one began.
        self.not_before = begun + BATCH;
        match answer {
            Ok(answer) => {
                let reported = self.acknowledge(&batch);
                self.update_orphans(&reported, &answer.unknown);
                self.take_answer(answer, &request_id).await;
            }
            Err(error) => {
                match error.code() {
                    "heartbeat_replayed" => self.counters.refused(error.accepted()),
                    "body_too_large" => self.too_large(&batch),
                    _ => {}
                }
                if batch.scheduled {
                    // It is due again at once; the pause after a failure comes first.
                    self.full_at = Instant::now();
                }
                self.failed("heartbeat", error.code(), &error, error.retry_after());
            }
        }
    }

    async fn take_answer(&mut self, answer: HeartbeatResponse, request_id: &str) {
        self.succeeded();
        if let Some(pair) = answer.new_keys
            && let Err(error) = self.control.keys.rotated(pair).await
        {
            // The control plane offers them again, and takes the old key until then.
            tracing::error!(error = %crate::error_chain(&error), "could not keep new keys");
        }
        let Some(own) = self.own_digest().await else {
            return;
        };
        if own == answer.desired_digest {
            self.differing = 0;
            return;
        }
        self.differing = self.differing.saturating_add(1);
        self.apply_desired(request_id).await;
        // What cannot be applied is tried again, each time after a longer pause.
        let again = Instant::now() + self.retry_pause(self.differing);
        self.full_at = self.full_at.min(again);
    }

    /// Fetches the desired state and gives the commands that it takes.
    async fn apply_desired(&mut self, request_id: &str) {
        let Some(key) = self.control.keys.own() else {
            return;
        };
        let read = match self.control.client.desired(&key, request_id).await {
            Ok(read) => read.instances,
            Err(error) => {
                tracing::warn!(%error, request_id, "could not fetch the desired state; trying again");
                return;
            }
        };
        let mut desired = Vec::with_capacity(read.len());
        let mut unreadable = Vec::new();
        for instance in read {
            match instance {
                ReadInstance::Instance(instance) => desired.push(*instance),
                ReadInstance::Unreadable { id, generation } => {
                    unreadable.push((id, desired::unreadable(generation)));
                }
            }
        }
        let reconciler = Reconciler {
            instances: &self.control.instances,
            tombstones: &self.control.shared.tombstones,
            changes: &self.control.shared.changes,
            bounds: Arc::clone(&self.control.shared.bounds),
        };
        let mut applied = reconciler.apply(desired).await;
        applied.append(&mut unreadable);
        let named: Vec<_> = applied.iter().map(|(id, _)| *id).collect();
        self.update_orphans(&named, &[]);
        for (id, applied) in applied {
            match applied {
                Applied::Same => {}
                Applied::Commanded => {
                    tracing::info!(instance = %id, request_id, "took over the desired state");
                    self.rejected.remove(&id);
                }
                Applied::Rejected(generation, why) => {
                    tracing::warn!(instance = %id, generation, code = %why.code, "cannot take the desired state");
                    self.rejected.insert(id, (generation, why));
                    self.control.shared.changes.mark(id);
                }
                Applied::Later(error) => {
                    tracing::warn!(instance = %id, %error, "could not take the desired state; trying again");
                }
            }
        }
    }

    /// Digest of what the agent holds, without what the control plane does not know; none while that is not certain.
    async fn own_digest(&mut self) -> Option<String> {
        self.refresh().await?;
        let mut lines: Vec<(ToolInstanceId, u64, Desired)> = Vec::new();
        {
            let orphans = self.control.orphans.borrow();
            for (id, entry) in &self.entries {
                match entry.view() {
                    Some(view) if !orphans.contains(id) => {
                        lines.push((*id, view.generation, view.desired));
                    }
                    Some(_) => {}
                    // It is gone, and counted below; or its record is still being looked for.
                    None if self.control.shared.tombstones.get(*id).is_some() => {}
                    None => return None,
                }
            }
            let gone = self.dirty.keys().filter(|id| {
                self.entries.get(id).and_then(Entry::view).is_none() && !orphans.contains(id)
            });
            lines.extend(gone.filter_map(|id| {
                let generation = self.control.shared.tombstones.get(*id)?;
                Some((*id, generation, Desired::Absent))
            }));
        }
        Some(desired::digest(lines.into_iter()))
    }

    /// Takes over the current instances. Returns whether Docker was ever asked which there are; none when the agent stops.
    async fn refresh(&mut self) -> Option<bool> {
        let survey = self.control.instances.survey().await.ok()?;
        self.entries = survey.entries.into_iter().collect();
        self.take_marks();
        Some(survey.saw_docker)
    }

    fn interval(&self) -> Duration {
        let seconds = self.control.interval;
        let seconds = seconds.or_else(|| self.control.keys.interval_seconds());
        Duration::from_secs(
            seconds
                .unwrap_or(DEFAULT_INTERVAL_SECONDS)
                .clamp(1, 300)
                .into(),
        )
    }

    /// A pause that doubles with each of `times`, up to the interval.
    fn retry_pause(&self, times: u32) -> Duration {
        let doubled = RETRY_PAUSE.saturating_mul(1 << times.saturating_sub(1).min(16));
        doubled.min(self.interval())
    }

    fn succeeded(&mut self) {
        if self.failures > 0 {
            let seconds = self.failing_since.elapsed().as_secs();
            tracing::info!(seconds, "the control plane answers again");
        }
        self.failures = 0;
    }

    /// Sets the pause before the next call: longer after each failure, and never longer than the interval. `code` is the
    /// control plane's, if it gave one. Failures with the same code in a row are logged as one warning.
    fn failed(
        &mut self,
        what: &'static str,
        code: &str,
        error: &(dyn std::error::Error + 'static),
        retry_after: Option<Duration>,
    ) {
        let now = Instant::now();
        let text = crate::error_chain(error);
        if self.failures == 0 {
            self.failing_since = now;
        }
        if self.failures == 0 || self.failing_as != code {
            code.clone_into(&mut self.failing_as);
            tracing::warn!(
                what,
                error = text,
                hint = hint(code),
                "the control plane was not reached, or refused; trying again"
            );
        } else {
            tracing::debug!(
                what,
                error = text,
                failures = self.failures,
                "still no success"
            );
        }
        self.failures = self.failures.saturating_add(1);
        let cap = MAX_PAUSE.min(self.interval());
        let policy = RetryPolicy {
            max_attempts: u32::MAX,
            base: Duration::from_secs(1),
            cap,
            budget: Duration::MAX,
        };
        let attempt = self.failures.min(32);
        let pause = policy.next_delay(attempt, Duration::ZERO, unit_random(), retry_after);
        self.not_before = now + pause.unwrap_or(cap).max(BATCH);
    }
}

/// What the machine's owner can do about a refusal. The other refusals pass by themselves, or are defects.
pub fn hint(code: &str) -> Option<&'static str> {
    match code {
        "certificate_changed" => Some(
            "the control plane trusts another certificate of this toolbox; enrol it again with a new token",
        ),
        "heartbeat_replayed" => Some(
            "an earlier start of this agent had its clock ahead, which passes by itself; or another agent runs for this toolbox: stop one",
        ),
        "heartbeat_key_invalid" => Some(
            "the control plane knows another key of this toolbox; enrol it again with a new token",
        ),
        "enrolment_token_invalid" | "enrolment_token_expired" => {
            Some("put a new token into the file; there is no need to restart the agent")
        }
        "enrolment_token_used" => Some(
            "another machine has used the token; make a new one, which ends the keys that machine was given",
        ),
        _ => None,
    }
}

/// The metrics' label for an outcome.
fn outcome(answer: &Result<HeartbeatResponse, CallError>) -> &'static str {
    match answer {
        Ok(_) => "recorded",
        Err(CallError::NoAnswer(_)) => "no_answer",
        Err(CallError::BadAnswer) => "bad_answer",
        Err(error) => match error.code() {
            "heartbeat_replayed" => "replayed",
            "heartbeat_key_invalid" => "unauthorized",
            "certificate_changed" => "certificate_changed",
            _ => "refused",
        },
    }
}

/// A random number in `[0, 1)`. It spreads the heartbeats of many agents over time.
pub fn unit_random() -> f64 {
    let bytes = *Uuid::new_v4().as_bytes();
    let number = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    f64::from(number) / (f64::from(u32::MAX) + 1.0)
}
