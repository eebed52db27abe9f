//! The design holds: no order of events within the bounds breaks an invariant.

use std::time::Instant;

use toolbox_model::scenarios::{self, Scenario, Search};

/// Explores all of them, prints what was found, and wants every invariant to hold.
fn hold(scenarios: Vec<Scenario>) {
    let began = Instant::now();
    let mut states = 0;
    for scenario in scenarios {
        let outcome = scenario.run();
        println!("{}: {outcome}", scenario.name);
        assert_eq!(outcome.violated(), [""; 0], "{}", scenario.name);
        assert_eq!(outcome.unreached, [""; 0], "{}", scenario.name);
        states += outcome.unique_states;
        // Small ones are explored to their end.
        if scenario.search == Search::All(scenarios::MOST) {
            assert!(outcome.complete, "{}", scenario.name);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{states} states in all, {seconds:.1} s");
}

#[test]
fn every_order_of_events_in_the_small_scenarios_keeps_the_invariants() {
    hold(scenarios::small());
}

#[test]
fn random_orders_of_all_events_keep_the_invariants() {
    hold(scenarios::walks());
}

#[test]
#[ignore = "takes an hour and gigabytes; scripts/test --thorough runs it"]
fn the_large_scenarios_keep_the_invariants_as_far_as_they_are_explored() {
    hold(scenarios::large());
}
