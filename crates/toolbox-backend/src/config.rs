//! The command line and the environment, read once at the start; nothing else reads either.

use std::net::{IpAddr, Ipv4Addr};

use clap::{Parser, Subcommand};

/// Shortest secret that callers may be known by, in bytes.
const MIN_SECRET_BYTES: usize = 32;

/// Variables that this program reads beside those of the edge functions.
pub(crate) const SECRET: &str = "INTERNAL_API_SECRET";

/// Server of the control plane: makes the tool environments of agents, and goes on with toolboxes that are under way.
///
/// Secrets come from the environment only, with the names that the edge functions know: SUPABASE_URL, SUPABASE_SECRET_KEYS,
/// SUPABASE_PUBLISHABLE_KEYS, BACKEND_TO_DTMA_API_KEY, INTERNAL_API_SECRET and those of DigitalOcean. Never run it on a toolbox:
/// it holds what may buy and end machines.
#[derive(Debug, Parser)]
#[command(name = "toolbox-backend", version, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Port that it listens on.
    #[arg(long, global = true, env = "PORT", default_value_t = 3000)]
    pub(crate) port: u16,

    /// Address that it listens at.
    #[arg(long, env = "TOOLBOX_BACKEND_LISTEN", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub(crate) listen: IpAddr,

    /// Least severe message that it logs, or a filter: error, warn, info, debug or trace.
    #[arg(long, env = "TOOLBOX_BACKEND_LOG", default_value = "info")]
    pub(crate) log: String,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Ask the server on this machine whether it answers: for a container's health check.
    Health,
}

/// What the server runs with.
pub(crate) struct Config {
    /// What callers of the internal routes present.
    pub(crate) secret: String,
    /// What the edge functions are configured with, too.
    pub(crate) edge: toolbox_edge::config::Config,
}

/// Variables that are missing or malformed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("set {}; see .env.example for each", .0.join(", "))]
pub(crate) struct Missing(pub(crate) Vec<&'static str>);

impl Config {
    /// Reads this process' environment.
    pub(crate) fn of_this_process() -> Result<Self, Missing> {
        #[allow(clippy::disallowed_methods, reason = "this is the config module")]
        Self::read(|name| std::env::var(name).ok())
    }

    /// Everything that is missing is named at once.
    pub(crate) fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Missing> {
        let mut missing = Vec::new();
        let secret = lookup(SECRET).filter(|secret| secret.len() >= MIN_SECRET_BYTES);
        if secret.is_none() {
            missing.push(SECRET);
        }
        let edge = match toolbox_edge::config::Config::read(&lookup) {
            Ok(edge) => {
                missing.extend(missing_parts(&edge));
                Some(edge)
            }
            Err(error) => {
                missing.extend(error.0);
                // The project is missing; what else is shows once there is one.
                let with_project = |name: &str| lookup(name).or_else(|| project(name));
                let rest = toolbox_edge::config::Config::read(with_project);
                missing.extend(rest.iter().flat_map(missing_parts));
                None
            }
        };
        match (secret, edge) {
            (Some(secret), Some(edge)) if missing.is_empty() => Ok(Self { secret, edge }),
            _ => Err(Missing(missing)),
        }
    }
}

/// What this program needs of the parts that only some edge functions need.
fn missing_parts(edge: &toolbox_edge::config::Config) -> Vec<&'static str> {
    let parts = [
        edge.agents.as_ref().err(),
        edge.provisioning.as_ref().err(),
        edge.release_url.as_ref().err(),
        edge.control_url.as_ref().err(),
        edge.quotas.as_ref().err(),
    ];
    let wrong = parts.into_iter().flatten();
    wrong.flat_map(|error| error.0.iter().copied()).collect()
}

/// A project that is nowhere.
fn project(name: &str) -> Option<String> {
    let value = match name {
        "SUPABASE_URL" => "http://127.0.0.1",
        "SUPABASE_ANON_KEY" | "SUPABASE_SERVICE_ROLE_KEY" => "x",
        _ => return None,
    };
    Some(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [(&str, &str); 7] = [
        ("SUPABASE_URL", "http://127.0.0.1:54321"),
        ("SUPABASE_ANON_KEY", "anon"),
        ("SUPABASE_SERVICE_ROLE_KEY", "service"),
        (
            "BACKEND_TO_DTMA_API_KEY",
            "0123456789abcdef0123456789abcdef",
        ),
        (SECRET, "fedcba9876543210fedcba9876543210"),
        ("DO_API_TOKEN", "dop"),
        ("TOOLBOX_RELEASE_URL", "https://r.example"),
    ];

    fn read(variables: &[(&str, &str)]) -> Result<(), Missing> {
        let lookup = |name: &str| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Config::read(lookup).map(|_| ())
    }

    #[test]
    fn everything_that_is_missing_is_named() {
        assert_eq!(read(&ALL), Ok(()));
        let Err(Missing(names)) = read(&[]) else {
            panic!("it starts without anything")
        };
        for name in [
            SECRET,
            "SUPABASE_URL",
            "SUPABASE_SECRET_KEYS",
            "DO_API_TOKEN",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        for (i, (lacking, _)) in ALL.iter().enumerate() {
            let mut some = ALL.to_vec();
            some.remove(i);
            let Err(Missing(names)) = read(&some) else {
                panic!("it starts without {lacking}")
            };
            assert_eq!(names.len(), 1, "{lacking}: {names:?}");
        }
        let mut short = ALL;
        short[4].1 = "short";
        assert_eq!(read(&short), Err(Missing(vec![SECRET])));
    }
}
