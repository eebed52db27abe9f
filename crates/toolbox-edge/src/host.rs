//! What the functions need from the host beside HTTP and time.

use std::any::Any;
use std::net::SocketAddr;
use std::rc::Rc;

use toolbox_http::{BoxFuture, LocalFuture, ThreadSafe, TransportError};

/// Signature algorithms that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// HMAC with SHA-256, for legacy projects.
    Hs256,
}

/// A key to check signatures with, before the host has read it. Parts are base64url.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMaterial {
    /// A point on P-256.
    Es256 {
        /// First coordinate.
        x: String,
        /// Second coordinate.
        y: String,
    },
    /// An RSA public key.
    Rs256 {
        /// Modulus.
        n: String,
        /// Exponent.
        e: String,
    },
    /// A shared secret.
    Hs256 {
        /// Its bytes.
        secret: Vec<u8>,
    },
}

impl KeyMaterial {
    /// The one algorithm the key may be used with.
    pub const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Es256 { .. } => Algorithm::Es256,
            Self::Rs256 { .. } => Algorithm::Rs256,
            Self::Hs256 { .. } => Algorithm::Hs256,
        }
    }
}

/// The host's own form of a key.
pub type KeyHandle = Rc<dyn Any>;

/// The key is not one the host can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host cannot read the key")]
pub struct UnusableKey;

/// Longest greeting that is read, in bytes: that of an SSH server is shorter.
pub const MAX_GREETING: usize = 255;

/// Signatures, randomness, work after the answer, connections, and the log.
pub trait Host: ThreadSafe {
    /// Reads a key once, so that checks are cheap.
    fn import_key(&self, key: &KeyMaterial) -> LocalFuture<'_, Result<KeyHandle, UnusableKey>>;

    /// Whether `signature` over `message` is that of `key`.
    fn verify<'a>(
        &'a self,
        algorithm: Algorithm,
        key: &'a KeyHandle,
        message: &'a [u8],
        signature: &'a [u8],
    ) -> LocalFuture<'a, bool>;

    /// Random bytes fit for ids and nonces.
    fn random_bytes(&self) -> [u8; 16];

    /// Runs work after the answer; the host keeps the worker alive for it as long as it may.
    fn background(&self, work: BoxFuture<'static, ()>);

    /// Connects by TCP and hangs up again. Where the other side `greets`, what it says first is given. The caller bounds the
    /// time.
    fn dial(
        &self,
        address: SocketAddr,
        greets: bool,
    ) -> LocalFuture<'_, Result<Vec<u8>, TransportError>>;

    /// Writes one line to the operator's log.
    fn log_error(&self, line: &str);
}
