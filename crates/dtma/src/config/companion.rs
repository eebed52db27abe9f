//! Flags and variables of the companion. It reads the agent's settings too, because it starts the agent with them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{MachineConfig, parse_web_url};

/// What keeps the agent's program running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SupervisionKind {
    /// The systemd unit `dtma.service`.
    Systemd,
    /// A Docker container with the name of `DTMA_CONTAINER`, made by the companion.
    Docker,
    /// A child process of the companion, for development.
    Process,
}

/// What the companion is told.
#[derive(Clone, Debug, Args)]
pub struct CompanionConfig {
    #[command(flatten)]
    pub machine: MachineConfig,

    /// Port the companion listens on, at the agent's address.
    #[arg(long, env = "DTMA_COMPANION_PORT", default_value_t = 3000, value_parser = clap::value_parser!(u16).range(1..), value_name = "PORT")]
    pub companion_port: u16,

    /// Address and port the agent listens on.
    #[arg(
        long = "listen",
        env = "DTMA_LISTEN",
        default_value = "127.0.0.1:30000",
        value_name = "ADDRESS:PORT"
    )]
    pub agent: SocketAddr,

    /// What keeps the agent running.
    #[arg(long, env = "DTMA_SUPERVISION", value_enum, default_value_t = SupervisionKind::Systemd)]
    pub supervision: SupervisionKind,

    /// Name of the agent's container, where Docker keeps it running.
    #[arg(
        long,
        env = "DTMA_CONTAINER",
        default_value = "dtma",
        value_name = "NAME"
    )]
    pub container: String,

    /// Folder with a folder of each installed version of this program, and the links `current` and `previous`.
    #[arg(
        long,
        env = "DTMA_VERSIONS_DIR",
        default_value = "/usr/local/lib/dtma",
        value_name = "FOLDER"
    )]
    pub versions_dir: PathBuf,

    /// File with the settings that the agent is started with, a NAME=VALUE in each line.
    #[arg(
        long,
        env = "DTMA_SETTINGS_FILE",
        default_value = "/etc/dtma/dtma.env",
        value_name = "FILE"
    )]
    pub settings_file: PathBuf,

    /// Where releases of this program are: https, or plain HTTP to a loopback address. Without it, only a rollback changes
    /// the agent's version.
    #[arg(long, env = "TOOLBOX_RELEASE_URL", value_parser = parse_web_url, value_name = "URL")]
    pub release_url: Option<http::Uri>,

    /// File with further certificates (PEM) that the certificate of `TOOLBOX_RELEASE_URL` may be issued by, beside the
    /// public ones.
    #[arg(long, env = "DTMA_CONTROL_CA_FILE", value_name = "FILE")]
    pub control_ca_file: Option<PathBuf>,

    /// Seconds that a new version of the agent has to become healthy, before the old one is started again.
    #[arg(long, env = "DTMA_HEALTHY_WITHIN", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600), value_name = "SECONDS")]
    pub healthy_within: u32,
}

impl CompanionConfig {
    /// Address and port the companion listens on.
    pub const fn listen(&self) -> SocketAddr {
        SocketAddr::new(self.agent.ip(), self.companion_port)
    }

    /// How long a new version may take to become healthy.
    pub fn healthy_within(&self) -> Duration {
        Duration::from_secs(self.healthy_within.into())
    }
}

/// The settings in `file`: lines of NAME=VALUE. Empty lines and comments are left out. Blocks.
pub fn read_settings(file: &Path) -> std::io::Result<Vec<(String, String)>> {
    let text = crate::durable::read(file)?.unwrap_or_default();
    Ok(parse_settings(&text))
}

fn parse_settings(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim);
    lines
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.trim().to_owned(), unquoted(value.trim()).to_owned()))
        .collect()
}

/// systemd takes quotes around a value for no part of it.
fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = value
            .strip_prefix(quote)
            .and_then(|v| v.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_systemd_reads_them() {
        let text = "# a comment\n\nDTMA_LISTEN=0.0.0.0:30000\n  DTMA_LOG=\"info\"\nA='b=c'\nno setting\nEMPTY=\n";
        let expected = [
            ("DTMA_LISTEN", "0.0.0.0:30000"),
            ("DTMA_LOG", "info"),
            ("A", "b=c"),
            ("EMPTY", ""),
        ];
        assert_eq!(
            parse_settings(text),
            expected.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
    }
}
