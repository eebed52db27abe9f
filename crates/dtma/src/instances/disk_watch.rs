//! Stops tools that keep more on the disk than they may.
//!
//! Docker limits what a container writes only on few file systems, and what is in volumes on none. So one task counts what
//! each running tool keeps, one tool after the other. It counts when the disk has filled by [`GROWTH`] since the last count,
//! which costs one system call to know, and otherwise every [`PERIOD`]. A pause of ten times its length follows a count, but of
//! [`MAX_PAUSE`] at most. A tool can thus pass its limit by [`GROWTH`], and by what it writes within [`CHECK`], a pause, a count of
//! all tools, and the grace before it is killed. The count of one tool takes 80 seconds at most (20 of the agent's own, 60 of Docker's)
//! besides short looks at Docker, so that is how long a tool can delay the others.
//!
//! Inputs: the clock, the disk, Docker. Outputs: what was found, to each instance's task, which owns the limit.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use toolbox_api::dtma::Desired;
use toolbox_domain::ids::ToolInstanceId;

use super::task::Instance;
use super::{InstancesHandle, Shared, stopped};
use crate::disk::{DiskSpace, DiskUsage, amount};
use crate::reason::{ReasonCode, Why};
use crate::record::Halt;
use crate::runtime::{ContainerId, RuntimeError};

/// How often the disk is looked at.
const CHECK: Duration = Duration::from_secs(2);
/// Bytes by which the disk fills before tools are counted again.
const GROWTH: u64 = 64 << 20;
/// How often tools are counted although the disk did not fill.
const PERIOD: Duration = Duration::from_mins(5);
/// The same where the agent does not see the disk, so that nothing else tells.
const BLIND_PERIOD: Duration = Duration::from_secs(20);
/// A pause is so many times longer than the count before it, but no longer than that.
const SHARE: u32 = 10;
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// What a tool must have written before it is stopped because the disk is short.
const LEAST_GROWTH: u64 = 64 << 20;

/// What was found of one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub container: ContainerId,
    pub usage: DiskUsage,
    /// The disk is short, and this tool has written most since it was not.
    pub short: Option<Why>,
}

/// Watches until the shutdown signal.
pub async fn run(
    shared: Arc<Shared>,
    instances: InstancesHandle,
    mut shutdown: watch::Receiver<bool>,
) {
    let watching = async {
        let mut clock = tokio::time::interval(CHECK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Watch::default();
        loop {
            clock.tick().await;
            // Docker is asked once where it keeps its data; until it answers there is nothing to count.
            let Ok(space) = shared.runtime.disk_space().await else {
                continue;
            };
            let begun = Instant::now();
            if !watch.is_due(begun, space) {
                continue;
            }
            match count(&shared).await {
                Ok(usages) => {
                    watch.log_missing(&usages);
                    let short = space.and_then(DiskSpace::short);
                    let blamed = watch.counted(&usages, space, begun, Instant::now());
                    if let Some(short) = &short {
                        tracing::warn!(short, tool = ?blamed.map(|(id, _)| id.to_string()), "the disk is nearly full");
                    }
                    for (id, (container, usage)) in usages {
                        let written = blamed.filter(|(blamed, _)| *blamed == id);
                        let short = written
                            .zip(short.as_deref())
                            .map(|((_, bytes), short)| why_short(short, bytes));
                        instances
                            .disk(
                                id,
                                Found {
                                    container,
                                    usage,
                                    short,
                                },
                            )
                            .await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "what tools keep on the disk could not be counted");
                    watch.pause(begun, Instant::now());
                }
            }
        }
    };
    tokio::select! {
        () = watching => {}
        () = stopped(&mut shutdown) => {}
    }
}

type Usages = HashMap<ToolInstanceId, (ContainerId, DiskUsage)>;

/// Counts what each running tool keeps, one after the other.
async fn count(shared: &Shared) -> Result<Usages, RuntimeError> {
    let running = shared.runtime.inventory().await?.ours;
    let running = running.into_iter().filter(|(_, c)| c.state == "running");
    let mut usages = Usages::new();
    for (id, container) in running {
        let container = ContainerId::new(container.container_id);
        match shared.runtime.disk_usage(&container).await {
            Ok(usage) => {
                usages.insert(id, (container, usage));
            }
            // Its end is no reason to count nothing else.
            Err(error) if !error.is_outage() => {
                tracing::debug!(instance = %id, %error, "what a tool keeps on the disk could not be counted");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(usages)
}

/// When to count, and who fills the disk.
#[derive(Debug, Default)]
struct Watch {
    /// Used bytes at the last count, or less if some were freed since.
    used: Option<u64>,
    /// The next count that needs no reason; none before the first.
    at: Option<Instant>,
    not_before: Option<Instant>,
    /// What each tool kept when the disk was last not short.
    before: Option<HashMap<ToolInstanceId, u64>>,
    /// Tools of which only a part was counted the last time.
    parts: BTreeSet<ToolInstanceId>,
}

impl Watch {
    fn is_due(&mut self, now: Instant, space: Option<DiskSpace>) -> bool {
        let used = space.map(DiskSpace::used);
        let grew = match (&mut self.used, used) {
            (Some(before), Some(used)) => {
                *before = used.min(*before);
                used - *before >= GROWTH
            }
            _ => false,
        };
        let is_short = space.and_then(DiskSpace::short).is_some();
        self.not_before.is_none_or(|at| at <= now)
            && (grew || is_short || self.at.is_none_or(|at| at <= now))
    }

    fn pause(&mut self, begun: Instant, now: Instant) {
        self.not_before = Some(now + ((now - begun) * SHARE).min(MAX_PAUSE));
    }

    /// Logs of which tools it is no longer known what they keep, and of which it is known again. What stays as it is would only
    /// push other lines out of the log.
    fn log_missing(&mut self, usages: &Usages) {
        for (id, (_, usage)) in usages {
            let at_least = usage.total();
            match &usage.missing {
                Some(why) if self.parts.insert(*id) => {
                    tracing::warn!(instance = %id, at_least, why, "it is not known what a tool keeps on the disk; what was counted of it counts");
                }
                None if self.parts.remove(id) => {
                    tracing::info!(instance = %id, "it is known again what a tool keeps on the disk");
                }
                _ => {}
            }
        }
        self.parts.retain(|id| usages.contains_key(id));
    }

    /// Tools were counted. The one that fills a disk that is short, and how many bytes it wrote.
    fn counted(
        &mut self,
        usages: &Usages,
        space: Option<DiskSpace>,
        begun: Instant,
        now: Instant,
    ) -> Option<(ToolInstanceId, u64)> {
        self.pause(begun, now);
        self.used = space.map(DiskSpace::used);
        let period = if space.is_some() {
            PERIOD
        } else {
            BLIND_PERIOD
        };
        self.at = Some(now + period);
        let is_short = space.and_then(DiskSpace::short).is_some();
        let totals = usages.iter().map(|(id, (_, usage))| (*id, usage.total()));
        match &self.before {
            Some(before) if is_short => totals
                .map(|(id, total)| {
                    (
                        id,
                        total.saturating_sub(before.get(&id).copied().unwrap_or(0)),
                    )
                })
                .filter(|(_, written)| *written >= LEAST_GROWTH)
                .max_by_key(|(_, written)| *written),
            // Who filled it before the agent came is not known.
            _ => {
                self.before = Some(totals.collect());
                None
            }
        }
    }
}

fn why_short(short: &str, written: u64) -> Why {
    ReasonCode::NoSpace.because(format!(
        "The machine's disk is nearly full ({short}), and of all tools this one wrote most since it was not ({}), so it was stopped; free space on the machine, then start it",
        amount(written)
    ))
}

/// Why a tool that was stopped for the disk may not start. A part within the limit shows nothing.
fn too_much_or_unknown(usage: &DiskUsage, limit: u64) -> Option<Why> {
    let over = usage.over(limit);
    over.or_else(|| {
        let why = usage.missing.as_ref()?;
        tracing::info!(at_least = usage.total(), why, "a tool is not started, because it is not known what it keeps on the disk");
        Some(ReasonCode::DockerFailed.because(format!(
            "The tool was stopped for what it keeps on the disk, and is not started before that is known: neither the agent nor Docker could count all of it (at least {}); the agent's log says why, and the agent keeps trying",
            amount(usage.total())
        )))
    })
}

/// Fails when a tool that was stopped for the disk still keeps too much, or nobody could count what it keeps.
pub async fn may_start(
    shared: &Shared,
    container: &ContainerId,
    limit: Option<u64>,
) -> Result<(), RuntimeError> {
    let refused = |why: Why| RuntimeError::Refused {
        code: why.code,
        message: why.message,
    };
    if let Some(limit) = limit {
        let usage = shared.runtime.disk_usage(container).await?;
        if let Some(why) = too_much_or_unknown(&usage, limit) {
            return Err(refused(why));
        }
    }
    match shared
        .runtime
        .disk_space()
        .await?
        .and_then(DiskSpace::short)
    {
        Some(short) => Err(refused(ReasonCode::NoSpace.because(short))),
        None => Ok(()),
    }
}

impl Instance {
    /// Stops the tool if it keeps too much on the disk.
    pub(super) async fn disk_counted(&mut self, found: &Found) {
        let Some(record) = &mut self.record else {
            return;
        };
        let revision = self.memory.observed.find(&found.container);
        let revision = revision.and_then(|c| c.revision);
        let limit = std::iter::once(&record.current)
            .chain(&record.next)
            .find(|release| Some(release.revision) == revision)
            .map(|release| release.spec.resources().disk_bytes);
        let Some(limit) = limit.filter(|_| record.desired == Desired::Running) else {
            return;
        };
        let over = limit.and_then(|limit| found.usage.over(limit));
        let why = over.or_else(|| found.short.clone());
        let Some(why) = why.filter(|_| record.halted.is_none()) else {
            return;
        };
        tracing::warn!(instance = %self.id, code = why.code.as_str(), layer = found.usage.layer, volumes = found.usage.volumes, limit, "stopping a tool that fills the disk");
        record.halted = Some(Halt {
            reason: why.into(),
            asked_again: false,
        });
        // Where the disk is too full for that, it is stopped all the same, and saved later.
        self.save().await;
        self.look_anew();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> ToolInstanceId {
        ToolInstanceId::new(uuid::Uuid::from_u128(n))
    }

    const fn disk(used: u64) -> DiskSpace {
        let total = 100 << 30;
        DiskSpace {
            total,
            free: total - used,
            inodes: 0,
            free_inodes: 0,
            kept: 1 << 30,
        }
    }

    fn usages(totals: &[(u128, u64)]) -> Usages {
        let usage = |layer| DiskUsage {
            layer,
            volumes: 0,
            missing: None,
        };
        let container = || ContainerId::new("c");
        totals
            .iter()
            .map(|&(n, total)| (id(n), (container(), usage(total))))
            .collect()
    }

    #[test]
    fn tools_are_counted_when_the_disk_fills_and_rarely_otherwise() {
        let start = Instant::now();
        let mut watch = Watch::default();
        assert!(watch.is_due(start, Some(disk(5 << 30))), "the first time");
        watch.counted(&usages(&[]), Some(disk(5 << 30)), start, start);
        let mut at = start + CHECK;
        assert!(!watch.is_due(at, Some(disk((5 << 30) + GROWTH - 1))));
        // What was freed meanwhile does not hide what is written.
        assert!(!watch.is_due(at, Some(disk(4 << 30))));
        assert!(watch.is_due(at, Some(disk((4 << 30) + GROWTH))));
        // A count of a second is followed by ten of pause.
        watch.counted(
            &usages(&[]),
            Some(disk(5 << 30)),
            at,
            at + Duration::from_secs(1),
        );
        at += Duration::from_secs(10);
        assert!(!watch.is_due(at, Some(disk(50 << 30))));
        assert!(watch.is_due(at + Duration::from_secs(1), Some(disk(50 << 30))));
        assert!(watch.is_due(at + PERIOD, Some(disk(1 << 30))));
        // One that was slow does not blind the watch for long.
        let ended = at + Duration::from_mins(2);
        watch.counted(&usages(&[]), Some(disk(5 << 30)), at, ended);
        assert!(watch.is_due(ended + MAX_PAUSE, Some(disk(50 << 30))));
        at = ended;
        watch.counted(&usages(&[]), None, at, at);
        assert!(!watch.is_due(at + BLIND_PERIOD / 2, None));
        assert!(watch.is_due(at + BLIND_PERIOD, None));
    }

    #[test]
    fn a_tool_starts_only_when_all_that_it_keeps_is_known() {
        let usage = |layer, missing: Option<&str>| DiskUsage {
            layer,
            volumes: 0,
            missing: missing.map(str::to_owned),
        };
        let code = |usage| too_much_or_unknown(&usage, 10).map(|why| why.code);
        assert_eq!(code(usage(10, None)), None);
        assert_eq!(code(usage(11, None)), Some(ReasonCode::DiskLimitExceeded));
        assert_eq!(
            code(usage(11, Some("slow"))),
            Some(ReasonCode::DiskLimitExceeded)
        );
        let unknown = code(usage(0, Some("slow"))).unwrap();
        assert_eq!(unknown, ReasonCode::DockerFailed);
        assert!(unknown.may_heal(), "it is tried again");
    }

    #[test]
    fn of_a_disk_that_is_short_the_one_that_wrote_most_is_told() {
        let now = Instant::now();
        let (fine, short) = (Some(disk(50 << 30)), Some(disk((99 << 30) + 1)));
        let mut watch = Watch::default();
        let mut counted = |space, totals: &[_]| watch.counted(&usages(totals), space, now, now);
        assert_eq!(counted(fine, &[(1, 40 << 30), (2, 1 << 20)]), None);
        let told = counted(short, &[(1, 40 << 30), (2, 30 << 30), (3, 1 << 30)]);
        assert_eq!(told, Some((id(2), (30 << 30) - (1 << 20))));
        // It is somebody else then.
        assert_eq!(counted(short, &[(1, (40 << 30) + LEAST_GROWTH - 1)]), None);
        let mut late = Watch::default();
        assert_eq!(
            late.counted(&usages(&[(1, 9 << 30)]), short, now, now),
            None,
            "who wrote it is not known"
        );
    }
}
