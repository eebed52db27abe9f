//! The agent as a program, against a real Docker Engine.
//!
//! Every test runs its own agent for its own toolbox, and removes what that toolbox has in Docker at its end.
//! Docker, `musl-gcc`, (for pulls) `docker-registry` and (for a full disk) root must be there: a test that cannot run fails
//! and says what is missing.

#![allow(unreachable_pub, missing_docs, reason = "a test binary has no API")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that cannot do its work fails the test"
)]

mod agent;
mod api;
mod companion;
mod confinement;
mod control;
mod disk;
mod docker;
mod engines;
mod enrolment;
mod faults;
mod firewall;
mod health;
mod idle;
mod images;
mod images_left;
mod kills;
mod lifecycle;
mod logs;
mod machine;
mod mcp;
mod names;
mod networks;
mod ordinary_images;
mod ports;
mod registry;
mod sources;
mod stub;
mod survival;
mod tls;
mod versions;
mod volume_owners;
mod volumes;
