//! A checked deployment, from a caller of the API or from the control plane's desired state.

use std::collections::BTreeSet;
use std::sync::Arc;

use toolbox_api::dtma::{DeployRequest, Desired, PortBinding};
use toolbox_api::problem::FieldError;
use toolbox_domain::address::Allowed;
use toolbox_domain::names::{ContainerName, DisplayName};
use toolbox_domain::spec::{HostAccess, InstanceSpec};

use crate::record::Record;
use crate::runtime::sources;

/// What specs may name on this machine.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// Sources of images that are allowed although they are not public.
    pub sources: Arc<Allowed>,
    /// Ports that no tool reaches, whatever its spec names: those of the agent, its companion, sshd and Docker.
    pub closed: BTreeSet<u16>,
}

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
    /// Checks names and spec of `request` together, so that the caller sees everything at once.
    pub fn check(request: DeployRequest, bounds: &Bounds) -> Result<Self, Vec<FieldError>> {
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
            && let Err(error) = spec.image().check_address(&bounds.sources)
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

    /// An exception that leads to a port in `closed`, and that `record` does not have already. The rules open none of either
    /// kind, but one that was taken before must not stop other changes.
    pub fn new_closed_access(
        &self,
        closed: &BTreeSet<u16>,
        record: Option<&Record>,
    ) -> Option<HostAccess> {
        let releases = record
            .into_iter()
            .flat_map(|r| std::iter::once(&r.current).chain(&r.next));
        let held: BTreeSet<_> = releases.flat_map(|r| r.spec.host_access()).collect();
        let mut access = self.spec.host_access().iter();
        access
            .find(|access| closed.contains(&access.port) && !held.contains(access))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use toolbox_domain::ids::ToolInstanceId;

    use super::*;
    use crate::instances::Command;
    use crate::instances::command::Change;

    #[test]
    fn ports_of_the_machines_own_programs_are_no_new_exception() {
        let closed = BTreeSet::from([30_001, 3001, 2222]);
        let put = |access: &[&str]| {
            let request = serde_json::json!({
                "generation": 1, "desired": "running", "name": "x", "container_name": "x-00000000",
                "spec": {"image": "a/b:1", "host_access": access},
            });
            Put::check(serde_json::from_value(request).unwrap(), &Bounds::default()).unwrap()
        };
        for access in ["host:30001", "host:3001", "host:2222", "host:2222/udp"] {
            let found = put(&["host:5432", access]).new_closed_access(&closed, None);
            assert_eq!(found.unwrap().to_string(), access);
        }
        assert_eq!(put(&["host:5432"]).new_closed_access(&closed, None), None);
        // It was taken when the port was free.
        let id = ToolInstanceId::new(uuid::Uuid::from_u128(7));
        let before = Command::Put(Box::new(put(&["host:2222"])));
        let change = before.apply(id, None, OffsetDateTime::UNIX_EPOCH, |_, _| Ok(Vec::new()));
        let Ok(Change::Record(record)) = change else {
            panic!("{change:?}")
        };
        let found = |access: &[&str]| put(access).new_closed_access(&closed, Some(&record));
        assert_eq!(found(&["host:2222", "host:5432"]), None);
        assert_eq!(found(&["host:2222", "host:3001"]).unwrap().port, 3001);
    }
}
