//! DigitalOcean's forms: errors, pages, moments, fingerprints.

use std::time::Duration;

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::account::Refusal;
use crate::secrets::hex;

/// An error of DigitalOcean's.
pub(super) fn error(status: StatusCode, id: &str, message: &str) -> Response {
    let request_id = Uuid::new_v4();
    let body = json!({ "id": id, "message": message, "request_id": request_id });
    (status, Json(body)).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, id, message) = match self {
            Self::NotFound => (
                StatusCode::NOT_FOUND,
                "not_found",
                "The resource you were accessing could not be found.".to_owned(),
            ),
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, "bad_request", message),
            Self::Conflict(message) => (StatusCode::CONFLICT, "conflict", message),
            Self::Unprocessable(message) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "unprocessable_entity",
                message,
            ),
        };
        error(status, id, &message)
    }
}

/// Which page of a list, and which things.
#[derive(Debug, Deserialize)]
pub(super) struct Query {
    page: Option<usize>,
    per_page: Option<usize>,
    pub(super) tag_name: Option<String>,
    pub(super) name: Option<String>,
}

/// One page of a list. `url` is where the list is, without its query.
pub(super) fn page(list: &str, all: Vec<Value>, query: &Query, url: &str) -> Json<Value> {
    let per_page = query.per_page.unwrap_or(20).clamp(1, 200);
    let end = all.len().div_ceil(per_page).max(1);
    let at = query.page.unwrap_or(1).max(1);
    let total = all.len();
    let filter = [("tag_name", &query.tag_name), ("name", &query.name)];
    let filter: String = filter
        .iter()
        .filter_map(|(name, value)| Some(format!("&{name}={}", value.as_deref()?)))
        .collect();
    let link = |page: usize| json!(format!("{url}?page={page}&per_page={per_page}{filter}"));
    let mut pages = Map::new();
    if at > 1 {
        pages.insert("first".to_owned(), link(1));
        pages.insert("prev".to_owned(), link(at - 1));
    }
    if at < end {
        pages.insert("next".to_owned(), link(at + 1));
        pages.insert("last".to_owned(), link(end));
    }
    let items: Vec<Value> = all
        .into_iter()
        .skip((at - 1).saturating_mul(per_page))
        .take(per_page)
        .collect();
    let links = if pages.is_empty() {
        json!({})
    } else {
        json!({ "pages": pages })
    };
    Json(json!({ list: items, "links": links, "meta": { "total": total } }))
}

/// RFC 3339 with whole seconds.
pub(super) fn moment(since_epoch: Duration) -> String {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or_default();
    let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // Never fails before the year 10000.
    moment.format(&Rfc3339).unwrap_or_default()
}

/// The MD5 of a public key with colons, as DigitalOcean names keys; none when it is no key.
pub(super) fn fingerprint(public_key: &str) -> Option<String> {
    let mut words = public_key.split_whitespace();
    let kind = words.next()?;
    let blob = BASE64_STANDARD.decode(words.next()?).ok()?;
    // The blob begins with the kind once more, after its length.
    let named = blob.get(4..4 + kind.len())? == kind.as_bytes();
    let pairs: Vec<String> = Md5::digest(&blob)
        .iter()
        .map(|byte| hex(&[*byte]))
        .collect();
    named.then(|| pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thing_is_on_one_page() {
        for total in [0, 1, 2, 3, 4, 199, 200, 201] {
            for per_page in [None, Some(1), Some(2), Some(200), Some(1000)] {
                let all: Vec<Value> = (0..total).map(Value::from).collect();
                let mut seen = Vec::new();
                let mut at = Some(1);
                while let Some(number) = at {
                    let query = Query {
                        page: Some(number),
                        per_page,
                        tag_name: None,
                        name: None,
                    };
                    let Json(body) = page("things", all.clone(), &query, "http://h/v2/things");
                    assert_eq!(body["meta"]["total"], total);
                    seen.extend(body["things"].as_array().unwrap().clone());
                    at = body["links"]["pages"]["next"]
                        .is_string()
                        .then_some(number + 1);
                }
                assert_eq!(seen, all, "{total} {per_page:?}");
            }
        }
    }

    #[test]
    fn a_page_behind_the_end_is_empty() {
        let query = Query {
            page: Some(usize::MAX),
            per_page: Some(200),
            tag_name: None,
            name: None,
        };
        let Json(body) = page("things", vec![json!(1)], &query, "http://h");
        assert_eq!(body["things"], json!([]));
    }
}
