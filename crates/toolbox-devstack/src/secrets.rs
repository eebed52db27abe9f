//! The keys of one stack: made once, kept in its data directory, readable by its owner only.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::error::StackError;
use crate::jwt::Keys;

/// Life of the legacy keys in seconds: ten years, as Supabase's.
const LEGACY_LIFE: i64 = 10 * 365 * 24 * 3600;

/// What `keys.json` holds.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Secrets {
    /// Names the data of this stack where it cannot lie in the data directory itself.
    pub(crate) stack_id: Uuid,
    pub(crate) toolbox_id: Uuid,
    pub(crate) jwt_secret: String,
    /// Private P-256 key, hexadecimal.
    signing_key: String,
    kid: Uuid,
    pub(crate) publishable_key: String,
    pub(crate) secret_key: String,
    pub(crate) anon_key: String,
    pub(crate) service_role_key: String,
    /// `BACKEND_TO_DTMA_API_KEY`: the root every toolbox's keys are derived from.
    pub(crate) agent_root: String,
    pub(crate) postgres_password: String,
    pub(crate) admin_password: String,
    pub(crate) authenticator_password: String,
    pub(crate) demo_password: String,
}

impl Secrets {
    /// Reads the file, or makes it.
    pub(crate) fn load_or_make(path: &Path, now: i64) -> Result<Self, StackError> {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                serde_json::from_str(&text).map_err(|_| StackError::DamagedKeys(path.to_path_buf()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = Self::make(now)?;
                let text = serde_json::to_string_pretty(&made)
                    .map_err(|_| StackError::DamagedKeys(path.to_path_buf()))?;
                write_private(path, &text)?;
                Ok(made)
            }
            Err(error) => Err(StackError::file("read", path)(error)),
        }
    }

    fn make(now: i64) -> Result<Self, StackError> {
        let mut made = Self {
            stack_id: Uuid::new_v4(),
            toolbox_id: Uuid::new_v4(),
            jwt_secret: random_hex(32)?,
            signing_key: random_hex(32)?,
            kid: Uuid::new_v4(),
            publishable_key: format!("sb_publishable_{}", random_hex(16)?),
            secret_key: format!("sb_secret_{}", random_hex(16)?),
            anon_key: String::new(),
            service_role_key: String::new(),
            agent_root: random_hex(32)?,
            postgres_password: random_hex(16)?,
            admin_password: random_hex(16)?,
            authenticator_password: random_hex(16)?,
            demo_password: random_hex(8)?,
        };
        // All but one in 2^32 scalars are keys.
        while made.keys().is_none() {
            made.signing_key = random_hex(32)?;
        }
        if let Some(keys) = made.keys() {
            let legacy = |role: &str| {
                keys.sign_legacy(&json!({ "iss": "supabase-demo", "role": role, "iat": now, "exp": now + LEGACY_LIFE }))
            };
            made.anon_key = legacy("anon");
            made.service_role_key = legacy("service_role");
        }
        Ok(made)
    }

    /// `TOOLBOX_SSH_CA_KEY`, made of the agents' root so that stacks from before have one too.
    pub(crate) fn ssh_authority(&self) -> String {
        hex(&Sha256::digest(format!(
            "ssh authority {}",
            self.agent_root
        )))
    }

    /// What signs and verifies tokens; `None` when the file was edited into nonsense.
    pub(crate) fn keys(&self) -> Option<Keys> {
        let scalar: Option<Vec<u8>> = (0..self.signing_key.len() / 2)
            .map(|i| {
                self.signing_key
                    .get(2 * i..2 * i + 2)
                    .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            })
            .collect();
        Keys::new(&scalar?, &self.kid.to_string(), &self.jwt_secret)
    }
}

/// `bytes` random bytes in hexadecimal.
pub(crate) fn random_hex(bytes: usize) -> Result<String, StackError> {
    let mut raw = vec![0; bytes];
    getrandom::fill(&mut raw).map_err(StackError::Random)?;
    Ok(hex(&raw))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = |byte: &u8| {
        [byte >> 4, byte & 15].map(|half| char::from_digit(u32::from(half), 16).unwrap_or_default())
    };
    bytes.iter().flat_map(digits).collect()
}

/// Writes a file only its owner may read, as a whole or not at all.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), StackError> {
    let draft = path.with_extension("draft");
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&draft, path)
    };
    write().map_err(StackError::file("write", path))
}
