//! The labels of the agent's containers. Lost records are rebuilt from them.

use std::collections::HashMap;

use toolbox_api::dtma::{SecretValue, ToolSpec};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};

/// The toolbox a container belongs to. The agent acts only on containers with its own.
pub const TOOLBOX_ID: &str = "io.toolbox.toolbox_id";
/// The instance a container belongs to.
pub const INSTANCE_ID: &str = "io.toolbox.instance_id";
/// The user's name of the instance.
pub const NAME: &str = "io.toolbox.name";
/// The generation whose spec the container was made from.
pub const GENERATION: &str = "io.toolbox.generation";
/// Digest of that spec.
pub const SPEC_SHA256: &str = "io.toolbox.spec_sha256";
/// Who manages the container.
pub const MANAGED_BY: &str = "io.toolbox.managed_by";
/// That spec as JSON, with empty values in `env` and `mcp_headers`: those of the environment are in the container's own, and
/// nowhere twice; those of headers are not in Docker at all.
pub const SPEC: &str = "io.toolbox.spec";

/// The container's limit on the disk, in bytes, also where the spec names none; it is missing where there is none.
pub const DISK_BYTES: &str = "io.toolbox.disk_bytes";

/// The value of [`MANAGED_BY`].
pub const DTMA: &str = "dtma";

/// Labels of everything that belongs to a toolbox.
pub fn of_toolbox(toolbox: ToolboxId) -> HashMap<String, String> {
    HashMap::from([
        (TOOLBOX_ID.to_owned(), toolbox.to_string()),
        (MANAGED_BY.to_owned(), DTMA.to_owned()),
    ])
}

/// Labels of everything that belongs to an instance.
pub fn of_instance(toolbox: ToolboxId, instance: ToolInstanceId) -> HashMap<String, String> {
    let mut labels = of_toolbox(toolbox);
    labels.insert(INSTANCE_ID.to_owned(), instance.to_string());
    labels
}

/// The spec without the values of its environment and of its headers.
pub fn without_secrets(spec: &ToolSpec) -> ToolSpec {
    let mut public = spec.clone();
    let values = public.env.values_mut();
    for value in values.chain(public.mcp_headers.values_mut()) {
        *value = SecretValue::default();
    }
    public
}

/// Puts back the values that [`without_secrets`] took out, from `NAME=value` pairs of the container.
/// A name that the container does not have stays empty.
pub fn with_values(mut spec: ToolSpec, environment: &[String]) -> ToolSpec {
    for (name, value) in &mut spec.env {
        let found = environment
            .iter()
            .filter_map(|pair| pair.split_once('='))
            .find(|(n, _)| n == name);
        if let Some((_, v)) = found {
            *value = SecretValue::plain(v);
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_survives_labels_and_environment_without_its_secrets_in_the_label() {
        let mut spec = ToolSpec {
            image: "a/b:1".into(),
            ..ToolSpec::default()
        };
        spec.env
            .insert("TOKEN".into(), SecretValue::plain("SECRET=with=equals"));
        spec.env.insert("EMPTY".into(), SecretValue::default());
        spec.mcp_headers
            .insert("x-key".into(), SecretValue::plain("SECRET header"));
        let label = serde_json::to_string(&without_secrets(&spec)).unwrap();
        assert!(!label.contains("SECRET"));
        let environment = [
            "PATH=/bin".to_owned(),
            "TOKEN=SECRET=with=equals".into(),
            "EMPTY=".into(),
        ];
        spec.mcp_headers
            .insert("x-key".into(), SecretValue::default());
        assert_eq!(
            with_values(serde_json::from_str(&label).unwrap(), &environment),
            spec
        );
    }
}
