//! The authority whose certificates let the control plane in.

use core::fmt;

use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};

/// The text is not the authority's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected the 64 hexadecimal digits of an ed25519 seed")]
pub struct NotAnAuthority;

/// The key that signs certificates. Neither `Debug` nor an error shows it.
#[derive(Clone)]
pub struct Authority(pub(crate) PrivateKey);

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
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Authority")
            .field(&self.public_key())
            .finish()
    }
}

pub(crate) fn private_key(seed: &[u8; 32]) -> ssh_key::Result<PrivateKey> {
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(seed)), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";

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
}
