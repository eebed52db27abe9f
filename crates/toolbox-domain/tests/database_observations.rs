//! The database walks an instance through the same statuses as `observe`: both are tested against one file.

use std::fmt::Write as _;

use toolbox_domain::lifecycle::{
    Desired, InstanceState, InstanceStatus, Observed, Reason, StateError, observe,
};

/// Also read by tests/db/12-observe.sql, which asks the database for every line.
const GOLDEN: &str = include_str!("../../../tests/db/observations.csv");

fn observations() -> [(&'static str, Observed); 8] {
    [
        ("preparing", Observed::Preparing),
        ("starting", Observed::Starting),
        ("running", Observed::Running),
        ("stopping", Observed::Stopping),
        ("stopped", Observed::Stopped),
        ("removing", Observed::Removing),
        ("absent", Observed::Absent),
        ("failed", Observed::Failed(Reason::unspecified())),
    ]
}

/// Every status, with everything that can be seen and desired.
fn table() -> Result<String, StateError> {
    let mut table = "from,observed,desired,steps,row_gone\n".to_owned();
    for from in InstanceStatus::ALL {
        let reason = (*from == InstanceStatus::Error).then(Reason::unspecified);
        let state = InstanceState::new(*from, reason)?;
        for (name, observed) in observations() {
            for desired in Desired::ALL {
                let seen = observe(&state, &observed, *desired);
                let steps = seen
                    .steps
                    .iter()
                    .map(|step| step.status().as_str())
                    .collect::<Vec<_>>()
                    .join(" ");
                // Writing to a text cannot fail.
                let _ = writeln!(table, "{from},{name},{desired},{steps},{}", seen.row_gone);
            }
        }
    }
    Ok(table)
}

#[test]
fn instances_are_observed_as_the_database_observes_them() {
    assert!(
        table().unwrap() == GOLDEN,
        "write tests/db/observations.csv anew: cargo test -p toolbox-domain --test database_observations -- --ignored"
    );
}

#[test]
#[ignore = "writes tests/db/observations.csv"]
fn write_observations() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/db/observations.csv"
    );
    std::fs::write(path, table().unwrap()).unwrap();
}
