//! JSON Web Tokens as Supabase issues them: ES256 with a key id, and HS256 with the legacy secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::Sha256;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("token is malformed")]
    Malformed,
    #[error("signing method is not supported")]
    Algorithm,
    #[error("signature is invalid")]
    Signature,
    #[error("token is expired")]
    Expired,
    #[error("token is not valid yet")]
    TooEarly,
}

/// Signs and verifies; holds the private key and the legacy secret.
#[derive(Clone)]
pub(crate) struct Keys {
    signing: SigningKey,
    kid: String,
    secret: String,
}

impl Keys {
    /// `scalar` is the private key, 32 bytes; `None` when it is not one.
    pub(crate) fn new(scalar: &[u8], kid: &str, secret: &str) -> Option<Self> {
        let signing = SigningKey::from_slice(scalar).ok()?;
        Some(Self {
            signing,
            kid: kid.to_owned(),
            secret: secret.to_owned(),
        })
    }

    /// A token for people: ES256.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let input = input(
            &json!({ "alg": "ES256", "kid": self.kid, "typ": "JWT" }),
            claims,
        );
        let signature: Signature = self.signing.sign(input.as_bytes());
        format!("{input}.{}", BASE64.encode(signature.to_bytes()))
    }

    /// A legacy API key: HS256 without a key id.
    pub(crate) fn sign_legacy(&self, claims: &Value) -> String {
        let input = input(&json!({ "alg": "HS256", "typ": "JWT" }), claims);
        let tag = self.mac(&input).finalize().into_bytes();
        format!("{input}.{}", BASE64.encode(tag))
    }

    /// The claims of a token that is valid at `now` (Unix seconds).
    pub(crate) fn verify(&self, token: &str, now: i64) -> Result<Value, TokenError> {
        let (input, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = input.split_once('.').ok_or(TokenError::Malformed)?;
        let signature = BASE64
            .decode(signature)
            .map_err(|_| TokenError::Malformed)?;
        let header = parse(header)?;
        match header["alg"].as_str() {
            Some("ES256") => {
                let signature =
                    Signature::from_slice(&signature).map_err(|_| TokenError::Signature)?;
                let key = self.signing.verifying_key();
                key.verify(input.as_bytes(), &signature)
                    .map_err(|_| TokenError::Signature)?;
            }
            Some("HS256") => self
                .mac(input)
                .verify_slice(&signature)
                .map_err(|_| TokenError::Signature)?,
            _ => return Err(TokenError::Algorithm),
        }
        let claims = parse(payload)?;
        let time = |name: &str| claims[name].as_f64();
        #[allow(
            clippy::cast_precision_loss,
            reason = "seconds since 1970 fit in 52 bits"
        )]
        let now = now as f64;
        if time("exp").is_some_and(|exp| exp <= now) {
            return Err(TokenError::Expired);
        }
        if time("nbf").is_some_and(|nbf| nbf > now) {
            return Err(TokenError::TooEarly);
        }
        Ok(claims)
    }

    /// The public keys, as `/.well-known/jwks.json` shows them.
    pub(crate) fn public_set(&self) -> Value {
        json!({ "keys": [self.public()] })
    }

    /// The private key, for the one program beside this that signs.
    pub(crate) fn private(&self) -> Value {
        let mut key = self.public();
        key["d"] = json!(BASE64.encode(self.signing.to_bytes()));
        key["key_ops"] = json!(["sign"]);
        key
    }

    /// What PostgREST verifies with: the public key and the legacy secret.
    pub(crate) fn verifying_set(&self) -> Value {
        json!({ "keys": [self.public(), { "kty": "oct", "k": BASE64.encode(&self.secret), "alg": "HS256" }] })
    }

    fn public(&self) -> Value {
        let point = self.signing.verifying_key().to_sec1_point(false);
        let coordinate =
            |bytes: Option<&p256::FieldBytes>| bytes.map(|b| BASE64.encode(b)).unwrap_or_default();
        json!({
            "alg": "ES256", "crv": "P-256", "ext": true, "key_ops": ["verify"], "kid": self.kid, "kty": "EC",
            "use": "sig", "x": coordinate(point.x()), "y": coordinate(point.y()),
        })
    }

    fn mac(&self, input: &str) -> Hmac<Sha256> {
        #[allow(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).expect("HMAC takes any key");
        mac.update(input.as_bytes());
        mac
    }
}

fn input(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        BASE64.encode(header.to_string()),
        BASE64.encode(claims.to_string())
    )
}

fn parse(part: &str) -> Result<Value, TokenError> {
    let bytes = BASE64.decode(part).map_err(|_| TokenError::Malformed)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| TokenError::Malformed)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(TokenError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new(
            &[7; 32],
            "key-1",
            "a-secret-of-at-least-thirty-two-characters",
        )
        .unwrap()
    }

    #[test]
    fn both_kinds_verify_until_they_expire() {
        let claims = json!({ "sub": "someone", "exp": 100 });
        for token in [keys().sign(&claims), keys().sign_legacy(&claims)] {
            assert_eq!(keys().verify(&token, 99).unwrap()["sub"], "someone");
            assert_eq!(keys().verify(&token, 100), Err(TokenError::Expired));
        }
    }

    #[test]
    fn another_key_or_no_algorithm_is_refused() {
        let other = Keys::new(
            &[8; 32],
            "key-1",
            "another-secret-of-at-least-thirty-two-chars",
        )
        .unwrap();
        let claims = json!({ "sub": "someone" });
        assert_eq!(
            keys().verify(&other.sign(&claims), 0),
            Err(TokenError::Signature)
        );
        assert_eq!(
            keys().verify(&other.sign_legacy(&claims), 0),
            Err(TokenError::Signature)
        );
        let none = format!("{}.", input(&json!({ "alg": "none" }), &claims));
        assert_eq!(keys().verify(&none, 0), Err(TokenError::Algorithm));
        assert_eq!(keys().verify("nonsense", 0), Err(TokenError::Malformed));
    }

    #[test]
    fn a_public_key_is_no_secret_for_hs256() {
        let public = keys().public_set().to_string();
        let forger = Keys::new(&[7; 32], "key-1", &public).unwrap();
        assert_eq!(
            keys().verify(&forger.sign_legacy(&json!({})), 0),
            Err(TokenError::Signature)
        );
    }
}
