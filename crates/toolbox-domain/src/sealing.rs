//! How secrets lie in the database: AES-256-GCM under a key of their owner, so that a dump of the database tells none.
//!
//! The key is derived with HKDF-SHA256 from the control plane's root secret, one per toolbox and one per alert channel. The
//! envelope names the root by its fingerprint. The place of a value is authenticated with it: the instance and the
//! variable. A value that was copied into another row or under another name therefore does not open.

use core::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hkdf::Hkdf;
use sha2::Sha256;

use crate::ids::{AlertChannelId, ToolInstanceId, ToolboxId};
use crate::keys::{KeyError, MIN_ROOT_BYTES, RootId};
use crate::spec::{SecretValue, SpecError, SpecSecrets};

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
/// Drawn at random for each value: two values under one nonce would betray both.
pub type Nonce = [u8; NONCE_BYTES];

/// The control plane's root secrets.
#[derive(Clone, Copy)]
pub struct Roots<'a> {
    /// What is sealed from now on is sealed under it.
    pub current: &'a [u8],
    /// The one before, while values are sealed under it.
    pub previous: Option<&'a [u8]>,
}

/// Whose secrets a key seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The specs of a toolbox's instances.
    Toolbox(ToolboxId),
    /// A channel of alerts.
    Channel(AlertChannelId),
}

/// Where a value belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A variable of an instance.
    Env(ToolInstanceId, &'a str),
    /// A header for the MCP server of an instance.
    Header(ToolInstanceId, &'a str),
    /// The secret that a webhook is signed with.
    WebhookSecret,
}

/// What is authenticated with the value. The name comes last, so no two places print alike.
impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(instance, name) => write!(f, "env/{instance}/{name}"),
            Self::Header(instance, name) => write!(f, "header/{instance}/{name}"),
            Self::WebhookSecret => f.write_str("webhook-secret"),
        }
    }
}

/// Why a sealed value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is sealed with a key that is not known here.
    #[error("the value is encrypted with a key that is not known here")]
    KeyUnknown,
    /// It is not what was sealed for this place: changed, cut off, or copied from elsewhere.
    #[error("the encrypted value was changed, or belongs elsewhere")]
    Unreadable,
}

impl OpenError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::KeyUnknown => "secret_key_unknown",
            Self::Unreadable => "secret_unreadable",
        }
    }
}

/// More than AES-GCM seals at once, 64 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is too long to be encrypted")]
pub struct SealError;

/// The keys that seal and open the secrets of one owner. Neither printed nor compared.
#[derive(Clone)]
pub struct SealingKeys {
    current: SealingKey,
    previous: Option<SealingKey>,
}

#[derive(Clone)]
struct SealingKey {
    id: String,
    // Not the cipher: its schedule is a kilobyte, and every request would carry it.
    key: [u8; 32],
}

impl SealingKey {
    fn derive(root: &[u8], owner: Owner) -> Result<Self, KeyError> {
        if root.len() < MIN_ROOT_BYTES {
            return Err(KeyError::RootTooShort);
        }
        let info = match owner {
            Owner::Toolbox(id) => format!("toolbox/v1/seal/toolbox/{id}"),
            Owner::Channel(id) => format!("toolbox/v1/seal/channel/{id}"),
        };
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, root)
            .expand(info.as_bytes(), &mut key)
            .map_err(|_| KeyError::OutputTooLong)?;
        Ok(Self {
            id: RootId::of(root).to_string(),
            key,
        })
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&self.key.into())
    }
}

impl SealingKeys {
    /// The keys of one owner.
    pub fn derive(roots: Roots<'_>, owner: Owner) -> Result<Self, KeyError> {
        Ok(Self {
            current: SealingKey::derive(roots.current, owner)?,
            previous: roots
                .previous
                .map(|root| SealingKey::derive(root, owner))
                .transpose()?,
        })
    }

    /// Seals a value under the current key.
    pub fn seal(
        &self,
        place: Place<'_>,
        value: &str,
        nonce: Nonce,
    ) -> Result<SecretValue, SealError> {
        let aad = place.to_string();
        let payload = Payload {
            msg: value.as_bytes(),
            aad: aad.as_bytes(),
        };
        let sealed = self
            .current
            .cipher()
            .encrypt(&nonce.into(), payload)
            .map_err(|_| SealError)?;
        Ok(SecretValue {
            key_id: Some(self.current.id.clone()),
            value: STANDARD_NO_PAD.encode([&nonce[..], &sealed].concat()),
        })
    }

    /// The value that was sealed for this place. One that is not sealed is itself: it is from before values were.
    pub fn open(&self, place: Place<'_>, value: &SecretValue) -> Result<String, OpenError> {
        let Some(key_id) = &value.key_id else {
            return Ok(value.value.clone());
        };
        let key = core::iter::once(&self.current)
            .chain(&self.previous)
            .find(|key| key.id == *key_id)
            .ok_or(OpenError::KeyUnknown)?;
        let sealed = STANDARD_NO_PAD
            .decode(&value.value)
            .map_err(|_| OpenError::Unreadable)?;
        let (nonce, msg) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(OpenError::Unreadable)?;
        let aad = place.to_string();
        let payload = Payload {
            msg,
            aad: aad.as_bytes(),
        };
        let opened = key
            .cipher()
            .decrypt(nonce.into(), payload)
            .map_err(|_| OpenError::Unreadable)?;
        String::from_utf8(opened).map_err(|_| OpenError::Unreadable)
    }

    /// Seals what is plain text among the secrets of an instance's spec. `nonce` draws one.
    pub fn seal_spec(
        &self,
        instance: ToolInstanceId,
        secrets: SpecSecrets<'_>,
        mut nonce: impl FnMut() -> Nonce,
    ) -> Result<(), SealError> {
        for (_, place, value) in secrets.places(instance) {
            if let Some(plain) = value.reveal() {
                *value = self.seal(place, plain, nonce())?;
            }
        }
        Ok(())
    }

    /// Opens the secrets of an instance's spec. What does not open stays as it is, and is told with its field.
    pub fn open_spec(&self, instance: ToolInstanceId, secrets: SpecSecrets<'_>) -> Vec<SpecError> {
        let mut errors = Vec::new();
        for (field, place, value) in secrets.places(instance) {
            match self.open(place, value) {
                Ok(plain) => *value = SecretValue::plain(plain),
                Err(error) => errors.push(SpecError {
                    field,
                    code: error.code(),
                    message: format!("{error}; give it anew in plain text"),
                }),
            }
        }
        errors
    }
}
