//! Tokens that open MCP servers through the control plane.

use core::fmt;

use crate::keys::{push_hex, sha256_hex};

const PREFIX: &str = "tbx_";
const BYTES: usize = 32;

/// What an MCP client presents to the control plane: `tbx_` and 64 hexadecimal digits. Nothing can be read from it: the
/// database says what it opens. It is neither printed nor compared by accident.
#[derive(Clone)]
pub struct AccessToken(String);

impl AccessToken {
    /// The token of these random bytes.
    pub fn new(random: &[u8; BYTES]) -> Self {
        let mut text = PREFIX.to_owned();
        push_hex(&mut text, random);
        Self(text)
    }

    /// Reads a token as printed; nothing for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let hexadecimal = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (digits.len() == BYTES * 2 && digits.bytes().all(hexadecimal))
            .then(|| Self(text.to_owned()))
    }

    /// Whether a text is meant to be such a token; the form is no secret.
    pub fn has_form(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The secret text.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What the database stores of it: SHA-256 of the text, in hexadecimal.
    pub fn hash(&self) -> String {
        sha256_hex(&self.0)
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printed_tokens_parse() {
        let token = AccessToken::new(&[0xa5; 32]);
        assert_eq!(token.expose(), format!("tbx_{}", "a5".repeat(32)));
        assert_eq!(format!("{token:?}"), "AccessToken(redacted)");
        let read = AccessToken::parse(token.expose()).unwrap();
        assert_eq!(read.hash(), token.hash());
        assert_eq!(read.hash().len(), 64);
        for text in [
            String::new(),
            "a5".repeat(32),
            format!("tbx_{}0", "a5".repeat(32)),
            format!("tbx_{}", "A5".repeat(32)),
            format!("tbk_{}", "a5".repeat(32)),
        ] {
            assert!(AccessToken::parse(&text).is_none(), "{text:?}");
        }
    }
}
