//! Reading JSON of callers. What is told about a mistake names the field and never repeats a value, which may be a
//! secret.

use std::fmt::Write as _;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::problem::FieldError;
use toolbox_domain::objects::Object;

/// Longest name of a field that is repeated, in bytes.
const MAX_NAME: usize = 64;

/// Whether a body of this media type may be JSON. The SDK calls a text `text/plain`, and a `Blob` or an `ArrayBuffer`
/// `application/octet-stream`.
pub(crate) fn may_be_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else {
        return true;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    matches!(
        essence.as_str(),
        "" | "application/json" | "text/json" | "text/plain" | "application/octet-stream"
    ) || essence.starts_with("application/") && essence.ends_with("+json")
}

/// The body, which must be a JSON object of this shape.
pub(crate) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let mut json = serde_json::Deserializer::from_slice(body);
    let Object(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().clone();
        explain(&path, &error.into_inner())
    })?;
    json.end().map_err(|error| no_json(&error))?;
    Ok(value)
}

fn refuse(error: FieldError) -> ApiError {
    ApiError::of_fields(ErrorCode::InvalidJson, vec![error])
}

fn no_json(error: &serde_json::Error) -> ApiError {
    ApiError::with_message(
        ErrorCode::InvalidJson,
        format!(
            "The body is not valid JSON at line {}, column {}",
            error.line(),
            error.column()
        ),
    )
}

fn mistyped(field: &str, expected: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        code: "mistyped".to_owned(),
        message: if field.is_empty() {
            format!("The body does not fit: {expected}")
        } else {
            expected.to_owned()
        },
    }
}

/// serde's message without the values that it quotes: what was expected is its own text and stands last.
fn explain(path: &Path, error: &serde_json::Error) -> ApiError {
    if !error.is_data() {
        return no_json(error);
    }
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(text.as_str(), |(text, _)| text);
    let place = shown(path);
    let named = |kind: &str| {
        let rest = text.strip_prefix(kind)?.strip_prefix(" `")?;
        rest.split('`').next()
    };
    if let Some(name) = named("missing field") {
        return refuse(FieldError {
            field: join(&place, name),
            code: "required".to_owned(),
            message: "the field is missing".to_owned(),
        });
    }
    if let Some(name) = named("duplicate field") {
        return refuse(FieldError {
            field: join(&place, name),
            code: "duplicate".to_owned(),
            message: "the field is given twice".to_owned(),
        });
    }
    let expected = text.rsplit_once(", ").map_or(text, |(_, last)| last);
    let alternatives = text
        .split_once("`, expected ")
        .map(|(_, names)| format!("; expected {names}"));
    if named("unknown field").is_some() {
        return refuse(FieldError {
            field: place,
            code: "unknown_field".to_owned(),
            message: format!("there is no such field{}", alternatives.unwrap_or_default()),
        });
    }
    if named("unknown variant").is_some() {
        let message = alternatives.unwrap_or_default();
        return refuse(mistyped(&place, message.trim_start_matches("; ")));
    }
    refuse(mistyped(
        &place,
        &match expected.strip_prefix("expected ") {
            Some(what) => format!("expected {}", in_words(what)),
            None => "the value does not fit".to_owned(),
        },
    ))
}

/// serde's names of types in the words of JSON.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" => "a whole number, not negative",
        "i64" => "a whole number",
        "a boolean" => "true or false",
        "a string" => "a text",
        "a sequence" => "a list",
        "a map" => "an object",
        what if what.starts_with("struct ") => "an object",
        what => what,
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() {
        name.to_owned()
    } else {
        format!("{place}.{name}")
    }
}

/// The path, such as `ports[0].host_port`. A key that does not look like a name may be a value in the wrong place: it is
/// not repeated.
fn shown(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => {
                let _ = write!(text, "[{index}]");
                continue;
            }
            Segment::Map { key } => key.as_str(),
            Segment::Enum { variant } => variant.as_str(),
            Segment::Unknown => "…",
        };
        let is_name = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(if is_name { name } else { "…" });
    }
    text
}

#[cfg(test)]
mod tests {
    use toolbox_api::edge::{InvokeRequest, UpdateToolRequest};
    use toolbox_api::heartbeat::Heartbeat;

    use super::*;

    /// Code and field of the one mistake, and the message.
    fn mistake<T: DeserializeOwned>(body: &str) -> (String, String, String) {
        let error = parse::<T>(body.as_bytes())
            .map(|_| ())
            .expect_err("a mistake");
        assert_eq!(error.code, ErrorCode::InvalidJson);
        let message = error.message().to_owned();
        assert!(!message.contains("SECRET"), "{message}");
        let mut errors = error.details.map(|d| d.errors).unwrap_or_default();
        match errors.pop() {
            Some(one) => (one.code, one.field, message),
            None => (String::new(), String::new(), message),
        }
    }

    /// A body, the code and the field of its mistake, and what its message says.
    const MISTAKES: &[(&str, &str, &str, &str)] = &[
        (r#"{"tail":true}"#, "mistyped", "tail", "a number or a text"),
        (r#"{"action":7}"#, "mistyped", "action", "expected a text"),
        (
            r#"{"follow":"SECRET"}"#,
            "mistyped",
            "follow",
            "true or false",
        ),
        (
            r#"{"toolboxID":"x"}"#,
            "unknown_field",
            "toolboxID",
            "`toolboxId`",
        ),
        (
            r#"{"baseConfigOverrideJson":{"env":{}}}"#,
            "unknown_field",
            "baseConfigOverrideJson.env",
            "`environmentVariables`",
        ),
        (
            r#"{"baseConfigOverrideJson":{"resources":{"memori":"1g"}}}"#,
            "unknown_field",
            "baseConfigOverrideJson.resources.memori",
            "expected one of `memory`, `cpu`, `pids`",
        ),
        (
            r#"{"baseConfigOverrideJson":{"resources":{"memory":true}}}"#,
            "mistyped",
            "baseConfigOverrideJson.resources.memory",
            "expected a number or a text",
        ),
        (
            r#"{"baseConfigOverrideJson":{"resources":["1g"]}}"#,
            "mistyped",
            "baseConfigOverrideJson.resources",
            "expected an object",
        ),
        (
            r#"{"baseConfigOverrideJson":{"portMappings":[{"containerPort":1},{"containerPort":"SECRET, expected SECRET"}]}}"#,
            "mistyped",
            "baseConfigOverrideJson.portMappings[1].containerPort",
            "expected a whole number from 0 to 65535",
        ),
        (
            r#"{"baseConfigOverrideJson":{"portMappings":[{"hostPort":1}]}}"#,
            "required",
            "baseConfigOverrideJson.portMappings[0].containerPort",
            "missing",
        ),
        (
            r#"{"baseConfigOverrideJson":{"portMappings":[{"containerPort":70000}]}}"#,
            "mistyped",
            "baseConfigOverrideJson.portMappings[0].containerPort",
            "65535",
        ),
        (
            r#"{"baseConfigOverrideJson":{"environmentVariables":{"KEY":7}}}"#,
            "mistyped",
            "baseConfigOverrideJson.environmentVariables.KEY",
            "expected a text",
        ),
        (
            r#"{"baseConfigOverrideJson":{"environmentVariables":{"sk-SECRET":7}}}"#,
            "mistyped",
            "baseConfigOverrideJson.environmentVariables.…",
            "expected a text",
        ),
        (
            r#"{"baseConfigOverrideJson":{"transport":"SECRET"}}"#,
            "mistyped",
            "baseConfigOverrideJson.transport",
            "`stdio`",
        ),
        (r#"["SECRET"]"#, "mistyped", "", "expected an object"),
        (r#""SECRET""#, "mistyped", "", "expected an object"),
        (r#"{"tail":1,"tail":2}"#, "duplicate", "tail", "twice"),
        (
            r#"{"action":SECRET}"#,
            "",
            "",
            "not valid JSON at line 1, column",
        ),
        ("{} SECRET", "", "", "not valid JSON at line 1, column"),
        ("", "", "", "not valid JSON"),
    ];

    #[test]
    fn a_mistake_names_its_field_wherever_it_is() {
        for &(body, code, field, says) in MISTAKES {
            let (got_code, got_field, message) = mistake::<InvokeRequest>(body);
            assert_eq!(
                (got_code.as_str(), got_field.as_str()),
                (code, field),
                "{body}: {message}"
            );
            assert!(message.contains(says), "{body}: {message}");
            assert!(message.starts_with(field), "{body}: {message}");
        }
        let (code, field, _) = mistake::<UpdateToolRequest>("{}");
        assert_eq!(
            (code.as_str(), field.as_str()),
            ("required", "baseConfigOverrideJson")
        );
        let (code, field, _) = mistake::<Heartbeat>(r#"{"boot":1,"sequence":"x"}"#);
        assert_eq!((code.as_str(), field.as_str()), ("mistyped", "sequence"));
    }

    #[test]
    fn bodies_that_the_sdk_sends_may_be_json() {
        for content_type in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("text/plain;charset=UTF-8"),
            Some("application/octet-stream"),
            Some("application/merge-patch+json"),
        ] {
            assert!(may_be_json(content_type), "{content_type:?}");
        }
        for content_type in [
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "text/html",
            "image/png",
            "application/xml",
        ] {
            assert!(!may_be_json(Some(content_type)), "{content_type}");
        }
        let with_mark = b"\xef\xbb\xbf{\"action\":\"list\"}";
        assert!(parse::<InvokeRequest>(with_mark).is_ok());
    }
}
