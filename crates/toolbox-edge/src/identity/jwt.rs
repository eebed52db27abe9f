//! Reading JSON Web Tokens; whether the signature holds is [`super`]'s question.

use serde::Deserialize;

/// The token is not three base64url parts with a JSON header and JSON claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is malformed")]
pub struct Malformed;

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
    /// End, seconds since the epoch.
    #[serde(default)]
    pub(super) exp: Option<f64>,
    /// Beginning, seconds since the epoch.
    #[serde(default)]
    pub(super) nbf: Option<f64>,
}

/// One audience or several.
#[derive(Debug)]
pub(super) struct Audience(Vec<String>);

impl<'de> Deserialize<'de> for Audience {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Audience;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or an array of texts")
            }

            fn visit_str<E>(self, one: &str) -> Result<Audience, E> {
                Ok(Audience(vec![one.to_owned()]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut access: A,
            ) -> Result<Audience, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = access.next_element()? {
                    many.push(one);
                }
                Ok(Audience(many))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Audience {
    /// Whether `audience` is among them.
    pub(super) fn contains(&self, audience: &str) -> bool {
        self.0.iter().any(|one| one == audience)
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
        let header: Header =
            toolbox_http::json::from_slice(&base64url(header)?).map_err(|_| Malformed)?;
        let claims: Claims =
            toolbox_http::json::from_slice(&base64url(claims)?).map_err(|_| Malformed)?;
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

/// Decodes base64url without padding (padding is tolerated), strictly otherwise.
pub fn base64url(text: &str) -> Result<Vec<u8>, Malformed> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return Err(Malformed),
        };
        buffer = (buffer << 6) | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits).to_le_bytes()[0]);
            buffer &= (1 << bits) - 1;
        }
    }
    // Six left-over bits are no byte; other left-over bits must be zero, or texts were not unique.
    if bits == 6 || buffer != 0 {
        Err(Malformed)
    } else {
        Ok(bytes)
    }
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
