//! `dtma ssh-setup`: lets the control plane in by SSH, as a user of its own, for the forced command only.
//!
//! Four things are made, and each is checked before it counts: the user, a rule of sudo (by visudo), the list of principals
//! and sshd's settings (by `sshd -t`; refused settings are taken back, and sshd goes on as before). Safe to run again.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use toolbox_domain::machine_operation::{FORCED_COMMAND, SSH_USER};

use super::CA_FILE;
use super::programs::{self, ProgramError};
use crate::config::ssh::{SettingsError, SshConfig, SshSetup};

const SSHD: &str = "/usr/sbin/sshd";
const SSHD_SETTINGS: &str = "/etc/ssh/sshd_config";
const OUR_SETTINGS: &str = "/etc/ssh/sshd_config.d/50-toolbox.conf";
const PRINCIPALS: &str = "/etc/ssh/toolbox_principals";
const SUDO_RULE: &str = "/etc/sudoers.d/50-toolbox";
const SSHD_PID: &str = "/run/sshd.pid";
/// How long a program of the system may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Why SSH is not set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The machine's settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A program is missing.
    #[error("there is no {0} on this machine; install it and run dtma ssh-setup again")]
    Missing(&'static str),
    /// The enrolment brought no authority.
    #[error(
        "the control plane told no SSH authority; set TOOLBOX_SSH_CA_KEY for its functions and enrol the machine again"
    )]
    NoAuthority,
    /// Settings in the folder beside sshd's file would not be read.
    #[error(
        "{SSHD_SETTINGS} does not include sshd_config.d/*.conf; add that line at its beginning"
    )]
    NoInclude,
    /// A file cannot be written.
    #[error("could not {0} '{1}'")]
    Io(&'static str, PathBuf, #[source] io::Error),
    /// A program refused.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// Carries the command out; says what was done.
pub async fn run(command: &SshSetup) -> Result<String, SetupError> {
    if command.remove {
        return remove().await;
    }
    let config = SshConfig::of_machine()?;
    for (program, name) in [
        (SSHD, "sshd (openssh-server)"),
        ("/usr/bin/sudo", "sudo"),
        ("/usr/sbin/visudo", "visudo (sudo)"),
    ] {
        if !Path::new(program).exists() {
            return Err(SetupError::Missing(name));
        }
    }
    let authority = config.machine.state_dir.join(CA_FILE);
    if !authority.exists() {
        return Err(SetupError::NoAuthority);
    }
    let settings = fs::read_to_string(SSHD_SETTINGS)
        .map_err(|error| SetupError::Io("read", SSHD_SETTINGS.into(), error))?;
    let includes = |line: &str| {
        line.trim_start().starts_with("Include") && line.contains("sshd_config.d/*.conf")
    };
    if !settings.lines().any(includes) {
        return Err(SetupError::NoInclude);
    }

    if programs::run("getent", &["passwd", SSH_USER], LIMIT)
        .await
        .is_err()
    {
        // A password that nothing matches: an account that is locked is not let in with a key either.
        let args = [
            "--system",
            "--no-create-home",
            "--home-dir",
            "/nonexistent",
            "--shell",
            "/bin/sh",
            "--password",
            "*",
            SSH_USER,
        ];
        programs::run("useradd", &args, LIMIT).await?;
    }
    let draft = Path::new("/etc/sudoers.d/.toolbox-draft");
    write(draft, &sudo_rule(), 0o440)?;
    let checked = programs::run(
        "visudo",
        &["-c", "-q", "-f", "/etc/sudoers.d/.toolbox-draft"],
        LIMIT,
    )
    .await;
    if let Err(error) = checked {
        let _ = fs::remove_file(draft);
        return Err(error.into());
    }
    fs::rename(draft, SUDO_RULE)
        .map_err(|error| SetupError::Io("write", SUDO_RULE.into(), error))?;
    // sshd reads it as the user, and takes it from nobody but root.
    write(
        Path::new(PRINCIPALS),
        &format!("{}\n", config.machine.toolbox_id),
        0o644,
    )?;

    let before = fs::read_to_string(OUR_SETTINGS).ok();
    let wanted = sshd_settings(&authority);
    write(Path::new(OUR_SETTINGS), &wanted, 0o644)?;
    if let Err(error) = programs::run(SSHD, &["-t"], LIMIT).await {
        match &before {
            Some(before) => write(Path::new(OUR_SETTINGS), before, 0o644)?,
            None => delete(OUR_SETTINGS)?,
        }
        return Err(error.into());
    }
    if before.as_deref() != Some(&*wanted) {
        reload().await?;
    }
    Ok(format!(
        "SSH is set up: user {SSH_USER}, principal {}",
        config.machine.toolbox_id
    ))
}

async fn remove() -> Result<String, SetupError> {
    // sshd's settings first: from then on nobody comes in.
    let had_settings = Path::new(OUR_SETTINGS).exists();
    for file in [OUR_SETTINGS, SUDO_RULE, PRINCIPALS] {
        delete(file)?;
    }
    if had_settings {
        reload().await?;
    }
    if programs::run("getent", &["passwd", SSH_USER], LIMIT)
        .await
        .is_ok()
    {
        programs::run("userdel", &[SSH_USER], LIMIT).await?;
    }
    Ok("SSH's user, rule and settings are removed".to_owned())
}

/// sshd reads its settings again; sessions go on. One that does not run reads them when it starts.
async fn reload() -> Result<(), SetupError> {
    if programs::has_systemd() {
        for unit in ["ssh.service", "sshd.service"] {
            if programs::run("systemctl", &["is-active", "--quiet", unit], LIMIT)
                .await
                .is_ok()
            {
                programs::run("systemctl", &["reload", unit], LIMIT).await?;
                return Ok(());
            }
        }
        return Ok(());
    }
    let pid = fs::read_to_string(SSHD_PID).ok();
    let pid = pid
        .and_then(|text| text.trim().parse().ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        kill_process(pid, Signal::HUP).map_err(|error| {
            SetupError::Io("signal the process in", SSHD_PID.into(), error.into())
        })?;
    }
    Ok(())
}

fn sudo_rule() -> String {
    // The command of sshd without sudo itself.
    let command = FORCED_COMMAND.trim_start_matches("sudo -n ");
    format!(
        "# Made by dtma ssh-setup; taken back by dtma ssh-setup --remove.\n\
         # Without a terminal in between, a caller that goes away is noticed.\n\
         Defaults:{SSH_USER} !requiretty, !use_pty, env_keep = \"SSH_ORIGINAL_COMMAND\"\n\
         {SSH_USER} ALL=(root) NOPASSWD: {command}\n"
    )
}

fn sshd_settings(authority: &Path) -> String {
    format!(
        "# Made by dtma ssh-setup; taken back by dtma ssh-setup --remove.\n\
         Match User {SSH_USER}\n\
         \x20   TrustedUserCAKeys {}\n\
         \x20   AuthorizedPrincipalsFile {PRINCIPALS}\n\
         \x20   AuthorizedKeysFile none\n\
         \x20   AuthenticationMethods publickey\n\
         \x20   ForceCommand {FORCED_COMMAND}\n\
         \x20   PermitTTY no\n\
         \x20   DisableForwarding yes\n\
         \x20   PermitUserRC no\n\
         \x20   MaxSessions 2\n",
        authority.display()
    )
}

/// Replaces a file of root's, whole or not at all.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), SetupError> {
    let temporary = path.with_extension("toolbox-new");
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            // Whatever the mask of new files is.
            file.set_permissions(fs::Permissions::from_mode(mode))?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&temporary);
        SetupError::Io("write", path.to_owned(), error)
    })
}

fn delete(path: &str) -> Result<(), SetupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SetupError::Io("remove", path.into(), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_for_one_user_and_one_command() {
        let rule = sudo_rule();
        let grants: Vec<_> = rule
            .lines()
            .filter(|line| line.contains("NOPASSWD"))
            .collect();
        assert_eq!(
            grants,
            ["toolbox-ssh ALL=(root) NOPASSWD: /usr/local/bin/dtma ssh-command"]
        );
    }

    #[test]
    fn sshd_is_told_everything_for_that_user_only() {
        let settings = sshd_settings(Path::new("/var/lib/dtma/ssh_ca.pub"));
        let lines: Vec<_> = settings.lines().skip(1).collect();
        assert_eq!(lines[0], "Match User toolbox-ssh");
        assert!(
            lines[1..].iter().all(|line| line.starts_with("    ")),
            "{settings}"
        );
        assert!(settings.contains("    ForceCommand sudo -n /usr/local/bin/dtma ssh-command\n"));
    }
}
