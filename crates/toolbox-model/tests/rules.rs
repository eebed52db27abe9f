//! The checker can fail: each rule of the design, turned off alone, breaks an invariant within small bounds.

use toolbox_domain::lifecycle::Request::{self, Delete, Deploy, Restart, Start, Stop, Update};
use toolbox_model::check::check;
use toolbox_model::properties::{
    EVERYTHING_HEALS, GENERATIONS_GROW, NOTHING_COMES_BACK, REPLAYS_CHANGE_NOTHING,
    REPORTS_ARE_TRUE, SUCCESS_WAS_SEEN, VIEWS_STAY_IN_ORDER,
};
use toolbox_model::rules::{Bounds, Rules};

/// More than any of these needs.
const MOST: usize = 6_000_000;

fn commands(number: u8, actions: &[Request]) -> Bounds {
    Bounds::commands(number, actions)
}

/// Turns one rule off and asserts that one of these invariants breaks.
fn breaks(off: impl FnOnce(&mut Rules), bounds: Bounds, expected: &[&str]) {
    let mut rules = Rules::all();
    off(&mut rules);
    let outcome = check(rules, bounds, MOST);
    println!("{outcome}");
    let violated = outcome.violated();
    assert!(!violated.is_empty(), "nothing broke");
    assert!(
        violated.iter().any(|v| expected.contains(v)),
        "expected {expected:?}, got {violated:?}"
    );
}

#[test]
fn an_agent_that_takes_stale_commands_goes_back() {
    breaks(
        |r| r.agent_refuses_stale_generations = false,
        commands(2, &[Deploy, Stop]),
        &[GENERATIONS_GROW],
    );
}

#[test]
fn a_late_deploy_brings_a_deleted_instance_back() {
    breaks(
        |r| r.agent_remembers_deletions = false,
        commands(2, &[Deploy, Delete]),
        &[NOTHING_COMES_BACK, GENERATIONS_GROW],
    );
}

#[test]
fn a_deletion_that_was_not_confirmed_may_not_have_happened() {
    breaks(
        |r| r.removal_needs_the_deletion_confirmed = false,
        commands(2, &[Deploy, Delete]),
        &[NOTHING_COMES_BACK, SUCCESS_WAS_SEEN],
    );
}

#[test]
fn a_view_that_was_not_decided_is_false() {
    breaks(
        |r| r.only_decided_views_are_reported = false,
        Bounds {
            crashes: 1,
            ..commands(1, &[Deploy])
        },
        &[REPORTS_ARE_TRUE],
    );
}

#[test]
fn a_replayed_heartbeat_would_change_a_row() {
    breaks(
        |r| r.replayed_heartbeats_are_refused = false,
        commands(1, &[Deploy]),
        &[REPLAYS_CHANGE_NOTHING],
    );
}

#[test]
fn an_agent_whose_boot_number_was_lost_is_never_heard_again() {
    breaks(
        |r| r.agent_catches_up_with_sequence = false,
        Bounds {
            crashes: 1,
            dirty_crashes: true,
            ..commands(1, &[Deploy])
        },
        &[EVERYTHING_HEALS],
    );
}

#[test]
fn a_report_about_an_older_generation_ends_nothing() {
    breaks(
        |r| r.stale_reports_are_ignored = false,
        commands(2, &[Deploy, Stop, Delete]),
        &[SUCCESS_WAS_SEEN, NOTHING_COMES_BACK, EVERYTHING_HEALS],
    );
}

#[test]
fn a_restored_row_under_its_old_generation_differs_for_ever() {
    breaks(
        |r| r.restoring_makes_a_generation = false,
        Bounds {
            refusals: 1,
            ..commands(2, &[Deploy, Update])
        },
        &[EVERYTHING_HEALS],
    );
}

#[test]
fn a_later_generation_is_no_success_of_an_earlier_command() {
    breaks(
        |r| r.success_needs_own_generation = false,
        commands(3, &[Deploy, Stop, Start]),
        &[SUCCESS_WAS_SEEN],
    );
}

#[test]
fn a_fetched_desired_state_without_the_restart_tells_a_success_that_never_was() {
    breaks(
        |r| r.desired_state_names_restarts = false,
        commands(2, &[Deploy, Restart]),
        &[SUCCESS_WAS_SEEN],
    );
}

#[test]
fn a_restart_that_ends_with_its_lease_makes_its_generation_mean_two_things() {
    breaks(
        |r| r.restarts_outlive_leases = false,
        commands(2, &[Deploy, Restart]),
        &[SUCCESS_WAS_SEEN],
    );
}

#[test]
fn a_start_after_a_lost_update_keeps_the_old_spec_for_ever() {
    breaks(
        |r| r.commands_need_their_base = false,
        commands(3, &[Deploy, Update, Start]),
        &[EVERYTHING_HEALS],
    );
}

#[test]
fn a_roll_back_without_a_way_back_is_told() {
    breaks(
        |r| r.roll_back_without_a_way_back_is_an_error = false,
        Bounds {
            failures: 1,
            ..commands(3, &[Deploy, Update, Start])
        },
        &[EVERYTHING_HEALS],
    );
}

#[test]
fn a_lost_command_heals_only_by_fetching() {
    breaks(
        |r| r.desired_state_is_fetched = false,
        commands(1, &[Deploy]),
        &[EVERYTHING_HEALS],
    );
}

#[test]
fn a_record_decided_on_another_status_is_illegal() {
    breaks(
        |r| r.records_compare_status = false,
        commands(1, &[Deploy]),
        &[toolbox_model::properties::NO_ILLEGAL_TRANSITION],
    );
}

#[test]
fn a_heartbeat_that_was_on_its_way_takes_the_end_of_an_operation_back() {
    breaks(
        |r| r.overtaken_views_are_ignored = false,
        commands(1, &[Deploy]),
        &[VIEWS_STAY_IN_ORDER],
    );
}

#[test]
fn a_late_reader_takes_back_what_a_heartbeat_has_confirmed() {
    breaks(
        |r| r.views_without_news_count = false,
        Bounds {
            step_failures: 1,
            reads: 1,
            ..commands(1, &[Deploy])
        },
        &[VIEWS_STAY_IN_ORDER],
    );
}
