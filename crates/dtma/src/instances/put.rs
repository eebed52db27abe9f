//! A checked deployment, from a caller of the API or from the control plane's desired state.

use toolbox_api::dtma::{DeployRequest, Desired, PortBinding};
use toolbox_api::problem::FieldError;
use toolbox_domain::address::Allowed;
use toolbox_domain::names::{ContainerName, DisplayName};
use toolbox_domain::spec::InstanceSpec;

use crate::runtime::sources;

/// A checked [`toolbox_api::dtma::DeployRequest`].
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    /// Generation of the desired state.
    pub generation: u64,
    /// `Running` or `Stopped`.
    pub desired: Desired,
    /// The user's name.
    pub name: DisplayName,
    /// Docker's name.
    pub container_name: ContainerName,
    /// The spec.
    pub spec: InstanceSpec,
    /// The generation is a restart too: a container that runs already is started anew.
    pub restart: bool,
    /// The generation is a deployment or an update: what a floating reference names is asked again.
    pub refresh_image: bool,
    /// The ports it had before, for an instance that the agent lost.
    pub known_ports: Vec<PortBinding>,
    /// It is the control plane's desired state, not a caller's command.
    pub pulled: bool,
}

impl Put {
    /// Checks names and spec of `request` together, so that the caller sees everything at once. Its image may come from a
    /// public address, or from one of `sources`.
    pub fn check(request: DeployRequest, sources: &Allowed) -> Result<Self, Vec<FieldError>> {
        let field = |field: &str, code: &str, message: String| FieldError {
            field: field.to_owned(),
            code: code.to_owned(),
            message,
        };
        let mut errors = Vec::new();
        let name = DisplayName::parse(&request.name)
            .map_err(|e| errors.push(field("name", e.code(), e.to_string())))
            .ok();
        let container_name = ContainerName::parse(&request.container_name)
            .map_err(|e| {
                errors.push(field(
                    "container_name",
                    "container_name_invalid",
                    e.to_string(),
                ));
            })
            .ok();
        if request.desired == Desired::Absent {
            errors.push(field(
                "desired",
                "desired_invalid",
                "expected running or stopped; use DELETE to remove".to_owned(),
            ));
        }
        let spec = InstanceSpec::validate(request.spec)
            .map_err(|list| errors.extend(list.iter().map(FieldError::from)))
            .ok();
        if let Some(spec) = &spec
            && let Err(error) = spec.image().check_address(sources)
        {
            let message = sources::refusal(spec.image().target(), error);
            errors.push(field("image", error.code(), message));
        }
        match (name, container_name, spec) {
            (Some(name), Some(container_name), Some(spec)) if errors.is_empty() => Ok(Self {
                generation: request.generation,
                desired: request.desired,
                name,
                container_name,
                spec,
                restart: request.restart,
                refresh_image: request.refresh_image,
                known_ports: request.known_ports,
                pulled: false,
            }),
            _ => Err(errors),
        }
    }
}
