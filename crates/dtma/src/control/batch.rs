//! Which instances a heartbeat tells of, and what is known once it was acknowledged.

use std::collections::BTreeSet;

use tokio::time::Instant;
use toolbox_api::dtma::API_VERSION;
use toolbox_api::heartbeat::{DEFAULT_INTERVAL_SECONDS, Heartbeat, InstanceReport, MAX_INSTANCES};
use toolbox_domain::ids::ToolInstanceId;

use super::{Reporter, report, unit_random};
use crate::instances::Entry;

/// Most bytes of reports in one heartbeat; the control plane reads 256 KiB in all.
const MAX_BYTES: usize = 192 * 1024;

/// The reports of one heartbeat.
pub(super) struct Batch {
    /// Every instance is named.
    pub(super) full: bool,
    /// It was to be full, whether or not it could be.
    scheduled: bool,
    pub(super) reports: Vec<InstanceReport>,
    /// Hash of each report.
    hashes: Vec<u64>,
}

/// What is to be said of an instance.
enum Saying {
    Report(Box<InstanceReport>),
    /// Nothing for certain yet; it will be marked again.
    NotYet,
    /// Nothing: it is not here, and it is not known to have been.
    Nothing,
}

impl Reporter {
    /// Everything; full only if all of it is certain.
    pub(super) async fn full_batch(&mut self) -> Option<Batch> {
        let saw_docker = self.look().await?;
        let held: BTreeSet<_> = self.entries.keys().copied().collect();
        self.told.retain(|id, _| held.contains(id));
        self.left_out.retain(|id, _| held.contains(id));
        let mut all = held;
        all.extend(self.dirty.keys());
        let (mut batch, certain) = self.collect(all.into_iter().collect(), false);
        batch.scheduled = true;
        batch.full = certain && saw_docker;
        let interval = self.interval();
        let next = if batch.full {
            self.incomplete = 0;
            interval.mul_f64(1.0 - 0.2 * unit_random())
        } else {
            self.incomplete = self.incomplete.saturating_add(1);
            self.growing(self.incomplete)
        };
        self.full_at = Instant::now() + next;
        Some(batch)
    }

    /// What changed; none when nothing did that is worth telling.
    pub(super) async fn push_batch(&mut self) -> Option<Batch> {
        self.look().await?;
        self.changed_batch()
    }

    fn changed_batch(&mut self) -> Option<Batch> {
        let dirty: Vec<_> = self.dirty.keys().copied().collect();
        let (batch, _) = self.collect(dirty, true);
        (!batch.reports.is_empty()).then_some(batch)
    }

    /// Reports of `ids`, as many as fit, and whether these are all of them. With `news_only` what was told before is
    /// left out.
    fn collect(&mut self, ids: Vec<ToolInstanceId>, news_only: bool) -> (Batch, bool) {
        let mut batch = Batch {
            full: false,
            scheduled: false,
            reports: Vec::new(),
            hashes: Vec::new(),
        };
        let (mut certain, mut bytes) = (true, 0);
        for id in ids {
            let report = match self.saying(id) {
                Saying::Report(report) => *report,
                Saying::NotYet => {
                    certain = false;
                    self.dirty.remove(&id);
                    continue;
                }
                Saying::Nothing => {
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
            if news_only && self.told.get(&id) == Some(&(hash, report.view_version)) {
                self.dirty.remove(&id);
                continue;
            }
            if batch.reports.len() >= self.most || bytes + size > MAX_BYTES {
                // The rest goes with the next heartbeat.
                certain = false;
                self.told.remove(&id);
                self.dirty.entry(id).or_insert_with(Instant::now);
                continue;
            }
            bytes += size;
            batch.reports.push(report);
            batch.hashes.push(hash);
        }
        (batch, certain)
    }

    fn saying(&self, id: ToolInstanceId) -> Saying {
        let published = self.entries.get(&id).map(Entry::published);
        let rejected = self.rejected.get(&id);
        let report = match &published {
            Some(published) if published.view.is_some() => {
                let Some(view) = report::decided(published) else {
                    return Saying::NotYet;
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
                (None, None) if published.is_some() => return Saying::NotYet,
                (None, None) => return Saying::Nothing,
            },
        };
        Saying::Report(Box::new(report))
    }

    /// The heartbeat as JSON, with numbers of its own. Whether it arrives is not known before the answer, so what was told
    /// of its instances before counts no more.
    pub(super) fn body(&mut self, batch: &Batch) -> Option<Vec<u8>> {
        for report in &batch.reports {
            self.told.remove(&report.id);
        }
        let (boot, sequence) = self.counters.next();
        let certificate = self.control.certificate.as_ref();
        let seconds = u32::try_from(self.interval().as_secs()).unwrap_or(DEFAULT_INTERVAL_SECONDS);
        let heartbeat = Heartbeat {
            boot,
            sequence,
            version: crate::VERSION.to_owned(),
            api_version: API_VERSION,
            certificate_sha256: certificate.map(|(sha256, _)| sha256.clone()),
            certificate_pem: certificate
                .filter(|_| !self.certificate_told)
                .map(|(_, pem)| pem.clone()),
            interval_seconds: seconds,
            system_metrics: batch.scheduled.then(|| self.control.machine.read()),
            docker_reachable: self.docker_reachable,
            full: batch.full,
            instances: batch.reports.clone(),
        };
        serde_json::to_vec(&heartbeat).ok()
    }

    /// The control plane reads no heartbeat as large as `batch`: half of it goes next. One instance that is too much by
    /// itself is left out until it changes, so that it keeps nothing else from being told.
    pub(super) fn too_large(&mut self, batch: &Batch) {
        self.most = (batch.reports.len() / 2).max(1);
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

    /// The control plane has what `batch` says; the instances it told of.
    pub(super) fn acknowledged(&mut self, batch: &Batch) -> Vec<ToolInstanceId> {
        self.most = (self.most * 2).min(MAX_INSTANCES);
        self.certificate_told = true;
        let told = batch.reports.iter().map(|r| r.id).collect();
        for (report, hash) in batch.reports.iter().zip(&batch.hashes) {
            if let Some(since) = self.dirty.remove(&report.id) {
                self.control.shared.telemetry.pushed(since.elapsed());
            }
            if report.phase.is_none() {
                self.rejected.remove(&report.id);
            } else {
                self.told.insert(report.id, (*hash, report.view_version));
            }
        }
        told
    }

    /// The control plane was told of `told`, and does not know `unknown` of them.
    pub(super) fn take_unknown(&mut self, told: &[ToolInstanceId], unknown: &[ToolInstanceId]) {
        self.rejected.retain(|id, _| !unknown.contains(id));
        let entries = &self.entries;
        self.control.orphans.send_if_modified(|orphans| {
            let mut now = orphans.clone();
            now.retain(|id| !told.contains(id));
            now.extend(unknown);
            now.retain(|id| entries.contains_key(id));
            let changed = now != *orphans;
            *orphans = now;
            changed
        });
    }

    /// What is still to be told when the agent stops.
    pub(super) async fn last(&mut self) {
        self.take_marks();
        let Some(key) = self.control.keys.own() else {
            return;
        };
        if let Some(batch) = self.changed_batch()
            && let Some(body) = self.body(&batch)
        {
            let request_id = uuid::Uuid::new_v4().to_string();
            let sent = self.control.client.beat(&key, body, &request_id).await;
            tracing::debug!(request_id, sent = sent.is_ok(), "last heartbeat");
        }
    }
}
