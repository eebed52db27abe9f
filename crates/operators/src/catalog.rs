//! Which entries of the catalog can be deployed: their spec keeps the rules of every deployment, and what users are asked for is a
//! form.

use serde_json::{Map, Value};
use toolbox_api::operators::CatalogEntryRequest;
use toolbox_api::problem::FieldError;
use toolbox_domain::spec::{InstanceSpec, ToolSpec};

/// An image that stands for the one that each deployment names.
const ANY_IMAGE: &str = "registry.example/any:1";
/// Most bytes of a short text, and of the description.
const MAX_TEXT: usize = 255;
const MAX_DESCRIPTION: usize = 2000;

/// What is wrong with an entry; nothing when it can be deployed.
pub(crate) fn problems(entry: &CatalogEntryRequest) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let texts = [
        ("name", Some(&entry.name), MAX_TEXT),
        ("description", Some(&entry.description), MAX_DESCRIPTION),
        ("category", Some(&entry.category), MAX_TEXT),
        ("provider", entry.provider.as_ref(), MAX_TEXT),
        ("version", Some(&entry.version), 64),
    ];
    for (field, text, most) in texts {
        let is_odd = |c: char| c.is_control() && !(c == '\n' && field == "description");
        let is_short = |text: &String| text.len() <= most && !text.contains(is_odd);
        if !text.is_none_or(is_short) {
            let rule = format!("expected at most {most} bytes without control characters");
            errors.push(error(field, "invalid", &rule));
        }
    }
    for (field, text) in [
        ("name", &entry.name),
        ("category", &entry.category),
        ("version", &entry.version),
    ] {
        if text.trim().is_empty() {
            errors.push(error(field, "required", "expected a text"));
        }
    }
    let word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    if entry.tool_name.len() > MAX_TEXT || !entry.tool_name.split('-').all(word) {
        errors.push(error(
            "tool_name",
            "invalid",
            "expected words of a-z and 0-9, joined by a hyphen",
        ));
    }
    for (field, url) in [
        ("documentation_url", &entry.documentation_url),
        ("icon_url", &entry.icon_url),
    ] {
        let is_web = |url: &String| {
            url.starts_with("https://") && url.len() <= 2000 && !url.contains(char::is_whitespace)
        };
        if !url.as_ref().is_none_or(is_web) {
            errors.push(error(field, "invalid", "expected an address with https://"));
        }
    }
    spec(&entry.default_spec, &mut errors);
    let secrets = schema(
        "required_secrets_schema",
        &entry.required_secrets_schema,
        &mut errors,
    );
    schema(
        "required_config_schema",
        &entry.required_config_schema,
        &mut errors,
    );
    for name in secrets.into_iter().flat_map(Map::keys) {
        if entry.default_spec.env.contains_key(name) {
            let rule = "is a secret of each user, so it has no value here";
            errors.push(error(&format!("default_spec.env.{name}"), "invalid", rule));
        }
    }
    errors
}

fn spec(spec: &ToolSpec, errors: &mut Vec<FieldError>) {
    for (name, value) in spec.env.iter().chain(&spec.mcp_headers) {
        if value.reveal().is_none() {
            let rule = "is encrypted for one instance; give it in plain text";
            errors.push(error(&format!("default_spec.env.{name}"), "invalid", rule));
        }
    }
    let mut spec = spec.clone();
    if spec.image.is_empty() {
        ANY_IMAGE.clone_into(&mut spec.image);
    }
    for broken in InstanceSpec::validate(spec).err().unwrap_or_default() {
        let field = format!("default_spec.{}", broken.field);
        errors.push(error(&field, broken.code, &broken.message));
    }
}

/// The properties of a schema that is an object of variables, each of which it describes.
fn schema<'a>(
    field: &str,
    schema: &'a Value,
    errors: &mut Vec<FieldError>,
) -> Option<&'a Map<String, Value>> {
    let mut refuse = |field: String, rule: &str| errors.push(error(&field, "invalid", rule));
    if schema["type"] != "object" {
        refuse(
            field.to_owned(),
            "expected a JSON Schema of the type object",
        );
        return None;
    }
    let properties = match &schema["properties"] {
        Value::Null => None,
        Value::Object(properties) if properties.values().all(Value::is_object) => Some(properties),
        _ => {
            let rule = "expected an object of JSON Schemas, by name of the variable";
            refuse(format!("{field}.properties"), rule);
            return None;
        }
    };
    let is_described = |name: &Value| {
        let name = name.as_str();
        name.zip(properties)
            .is_some_and(|(name, properties)| properties.contains_key(name))
    };
    match &schema["required"] {
        Value::Null => {}
        Value::Array(names) if names.iter().all(is_described) => {}
        _ => refuse(
            format!("{field}.required"),
            "expected a list of names that properties describe",
        ),
    }
    properties
}

fn error(field: &str, code: &str, message: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        code: code.to_owned(),
        message: message.to_owned(),
    }
}
