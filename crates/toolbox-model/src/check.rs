//! Running the checker and printing what it found.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model, Path};

use crate::heal;
use crate::model::{Event, Toolbox};
use crate::properties::EVERYTHING_HEALS;
use crate::rules::{Bounds, Rules};
use crate::state::State;

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Different states.
    pub unique_states: usize,
    /// States generated, repeats included.
    pub states: usize,
    /// Longest shortest way to a state.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// Every state within the bounds was seen.
    pub complete: bool,
    /// Invariants, each with its violation.
    pub invariants: Vec<(&'static str, Option<String>)>,
    /// What was to be reached and was not.
    pub unreached: Vec<&'static str>,
}

impl Outcome {
    /// The invariants that do not hold.
    pub fn violated(&self) -> Vec<&'static str> {
        let violated = self.invariants.iter().filter(|(_, v)| v.is_some());
        violated.map(|(name, _)| *name).collect()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let extent = if self.complete { "all" } else { "the first" };
        writeln!(
            f,
            "{extent} {} states ({} generated), depth {}, {:.1} s",
            self.unique_states,
            self.states,
            self.depth,
            self.time.as_secs_f64()
        )?;
        for (name, violation) in &self.invariants {
            let holds = if violation.is_some() {
                "VIOLATED"
            } else {
                "holds"
            };
            writeln!(f, "  {holds}: {name}")?;
            if let Some(trace) = violation {
                write!(f, "{trace}")?;
            }
        }
        for name in &self.unreached {
            writeln!(f, "  NOT REACHED: {name}")?;
        }
        Ok(())
    }
}

/// Explores breadth first: all states, or until the first violation or `most` generated states.
pub fn check(rules: Rules, bounds: Bounds, most: usize) -> Outcome {
    let model = Toolbox::new(rules, bounds);
    let began = Instant::now();
    let checker = model
        .clone()
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(most)
        .spawn_bfs()
        .join();
    let discoveries = checker.discoveries();
    let mut invariants = Vec::new();
    let mut unreached = Vec::new();
    for property in model.properties() {
        let found = discoveries.get(property.name);
        match property.expectation {
            Expectation::Always | Expectation::Eventually => {
                invariants.push((
                    property.name,
                    found.map(|p| trace(&model, property.name, p)),
                ));
            }
            Expectation::Sometimes if found.is_none() => unreached.push(property.name),
            Expectation::Sometimes => {}
        }
    }
    let states = checker.state_count();
    Outcome {
        unique_states: checker.unique_state_count(),
        states,
        depth: checker.max_depth(),
        time: began.elapsed(),
        complete: states < most && invariants.iter().all(|(_, v)| v.is_none()),
        invariants,
        unreached,
    }
}

fn trace(model: &Toolbox, property: &str, path: &Path<State, Event>) -> String {
    let mut text = String::new();
    for (number, (_, event)) in path.clone().into_vec().into_iter().enumerate() {
        if let Some(event) = event {
            let _ = writeln!(text, "    {:2}. {event:?}", number + 1);
        }
    }
    if property == EVERYTHING_HEALS {
        let _ = writeln!(text, "    then, without any fault:");
        for event in heal::way(model, path.last_state()).iter().take(40) {
            let _ = writeln!(text, "        {event:?}");
        }
    }
    let _ = writeln!(text, "    {:?}", path.last_state());
    text
}
