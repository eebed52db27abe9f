//! Turns findings into a server's health, with its evidence and its age.

use std::collections::VecDeque;
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

/// Lines at the end of an output among which the one is looked for that explains an end. A trace of Node may have thirty.
pub const LAST_LINES: usize = 40;
/// A line under way is held up to so many bytes; less is shown.
const LINE_BYTES: usize = 64 * 1024;

/// The line of the last ones of an output that explains an end most likely; none if all are blank. That is the last, but of a
/// trace the line that names the error.
pub fn telling<'a>(lines: impl DoubleEndedIterator<Item = &'a str>) -> Option<&'a str> {
    let lines = lines.rev().filter(|line| !line.trim().is_empty());
    let (mut in_trace, mut plain, mut last) = (false, None, None);
    for line in lines.take(LAST_LINES) {
        let text = line.trim();
        let noise =
            text.starts_with("Node.js v") || text.starts_with("at ") || text.starts_with('}');
        // Such a line belongs to one above it.
        in_trace |= noise || line.starts_with([' ', '\t']);
        if !in_trace || text.contains("Error:") || text.contains("Error [") {
            return Some(text);
        }
        plain = plain.or((!noise).then_some(text));
        last = last.or(Some(text));
    }
    plain.or(last)
}

/// The last lines that a server logged, as they may be shown.
#[derive(Debug, Default)]
pub struct LastLines {
    partial: Vec<u8>,
    lines: VecDeque<String>,
}

impl LastLines {
    /// Takes what was logged.
    pub fn push(&mut self, bytes: &[u8], redactor: &Redactor) {
        self.partial.extend_from_slice(bytes);
        let Some(end) = memchr::memrchr(b'\n', &self.partial) else {
            self.partial.truncate(LINE_BYTES);
            return;
        };
        let rest = self.partial.split_off(end + 1);
        let whole = std::mem::replace(&mut self.partial, rest);
        let text = String::from_utf8_lossy(&whole);
        let lines = text.lines().rev().filter(|line| !line.trim().is_empty());
        let lines: Vec<_> = lines.take(LAST_LINES).collect();
        for line in lines.into_iter().rev() {
            // Whether it is indented is kept.
            let indent = if line.starts_with([' ', '\t']) {
                " "
            } else {
                ""
            };
            if self.lines.len() == LAST_LINES {
                self.lines.pop_front();
            }
            self.lines
                .push_back(format!("{indent}{}", redactor.clean(line)));
        }
    }

    /// The line that explains an end of the server now; none if it logged nothing.
    pub fn telling(&mut self, redactor: &Redactor) -> Option<String> {
        self.push(b"\n", redactor);
        telling(self.lines.iter().map(String::as_str)).map(str::to_owned)
    }
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
    // What a parser met is no key.
    let said = said.replace("unexpected token", "");
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
    pub fn new(now: OffsetDateTime, known: Option<Arc<Toolset>>) -> Self {
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
                tools_fingerprint: known.as_ref().map(|known| known.fingerprint().to_owned()),
                tools_changed: None,
            },
            tools: known,
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
                health.tools_fingerprint = Some(success.tools.fingerprint().to_owned());
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
    fn an_end_is_explained_by_the_error_and_not_by_the_end_of_its_trace() {
        let node = "/app/index.js:5\n    throw new Error(\"FOO_API_KEY is required\");\n    ^\n\n\
            Error: FOO_API_KEY is required\n    at Object.<anonymous> (/app/index.js:5:7)\n    \
            at node:internal/main/run_main_module:28:49\n\nNode.js v20.20.2\n";
        let module = "node:internal/modules/esm/resolve:873\n  throw new ERR_MODULE_NOT_FOUND(x);\n        ^\n\n\
            Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'x'\n    at a (b:1:1) {\n  \
            code: 'ERR_MODULE_NOT_FOUND'\n}\n\nNode.js v22.1.0";
        let pydantic = "starting\npydantic_core.ValidationError: 1 error for Settings\nfoo\n  Field required\n    \
            For further information visit https://errors.pydantic.dev\n";
        for (said, line, field) in [
            (node, "Error: FOO_API_KEY is required", true),
            (
                module,
                "Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'x'",
                false,
            ),
            (
                pydantic,
                "pydantic_core.ValidationError: 1 error for Settings",
                false,
            ),
            (
                "Traceback:\n  File \"a\", line 1\nKeyError: 'API_KEY'\n",
                "KeyError: 'API_KEY'",
                true,
            ),
            ("Error: of long ago\nlistening\n\n", "listening", false),
            (
                "SyntaxError: Unexpected token '}'\n    at a:1\n",
                "SyntaxError: Unexpected token '}'",
                false,
            ),
            (
                "Unexpected token: the token FOO is not valid",
                "Unexpected token: the token FOO is not valid",
                true,
            ),
            ("    at a:1\n}\n", "}", false),
        ] {
            assert_eq!(telling(said.lines()), Some(line));
            assert_eq!(!lacking(line).is_empty(), field, "{line}");
            // However it arrives, and without secrets.
            for size in [1, 7, 4096] {
                let mut last = LastLines::default();
                for piece in said.as_bytes().chunks(size) {
                    last.push(piece, &Redactor::default());
                }
                assert_eq!(last.telling(&Redactor::default()).as_deref(), Some(line));
            }
            let redactor = Redactor::new([line]);
            let mut last = LastLines::default();
            said.as_bytes()
                .chunks(3)
                .for_each(|piece| last.push(piece, &redactor));
            let shown = last.telling(&redactor).unwrap();
            assert!(line.len() < 6 || !shown.contains(line), "{shown}");
        }
        assert_eq!(telling(" \n\n".lines()), None);
        let mut long = LastLines::default();
        for n in 0..1000 {
            long.push(
                format!("{n}\n").repeat(100).as_bytes(),
                &Redactor::default(),
            );
            long.push(&[b'x'; 1000], &Redactor::default());
        }
        assert!(long.lines.len() <= LAST_LINES && long.partial.len() <= 2 * LINE_BYTES);
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
