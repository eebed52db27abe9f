//! The local stack of Toolbox: one program that starts, watches and stops everything a developer or a test needs.
//!
//! [`up`] is the order of things; [`unit`] keeps one process running; [`gateway`] is the public port and [`auth`] the
//! sign-in behind it; [`functions`] hosts the edge functions; [`simulator`] stands in for DigitalOcean; [`process`] is the
//! only place where processes start.

mod auth;
mod backend;
mod companion;
mod config;
mod console;
mod control;
mod data_dir;
mod db;
mod demo;
mod dtma;
mod enrolment;
mod error;
mod functions;
mod gateway;
mod jwt;
mod ports;
mod postgres;
mod postgrest;
mod probe;
mod process;
mod progress;
mod ready;
mod schedule;
mod secrets;
mod settings;
mod signals;
mod simulator;
mod unit;
mod up;

use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser as _;

use config::{Cli, Command};

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            progress::say(format_args!("toolbox-devstack: cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match &command {
            Command::Up(args) => up::up(args).await,
            Command::DigitalOcean(args) => simulator::alone(args).await,
        }
    });
    // A pending read of standard input would hold up a patient shutdown for ever.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress::say(format_args!("toolbox-devstack: {}", error::chain(&error)));
            ExitCode::FAILURE
        }
    }
}

/// Unix seconds.
fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
