//! `dtma enrol`: one enrolment, without an agent that runs.

use std::fmt;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use toolbox_domain::ids::ToolboxId;

use crate::config::enrol::EnrolConfig;
use crate::control::client::{ClientError, ControlClient};
use crate::control::enrol::{self, EnrolError};
use crate::control::hint;
use crate::keys::{KeyRing, KeysError};
use crate::store::{Store, StoreError};
use crate::tls::{Identity, TlsError};

/// Longest input that is read for a token, in bytes.
const MAX_INPUT: u64 = 1024;

/// Why the machine is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolmentError {
    /// There is nobody to enrol with.
    #[error("give --control-url, the address of the function heartbeat")]
    NoControlPlane,
    /// Nothing was given.
    #[error("there is no token: give --enrolment-token-file, or the token on standard input")]
    NoToken,
    /// Standard input cannot be read.
    #[error("could not read the token from standard input")]
    Input(#[source] io::Error),
    /// An agent runs, or the folder cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The stored keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The control plane could not be trusted.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The control plane refused, or did not answer.
    #[error("the machine is not enrolled{}", advice(.0))]
    Enrol(#[source] EnrolError),
}

fn advice(error: &EnrolError) -> String {
    let hint = match error {
        EnrolError::Call(call) => hint(call.code()),
        _ => None,
    };
    hint.map(|hint| format!("; {hint}")).unwrap_or_default()
}

/// What was done.
#[derive(Debug)]
pub struct Enrolled {
    toolbox: ToolboxId,
    certificate_sha256: Option<String>,
    state_dir: PathBuf,
}

impl fmt::Display for Enrolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Enrolled this machine as toolbox {}.", self.toolbox)?;
        if let Some(sha256) = &self.certificate_sha256 {
            writeln!(f, "SHA-256 of its certificate: {sha256}")?;
        }
        write!(
            f,
            "Keys and certificate are in {}.",
            self.state_dir.display()
        )
    }
}

/// Enrols this machine. An agent that runs holds the state folder, and takes a token from its file by itself.
pub async fn run(config: EnrolConfig) -> Result<Enrolled, EnrolmentError> {
    let (machine, control) = (config.machine, config.control);
    let url = control
        .control_url
        .clone()
        .ok_or(EnrolmentError::NoControlPlane)?;
    let token = match &config.enrolment_token_file {
        Some(file) => enrol::token(file),
        None => enrol::parse(&input()?),
    };
    let token = token.map_err(EnrolmentError::Enrol)?;
    let token = token.ok_or(EnrolmentError::NoToken)?;
    let folder = &machine.state_dir;
    // Held to the end, so that no agent starts in between.
    let _state = Store::open(folder, machine.toolbox_id)?;
    let identity = if machine.insecure_http {
        None
    } else {
        let names = &control.tls_names;
        Some(Identity::load_or_make(folder, machine.toolbox_id, names)?)
    };
    let keys = KeyRing::load(folder, &[])?;
    let client = ControlClient::new(&url, machine.toolbox_id, control.control_ca_file.as_deref())?;
    let pem = identity.as_ref().map_or("", |i| i.certificate_pem.as_str());
    let ssh = control.ssh();
    let about = enrol::Machine {
        certificate_pem: pem,
        ssh: &ssh,
        state_dir: folder,
    };
    enrol::enrol(&client, &keys, &token, about)
        .await
        .map_err(EnrolmentError::Enrol)?;
    if let Some(file) = &config.enrolment_token_file {
        enrol::remove(file);
    }
    Ok(Enrolled {
        toolbox: machine.toolbox_id,
        certificate_sha256: identity.map(|i| i.certificate_sha256),
        state_dir: machine.state_dir,
    })
}

/// What is on standard input. Nobody is asked to type a secret that the terminal would show.
fn input() -> Result<String, EnrolmentError> {
    let stdin = io::stdin();
    if stdin.is_terminal() {
        return Ok(String::new());
    }
    let mut text = String::new();
    stdin
        .take(MAX_INPUT)
        .read_to_string(&mut text)
        .map_err(EnrolmentError::Input)?;
    Ok(text)
}
