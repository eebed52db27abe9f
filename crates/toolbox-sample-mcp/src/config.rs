//! The command line and the environment, read once at start.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The command line of the sample server.
#[derive(Debug, clap::Parser)]
#[command(version, about = "A sample MCP server for Toolbox's demo and tests")]
pub(crate) struct Options {
    /// Serve MCP on stdin and stdout instead of HTTP
    #[arg(long)]
    pub(crate) stdio: bool,
    /// Address of the HTTP server: MCP on /mcp, health on /healthz
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080")]
    pub(crate) listen: SocketAddr,
    /// Exit with code 1 at start when this environment variable is missing or empty; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) require_env: Vec<String>,
    /// Answer each call of a tool after this many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    call_ms: u64,
    /// Offer a tool `drift` more: after its call the tools are others, which is not announced
    #[arg(long)]
    pub(crate) drift: bool,
    /// Exit by itself after this many milliseconds
    #[arg(long, value_name = "MS")]
    exit_after_ms: Option<u64>,
    /// The exit code that --exit-after-ms ends with
    #[arg(long, value_name = "CODE", default_value_t = 0)]
    pub(crate) exit_code: u8,
}

impl Options {
    /// How long a call takes.
    pub(crate) fn call(&self) -> Duration {
        Duration::from_millis(self.call_ms)
    }

    /// How long to live, when a limit was given.
    pub(crate) fn exit_after(&self) -> Option<Duration> {
        self.exit_after_ms.map(Duration::from_millis)
    }
}

/// The prefix of the variables whose values the `environment` tool may show.
const SHOWN_PREFIX: &str = "SAMPLE_";

/// The environment: every name, but only the values that are meant to be shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    // `None` stands for a value that is never shown, so that no later code can leak it.
    variables: BTreeMap<String, Option<String>>,
}

impl Environment {
    /// The environment of this process.
    #[expect(
        clippy::disallowed_methods,
        reason = "the program's config module; the `environment` tool names every variable"
    )]
    pub(crate) fn of_this_process() -> Self {
        // `vars` would panic on a value that is not UTF-8.
        Self::new(std::env::vars_os().filter_map(|(name, value)| {
            Some((
                name.into_string().ok()?,
                value.to_string_lossy().into_owned(),
            ))
        }))
    }

    fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| {
                let shown = name.starts_with(SHOWN_PREFIX).then_some(value);
                (name, shown)
            })
            .collect();
        Self { variables }
    }

    /// The first of `required` that is missing or empty.
    pub(crate) fn first_missing<'a>(&self, required: &'a [String]) -> Option<&'a str> {
        required
            .iter()
            .map(String::as_str)
            .find(|name| !self.variables.contains_key(*name))
    }

    /// Names of all variables that are set and not empty, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.variables.keys().map(String::as_str).collect()
    }

    /// Name and value of each variable whose name starts with `SAMPLE_`.
    pub(crate) fn shown(&self) -> BTreeMap<&str, &str> {
        self.variables
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment() -> Environment {
        Environment::new(
            [
                ("API_KEY", "secret"),
                ("SAMPLE_GREETING", "hej"),
                ("EMPTY", ""),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
    }

    #[test]
    fn values_are_kept_only_for_the_shown_prefix() {
        let environment = environment();
        assert_eq!(environment.names(), ["API_KEY", "SAMPLE_GREETING"]);
        assert_eq!(
            environment.shown(),
            BTreeMap::from([("SAMPLE_GREETING", "hej")])
        );
        assert!(!format!("{environment:?}").contains("secret"));
    }

    #[test]
    fn an_empty_variable_counts_as_missing() {
        let required = ["API_KEY", "EMPTY"].map(str::to_owned);
        assert_eq!(environment().first_missing(&required), Some("EMPTY"));
        assert_eq!(environment().first_missing(&required[..1]), None);
    }
}
