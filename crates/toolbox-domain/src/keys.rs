//! The keys of one toolbox.
//!
//! Each toolbox has two, derived with HKDF-SHA256 from the control plane's root secret and the toolbox id: one per
//! direction. A machine that leaks its keys therefore endangers itself only, and nothing has to be stored.

use core::fmt;

use hkdf::Hkdf;
use sha2::Sha256;

use crate::ids::ToolboxId;
use crate::string_enum::string_enum;

/// Fewest bytes of a root secret.
pub const MIN_ROOT_BYTES: usize = 32;

const PREFIX: &str = "tbk_";
const KEY_BYTES: usize = 32;

string_enum! {
    /// Who presents the key to whom.
    pub enum Purpose as "key purpose" {
        /// The control plane to DTMA.
        ControlToAgent = "control-to-agent",
        /// DTMA to the control plane.
        AgentToControl = "agent-to-control",
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The root secret is too short to derive from.
    #[error("give a root secret of at least {MIN_ROOT_BYTES} bytes")]
    RootTooShort,
    /// The text is not a key.
    #[error("expected a key: tbk_ and 64 lower-case hexadecimal digits")]
    NotAKey,
}

/// A key as it is presented: `tbk_` and 64 hexadecimal digits.
///
/// It has neither `Display` nor `PartialEq`: printing and comparing it must be deliberate
/// ([`AgentKey::expose`], and a comparison in constant time).
#[derive(Clone)]
pub struct AgentKey(String);

impl AgentKey {
    /// Reads a key as printed, for instance from DTMA's key file. Surrounding whitespace is the caller's to cut.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let digits = text.strip_prefix(PREFIX).ok_or(KeyError::NotAKey)?;
        let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() == KEY_BYTES * 2 && digits.bytes().all(hexadecimal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError::NotAKey)
        }
    }

    /// The secret text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentKey(redacted)")
    }
}

/// Derives the key of `toolbox` for `purpose` from the root secret.
pub fn derive_agent_key(
    root: &[u8],
    toolbox: ToolboxId,
    purpose: Purpose,
) -> Result<AgentKey, KeyError> {
    if root.len() < MIN_ROOT_BYTES {
        return Err(KeyError::RootTooShort);
    }
    let info = format!("toolbox/v1/{purpose}/{toolbox}");
    let mut bytes = [0; KEY_BYTES];
    // Fails only for outputs of more than 255 hashes; this one is one hash long.
    if Hkdf::<Sha256>::new(None, root)
        .expand(info.as_bytes(), &mut bytes)
        .is_err()
    {
        return Err(KeyError::RootTooShort);
    }
    let mut text = String::with_capacity(PREFIX.len() + KEY_BYTES * 2);
    text.push_str(PREFIX);
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
    Ok(AgentKey(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &[u8] = b"a root secret of thirty-two bytes";

    fn toolbox(last: u8) -> ToolboxId {
        format!("6f9619ff-8b86-4d01-b42d-0000000000{last:02x}")
            .parse()
            .unwrap()
    }

    #[test]
    fn a_key_belongs_to_one_root_one_toolbox_and_one_direction() {
        let key = |root: &[u8], id, purpose| {
            derive_agent_key(root, toolbox(id), purpose)
                .unwrap()
                .expose()
                .to_owned()
        };
        let first = key(ROOT, 1, Purpose::ControlToAgent);
        assert_eq!(first, key(ROOT, 1, Purpose::ControlToAgent));
        assert_ne!(first, key(ROOT, 1, Purpose::AgentToControl));
        assert_ne!(first, key(ROOT, 2, Purpose::ControlToAgent));
        assert_ne!(
            first,
            key(
                b"another root secret of 32 bytes or more",
                1,
                Purpose::ControlToAgent
            )
        );
        assert_eq!(AgentKey::parse(&first).unwrap().expose(), first);
    }

    #[test]
    fn keys_are_what_rfc_5869_says() {
        // Computed with Python's hmac module.
        for (purpose, digits) in [
            (
                Purpose::ControlToAgent,
                "1653086419f56ba2ddcd61f5619dd95c196883133966f0a48b2fbf92c29ed39d",
            ),
            (
                Purpose::AgentToControl,
                "ea41078306cdeac74031f23531ca88f19321b89af931a858eb5471a1b148126a",
            ),
        ] {
            let key = derive_agent_key(ROOT, toolbox(1), purpose).unwrap();
            assert_eq!(key.expose(), format!("tbk_{digits}"));
        }
    }

    #[test]
    fn short_roots_are_refused() {
        let short = derive_agent_key(&[7; 31], toolbox(1), Purpose::ControlToAgent);
        assert_eq!(short.unwrap_err(), KeyError::RootTooShort);
    }

    #[test]
    fn only_printed_keys_parse() {
        let digits = "0f".repeat(32);
        assert!(AgentKey::parse(&format!("tbk_{digits}")).is_ok());
        for text in [
            String::new(),
            digits.clone(),
            format!("tbk_{digits}0"),
            format!("tbk_{}", digits.to_uppercase()),
            format!("tbk_{digits}\n"),
            format!("TBK_{digits}"),
        ] {
            assert_eq!(
                AgentKey::parse(&text).unwrap_err(),
                KeyError::NotAKey,
                "{text:?}"
            );
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_key() {
        let key = derive_agent_key(ROOT, toolbox(1), Purpose::ControlToAgent).unwrap();
        assert_eq!(format!("{key:?}"), "AgentKey(redacted)");
    }
}
