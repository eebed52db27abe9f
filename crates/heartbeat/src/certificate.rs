//! Fingerprints of certificates.

use std::fmt::Write as _;

use base64::Engine;
use base64::prelude::BASE64_STANDARD as STANDARD;
use sha2::{Digest, Sha256};
use toolbox_api::heartbeat::MAX_CERTIFICATE_BYTES;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The text is not one certificate in PEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected one certificate in PEM")]
pub(crate) struct NotACertificate;

/// SHA-256 of the DER form of a certificate, in hexadecimal. Whether the DER is a certificate, the TLS client that
/// pins it decides; here it must be one block, so that nothing else is pinned with it.
pub(crate) fn fingerprint(pem: &str) -> Result<String, NotACertificate> {
    if pem.len() > MAX_CERTIFICATE_BYTES {
        return Err(NotACertificate);
    }
    let body = pem.trim().strip_prefix(BEGIN).ok_or(NotACertificate)?;
    let body = body.strip_suffix(END).ok_or(NotACertificate)?;
    let digits: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(digits).map_err(|_| NotACertificate)?;
    // A DER certificate is a sequence.
    if der.first() != Some(&0x30) {
        return Err(NotACertificate);
    }
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(&der) {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CERTIFICATE, CERTIFICATE_SHA256};

    #[test]
    fn fingerprints_are_what_openssl_says() {
        assert_eq!(fingerprint(CERTIFICATE).as_deref(), Ok(CERTIFICATE_SHA256));
        let windows = CERTIFICATE.replace('\n', "\r\n");
        assert_eq!(fingerprint(&windows).as_deref(), Ok(CERTIFICATE_SHA256));
    }

    #[test]
    fn only_one_certificate_is_one() {
        for text in [
            String::new(),
            "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----".to_owned(),
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_owned(),
            "-----BEGIN CERTIFICATE-----\nMII_\n-----END CERTIFICATE-----".to_owned(),
            format!("{CERTIFICATE}{CERTIFICATE}"),
            CERTIFICATE.replace("CERTIFICATE", "PRIVATE KEY"),
            CERTIFICATE.replace("BEGIN", &"x".repeat(MAX_CERTIFICATE_BYTES)),
        ] {
            assert_eq!(fingerprint(&text), Err(NotACertificate), "{text}");
        }
    }
}
