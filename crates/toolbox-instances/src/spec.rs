//! From a catalog entry, or what runs, and what the user wants to differ from it to a spec for the agent.

use toolbox_api::dtma::ToolSpec;
use toolbox_api::edge::ConfigOverride;
use toolbox_api::error::ApiError;
use toolbox_api::problem::FieldError;
use toolbox_clients::supabase::rows::CatalogRow;
use toolbox_domain::sealing::OpenError;
use toolbox_domain::spec::{InstanceSpec, SpecError};

/// The spec of a new instance.
pub(crate) fn of_new(
    catalog: &CatalogRow,
    wanted: &ConfigOverride,
) -> Result<Box<ToolSpec>, ApiError> {
    let mut spec = catalog.default_spec.clone();
    if spec.image.is_empty() && wanted.docker_image.is_none() {
        return Err(ApiError::validation(vec![ConfigOverride::violation(
            "dockerImage",
            "image_missing",
            "This catalog entry has no image of its own; name one",
        )]));
    }
    let mut errors = wanted.clone().apply(&mut spec);
    require(&spec, catalog, &mut errors);
    checked(*spec, &[], errors)
}

/// The spec of an instance that is changed; `catalog` is given when its variables are. Exceptions that are none any more stop no
/// change of something else. What is `unopened` of its secrets must be given anew.
pub(crate) fn of_update(
    mut spec: Box<ToolSpec>,
    unopened: &[SpecError],
    catalog: Option<&CatalogRow>,
    wanted: &ConfigOverride,
) -> Result<Box<ToolSpec>, ApiError> {
    spec.drop_former_exceptions();
    let mut errors = wanted.clone().apply(&mut spec);
    if let Some(catalog) = catalog {
        require(&spec, catalog, &mut errors);
    }
    checked(*spec, unopened, errors)
}

/// The variables a catalog entry cannot do without.
fn require(spec: &ToolSpec, catalog: &CatalogRow, errors: &mut Vec<FieldError>) {
    let schemas = [
        &catalog.required_config_schema,
        &catalog.required_secrets_schema,
    ];
    for name in schemas.iter().flat_map(|schema| &schema.required) {
        if spec.env.get(name).is_none_or(|v| v.value.is_empty()) {
            errors.push(ConfigOverride::violation(
                &format!("environmentVariables.{name}"),
                "variable_missing",
                "This tool needs the variable",
            ));
        }
    }
}

fn checked(
    spec: ToolSpec,
    unopened: &[SpecError],
    mut errors: Vec<FieldError>,
) -> Result<Box<ToolSpec>, ApiError> {
    let is_sealed = |violation: &&SpecError| violation.code == OpenError::KeyUnknown.code();
    match InstanceSpec::validate(spec) {
        Ok(spec) if errors.is_empty() => Ok(Box::new(spec.into_wire())),
        Ok(_) => Err(ApiError::validation(errors)),
        Err(violations) => {
            errors.extend(violations.iter().map(|violation| {
                // The rules know that a value is sealed; whoever tried to open it knows why it still is.
                let mut tried = unopened.iter().filter(|_| is_sealed(&violation));
                let why = tried.find(|tried| tried.field == violation.field);
                ConfigOverride::violated(why.unwrap_or(violation))
            }));
            Err(ApiError::validation(errors))
        }
    }
}
