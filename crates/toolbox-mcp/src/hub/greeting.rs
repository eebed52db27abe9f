//! The one real handshake with the server, in both eras of the protocol.
//!
//! It begins as a client of the older era would, with `initialize`: a server of that era may end when anything else comes
//! first. `server/discover` is asked when a server refuses `initialize`, when one is remembered to do so or said to speak the
//! stateless revision, or when a client of the stateless era comes. A server that ends because of it is started again and not asked any more.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolbox_api::mcp::McpState;

use super::mirrors::Mirrors;
use super::{Hub, Link, Owner};
use crate::health::{Finding, Identity};
use crate::lenient;
use crate::memory::Only;
use crate::rpc::{META_VERSION, Message, code};
use crate::wire::checks::short;

/// The stateless revision.
pub const STATELESS: &str = "2026-07-28";
/// Revisions that begin with `initialize`, oldest first.
pub const LEGACY: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// The one revision that has batches of messages.
pub const BATCHES: &str = "2025-03-26";

/// Of a server that says nothing in the protocol.
const OTHER_TRANSPORT: &str = "; if it serves HTTP, set transport to streamable-http";
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

/// What is known of `server/discover` in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discover {
    Unasked,
    Asked(Instant),
    /// It was left unanswered for so long that nobody waits for it any more.
    Silent,
}

/// An answer to `initialize`.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) version: String,
    pub(super) identity: Identity,
    pub(super) has_tools: bool,
    /// The answer as it came, around its revision.
    before: String,
    after: String,
}

/// Reads a result of `initialize`, as far as it can be read: revision, name and version, and whether there are tools.
pub fn read_initialize(result: &str) -> Option<(String, Identity, bool)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Wire<'a> {
        #[serde(borrow)]
        protocol_version: &'a RawValue,
        #[serde(borrow)]
        server_info: Option<&'a RawValue>,
        #[serde(borrow)]
        capabilities: Option<BTreeMap<String, &'a RawValue>>,
    }
    let wire: Wire<'_> = serde_json::from_str(result).ok()?;
    let version: String = lenient::read(wire.protocol_version.get())?;
    let info: Option<Value> = wire.server_info.and_then(|info| lenient::read(info.get()));
    let tools = wire.capabilities.as_ref().and_then(|all| all.get("tools"));
    let has_tools = tools.is_some_and(|tools| tools.get() != "null");
    let identity = identity(info.as_ref(), &version);
    Some((version, identity, has_tools))
}

impl Handshake {
    fn read(message: &Message) -> Option<Self> {
        let result = message.result.as_ref()?;
        let at = message.result_fields().ok()?.protocol_version?;
        let (version, identity, has_tools) = read_initialize(message.raw(result))?;
        Some(Self {
            identity,
            has_tools,
            before: message.raw(&(result.start..at.start)).to_owned(),
            after: message.raw(&(at.end..result.end)).to_owned(),
            version,
        })
    }

    /// The answer as JSON, for a client that gets `version`.
    pub(super) fn result_at(&self, version: &str) -> String {
        let (before, after) = (&self.before, &self.after);
        format!("{before}{}{after}", Value::from(version))
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
fn identity(info: Option<&Value>, protocol: &str) -> Identity {
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
fn has_tools(capabilities: Option<&Value>) -> bool {
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

impl Hub {
    /// The server runs and its streams are open.
    pub fn connected(&mut self, now: Instant, revision: u64) {
        if self.process.revision != revision {
            // This is another version of the server, so nothing learned before holds, but what is known of its image.
            if self.era.image.is_none() {
                self.era.only = None;
            }
            self.shied = false;
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
        self.discover = Discover::Unasked;
        self.legacy = Legacy::Unknown;
        self.link = Link::Greeting { since: now };
        self.used = now;
        if self.crashes_in_a_row == 0 {
            self.found(Finding {
                state: McpState::Starting,
                evidence: "it runs, and was not heard yet".to_owned(),
                success: None,
            });
        }
        let stateless_first = match self.era.only {
            Some(only) => only == Only::Stateless,
            None => self.stateless_first,
        };
        if stateless_first {
            self.ask_discover(now);
        } else {
            self.greet_legacy(now);
        }
    }

    fn ask_discover(&mut self, now: Instant) {
        self.discover = Discover::Asked(now);
        let params = stateless_params(None).to_string();
        self.send_request(now, Owner::Discover, "server/discover", &params);
    }

    /// Whether it is still being found out if the server takes stateless requests. The first of them makes it be asked.
    pub(super) fn finding_era(&mut self, now: Instant) -> bool {
        if self.discovered.is_some() || self.era.only == Some(Only::Sessions) {
            return false;
        }
        // A server that knows the stateless revision knows the one before it as well, and was offered that.
        if matches!(&self.legacy, Legacy::Spoken(handshake) if LEGACY.last() > Some(&&*handshake.version))
        {
            return false;
        }
        if self.discover == Discover::Unasked {
            self.ask_discover(now);
        }
        self.discover != Discover::Silent
    }

    /// A server that leaves `server/discover` unanswered is taken to be one of the older era, until it answers.
    pub(super) fn discover_timeout(&mut self, now: Instant) {
        if let Discover::Asked(at) = self.discover
            && now.saturating_duration_since(at) >= self.limits.discover
        {
            self.discover = Discover::Silent;
            if matches!(self.link, Link::Ready) {
                self.unpark(now);
            } else {
                self.refuses_both();
            }
        }
    }

    /// It takes neither era's first request, if it refused `initialize`.
    fn refuses_both(&mut self) {
        if let Legacy::Refused(why) = &self.legacy {
            let evidence = format!("initialize was answered with an error: {why}");
            self.refuse_waiting(&evidence);
            self.found(Finding {
                state: McpState::Unhealthy,
                evidence,
                success: None,
            });
        }
    }

    pub(super) fn greet_legacy(&mut self, now: Instant) {
        self.legacy = Legacy::Asked;
        self.greeted = now;
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
            .and_then(|span| lenient::read(message.raw(span)));
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
        if discovered.is_some() {
            self.discovered = discovered;
            match &self.legacy {
                Legacy::Refused(_) => self.era.only = Some(Only::Stateless),
                Legacy::Spoken(_) => {
                    self.unpark(now);
                    return;
                }
                Legacy::Unknown | Legacy::Asked => {}
            }
            self.ready(now);
            return;
        }
        match &self.legacy {
            Legacy::Unknown => {
                self.era.only = None;
                self.greet_legacy(now);
            }
            Legacy::Refused(_) => self.refuses_both(),
            Legacy::Asked => {}
            Legacy::Spoken(_) => {
                self.era.only = Some(Only::Sessions);
                self.unpark(now);
            }
        }
    }

    pub(super) fn initialize_answered(&mut self, now: Instant, message: &Message) {
        if let Some(handshake) = Handshake::read(message) {
            self.legacy = Legacy::Spoken(handshake);
            if self.era.only == Some(Only::Stateless) {
                self.era.only = None;
            }
            self.send_message(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
            self.replay();
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
        self.legacy = Legacy::Refused(why);
        if self.discovered.is_some() {
            self.unpark(now);
        } else if self.discover == Discover::Unasked {
            // It may be one that takes stateless requests only.
            self.era.only = None;
            self.ask_discover(now);
        }
    }

    fn ready(&mut self, now: Instant) {
        self.link = Link::Ready;
        self.probe.ask_now(now);
        self.unpark(now);
    }

    pub(super) fn greeting_timeout(&mut self, now: Instant, since: Instant) {
        let waited = now.saturating_duration_since(since);
        match &self.legacy {
            Legacy::Unknown if waited >= self.limits.discover => self.greet_legacy(now),
            // What it lacks may have come meanwhile.
            Legacy::Refused(_)
                if now.saturating_duration_since(self.greeted) >= self.limits.probe_interval =>
            {
                self.discover = Discover::Unasked;
                self.greet_legacy(now);
            }
            Legacy::Refused(_) => return,
            _ => {}
        }
        let words = self.garbage_words();
        let seconds = waited.as_secs();
        let cure = if self.process.spoke {
            ""
        } else {
            OTHER_TRANSPORT
        };
        if waited >= self.limits.starting {
            let silent = words.is_empty() || self.process.spoke;
            self.found(Finding {
                state: if silent {
                    McpState::Unhealthy
                } else {
                    McpState::NotMcp
                },
                evidence: format!("the handshake was not answered within {seconds} s{words}{cure}"),
                success: None,
            });
        } else if !words.is_empty() && !self.process.spoke && waited >= self.limits.discover {
            self.found(Finding {
                state: McpState::NotMcp,
                evidence: format!("it has not answered the handshake for {seconds} s{words}{cure}"),
                success: None,
            });
        } else if self.state == McpState::Starting && self.finding.is_none() {
            self.found(Finding {
                state: McpState::Starting,
                evidence: format!(
                    "it runs, and has not answered the handshake for {seconds} s{cure}"
                ),
                success: None,
            });
        }
    }
}

/// Whether an error says that its sender speaks a stateless revision.
pub(super) const fn is_stateless_error(number: i64) -> bool {
    number == code::UNSUPPORTED_VERSION as i64
        || number == code::HEADER_MISMATCH as i64
        || number == code::MISSING_CAPABILITY as i64
}
