//! Reading requests. An answer never repeats what the caller sent, because it may hold secrets.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use toolbox_api::dtma::MAX_BODY_BYTES;
use toolbox_api::problem::ProblemCode;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::objects::Object;

use super::AppState;
use super::error::ApiError;

/// How long a body may take to arrive.
const BODY_LIMIT: Duration = Duration::from_secs(15);

pub struct JsonBody<T>(pub T);

/// A JSON body that may be left out.
pub struct OptionalJsonBody<T>(pub T);

pub struct Params<T>(pub T);

/// The instance in the path.
pub struct InstanceId(pub ToolInstanceId);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        if !is_json(&request) {
            return Err(ApiError::new(
                ProblemCode::UnsupportedMediaType,
                "The Content-Type must be application/json",
            ));
        }
        parse(&bytes(request, state).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = is_json(&request);
        let bytes = bytes(request, state).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self(T::default()));
        }
        if !is_json {
            return Err(ApiError::new(
                ProblemCode::UnsupportedMediaType,
                "The Content-Type must be application/json",
            ));
        }
        parse(&bytes).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|_| {
                ApiError::new(
                    ProblemCode::InvalidBody,
                    "A query parameter is unknown or has a malformed value",
                )
            })
    }
}

impl FromRequestParts<AppState> for InstanceId {
    type Rejection = ApiError;

    /// A path without a UUID names no instance, so the error is `instance_unknown` and not `route_unknown`.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        let unknown = || {
            ApiError::new(
                ProblemCode::InstanceUnknown,
                "The path names no tool instance; expected its UUID",
            )
        };
        let Path(id) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| unknown())?;
        id.parse().map(Self).map_err(|_| unknown())
    }
}

fn is_json(request: &Request) -> bool {
    let essence = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.split(';').next())
        .unwrap_or_default()
        .trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    let invalid = |detail: &str| ApiError::new(ProblemCode::InvalidBody, detail);
    match tokio::time::timeout(BODY_LIMIT, Bytes::from_request(request, state)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)))) => {
            let detail = format!("The body is larger than {} KiB", MAX_BODY_BYTES / 1024);
            Err(ApiError::new(ProblemCode::BodyTooLarge, detail))
        }
        Ok(Err(_)) => Err(invalid("The body ended early")),
        Err(_) => Err(invalid("The body did not arrive in time")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(bytes)
        .map(|Object(body)| body)
        .map_err(|error| ApiError::new(ProblemCode::InvalidBody, explain(&error)))
}

/// serde's message without the values it quotes. Only names of fields are kept.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!("line {}, column {}", error.line(), error.column());
    let about_a_field = ["missing field `", "unknown field `", "duplicate field `"];
    if about_a_field.iter().any(|start| text.starts_with(start)) {
        // The name of an unknown field is the caller's text too, but it is no value.
        let name: String = text
            .split('`')
            .nth(1)
            .unwrap_or_default()
            .chars()
            .take(64)
            .collect();
        let kind = text.split(' ').next().unwrap_or_default();
        return format!("The body has a {kind} field `{name}` ({place})");
    }
    match text.split_once("expected ") {
        Some((_, expected)) if error.is_data() => {
            format!("The body does not fit: expected {expected}")
        }
        _ => format!("The body is not the JSON expected ({place})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toolbox_api::dtma::{CommandRequest, DeployRequest};

    fn detail(body: &str) -> String {
        match parse::<DeployRequest>(body.as_bytes()) {
            Ok(_) => panic!("expected an error"),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn errors_name_fields_and_places_but_no_values() {
        assert!(detail("{}").contains("missing field `generation`"));
        assert!(detail(r#"{"extra":1}"#).contains("unknown field `extra`"));
        let typed = detail(r#"{"generation":"SECRET"}"#);
        assert!(
            typed.contains("expected u64") && !typed.contains("SECRET"),
            "{typed}"
        );
        let variant = detail(r#"{"generation":1,"desired":"SECRET"}"#);
        assert!(!variant.contains("SECRET"), "{variant}");
        assert!(!detail("SECRET").contains("SECRET"));
    }

    #[test]
    fn no_array_passes_for_an_object() {
        let body = |spec: &str, rest: &str| {
            format!(
                r#"{{"generation":1,"desired":"running","name":"n","container_name":"c","spec":{spec}{rest}}}"#
            )
        };
        assert!(parse::<DeployRequest>(body(r#"{"image":"x"}"#, "").as_bytes()).is_ok());
        let binding = r#"[8080,"tcp","127.0.0.1",31000]"#;
        for nested in [
            r#"[1,"running","n","c",{"image":"x"}]"#.to_owned(),
            body(r#"["x"]"#, ""),
            body(r#"{"image":"x","ports":[[8080]]}"#, ""),
            body(r#"{"image":"x","volumes":[["data","/data"]]}"#, ""),
            body(r#"{"image":"x","resources":[1]}"#, ""),
            body(r#"{"image":"x","confinement":[true]}"#, ""),
            body(r#"{"image":"x","env":{"A":[null,"SECRET"]}}"#, ""),
            body(
                r#"{"image":"x"}"#,
                &format!(r#","known_ports":[{binding}]"#),
            ),
        ] {
            let detail = detail(&nested);
            assert!(detail.contains("expected a"), "{nested}: {detail}");
            assert!(!detail.contains("SECRET"), "{detail}");
        }
        assert!(parse::<CommandRequest>(b"[]").is_err());
    }

    #[test]
    fn generations_are_numbers_that_every_reader_holds() {
        for (generation, fits) in [("9007199254740991", true), ("9007199254740992", false)] {
            let body = format!(r#"{{"generation":{generation}}}"#);
            assert_eq!(parse::<CommandRequest>(body.as_bytes()).is_ok(), fits);
        }
    }
}
