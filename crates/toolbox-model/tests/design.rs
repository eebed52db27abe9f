//! The design holds: no order of events within the bounds breaks an invariant.

use std::time::Instant;

use toolbox_model::check::check;
use toolbox_model::rules::Rules;
use toolbox_model::scenarios::{self, Scenario};

/// Explores all of them, prints what was found, and wants every invariant to hold.
fn hold(scenarios: Vec<Scenario>, most: usize, to_the_end: bool) {
    let began = Instant::now();
    let mut states = 0;
    for scenario in scenarios {
        let outcome = check(Rules::all(), scenario.bounds, most);
        println!("{}: {outcome}", scenario.name);
        assert_eq!(outcome.violated(), [""; 0], "{}", scenario.name);
        assert_eq!(outcome.unreached, [""; 0], "{}", scenario.name);
        assert!(outcome.complete || !to_the_end, "{}", scenario.name);
        states += outcome.unique_states;
    }
    println!(
        "{states} states in all, {:.1} s",
        began.elapsed().as_secs_f64()
    );
}

#[test]
fn every_order_of_events_in_the_small_scenarios_keeps_the_invariants() {
    hold(scenarios::small(), scenarios::MOST, true);
}

#[test]
#[ignore = "takes many minutes and gigabytes"]
fn the_large_scenarios_keep_the_invariants_as_far_as_they_are_explored() {
    hold(scenarios::large(), 10 * scenarios::MOST, false);
}
