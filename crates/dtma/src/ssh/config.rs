//! Settings of the two SSH commands. They begin without an environment, so they read the machine's settings file.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser};
use toolbox_domain::ids::ToolboxId;

use crate::durable;

/// Where the installer keeps the machine's settings.
const SETTINGS: &str = "/etc/dtma/dtma.env";

/// What a command of SSH needs to know of the machine.
#[derive(Clone, Debug, Parser)]
#[command(name = "dtma", max_term_width = 100)]
pub struct SshConfig {
    /// Id of the toolbox this machine is.
    #[arg(long, env = "DTMA_TOOLBOX_ID", value_name = "UUID")]
    pub toolbox_id: ToolboxId,

    /// Where the agent listens.
    #[arg(long, env = "DTMA_LISTEN", default_value = "127.0.0.1:30000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Where its companion listens.
    #[arg(long, env = "DTMA_COMPANION_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS:PORT")]
    pub companion_listen: SocketAddr,

    /// Whether they speak plain HTTP.
    #[arg(long, env = "DTMA_INSECURE_HTTP", default_value_t = false, action = clap::ArgAction::Set,
          value_parser = clap::builder::BoolishValueParser::new())]
    pub insecure_http: bool,

    /// The agent's folder.
    #[arg(long, env = "DTMA_STATE_DIR", default_value = "/var/lib/dtma", value_name = "FOLDER")]
    pub state_dir: PathBuf,

    /// File with keys, for an agent that is not enrolled.
    #[arg(long, env = "DTMA_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Docker Engine.
    #[arg(long, env = "DTMA_DOCKER_HOST", default_value = "unix:///var/run/docker.sock", value_name = "URL")]
    pub docker_host: String,
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

    /// Settings from a file of lines `NAME=value`; names that mean nothing here are left out. No file is an empty one.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = durable::read(path).map_err(|source| SettingsError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let text = text.unwrap_or_default();
        let command = Self::command();
        let flag = |line: &str| {
            let (name, value) = line.trim().split_once('=')?;
            let of_name = |argument: &&clap::Arg| argument.get_env().is_some_and(|env| env == name);
            let long = command.get_arguments().find(of_name)?.get_long()?;
            let value = value.trim();
            let plain = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            Some(OsString::from(format!("--{long}={}", plain.unwrap_or(value))))
        };
        let flags = std::iter::once("dtma".into()).chain(text.lines().filter_map(flag));
        Self::try_parse_from(flags).map_err(|error| SettingsError::Wrong {
            path: path.to_owned(),
            problem: error.kind().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_settings_are_read_from_their_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dtma.env");
        assert!(matches!(SshConfig::read(&file), Err(SettingsError::Wrong { .. })));
        std::fs::write(
            &file,
            "# a comment\nDTMA_TOOLBOX_ID=6f9619ff-8b86-4d01-b42d-00000000000a\nDTMA_LISTEN=\"0.0.0.0:30001\"\nOTHER=x\n\nDTMA_STATE_DIR=/srv/dtma\n",
        )
        .unwrap();
        let config = SshConfig::read(&file).unwrap();
        assert_eq!(config.listen, "0.0.0.0:30001".parse().unwrap());
        assert_eq!(config.state_dir, Path::new("/srv/dtma"));
        assert_eq!(config.docker_host, "unix:///var/run/docker.sock");
        std::fs::write(&file, "DTMA_TOOLBOX_ID=SECRET\n").unwrap();
        let error = SshConfig::read(&file).unwrap_err().to_string();
        assert!(!error.contains("SECRET"), "{error}");
    }
}
