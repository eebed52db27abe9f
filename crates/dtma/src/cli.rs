//! The command line: which of the machine's programs this is.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::config::companion::CompanionConfig;
use crate::config::enrol::EnrolConfig;
use crate::config::ssh::{SshCommand, SshSetup};

/// DTMA drives the Docker Engine of one toolbox to the desired state that the control plane gives it.
///
/// Every flag can be given as the environment variable named beside it; a flag wins over its variable. Without a command,
/// `dtma` is `dtma agent`.
#[derive(Debug, Parser)]
#[command(name = "dtma", version = crate::version(), max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the agent, which drives Docker and serves the API.
    Agent(Box<Config>),
    /// Runs the companion, which keeps the agent running and replaces it by other versions.
    Companion(Box<CompanionConfig>),
    /// Enrols this machine with a single-use token, and ends.
    Enrol(Box<EnrolConfig>),
    /// Lets the control plane in by SSH for this program's `ssh-command` only, or takes that back.
    SshSetup(SshSetup),
    /// Runs the one operation that the caller of SSH asked for; sshd starts it.
    SshCommand(SshCommand),
    /// Tries to connect to each address; the agent runs this in a container. The exit code has a bit for each that answered.
    #[command(hide = true)]
    Probe { targets: Vec<String> },
}

/// The program's arguments, its name first. Callers from before there were commands give the agent's flags alone.
pub fn with_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let is_named = arguments.get(1).is_some_and(|first| {
        let text = first.to_string_lossy();
        !text.starts_with('-') || ["-h", "--help", "-V", "--version"].contains(&&*text)
    });
    if !is_named {
        arguments.insert(arguments.len().min(1), "agent".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let all = std::iter::once("dtma").chain(arguments.iter().copied());
        Cli::try_parse_from(with_command(all.map(OsString::from)))
    }

    const ID: [&str; 2] = ["--toolbox-id", "6f9619ff-8b86-4d01-b42d-00000000000a"];

    #[test]
    fn without_a_command_it_is_the_agent() {
        for before in [&[][..], &["agent"]] {
            let cli = parse(&[before, &ID].concat()).unwrap();
            assert!(matches!(cli.command, Command::Agent(_)), "{before:?}");
        }
        let companion = parse(&[&["companion"], &ID[..]].concat()).unwrap();
        assert!(matches!(companion.command, Command::Companion(_)));
        let enrol = parse(
            &[
                &["enrol"],
                &ID[..],
                &["--control-url", "https://h/heartbeat"],
            ]
            .concat(),
        );
        assert!(matches!(enrol.unwrap().command, Command::Enrol(_)));
        assert!(parse(&["unknown"]).is_err());
        assert_eq!(with_command([OsString::from("dtma")]), ["dtma", "agent"]);
    }

    #[test]
    fn help_names_the_commands_and_the_version_is_the_programs() {
        let help = parse(&["--help"]).unwrap_err().to_string();
        for word in ["agent", "companion", "enrol", "drives the Docker Engine"] {
            assert!(help.contains(word), "{help}");
        }
        let version = parse(&["--version"]).unwrap_err().to_string();
        assert!(version.contains(crate::version()));
    }
}
