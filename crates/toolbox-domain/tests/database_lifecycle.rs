//! The database's trigger and these enums take the same edges: both are tested against one file.

use std::collections::BTreeSet;

use toolbox_domain::lifecycle::{EnvironmentStatus, InstanceStatus};

/// Also read by tests/db/05-lifecycle.sql, which tries every pair on a row.
const EDGES: &str = include_str!("../../../tests/db/lifecycle_edges.csv");

fn edges_of(machine: &str) -> BTreeSet<(&'static str, &'static str)> {
    EDGES
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|row| row[0] == machine)
        .map(|row| (row[1], row[2]))
        .collect()
}

#[test]
fn instances_move_as_the_database_lets_them() {
    let ours = InstanceStatus::ALL
        .iter()
        .flat_map(|from| from.exits().iter().map(|to| (from.as_str(), to.as_str())))
        .collect::<BTreeSet<_>>();
    assert_eq!(ours, edges_of("instance"));
}

#[test]
fn toolboxes_move_as_the_database_lets_them() {
    let ours = EnvironmentStatus::ALL
        .iter()
        .flat_map(|from| from.exits().iter().map(|to| (from.as_str(), to.as_str())))
        .collect::<BTreeSet<_>>();
    assert_eq!(ours, edges_of("environment"));
}
