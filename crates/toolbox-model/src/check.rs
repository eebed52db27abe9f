//! Running the checker and printing what it found.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use stateright::{Checker, CheckerBuilder, Expectation, HasDiscoveries, Model};

use crate::heal;
use crate::model::{Event, Toolbox};
use crate::properties::EVERYTHING_HEALS;
use crate::rules::{Bounds, Rules};
use crate::state::State;

/// Events of one random walk.
const LONGEST_WALK: usize = 200;

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
        let extent = if self.complete { "all" } else { "explored" };
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
    let checker = builder(&model, most).spawn_bfs().join();
    let mut outcome = outcome(&model, &checker, began);
    outcome.complete = outcome.states < most && outcome.violated().is_empty();
    outcome
}

/// Walks at random from the start, again and again, until the first violation or `most` states: far deeper than
/// [`check`] reaches, and never complete. The same seed takes the same ways. (stateright's own simulation loses its way
/// where an event changes nothing.)
pub fn walk(rules: Rules, bounds: Bounds, seed: u64, most: usize) -> Outcome {
    let model = Toolbox::new(rules, bounds);
    let began = Instant::now();
    let properties = model.properties();
    let mut random = seed | 1;
    let (mut states, mut depth) = (0, 0);
    let mut violated = None;
    let (mut reached, mut known) = (HashSet::new(), HashSet::new());
    'walks: while states < most {
        let Some(mut state) = model.init_states().pop() else {
            break;
        };
        let mut way = Vec::new();
        while way.len() < LONGEST_WALK {
            states += 1;
            depth = depth.max(way.len());
            known.insert(heal::fingerprint(&state));
            for property in &properties {
                let holds = (property.condition)(&model, &state);
                match property.expectation {
                    Expectation::Sometimes if holds => {
                        reached.insert(property.name);
                    }
                    Expectation::Always if !holds => {
                        violated = Some((property.name, way, state));
                        break 'walks;
                    }
                    _ => {}
                }
            }
            let Some((event, next)) = any_event(&model, &state, &mut random) else {
                break;
            };
            way.push(event);
            state = next;
        }
    }
    let invariants = properties
        .iter()
        .filter(|p| p.expectation == Expectation::Always);
    let missed = properties
        .iter()
        .filter(|p| p.expectation == Expectation::Sometimes);
    Outcome {
        unique_states: known.len(),
        states,
        depth,
        time: began.elapsed(),
        complete: false,
        unreached: missed
            .map(|p| p.name)
            .filter(|name| !reached.contains(name))
            .collect(),
        invariants: invariants
            .map(|p| {
                let found = violated.as_ref().filter(|(name, ..)| *name == p.name);
                (
                    p.name,
                    found.map(|(name, way, last)| trace(&model, name, way, last)),
                )
            })
            .collect(),
    }
}

fn any_event(model: &Toolbox, state: &State, random: &mut u64) -> Option<(Event, State)> {
    let mut events = Vec::new();
    model.actions(state, &mut events);
    while !events.is_empty() {
        // xorshift64
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let at = usize::try_from(*random % events.len() as u64).unwrap_or_default();
        let event = events.swap_remove(at);
        if let Some(next) = model.next_state(state, event.clone()) {
            return Some((event, next));
        }
    }
    None
}

fn builder(model: &Toolbox, most: usize) -> CheckerBuilder<Toolbox> {
    let builder = model.clone().checker().threads(1);
    builder
        .finish_when(HasDiscoveries::AnyFailures)
        .target_state_count(most)
}

fn outcome(model: &Toolbox, checker: &impl Checker<Toolbox>, began: Instant) -> Outcome {
    let discoveries = checker.discoveries();
    let mut invariants = Vec::new();
    let mut unreached = Vec::new();
    for property in model.properties() {
        let found = discoveries.get(property.name);
        match property.expectation {
            Expectation::Always | Expectation::Eventually => {
                let violation = found.map(|path| {
                    let way = path.clone().into_actions();
                    trace(model, property.name, &way, path.last_state())
                });
                invariants.push((property.name, violation));
            }
            Expectation::Sometimes if found.is_none() => unreached.push(property.name),
            Expectation::Sometimes => {}
        }
    }
    Outcome {
        unique_states: checker.unique_state_count(),
        states: checker.state_count(),
        depth: checker.max_depth(),
        time: began.elapsed(),
        complete: false,
        invariants,
        unreached,
    }
}

fn trace(model: &Toolbox, property: &str, way: &[Event], last: &State) -> String {
    let mut text = String::new();
    for (number, event) in way.iter().enumerate() {
        let _ = writeln!(text, "    {:2}. {event:?}", number + 1);
    }
    if property == EVERYTHING_HEALS {
        let _ = writeln!(text, "    then, without any fault:");
        for event in heal::way(model, last).iter().take(40) {
            let _ = writeln!(text, "        {event:?}");
        }
    }
    let _ = writeln!(text, "    {last:?}");
    text
}
