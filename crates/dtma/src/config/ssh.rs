//! Settings of the two SSH commands. They begin without an environment, so they read the machine's settings file.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};

use super::MachineConfig;
use super::companion::read_settings;

/// Where the installer keeps the machine's settings.
const SETTINGS: &str = "/etc/dtma/dtma.env";

/// What a command of SSH needs to know of the machine.
#[derive(Clone, Debug, Parser)]
#[command(name = "dtma", max_term_width = 100)]
pub struct SshConfig {
    #[command(flatten)]
    pub machine: MachineConfig,

    /// Where the agent listens.
    #[arg(
        long,
        env = "DTMA_LISTEN",
        default_value = "127.0.0.1:30000",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    /// Port of its companion.
    #[arg(
        long,
        env = "DTMA_COMPANION_PORT",
        default_value_t = 3000,
        value_name = "PORT"
    )]
    pub companion_port: u16,
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("could not read '{path}'")]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A setting is missing or malformed.
    #[error("a setting in '{path}' is missing or wrong: {problem}")]
    Wrong { path: PathBuf, problem: String },
}

impl SshConfig {
    /// The settings of this machine.
    pub fn of_machine() -> Result<Self, SettingsError> {
        Self::read(Path::new(SETTINGS))
    }

    /// Settings from a file; names that mean nothing here are left out. No file is an empty one.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let settings = read_settings(path).map_err(|source| SettingsError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let command = Self::command();
        let flag = |(name, value): (String, String)| {
            let of_name =
                |argument: &&clap::Arg| argument.get_env().is_some_and(|env| env == &*name);
            let long = command.get_arguments().find(of_name)?.get_long()?;
            Some(OsString::from(format!("--{long}={value}")))
        };
        let flags = std::iter::once("dtma".into()).chain(settings.into_iter().filter_map(flag));
        Self::try_parse_from(flags).map_err(|error| SettingsError::Wrong {
            path: path.to_owned(),
            problem: error.kind().to_string(),
        })
    }
}

/// What sshd tells the forced command.
#[derive(Clone, Debug, clap::Args)]
pub struct SshCommand {
    /// What was asked for; sshd sets it.
    #[arg(long, env = "SSH_ORIGINAL_COMMAND", default_value = "", hide = true)]
    pub original: OsString,
}

/// Sets SSH up on this machine, or takes it back. Run it as root, after the machine was enrolled.
#[derive(Clone, Debug, clap::Args)]
pub struct SshSetup {
    /// Takes back what was set up.
    #[arg(long)]
    pub remove: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_settings_are_read_from_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dtma.env");
        assert!(matches!(
            SshConfig::read(&file),
            Err(SettingsError::Wrong { .. })
        ));
        std::fs::write(
            &file,
            "# a comment\nDTMA_TOOLBOX_ID=6f9619ff-8b86-4d01-b42d-00000000000a\nDTMA_LISTEN=\"0.0.0.0:30001\"\nOTHER=x\n\nDTMA_STATE_DIR=/srv/dtma\n",
        )
        .unwrap();
        let config = SshConfig::read(&file).unwrap();
        assert_eq!(config.listen, "0.0.0.0:30001".parse().unwrap());
        assert_eq!(config.machine.state_dir, Path::new("/srv/dtma"));
        assert_eq!(config.machine.docker_host, "unix:///var/run/docker.sock");
        std::fs::write(&file, "DTMA_TOOLBOX_ID=SECRET\n").unwrap();
        let error = SshConfig::read(&file).unwrap_err().to_string();
        assert!(!error.contains("SECRET"), "{error}");
    }
}
