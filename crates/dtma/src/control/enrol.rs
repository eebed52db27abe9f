//! Enrolment: a single-use token from a file against the toolbox's keys.

use std::path::Path;

use toolbox_api::dtma::API_VERSION;
use toolbox_api::heartbeat::EnrolRequest;
use uuid::Uuid;

use super::client::{CallError, ControlClient};
use crate::durable;
use crate::keys::{KeyRing, KeysError};
use crate::ssh::{CA_FILE, SshHost};

/// Longest token file.
const MAX_TOKEN_CHARS: usize = 256;
const PREFIX: &str = "tbe_";

/// Why the agent is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// Something else than a token. It is not repeated.
    #[error("what should be an enrolment token is none; expected tbe_ and its characters")]
    NoToken,
    #[error("could not read the enrolment token file")]
    Unreadable(#[source] std::io::Error),
    /// The control plane refused, or did not answer.
    #[error("the control plane did not enrol the toolbox")]
    Call(#[from] CallError),
    /// The key of SSH's authority could not be kept.
    #[error("could not keep the public key of the control plane's SSH authority")]
    Authority(#[source] std::io::Error),
    /// The keys could not be kept. The same token with the same certificate gives them again.
    #[error("could not keep the keys of the enrolment")]
    Keys(#[from] KeysError),
}

/// The token in the file; none when there is no file, or nothing in it.
pub fn token(file: &Path) -> Result<Option<String>, EnrolError> {
    let text = durable::read(file).map_err(EnrolError::Unreadable)?;
    parse(&text.unwrap_or_default())
}

/// The token in `text`; none when there is nothing in it.
pub fn parse(text: &str) -> Result<Option<String>, EnrolError> {
    let token = text.trim();
    let is_plain = token.len() <= MAX_TOKEN_CHARS && token.bytes().all(|b| b.is_ascii_graphic());
    match token.strip_prefix(PREFIX) {
        _ if token.is_empty() => Ok(None),
        Some(rest) if is_plain && !rest.is_empty() => Ok(Some(token.to_owned())),
        _ => Err(EnrolError::NoToken),
    }
}

/// What is enrolled, and where what it gets is kept.
pub struct Machine<'a> {
    pub certificate_pem: &'a str,
    pub ssh: &'a SshHost,
    pub state_dir: &'a Path,
}

/// Enrols with `token`, and stores what it gets.
pub async fn enrol(
    client: &ControlClient,
    keys: &KeyRing,
    token: &str,
    machine: Machine<'_>,
) -> Result<(), EnrolError> {
    let ssh_host_key = machine.ssh.key();
    let request = EnrolRequest {
        version: crate::version().to_owned(),
        api_version: API_VERSION,
        certificate_pem: machine.certificate_pem.to_owned(),
        ssh_port: ssh_host_key.is_some().then_some(machine.ssh.port),
        ssh_host_key,
    };
    let request_id = Uuid::new_v4().to_string();
    let answer = client.enrol(token, &request, &request_id).await?;
    // Before the keys: once they are kept, nobody asks for this again.
    if let Some(authority) = &answer.ssh_ca_public_key {
        durable::write(
            machine.state_dir,
            CA_FILE,
            format!("{authority}\n").as_bytes(),
        )
        .map_err(EnrolError::Authority)?;
    }
    keys.enrolled(answer.keys, answer.interval_seconds).await?;
    tracing::info!(request_id, "enrolled");
    Ok(())
}

/// Removes the file of a token that was used, because it works only once.
pub fn remove(file: &Path) {
    if let Err(error) = std::fs::remove_file(file) {
        tracing::warn!(%error, path = %file.display(), "could not remove the used enrolment token; remove it by hand");
        // On a read-only mount the token is tried again at the next start, and gives the same keys or a refusal.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_or_what_is_wrong_is_said_without_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        assert_eq!(token(&file).unwrap(), None);
        std::fs::write(&file, " tbe_abc-_1\n").unwrap();
        assert_eq!(token(&file).unwrap().as_deref(), Some("tbe_abc-_1"));
        std::fs::write(&file, "\n").unwrap();
        assert_eq!(token(&file).unwrap(), None);
        for wrong in [
            "SECRET",
            "tbe_",
            "tbe_a b",
            &format!("tbe_{}", "x".repeat(300)),
        ] {
            std::fs::write(&file, wrong).unwrap();
            let error = token(&file).unwrap_err();
            assert!(!error.to_string().contains("SECRET"), "{wrong}");
        }
    }
}
