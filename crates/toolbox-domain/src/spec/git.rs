//! Images built from a Git repository.
//!
//! Accepted: `https://github.com/owner/repository` (with or without `.git`), a GitHub link to a Dockerfile, and
//! `https://host/path.git`, each but the link with an optional `#ref:folder`, as Docker writes it. A ref never begins
//! with `-`: it ends up on git's command line. `http` is read for hosts that are not public only: whether such a host may
//! be used is asked later, of a list that whoever runs the machine keeps.

use core::fmt;

use super::image::ImageError;
use crate::address::{Allowed, Target};

const GITHUB: &str = "github.com";
const DOCKERFILE: &str = "Dockerfile";
const MAX_REF_BYTES: usize = 255;

/// A repository with a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GitSource {
    url: String,
    target: Target,
    git_ref: Option<String>,
    context_dir: String,
    dockerfile: String,
}

impl GitSource {
    /// Where to clone from, ending in `.git`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port in the URL.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Branch, tag or commit; the repository's default branch when absent.
    pub fn git_ref(&self) -> Option<&str> {
        self.git_ref.as_deref()
    }

    /// Folder the build sees, relative to the repository's root; empty for the root.
    pub fn context_dir(&self) -> &str {
        &self.context_dir
    }

    /// Name of the Dockerfile within that folder.
    pub fn dockerfile(&self) -> &str {
        &self.dockerfile
    }

    /// `url#ref:folder`, as Docker's build API takes it beside the Dockerfile's name.
    pub fn build_remote(&self) -> String {
        let mut remote = self.url.clone();
        if self.git_ref.is_some() || !self.context_dir.is_empty() {
            remote.push('#');
            remote.push_str(self.git_ref.as_deref().unwrap_or_default());
        }
        if !self.context_dir.is_empty() {
            remote.push(':');
            remote.push_str(&self.context_dir);
        }
        remote
    }
}

/// In its one spelling, which parses to the same value.
impl fmt::Display for GitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.dockerfile == DOCKERFILE {
            return f.write_str(&self.build_remote());
        }
        // Only a link to the file itself can name another Dockerfile.
        let repository = self.url.strip_suffix(".git").unwrap_or(&self.url);
        write!(
            f,
            "{repository}/blob/{}/",
            self.git_ref.as_deref().unwrap_or("HEAD")
        )?;
        if !self.context_dir.is_empty() {
            write!(f, "{}/", self.context_dir)?;
        }
        f.write_str(&self.dockerfile)
    }
}

/// Reads a URL. The characters were checked.
pub(super) fn parse_git(text: &str) -> Result<GitSource, ImageError> {
    let (scheme, rest) = text.split_once("://").ok_or(ImageError::Source)?;
    let (rest, fragment) = match rest.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (rest, None),
    };
    let (host, path) = rest.split_once('/').ok_or(ImageError::Source)?;
    if !matches!(scheme, "https" | "http") {
        return Err(ImageError::Source);
    }
    if host.contains('@') {
        return Err(ImageError::Credentials);
    }
    let target: Target = host.parse().map_err(|_| ImageError::GitHost)?;
    if scheme == "http" && target.check(&Allowed::default()).is_ok() {
        return Err(ImageError::Insecure);
    }
    if path.contains('?') {
        return Err(ImageError::Source);
    }
    let host = target.to_string();
    if matches!(host.as_str(), GITHUB | "www.github.com") {
        return parse_github(path, fragment);
    }
    let repository = path.strip_suffix(".git").ok_or(ImageError::Source)?;
    if !repository.split('/').all(is_segment) {
        return Err(ImageError::GitPath);
    }
    let (git_ref, context_dir) = parse_fragment(fragment)?;
    Ok(GitSource {
        url: format!("{scheme}://{host}/{path}"),
        target,
        git_ref,
        context_dir,
        dockerfile: DOCKERFILE.to_owned(),
    })
}

/// `owner/repository[.git]`, or `owner/repository/blob/<ref>/<path of a Dockerfile>`.
fn parse_github(path: &str, fragment: Option<&str>) -> Result<GitSource, ImageError> {
    let path = path.strip_suffix('/').unwrap_or(path);
    if !path.split('/').all(is_segment) {
        return Err(ImageError::GitPath);
    }
    let mut parts = path.split('/');
    let (Some(owner), Some(repository)) = (parts.next(), parts.next()) else {
        return Err(ImageError::Source);
    };
    let repository = repository.strip_suffix(".git").unwrap_or(repository);
    if repository.is_empty() {
        return Err(ImageError::GitPath);
    }
    let url = format!("https://{GITHUB}/{owner}/{repository}.git");
    let target: Target = GITHUB.parse().map_err(|_| ImageError::GitHost)?;
    match (parts.next(), parts.next()) {
        (None, _) => {
            let (git_ref, context_dir) = parse_fragment(fragment)?;
            Ok(GitSource {
                url,
                target,
                git_ref,
                context_dir,
                dockerfile: DOCKERFILE.to_owned(),
            })
        }
        (Some("blob"), Some(git_ref)) => {
            if fragment.is_some() || !is_git_ref(git_ref) {
                return Err(ImageError::GitRef);
            }
            let folders: Vec<&str> = parts.collect();
            let Some((file, folders)) = folders.split_last() else {
                return Err(ImageError::NotADockerfile);
            };
            if !is_dockerfile(file) {
                return Err(ImageError::NotADockerfile);
            }
            Ok(GitSource {
                url,
                target,
                git_ref: Some(git_ref.to_owned()),
                context_dir: folders.join("/"),
                dockerfile: (*file).to_owned(),
            })
        }
        _ => Err(ImageError::Source),
    }
}

/// `ref`, `ref:folder` or `:folder`.
fn parse_fragment(fragment: Option<&str>) -> Result<(Option<String>, String), ImageError> {
    let Some(fragment) = fragment else {
        return Ok((None, String::new()));
    };
    let (git_ref, folder) = fragment.split_once(':').unwrap_or((fragment, ""));
    let folder = folder.strip_suffix('/').unwrap_or(folder);
    if !git_ref.is_empty() && !is_git_ref(git_ref) {
        return Err(ImageError::GitRef);
    }
    if !folder.is_empty() && !folder.split('/').all(is_segment) {
        return Err(ImageError::GitPath);
    }
    Ok((
        (!git_ref.is_empty()).then(|| git_ref.to_owned()),
        folder.to_owned(),
    ))
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && segment.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'~' | b'+' | b'@')
        })
}

/// The rules of `git check-ref-format`, and no leading `-`.
#[expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "git refuses exactly this ending"
)]
fn is_git_ref(text: &str) -> bool {
    text.len() <= MAX_REF_BYTES
        && text.split('/').all(|part| {
            is_segment(part)
                && !part.starts_with(['.', '-'])
                && !part.ends_with('.')
                && !part.ends_with(".lock")
                && !part.contains("..")
                && !part.contains('~')
        })
        && text != "@"
}

fn is_dockerfile(file: &str) -> bool {
    let file = file.to_ascii_lowercase();
    file.contains("dockerfile") || file.contains("containerfile")
}
