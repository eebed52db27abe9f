//! Names, steps and what users are told of them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::EnvironmentStatus;
use toolbox_domain::provisioning::{Step, droplet_name, progress, tag_of, toolbox_of};
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
