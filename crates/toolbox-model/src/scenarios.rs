//! What is explored: kinds of commands and faults that meet each other.

use toolbox_domain::lifecycle::Request::{self, Delete, Deploy, Restart, Start, Stop, Update};

use crate::check::{Outcome, check, walk};
use crate::rules::{Bounds, Rules};

/// States that a scenario may generate before it is given up; keeps a checker far below 2 GB.
pub const MOST: usize = 10_000_000;

/// A part of what may happen.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about.
    pub name: &'static str,
    /// Its bounds.
    pub bounds: Bounds,
    /// How it is explored.
    pub search: Search,
}

/// How a scenario is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Every state, in all orders of events, up to this many generated.
    All(usize),
    /// Random walks with this seed, this many states.
    Walks(u64, usize),
}

impl Scenario {
    /// Explores it under all rules.
    pub fn run(&self) -> Outcome {
        let bounds = self.bounds.clone();
        match self.search {
            Search::All(most) => check(Rules::all(), bounds, most),
            Search::Walks(seed, states) => walk(Rules::all(), bounds, seed, states),
        }
    }
}

/// Explored to their end within seconds.
pub fn small() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "a deploy, and an agent that crashes and falls silent",
            bounds: Bounds {
                crashes: 1,
                dirty_crashes: true,
                reads: 1,
                lazy_leases: true,
                silences: 1,
                ..Bounds::commands(1, &[Deploy])
            },
            search: Search::All(MOST),
        },
        Scenario {
            name: "a deploy, and a container that ends while it is read",
            bounds: Bounds {
                accidents: 1,
                reads: 1,
                ..Bounds::commands(1, &[Deploy])
            },
            search: Search::All(MOST),
        },
        Scenario {
            name: "a deletion, and news that are recorded late",
            bounds: Bounds {
                late: 1,
                ..Bounds::commands(2, &[Deploy, Delete])
            },
            search: Search::All(MOST),
        },
        Scenario {
            name: "a deploy that fails, and news that are recorded late",
            bounds: Bounds {
                late: 2,
                failures: 1,
                step_failures: 1,
                ..Bounds::commands(1, &[Deploy])
            },
            search: Search::All(MOST),
        },
        Scenario {
            name: "a stop, and a container that ends or vanishes",
            bounds: Bounds {
                accidents: 1,
                ..Bounds::commands(2, &[Deploy, Stop])
            },
            search: Search::All(MOST),
        },
    ]
}

/// What is too much to explore to its end, at random, within seconds.
pub fn walks() -> Vec<Scenario> {
    vec![
        Scenario {
            name: "four commands and every fault, at random",
            bounds: everything(4, 1),
            search: Search::Walks(1, 150_000),
        },
        Scenario {
            name: "four commands to two instances and every fault, at random",
            bounds: everything(4, 2),
            search: Search::Walks(2, 150_000),
        },
    ]
}

/// For a machine that has an hour and some gigabytes; the first two end within a minute.
pub fn large() -> Vec<Scenario> {
    let all = |name, bounds| Scenario {
        name,
        bounds,
        search: Search::All(4 * MOST),
    };
    let mut scenarios = vec![
        Scenario {
            name: "two commands of any kind",
            bounds: Bounds::commands(2, Request::ALL),
            search: Search::All(MOST),
        },
        Scenario {
            name: "a deploy, and the network and the container at their worst",
            bounds: Bounds {
                duplicates: 1,
                refusals: 1,
                accidents: 1,
                failures: 1,
                step_failures: 1,
                ..Bounds::commands(1, &[Deploy])
            },
            search: Search::All(MOST),
        },
        all(
            "an update whose version fails",
            Bounds {
                failures: 1,
                step_failures: 1,
                ..Bounds::commands(2, &[Deploy, Update])
            },
        ),
        all(
            "an update whose version fails, and news that are recorded late",
            Bounds {
                failures: 1,
                late: 2,
                ..Bounds::commands(2, &[Deploy, Update])
            },
        ),
        all(
            "a deletion while the agent crashes",
            Bounds {
                crashes: 1,
                dirty_crashes: true,
                duplicates: 1,
                ..Bounds::commands(2, &[Deploy, Delete])
            },
        ),
        all(
            "three commands",
            Bounds::commands(3, &[Deploy, Start, Stop, Restart]),
        ),
        all(
            "a deletion and two more commands",
            Bounds::commands(3, &[Deploy, Update, Delete]),
        ),
        all(
            "two instances",
            Bounds {
                instances: 2,
                ..Bounds::commands(3, &[Deploy, Delete])
            },
        ),
    ];
    scenarios.extend((10..20).map(|seed| Scenario {
        name: "six commands to two instances and every fault, at random",
        bounds: everything(6, 2),
        search: Search::Walks(seed, MOST / 10),
    }));
    scenarios
}

/// Every kind of command and of fault.
fn everything(commands: u8, instances: usize) -> Bounds {
    Bounds {
        instances,
        duplicates: 2,
        refusals: 2,
        crashes: 2,
        dirty_crashes: true,
        accidents: 2,
        failures: 2,
        step_failures: 2,
        timers: 2,
        reads: 2,
        lazy_leases: true,
        silences: 1,
        late: 2,
        ..Bounds::commands(commands, Request::ALL)
    }
}
