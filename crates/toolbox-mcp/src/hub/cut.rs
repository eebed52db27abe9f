//! A message of the server that was too long to be kept: whose it was is told by its ends.

use std::time::Instant;

use serde_json::value::RawValue;
use serde_json::{Deserializer, Map, Value, json};

use super::Hub;
use crate::lines::Cut;
use crate::rpc::{self, Message, code};

/// What can be told of a message from its ends.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outline {
    /// Its id, as JSON.
    id: Option<String>,
    /// It has a method, so it is no answer.
    asks: bool,
}

impl Hub {
    /// Its caller gets an error at once, instead of the answer.
    pub(super) fn cut(&mut self, now: Instant, cut: &Cut) {
        let limit = self.limits.message_bytes;
        let length = cut.length;
        let (why, data) = if cut.for_memory {
            let why = format!(
                "the message has {length} bytes, and the memory for long messages of all servers is used up; try again"
            );
            (
                why,
                json!({ "reason": "memory_used_up", "length_bytes": length }),
            )
        } else {
            let why = format!(
                "the message has {length} bytes, more than the {limit} that one message may have"
            );
            (
                why,
                json!({ "reason": "message_too_large", "length_bytes": length, "limit_bytes": limit }),
            )
        };
        let error = json!({ "code": code::UNAVAILABLE, "message": why, "data": data });
        match outline(&cut.head, &cut.tail) {
            Outline {
                id: Some(id),
                asks: false,
            } => {
                self.discarded += length;
                let answer = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#);
                match Message::parse(answer.into()) {
                    Ok(message) => self.answered(now, &message),
                    Err(_) => self.garbage(length, &why),
                }
            }
            Outline {
                id: Some(id),
                asks: true,
            } => {
                self.discarded += length;
                let refusal = rpc::error(&id, code::UNAVAILABLE, &why, None);
                self.send_message(&super::as_text(&refusal));
            }
            Outline { id: None, .. } => self.garbage(length, &why),
        }
    }
}

/// SDKs write an id before the result or at the very end.
fn outline(head: &[u8], tail: &[u8]) -> Outline {
    let mut found = Outline::default();
    for (name, value) in leading(&String::from_utf8_lossy(head)) {
        match &*name {
            "id" => found.id = Some(value),
            "method" => found.asks = true,
            _ => {}
        }
    }
    if found.id.is_none() {
        found.id = last_id(&String::from_utf8_lossy(tail));
    }
    found
}

/// The members of an object that come before its first array or object.
fn leading(head: &str) -> Vec<(String, String)> {
    let mut members = Vec::new();
    let Some(mut rest) = head.trim_start().strip_prefix('{') else {
        return members;
    };
    loop {
        let mut names = Deserializer::from_str(rest).into_iter::<String>();
        let Some(Ok(name)) = names.next() else {
            return members;
        };
        let after = rest.get(names.byte_offset()..).unwrap_or_default();
        let Some(value) = after.trim_start().strip_prefix(':').map(str::trim_start) else {
            return members;
        };
        if value.starts_with(['{', '[']) {
            return members;
        }
        let mut values = Deserializer::from_str(value).into_iter::<&RawValue>();
        let Some(Ok(raw)) = values.next() else {
            return members;
        };
        members.push((name, raw.get().to_owned()));
        let after = value.get(values.byte_offset()..).unwrap_or_default();
        let Some(next) = after.trim_start().strip_prefix(',') else {
            return members;
        };
        rest = next;
    }
}

/// The id of an object, if none but plain members follow it.
fn last_id(tail: &str) -> Option<String> {
    let at = tail.rfind(r#""id""#)?;
    // What lies deeper is followed by the ends of more than one object.
    let members: Map<String, Value> =
        serde_json::from_str(&format!("{{{}", tail.get(at..)?)).ok()?;
    let plain = members.values().all(|v| !v.is_object() && !v.is_array());
    members.get("id").filter(|_| plain).map(Value::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_at_either_end_and_not_within() {
        let big = "x".repeat(10_000);
        let text = format!(r#"{{"type":"text","text":"{big}"}}"#);
        for (message, id, asks) in [
            (
                format!(r#"{{"jsonrpc":"2.0","id":7,"result":{text}}}"#),
                Some("7"),
                false,
            ),
            (
                format!(r#"{{ "id" : "a\"b", "jsonrpc":"2.0", "result":{text}}}"#),
                Some(r#""a\"b""#),
                false,
            ),
            (
                format!(r#"{{"result":{text},"jsonrpc":"2.0","id":7}}"#),
                Some("7"),
                false,
            ),
            (
                format!(r#"{{"result":{text},"id":7,"jsonrpc":"2.0"}}"#),
                Some("7"),
                false,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","id":3,"method":"m","params":{text}}}"#),
                Some("3"),
                true,
            ),
            (
                format!(r#"{{"method":"m","params":{text},"jsonrpc":"2.0","id":3}}"#),
                Some("3"),
                true,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","method":"n","params":{text}}}"#),
                None,
                true,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","result":{{"a":{text},"id":5}}}}"#),
                None,
                false,
            ),
            (
                format!(r#"{{"jsonrpc":"2.0","result":{{"a":"{big} \"id\":5"}}}}"#),
                None,
                false,
            ),
            (big.clone(), None, false),
        ] {
            let bytes = message.as_bytes();
            let found = outline(&bytes[..4096], &bytes[bytes.len() - 4096..]);
            let wanted = Outline {
                id: id.map(str::to_owned),
                asks,
            };
            assert_eq!(found, wanted, "{}…", &message[..80]);
        }
    }
}
