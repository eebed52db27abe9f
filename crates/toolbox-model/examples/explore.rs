//! Prints what the checker finds under all rules.
//!
//! `cargo run --release -p toolbox-model --example explore [small|large] [MOST]`: explores the small or the large
//! scenarios, each up to MOST generated states.

use toolbox_model::check::check;
use toolbox_model::rules::Rules;
use toolbox_model::scenarios;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let scenarios = match arguments.next().as_deref() {
        Some("large") => scenarios::large(),
        _ => scenarios::small(),
    };
    let most = arguments.next().and_then(|most| most.parse().ok());
    for scenario in scenarios {
        let outcome = check(
            Rules::all(),
            scenario.bounds,
            most.unwrap_or(scenarios::MOST),
        );
        println!("{}: {outcome}", scenario.name);
    }
}
