//! From a catalog entry and what the user wants to differ from it to a spec for the agent.

use toolbox_api::dtma::{McpTransport, PortSpec, ToolSpec};
use toolbox_api::edge::{ConfigOverride, NumberOrText, ResourceOverride};
use toolbox_api::error::ApiError;
use toolbox_api::problem::FieldError;
use toolbox_clients::supabase::rows::{CatalogRow, VariablesSchema};

const FIELD: &str = "baseConfigOverrideJson";

fn violation(field: &str, code: &str, message: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        code: code.to_owned(),
        message: message.to_owned(),
    }
}

/// The spec of a new instance.
pub(crate) fn of_new(
    catalog: CatalogRow,
    wanted: &ConfigOverride,
) -> Result<Box<ToolSpec>, ApiError> {
    let Some(image) = wanted.docker_image.clone().or(catalog.docker_image_url) else {
        return Err(ApiError::validation(vec![violation(
            &format!("{FIELD}.dockerImage"),
            "image_missing",
            "This catalog entry has no image of its own; name one",
        )]));
    };
    let defaults = catalog.default_spec;
    let mut spec = Box::new(ToolSpec {
        image,
        command: defaults.command,
        entrypoint: defaults.entrypoint,
        env: defaults.env,
        ports: defaults.ports,
        volumes: defaults.volumes,
        resources: defaults.resources,
        confinement: defaults.confinement,
        transport: defaults.transport,
        mcp_path: defaults.mcp_path,
        stdin_open: defaults.stdin_open,
    });
    let mut errors = apply(&mut spec, wanted);
    require(&spec, &catalog.required_config_schema, &mut errors);
    require(&spec, &catalog.required_secrets_schema, &mut errors);
    checked(spec, errors)
}

/// The variables a catalog entry cannot do without.
fn require(spec: &ToolSpec, schema: &VariablesSchema, errors: &mut Vec<FieldError>) {
    for name in &schema.required {
        if spec.env.get(name).is_none_or(String::is_empty) {
            errors.push(violation(
                &format!("{FIELD}.environmentVariables.{name}"),
                "variable_missing",
                "This tool needs the variable",
            ));
        }
    }
}

/// The spec of an instance that is changed; what `wanted` leaves out stays. Variables are merged,
/// because nobody can read the old ones back; `catalog` is given when they are.
pub(crate) fn of_update(
    mut spec: Box<ToolSpec>,
    catalog: Option<&CatalogRow>,
    wanted: &ConfigOverride,
) -> Result<Box<ToolSpec>, ApiError> {
    if let Some(image) = &wanted.docker_image {
        spec.image.clone_from(image);
    }
    let mut errors = apply(&mut spec, wanted);
    if let Some(catalog) = catalog {
        require(&spec, &catalog.required_config_schema, &mut errors);
        require(&spec, &catalog.required_secrets_schema, &mut errors);
    }
    checked(spec, errors)
}

fn checked(spec: Box<ToolSpec>, mut errors: Vec<FieldError>) -> Result<Box<ToolSpec>, ApiError> {
    if let Err(violations) = spec.validate() {
        errors.extend(violations.iter().map(FieldError::from));
    }
    if errors.is_empty() {
        Ok(spec)
    } else {
        Err(ApiError::validation(errors))
    }
}

fn apply(spec: &mut ToolSpec, wanted: &ConfigOverride) -> Vec<FieldError> {
    if let Some(variables) = &wanted.environment_variables {
        for (name, value) in variables {
            match value {
                Some(value) => spec.env.insert(name.clone(), value.clone()),
                None => spec.env.remove(name),
            };
        }
    }
    if let Some(ports) = &wanted.port_mappings {
        spec.ports = ports
            .iter()
            .map(|port| PortSpec {
                container_port: port.container_port,
                protocol: port.protocol,
                host_port: port.host_port,
                host_ip: None,
            })
            .collect();
    }
    if wanted.command.is_some() {
        spec.command.clone_from(&wanted.command);
    }
    if wanted.entrypoint.is_some() {
        spec.entrypoint.clone_from(&wanted.entrypoint);
    }
    if let Some(volumes) = &wanted.volumes {
        spec.volumes.clone_from(volumes);
    }
    if let Some(transport) = wanted.transport {
        let changed = spec.transport != Some(transport);
        spec.transport = Some(transport);
        if changed {
            // Settings of the other transport do not apply to this one.
            spec.stdin_open = transport == McpTransport::Stdio;
            spec.mcp_path = match transport {
                McpTransport::StreamableHttp => Some("/mcp".to_owned()),
                McpTransport::Sse => Some("/sse".to_owned()),
                McpTransport::Stdio | McpTransport::Websocket => None,
            };
        }
    }
    if wanted.endpoint_path.is_some() {
        spec.mcp_path.clone_from(&wanted.endpoint_path);
    }
    if let Some(stdin_open) = wanted.stdin_open {
        spec.stdin_open = stdin_open;
    }
    let mut errors = Vec::new();
    if let Some(resources) = &wanted.resources {
        apply_resources(spec, resources, &mut errors);
    }
    errors
}

fn apply_resources(spec: &mut ToolSpec, wanted: &ResourceOverride, errors: &mut Vec<FieldError>) {
    if let Some(memory) = &wanted.memory {
        match bytes(memory) {
            Some(bytes) => spec.resources.memory_bytes = Some(bytes),
            None => errors.push(violation(
                &format!("{FIELD}.resources.memory"),
                "memory_malformed",
                "Give bytes, or text such as \"256Mi\", \"1Gi\" or \"512m\"",
            )),
        }
    }
    if let Some(cpu) = &wanted.cpu {
        match cpus(cpu) {
            Some(cpus) => spec.resources.cpus = Some(cpus),
            None => errors.push(violation(
                &format!("{FIELD}.resources.cpu"),
                "cpu_malformed",
                "Give CPUs as a number, or text such as \"0.25\" or \"250m\"",
            )),
        }
    }
    if wanted.pids.is_some() {
        spec.resources.pids = wanted.pids;
    }
}

/// A quantity of memory in bytes. `k`, `m`, `g` mean powers of 1024, as Docker reads them.
fn bytes(quantity: &NumberOrText) -> Option<u64> {
    let text = match quantity {
        NumberOrText::Number(number) => return whole(*number),
        NumberOrText::Text(text) => text.trim(),
    };
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1_u32,
        "k" | "ki" | "kb" | "kib" => 1 << 10,
        "m" | "mi" | "mb" | "mib" => 1 << 20,
        "g" | "gi" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    whole(decimal(digits)? * f64::from(factor))
}

/// CPUs; `250m` means thousandths.
fn cpus(quantity: &NumberOrText) -> Option<f64> {
    let value = match quantity {
        NumberOrText::Number(number) => *number,
        NumberOrText::Text(text) => match text.trim().strip_suffix('m') {
            Some(thousandths) => decimal(thousandths)? / 1000.0,
            None => decimal(text.trim())?,
        },
    };
    (value.is_finite() && value > 0.0).then_some(value)
}

/// A number as JSON writes it: no `inf`, no `NaN`.
fn decimal(text: &str) -> Option<f64> {
    serde_json::from_str(text).ok()
}

/// Up to 2^53, where every whole number is exact.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked before"
)]
fn whole(number: f64) -> Option<u64> {
    ((0.0..=9_007_199_254_740_992.0).contains(&number) && number.fract() == 0.0)
        .then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_people_write() {
        let text = |t: &str| NumberOrText::Text(t.to_owned());
        for (quantity, expected) in [
            (text("256Mi"), Some(256 << 20)),
            (text("1Gi"), Some(1 << 30)),
            (text("512m"), Some(512 << 20)),
            (text("0.5g"), Some(512 << 20)),
            (text("268435456"), Some(268_435_456)),
            (NumberOrText::Number(1024.0), Some(1024)),
            (NumberOrText::Number(-1.0), None),
            (NumberOrText::Number(1.5), None),
            (text("lots"), None),
            (text("1Ti"), None),
            (text(""), None),
        ] {
            assert_eq!(bytes(&quantity), expected, "{quantity:?}");
        }
        for (quantity, expected) in [
            (text("0.25"), Some(0.25)),
            (text("250m"), Some(0.25)),
            (NumberOrText::Number(2.0), Some(2.0)),
            (NumberOrText::Number(0.0), None),
            (text("NaN"), None),
            (text("x"), None),
        ] {
            assert_eq!(cpus(&quantity), expected, "{quantity:?}");
        }
    }

    #[test]
    fn a_change_of_transport_brings_its_own_defaults() {
        let mut spec = ToolSpec {
            image: "x".to_owned(),
            transport: Some(McpTransport::Stdio),
            stdin_open: true,
            ..ToolSpec::default()
        };
        let wanted = ConfigOverride {
            transport: Some(McpTransport::StreamableHttp),
            ..ConfigOverride::default()
        };
        assert!(apply(&mut spec, &wanted).is_empty());
        assert_eq!(
            (spec.stdin_open, spec.mcp_path.as_deref()),
            (false, Some("/mcp"))
        );
        spec.mcp_path = Some("/other".to_owned());
        assert!(apply(&mut spec, &wanted).is_empty());
        assert_eq!(spec.mcp_path.as_deref(), Some("/other"));
    }
}
