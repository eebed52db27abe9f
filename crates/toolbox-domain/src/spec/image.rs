//! Where the image of a container comes from: a registry, or a Git repository with a Dockerfile.

use core::fmt;
use core::str::FromStr;

use super::git::{GitSource, parse_git};
use crate::address::{AddressError, Allowed, Target};

/// Most bytes of an image source.
const MAX_BYTES: usize = 2048;
/// Most bytes of the path of a repository, as Docker counts it.
const MAX_REPOSITORY_BYTES: usize = 255;
const MAX_TAG_BYTES: usize = 128;

const DOCKER_HUB: &str = "docker.io";

/// Why a text names no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// Nothing there.
    #[error("give an image such as ghcr.io/owner/name:tag")]
    Empty,
    /// Longer than any image.
    #[error("shorten the image to {MAX_BYTES} characters")]
    TooLong,
    /// Spaces, control characters or anything beyond ASCII.
    #[error("write the image in ASCII without spaces")]
    Characters,
    /// An id, which means something on one machine only.
    #[error("give an image by its name, such as ghcr.io/owner/name:tag, not by its id")]
    ImageId,
    /// The registry part is no host name.
    #[error("write the registry as host or host:port, such as ghcr.io or localhost:5000")]
    Registry,
    /// The repository part breaks Docker's rules.
    #[error(
        "write the image's path in lower-case letters and digits, with single . _ - between them, such as owner/name"
    )]
    Repository,
    /// The tag part breaks Docker's rules.
    #[error("write the tag with letters, digits, _ . and -, at most 128, such as name:1.2")]
    Tag,
    /// The digest part is none.
    #[error("write the digest as sha256: and 64 lower-case hexadecimal digits")]
    Digest,
    /// A URL that is no Git source.
    #[error(
        "give an image such as ghcr.io/owner/name:tag, https://github.com/owner/repository, a GitHub link to a \
         Dockerfile (https://github.com/owner/repository/blob/main/Dockerfile), or https://host/path.git#ref:folder"
    )]
    Source,
    /// A Git source without its scheme.
    #[error("write https:// before github.com")]
    SchemeMissing,
    /// A Git source that is not fetched over TLS.
    #[error("use https:// for the Git source")]
    Insecure,
    /// A URL with a user name or a password.
    #[error("remove user name and password from the URL; it is stored and shown")]
    Credentials,
    /// The host of the Git source is none.
    #[error("write the host of the Git source as a name such as example.com, or as an IP address")]
    GitHost,
    /// The path of the Git source breaks the rules.
    #[error(
        "write the path of the Git source with letters, digits and . _ - ~ + @ only, without . or .. parts"
    )]
    GitPath,
    /// The branch, tag or commit is none.
    #[error("give a branch, tag or commit such as main or v1.2 after #")]
    GitRef,
    /// A link to a file that is no Dockerfile.
    #[error("link to a Dockerfile; this link is to another file")]
    NotADockerfile,
}

impl ImageError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "image_empty",
            Self::TooLong => "image_too_long",
            Self::Characters => "image_has_illegal_characters",
            Self::ImageId => "image_is_id",
            Self::Registry => "image_registry_invalid",
            Self::Repository => "image_repository_invalid",
            Self::Tag => "image_tag_invalid",
            Self::Digest => "image_digest_invalid",
            Self::Source => "image_source_unknown",
            Self::SchemeMissing => "image_scheme_missing",
            Self::Insecure => "git_insecure",
            Self::Credentials => "git_has_credentials",
            Self::GitHost => "git_host_invalid",
            Self::GitPath => "git_path_invalid",
            Self::GitRef => "git_ref_invalid",
            Self::NotADockerfile => "git_not_a_dockerfile",
        }
    }
}

/// Where the image comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageSource {
    /// Pulled from a registry.
    Reference(ImageReference),
    /// Built from a Git repository.
    Git(GitSource),
}

impl ImageSource {
    /// Reads an image reference or a Git source. Whether it may be fetched from there is another question:
    /// [`ImageSource::check_address`].
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        check_characters(text)?;
        if text.contains("://") {
            return parse_git(text).map(Self::Git);
        }
        if text.starts_with("git@") {
            return Err(ImageError::Source);
        }
        if text.starts_with("github.com/") {
            return Err(ImageError::SchemeMissing);
        }
        text.parse().map(Self::Reference)
    }

    /// Where it is fetched from.
    pub const fn target(&self) -> &Target {
        match self {
            Self::Reference(reference) => &reference.target,
            Self::Git(git) => git.target(),
        }
    }

    /// Whether it may be fetched from there, as far as the text tells.
    pub fn check_address(&self, allowed: &Allowed) -> Result<(), AddressError> {
        self.target().check(allowed)
    }
}

/// In its one spelling, which parses to the same value.
impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => reference.fmt(f),
            Self::Git(git) => git.fmt(f),
        }
    }
}

/// An image in a registry, spelled in full: `docker.io/library/nginx:latest` for `nginx`.
/// It has a tag or a digest, or both; the digest then decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageReference {
    registry: String,
    target: Target,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageReference {
    /// Host and port, such as `ghcr.io`, in lower case.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Path in the registry, such as `library/nginx`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag; `latest` when neither tag nor digest was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, such as `sha256:…`.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The same, by this digest.
    pub fn with_digest(self, digest: &str) -> Result<Self, ImageError> {
        let digest = Some(check_digest(digest)?.to_owned());
        Ok(Self { digest, ..self })
    }

    /// Whether the same reference may name another image tomorrow.
    pub fn is_floating(&self) -> bool {
        self.digest.is_none()
    }

    /// Registry and repository, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }
}

impl FromStr for ImageReference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        check_characters(text)?;
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(check_digest(digest)?)),
            None => (text, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[path_start..].rfind(':') {
            Some(colon) => {
                let (name, tag) = rest.split_at(path_start + colon);
                (name, Some(&tag[1..]))
            }
            None => (rest, None),
        };
        if is_image_id(rest) {
            return Err(ImageError::ImageId);
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(ImageError::Tag);
        }
        let (target, repository) = split_registry(name)?;
        let registry = target.to_string();
        let official = registry == DOCKER_HUB && !repository.contains('/');
        let repository = if official {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        if repository.len() > MAX_REPOSITORY_BYTES || !repository.split('/').all(is_path_component)
        {
            return Err(ImageError::Repository);
        }
        let tag = tag.or(digest.is_none().then_some("latest"));
        Ok(Self {
            registry,
            target,
            repository,
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

fn check_characters(text: &str) -> Result<(), ImageError> {
    if text.is_empty() {
        return Err(ImageError::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(ImageError::TooLong);
    }
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ImageError::Characters);
    }
    Ok(())
}

/// The first part of a name is a registry when it looks like a host: Docker's rule.
fn split_registry(name: &str) -> Result<(Target, &str), ImageError> {
    let registry = |text: &str| text.parse().map_err(|_| ImageError::Registry);
    match name.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => {
            let hub = ["index.docker.io", "registry-1.docker.io"];
            let is_hub = hub.iter().any(|hub| first.eq_ignore_ascii_case(hub));
            let target = registry(if is_hub { DOCKER_HUB } else { first })?;
            Ok((target, rest))
        }
        _ => Ok((registry(DOCKER_HUB)?, name)),
    }
}

/// Lower-case letters and digits, between them `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut separators = component.split(|c: char| c.is_ascii() && alphanumeric(c as u8));
    let legal = |s: &str| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-');
    let ends = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
    ends(component.as_bytes().first()) && ends(component.as_bytes().last()) && separators.all(legal)
}

fn is_tag(tag: &str) -> bool {
    (1..=MAX_TAG_BYTES).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn check_digest(digest: &str) -> Result<&str, ImageError> {
    let legal = match digest.split_once(':') {
        Some(("sha256", hex)) => is_hex(hex, 64),
        Some(("sha512", hex)) => is_hex(hex, 128),
        _ => false,
    };
    if legal {
        Ok(digest)
    } else {
        Err(ImageError::Digest)
    }
}

fn is_image_id(text: &str) -> bool {
    is_hex(text.strip_prefix("sha256:").unwrap_or(text), 64)
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
