//! SSH to this machine, for when the agent does not answer.
//!
//! - [`SshHost`]: what an enrolment tells of the machine's sshd;
//! - [`setup`]: `dtma ssh-setup`, which lets the control plane in, for the forced command only;
//! - [`command`]: `dtma ssh-command`, the forced command: one operation of the closed set, one line of JSON. It asks the
//!   agent or its companion (`local`), and does itself (`direct`) what neither can while the agent is dead.
//!
//! Both commands run as root, read the machine's settings ([`crate::config::ssh`]) and start programs of the system (`programs`).

pub mod command;
mod direct;
mod hangup;
mod local;
mod programs;
pub mod setup;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toolbox_ssh::host_key::HostKey;

/// Name of the file in the state folder that holds the public key of the control plane's authority.
pub const CA_FILE: &str = "ssh_ca.pub";

/// Longest file with a host key that is read.
const MAX_KEY_BYTES: u64 = 4096;

/// What the control plane needs to reach this machine's sshd.
#[derive(Clone, Debug)]
pub struct SshHost {
    /// File with sshd's ed25519 host key.
    pub key_file: PathBuf,
    /// Where sshd listens.
    pub port: u16,
}

impl SshHost {
    /// The host key, where there is one that can be read: a machine without sshd, or an agent in a container that does
    /// not see the file, enrols without it.
    pub fn key(&self) -> Option<String> {
        read(&self.key_file)
            .map_err(|error| {
                tracing::info!(%error, path = %self.key_file.display(), "no SSH host key to enrol with; the machine is not reached by SSH");
            })
            .ok()
    }
}

fn read(file: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let mut text = String::new();
    File::open(file)?
        .take(MAX_KEY_BYTES)
        .read_to_string(&mut text)?;
    Ok(HostKey::from_file(&text)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_key_is_told_where_there_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let host = SshHost {
            key_file: dir.path().join("key.pub"),
            port: 22,
        };
        assert_eq!(host.key(), None);
        std::fs::write(&host.key_file, "ssh-rsa AAAA root@machine\n").unwrap();
        assert_eq!(host.key(), None);
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
        std::fs::write(&host.key_file, format!("{key} root@machine\n")).unwrap();
        assert_eq!(host.key().as_deref(), Some(key));
    }
}
