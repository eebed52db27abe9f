//! Samples of the machine's metrics, one a minute, of the last hour. They are in memory only: they tell what happened
//! just before somebody looks, and the control plane has the last heartbeat besides.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use toolbox_api::machine::{HostSample, MAX_SAMPLES};

use crate::instances::{stopped, view};
use crate::metrics::{self, Machine};

const PERIOD: Duration = Duration::from_mins(1);

/// The samples.
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<HostSample>>);

impl History {
    /// The samples, the oldest first.
    pub fn samples(&self) -> Vec<HostSample> {
        let samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        samples.iter().cloned().collect()
    }

    fn push(&self, sample: HostSample) {
        let mut samples = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if samples.len() == MAX_SAMPLES {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    /// Takes a sample now and every minute, until the shutdown signal. The CPU's load is over the minute before, so the
    /// task has a reader of its own.
    pub async fn run(&self, state_dir: PathBuf, mut shutdown: watch::Receiver<bool>) {
        let machine = Machine::new(state_dir);
        let mut minutes = interval(PERIOD);
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = minutes.tick() => self.push(sample(&machine)),
                () = stopped(&mut shutdown) => return,
            }
        }
    }
}

fn sample(machine: &Machine) -> HostSample {
    let now = machine.read();
    HostSample {
        at: view::text(OffsetDateTime::now_utc()),
        cpu_load_percent: now.cpu_load_percent,
        load_average: metrics::load_average(),
        memory_total_bytes: now.memory.total_bytes,
        memory_used_bytes: now.memory.used_bytes,
        disk_total_bytes: now.disk.as_ref().map(|disk| disk.total_bytes),
        disk_free_bytes: now.disk.map(|disk| disk.free_bytes),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_hour_is_kept_and_no_more() {
        let history = Arc::new(History::default());
        let (stop, shutdown) = watch::channel(false);
        let (taken, folder) = (Arc::clone(&history), std::env::temp_dir());
        let task = tokio::spawn(async move { taken.run(folder, shutdown).await });
        tokio::time::sleep(PERIOD / 2).await;
        let first = history.samples();
        assert_eq!(first.len(), 1, "one at the start");
        assert!(first[0].memory_total_bytes > 0);
        assert!(first[0].disk_free_bytes > Some(0) && first[0].load_average.is_some());
        tokio::time::sleep(PERIOD * 3).await;
        assert_eq!(history.samples().len(), 4);
        tokio::time::sleep(PERIOD * 100).await;
        assert_eq!(history.samples().len(), MAX_SAMPLES);
        stop.send_replace(true);
        task.await.unwrap();
    }
}
