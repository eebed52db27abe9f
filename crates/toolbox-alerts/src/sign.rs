//! Signatures of Standard Webhooks: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The value of `webhook-signature`; none when the secret is not `whsec_` and base64, which the database refuses to store.
pub(crate) fn signature(
    secret: &str,
    id: &str,
    seconds_since_epoch: u64,
    body: &[u8],
) -> Option<String> {
    let key = STANDARD.decode(secret.strip_prefix("whsec_")?).ok()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{seconds_since_epoch}.").as_bytes());
    mac.update(body);
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_example_has_its_signature() {
        // From the libraries of standard-webhooks.
        assert_eq!(
            signature(
                "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#
            )
            .as_deref(),
            Some("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
        );
    }

    #[test]
    fn every_part_is_signed() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = signature(secret, "a", 1, b"x");
        for other in [
            signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx", "a", 1, b"x"),
            signature(secret, "b", 1, b"x"),
            signature(secret, "a", 2, b"x"),
            signature(secret, "a", 1, b"y"),
            signature("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "a", 1, b"x"),
            signature("whsec_*", "a", 1, b"x"),
        ] {
            assert_ne!(signed, other);
        }
    }
}
