//! The one real handshake with the server, in both eras of the protocol.
//!
//! `server/discover` is asked first; a server that does not know it, or is silent, gets `initialize`. A server that
//! speaks the stateless revision gets `initialize` only when a client of the older era comes.

use std::time::Instant;

use serde_json::{Map, Value, json};
use toolbox_api::mcp::McpState;

use super::mirrors::Mirrors;
use super::{Hub, Link, Owner};
use crate::health::{Finding, Identity};
use crate::rpc::{META_VERSION, Message, code};
use crate::wire::checks::short;

/// The stateless revision.
pub const STATELESS: &str = "2026-07-28";
/// Revisions that begin with `initialize`, oldest first.
pub const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The one revision that has batches of messages.
pub const BATCHES: &str = "2025-03-26";

/// Revisions of a server that are kept.
const MOST_VERSIONS: usize = 32;

/// A server that answered `server/discover`.
#[derive(Debug)]
pub(super) struct Discovered {
    pub(super) identity: Identity,
    pub(super) has_tools: bool,
    /// The revisions it says it supports.
    pub(super) versions: Vec<String>,
}

/// What is known of `initialize`.
#[derive(Debug)]
pub(super) enum Legacy {
    Unknown,
    Asked,
    Spoken(Handshake),
    Refused(String),
}

/// An answer to `initialize`.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) version: String,
    pub(super) identity: Identity,
    pub(super) has_tools: bool,
    result: Map<String, Value>,
}

impl Handshake {
    fn read(result: Map<String, Value>) -> Option<Self> {
        let version = result.get("protocolVersion")?.as_str()?.to_owned();
        let identity = identity(result.get("serverInfo"), &version);
        let has_tools = has_tools(result.get("capabilities"));
        Some(Self {
            version,
            identity,
            has_tools,
            result,
        })
    }

    /// The answer as JSON, for a client that gets `version`.
    pub(super) fn result_at(&self, version: &str) -> String {
        let mut result = self.result.clone();
        result.insert("protocolVersion".to_owned(), version.into());
        Value::Object(result).to_string()
    }
}

/// The revision a client gets: what it wants, unless the server is older than that.
pub(super) fn version_for(wanted: Option<&str>, server: &str) -> String {
    wanted
        .filter(|wanted| LEGACY.contains(wanted) && *wanted <= server)
        .unwrap_or(server)
        .to_owned()
}

/// `_meta` of the bridge's own stateless requests.
pub fn stateless_params(cursor: Option<&str>) -> Value {
    let mut params = json!({
        "_meta": {
            META_VERSION: STATELESS,
            "io.modelcontextprotocol/clientInfo": client_info(),
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    });
    if let Some(cursor) = cursor {
        params["cursor"] = cursor.into();
    }
    params
}

fn client_info() -> Value {
    json!({ "name": "toolbox", "title": "Toolbox", "version": env!("CARGO_PKG_VERSION") })
}

/// Parameters of `initialize`. The bridge declares what any client may offer, because the server asks only once.
pub fn initialize_params(capabilities: &Value) -> Value {
    json!({
        "protocolVersion": LEGACY.last(),
        "capabilities": capabilities,
        "clientInfo": client_info(),
    })
}

/// A server's name and version.
pub fn identity(info: Option<&Value>, protocol: &str) -> Identity {
    let text = |name: &str| {
        let text = info?.get(name)?.as_str()?;
        Some(text[..text.floor_char_boundary(128)].to_owned())
    };
    Identity {
        protocol: Some(protocol[..protocol.floor_char_boundary(32)].to_owned()),
        name: text("name"),
        version: text("version"),
    }
}

/// Whether a server says it has tools.
pub fn has_tools(capabilities: Option<&Value>) -> bool {
    capabilities.is_some_and(|c| c.get("tools").is_some_and(|tools| !tools.is_null()))
}

/// The revisions that are served before a server that is ready.
pub(super) fn supported(discovered: Option<&Discovered>, legacy: &Legacy) -> Vec<String> {
    match (discovered, legacy) {
        (Some(discovered), _) => discovered.versions.clone(),
        (None, Legacy::Spoken(handshake)) => LEGACY
            .into_iter()
            .rev()
            .filter(|version| *version <= &*handshake.version)
            .map(str::to_owned)
            .collect(),
        // Such a server is not ready.
        (None, Legacy::Unknown | Legacy::Asked | Legacy::Refused(_)) => Vec::new(),
    }
}

/// Reads the answer to `server/discover`; none if it does not speak the stateless revision.
pub fn read_discover(result: &Value) -> Option<(Identity, bool)> {
    let versions = result.get("supportedVersions")?.as_array()?;
    if !versions.iter().any(|v| v == STATELESS) {
        return None;
    }
    let info = result
        .get("_meta")
        .and_then(|meta| meta.get("io.modelcontextprotocol/serverInfo"))
        .or_else(|| result.get("serverInfo"));
    Some((
        identity(info, STATELESS),
        has_tools(result.get("capabilities")),
    ))
}

/// Whether an answer to `server/discover` names a revision that begins with `initialize`.
fn has_sessions(result: &Value) -> bool {
    let versions = result.get("supportedVersions").and_then(Value::as_array);
    versions.is_some_and(|versions| {
        let mut texts = versions.iter().filter_map(Value::as_str);
        texts.any(|version| LEGACY.contains(&version))
    })
}

impl Hub {
    /// The server runs and its streams are open.
    pub fn connected(&mut self, now: Instant, revision: u64) {
        if self.process.revision != revision {
            // This is another version of the server, so nothing learned before holds.
            self.skip_discover = false;
            self.crashes_in_a_row = 0;
            self.ends.clear();
            self.mirrors = Mirrors::default();
        }
        self.process = super::Process {
            since: Some(now),
            revision,
            ..super::Process::default()
        };
        self.discovered = None;
        self.legacy = Legacy::Unknown;
        self.link = Link::Greeting { since: now };
        if self.crashes_in_a_row == 0 {
            self.found(Finding {
                state: McpState::Starting,
                evidence: "it runs, and was not heard yet".to_owned(),
                success: None,
            });
        }
        if self.skip_discover {
            self.greet_legacy(now);
        } else {
            let params = stateless_params(None).to_string();
            self.send_request(now, Owner::Discover, "server/discover", &params);
        }
    }

    pub(super) fn greet_legacy(&mut self, now: Instant) {
        self.legacy = Legacy::Asked;
        let params = initialize_params(&json!({
            "roots": { "listChanged": true },
            "sampling": {},
            "elicitation": { "form": {}, "url": {} },
        }));
        self.send_request(now, Owner::Initialize, "initialize", &params.to_string());
    }

    pub(super) fn discover_answered(&mut self, now: Instant, message: &Message) {
        let result: Option<Value> = message
            .result
            .as_ref()
            .and_then(|span| serde_json::from_str(message.raw(span)).ok());
        let discovered = result.as_ref().and_then(|result| {
            let (identity, has_tools) = read_discover(result)?;
            let versions = result.get("supportedVersions")?.as_array()?.iter();
            Some(Discovered {
                identity,
                has_tools,
                versions: versions
                    .filter_map(|version| Some(short(version.as_str()?).to_owned()))
                    .take(MOST_VERSIONS)
                    .collect(),
            })
        });
        if let Some(discovered) = discovered {
            self.discovered = Some(discovered);
            // Servers made with rmcp keep a connection in the era of its first request. One that begins with `initialize`
            // serves stateless requests as well, one that begins with those serves no session any more.
            if result.as_ref().is_some_and(has_sessions) && matches!(self.legacy, Legacy::Unknown) {
                self.greet_legacy(now);
            }
            self.ready(now);
        } else if matches!(self.legacy, Legacy::Unknown) {
            self.skip_discover = true;
            self.greet_legacy(now);
        }
    }

    pub(super) fn initialize_answered(&mut self, now: Instant, message: &Message) {
        let handshake = message
            .result
            .as_ref()
            .and_then(|span| serde_json::from_str(message.raw(span)).ok())
            .and_then(Handshake::read);
        if let Some(handshake) = handshake {
            self.legacy = Legacy::Spoken(handshake);
            self.send_message(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
            self.replay(now);
            self.ready(now);
            return;
        }
        let why = self.redactor.clean(
            message
                .error
                .as_ref()
                .map_or("its answer has no protocolVersion", |span| {
                    message.raw(span)
                }),
        );
        if self.discovered.is_some() {
            self.legacy = Legacy::Refused(why);
            self.unpark(now);
            return;
        }
        self.legacy = Legacy::Unknown;
        let text = format!("initialize was answered with an error: {why}");
        self.found(Finding {
            state: McpState::Unhealthy,
            evidence: text.clone(),
            success: None,
        });
        self.refuse_waiting(&text);
    }

    fn ready(&mut self, now: Instant) {
        self.link = Link::Ready;
        self.probe.ask_now(now);
        self.unpark(now);
    }

    pub(super) fn greeting_timeout(&mut self, now: Instant, since: Instant) {
        let waited = now.saturating_duration_since(since);
        if waited >= self.limits.discover && matches!(self.legacy, Legacy::Unknown) {
            self.greet_legacy(now);
        }
        let words = self.garbage_words();
        let seconds = waited.as_secs();
        if waited >= self.limits.starting {
            let silent = words.is_empty() || self.process.spoke;
            self.found(Finding {
                state: if silent {
                    McpState::Unhealthy
                } else {
                    McpState::NotMcp
                },
                evidence: format!("the handshake was not answered within {seconds} s{words}"),
                success: None,
            });
        } else if !words.is_empty() && !self.process.spoke && waited >= self.limits.discover {
            self.found(Finding {
                state: McpState::NotMcp,
                evidence: format!("it has not answered the handshake for {seconds} s{words}"),
                success: None,
            });
        } else if self.state == McpState::Starting && self.finding.is_none() {
            self.found(Finding {
                state: McpState::Starting,
                evidence: format!("it runs, and has not answered the handshake for {seconds} s"),
                success: None,
            });
        }
    }

    /// Why a connected server gets no new session.
    pub(super) fn why_unhealthy(&self) -> Option<String> {
        matches!(
            self.state,
            McpState::Unhealthy | McpState::NotMcp | McpState::Unreachable
        )
        .then(|| {
            format!(
                "the server is {}: {}",
                self.probe.state_word(),
                self.probe.evidence()
            )
        })
        .filter(|_| self.probe.failed())
    }
}

/// Whether an error says that its sender speaks a stateless revision.
pub const fn is_stateless_error(number: i64) -> bool {
    number == code::UNSUPPORTED_VERSION as i64
        || number == code::HEADER_MISMATCH as i64
        || number == code::MISSING_CAPABILITY as i64
}
