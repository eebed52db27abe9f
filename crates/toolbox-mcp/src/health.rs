//! Turns findings into a server's health, with its evidence and its age.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toolbox_api::mcp::{McpHealth, McpState, ToolsChanged};

use crate::redact::Redactor;
use crate::tools::Toolset;

/// What a probe, or an end of the server, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The state it means.
    pub state: McpState,
    /// Why, in words, without secrets.
    pub evidence: String,
    /// Set when the server answered a probe, and what it lists is known.
    pub success: Option<Success>,
}

/// A server that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Success {
    /// How long it took.
    pub latency: Duration,
    /// What it says of itself.
    pub server: Identity,
    /// Its tools, as it listed them last.
    pub tools: Arc<Toolset>,
}

/// A server's name, version and protocol revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Protocol revision.
    pub protocol: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Version.
    pub version: Option<String>,
}

/// Words of a last line that tell of a setting which is missing or wrong.
const SETTINGS: [&str; 9] = [
    "api key",
    "api_key",
    "apikey",
    "credential",
    "environment variable",
    "env var",
    "password",
    "secret",
    "token",
];

/// A clause that names the field which likely cures an end whose last line was this; empty where nothing is likely.
pub fn lacking(said: &str) -> &'static str {
    let said = said.to_ascii_lowercase();
    if SETTINGS.iter().any(|word| said.contains(word)) {
        "; it may lack a setting: set environmentVariables"
    } else {
        ""
    }
}

/// Turns findings into health. Only this reads the wall clock.
#[derive(Debug)]
pub struct Tracker {
    health: McpHealth,
    tools: Option<Arc<Toolset>>,
    redactor: Redactor,
}

impl Tracker {
    /// A server of which nothing is known, but perhaps its tools from an earlier time.
    pub fn new(now: OffsetDateTime, known: Option<Toolset>) -> Self {
        let at = text(now);
        Self {
            health: McpHealth {
                state: McpState::Starting,
                evidence: "not asked yet".to_owned(),
                since: at.clone(),
                checked_at: at,
                last_success_at: None,
                latency_ms: None,
                protocol_version: None,
                server_name: None,
                server_version: None,
                tool_count: None,
                tools_fingerprint: known.as_ref().map(Toolset::fingerprint),
                tools_changed: None,
            },
            tools: known.map(Arc::new),
            redactor: Redactor::default(),
        }
    }

    /// Cleans everything that the server says of itself from now on.
    pub fn set_redactor(&mut self, redactor: Redactor) {
        self.redactor = redactor;
    }

    /// Applies a finding.
    pub fn found(&mut self, now: OffsetDateTime, finding: Finding) {
        let at = text(now);
        let health = &mut self.health;
        if health.state != finding.state {
            health.state = finding.state;
            health.since.clone_from(&at);
        }
        let redactor = &self.redactor;
        let clean = |text: String| redactor.clean(&text);
        health.evidence = redactor.clean(&finding.evidence);
        if let Some(success) = finding.success {
            health.last_success_at = Some(at.clone());
            health.latency_ms =
                Some(u32::try_from(success.latency.as_millis()).unwrap_or(u32::MAX));
            health.protocol_version = success.server.protocol.map(clean);
            health.server_name = success.server.name.map(clean);
            health.server_version = success.server.version.map(clean);
            health.tool_count = Some(u32::try_from(success.tools.len()).unwrap_or(u32::MAX));
            if self.tools.as_ref() != Some(&success.tools) {
                if let Some(change) = self
                    .tools
                    .as_ref()
                    .and_then(|before| success.tools.changed_from(before))
                {
                    let names = |names: Vec<String>| names.into_iter().map(clean).collect();
                    health.tools_changed = Some(ToolsChanged {
                        from_fingerprint: change.from_fingerprint,
                        added: names(change.added),
                        removed: names(change.removed),
                        changed: names(change.changed),
                    });
                }
                health.tools_fingerprint = Some(success.tools.fingerprint());
                self.tools = Some(success.tools);
            }
        }
        health.checked_at = at;
    }

    /// What is known.
    pub const fn health(&self) -> &McpHealth {
        &self.health
    }

    /// The tools listed last.
    pub const fn tools(&self) -> Option<&Arc<Toolset>> {
        self.tools.as_ref()
    }
}

fn text(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tools::Page;

    fn success(tools: &serde_json::Value) -> Finding {
        let mut set = Toolset::default();
        let list = json!({ "tools": tools }).to_string();
        set.add(&Page::read(&list).unwrap()).unwrap();
        Finding {
            state: McpState::Healthy,
            evidence: "listed its tools".to_owned(),
            success: Some(Success {
                latency: Duration::from_millis(7),
                server: Identity::default(),
                tools: Arc::new(set),
            }),
        }
    }

    #[test]
    fn an_age_begins_with_a_state_and_a_change_of_tools_stays_visible() {
        let at = |second| OffsetDateTime::from_unix_timestamp(second).unwrap();
        let mut tracker = Tracker::new(at(0), None);
        tracker.found(at(1), success(&json!([{"name": "a"}])));
        tracker.found(at(2), success(&json!([{"name": "a"}])));
        assert_eq!(tracker.health().since, text(at(1)));
        assert_eq!(tracker.health().checked_at, text(at(2)));
        assert_eq!(tracker.health().tools_changed, None);
        tracker.found(
            at(3),
            Finding {
                state: McpState::Unhealthy,
                evidence: "tools/list was not answered within 5 s".to_owned(),
                success: None,
            },
        );
        assert_eq!(tracker.health().last_success_at, Some(text(at(2))));
        tracker.found(at(4), success(&json!([{"name": "b"}])));
        tracker.found(at(5), success(&json!([{"name": "b"}])));
        let change = tracker.health().tools_changed.clone().unwrap();
        assert_eq!(
            (change.added, change.removed),
            (vec!["b".to_owned()], vec!["a".to_owned()])
        );
        assert_eq!(tracker.health().latency_ms, Some(7));
    }

    #[test]
    fn nothing_that_a_server_says_of_itself_tells_a_secret_or_a_control_character() {
        let evil = "x SECRET-VALUE\u{1b}[31m\u{0}";
        let mut tracker = Tracker::new(OffsetDateTime::UNIX_EPOCH, None);
        tracker.set_redactor(Redactor::new(["SECRET-VALUE"]));
        let says = |tool: &str| {
            let mut finding = success(&json!([{"name": tool}]));
            finding.evidence = evil.to_owned();
            if let Some(success) = &mut finding.success {
                success.server = Identity {
                    protocol: Some(evil.to_owned()),
                    name: Some(evil.to_owned()),
                    version: Some(evil.to_owned()),
                };
            }
            finding
        };
        tracker.found(OffsetDateTime::UNIX_EPOCH, says(evil));
        tracker.found(OffsetDateTime::UNIX_EPOCH, says(&format!("{evil}2")));
        let health = tracker.health();
        assert_eq!(health.server_name.as_deref(), Some("x [secret] [31m"));
        assert!(health.tools_changed.is_some());
        let text = serde_json::to_string(health).unwrap();
        for leaked in ["SECRET-VALUE", "\\u001b", "\\u0000"] {
            assert!(!text.contains(leaked), "{text}");
        }
    }
}
