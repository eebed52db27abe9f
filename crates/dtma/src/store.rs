//! Durable records: one JSON file per instance, written whole or not at all.
//!
//! A write goes to a temporary file, is synced, renamed over the old file, and the folder is synced; so after
//! `kill -9` or power loss a file holds the old record or the new one. A file that cannot be read is moved to
//! `quarantine/` and reported; its instance is then rebuilt from Docker. `deleted/` holds one file per deletion, with its
//! generation. `pulled/` holds one file for each image that the agent pulled, with its reference. Records may hold secrets:
//! the folders are 0700 and the files 0600. Calls block: run them where blocking is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toolbox_api::dtma::{Desired, PortBinding, Reason, ToolSpec};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::names::DisplayName;
use toolbox_domain::spec::InstanceSpec;

use crate::durable;
use crate::record::{Halt, Record, Release, Restart, hex};
use crate::runtime::networks;

/// Version of the file format, and the oldest that is read; in format 1, values of the environment have no envelope. A
/// file of another version is quarantined, never guessed at.
const FORMAT: u32 = 2;
const OLDEST_FORMAT: u32 = 1;
/// Largest file that is read; a spec is at most 128 KiB.
const MAX_FILE_BYTES: u64 = 2 * 1024 * 1024;

/// Why records could not be read or made durable.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused.
    #[error("could not {action} '{path}'")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which path.
        path: PathBuf,
        source: io::Error,
    },
    /// Another agent uses the folder.
    #[error("another agent is using '{path}'; stop it, or give this one its own DTMA_STATE_DIR")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder belongs to another toolbox.
    #[error("'{path}' holds the state of toolbox {found}; give this agent its own DTMA_STATE_DIR")]
    OtherToolbox {
        /// The folder.
        path: PathBuf,
        /// The toolbox it belongs to.
        found: String,
    },
}

/// Why a file is no record.
#[derive(Debug, thiserror::Error)]
enum Corrupt {
    #[error("it could not be read")]
    Unreadable(#[source] io::Error),
    #[error("it is no JSON of a record (line {line}, column {column})")]
    NoRecord { line: usize, column: usize },
    #[error("its format is {0}, this agent reads {OLDEST_FORMAT} to {FORMAT}")]
    Format(u32),
    #[error("it holds the record of {0}")]
    OtherInstance(ToolInstanceId),
    #[error("its name breaks a rule")]
    Name(#[source] toolbox_domain::names::NameError),
    #[error("its spec breaks the rule {0}")]
    Spec(&'static str),
}

/// What was found at start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Records that could be read.
    pub records: Vec<Record>,
    /// Instances whose files could not; rebuild them from Docker.
    pub quarantined: Vec<ToolInstanceId>,
    /// Deletions, oldest first.
    pub tombstones: Vec<Tombstone>,
}

/// What a look at a state folder found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Records that this program can read.
    pub readable: usize,
    /// Records that it cannot.
    pub unreadable: usize,
}

/// Counts the records in `dir`, and changes nothing: the agent that owns them may be running. Blocks.
pub fn look(dir: &Path) -> Result<Looked, StoreError> {
    let folder = dir.join("instances");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Looked::default()),
        Err(error) => return Err(at("list", &folder)(error)),
    };
    let mut looked = Looked::default();
    for entry in entries {
        let path = entry.map_err(at("list", &folder))?.path();
        match (instance_of(&path), path.exists()) {
            (Some(id), true) if read(&path, id).is_ok() => looked.readable += 1,
            // One that is gone was removed meanwhile.
            (Some(_), true) if path.exists() => looked.unreadable += 1,
            _ => {}
        }
    }
    Ok(looked)
}

/// That an instance was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tombstone {
    pub id: ToolInstanceId,
    /// The generation that deleted it.
    pub generation: u64,
}

fn file_name(path: &Path) -> &str {
    path.file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default()
}

/// The instance whose record a file of this name is.
fn instance_of(path: &Path) -> Option<ToolInstanceId> {
    file_name(path).strip_suffix(".json")?.parse().ok()
}

fn read(path: &Path, id: ToolInstanceId) -> Result<Record, Corrupt> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|f| f.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(Corrupt::Unreadable)?;
    // The text of serde's errors may quote the file, which holds secrets.
    let json = |e: serde_json::Error| Corrupt::NoRecord {
        line: e.line(),
        column: e.column(),
    };
    let header: Header = serde_json::from_slice(&bytes).map_err(json)?;
    if !(OLDEST_FORMAT..=FORMAT).contains(&header.format) {
        return Err(Corrupt::Format(header.format));
    }
    let stored: StoredRecord = serde_json::from_slice(&bytes).map_err(json)?;
    if stored.id != id {
        return Err(Corrupt::OtherInstance(stored.id));
    }
    stored.into_record()
}

/// The state folder of one agent, locked for it.
#[derive(Debug)]
pub struct Store {
    instances: PathBuf,
    deleted: PathBuf,
    pulled: PathBuf,
    quarantine: PathBuf,
    // Tests let it fail, as disks do.
    sync_folder: fn(&Path) -> io::Result<()>,
    // Held for its lock, which the kernel lets go when the process ends in whatever way.
    _lock: File,
}

impl Store {
    /// Opens or makes the folder and locks it.
    pub fn open(dir: &Path, toolbox: ToolboxId) -> Result<Self, StoreError> {
        let (instances, quarantine) = (dir.join("instances"), dir.join("quarantine"));
        let (deleted, pulled) = (dir.join("deleted"), dir.join("pulled"));
        for folder in [dir, &instances, &quarantine, &deleted, &pulled] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
                .map_err(at("make the folder", folder))?;
        }
        let path = dir.join("toolbox");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(at("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked {
                    path: dir.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(at("lock", &path)(source)),
        }
        let mut owner = String::new();
        lock.read_to_string(&mut owner).map_err(at("read", &path))?;
        let owner = owner.trim();
        if owner.is_empty() {
            lock.write_all(format!("{toolbox}\n").as_bytes())
                .and_then(|()| lock.sync_all())
                .map_err(at("write", &path))?;
        } else if owner != toolbox.to_string() {
            return Err(StoreError::OtherToolbox {
                path: dir.to_owned(),
                found: owner.to_owned(),
            });
        }
        Ok(Self {
            instances,
            deleted,
            pulled,
            quarantine,
            sync_folder: durable::sync_folder,
            _lock: lock,
        })
    }

    /// Reads every record; moves aside what is none.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let mut loaded = Loaded {
            tombstones: self.tombstones()?,
            ..Loaded::default()
        };
        let entries = fs::read_dir(&self.instances).map_err(at("list", &self.instances))?;
        for entry in entries {
            let path = entry.map_err(at("list", &self.instances))?.path();
            let name = file_name(&path);
            let Some(id) = instance_of(&path) else {
                if is_leftover(name) {
                    // A write that a crash cut short; the old record is still in place.
                    fs::remove_file(&path).map_err(at("remove", &path))?;
                } else {
                    tracing::warn!(path = %path.display(), "ignored a file that is no record");
                }
                continue;
            };
            match read(&path, id) {
                Ok(record) => loaded.records.push(record),
                Err(corrupt) => {
                    let moved = self.set_aside(&path, name)?;
                    tracing::error!(
                        instance = %id,
                        moved_to = %moved.display(),
                        error = %crate::error_chain(&corrupt),
                        "a record could not be read; it was moved aside and the instance is rebuilt from Docker"
                    );
                    loaded.quarantined.push(id);
                }
            }
        }
        Ok(loaded)
    }

    /// The record of one instance; none when there is no file, or none that can be read.
    pub fn find(&self, id: ToolInstanceId) -> Option<Record> {
        let path = self.instances.join(format!("{id}.json"));
        path.exists().then(|| read(&path, id).ok()).flatten()
    }

    fn set_aside(&self, path: &Path, name: &str) -> Result<PathBuf, StoreError> {
        let moved = self.quarantine.join(format!(
            "{name}.{}",
            OffsetDateTime::now_utc().unix_timestamp_nanos()
        ));
        fs::rename(path, &moved).map_err(at("move aside", path))?;
        self.sync(&self.quarantine)?;
        self.sync(&self.instances)?;
        Ok(moved)
    }

    /// Makes the record durable. After an error the old record, or none, is in place.
    pub fn save(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.instances.join(format!("{}.json", record.id));
        let temporary = self.instances.join(format!(".{}.tmp", record.id));
        let mut bytes = serde_json::to_vec(&StoredRecord::of(record))
            .map_err(io::Error::from)
            .map_err(at("write", &temporary))?;
        bytes.push(b'\n');
        let old = match fs::read(&path) {
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(at("read", &path)(error)),
        };
        replace(&temporary, &path, &bytes)?;
        self.sync(&self.instances).inspect_err(|_| {
            // The caller is told that nothing changed, so a restart must not find the new record.
            let restored = match &old {
                Some(old) => replace(&temporary, &path, old),
                None => fs::remove_file(&path).map_err(at("remove", &path)),
            };
            if let Err(error) = restored {
                let error = crate::error_chain(&error);
                tracing::error!(instance = %record.id, %error, "could not put the old record back; a restart may carry out a refused command");
            }
        })
    }

    /// A rename or a removal is durable once its folder is.
    fn sync(&self, folder: &Path) -> Result<(), StoreError> {
        (self.sync_folder)(folder).map_err(at("sync", folder))
    }

    /// Makes it durable that `generation` deleted the instance.
    pub fn add_tombstone(&self, id: ToolInstanceId, generation: u64) -> Result<(), StoreError> {
        let content = format!("{generation}\n");
        durable::write(&self.deleted, &id.to_string(), content.as_bytes())
            .map_err(at("write a deletion to", &self.deleted))
    }

    /// Removes a tombstone. Removing none succeeds.
    pub fn clear_tombstone(&self, id: ToolInstanceId) -> Result<(), StoreError> {
        let path = self.deleted.join(id.to_string());
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(at("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Remembers that the agent pulled what `reference` names.
    pub fn add_pulled(&self, reference: &str) -> Result<(), StoreError> {
        durable::write(&self.pulled, &file_of(reference), reference.as_bytes())
            .map_err(at("write to", &self.pulled))
    }

    /// Whether the agent pulled it, and no instance but `except` names it.
    pub fn is_unused(
        &self,
        reference: &str,
        except: Option<ToolInstanceId>,
    ) -> Result<bool, StoreError> {
        if !self.pulled.join(file_of(reference)).exists() {
            return Ok(false);
        }
        for (id, path) in self.record_files()? {
            if Some(id) == except {
                continue;
            }
            // What cannot be read may name it.
            let Ok(record) = read(&path, id) else {
                return Ok(false);
            };
            let mut releases = std::iter::once(&record.current).chain(&record.next);
            if releases.any(|release| release.image_request(id).image() == reference) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The networks of all instances of `toolbox`; none when a record cannot be read, which may need any of them.
    pub fn networks(&self, toolbox: ToolboxId) -> Result<Option<BTreeSet<String>>, StoreError> {
        let mut names = BTreeSet::new();
        for (id, path) in self.record_files()? {
            let record = match read(&path, id) {
                Ok(record) => record,
                // Removed since the folder was listed.
                Err(Corrupt::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => {
                    continue;
                }
                Err(_) => return Ok(None),
            };
            names.insert(networks::of_instance(toolbox, id));
            let releases = std::iter::once(&record.current).chain(&record.next);
            names.extend(releases.flat_map(|r| networks::of_spec(toolbox, &r.spec)));
        }
        Ok(Some(names))
    }

    /// The files of records, by the ids that they name.
    fn record_files(&self) -> Result<Vec<(ToolInstanceId, PathBuf)>, StoreError> {
        let paths: Result<Vec<_>, _> = fs::read_dir(&self.instances)
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.path())).collect());
        let paths = paths.map_err(at("list", &self.instances))?;
        let of = |path: PathBuf| {
            let id = path.file_stem()?.to_str()?.parse().ok()?;
            Some((id, path))
        };
        Ok(paths.into_iter().filter_map(of).collect())
    }

    /// What the agent pulled and no instance names.
    pub fn unused(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.pulled).map_err(at("list", &self.pulled))? {
            let path = entry.map_err(at("list", &self.pulled))?.path();
            let Some(reference) = durable::read(&path).ok().flatten() else {
                continue;
            };
            if self.is_unused(&reference, None)? {
                found.push(reference);
            }
        }
        Ok(found)
    }

    /// Forgets a pulled image. Forgetting none succeeds.
    pub fn remove_pulled(&self, reference: &str) -> Result<(), StoreError> {
        let path = self.pulled.join(file_of(reference));
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(at("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Every deletion that can be read, oldest first. One that cannot is removed: it protects nothing.
    fn tombstones(&self) -> Result<Vec<Tombstone>, StoreError> {
        let mut found = Vec::new();
        let entries = fs::read_dir(&self.deleted).map_err(at("list", &self.deleted))?;
        for entry in entries {
            let path = entry.map_err(at("list", &self.deleted))?.path();
            let id = path
                .file_name()
                .and_then(|n| n.to_str())
                .and_then(|n| n.parse().ok());
            let text = durable::read(&path).ok().flatten();
            match (id, text.and_then(|t| t.trim().parse().ok())) {
                (Some(id), Some(generation)) => {
                    let age = fs::metadata(&path).and_then(|m| m.modified()).ok();
                    found.push((age, Tombstone { id, generation }));
                }
                _ => fs::remove_file(&path).map_err(at("remove", &path))?,
            }
        }
        found.sort_by_key(|(age, _)| *age);
        Ok(found.into_iter().map(|(_, tombstone)| tombstone).collect())
    }

    /// Forgets the record, durably. Forgetting none succeeds.
    pub fn remove(&self, id: ToolInstanceId) -> Result<(), StoreError> {
        let path = self.instances.join(format!("{id}.json"));
        match fs::remove_file(&path) {
            Ok(()) => self.sync(&self.instances),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at("remove", &path)(error)),
        }
    }
}

/// The name of the file of a reference, which may hold slashes.
fn file_of(reference: &str) -> String {
    hex(&Sha256::digest(reference))
}

fn is_leftover(name: &str) -> bool {
    name.starts_with('.') && Path::new(name).extension().is_some_and(|e| e == "tmp")
}

/// Puts a file with `bytes` in the place of the one at `path`; after an error the old one is there.
fn replace(temporary: &Path, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let replaced = durable::write_synced(temporary, bytes)
        .map_err(at("write", temporary))
        .and_then(|()| fs::rename(temporary, path).map_err(at("replace", path)));
    if replaced.is_err() {
        // Best effort: a leftover is removed at the next start.
        let _ = fs::remove_file(temporary);
    }
    replaced
}

fn at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Io {
        action,
        path,
        source,
    }
}

/// Read first, so that another format is told from a broken file.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

/// A record on disk. Apart from [`Record`], so that renaming a field there cannot change the format.
#[derive(Serialize, Deserialize)]
struct StoredRecord {
    format: u32,
    id: ToolInstanceId,
    name: String,
    container_name: String,
    generation: u64,
    desired: Desired,
    requested_sha256: String,
    current: StoredRelease,
    next: Option<StoredRelease>,
    update_failure: Option<Reason>,
    restart: Option<StoredRestart>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    inherited_volumes: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    halted: Option<StoredHalt>,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    rests: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredHalt {
    reason: Reason,
    asked_again: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredRestart {
    after: String,
    generation: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredRelease {
    revision: u64,
    // Stored, not computed again: containers carry it, and another version of the agent may serialise a spec differently.
    sha256: String,
    spec: ToolSpec,
    ports: Vec<PortBinding>,
    proven: bool,
    #[serde(default)]
    refresh_image: bool,
    #[serde(default)]
    image_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    registry_digest: Option<String>,
    #[serde(default)]
    pulled: bool,
    /// Its limit on the disk, also where the spec names none. Agents that knew no such limit did not write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disk_bytes: Option<u64>,
}

impl StoredRecord {
    fn of(record: &Record) -> Self {
        Self {
            format: FORMAT,
            id: record.id,
            name: record.name.as_str().to_owned(),
            container_name: record.container_name.clone(),
            generation: record.generation,
            desired: record.desired,
            requested_sha256: record.requested_sha256.clone(),
            current: StoredRelease::of(&record.current),
            next: record.next.as_ref().map(StoredRelease::of),
            update_failure: record.update_failure.clone(),
            restart: record.restart.and_then(|r| {
                Some(StoredRestart {
                    after: r.after.format(&Rfc3339).ok()?,
                    generation: r.generation,
                })
            }),
            inherited_volumes: record.inherited_volumes.clone(),
            halted: record.halted.clone().map(|halt| StoredHalt {
                reason: halt.reason,
                asked_again: halt.asked_again,
            }),
            rests: record.rests,
        }
    }

    fn into_record(self) -> Result<Record, Corrupt> {
        Ok(Record {
            id: self.id,
            name: DisplayName::parse(&self.name).map_err(Corrupt::Name)?,
            container_name: self.container_name,
            generation: self.generation,
            desired: self.desired,
            requested_sha256: self.requested_sha256,
            current: self.current.into_release()?,
            next: self.next.map(StoredRelease::into_release).transpose()?,
            update_failure: self.update_failure,
            restart: self.restart.and_then(|r| {
                let after = OffsetDateTime::parse(&r.after, &Rfc3339).ok()?;
                Some(Restart {
                    after,
                    generation: r.generation,
                })
            }),
            inherited_volumes: self.inherited_volumes,
            halted: self.halted.map(|halt| Halt {
                reason: halt.reason,
                asked_again: halt.asked_again,
            }),
            rests: self.rests,
        })
    }
}

impl StoredRelease {
    fn of(release: &Release) -> Self {
        Self {
            revision: release.revision,
            sha256: release.sha256.clone(),
            spec: release.spec.wire().clone(),
            ports: release.ports.clone(),
            proven: release.proven,
            refresh_image: release.refresh_image,
            image_digest: release.image_digest.clone(),
            registry_digest: release.registry_digest.clone(),
            pulled: release.pulled,
            disk_bytes: release.spec.resources().disk_bytes,
        }
    }

    fn into_release(self) -> Result<Release, Corrupt> {
        let spec = InstanceSpec::taken_before(self.spec, self.disk_bytes)
            .map_err(|errors| Corrupt::Spec(errors.first().map_or("spec_invalid", |e| e.code)))?;
        Ok(Release {
            proven: self.proven,
            refresh_image: self.refresh_image,
            image_digest: self.image_digest,
            registry_digest: self.registry_digest,
            pulled: self.pulled,
            sha256: self.sha256,
            ..Release::new(self.revision, spec, self.ports)
        })
    }
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
