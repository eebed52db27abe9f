//! The keys of one toolbox.
//!
//! Each toolbox has two, derived with HKDF-SHA256 from the control plane's root secret, the toolbox id and the toolbox's
//! key epoch: one per direction. A machine that leaks its keys therefore endangers itself only, and nothing but hashes
//! has to be stored. A rotation of one toolbox is the next epoch; a rotation of the root secret is another root id.

use core::fmt;
use core::str::FromStr;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};

use crate::ids::{ToolInstanceId, ToolboxId};
use crate::string_enum::string_enum;

/// Fewest bytes of a root secret.
pub const MIN_ROOT_BYTES: usize = 32;

const PREFIX: &str = "tbk_";
const KEY_BYTES: usize = 32;

const MCP_PREFIX: &str = "tbm_";

const TOKEN_PREFIX: &str = "tbe_";
/// 32 bytes as base64url.
const TOKEN_DIGITS: usize = 43;

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
    /// More was asked of the derivation than HKDF gives.
    #[error("derive at most 255 hashes from one secret")]
    OutputTooLong,
    /// The text is not a key.
    #[error("expected a key: tbk_ and 64 lower-case hexadecimal digits")]
    NotAKey,
    /// The text is not a key id.
    #[error("expected a key id: 8 lower-case hexadecimal digits, a dot and a number")]
    NotAKeyId,
    /// The text is not an enrolment token.
    #[error("expected an enrolment token: tbe_ and 43 base64url characters")]
    NotAToken,
}

/// Fingerprint of a root secret: it tells roots apart and says nothing else of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootId(u32);

impl RootId {
    /// The fingerprint of `root`.
    pub fn of(root: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"toolbox/v1/root-id/");
        hash.update(root);
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

/// Eight hexadecimal digits.
impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What a toolbox's keys were derived from. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId {
    /// The root secret.
    pub root: RootId,
    /// How often the toolbox's keys were rotated.
    pub epoch: u32,
}

/// `<root id>.<epoch>`.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.root, self.epoch)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;

    /// Reads exactly what is printed.
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let id = text.split_once('.').and_then(|(root, epoch)| {
            Some(Self {
                root: RootId(u32::from_str_radix(root, 16).ok()?),
                epoch: epoch.parse().ok()?,
            })
        });
        id.filter(|id| id.to_string() == text)
            .ok_or(KeyError::NotAKeyId)
    }
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

    /// What the control plane stores of a key it is to recognize: SHA-256 of the text, in hexadecimal.
    pub fn hash(&self) -> String {
        sha256_hex(&self.0)
    }

    /// The token that opens the MCP endpoint of `instance` and nothing else. Whoever holds the key can derive it, so
    /// it is stored nowhere, and it is worth as much as the key is: a rotation of the key replaces it.
    pub fn mcp_token(&self, instance: ToolInstanceId) -> Result<McpToken, KeyError> {
        let info = format!("toolbox/v1/mcp/{instance}");
        derived(self.0.as_bytes(), &info, MCP_PREFIX).map(McpToken)
    }
}

impl fmt::Debug for AgentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentKey(redacted)")
    }
}

/// What an MCP client presents to one instance's endpoint: `tbm_` and 64 hexadecimal digits. Like a key, it is neither
/// printed nor compared by accident.
#[derive(Clone)]
pub struct McpToken(String);

impl McpToken {
    /// Whether a text may be such a token; the form is no secret.
    pub fn has_form(text: &str) -> bool {
        text.starts_with(MCP_PREFIX)
    }

    /// The secret text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for McpToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("McpToken(redacted)")
    }
}

/// A single-use token that an agent enrols with: `tbe_` and 43 base64url characters. Like a key, it is not printed.
#[derive(Clone)]
pub struct EnrolmentToken(String);

impl EnrolmentToken {
    /// Reads a token as printed. Surrounding whitespace is the caller's to cut.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let digits = text.strip_prefix(TOKEN_PREFIX).ok_or(KeyError::NotAToken)?;
        let base64url = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if digits.len() == TOKEN_DIGITS && digits.bytes().all(base64url) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError::NotAToken)
        }
    }

    /// The secret text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the control plane stores of a token: SHA-256 of the text, in hexadecimal.
    pub fn hash(&self) -> String {
        sha256_hex(&self.0)
    }
}

impl fmt::Debug for EnrolmentToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnrolmentToken(redacted)")
    }
}

/// Derives the key of `toolbox` for `purpose` in `epoch` from the root secret.
pub fn derive_agent_key(
    root: &[u8],
    toolbox: ToolboxId,
    purpose: Purpose,
    epoch: u32,
) -> Result<AgentKey, KeyError> {
    if root.len() < MIN_ROOT_BYTES {
        return Err(KeyError::RootTooShort);
    }
    // Epoch 0 keeps the form from before there were epochs, so that enrolled agents stay known.
    let info = match epoch {
        0 => format!("toolbox/v1/{purpose}/{toolbox}"),
        _ => format!("toolbox/v1/{purpose}/{toolbox}/{epoch}"),
    };
    derived(root, &info, PREFIX).map(AgentKey)
}

/// What the database keeps to recognize a request by, in hexadecimal: HMAC-SHA256 of it with a key derived from the root
/// secret. A request may hold secrets that a plain hash would let others try out.
pub fn request_fingerprint(root: &[u8], request: &[u8]) -> Result<String, KeyError> {
    if root.len() < MIN_ROOT_BYTES {
        return Err(KeyError::RootTooShort);
    }
    let key = derived(root, "toolbox/v1/request-fingerprint", "")?;
    // HMAC takes a key of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).map_err(|_| KeyError::NotAKey)?;
    mac.update(request);
    let mut text = String::with_capacity(64);
    push_hex(&mut text, &mac.finalize().into_bytes());
    Ok(text)
}

/// `prefix` and the hexadecimal digits of what HKDF gives for `info`.
fn derived(secret: &[u8], info: &str, prefix: &str) -> Result<String, KeyError> {
    let mut bytes = [0; KEY_BYTES];
    // One hash long, so this does not fail.
    Hkdf::<Sha256>::new(None, secret)
        .expand(info.as_bytes(), &mut bytes)
        .map_err(|_| KeyError::OutputTooLong)?;
    let mut text = String::with_capacity(prefix.len() + KEY_BYTES * 2);
    text.push_str(prefix);
    push_hex(&mut text, &bytes);
    Ok(text)
}

pub(crate) fn sha256_hex(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    push_hex(&mut hex, &Sha256::digest(text.as_bytes()));
    hex
}

pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
        }
    }
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
    fn a_key_belongs_to_one_root_one_toolbox_one_direction_and_one_epoch() {
        let key = |root: &[u8], id, purpose, epoch| {
            derive_agent_key(root, toolbox(id), purpose, epoch)
                .unwrap()
                .expose()
                .to_owned()
        };
        let first = key(ROOT, 1, Purpose::ControlToAgent, 0);
        assert_eq!(first, key(ROOT, 1, Purpose::ControlToAgent, 0));
        assert_ne!(first, key(ROOT, 1, Purpose::AgentToControl, 0));
        assert_ne!(first, key(ROOT, 2, Purpose::ControlToAgent, 0));
        assert_ne!(first, key(ROOT, 1, Purpose::ControlToAgent, 1));
        assert_ne!(
            first,
            key(
                b"another root secret of 32 bytes or more",
                1,
                Purpose::ControlToAgent,
                0
            )
        );
        assert_eq!(AgentKey::parse(&first).unwrap().expose(), first);
    }

    #[test]
    fn keys_are_what_rfc_5869_says() {
        // Computed with Python's hmac module.
        for (purpose, epoch, digits) in [
            (
                Purpose::ControlToAgent,
                0,
                "1653086419f56ba2ddcd61f5619dd95c196883133966f0a48b2fbf92c29ed39d",
            ),
            (
                Purpose::AgentToControl,
                0,
                "ea41078306cdeac74031f23531ca88f19321b89af931a858eb5471a1b148126a",
            ),
            (
                Purpose::AgentToControl,
                7,
                "5d4219474ce538adabedb4bed79af9b599e3082ca531c7778379a6826f459174",
            ),
        ] {
            let key = derive_agent_key(ROOT, toolbox(1), purpose, epoch).unwrap();
            assert_eq!(key.expose(), format!("tbk_{digits}"));
        }
    }

    #[test]
    fn an_mcp_token_belongs_to_one_key_and_one_instance() {
        let key =
            |epoch| derive_agent_key(ROOT, toolbox(1), Purpose::ControlToAgent, epoch).unwrap();
        let token = |epoch, instance: &str| {
            let token = key(epoch).mcp_token(instance.parse().unwrap()).unwrap();
            assert_eq!(format!("{token:?}"), "McpToken(redacted)");
            assert!(McpToken::has_form(token.expose()));
            token.expose().to_owned()
        };
        let (a, b) = (
            "22222222-2222-4222-8222-222222222222",
            "22222222-2222-4222-8222-222222222223",
        );
        // Computed with Python's hmac module.
        assert_eq!(
            token(0, a),
            "tbm_df9cce051578ad0c17c6391e46789f9ae4b558e2ee0899b037397a370e414083"
        );
        assert_ne!(token(0, a), token(0, b));
        assert_ne!(token(0, a), token(1, a));
        assert!(AgentKey::parse(&token(0, a)).is_err());
        assert!(!McpToken::has_form(key(0).expose()));
    }

    #[test]
    fn key_ids_and_hashes_are_what_other_programs_compute() {
        // Computed with Python's hashlib.
        let id = KeyId {
            root: RootId::of(ROOT),
            epoch: 12,
        };
        assert_eq!(id.to_string(), "283ff17a.12");
        assert_eq!("283ff17a.12".parse(), Ok(id));
        let key = derive_agent_key(ROOT, toolbox(1), Purpose::ControlToAgent, 0).unwrap();
        assert_eq!(
            key.hash(),
            "d1f1fd0855e31193d571f06d1ded4cf7be2981c7435b6710a01c84607c683413"
        );
        for text in [
            "",
            "283ff17a",
            "283ff17a.",
            "283ff17a.-1",
            "283ff17a.+1",
            "283ff17a.01",
            "283ff17a.4294967296",
            "+1234567.1",
            "ABCDEF01.1",
            "123.1",
            "283ff17a.1.1",
        ] {
            assert_eq!(text.parse::<KeyId>(), Err(KeyError::NotAKeyId), "{text:?}");
        }
    }

    #[test]
    fn only_printed_tokens_parse() {
        let digits = "aZ9_-".repeat(9)[..43].to_owned();
        let token = EnrolmentToken::parse(&format!("tbe_{digits}")).unwrap();
        assert_eq!(token.expose(), format!("tbe_{digits}"));
        assert_eq!(format!("{token:?}"), "EnrolmentToken(redacted)");
        for text in [
            String::new(),
            digits.clone(),
            format!("tbe_{digits}0"),
            format!("tbe_{}", &digits[1..]),
            format!("tbe_{}+", &digits[1..]),
            format!("tbk_{digits}"),
        ] {
            let refused = EnrolmentToken::parse(&text).map(|_| ()).unwrap_err();
            assert_eq!(refused, KeyError::NotAToken, "{text:?}");
        }
    }

    #[test]
    fn a_request_is_recognized_by_whoever_has_the_root_alone() {
        let of = |root: &[u8], request: &[u8]| request_fingerprint(root, request).unwrap();
        assert_eq!(of(ROOT, b"x").len(), 64);
        assert_eq!(of(ROOT, b"x"), of(ROOT, b"x"));
        assert_ne!(of(ROOT, b"x"), of(ROOT, b"y"));
        assert_ne!(
            of(ROOT, b"x"),
            of(b"another root secret of 32 bytes or more", b"x")
        );
        assert_ne!(of(ROOT, b"x"), sha256_hex("x"));
        assert!(request_fingerprint(&[7; 31], b"x").is_err());
    }

    #[test]
    fn short_roots_are_refused() {
        let short = derive_agent_key(&[7; 31], toolbox(1), Purpose::ControlToAgent, 0);
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
        let key = derive_agent_key(ROOT, toolbox(1), Purpose::ControlToAgent, 0).unwrap();
        assert_eq!(format!("{key:?}"), "AgentKey(redacted)");
    }
}
