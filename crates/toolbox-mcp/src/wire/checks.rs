//! Checks of a request's head against its message.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Response, StatusCode, header};
use base64::Engine as _;
use uuid::Uuid;

use super::reply;
use crate::hub::{LEGACY, Parameter, STATELESS};
use crate::rpc::{self, Fields, Message, code};

/// The session.
pub const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The protocol revision.
pub const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// How the names of the headers of tool parameters begin.
pub const PARAMETER: &str = "mcp-param-";
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A request that is not passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    id: String,
    code: i32,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, code: i32, text: impl Into<String>) -> Self {
        Self {
            status,
            id: "null".to_owned(),
            code,
            text: text.into(),
        }
    }

    /// The same, answering this message.
    #[must_use]
    pub fn for_request(mut self, message: &Message) -> Self {
        if let Some(id) = &message.id {
            message.raw(id).clone_into(&mut self.id);
        }
        self
    }

    /// As an HTTP answer.
    pub fn into_response(self) -> Response<Body> {
        reply::json(
            self.status,
            rpc::error(&self.id, self.code, &self.text, None),
        )
    }
}

/// Which web pages may call. Programs send no `Origin`, so this only concerns browsers.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// Pages beside those of this machine.
    pub allowed: Vec<String>,
    /// Also refuse calls that name another host than this machine, for endpoints without authentication.
    pub loopback_only: bool,
}

impl Origins {
    /// Refuses pages that may not call.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let text = |name| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
        if let Some(origin) = text(header::ORIGIN) {
            let host = origin.split_once("://").map_or(origin, |(_, host)| host);
            if !is_loopback(host) && !self.allowed.iter().any(|a| a.eq_ignore_ascii_case(origin)) {
                return Err(forbidden("this origin may not call"));
            }
        }
        if self.loopback_only && text(header::HOST).is_some_and(|host| !is_loopback(host)) {
            return Err(forbidden("this host is not served"));
        }
        Ok(())
    }
}

fn forbidden(text: &str) -> Refusal {
    Refusal::new(StatusCode::FORBIDDEN, code::INVALID_REQUEST, text)
}

fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

/// Which of the two eras of the protocol a message belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Era {
    /// In a session that began with `initialize`.
    Sessions,
    /// On its own.
    Stateless,
    /// On its own, in an unknown revision. The supported ones depend on the server.
    Unsupported(String),
}

/// Refuses bodies that are no JSON.
pub fn content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .unwrap_or_default();
    if kind.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        code::INVALID_REQUEST,
        "Content-Type must be application/json",
    ))
}

/// None of the forms a client takes can be given.
pub fn not_acceptable(forms: &str) -> Refusal {
    Refusal::new(
        StatusCode::NOT_ACCEPTABLE,
        code::BAD_SESSION,
        format!("Not Acceptable: the client must accept {forms}"),
    )
}

/// A request that only makes sense in a session names none.
pub fn session_missing() -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        code::BAD_SESSION,
        "Bad Request: name the session in Mcp-Session-Id",
    )
}

/// Whether the header names the stateless revision.
pub fn is_stateless(headers: &HeaderMap) -> bool {
    headers.get(&VERSION).is_some_and(|v| v == STATELESS)
}

/// The session a request names. A text that cannot name a session counts as an unknown session.
pub fn session(headers: &HeaderMap) -> Result<Option<Uuid>, Refusal> {
    let Some(name) = headers.get(&SESSION) else {
        return Ok(None);
    };
    name.to_str()
        .ok()
        .and_then(|name| Uuid::try_parse(name).ok())
        .map(Some)
        .ok_or_else(session_unknown)
}

/// There is no such session.
pub fn session_unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        code::TIMED_OUT,
        "Session not found; begin a new one with initialize",
    )
}

/// The era of a message, by header and body, which must agree.
pub fn era(headers: &HeaderMap, message: &Message, fields: &Fields) -> Result<Era, Refusal> {
    let header = headers.get(&VERSION).map(|v| v.to_str().unwrap_or("?"));
    let body = message.text(fields.meta.version.as_ref());
    let mismatch = |text: String| {
        Refusal::new(StatusCode::BAD_REQUEST, code::HEADER_MISMATCH, text).for_request(message)
    };
    match (header, body.as_deref()) {
        (None, None) => Ok(Era::Sessions),
        // Before there is a session, the header is ignored.
        (Some(_), None) if &*message.method == "initialize" => Ok(Era::Sessions),
        (Some(header), None) if LEGACY.contains(&header) => Ok(Era::Sessions),
        (Some(STATELESS), None) if message.id.is_none() => Ok(Era::Stateless),
        (Some(STATELESS), None) => Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            code::INVALID_PARAMS,
            format!("the request's _meta lacks {}", rpc::META_VERSION),
        )
        .for_request(message)),
        (None, Some(_)) => Err(mismatch(
            "Header mismatch: MCP-Protocol-Version is missing".to_owned(),
        )),
        (Some(header), Some(body)) if header != body => Err(mismatch(format!(
            "Header mismatch: MCP-Protocol-Version is \"{}\" and the body says \"{}\"",
            short(header),
            short(body)
        ))),
        (Some(version), _) if version != STATELESS => {
            Ok(Era::Unsupported(short(version).to_owned()))
        }
        (Some(_), _) => {
            if message.id.is_some() {
                mirrored(headers, message, fields).map_err(mismatch)?;
                if fields.meta.capabilities.is_none() {
                    let text =
                        "the request's _meta lacks io.modelcontextprotocol/clientCapabilities";
                    let refusal = Refusal::new(StatusCode::BAD_REQUEST, code::INVALID_PARAMS, text);
                    return Err(refusal.for_request(message));
                }
            }
            Ok(Era::Stateless)
        }
    }
}

/// The headers of tool parameters.
pub fn parameters(headers: &HeaderMap) -> Vec<Parameter> {
    let parameter = |(name, value): (&HeaderName, &header::HeaderValue)| {
        let name = name.as_str().strip_prefix(PARAMETER)?;
        // A value that is no text agrees with no parameter.
        let value = value.to_str().unwrap_or("\u{fffd}");
        Some((name.to_owned(), value.to_owned()))
    };
    headers.iter().filter_map(parameter).collect()
}

/// Method and name stand in headers too, so that others can route by them; they must be the ones in the body.
fn mirrored(headers: &HeaderMap, message: &Message, fields: &Fields) -> Result<(), String> {
    let header = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    match header(&METHOD) {
        None => return Err("Header mismatch: Mcp-Method is missing".to_owned()),
        Some(method) if method != &*message.method => {
            return Err(format!(
                "Header mismatch: Mcp-Method header value '{}' does not match body value '{}'",
                short(method),
                short(&message.method)
            ));
        }
        Some(_) => {}
    }
    let named = match &*message.method {
        "tools/call" | "prompts/get" => &fields.name,
        "resources/read" => &fields.uri,
        _ => return Ok(()),
    };
    let wanted = message.text(named.as_ref()).unwrap_or_default();
    let given = header(&NAME).ok_or("Header mismatch: Mcp-Name is missing or malformed")?;
    let given = decoded(given).ok_or("Header mismatch: Mcp-Name is malformed")?;
    if given == wanted {
        return Ok(());
    }
    Err(format!(
        "Header mismatch: Mcp-Name header value '{}' does not match body value '{}'",
        short(&given),
        short(&wanted)
    ))
}

/// A header value that may be `=?base64?…?=`.
pub(crate) fn decoded(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim();
    let Some(encoded) = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    else {
        return Some(Cow::Borrowed(value));
    };
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The beginning of a text that a caller chose.
pub(crate) fn short(text: &str) -> &str {
    &text[..text.floor_char_boundary(64)]
}
