//! Releases: `<url>/latest` names a version, `<url>/<version>/dtma-<architecture>` is its program and `….sha256` beside it
//! what it must be.

use std::path::Path;
use std::time::Duration;

use http::Uri;
use sha2::{Digest, Sha256};
use toolbox_domain::machine_operation::AgentVersion;
use toolbox_http::native::Native;
use toolbox_http::{Call, Request, Transport};

use super::blocking;
use super::versions::check_format;
use crate::control::client::{ClientError, native};
use crate::record::hex;

/// How long a name or a checksum may take, and how large it may be.
const TEXT_LIMIT: Duration = Duration::from_secs(10);
const MAX_TEXT_BYTES: usize = 1024;
/// How long a program may take, and how large it may be.
const PROGRAM_LIMIT: Duration = Duration::from_mins(5);
const MAX_PROGRAM_BYTES: usize = 128 * 1024 * 1024;

/// Why a release cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    #[error("TOOLBOX_RELEASE_URL is not set on this machine")]
    NotConfigured,
    #[error("'{file}' could not be fetched: {why}")]
    Unreachable { file: String, why: String },
    #[error("there is no '{0}' where releases are")]
    Unknown(String),
    #[error("'{0}' is not what it should be: {1}")]
    Malformed(String, &'static str),
    #[error("the program's SHA-256 is {actual}, and should be {expected}")]
    ChecksumDiffers { expected: String, actual: String },
    #[error("the program cannot run on this machine: {0}")]
    WrongFormat(&'static str),
}

impl ReleaseError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotConfigured => "releases_not_configured",
            Self::Unreachable { .. } => "release_unreachable",
            Self::Unknown(_) => "release_unknown",
            Self::Malformed(..) => "release_malformed",
            Self::ChecksumDiffers { .. } => "checksum_differs",
            Self::WrongFormat(_) => "wrong_architecture",
        }
    }
}

/// Where releases are.
pub struct Releases {
    http: Native,
    url: Option<String>,
}

impl Releases {
    pub fn new(url: Option<&Uri>, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        Ok(Self {
            http: native(ca_file)?,
            url: url.map(|url| url.to_string().trim_end_matches('/').to_owned()),
        })
    }

    /// The version that is released last.
    pub async fn latest(&self) -> Result<AgentVersion, ReleaseError> {
        let text = self.text("latest").await?;
        let malformed = |_| ReleaseError::Malformed("latest".to_owned(), "expected a version");
        text.trim().parse().map_err(malformed)
    }

    /// What the program of a version must be: its SHA-256.
    pub async fn sha256(&self, version: &AgentVersion) -> Result<String, ReleaseError> {
        let file = format!("{}.sha256", program(version));
        let text = self.text(&file).await?;
        // As sha256sum writes it: the checksum, and the file's name.
        let checksum = text
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_lowercase();
        let is_one = checksum.len() == 64 && checksum.bytes().all(|b| b.is_ascii_hexdigit());
        is_one
            .then_some(checksum)
            .ok_or(ReleaseError::Malformed(file, "expected a SHA-256"))
    }

    /// The program of a version, which has this SHA-256.
    pub async fn program(
        &self,
        version: &AgentVersion,
        expected: &str,
    ) -> Result<Vec<u8>, ReleaseError> {
        let bytes = self
            .get(&program(version), PROGRAM_LIMIT, MAX_PROGRAM_BYTES)
            .await?;
        let digest = move || Ok((hex(&Sha256::digest(&bytes)), bytes));
        let failed = |error: std::io::Error| ReleaseError::Unreachable {
            file: program(version),
            why: error.to_string(),
        };
        let (actual, bytes) = blocking(digest).await.map_err(failed)?;
        if actual != expected {
            let expected = expected.to_owned();
            return Err(ReleaseError::ChecksumDiffers { expected, actual });
        }
        check_format(&bytes).map_err(ReleaseError::WrongFormat)?;
        Ok(bytes)
    }

    async fn text(&self, file: &str) -> Result<String, ReleaseError> {
        let bytes = self.get(file, TEXT_LIMIT, MAX_TEXT_BYTES).await?;
        let malformed = |_| ReleaseError::Malformed(file.to_owned(), "expected text");
        String::from_utf8(bytes).map_err(malformed)
    }

    async fn get(&self, file: &str, limit: Duration, most: usize) -> Result<Vec<u8>, ReleaseError> {
        let url = self.url.as_ref().ok_or(ReleaseError::NotConfigured)?;
        let mut call = Call::new(Request::new("GET", format!("{url}/{file}")), limit);
        call.max_answer = most;
        let unreachable = |why| ReleaseError::Unreachable {
            file: file.to_owned(),
            why,
        };
        let answer = self
            .http
            .send(call)
            .await
            .map_err(|error| unreachable(crate::error_chain(&error)))?;
        match answer.status {
            200 => Ok(answer.body),
            404 => Err(ReleaseError::Unknown(file.to_owned())),
            status => Err(unreachable(format!("the answer was {status}"))),
        }
    }
}

fn program(version: &AgentVersion) -> String {
    format!("{version}/dtma-{}", std::env::consts::ARCH)
}
