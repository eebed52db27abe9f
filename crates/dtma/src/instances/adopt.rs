//! Rebuilding a record from the labels and settings of containers in Docker.

use std::collections::BTreeMap;

use toolbox_api::dtma::{Desired, ToolSpec};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::names::{ContainerName, DisplayName};
use toolbox_domain::spec::InstanceSpec;

use crate::planner::NEXT_SUFFIX;
use crate::record::{Record, Release};
use crate::runtime::{Adoptable, Container, ContainerState, labels};

/// The container of an instance that its record is rebuilt from: a running one, else the newest.
pub fn best(containers: &[Container]) -> Option<&Container> {
    containers
        .iter()
        .filter(|c| c.revision.is_some())
        .max_by_key(|c| {
            (
                c.state == ContainerState::Running,
                c.revision,
                c.started_at,
                c.id.clone(),
            )
        })
}

/// The record that `found` was made from; none if its labels cannot be read.
///
/// What is not known is chosen to be safe: a container that has ended stays stopped, and an unfinished update is dropped.
pub fn rebuild(id: ToolInstanceId, found: &Adoptable) -> Option<Record> {
    let label = |name: &str| found.labels.get(name);
    let public: ToolSpec = serde_json::from_str(label(labels::SPEC)?).ok()?;
    let mut wire = labels::with_values(public, &found.environment);
    // Their values are not in Docker. Only the control plane, or the next deployment, can give them again.
    let lacks_headers = !std::mem::take(&mut wire.mcp_headers).is_empty();
    let disk_bytes = label(labels::DISK_BYTES).and_then(|text| text.parse().ok());
    let spec = InstanceSpec::taken_before(wire, disk_bytes).ok()?;
    let revision = found.container.revision?;
    let name = DisplayName::parse(label(labels::NAME)?).ok()?;
    let runs = matches!(
        found.container.state,
        ContainerState::Running | ContainerState::Paused
    );
    let docker_name = &found.container.name;
    let container_name =
        ContainerName::parse(docker_name.strip_suffix(NEXT_SUFFIX).unwrap_or(docker_name))
            .unwrap_or_else(|_| ContainerName::derive(&name, id))
            .as_str()
            .to_owned();
    let release = Release {
        proven: runs,
        image_digest: found.container.image_digest.clone(),
        // As labelled, so that the container is recognised as made from this release.
        sha256: label(labels::SPEC_SHA256)?.clone(),
        ..Release::new(revision, spec, found.container.ports.clone())
    };
    Some(Record {
        id,
        name,
        container_name,
        // One behind, the control plane sends the whole spec again. Its container stays as it is.
        generation: revision.saturating_sub(lacks_headers.into()),
        desired: if runs {
            Desired::Running
        } else {
            Desired::Stopped
        },
        requested_sha256: release.sha256.clone(),
        current: release,
        next: None,
        update_failure: None,
        restart: None,
        inherited_volumes: BTreeMap::new(),
        halted: None,
        rests: false,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use toolbox_api::dtma::SecretValue;

    use super::super::command::{Change, Command};
    use super::super::crashes::tests::ended;
    use super::super::put::Put;
    use super::*;

    fn id() -> ToolInstanceId {
        ToolInstanceId::new(uuid::Uuid::from_u128(7))
    }

    fn adoptable(state: ContainerState) -> (Adoptable, ToolSpec) {
        let mut wire = ToolSpec {
            image: "a/b:1".into(),
            ..ToolSpec::default()
        };
        wire.env.insert("KEY".into(), SecretValue::plain("SECRET"));
        let labels = HashMap::from([
            (
                labels::SPEC.to_owned(),
                serde_json::to_string(&labels::without_secrets(&wire)).unwrap(),
            ),
            (labels::NAME.to_owned(), "Ein Wörk/zeug".to_owned()),
            (
                labels::SPEC_SHA256.to_owned(),
                crate::record::spec_sha256(&wire),
            ),
        ]);
        let container = Container {
            state,
            name: "x-00000000-next".into(),
            ..ended("a", 1, 2)
        };
        (
            Adoptable {
                container,
                labels,
                environment: vec!["PATH=/".into(), "KEY=SECRET".into()],
            },
            wire,
        )
    }

    #[test]
    fn a_running_container_gives_back_its_spec_with_secrets() {
        let (found, wire) = adoptable(ContainerState::Running);
        let record = rebuild(id(), &found).unwrap();
        assert_eq!(*record.current.spec.wire(), wire);
        assert_eq!(record.desired, Desired::Running);
        assert!(record.current.proven);
        assert_eq!(record.container_name, "x-00000000");
        assert_eq!(record.name.as_str(), "Ein Wörk/zeug");
    }

    #[test]
    fn the_limit_on_the_disk_is_the_one_that_the_container_was_made_with() {
        let (mut found, _) = adoptable(ContainerState::Running);
        let limit = |found: &Adoptable| {
            let record = rebuild(id(), found).unwrap();
            record.current.spec.resources().disk_bytes
        };
        assert_eq!(limit(&found), None, "by an agent that knew none");
        let label = (labels::DISK_BYTES.to_owned(), (5_u64 << 30).to_string());
        found.labels.extend([label]);
        assert_eq!(limit(&found), Some(5 << 30));
    }

    #[test]
    fn a_label_without_envelopes_gives_back_its_secrets_too() {
        let (mut found, wire) = adoptable(ContainerState::Running);
        let label = r#"{"image":"a/b:1","env":{"KEY":""},"ports":[],"volumes":[]}"#;
        found.labels.insert(labels::SPEC.to_owned(), label.into());
        let record = rebuild(id(), &found).unwrap();
        assert_eq!(*record.current.spec.wire(), wire);
    }

    #[test]
    fn headers_that_docker_does_not_hold_are_asked_for_again() {
        let (mut found, mut wire) = adoptable(ContainerState::Running);
        wire.transport = Some(toolbox_api::dtma::McpTransport::Sse);
        wire.mcp_headers
            .insert("x-key".into(), SecretValue::plain("SECRET"));
        let label = serde_json::to_string(&labels::without_secrets(&wire)).unwrap();
        assert!(!label.contains("SECRET"), "{label}");
        found.labels.insert(labels::SPEC.to_owned(), label);
        found.labels.insert(
            labels::SPEC_SHA256.to_owned(),
            crate::record::spec_sha256(&wire),
        );
        found.container.revision = Some(4);
        let record = rebuild(id(), &found).unwrap();
        assert!(record.current.spec.wire().mcp_headers.is_empty());
        assert_eq!((record.generation, record.current.revision), (3, 4));

        // What the control plane then sends is what the container was made from, so it stays.
        let spec = InstanceSpec::validate(wire).unwrap();
        let put = Put {
            generation: 4,
            desired: Desired::Running,
            name: DisplayName::parse("x").unwrap(),
            container_name: ContainerName::parse("x-00000000").unwrap(),
            spec: spec.clone(),
            restart: false,
            refresh_image: false,
            known_ports: Vec::new(),
            pulled: true,
        };
        let command = Command::Put(Box::new(put));
        let change = command.apply(
            id(),
            Some(&record),
            time::OffsetDateTime::UNIX_EPOCH,
            |_, _| panic!("no port is allocated anew"),
        );
        let Ok(Change::Record(healed)) = change else {
            panic!("{change:?}")
        };
        assert_eq!(healed.current.spec, spec.with_disk_limit(None));
        assert_eq!((healed.generation, healed.next.is_none()), (4, true));
    }

    #[test]
    fn an_ended_container_stays_stopped() {
        let (found, _) = adoptable(ContainerState::Exited);
        let record = rebuild(id(), &found).unwrap();
        assert_eq!(
            (record.desired, record.current.proven),
            (Desired::Stopped, false)
        );
    }

    #[test]
    fn labels_that_cannot_be_read_are_no_record() {
        let (mut found, _) = adoptable(ContainerState::Running);
        found.labels.insert(labels::SPEC.to_owned(), "{".into());
        assert!(rebuild(id(), &found).is_none());
    }
}
