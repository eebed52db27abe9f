//! The bridge over real HTTP, with a real child process.

#![allow(unreachable_pub, missing_docs, reason = "a test binary has no API")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a helper that cannot do its work fails the test"
)]

mod eras;
mod events;
mod faults;
mod forms;
mod http;
mod large;
mod merge;
mod patience;
mod protocol;
mod world;
