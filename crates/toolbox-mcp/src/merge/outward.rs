//! From a server to the client: a question of the server gets an id that leads back to it.

use axum::body::Body;
use axum::http::{HeaderName, Response, header};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::wire::rewrite::{Rewrite, Rewritten};

/// Headers of a server's answer that pass.
const HEADERS: [HeaderName; 4] = [
    header::CONTENT_TYPE,
    header::CACHE_CONTROL,
    header::RETRY_AFTER,
    HeaderName::from_static("x-accel-buffering"),
];

/// The answer without headers that mean something to one server's session only.
pub(super) fn head(response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    let mut headers = std::mem::take(&mut head.headers);
    for name in HEADERS {
        if let Some(value) = headers.remove(&name) {
            head.headers.insert(name, value);
        }
    }
    Response::from_parts(head, body)
}

/// What is changed in the messages of a server.
#[derive(Clone, Debug)]
pub(super) struct Outward {
    pub(super) server: Uuid,
    /// A result says that it is complete, which servers of the older era do not.
    pub(super) completes: bool,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

impl Rewrite for Outward {
    fn message(&self, bytes: &[u8]) -> Rewritten {
        // What is not understood here may be to the client.
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Rewritten::Same;
        };
        let Ok(wire) = serde_json::from_str::<Wire<'_>>(text) else {
            return Rewritten::Same;
        };
        match wire {
            Wire {
                id: Some(id),
                method: Some(_),
                ..
            } => {
                let outward = Value::from(format!("{}:{}", self.server, id.get()));
                let (before, after) = around(text, id);
                Rewritten::Anew(format!("{before}{outward}{after}"))
            }
            Wire {
                result: Some(result),
                ..
            } if self.completes && result.get().starts_with('{') => {
                if result.get().contains("\"resultType\"") {
                    return Rewritten::Same;
                }
                let (before, after) = around(text, result);
                let rest = result.get().get(1..).unwrap_or_default();
                let comma = if rest.trim_start().starts_with('}') {
                    ""
                } else {
                    ","
                };
                Rewritten::Anew(format!(
                    r#"{before}{{"resultType":"complete"{comma}{rest}{after}"#
                ))
            }
            _ => Rewritten::Same,
        }
    }

    fn keeps(&self, line: &str) -> bool {
        // Where a stream of one server is taken up again means nothing here.
        !line.starts_with("id:") && !line.starts_with("retry:")
    }
}

/// What stands before and after `value`, which was read from `text`.
pub(super) fn around<'a>(text: &'a str, value: &RawValue) -> (&'a str, &'a str) {
    let span = crate::rpc::span_in(text, value);
    let before = text.get(..span.start).unwrap_or_default();
    (before, text.get(span.end..).unwrap_or_default())
}

/// The server that a client's answer is for, and the id by which it asked, as JSON.
pub(super) fn inward(id: &str) -> Option<(Uuid, String)> {
    let id: String = serde_json::from_str(id).ok()?;
    let (server, id) = id.split_once(':')?;
    // The client may have written anything.
    let value: Value = serde_json::from_str(id).ok()?;
    let is_id = value.is_string() || value.is_number();
    is_id.then_some((Uuid::try_parse(server).ok()?, id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_question_leads_back_to_who_asked() {
        let server = Uuid::from_u128(7);
        let outward = Outward {
            server,
            completes: false,
        };
        for id in ["7", "\"a:\\\"b\"", "-1"] {
            let text =
                format!(r#"{{ "jsonrpc":"2.0", "id": {id} ,"method":"elicitation/create"}}"#);
            let Rewritten::Anew(anew) = outward.message(text.as_bytes()) else {
                panic!("{text}");
            };
            let anew: Value = serde_json::from_str(&anew).unwrap();
            let back = inward(&anew["id"].to_string());
            assert_eq!(back, Some((server, id.to_owned())));
        }
        for other in [r#"{"id":1,"result":{}}"#, r#"{"method":"x"}"#, "", "[1]"] {
            let same = outward.message(other.as_bytes());
            assert!(matches!(same, Rewritten::Same), "{other}");
        }
        for forged in [
            "1",
            "\"x\"",
            "\"x:1\"",
            &format!("\"{server}:1,2\""),
            &format!("\"{server}:{{}}\""),
        ] {
            assert_eq!(inward(forged), None, "{forged}");
        }
    }

    #[test]
    fn an_older_result_is_complete() {
        let outward = Outward {
            server: Uuid::nil(),
            completes: true,
        };
        for (result, complete) in [
            ("{}", r#"{"resultType":"complete"}"#),
            (r#"{"a":1}"#, r#"{"resultType":"complete","a":1}"#),
        ] {
            let text = format!(r#"{{"id":1,"result":{result}}}"#);
            let Rewritten::Anew(anew) = outward.message(text.as_bytes()) else {
                panic!("{text}");
            };
            assert_eq!(anew, format!(r#"{{"id":1,"result":{complete}}}"#));
        }
    }
}
