//! The function host: one restricted Deno process per edge function, restarted when it dies.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::Signal;

use crate::config::Paths;
use crate::error::StackError;
use crate::process::Program;
use crate::secrets::random_hex;
use crate::settings::FunctionSettings;
use crate::unit::{Handle, Ready, Unit};

const WORKER: &str = include_str!("../host/worker.ts");
/// Memory of a user worker in MiB, as on Supabase.
const MEMORY_MIB: u32 = 256;

/// The variables every function gets; tests change them while the stack runs.
pub(crate) type SharedEnv = Arc<RwLock<BTreeMap<String, String>>>;

/// A function and its worker.
#[derive(Clone)]
pub(crate) struct Function {
    pub(crate) verify_jwt: bool,
    pub(crate) worker: Handle,
}

impl Function {
    /// Where its worker listens; `None` while there is none.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let state = self.worker.state();
        let port = state.message.filter(|_| state.ready)?.parse().ok()?;
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

/// Makes the worker of one function; it starts when asked.
pub(crate) fn host(
    paths: &Paths,
    data_dir: &Path,
    settings: &FunctionSettings,
    env: SharedEnv,
    echo: bool,
) -> Result<Function, StackError> {
    let host = data_dir.join("host");
    std::fs::create_dir_all(&host).map_err(StackError::file("create", &host))?;
    let worker = host.join("worker.ts");
    std::fs::write(&worker, WORKER).map_err(StackError::file("write", &worker))?;
    // Unguessable, so that no function can claim to be ready on a port of its choice by printing the line.
    let marker = format!("toolbox-host-{}", random_hex(16)?);
    let mut base = Program::new(
        &settings.name,
        paths.node_module("deno/deno")?,
        &paths.project,
    )
    .args(deno_flags(paths, data_dir, &worker, settings))
    .args([worker.clone()])
    .args([
        format!("file://{}", settings.entry_point.display()),
        marker.clone(),
    ]);
    base.log = Some(data_dir.join(format!("logs/{}.log", settings.name)));
    base.marker = Some(marker);
    base.echo = echo;
    // worker.ts hides these from the function.
    base = base
        .env("DENO_DIR", paths.cache.join("deno").display().to_string())
        .env("DENO_NO_PACKAGE_JSON", "1")
        .env("DENO_NO_UPDATE_CHECK", "1")
        .env("DENO_NO_PROMPT", "1")
        .env("NO_COLOR", "1");
    let unit = Unit {
        program: Box::new(move || {
            let mut program = base.clone();
            let env = env.read().unwrap_or_else(PoisonError::into_inner);
            program.env.extend(
                env.iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
            program
        }),
        ready: Ready::Marker,
        ready_limit: Duration::from_secs(30),
        stop_signal: Signal::TERM,
        // worker.ts gives background work three seconds.
        stop_grace: Duration::from_secs(4),
        restart: true,
    };
    Ok(Function {
        verify_jwt: settings.verify_jwt,
        worker: Handle::new(&settings.name, unit),
    })
}

/// What to do about a function that did not start, where that is known.
pub(crate) fn hint(error: &StackError, project: &Path) -> Option<String> {
    let (StackError::Failed { name, output, .. } | StackError::NotReady { name, output, .. }) =
        error
    else {
        return None;
    };
    let packages = format!("file://{}/pkg/", project.display());
    output
        .lines()
        .any(|line| line.contains("Module not found") && line.contains(&packages))
        .then(|| {
            format!("the wasm package of the function {name} is not built: run scripts/build-wasm")
        })
}

fn deno_flags(
    paths: &Paths,
    data_dir: &Path,
    worker: &Path,
    settings: &FunctionSettings,
) -> Vec<String> {
    let list = |paths: &[PathBuf]| {
        paths
            .iter()
            .map(|p| p.display().to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let functions = paths.project.join("supabase/functions");
    let readable = [
        functions.clone(),
        paths.project.join("pkg"),
        paths.tools.join("node_modules"),
        worker.to_path_buf(),
        "/tmp".into(),
    ];
    // Any of these may lie in /tmp, and what is denied wins over what is allowed.
    let kept = [
        paths.project.clone(),
        paths.tools.clone(),
        paths.cache.clone(),
        data_dir.to_path_buf(),
    ];
    let config = settings.deno_config.as_ref().map_or_else(
        || "--no-config".to_owned(),
        |config| format!("--config={}", config.display()),
    );
    vec![
        "run".to_owned(),
        "--quiet".to_owned(),
        "--no-prompt".to_owned(),
        "--no-lock".to_owned(),
        "--node-modules-dir=none".to_owned(),
        config,
        "--allow-net".to_owned(),
        "--allow-env".to_owned(),
        "--allow-sys=hostname".to_owned(),
        "--allow-write=/tmp".to_owned(),
        format!("--deny-write={}", list(&kept)),
        format!("--allow-read={}", list(&readable)),
        format!(
            "--deny-read={}",
            list(&[functions.join(".env"), data_dir.to_path_buf()])
        ),
        format!("--v8-flags=--max-old-space-size={MEMORY_MIB}"),
    ]
}
