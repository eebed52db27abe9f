//! What one connection presents: a key of its own, and the authority's certificate of it.

use ssh_key::certificate::{Builder, CertType};
use ssh_key::{Certificate, PrivateKey, PublicKey};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::FORCED_COMMAND;

use crate::authority::{Authority, private_key};

/// Seconds before and after the moment of its issue that a certificate is good for.
pub const VALID_SECONDS: u64 = 60;

/// The certificate could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not make the certificate")]
pub struct IssueError(#[source] ssh_key::Error);

/// What one connection presents: a key that nobody else has, and the certificate of it.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) key: PrivateKey,
    pub(crate) certificate: Certificate,
    /// Good for any time but the certificate's own, each on one side of it. Nobody has a key to them: they ask the
    /// machine what time it takes it to be, and let nobody in.
    pub(crate) probes: Probes,
}

/// See [`Credentials`].
#[derive(Clone)]
pub(crate) struct Probes {
    pub(crate) before: Certificate,
    pub(crate) after: Certificate,
}

/// Random bytes for one connection, from the caller's generator.
pub struct Randomness {
    /// Seed of the connection's key.
    pub key: [u8; 32],
    /// Seed of a key that is thrown away at once.
    pub probe: [u8; 32],
    /// What makes two certificates differ.
    pub nonce: [u8; 32],
}

impl Authority {
    /// A key and a certificate to act on the machine of `toolbox` at `now`, in seconds since 1970.
    pub fn issue(
        &self,
        toolbox: ToolboxId,
        now: u64,
        random: &Randomness,
    ) -> Result<Credentials, IssueError> {
        let key = private_key(&random.key).map_err(IssueError)?;
        let nobody = private_key(&random.probe).map_err(IssueError)?;
        let (from, until) = (
            now.saturating_sub(VALID_SECONDS),
            now.saturating_add(VALID_SECONDS),
        );
        let sign = |subject: &PublicKey, from, until, command| {
            self.sign(toolbox, random, subject, from, until, command)
                .map_err(IssueError)
        };
        Ok(Credentials {
            certificate: sign(key.public_key(), from, until, FORCED_COMMAND)?,
            probes: Probes {
                before: sign(nobody.public_key(), 0, from, "false")?,
                after: sign(nobody.public_key(), until, u64::MAX, "false")?,
            },
            key,
        })
    }

    fn sign(
        &self,
        toolbox: ToolboxId,
        random: &Randomness,
        subject: &PublicKey,
        from: u64,
        until: u64,
        command: &str,
    ) -> ssh_key::Result<Certificate> {
        let mut builder = Builder::new(random.nonce, subject, from, until)?;
        builder
            .cert_type(CertType::User)?
            .key_id(format!("toolbox {toolbox}"))?
            .valid_principal(toolbox.to_string())?
            // The machine's sshd forces this command too; a machine that trusts the authority elsewhere is held to it by this.
            .critical_option("force-command", command)?;
        builder.sign(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    const NOW: u64 = 1_800_000_000;

    fn toolbox() -> ToolboxId {
        "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".parse().unwrap()
    }

    #[test]
    fn a_certificate_is_for_one_machine_two_minutes_and_the_forced_command() {
        let authority = Authority::parse(SEED).unwrap();
        let random = Randomness {
            key: [1; 32],
            probe: [2; 32],
            nonce: [3; 32],
        };
        let issued = authority.issue(toolbox(), NOW, &random).unwrap();
        let certificate = &issued.certificate;
        assert_eq!(
            (certificate.valid_after(), certificate.valid_before()),
            (NOW - 60, NOW + 60)
        );
        assert_eq!(certificate.valid_principals(), [toolbox().to_string()]);
        let options: Vec<_> = certificate.critical_options().iter().collect();
        assert_eq!(
            options,
            [(&"force-command".to_owned(), &FORCED_COMMAND.to_owned())]
        );
        assert_eq!(certificate.extensions().iter().count(), 0);
        assert_eq!(certificate.public_key(), issued.key.public_key().key_data());
        let ca = authority
            .0
            .public_key()
            .fingerprint(ssh_key::HashAlg::Sha256);
        certificate.validate_at(NOW, &[ca]).unwrap();
        certificate.validate_at(NOW + 61, &[ca]).unwrap_err();
        certificate.validate_at(NOW - 61, &[ca]).unwrap_err();
        for probe in [&issued.probes.before, &issued.probes.after] {
            assert_ne!(probe.public_key(), issued.key.public_key().key_data());
            probe.validate_at(NOW, &[ca]).unwrap_err();
        }
    }
}
