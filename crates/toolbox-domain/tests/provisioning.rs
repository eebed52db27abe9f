//! Names, steps and what users are told of them.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::EnvironmentStatus;
use toolbox_domain::provisioning::{
    Act, ActionState, Done, Machine, Next, Power, Record, Seen, Step, Toolbox, Write, after,
    droplet_name, next, progress, tag_of, toolbox_of,
};
use uuid::Uuid;

/// The database takes these steps and no others.
const SCHEMA: &str = include_str!("../../../supabase/schemas/account_tool_environments.sql");

#[test]
fn the_database_knows_the_same_steps() {
    let (_, rest) = SCHEMA.split_once("check (provisioning_step in (").unwrap();
    let (list, _) = rest.split_once("))").unwrap();
    let theirs: BTreeSet<_> = list.split('\'').skip(1).step_by(2).collect();
    let ours: BTreeSet<_> = Step::ALL.iter().map(|step| step.as_str()).collect();
    assert_eq!(theirs, ours);
}

#[test]
fn the_steps_of_a_provisioning_only_go_up_and_say_what_is_next() {
    let way = [Step::Firewall, Step::Machine, Step::Boot, Step::Agent];
    let percents = way.map(|step| progress(EnvironmentStatus::Provisioning, Some(step)).percent);
    assert!(percents.is_sorted() && percents[3] < 100, "{percents:?}");
    for step in Step::ALL {
        let told = progress(EnvironmentStatus::Provisioning, Some(*step));
        assert!(told.next.is_some() && told.percent < 100, "{step}");
    }
    assert_eq!(progress(EnvironmentStatus::Active, None).percent, 100);
}

#[test]
fn only_what_may_be_paid_for_is_tried_without_an_end() {
    let endless: Vec<_> = Step::ALL
        .iter()
        .filter(|step| step.deadline().is_none())
        .collect();
    assert_eq!(endless, [&Step::CleanMachine, &Step::CleanFirewall]);
}

fn toolbox(status: EnvironmentStatus, step: Step) -> Toolbox {
    Toolbox {
        id: ToolboxId::new(Uuid::from_u128(1)),
        name: "box".to_owned(),
        status,
        step: Some(step),
        step_age: Duration::from_secs(1),
        tries: 0,
        problem: None,
        machine_asked_age: Some(Duration::from_hours(1)),
        heartbeat_age: None,
        droplet: Some(7),
        droplet_name: None,
        address: None,
        firewall: None,
        action: None,
        size: "small".to_owned(),
        wanted_size: None,
    }
}

fn machine(size: &str, power: Power) -> Machine {
    Machine {
        id: 7,
        name: "box".to_owned(),
        power,
        is_locked: false,
        address: None,
        size: size.to_owned(),
    }
}

fn written(next: Next) -> Option<Record> {
    match next {
        Next::Write(Write::Record(record)) => Some(record),
        Next::Write(Write::RemoveRow) | Next::Act(_) => None,
    }
}

#[test]
fn a_droplet_is_not_gone_because_one_answer_lacks_it() {
    let mut leaving = toolbox(EnvironmentStatus::Deprovisioning, Step::RemoveMachine);
    let first = written(next(&leaving, &Seen::default())).unwrap();
    assert_eq!((first.step, first.failed), (leaving.step, true));
    leaving.tries = 1;
    let second = written(next(&leaving, &Seen::default())).unwrap();
    assert_eq!(second.step, Some(Step::RemoveFirewall));

    // Where DigitalOcean took the deletion there is nothing to wait for.
    leaving.tries = 0;
    let Write::Record(deleted) = after(&leaving, &Act::DeleteMachine(7), Ok(Done::Nothing)) else {
        panic!("the row stays until nothing is seen")
    };
    assert_eq!(deleted.set.droplet, Some(None));
    leaving.droplet = None;
    let gone = written(next(&leaving, &Seen::default())).unwrap();
    assert_eq!(gone.step, Some(Step::RemoveFirewall));
}

#[test]
fn a_resize_that_takes_long_is_waited_for_and_what_came_of_it_is_written() {
    let mut growing = toolbox(EnvironmentStatus::Active, Step::Resize);
    growing.wanted_size = Some("large".to_owned());
    growing.step_age = Duration::from_hours(2);
    let seen = |size, power, action| Seen {
        machines: vec![machine(size, power)],
        action,
    };
    let working = seen("small", Power::Off, Some(ActionState::Working));
    assert_eq!(
        written(next(&growing, &working)).unwrap().step,
        growing.step
    );

    let failed = seen("small", Power::Off, Some(ActionState::Failed));
    let given_up = written(next(&growing, &failed)).unwrap();
    assert_eq!(given_up.step, Some(Step::Start));
    assert!(
        !given_up.set.no_wanted_size,
        "it may have grown all the same"
    );

    growing.step = Some(Step::Start);
    let grown = written(next(&growing, &seen("large", Power::On, None))).unwrap();
    assert_eq!(grown.set.size.as_deref(), Some("large"));
    assert!(grown.step.is_none() && grown.set.no_wanted_size);
}

proptest! {
    /// DigitalOcean takes letters, digits, dots and hyphens, as in host names; two toolboxes never share a name or a tag.
    #[test]
    fn a_droplet_has_a_legal_name_and_a_tag_of_its_own(name in any::<String>(), id in any::<u128>(), other in any::<u128>()) {
        let [id, other] = [id, other].map(|id| ToolboxId::new(Uuid::from_u128(id)));
        let made = droplet_name(&name, id);
        let is_legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        prop_assert!(made.chars().all(is_legal) && made.len() <= 63, "{}", made);
        prop_assert!(!made.starts_with('-') && !made.ends_with('-'), "{}", made);
        prop_assert_eq!(toolbox_of(&tag_of(id)), Some(id));
        if id != other {
            prop_assert_ne!(tag_of(id), tag_of(other));
        }
        prop_assert_eq!(toolbox_of("toolbox"), None);
    }
}
