//! Why an instance is not as desired: the codes of a view's `reason`.

use toolbox_api::dtma::Reason;

/// Longest text of Docker that is passed on to the user, in characters.
const MAX_DETAIL_CHARS: usize = 600;

/// Stable codes of a view's reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// The registry has no such repository, or hides it.
    ImageNotFound,
    /// The repository has no such tag or digest.
    ImageTagNotFound,
    /// The registry wants credentials.
    RegistryUnauthorized,
    /// The registry or the Git host is in an inner network.
    SourceNotPublic,
    /// Where the name of the registry or the Git host leads is not known.
    SourceUnresolved,
    /// The registry could not be reached, or refused for now.
    RegistryUnreachable,
    /// The machine's disk is full.
    NoSpace,
    /// The tool keeps more on the disk than its limit.
    DiskLimitExceeded,
    /// The image is not for this machine's processor or system.
    PlatformMismatch,
    /// The image could not be built from its source.
    BuildFailed,
    /// The Git repository could not be fetched.
    GitUnreachable,
    /// The container ended at once.
    Exited,
    /// The image's own health check fails.
    Unhealthy,
    /// The container used more memory than its limit.
    OutOfMemory,
    /// The container keeps ending.
    CrashLoop,
    /// A host port is taken.
    PortInUse,
    /// Both names of the instance are taken by other containers.
    NameConflict,
    /// No subnet is left for the instance's network.
    NetworkPoolExhausted,
    /// Docker did not apply the confinement asked for.
    HardeningNotApplied,
    /// Docker could not run the container's entry point.
    StartFailed,
    /// Docker does not answer.
    DockerUnreachable,
    /// Docker refused or failed.
    DockerFailed,
    /// Docker could not stop the container.
    StopFailed,
    /// Docker could not remove the container.
    RemoveFailed,
}

impl ReasonCode {
    /// The code on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImageNotFound => "image_not_found",
            Self::ImageTagNotFound => "image_tag_not_found",
            Self::RegistryUnauthorized => "registry_unauthorized",
            Self::SourceNotPublic => "source_not_public",
            Self::SourceUnresolved => "source_unresolved",
            Self::RegistryUnreachable => "registry_unreachable",
            Self::NoSpace => "no_space",
            Self::DiskLimitExceeded => "disk_limit_exceeded",
            Self::PlatformMismatch => "platform_mismatch",
            Self::BuildFailed => "build_failed",
            Self::GitUnreachable => "git_unreachable",
            Self::Exited => "exited",
            Self::Unhealthy => "unhealthy",
            Self::OutOfMemory => "out_of_memory",
            Self::CrashLoop => "crash_loop",
            Self::PortInUse => "port_in_use",
            Self::NameConflict => "name_conflict",
            Self::NetworkPoolExhausted => "network_pool_exhausted",
            Self::HardeningNotApplied => "hardening_not_applied",
            Self::StartFailed => "start_failed",
            Self::DockerUnreachable => "docker_unreachable",
            Self::DockerFailed => "docker_failed",
            Self::StopFailed => "stop_failed",
            Self::RemoveFailed => "remove_failed",
        }
    }

    /// The same attempt may succeed later although nobody changed the spec.
    pub const fn may_heal(self) -> bool {
        matches!(
            self,
            Self::SourceUnresolved
                | Self::RegistryUnreachable
                | Self::NoSpace
                | Self::GitUnreachable
                | Self::PortInUse
                | Self::NameConflict
                | Self::NetworkPoolExhausted
                | Self::DockerUnreachable
                | Self::DockerFailed
                | Self::StopFailed
                | Self::RemoveFailed
        )
    }

    /// This code with a sentence.
    pub fn because(self, message: impl Into<String>) -> Why {
        Why {
            code: self,
            message: message.into(),
        }
    }
}

/// A reason before it is put on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The stable code.
    pub code: ReasonCode,
    /// A sentence for the user; never a secret.
    pub message: String,
}

impl From<Why> for Reason {
    fn from(why: Why) -> Self {
        Self {
            code: why.code.as_str().to_owned(),
            message: why.message,
        }
    }
}

/// A text of somebody else as one bounded line without control characters, fit for a sentence.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_DETAIL_CHARS));
    for (count, word) in text.split_whitespace().enumerate() {
        if count > 0 {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !c.is_control()));
    }
    match line.char_indices().nth(MAX_DETAIL_CHARS) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_text_becomes_one_bounded_line() {
        assert_eq!(one_line("a\n  b\tc\u{1b}[31m\0"), "a b c[31m");
        let long = one_line(&"é".repeat(2_000));
        assert_eq!(long.chars().count(), MAX_DETAIL_CHARS + 1);
        assert!(long.ends_with('…'));
    }
}
