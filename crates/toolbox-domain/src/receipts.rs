//! Receipts are authenticated by a key that the database does not have.

use core::fmt::Write as _;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::keys::{KeyError, MIN_ROOT_BYTES};

/// The key of receipts. Neither printed nor compared.
#[derive(Clone)]
pub struct ReceiptKey {
    key: [u8; 32],
    id: String,
}

impl ReceiptKey {
    /// Derived from the operator's secret for receipts, or from the root secret where there is none.
    pub fn derive(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_ROOT_BYTES {
            return Err(KeyError::RootTooShort);
        }
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, secret)
            .expand(b"toolbox/v1/receipts", &mut key)
            .map_err(|_| KeyError::OutputTooLong)?;
        let mut fingerprint = Sha256::new();
        fingerprint.update(b"toolbox/v1/receipt-key-id/");
        fingerprint.update(key);
        Ok(Self {
            key,
            id: hex(&fingerprint.finalize()[..8]),
        })
    }

    /// Its fingerprint: tells keys apart and says nothing else of them.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// HMAC-SHA256 of a receipt, in hexadecimal.
    pub fn mac(&self, content: &str) -> Result<String, KeyError> {
        // HMAC takes a key of any length.
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).map_err(|_| KeyError::RootTooShort)?;
        mac.update(content.as_bytes());
        Ok(hex(&mac.finalize().into_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_their_secret_and_macs_by_their_content() {
        let key = ReceiptKey::derive(&[7; 32]).unwrap();
        // Computed with Node's hkdfSync and createHmac, as scripts/receipts does.
        assert_eq!(key.id(), "7303772688a88747");
        assert_eq!(
            key.mac("{}").unwrap(),
            "fefe7c893255cdf9ee0bbfea23647bf7196af0f37cc07823a715df56aeab034f"
        );
        let other = ReceiptKey::derive(&[8; 32]).unwrap();
        assert_ne!(key.id(), other.id());
        assert_ne!(key.mac("{}").unwrap(), other.mac("{}").unwrap());
        assert_ne!(key.mac("{}").unwrap(), key.mac("{ }").unwrap());
        assert!(ReceiptKey::derive(&[7; 31]).is_err());
    }
}
