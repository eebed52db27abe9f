//! What a caller sends.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, Response, StatusCode};
use serde_json::value::RawValue;

use super::Allowed;
use crate::rpc::{self, Malformed, code};
use crate::wire::{checks, reply};

const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
const CALL: &str = "tools/call";
/// The fields of a message. No server needs another one.
const FIELDS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// A request after its check.
pub(super) enum Checked {
    /// It passes, as it is written here.
    Pass(String),
    /// It does not.
    Refused(Response<Body>),
}

/// The fields of an object as they stand there; the last one of a name counts.
type Object<'a> = BTreeMap<String, &'a RawValue>;

/// A message that was checked.
struct Message<'a> {
    text: String,
    id: Option<&'a str>,
    /// The name of the tool that it calls and may not.
    forbidden: Option<String>,
    method: String,
    name: Option<String>,
}

/// Checks what a caller sends, and writes it anew.
pub(super) fn check(allowed: &Allowed, headers: &HeaderMap, bytes: &[u8]) -> Checked {
    let Ok(raw) = serde_json::from_slice::<&RawValue>(bytes) else {
        return malformed(Malformed::NotJson);
    };
    if raw.get().starts_with('[') {
        return batch(allowed, headers, raw);
    }
    let Some(message) = read(allowed, raw) else {
        return malformed(Malformed::NotRpc);
    };
    if let Some(name) = &message.forbidden {
        let status = if message.id.is_some() {
            StatusCode::OK
        } else {
            StatusCode::FORBIDDEN
        };
        return Checked::Refused(reply::json(
            status,
            refusal(message.id.unwrap_or("null"), name),
        ));
    }
    // Who routes by these must not see another method or tool than was checked.
    let text = |name: &HeaderName| headers.get(name).map(|v| v.to_str().unwrap_or_default());
    let other_method = text(&METHOD).is_some_and(|method| method != message.method);
    let other_name = match (text(&NAME), &message.name) {
        (Some(given), Some(name)) => checks::decoded(given).as_deref() != Some(name),
        _ => false,
    };
    if other_method || other_name {
        let text = "Header mismatch: Mcp-Method or Mcp-Name does not match the body";
        return Checked::Refused(reply::json(
            StatusCode::BAD_REQUEST,
            rpc::error(
                message.id.unwrap_or("null"),
                code::HEADER_MISMATCH,
                text,
                None,
            ),
        ));
    }
    Checked::Pass(message.text)
}

/// A batch passes whole or not at all.
fn batch(allowed: &Allowed, headers: &HeaderMap, raw: &RawValue) -> Checked {
    let parts: Vec<&RawValue> = match serde_json::from_str(raw.get()) {
        Ok(parts) => parts,
        Err(_) => return malformed(Malformed::NotJson),
    };
    if headers.contains_key(METHOD) || headers.contains_key(NAME) {
        return malformed(Malformed::Batch);
    }
    let mut messages = Vec::with_capacity(parts.len());
    for part in parts {
        match read(allowed, part) {
            Some(message) => messages.push(message),
            None => return malformed(Malformed::NotRpc),
        }
    }
    let Some(forbidden) = messages
        .iter()
        .find_map(|message| message.forbidden.as_ref())
    else {
        let texts: Vec<_> = messages.iter().map(|message| &*message.text).collect();
        return Checked::Pass(format!("[{}]", texts.join(",")));
    };
    let answers: Vec<_> = messages
        .iter()
        .filter_map(|message| {
            let name = message.forbidden.as_ref().unwrap_or(forbidden);
            let answer = refusal(message.id?, name);
            Some(String::from_utf8_lossy(&answer).into_owned())
        })
        .collect();
    Checked::Refused(if answers.is_empty() {
        reply::json(StatusCode::FORBIDDEN, refusal("null", forbidden))
    } else {
        let answers = format!("[{}]", answers.join(","));
        reply::json(StatusCode::OK, answers.into())
    })
}

/// The same error for every call in what a caller sent, a message or several.
pub(super) fn refused(bytes: &[u8], stable: &str, text: &str) -> bytes::Bytes {
    let error = |id: &str| {
        let data = serde_json::json!({ "code": stable });
        rpc::error(id, code::UNAVAILABLE, text, Some(data))
    };
    let id = |raw: &RawValue| {
        let fields: Object<'_> = serde_json::from_str(raw.get()).ok()?;
        fields.get("method")?;
        let id = fields.get("id")?.get();
        (id != "null" && id.len() <= rpc::MOST_OF_ID).then(|| id.to_owned())
    };
    let Ok(raw) = serde_json::from_slice::<&RawValue>(bytes) else {
        return error("null");
    };
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return error(&id(raw).unwrap_or_else(|| "null".to_owned()));
    };
    let ids = parts.into_iter().take(rpc::MOST_IN_BATCH).filter_map(id);
    let answers: Vec<_> = ids
        .map(|id| String::from_utf8_lossy(&error(&id)).into_owned())
        .collect();
    if answers.is_empty() {
        return error("null");
    }
    format!("[{}]", answers.join(",")).into()
}

/// Reads a message and writes it anew; none if it is no message.
fn read<'a>(allowed: &Allowed, raw: &'a RawValue) -> Option<Message<'a>> {
    let mut fields: Object<'a> = serde_json::from_str(raw.get()).ok()?;
    fields.retain(|name, _| FIELDS.contains(&&**name));
    let method: String = match fields.get("method") {
        Some(method) => serde_json::from_str(method.get()).ok()?,
        None => String::new(),
    };
    // Nobody calls a tool by another spelling, and no server may take one for it.
    let is_call = method.trim().eq_ignore_ascii_case(CALL);
    let mut called = None;
    let mut params_anew = None;
    if is_call {
        let params = fields.get("params")?;
        let mut params: Object<'_> = serde_json::from_str(params.get()).ok()?;
        // Some parsers do not tell the case of letters apart.
        params.retain(|name, _| name == "name" || !name.eq_ignore_ascii_case("name"));
        called = Some(serde_json::from_str::<String>(params.get("name")?.get()).ok()?);
        params_anew = Some(serde_json::to_string(&params).ok()?);
    }
    let id = fields
        .get("id")
        .map(|id| id.get())
        .filter(|id| *id != "null");
    let params = match params_anew {
        Some(params) => Some(RawValue::from_string(params).ok()?),
        None => None,
    };
    let mut anew: BTreeMap<&str, &RawValue> = fields
        .iter()
        .map(|(name, value)| (&**name, *value))
        .collect();
    if let Some(params) = &params {
        anew.insert("params", params);
    }
    let text = serde_json::to_string(&anew).ok()?;
    let forbidden = called
        .clone()
        .filter(|name| method != CALL || !allowed.may_call(name));
    Some(Message {
        text,
        id,
        forbidden,
        method,
        name: called,
    })
}

/// As servers answer the call of a tool that they do not have.
fn refusal(id: &str, name: &str) -> bytes::Bytes {
    let text = format!(
        "Unknown tool: {}; tools/list names those that are open to you",
        checks::short(name)
    );
    rpc::error(id, code::INVALID_PARAMS, &text, None)
}

fn malformed(error: Malformed) -> Checked {
    let body = rpc::error("null", error.code(), &error.to_string(), None);
    Checked::Refused(reply::json(StatusCode::BAD_REQUEST, body))
}
