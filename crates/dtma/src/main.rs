//! The program `dtma`: reads its command line, sets up the log, runs the command until its end or a signal.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use dtma::cli::{Cli, Command, with_command};
use dtma::firewall::probe;
use dtma::machine::log::{LogRing, Tee};
use tokio::signal::unix::{SignalKind, signal};
use tracing::Level;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// One thread serves a machine's handful of tools, and keeps the agent's memory small.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse_from(with_command(std::env::args_os()));
    let filter = match &cli.command {
        Command::Agent(config) => &config.machine.log,
        Command::Companion(config) => &config.machine.log,
        Command::Enrol(config) => &config.machine.log,
        // What they have to say is their output.
        Command::SshSetup(_) | Command::SshCommand(_) | Command::Probe { .. } => "error",
    };
    let log = Arc::new(LogRing::default());
    if let Err(error) = set_up_log(filter, &log) {
        eprintln!("dtma: {error}");
        return ExitCode::FAILURE;
    }
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        eprintln!("dtma: could not listen for signals");
        return ExitCode::FAILURE;
    };
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    match cli.command {
        Command::Agent(config) if config.candidate => {
            ended(dtma::candidate::run(*config, stop).await)
        }
        Command::Agent(config) => ended(dtma::agent::run(*config, log, stop).await),
        Command::Companion(config) => ended(dtma::companion::run(*config, stop).await),
        Command::Enrol(config) => tokio::select! {
            () = stop => ExitCode::FAILURE,
            done = dtma::enrolment::run(*config) => said(done),
        },
        Command::SshSetup(setup) => said(dtma::ssh::setup::run(&setup).await),
        Command::Probe { targets } => ExitCode::from(probe::attempt(targets.into_iter())),
        Command::SshCommand(command) => ExitCode::from(dtma::ssh::command::run(&command).await),
    }
}

/// The exit code for a command that says what it did, or why not.
fn said<T: std::fmt::Display, E: std::error::Error>(done: Result<T, E>) -> ExitCode {
    match done {
        Ok(done) => {
            println!("{done}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("dtma: {}", dtma::error_chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The exit code for the end of a program that runs until a signal.
fn ended<E: std::error::Error>(end: Result<(), E>) -> ExitCode {
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = dtma::error_chain(&error), "the program failed");
            ExitCode::FAILURE
        }
    }
}

/// JSON lines on standard error, the last of which `ring` keeps. bollard logs whole requests, with the secrets in them, below `warn`: no filter can
/// turn that on.
fn set_up_log(filter: &str, ring: &Arc<LogRing>) -> Result<(), String> {
    let filter: Targets = filter
        .parse()
        .map_err(|_| format!("expected DTMA_LOG to be a level or a filter, got '{filter}'"))?;
    let no_secrets = filter_fn(|metadata| {
        *metadata.level() <= Level::WARN || !metadata.target().starts_with("bollard")
    });
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(Tee(Arc::clone(ring)));
    tracing_subscriber::registry()
        .with(lines.with_filter(filter.and(no_secrets)))
        .try_init()
        .map_err(|_| "the log was set up twice".to_owned())
}
