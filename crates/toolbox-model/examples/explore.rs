//! Prints what the checker finds under all rules: states, depth, time, and each invariant, with the events that break it.
//!
//! `cargo run --release -p toolbox-model --example explore [small|walks|large]`

use toolbox_model::scenarios;

fn main() {
    let scenarios = match std::env::args().nth(1).as_deref() {
        Some("large") => scenarios::large(),
        Some("walks") => scenarios::walks(),
        _ => scenarios::small(),
    };
    for scenario in scenarios {
        println!("{}: {}", scenario.name, scenario.run());
    }
}
