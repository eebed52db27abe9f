//! What tools keep on the disk: how it is measured, and when it is too much.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Stat};

use crate::reason::{ReasonCode, Why};

/// Files and folders that one measurement looks at; a tool with more is known to keep at least what was counted.
const MAX_ENTRIES: u32 = 1_000_000;
/// How long one measurement may take.
const MAX_TIME: Duration = Duration::from_secs(20);
/// Folders within folders that are looked into; each is an open file meanwhile.
const MAX_DEPTH: usize = 128;
/// Files with several names that are remembered, so that each counts once.
const MAX_LINKED: usize = 100_000;
/// Of the inodes of a disk, one in so many is kept free.
const KEPT_INODES: u64 = 100;

/// What a tool keeps on the disk, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// What it wrote outside its volumes.
    pub layer: u64,
    /// Its volumes.
    pub volumes: u64,
}

impl DiskUsage {
    pub const fn total(self) -> u64 {
        self.layer.saturating_add(self.volumes)
    }

    /// Why it is too much, if it is.
    pub fn over(self, limit: u64) -> Option<Why> {
        (self.total() > limit).then(|| {
            ReasonCode::DiskLimitExceeded.because(format!(
                "The tool was stopped: it keeps {} on the disk ({} in its volumes, {} outside them), and its limit is {}; raise the limit (resources.disk), or change anything else of it: that makes its container anew, without what it wrote outside its volumes",
                amount(self.total()), amount(self.volumes), amount(self.layer), amount(limit),
            ))
        })
    }
}

/// The disk that holds Docker's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    pub total: u64,
    pub free: u64,
    pub inodes: u64,
    pub free_inodes: u64,
    /// Bytes that the agent keeps free.
    pub kept: u64,
}

impl DiskSpace {
    /// The disk that holds `path`.
    pub fn of(path: &Path, kept: u64) -> Option<Self> {
        let found = rustix::fs::statvfs(path).ok()?;
        Some(Self {
            total: found.f_blocks.saturating_mul(found.f_frsize),
            free: found.f_bavail.saturating_mul(found.f_frsize),
            inodes: found.f_files,
            free_inodes: found.f_favail,
            kept,
        })
    }

    pub const fn used(self) -> u64 {
        self.total.saturating_sub(self.free)
    }

    /// What is too little of it, if anything is.
    pub fn short(self) -> Option<String> {
        if self.free < self.kept {
            return Some(format!(
                "{} are free of {}, and {} are kept free",
                amount(self.free),
                amount(self.total),
                amount(self.kept)
            ));
        }
        // Some file systems have no number of inodes.
        (self.kept > 0 && self.inodes > 0 && self.free_inodes < self.inodes / KEPT_INODES)
            .then(|| format!("{} inodes are free of {}", self.free_inodes, self.inodes))
    }
}

/// How much one measurement may still look at.
#[derive(Debug)]
pub struct Budget {
    entries: u32,
    end: Instant,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            entries: MAX_ENTRIES,
            end: Instant::now() + MAX_TIME,
        }
    }
}

impl Budget {
    fn take(&mut self) -> bool {
        self.entries = self.entries.saturating_sub(1);
        // The clock is asked now and then only.
        self.entries > 0 && (!self.entries.is_multiple_of(1024) || Instant::now() < self.end)
    }
}

/// Bytes that the disk holds for all below `root`; less when `budget` ends before. It follows no link and leaves the disk
/// of `root` never: the tool may change all of it meanwhile.
pub fn bytes_below(root: &Path, budget: &mut Budget) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, rustix::fs::Mode::empty())?;
    let device = rustix::fs::fstat(&root)?.st_dev;
    let mut open = vec![Dir::new(root)?];
    let mut linked = HashSet::new();
    let mut bytes = 0_u64;
    loop {
        let depth = open.len();
        let Some(folder) = open.last_mut() else { break };
        let Some(Ok(entry)) = folder.next() else {
            open.pop();
            continue;
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        if !budget.take() {
            break;
        }
        let Ok(at) = folder.fd() else { continue };
        // What cannot be looked at is gone.
        let Ok(found) = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        if found.st_dev != device {
            continue;
        }
        let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        if !is_folder && has_names(&found) {
            let is_known = linked.contains(&found.st_ino);
            if is_known {
                continue;
            }
            if linked.len() < MAX_LINKED {
                linked.insert(found.st_ino);
            }
        }
        let blocks = u64::try_from(found.st_blocks).unwrap_or_default();
        bytes = bytes.saturating_add(blocks.saturating_mul(512));
        if is_folder && depth < MAX_DEPTH {
            let child = rustix::fs::openat(at, name, flags, rustix::fs::Mode::empty());
            open.extend(child.and_then(Dir::new));
        }
    }
    Ok(bytes)
}

const fn has_names(found: &Stat) -> bool {
    found.st_nlink > 1
}

/// Bytes as people read them.
pub fn amount(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = UNITS.into_iter().find(|(_, shift)| bytes >> shift > 0);
    let Some((unit, shift)) = unit else {
        return format!("{bytes} bytes");
    };
    let tenths = (bytes >> (shift - 10)).saturating_mul(10) >> 10;
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
