//! What is explored: kinds of commands and faults that meet each other.

use toolbox_domain::lifecycle::Request::{self, Delete, Deploy, Restart, Start, Stop, Update};

use crate::rules::Bounds;

/// States that a scenario may generate before it is given up; keeps a checker below 2 GB.
pub const MOST: usize = 10_000_000;

/// A part of what may happen.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is about.
    pub name: &'static str,
    /// Its bounds.
    pub bounds: Bounds,
}

/// Scenarios that are explored to their end within a minute on one core, together.
pub fn small() -> Vec<Scenario> {
    vec![
        scenario(
            "two commands of any kind",
            Bounds::commands(2, Request::ALL),
        ),
        scenario(
            "an update whose version fails",
            Bounds {
                failures: 1,
                ..Bounds::commands(2, &[Deploy, Update])
            },
        ),
        scenario(
            "a deploy among faults",
            Bounds {
                duplicates: 1,
                refusals: 1,
                accidents: 1,
                ..Bounds::commands(1, &[Deploy])
            },
        ),
        scenario(
            "a deletion while the agent crashes",
            Bounds {
                crashes: 1,
                dirty_crashes: true,
                ..Bounds::commands(2, &[Deploy, Delete])
            },
        ),
    ]
}

/// Scenarios for a machine that has the time: hours, and many gigabytes.
pub fn large() -> Vec<Scenario> {
    vec![
        scenario(
            "three commands of any kind",
            Bounds::commands(3, Request::ALL),
        ),
        scenario(
            "two instances",
            Bounds {
                instances: 2,
                ..Bounds::commands(3, &[Deploy, Stop, Delete])
            },
        ),
        scenario(
            "two commands among faults",
            Bounds {
                duplicates: 1,
                refusals: 1,
                crashes: 1,
                dirty_crashes: true,
                accidents: 1,
                failures: 1,
                timers: 1,
                reads: 1,
                lazy_leases: true,
                silences: 1,
                ..Bounds::commands(2, &[Deploy, Start, Stop, Restart, Update, Delete])
            },
        ),
    ]
}

const fn scenario(name: &'static str, bounds: Bounds) -> Scenario {
    Scenario { name, bounds }
}
