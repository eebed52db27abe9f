//! Host keys, as machines hand them over.

use core::fmt;
use core::str::FromStr;

use ssh_key::{HashAlg, PublicKey};

/// The text is not the public key of an ed25519 host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an ed25519 host key, such as ssh-ed25519 AAAA...")]
pub struct NotAHostKey;

/// The ed25519 host key of a machine, without a comment: `ssh-ed25519 AAAA…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey(PublicKey);

impl HostKey {
    /// Reads the first two words of a line, as they are in `/etc/ssh/ssh_host_ed25519_key.pub`; the comment is left out.
    pub fn from_file(text: &str) -> Result<Self, NotAHostKey> {
        let mut words = text.split_ascii_whitespace();
        let (kind, key) = (words.next(), words.next());
        format!("{} {}", kind.unwrap_or_default(), key.unwrap_or_default()).parse()
    }

    /// The key.
    pub const fn public_key(&self) -> &PublicKey {
        &self.0
    }

    /// `SHA256:…`, as `ssh-keygen -l` writes it.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }
}

/// Exactly what `Display` writes.
impl FromStr for HostKey {
    type Err = NotAHostKey;

    fn from_str(text: &str) -> Result<Self, NotAHostKey> {
        let read = PublicKey::from_openssh(text).map_err(|_| NotAHostKey)?;
        // Without the comment, so that a text with one differs.
        let key = Self(PublicKey::from(read.key_data().clone()));
        if key.0.key_data().ed25519().is_some() && key.to_string() == text {
            Ok(key)
        } else {
            Err(NotAHostKey)
        }
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_openssh().map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    #[test]
    fn a_key_is_kept_as_it_is_and_a_comment_is_left_out() {
        assert_eq!(
            KEY.parse::<HostKey>().map(|key| key.to_string()).as_deref(),
            Ok(KEY)
        );
        let line = format!("{KEY} root@machine\n");
        assert_eq!(
            HostKey::from_file(&line)
                .map(|key| key.to_string())
                .as_deref(),
            Ok(KEY)
        );
    }

    #[test]
    fn what_is_no_ed25519_key_is_refused() {
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
            &format!("{KEY} comment"),
            &format!(" {KEY}"),
            &format!("{KEY}\n"),
            &KEY.replace(' ', "  "),
        ] {
            assert_eq!(text.parse::<HostKey>(), Err(NotAHostKey), "{text:?}");
        }
    }
}
