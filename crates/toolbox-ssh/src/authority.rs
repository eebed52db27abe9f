//! The authority whose certificates let the control plane in.

use core::fmt;

use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Certificate, PrivateKey, PublicKey};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::machine_operation::FORCED_COMMAND;

/// Seconds before and after the moment of its issue that a certificate is good for.
pub const VALID_SECONDS: u64 = 60;

/// The text is not the authority's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the 64 hexadecimal digits of an ed25519 seed")]
pub struct NotAnAuthority;

/// The certificate could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("could not make the certificate")]
pub struct IssueError(#[source] ssh_key::Error);

/// The key that signs certificates. Neither `Debug` nor an error shows it.
#[derive(Clone)]
pub struct Authority(PrivateKey);

/// What one connection presents: a key that nobody else has, and the certificate of it.
#[derive(Clone)]
pub struct Credentials {
    pub(crate) key: PrivateKey,
    pub(crate) certificate: Certificate,
    /// Good for any time but the certificate's own, each on one side of it. Nobody has a key to them: they ask the
    /// machine what time it takes it to be, and let nobody in.
    #[cfg_attr(
        not(feature = "client"),
        allow(dead_code, reason = "only the client asks")
    )]
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
    /// The key with this seed: 32 bytes as 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, NotAnAuthority> {
        let text = text.trim().as_bytes();
        let mut seed = [0; 32];
        if text.len() != 64 {
            return Err(NotAnAuthority);
        }
        for (byte, pair) in seed.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(NotAnAuthority);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| NotAnAuthority)?;
        }
        private_key(&seed).map(Self).map_err(|_| NotAnAuthority)
    }

    /// What machines trust: `ssh-ed25519 AAAA…`, without a comment.
    pub fn public_key(&self) -> String {
        // The key has neither a comment nor a type that cannot be written.
        self.0.public_key().to_openssh().unwrap_or_default()
    }

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

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority")
            .field(&self.public_key())
            .finish()
    }
}

fn private_key(seed: &[u8; 32]) -> ssh_key::Result<PrivateKey> {
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(seed)), "")
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
    fn only_a_seed_is_an_authority_and_no_debug_shows_it() {
        let authority = Authority::parse(&format!(" {SEED}\n")).unwrap();
        assert!(
            authority
                .public_key()
                .starts_with("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI")
        );
        assert!(!format!("{authority:?}").contains("9d61b1"));
        assert_eq!(authority.public_key().split(' ').count(), 2);
        for text in [
            "",
            "SECRET",
            &SEED[1..],
            &format!("{SEED}00"),
            &SEED.replace('9', "g"),
            &SEED.replace('9', "ä"),
        ] {
            assert_eq!(
                Authority::parse(text).map(|_| ()),
                Err(NotAnAuthority),
                "{text}"
            );
        }
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
