//! What a server answers.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::Response;
use serde_json::value::RawValue;

use super::Allowed;
use crate::wire::body::Budget;
use crate::wire::rewrite::{self, Rewrite, Rewritten};

/// The answer with its lists of tools cut.
pub(super) async fn cut(
    allowed: Allowed,
    response: Response<Body>,
    limit: usize,
    budget: &Budget,
) -> Response<Body> {
    rewrite::response(allowed, response, limit, budget).await
}

impl Rewrite for Allowed {
    fn message(&self, bytes: &[u8]) -> Rewritten {
        message(self, bytes)
    }
}

/// A message, or a batch of them, with its lists of tools cut.
fn message(allowed: &Allowed, bytes: &[u8]) -> Rewritten {
    if bytes.is_empty() {
        return Rewritten::Same;
    }
    let Ok(raw) = serde_json::from_slice::<&RawValue>(bytes) else {
        return Rewritten::Unreadable;
    };
    if !raw.get().starts_with('[') {
        return one(allowed, raw.get());
    }
    let Ok(parts) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return Rewritten::Unreadable;
    };
    let mut texts = Vec::with_capacity(parts.len());
    let mut is_new = false;
    for part in parts {
        match one(allowed, part.get()) {
            Rewritten::Same => texts.push(part.get().to_owned()),
            Rewritten::Anew(text) => {
                is_new = true;
                texts.push(text);
            }
            Rewritten::Unreadable => return Rewritten::Unreadable,
        }
    }
    if is_new {
        Rewritten::Anew(format!("[{}]", texts.join(",")))
    } else {
        Rewritten::Same
    }
}

/// The fields of an object as they stand there.
type Object<'a> = BTreeMap<String, &'a RawValue>;

/// Removes the fields that some parsers take for `name`, because they do not tell the case of letters apart; whether there were any.
fn only(fields: &mut Object<'_>, name: &str) -> bool {
    let (before, upper) = (fields.len(), name.to_uppercase());
    fields.retain(|field, _| field == name || field.to_uppercase() != upper);
    fields.len() != before
}

/// A message without a list.
fn unchanged_but(is_odd: bool, fields: &Object<'_>) -> Rewritten {
    if !is_odd {
        return Rewritten::Same;
    }
    serde_json::to_string(fields).map_or(Rewritten::Unreadable, Rewritten::Anew)
}

fn one(allowed: &Allowed, text: &str) -> Rewritten {
    // What is no object, or has no object as its result, has no list.
    let Ok(mut fields) = serde_json::from_str::<Object<'_>>(text) else {
        return Rewritten::Same;
    };
    let is_odd = only(&mut fields, "result");
    let Some(result) = fields.get("result") else {
        return unchanged_but(is_odd, &fields);
    };
    let Ok(mut result) = serde_json::from_str::<Object<'_>>(result.get()) else {
        return unchanged_but(is_odd, &fields);
    };
    let is_odd = only(&mut result, "tools") || is_odd;
    let Some(tools) = result.get("tools") else {
        let Ok(result) = serde_json::value::to_raw_value(&result) else {
            return Rewritten::Unreadable;
        };
        fields.insert("result".to_owned(), &result);
        return unchanged_but(is_odd, &fields);
    };
    let Ok(tools) = serde_json::from_str::<Vec<&RawValue>>(tools.get()) else {
        return Rewritten::Unreadable;
    };
    let shown: Vec<&RawValue> = tools
        .into_iter()
        .filter(|tool| allowed.may_see(tool.get()))
        .collect();
    let Ok(shown) = serde_json::value::to_raw_value(&shown) else {
        return Rewritten::Unreadable;
    };
    result.insert("tools".to_owned(), &shown);
    let Ok(result) = serde_json::value::to_raw_value(&result) else {
        return Rewritten::Unreadable;
    };
    fields.insert("result".to_owned(), &result);
    serde_json::to_string(&fields).map_or(Rewritten::Unreadable, Rewritten::Anew)
}
