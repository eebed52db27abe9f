//! Reading JSON Web Tokens; whether the signature holds is [`super`]'s question.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::Value;

/// The token is not three base64url parts with a JSON header and JSON claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is malformed")]
pub(super) struct Malformed;

/// Longest token that is looked at; real ones have a few kilobytes at most.
const MAX_LENGTH: usize = 16 * 1024;

/// First part of a token.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    /// Algorithm the signer claims.
    pub(super) alg: String,
    /// Key the signer claims.
    #[serde(default)]
    pub(super) kid: Option<String>,
    /// Extensions that must be understood; none is.
    #[serde(default)]
    pub(super) crit: Option<Vec<String>>,
}

/// Second part of a token, as far as it is used.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    /// Issuer.
    #[serde(default)]
    pub(super) iss: Option<String>,
    /// User.
    #[serde(default)]
    pub(super) sub: Option<String>,
    /// Who the token is for.
    #[serde(default)]
    pub(super) aud: Option<Audience>,
    /// Database role.
    #[serde(default)]
    pub(super) role: Option<String>,
    /// A user without an account, where sign-in lets such users in.
    #[serde(default)]
    pub(super) is_anonymous: Option<bool>,
    /// The program that the token was given to; none for a user's own sign-in.
    #[serde(default)]
    pub(super) client_id: Option<String>,
    /// What the project's own service says of the user; users write `user_metadata`, which nothing here reads.
    #[serde(default)]
    pub(super) app_metadata: Value,
    /// End, seconds since the epoch.
    #[serde(default)]
    pub(super) exp: Option<f64>,
    /// Beginning, seconds since the epoch.
    #[serde(default)]
    pub(super) nbf: Option<f64>,
}

impl Claims {
    /// The project says of the user that they are an operator.
    pub(super) fn is_operator(&self) -> bool {
        self.app_metadata["toolbox_role"] == "operator"
    }
}

/// One audience or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    /// Whether `audience` is among them.
    pub(super) fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(one) => one == audience,
            Self::Many(many) => many.iter().any(|one| one == audience),
        }
    }
}

/// A token taken apart. Nothing in it is to be believed before its signature was checked.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// First part.
    pub(super) header: Header,
    /// Second part.
    pub(super) claims: Claims,
    /// What was signed.
    pub(super) message: &'a [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    pub(super) fn parse(text: &'a str) -> Result<Self, Malformed> {
        if text.len() > MAX_LENGTH {
            return Err(Malformed);
        }
        let (message, signature) = text.rsplit_once('.').ok_or(Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Malformed)?;
        let header: Header = serde_json::from_slice(&base64url(header)?).map_err(|_| Malformed)?;
        let claims: Claims = serde_json::from_slice(&base64url(claims)?).map_err(|_| Malformed)?;
        if header.crit.is_some() {
            return Err(Malformed);
        }
        Ok(Self {
            header,
            claims,
            message: message.as_bytes(),
            signature: base64url(signature)?,
        })
    }
}

/// base64url as tokens and keys use it: without padding, which is tolerated.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Decodes base64url.
pub(super) fn base64url(text: &str) -> Result<Vec<u8>, Malformed> {
    BASE64URL.decode(text).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64url_is_strict() {
        for (text, bytes) in [
            ("", ""),
            ("Zg", "f"),
            ("Zm8", "fo"),
            ("Zm9v", "foo"),
            ("Zg==", "f"),
        ] {
            assert_eq!(base64url(text), Ok(bytes.as_bytes().to_vec()), "{text}");
        }
        assert_eq!(base64url("-_-_"), Ok(vec![0xfb, 0xff, 0xbf]));
        for text in ["Z", "Zh", "Zm9v Zg", "+/+/", "Zm9vZ"] {
            assert_eq!(base64url(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn malformed_tokens_are_refused() {
        // {"alg":"ES256","crit":["x"]} . {}
        let critical = "eyJhbGciOiJFUzI1NiIsImNyaXQiOlsieCJdfQ.e30.";
        for text in ["", "a", "a.b", "a.b.c", "e30.e30.", critical] {
            assert!(Token::parse(text).is_err(), "{text}");
        }
        let long = format!("{}.e30.", "A".repeat(MAX_LENGTH));
        assert!(Token::parse(&long).is_err());
    }
}
