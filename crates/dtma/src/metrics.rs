//! Metrics of the machine, from `/proc` and `statvfs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use tokio::sync::watch;
use toolbox_api::dtma::{DiskMetrics, HostFirewall, MemoryMetrics, SystemMetrics};

/// Ticks of all CPUs since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct CpuTicks {
    busy: u64,
    all: u64,
}

/// Reads the machine's metrics. CPU load is over the time since the last reading.
#[derive(Debug)]
pub struct Machine {
    state_dir: PathBuf,
    last: Mutex<CpuTicks>,
    firewall: Option<watch::Receiver<HostFirewall>>,
}

impl Machine {
    /// Metrics of this machine and of the disk that holds `state_dir`.
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            last: Mutex::new(read_ticks()),
            firewall: None,
        }
    }

    /// The same, with what is known of the rules that keep containers away from it.
    #[must_use]
    pub fn with_firewall(mut self, firewall: watch::Receiver<HostFirewall>) -> Self {
        self.firewall = Some(firewall);
        self
    }

    /// The folder whose disk is meant.
    pub fn folder(&self) -> &Path {
        &self.state_dir
    }

    /// Reads them. What cannot be read is 0, or absent.
    pub fn read(&self) -> SystemMetrics {
        let ticks = read_ticks();
        let before = self
            .last
            .lock()
            .map(|mut last| std::mem::replace(&mut *last, ticks))
            .unwrap_or_default();
        SystemMetrics {
            cpu_load_percent: load(before, ticks),
            memory: memory(&proc("meminfo")),
            disk: disk(&self.state_dir),
            uptime_seconds: uptime(&proc("uptime")),
            host_firewall: self.firewall.as_ref().map(|f| f.borrow().clone()),
        }
    }
}

/// Load average of the last minute.
pub fn load_average() -> Option<f64> {
    proc("loadavg").split_whitespace().next()?.parse().ok()
}

fn proc(file: &str) -> String {
    fs::read_to_string(Path::new("/proc").join(file)).unwrap_or_default()
}

fn read_ticks() -> CpuTicks {
    ticks(&proc("stat"))
}

/// The first line of `/proc/stat`: user nice system idle iowait irq softirq steal …
fn ticks(stat: &str) -> CpuTicks {
    let numbers: Vec<u64> = stat
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .map(|line| {
            line.split_whitespace()
                .take(8)
                .filter_map(|n| n.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    let all = numbers.iter().sum();
    let idle: u64 = numbers.iter().skip(3).take(2).sum();
    CpuTicks {
        busy: all - idle,
        all,
    }
}

fn load(before: CpuTicks, after: CpuTicks) -> f64 {
    let all = after.all.saturating_sub(before.all);
    if all == 0 {
        return 0.0;
    }
    let busy = after.busy.saturating_sub(before.busy).min(all);
    // Ticks are not precise enough for more than tenths of a percent.
    let tenths = u32::try_from(busy * 1000 / all).unwrap_or(1000);
    f64::from(tenths) / 10.0
}

fn memory(meminfo: &str) -> MemoryMetrics {
    let field = |name: &str| {
        meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or_default()
            * 1024
    };
    let (total, free, available) = (field("MemTotal"), field("MemFree"), field("MemAvailable"));
    MemoryMetrics {
        total_bytes: total,
        used_bytes: total.saturating_sub(available),
        free_bytes: free,
        active_bytes: total.saturating_sub(available),
    }
}

fn disk(folder: &Path) -> Option<DiskMetrics> {
    let stat = rustix::fs::statvfs(folder).ok()?;
    Some(DiskMetrics {
        mount: mount_of(&folder.canonicalize().ok()?, &proc("self/mountinfo")),
        total_bytes: stat.f_blocks * stat.f_frsize,
        used_bytes: stat.f_blocks.saturating_sub(stat.f_bfree) * stat.f_frsize,
        free_bytes: stat.f_bavail * stat.f_frsize,
    })
}

/// The longest mount point that leads to `folder`.
fn mount_of(folder: &Path, mountinfo: &str) -> String {
    mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .filter(|mount| folder.starts_with(mount))
        .max_by_key(|mount| mount.len())
        .unwrap_or("/")
        .to_owned()
}

fn uptime(text: &str) -> u64 {
    text.split('.')
        .next()
        .and_then(|n| n.trim().parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use toolbox_api::dtma::FirewallState;

    use super::*;

    #[test]
    fn proc_files_are_understood() {
        let before = ticks("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1 2");
        let after = ticks("cpu  150 0 150 750 150 0 0 0 0 0\n");
        assert_eq!(
            before,
            CpuTicks {
                busy: 200,
                all: 1000
            }
        );
        assert!((load(before, after) - 50.0).abs() < f64::EPSILON);
        assert!(load(after, after).abs() < f64::EPSILON);
        let m = memory("MemTotal:  1000 kB\nMemFree:   200 kB\nMemAvailable: 600 kB\n");
        assert_eq!(
            (m.total_bytes, m.used_bytes, m.free_bytes, m.active_bytes),
            (1_024_000, 409_600, 204_800, 409_600)
        );
        assert_eq!(uptime("12345.67 999.1\n"), 12345);
        let mounts = "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /var rw - ext4 /dev/b rw\n3 1 8:3 / /var2 rw - x y z\n";
        assert_eq!(mount_of(Path::new("/var/lib/dtma"), mounts), "/var");
    }

    #[test]
    fn this_machine_has_memory_and_a_disk() {
        let told = HostFirewall {
            state: FirewallState::Verified,
            detail: None,
            since: String::new(),
        };
        let (_, firewall) = watch::channel(told.clone());
        let metrics = Machine::new(std::env::temp_dir())
            .with_firewall(firewall)
            .read();
        assert_eq!(metrics.host_firewall, Some(told));
        assert!(metrics.memory.total_bytes > 0);
        assert!(metrics.disk.is_some_and(|d| d.total_bytes > 0));
        assert!((0.0..=100.0).contains(&metrics.cpu_load_percent));
    }
}
