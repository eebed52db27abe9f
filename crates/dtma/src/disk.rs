//! What tools keep on the disk: how it is measured, and when it is too much.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, StatxAttributes, StatxFlags, fstat, open, openat,
    statat, statx,
};
use rustix::io::Errno;

use crate::reason::{ReasonCode, Why};

/// Files and folders that a count of one place looks at.
const MAX_ENTRIES: u32 = 1_000_000;
/// How long the count of one tool may take, all its places together.
const MAX_TIME: Duration = Duration::from_secs(20);
/// Bytes of the names of folders that are remembered until they are looked into.
const MAX_NAMES: usize = 16 << 20;
/// Files with several names that are remembered, so that each counts once.
const MAX_LINKED: usize = 100_000;
/// Of the inodes of a disk, one in so many is kept free.
const KEPT_INODES: u64 = 100;

/// What a tool keeps on the disk, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskUsage {
    /// What it wrote outside its volumes.
    pub layer: u64,
    /// Its volumes.
    pub volumes: u64,
    /// Why it is only a part of what the tool keeps, where it is. This is for the log.
    pub missing: Option<String>,
}

impl DiskUsage {
    pub const fn total(&self) -> u64 {
        self.layer.saturating_add(self.volumes)
    }

    /// Why it is too much, if it is.
    pub fn over(&self, limit: u64) -> Option<Why> {
        let least = self.missing.as_ref().map_or("", |_| "at least ");
        (self.total() > limit).then(|| {
            ReasonCode::DiskLimitExceeded.because(format!(
                "The tool was stopped: it keeps {least}{} on the disk ({} in its volumes, {} outside them), and its limit is {}; raise the limit (resources.disk), or change anything else of it: that makes its container anew, without what it wrote outside its volumes",
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

/// How much one count may still look at. Where several places get the same one, each may have so many entries, and all of
/// them together may take the time.
#[derive(Clone, Copy, Debug)]
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
    fn take(&mut self) -> io::Result<()> {
        self.entries = self.entries.saturating_sub(1);
        (self.entries > 0 && Instant::now() < self.end)
            .then_some(())
            .ok_or_else(|| io::Error::other("there is more than one count looks at"))
    }
}

/// Not all could be counted.
#[derive(Debug, thiserror::Error)]
#[error("only a part of it could be counted")]
pub struct Uncounted {
    /// Bytes of that part.
    pub at_least: u64,
    source: io::Error,
}

/// Bytes that the disk holds for all below `root`. It follows no link and leaves the disk of `root` never: the tool may
/// change all of it meanwhile. What is mounted below it does not count. What it cannot look at is an error and not nothing,
/// because the tool chooses modes and depths.
pub fn bytes_below(root: &Path, budget: Budget) -> Result<u64, Uncounted> {
    let mut count = Count {
        budget,
        device: 0,
        linked: HashSet::new(),
        names: 0,
        bytes: 0,
    };
    match count.all_below(root) {
        Ok(()) => Ok(count.bytes),
        Err(source) => Err(Uncounted {
            at_least: count.bytes,
            source,
        }),
    }
}

/// The same for several places together.
pub fn bytes_of_all<'a>(
    roots: impl Iterator<Item = &'a Path>,
    budget: Budget,
) -> Result<u64, Uncounted> {
    let (mut bytes, mut why) = (0_u64, None);
    for root in roots {
        let counted = bytes_below(root, budget).unwrap_or_else(|part| {
            why.get_or_insert(part.source);
            part.at_least
        });
        bytes = bytes.saturating_add(counted);
    }
    match why {
        None => Ok(bytes),
        Some(source) => Err(Uncounted {
            at_least: bytes,
            source,
        }),
    }
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

struct Count {
    budget: Budget,
    device: u64,
    linked: HashSet<u64>,
    /// Bytes of the names of folders that are still to be looked into.
    names: usize,
    bytes: u64,
}

impl Count {
    /// Only one folder is open at a time, and none is named by its whole path, so that depth costs nothing.
    fn all_below(&mut self, root: &Path) -> io::Result<()> {
        let mut here = open(root, FOLDER, Mode::empty())?;
        let found = fstat(&here)?;
        self.device = found.st_dev;
        // Of each folder on the way down: which it is, and the folders in it that are still to be looked into.
        let mut way = vec![(found.st_ino, self.entries_of(&here)?)];
        while let Some((_, folders)) = way.last_mut() {
            if let Some(name) = folders.pop() {
                self.names -= name.as_bytes().len();
                match openat(&here, &name, FOLDER, Mode::empty()) {
                    Ok(folder) => here = folder,
                    Err(error) if is_gone(error) => continue,
                    Err(error) => return Err(error.into()),
                }
                let found = self.on_its_disk(fstat(&here)?)?;
                way.push((found.st_ino, self.entries_of(&here)?));
                continue;
            }
            way.pop();
            if let Some((above, _)) = way.last() {
                here = openat(&here, c"..", FOLDER, Mode::empty())?;
                if self.on_its_disk(fstat(&here)?)?.st_ino != *above {
                    return Err(io::Error::other("a folder was moved meanwhile"));
                }
            }
        }
        Ok(())
    }

    /// Counts what is in a folder; the names of the folders in it.
    fn entries_of(&mut self, folder: &OwnedFd) -> io::Result<Vec<CString>> {
        let mut folders = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            self.budget.take()?;
            let found = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                // Only the operator mounts. What lies there does not fill this disk.
                Ok(found) if found.st_dev != self.device && is_mounted(folder, name) => continue,
                Ok(found) => self.on_its_disk(found)?,
                Err(error) if is_gone(error) => continue,
                Err(error) => return Err(error.into()),
            };
            let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
            if !is_folder && has_names(&found) {
                let is_known = self.linked.contains(&found.st_ino);
                if is_known {
                    continue;
                }
                if self.linked.len() < MAX_LINKED {
                    self.linked.insert(found.st_ino);
                }
            }
            let blocks = u64::try_from(found.st_blocks).unwrap_or_default();
            self.bytes = self.bytes.saturating_add(blocks.saturating_mul(512));
            if is_folder {
                self.names += name.to_bytes().len();
                if self.names > MAX_NAMES {
                    return Err(io::Error::other(
                        "there are more folders than are remembered",
                    ));
                }
                folders.push(name.to_owned());
            }
        }
        Ok(folders)
    }

    /// On Btrfs a tool can make a disk of its own.
    fn on_its_disk(&self, found: Stat) -> io::Result<Stat> {
        (found.st_dev == self.device)
            .then_some(found)
            .ok_or_else(|| io::Error::other("a part of it is on a disk of its own"))
    }
}

/// Something is mounted here. Before Linux 5.8 that is not known.
fn is_mounted(folder: &OwnedFd, name: &CStr) -> bool {
    let found = statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// It was removed, or something else took its name.
fn is_gone(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
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
