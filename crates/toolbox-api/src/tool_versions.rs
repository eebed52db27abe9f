//! What an instance was asked to run before, and how that differs from what it is asked to run now.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::spec::ToolSpec;

use crate::config_override::own_path;

/// Answer of `GET /{toolboxId}/tools/{instance}/versions`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolVersionsResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// The instance.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub instance_id: ToolInstanceId,
    /// The versions that are kept, newest first: 10 at most. The first is what the instance is asked to run now.
    pub versions: Vec<ToolVersion>,
    /// The request.
    pub request_id: String,
}

/// What an instance was asked to run at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ToolVersion {
    /// The generation that brought it: its name.
    pub generation: u64,
    /// It is what the instance is asked to run now.
    pub current: bool,
    /// Image as asked for.
    pub image: String,
    /// Content id of the image that it was last seen running.
    pub image_digest: Option<String>,
    /// What a rollback to it asks for: the image by the digest that its registry had it under, where that was seen. Otherwise it
    /// is the same as `image`, and what that names may be another image by now.
    pub rollback_image: String,
    /// When it was first seen running; none: never.
    pub ran_at: Option<String>,
    /// The generation of the version that it brought back.
    pub restores: Option<u64>,
    /// Who brought it: `user`, `agent` (an update failed there), `control_plane` or `database`.
    pub actor_kind: String,
    /// Id of the user, or of the toolbox whose agent it was.
    pub actor_id: Option<String>,
    /// When it was asked for.
    pub created_at: String,
    /// How it differs from what the instance is asked to run now.
    pub differences: Vec<VersionDifference>,
}

/// One setting that is another one now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionDifference {
    /// The setting, as `baseConfigOverrideJson` names it, such as `dockerImage`, `environmentVariables.TOKEN` or `resources.memory`.
    pub field: String,
    /// Whether it is set in the version, and now.
    pub change: VersionChange,
    /// The values are not told, because they may be secrets: those of variables, headers, the command and the entry point.
    pub hidden: bool,
    /// Its value in the version; null when it is not set there, or not told.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub then: Value,
    /// Its value now.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    pub now: Value,
}

/// Where a setting is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum VersionChange {
    /// In the version only.
    Removed,
    /// Now only.
    Added,
    /// In both, differently. A value that does not open any more counts as another one.
    Changed,
}

/// How `then` differs from `now`. The secrets of both are open.
pub fn differences(then: &ToolSpec, now: &ToolSpec) -> Vec<VersionDifference> {
    let (then, now) = (settings(then), settings(now));
    let mut fields: Vec<_> = then.keys().chain(now.keys()).collect();
    fields.sort();
    fields.dedup();
    let differences = fields.into_iter().filter_map(|field| {
        let (then, now) = (then.get(field), now.get(field));
        let change = match (then, now) {
            (then, now) if then == now => return None,
            (Some(_), None) => VersionChange::Removed,
            (None, _) => VersionChange::Added,
            (Some(_), Some(_)) => VersionChange::Changed,
        };
        let hidden = HIDDEN.iter().any(|name| {
            let rest = field.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        let told = |value: Option<&Value>| value.filter(|_| !hidden).cloned().unwrap_or_default();
        Some(VersionDifference {
            field: own_path(field),
            change,
            hidden,
            then: told(then),
            now: told(now),
        })
    });
    differences.collect()
}

/// Settings whose values may be secrets.
const HIDDEN: [&str; 4] = ["env", "mcp_headers", "command", "entrypoint"];
/// Settings that are told one by one.
const GROUPS: [&str; 4] = ["env", "mcp_headers", "resources", "confinement"];

/// What is set, by its path. That a list is empty or a switch is off says nothing.
fn settings(spec: &ToolSpec) -> Map<String, Value> {
    let mut settings = Map::new();
    let Ok(Value::Object(spec)) = serde_json::to_value(spec) else {
        return settings;
    };
    for (name, value) in spec {
        match value {
            Value::Object(group) if GROUPS.contains(&&*name) => {
                let named = group.into_iter();
                settings.extend(named.map(|(part, value)| (format!("{name}.{part}"), value)));
            }
            value => {
                settings.insert(name, value);
            }
        }
    }
    settings.retain(|_, value| {
        let is_empty = value.as_array().is_some_and(Vec::is_empty);
        !(value.is_null() || is_empty || *value == Value::Bool(false))
    });
    settings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_told_under_the_names_that_callers_write_and_secrets_are_not() {
        let then = json!({
            "image": "x:1", "env": {"SAME": plain("SECRET-0"), "A.B": plain("SECRET-1"), "GONE": plain("SECRET-2")},
            "command": ["--key", "SECRET-3"], "resources": {"memory_bytes": 1_048_576}, "ports": [{"container_port": 80}],
            "transport": "sse", "mcp_headers": {"X-Key": plain("SECRET-4")}, "confinement": {"user": "1:1"},
        });
        let now = json!({
            "image": "x:2", "env": {"SAME": plain("SECRET-0"), "A.B": plain("SECRET-5"), "NEW": plain("SECRET-6")},
            "command": ["--key", "SECRET-7"], "resources": {"memory_bytes": 2_097_152, "pids": 7},
            "transport": "sse", "stdin_open": true,
        });
        let spec = |json: &Value| serde_json::from_value::<ToolSpec>(json.clone()).unwrap();
        let (then, now) = (spec(&then), spec(&now));
        assert!(differences(&then, &then).is_empty());
        let told = serde_json::to_value(differences(&then, &now)).unwrap();
        let difference = |field: &str, change: &str, then: Value, now: Value| {
            let hidden = ["environmentVariables", "upstreamHeaders", "command"];
            let hidden = hidden.iter().any(|name| field.starts_with(name));
            json!({"field": field, "change": change, "hidden": hidden, "then": then, "now": now})
        };
        let none = Value::Null;
        assert_eq!(
            told,
            json!([
                difference("command", "changed", none.clone(), none.clone()),
                difference("user", "removed", json!("1:1"), none.clone()),
                difference(
                    "environmentVariables.A.B",
                    "changed",
                    none.clone(),
                    none.clone()
                ),
                difference(
                    "environmentVariables.GONE",
                    "removed",
                    none.clone(),
                    none.clone()
                ),
                difference(
                    "environmentVariables.NEW",
                    "added",
                    none.clone(),
                    none.clone()
                ),
                difference("dockerImage", "changed", json!("x:1"), json!("x:2")),
                difference(
                    "upstreamHeaders.X-Key",
                    "removed",
                    none.clone(),
                    none.clone()
                ),
                difference(
                    "portMappings",
                    "removed",
                    json!([{"container_port": 80, "protocol": "tcp"}]),
                    none.clone()
                ),
                difference(
                    "resources.memory",
                    "changed",
                    json!(1_048_576),
                    json!(2_097_152)
                ),
                difference("resources.pids", "added", none.clone(), json!(7)),
                difference("stdinOpen", "added", none, json!(true)),
            ])
        );
        assert!(!told.to_string().contains("SECRET"));
    }

    fn plain(value: &str) -> Value {
        json!({"key_id": null, "value": value})
    }
}
