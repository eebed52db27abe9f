//! The server `toolbox-backend`, with the variables of the functions.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use rustix::process::Signal;

use crate::config::Paths;
use crate::functions::SharedEnv;
use crate::process::Program;
use crate::unit::{Ready, Unit};

/// It answers at `port`, to who has `secret`.
pub(crate) fn unit(
    paths: &Paths,
    data_dir: &Path,
    env: &SharedEnv,
    port: u16,
    secret: &str,
) -> Unit {
    let mut program = Program::new("toolbox-backend", paths.backend.clone(), data_dir)
        .env("PORT", port.to_string())
        .env("TOOLBOX_BACKEND_LISTEN", "127.0.0.1")
        .env("INTERNAL_API_SECRET", secret);
    program.log = Some(data_dir.join("logs/backend.log"));
    let env = SharedEnv::clone(env);
    let health = format!("http://127.0.0.1:{port}/health");
    Unit {
        program: Box::new(move || {
            let mut program = program.clone();
            let env = env.read().unwrap_or_else(PoisonError::into_inner);
            let own: Vec<_> = env
                .iter()
                .filter(|(name, _)| name.as_str() != "INTERNAL_API_SECRET")
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            program.env.extend(own);
            program
        }),
        ready: Ready::Probe(Box::new(move || {
            Box::pin(crate::probe::answers(health.clone()))
        })),
        ready_limit: Duration::from_secs(30),
        stop_signal: Signal::TERM,
        // What it has begun may end.
        stop_grace: Duration::from_secs(27),
        restart: true,
    }
}
