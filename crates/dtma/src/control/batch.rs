//! Which instances a heartbeat reports, and what its acknowledgement changes.

use std::collections::BTreeSet;

use time::OffsetDateTime;
use tokio::time::Instant;
use toolbox_api::dtma::API_VERSION;
use toolbox_api::heartbeat::{DEFAULT_INTERVAL_SECONDS, Heartbeat, InstanceReport, MAX_INSTANCES};
use toolbox_api::mcp_use::McpUseReport;
use toolbox_domain::ids::ToolInstanceId;

use super::{Reporter, report, unit_random};
use crate::instances::Entry;

/// Most bytes of reports in one heartbeat; the control plane reads 256 KiB in all.
const MAX_BYTES: usize = 192 * 1024;

/// The reports of one heartbeat.
pub(super) struct Batch {
    /// It reports every instance.
    pub(super) full: bool,
    /// A full one was due, even if it could not be full.
    pub(super) scheduled: bool,
    pub(super) reports: Vec<InstanceReport>,
    /// How MCP servers are used.
    pub(super) usage: Option<McpUseReport>,
    /// Hash of each report.
    hashes: Vec<u64>,
}

/// What there is to report of an instance.
enum State {
    Known(Box<InstanceReport>),
    /// Its task has not decided yet. It will be marked as changed then.
    Undecided,
    /// The agent neither holds it nor remembers its deletion.
    Unknown,
}

impl Reporter {
    /// Reports of all instances. It is full only if every instance is known for certain.
    pub(super) async fn full_batch(&mut self) -> Option<Batch> {
        let saw_docker = self.refresh().await?;
        let held: BTreeSet<_> = self.entries.keys().copied().collect();
        self.acknowledged.retain(|id, _| held.contains(id));
        self.left_out.retain(|id, _| held.contains(id));
        let mut all = held;
        all.extend(self.dirty.keys());
        let (mut batch, certain) = self.collect(all.into_iter().collect(), false);
        batch.scheduled = true;
        batch.usage = self.control.usage.report();
        batch.full = certain && saw_docker;
        let interval = self.interval();
        let next = if batch.full {
            self.incomplete = 0;
            interval.mul_f64(1.0 - 0.2 * unit_random())
        } else {
            self.incomplete = self.incomplete.saturating_add(1);
            self.retry_pause(self.incomplete)
        };
        self.full_at = Instant::now() + next;
        Some(batch)
    }

    /// Reports of what changed; none when nothing did that the control plane lacks.
    pub(super) async fn push_batch(&mut self) -> Option<Batch> {
        self.refresh().await?;
        let batch = self.changed();
        (!batch.reports.is_empty()).then_some(batch)
    }

    fn changed(&mut self) -> Batch {
        let dirty: Vec<_> = self.dirty.keys().copied().collect();
        self.collect(dirty, true).0
    }

    /// What the control plane lacks when the agent stops: also how MCP servers are used, which is counted from nothing at the
    /// next start.
    fn last_batch(&mut self) -> Option<Batch> {
        let mut batch = self.changed();
        batch.usage = self.control.usage.report();
        (!batch.reports.is_empty() || batch.usage.is_some()).then_some(batch)
    }

    /// Reports of `ids`, as many as fit, and whether these are all of them. With `news_only`, reports that the control
    /// plane has acknowledged are left out.
    fn collect(&mut self, ids: Vec<ToolInstanceId>, news_only: bool) -> (Batch, bool) {
        let mut batch = Batch {
            full: false,
            scheduled: false,
            reports: Vec::new(),
            usage: None,
            hashes: Vec::new(),
        };
        let (mut certain, mut bytes) = (true, 0);
        for id in ids {
            let report = match self.state_of(id) {
                State::Known(report) => *report,
                State::Undecided => {
                    certain = false;
                    self.dirty.remove(&id);
                    continue;
                }
                State::Unknown => {
                    self.dirty.remove(&id);
                    continue;
                }
            };
            let (size, hash) = report::measure(&report);
            if self.left_out.get(&id) == Some(&hash) {
                certain = false;
                self.dirty.remove(&id);
                continue;
            }
            if news_only && self.acknowledged.get(&id) == Some(&(hash, report.view_version)) {
                self.dirty.remove(&id);
                continue;
            }
            if batch.reports.len() >= self.max_reports || bytes + size > MAX_BYTES {
                // It goes with the next heartbeat.
                certain = false;
                self.acknowledged.remove(&id);
                self.dirty.entry(id).or_insert_with(Instant::now);
                continue;
            }
            bytes += size;
            batch.reports.push(report);
            batch.hashes.push(hash);
        }
        (batch, certain)
    }

    fn state_of(&self, id: ToolInstanceId) -> State {
        let published = self.entries.get(&id).map(Entry::published);
        let rejected = self.rejected.get(&id);
        let report = match &published {
            Some(published) if published.view.is_some() => {
                let Some(view) = report::decided(published) else {
                    return State::Undecided;
                };
                match rejected.filter(|(generation, _)| *generation > view.generation) {
                    Some((generation, why)) => report::of_kept(view, *generation, why),
                    None => report::of_view(view, (self.control.health)(id)),
                }
            }
            _ => match (self.control.shared.tombstones.get(id), rejected) {
                (Some(deleted), Some((generation, why))) if *generation > deleted => {
                    report::of_rejected(id, *generation, why)
                }
                (Some(deleted), _) => report::of_absent(id, deleted),
                (None, Some((generation, why))) => report::of_rejected(id, *generation, why),
                // Its record is still being looked for.
                (None, None) if published.is_some() => return State::Undecided,
                (None, None) => return State::Unknown,
            },
        };
        State::Known(Box::new(report))
    }

    /// The heartbeat as JSON, with the next counters. Until the answer comes it is open which report of an instance the
    /// control plane has, so what it acknowledged of these instances is forgotten.
    pub(super) fn body(&mut self, batch: &Batch) -> Option<Vec<u8>> {
        for report in &batch.reports {
            self.acknowledged.remove(&report.id);
        }
        let (boot, sequence) = self.counters.next();
        let certificate = self.control.certificate.as_ref();
        let seconds = u32::try_from(self.interval().as_secs()).unwrap_or(DEFAULT_INTERVAL_SECONDS);
        let heartbeat = Heartbeat {
            boot,
            sequence,
            version: crate::version().to_owned(),
            api_version: API_VERSION,
            certificate_sha256: certificate.map(|(sha256, _)| sha256.clone()),
            certificate_pem: certificate
                .filter(|_| !self.certificate_sent)
                .map(|(_, pem)| pem.clone()),
            interval_seconds: seconds,
            system_metrics: batch.scheduled.then(|| self.control.machine.read()),
            docker_reachable: self.docker_reachable,
            full: batch.full,
            instances: batch.reports.clone(),
            mcp_use: batch.usage.clone(),
        };
        serde_json::to_vec(&heartbeat).ok()
    }

    /// The control plane refused `batch` as too large, so the next one has half as many reports. A single report that is
    /// too large is left out until it changes, so that the other instances are still reported.
    pub(super) fn too_large(&mut self, batch: &Batch) {
        self.max_reports = (batch.reports.len() / 2).max(1);
        if let ([report], [hash]) = (&*batch.reports, &*batch.hashes) {
            tracing::error!(instance = %report.id, "the state of the instance is too large for the control plane; left out");
            self.dirty.remove(&report.id);
            self.left_out.insert(report.id, *hash);
            return;
        }
        for report in &batch.reports {
            self.dirty.entry(report.id).or_insert_with(Instant::now);
        }
    }

    /// The control plane has recorded `batch`. Returns the instances in it.
    pub(super) fn acknowledge(&mut self, batch: &Batch) -> Vec<ToolInstanceId> {
        self.max_reports = (self.max_reports * 2).min(MAX_INSTANCES);
        self.certificate_sent = true;
        if let Some(usage) = &batch.usage {
            let now = OffsetDateTime::now_utc();
            self.control.usage.acknowledge(now, usage);
        }
        let reported = batch.reports.iter().map(|r| r.id).collect();
        for (report, hash) in batch.reports.iter().zip(&batch.hashes) {
            if let Some(since) = self.dirty.remove(&report.id) {
                self.control.shared.telemetry.pushed(since.elapsed());
            }
            if report.phase.is_none() {
                self.rejected.remove(&report.id);
            } else {
                self.acknowledged
                    .insert(report.id, (*hash, report.view_version));
            }
        }
        reported
    }

    /// The control plane knows the instances `reported`, except those in `unknown`.
    pub(super) fn update_orphans(
        &mut self,
        reported: &[ToolInstanceId],
        unknown: &[ToolInstanceId],
    ) {
        self.rejected.retain(|id, _| !unknown.contains(id));
        let entries = &self.entries;
        self.control.orphans.send_if_modified(|orphans| {
            let mut now = orphans.clone();
            now.retain(|id| !reported.contains(id));
            now.extend(unknown);
            now.retain(|id| entries.contains_key(id));
            let changed = now != *orphans;
            *orphans = now;
            changed
        });
    }

    /// Reports what has changed, and what was counted, when the agent stops.
    pub(super) async fn send_last(&mut self) {
        self.take_marks();
        let Some(key) = self.control.keys.own() else {
            return;
        };
        if let Some(batch) = self.last_batch()
            && let Some(body) = self.body(&batch)
        {
            let request_id = uuid::Uuid::new_v4().to_string();
            let sent = self
                .control
                .client
                .send_heartbeat(&key, body, &request_id)
                .await;
            tracing::debug!(request_id, sent = sent.is_ok(), "last heartbeat");
        }
    }
}
