//! What commands make of a record.

use toolbox_api::dtma::ToolSpec;
use toolbox_domain::names::DisplayName;

use super::*;

fn id() -> ToolInstanceId {
    ToolInstanceId::new(uuid::Uuid::from_u128(7))
}

fn put(generation: u64, image: &str) -> Command {
    let spec = ToolSpec {
        image: image.into(),
        ..ToolSpec::default()
    };
    let name = DisplayName::parse("404").unwrap();
    Command::Put(Box::new(Put {
        generation,
        desired: Desired::Running,
        container_name: ContainerName::derive(&name, id()),
        name,
        spec: InstanceSpec::validate(spec).unwrap(),
        restart: false,
        refresh_image: false,
        known_ports: Vec::new(),
        pulled: false,
    }))
}

fn deployed(generation: u64, image: &str) -> Command {
    let Command::Put(mut put) = put(generation, image) else {
        panic!("not a put")
    };
    put.refresh_image = true;
    Command::Put(put)
}

fn apply(record: Option<&Record>, command: Command) -> Result<Change, CommandError> {
    command.apply(id(), record, OffsetDateTime::UNIX_EPOCH, |_, _| {
        Ok(Vec::new())
    })
}

fn changed(record: Option<&Record>, command: Command) -> Record {
    match apply(record, command) {
        Ok(Change::Record(record)) => *record,
        other => panic!("expected a new record, got {other:?}"),
    }
}

#[test]
fn the_same_put_again_changes_nothing() {
    let record = changed(None, put(5, "a/b:1"));
    assert_eq!(apply(Some(&record), put(5, "a/b:1")), Ok(Change::Nothing));
}

/// As after an upgrade from an agent that knew no limit on the disk.
#[test]
fn what_was_deployed_without_a_limit_on_the_disk_gets_one_when_it_is_deployed_anew() {
    let mut old = changed(None, put(5, "a/b:1"));
    old.current.spec = old.current.spec.with_disk_limit(None);
    old.current.proven = true;
    let limit = |release: &Release| release.spec.resources().disk_bytes;
    // The control plane's desired state, again.
    assert_eq!(apply(Some(&old), put(5, "a/b:1")), Ok(Change::Nothing));
    // A restart or a start under the next generation.
    let next = changed(Some(&old), put(6, "a/b:1"));
    assert_eq!((next.next.is_none(), limit(&next.current)), (true, None));
    // Records of headers and the like were rebuilt from Docker.
    old.current.sha256 = "another serialisation".to_owned();
    old.requested_sha256.clone_from(&old.current.sha256);
    let next = changed(Some(&old), put(6, "a/b:1"));
    assert_eq!((next.next.is_none(), limit(&next.current)), (true, None));
    let update = changed(Some(&old), put(6, "a/b:2"));
    let default = toolbox_domain::spec::limits::DEFAULT_DISK_BYTES;
    assert_eq!(limit(&update.current), None);
    assert_eq!(limit(update.next.as_ref().unwrap()), Some(default));
}

#[test]
fn older_and_contradicting_generations_are_refused() {
    let record = changed(None, put(5, "a/b:1"));
    assert_eq!(
        apply(Some(&record), put(4, "a/b:1")),
        Err(CommandError::Stale { asked: 4, held: 5 })
    );
    assert_eq!(
        apply(Some(&record), put(5, "a/b:2")),
        Err(CommandError::SpecDiffers(5))
    );
    assert_eq!(
        apply(Some(&record), Command::Stop(Some(4))),
        Err(CommandError::Stale { asked: 4, held: 5 })
    );
    assert_eq!(
        apply(Some(&record), Command::Delete(Some(4))),
        Err(CommandError::Stale { asked: 4, held: 5 })
    );
}

#[test]
fn a_command_without_a_spec_passes_over_no_generation_that_never_arrived() {
    let record = changed(None, put(5, "a/b:1"));
    let mut rolled = record.clone();
    rolled.requested_sha256 = "another".into();
    rolled.update_failure = Some(crate::reason::ReasonCode::Exited.because("x").into());
    for (record, asked) in [(&record, 7), (&rolled, 6)] {
        for command in [Command::Start, Command::Stop, Command::Restart] {
            assert_eq!(
                apply(Some(record), command(Some(asked))),
                Err(CommandError::Gap { asked, held: 5 })
            );
        }
        let whole = changed(Some(record), put(asked, "a/b:2"));
        assert_eq!(whole.generation, asked);
        let gone = changed(Some(record), Command::Delete(Some(asked)));
        assert_eq!(gone.desired, Desired::Absent);
    }
    assert_eq!(changed(Some(&record), Command::Stop(Some(6))).generation, 6);
}

#[test]
fn an_update_of_what_is_not_to_run_is_tried_when_it_is_started_with_nothing_to_roll_back_to() {
    let mut record = changed(None, put(1, "a/b:1"));
    record.current.proven = true;
    let stopped = changed(Some(&record), Command::Stop(Some(2)));
    let Command::Put(mut update) = put(3, "a/b:2") else {
        panic!("not a put")
    };
    update.desired = Desired::Stopped;
    let updated = changed(Some(&stopped), Command::Put(update));
    assert_eq!(updated.desired, Desired::Stopped);
    assert_eq!(
        (updated.current.revision, updated.current.proven),
        (3, false)
    );
    assert_eq!((&updated.next, &updated.update_failure), (&None, &None));
    let started = changed(Some(&updated), Command::Start(Some(4)));
    assert_eq!(
        (started.desired, started.current.revision),
        (Desired::Running, 3)
    );
}

#[test]
fn an_unproven_version_is_replaced_and_a_proven_one_is_kept_until_the_new_one_ran() {
    let mut record = changed(None, put(1, "a/b:1"));
    let replaced = changed(Some(&record), put(2, "a/b:2"));
    assert_eq!(
        (replaced.current.revision, replaced.next.is_none()),
        (2, true)
    );
    record.current.proven = true;
    let updating = changed(Some(&record), put(2, "a/b:2"));
    assert_eq!(
        (
            updating.current.revision,
            updating.next.as_ref().map(|n| n.revision)
        ),
        (1, Some(2))
    );
    let back = changed(Some(&updating), put(3, "a/b:1"));
    assert_eq!((back.current.revision, back.next.is_none()), (1, true));
    let same = changed(Some(&updating), put(3, "a/b:2"));
    assert_eq!(
        same.next.as_ref().map(|n| n.revision),
        Some(2),
        "the update under way goes on"
    );
}

#[test]
fn a_floating_reference_deployed_again_is_an_update_and_a_digest_is_not() {
    let pinned = format!("a/b@sha256:{}", "0".repeat(64));
    for (image, next) in [("a/b:1", Some(2)), ("a/b", Some(2)), (&*pinned, None)] {
        let mut record = changed(None, put(1, image));
        let untried = changed(Some(&record), deployed(2, image));
        assert_eq!(untried.current.revision, next.unwrap_or(1), "{image}");
        record.current.proven = true;
        let again = changed(Some(&record), deployed(2, image));
        assert_eq!(again.next.as_ref().map(|n| n.revision), next, "{image}");
        assert_eq!((again.generation, again.current.revision), (2, 1));
        let once_more = changed(Some(&again), deployed(3, image));
        assert_eq!(once_more.next.as_ref().map(|n| n.revision), next, "{image}");
    }
}

#[test]
fn only_what_is_named_a_deployment_asks_again_and_whoever_brings_it_once() {
    let mut record = changed(None, put(1, "a/b:1"));
    record.current.proven = true;
    for is_pulled in [false, true] {
        let brought = |command| match command {
            Command::Put(put) => Command::Put(Box::new(Put {
                pulled: is_pulled,
                ..*put
            })),
            other => other,
        };
        let plain = changed(Some(&record), brought(put(2, "a/b:1")));
        assert_eq!((plain.current.revision, &plain.next), (1, &None));
        assert!(plain.current.proven && !plain.current.refresh_image);
        let again = changed(Some(&record), brought(deployed(2, "a/b:1")));
        assert!(again.next.as_ref().is_some_and(|n| n.refresh_image));
        // The registry had nothing newer; then the same generation comes the other way.
        let mut settled = again.clone();
        settled.next = None;
        for repeated in [put(2, "a/b:1"), deployed(2, "a/b:1")] {
            let Command::Put(mut repeated) = repeated else {
                panic!("not a put")
            };
            repeated.pulled = !is_pulled;
            for held in [&again, &settled] {
                let command = Command::Put(repeated.clone());
                assert_eq!(apply(Some(held), command), Ok(Change::Nothing));
            }
        }
    }
}

#[test]
fn a_release_asks_once_and_remembers_where_its_reference_leads() {
    let asks = |release: &Release| match release.image_request(id()) {
        crate::runtime::ImageRequest::Pull { ask_again, .. } => ask_again,
        other @ crate::runtime::ImageRequest::Build { .. } => {
            panic!("expected a pull, got {other:?}")
        }
    };
    let mut record = changed(None, deployed(1, "a/b:1"));
    assert!(asks(&record.current));
    assert!(!asks(&changed(None, put(1, "a/b:1")).current));
    // Not proven yet, but asked for.
    record.current.refresh_image = false;
    record.current.pulled = true;
    let started = changed(Some(&record), Command::Restart(Some(2)));
    assert!(!asks(&started.current));
    let same = changed(Some(&record), deployed(2, "a/b:1")).current;
    assert!(asks(&same) && same.pulled);
    let other = changed(Some(&record), deployed(2, "a/b:2")).current;
    assert!(asks(&other) && !other.pulled);
}

#[test]
fn a_rolled_back_put_is_the_same_put_and_a_newer_one_tries_again() {
    let mut record = changed(None, put(1, "a/b:1"));
    record.current.proven = true;
    let mut rolled = changed(Some(&record), put(2, "a/b:2"));
    rolled.next = None;
    rolled.update_failure = Some(crate::reason::ReasonCode::Exited.because("x").into());
    assert_eq!(apply(Some(&rolled), put(2, "a/b:2")), Ok(Change::Nothing));
    let again = changed(Some(&rolled), put(3, "a/b:2"));
    assert_eq!(again.next.as_ref().map(|n| n.revision), Some(3));
    assert_eq!(again.update_failure, None);
}

#[test]
fn why_an_update_failed_stays_until_the_next_change() {
    let mut record = changed(None, put(1, "a/b:1"));
    record.current.proven = true;
    let mut rolled = changed(Some(&record), put(2, "a/b:2"));
    rolled.next = None;
    rolled.update_failure = Some(crate::reason::ReasonCode::Exited.because("x").into());
    let pulled = |generation| match put(generation, "a/b:1") {
        Command::Put(put) => Command::Put(Box::new(Put {
            pulled: true,
            ..*put
        })),
        other => other,
    };
    let taken_back = changed(Some(&rolled), pulled(3));
    assert_eq!(taken_back.update_failure, rolled.update_failure);
    assert_eq!(taken_back.generation, 3);
    assert_eq!(changed(Some(&rolled), put(3, "a/b:1")).update_failure, None);
    assert_eq!(changed(Some(&rolled), pulled(4)).update_failure, None);
    // What comes after it is another command, however it arrives.
    assert_eq!(changed(Some(&taken_back), pulled(4)).update_failure, None);
    let stopped = changed(Some(&taken_back), Command::Stop(Some(4)));
    assert_eq!(stopped.update_failure, None);
}

#[test]
fn a_later_command_has_its_own_answer_not_that_of_the_roll_back() {
    let mut record = changed(None, put(1, "a/b:1"));
    record.current.proven = true;
    let mut rolled = changed(Some(&record), put(2, "a/b:2"));
    rolled.next = None;
    rolled.update_failure = Some(crate::reason::ReasonCode::Exited.because("x").into());
    let stopped = changed(Some(&rolled), Command::Stop(None));
    assert_eq!(stopped.update_failure, None);
    let stopped = changed(Some(&stopped), Command::Stop(Some(3)));
    assert_eq!(
        apply(Some(&stopped), put(3, "a/b:2")),
        Err(CommandError::SpecDiffers(3))
    );
    let again = changed(Some(&stopped), put(4, "a/b:2"));
    assert!(again.next.is_some());
}

#[test]
fn an_update_that_is_stopped_is_tried_at_the_next_start() {
    let mut record = changed(None, put(1, "a/b:1"));
    record.current.proven = true;
    let updating = changed(Some(&record), put(2, "a/b:2"));
    assert!(updating.next.is_some());
    let stopped = changed(Some(&updating), Command::Stop(Some(3)));
    assert_eq!((stopped.desired, &stopped.next), (Desired::Stopped, &None));
    assert_eq!(
        (stopped.current.revision, stopped.current.proven),
        (2, false)
    );
    let deleted = changed(Some(&updating), Command::Delete(Some(3)));
    assert_eq!(deleted.desired, Desired::Absent);
}

#[test]
fn commands_without_generation_keep_it_and_repeat_safely() {
    let record = changed(None, put(5, "a/b:1"));
    let stopped = changed(Some(&record), Command::Stop(None));
    assert_eq!((stopped.generation, stopped.desired), (5, Desired::Stopped));
    assert_eq!(
        apply(Some(&stopped), Command::Stop(None)),
        Ok(Change::TryAgain)
    );
    assert_eq!(
        apply(Some(&stopped), Command::Stop(Some(5))),
        Ok(Change::Nothing)
    );
    let started = changed(Some(&stopped), Command::Start(Some(6)));
    assert_eq!((started.generation, started.desired), (6, Desired::Running));
}

#[test]
fn one_restart_per_generation() {
    let record = changed(None, put(5, "a/b:1"));
    let restarted = changed(Some(&record), Command::Restart(Some(6)));
    assert!(restarted.restart.is_some());
    assert_eq!(
        apply(Some(&restarted), Command::Restart(Some(6))),
        Ok(Change::Nothing)
    );
}

#[test]
fn a_put_that_is_a_restart_restarts_once() {
    let record = changed(None, put(5, "a/b:1"));
    let restart = || match put(6, "a/b:1") {
        Command::Put(put) => Command::Put(Box::new(Put {
            restart: true,
            ..*put
        })),
        other => other,
    };
    let restarted = changed(Some(&record), restart());
    assert_eq!(restarted.restart.map(|r| r.generation), Some(6));
    assert_eq!(apply(Some(&restarted), restart()), Ok(Change::Nothing));
    assert_eq!(
        apply(Some(&restarted), Command::Restart(Some(6))),
        Ok(Change::Nothing)
    );
}

#[test]
fn nothing_comes_back_from_a_deletion() {
    let record = changed(None, put(5, "a/b:1"));
    let deleting = changed(Some(&record), Command::Delete(None));
    assert_eq!(
        apply(Some(&deleting), put(6, "a/b:1")),
        Err(CommandError::Deleting)
    );
    assert_eq!(
        apply(Some(&deleting), Command::Start(None)),
        Err(CommandError::Deleting)
    );
    assert_eq!(
        apply(Some(&deleting), Command::Delete(Some(5))),
        Ok(Change::Nothing)
    );
    let later = changed(Some(&deleting), Command::Delete(Some(6)));
    assert_eq!((later.generation, later.desired), (6, Desired::Absent));
    assert_eq!(apply(None, Command::Delete(None)), Ok(Change::Nothing));
    assert_eq!(
        apply(None, Command::Start(None)),
        Err(CommandError::Unknown(id()))
    );
}

#[test]
fn a_command_ends_a_rest_and_one_that_was_given_before_does_not() {
    let resting = Record {
        rests: true,
        ..changed(None, put(5, "a/b:1"))
    };
    for command in [
        Command::Start(Some(6)),
        Command::Start(None),
        Command::Restart(Some(6)),
        Command::Stop(Some(6)),
        put(6, "a/b:1"),
        put(6, "a/b:2"),
    ] {
        let record = changed(Some(&resting), command.clone());
        assert!(!record.rests, "{command:?}");
    }
    for command in [Command::Start(Some(5)), put(5, "a/b:1")] {
        assert_eq!(apply(Some(&resting), command), Ok(Change::Nothing));
    }
    assert!(!resting.is_to_run());
    // What its user stopped, and starts again, does not go on resting.
    let stopped = changed(Some(&resting), Command::Stop(Some(6)));
    assert!(changed(Some(&stopped), Command::Start(Some(7))).is_to_run());
}
