//! DTMA, the agent on a toolbox's machine.
//!
//! It holds the desired state of tool instances durably, and makes Docker match it:
//!
//! - [`api`]: the HTTP API; one table of routes in [`api::router`]. Only [`agent`] imports it;
//! - [`instances`]: one task per instance, which owns its record and works towards it;
//! - [`planner`]: the next step, as a pure function;
//! - [`runtime`]: what is needed of Docker, and Docker over bollard;
//! - [`control`]: heartbeats to the control plane, and the desired state it takes from there; [`keys`]: who may call;
//! - [`firewall`]: the rules that keep containers away from the machine;
//! - [`mcp`]: the way to each MCP server, and how it is;
//! - [`server`], [`connections`], `tunnel`, [`tls`]: how callers reach the API, and the certificate they know the agent by;
//! - [`machine`]: how the agent and its machine are, for who looks after them;
//! - [`disk`]: what tools keep on the disk, and how much of it is left;
//! - [`store`]: durable records; [`durable`]: other durable files; [`ports`]: host ports; [`metrics`]: the machine; [`telemetry`]: the agent itself;
//! - [`ssh`]: SSH to this machine, for when the agent does not answer;
//! - [`config`]: flags and environment, read nowhere else; [`agent`]: puts all of it together.
//!
//! The program has other commands ([`cli`]): [`enrolment`] for one enrolment, and [`companion`], which keeps the agent
//! running and replaces it by other versions; it starts each as a [`candidate`] first.
//!
//! Invariants: nothing lives only in memory; only containers labelled with the agent's own toolbox are changed; a command
//! is acknowledged after its effect is durable; two versions of an instance never run at once.

#![allow(missing_docs, reason = "no other crate uses this one")]

pub mod agent;
pub mod api;
pub mod candidate;
pub mod cli;
pub mod companion;
pub mod config;
pub mod connections;
pub mod control;
pub mod disk;
pub mod durable;
pub mod enrolment;
pub mod firewall;
pub mod instances;
pub mod keys;
pub mod machine;
pub mod mcp;
pub mod metrics;
pub mod planner;
pub mod ports;
pub mod reason;
pub mod record;
pub mod runtime;
pub mod server;
pub mod ssh;
pub mod store;
pub mod telemetry;
pub mod tls;
mod tunnel;

const VERSION: &str = match option_env!("DTMA_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Version of the program: that of its release where it was built for one.
///
/// Tests make another release of a program by replacing this text in it, so the compiler is kept from taking it apart.
pub fn version() -> &'static str {
    std::hint::black_box(VERSION)
}

/// An error and its causes in one line, for logs.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    // Errors here nest a handful deep.
    for _ in 0..16 {
        let Some(cause) = source else { break };
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
