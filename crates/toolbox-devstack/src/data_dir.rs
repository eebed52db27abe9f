//! The folder that holds a stack's data, keys and logs, and the lock that keeps a second stack out of it.

use std::fs::{File, Permissions, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::companion;
use crate::dtma::{Containers, end_containers};
use crate::error::StackError;
use crate::secrets::{Secrets, random_hex};
use crate::simulator;

const TEMPORARY: &str = "toolbox-stack-";
/// A folder younger than this may belong to a stack that has not locked it yet.
const SETTLED: Duration = Duration::from_secs(15);

/// A locked data directory. The lock goes with the process, however it ends.
pub(crate) struct DataDir {
    pub(crate) path: PathBuf,
    ephemeral: bool,
    _lock: File,
}

impl DataDir {
    /// Opens `path`, creating it if need be.
    pub(crate) fn open(path: PathBuf) -> Result<Self, StackError> {
        Self::lock(path, false)
    }

    /// Makes a folder for one run.
    pub(crate) fn temporary() -> Result<Self, StackError> {
        let path = std::env::temp_dir().join(format!("{TEMPORARY}{}", random_hex(6)?));
        Self::lock(path, true)
    }

    fn lock(path: PathBuf, ephemeral: bool) -> Result<Self, StackError> {
        std::fs::create_dir_all(path.join("logs")).map_err(StackError::file("create", &path))?;
        // Postgres runs as another user, who must pass through; what is inside protects itself.
        std::fs::set_permissions(&path, Permissions::from_mode(0o711))
            .map_err(StackError::file("protect", &path))?;
        let file = path.join("stack.lock");
        let mut lock = File::options()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .open(&file)
            .map_err(StackError::file("open", &file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = std::fs::read_to_string(&file)
                    .unwrap_or_default()
                    .trim()
                    .to_owned();
                return Err(StackError::AlreadyRunning {
                    data_dir: path,
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(StackError::file("lock", &file)(source));
            }
        }
        let write = lock
            .set_len(0)
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        write.map_err(StackError::file("write", &file))?;
        Ok(Self {
            path,
            ephemeral,
            _lock: lock,
        })
    }

    pub(crate) fn secrets_file(&self) -> PathBuf {
        secrets_file(&self.path)
    }

    /// Removes what was made for one run.
    pub(crate) fn finish(self) {
        if self.ephemeral {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

fn secrets_file(folder: &Path) -> PathBuf {
    folder.join("keys.json")
}

/// Removes the folders, agents and containers of ephemeral stacks that were killed.
pub(crate) async fn sweep(search: &str) {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        let age = entry
            .metadata()
            .and_then(|data| data.modified())
            .ok()
            .and_then(|at| at.elapsed().ok());
        if !ours || age.is_none_or(|age| age < SETTLED) {
            continue;
        }
        let folder = entry.path();
        let Ok(lock) = File::open(folder.join("stack.lock")) else {
            continue;
        };
        if lock.try_lock().is_err() {
            continue;
        }
        let read = std::fs::read_to_string(secrets_file(&folder)).ok();
        if let Some(left) = read.and_then(|text| serde_json::from_str::<Secrets>(&text).ok()) {
            companion::end_agent(&folder).await;
            end_containers(search, left.toolbox_id, Containers::Remove).await;
            simulator::clear(search, &left.stack_id.to_string()).await;
        }
        let _ = std::fs::remove_dir_all(&folder);
    }
}
