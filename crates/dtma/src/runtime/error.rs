//! What can go wrong with a call to Docker, and what Docker's sentences mean.

use crate::reason::{ReasonCode, Why, one_line};

/// Why a call to Docker did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// Nothing answers on Docker's socket.
    #[error("Docker does not answer on '{host}': {detail}")]
    Unreachable {
        host: String,
        /// What the connection attempt said.
        detail: String,
    },
    /// Docker accepted the call but did not finish it in time.
    #[error("Docker did not {operation} within {seconds} s")]
    Timeout {
        /// What was asked, such as `start the container`.
        operation: &'static str,
        seconds: u64,
    },
    /// The container is not there (any more).
    #[error("the container does not exist")]
    ContainerGone,
    /// The image is not on this machine.
    #[error("the image is not on this machine")]
    ImageMissing,
    /// The toolbox's network is not there (any more).
    #[error("the toolbox's network does not exist")]
    NetworkMissing,
    /// Another container has the name.
    #[error("the container name is taken")]
    NameTaken,
    /// Docker lost this container's task, containerd holds it still: no start of this container can succeed any more.
    #[error("Docker cannot start this container again: {message}")]
    TaskLeft {
        /// Docker's sentence, on one line.
        message: String,
    },
    /// Docker refused or failed, and said why.
    #[error("{message}")]
    Refused {
        /// What Docker's sentence means.
        code: ReasonCode,
        /// The sentence, on one line.
        message: String,
    },
}

/// What Docker was asked to do: the same words mean different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Pull,
    Build,
    Create,
    Start,
    Stop,
    Remove,
    /// Anything that only looks.
    Look,
}

/// Sentences of Docker, containerd, runc and registries in lower case, most specific first.
/// The daemon has no error codes for these, so its messages are the only source.
const SENTENCES: &[(&[&str], ReasonCode)] = &[
    (
        &["no space left on device", "disk quota exceeded"],
        ReasonCode::NoSpace,
    ),
    (
        &[
            "no matching manifest for",
            "exec format error",
            "cannot be used on this platform",
            "does not match the specified platform",
        ],
        ReasonCode::PlatformMismatch,
    ),
    // Docker Hub answers this for a private repository as well as for none.
    (
        &[
            "repository does not exist",
            "name unknown",
            "repository name not known",
            "name_unknown",
        ],
        ReasonCode::ImageNotFound,
    ),
    (
        &[
            "unauthorized",
            "no basic auth credentials",
            "authentication required",
            "pull access denied",
            "denied:",
            "403 forbidden",
        ],
        ReasonCode::RegistryUnauthorized,
    ),
    (
        &["manifest unknown", "manifest for", "manifest_unknown"],
        ReasonCode::ImageTagNotFound,
    ),
    (
        &[
            "dial tcp",
            "i/o timeout",
            "no route to host",
            "no such host",
            "connection refused",
            "connection reset",
            "tls handshake timeout",
            "client.timeout exceeded",
            "request canceled",
            "server misbehaving",
            "network is unreachable",
            "toomanyrequests",
            "too many requests",
            "x509:",
            "server gave http response to https client",
            "502 bad gateway",
            "503 service unavailable",
            "504 gateway",
            "unexpected eof",
            ": eof",
        ],
        ReasonCode::RegistryUnreachable,
    ),
];

/// Sentences that only mean this when a container starts.
const START_SENTENCES: &[(&[&str], ReasonCode)] = &[
    (
        &[
            "port is already allocated",
            "address already in use",
            "ports are not available",
        ],
        ReasonCode::PortInUse,
    ),
    (&["no space left on device"], ReasonCode::NoSpace),
    (&["exec format error"], ReasonCode::PlatformMismatch),
    // If the tool's program is missing, the init process reports it after the start. A missing file at the start itself
    // is one of the engine's.
    (&["no command specified"], ReasonCode::StartFailed),
];

/// What `text`, said by Docker during `operation`, means.
pub fn classify(operation: Operation, text: &str) -> ReasonCode {
    let lower = text.to_lowercase();
    let find = |table: &[(&[&str], ReasonCode)]| {
        table
            .iter()
            .find(|(words, _)| words.iter().any(|w| lower.contains(w)))
            .map(|(_, code)| *code)
    };
    match operation {
        Operation::Pull => find(SENTENCES).unwrap_or(ReasonCode::DockerFailed),
        Operation::Build => classify_build(&lower),
        Operation::Create | Operation::Start => {
            find(START_SENTENCES).unwrap_or(ReasonCode::DockerFailed)
        }
        Operation::Stop => ReasonCode::StopFailed,
        Operation::Remove => ReasonCode::RemoveFailed,
        Operation::Look => ReasonCode::DockerFailed,
    }
}

/// What it means when a long `operation` makes no progress.
pub(super) const fn too_slow(operation: Operation) -> ReasonCode {
    match operation {
        Operation::Pull => ReasonCode::RegistryUnreachable,
        Operation::Build => ReasonCode::BuildFailed,
        _ => ReasonCode::DockerFailed,
    }
}

/// A build fails in the repository's own steps unless Docker says otherwise.
fn classify_build(lower: &str) -> ReasonCode {
    if lower.contains("no space left on device") {
        ReasonCode::NoSpace
    } else if lower.contains("error fetching")
        || lower.contains("unable to 'git clone'")
        || lower.contains("could not read from remote")
        || lower.contains("unable to access")
        || lower.contains("repository not found")
        || lower.contains("executable file not found in $path") && lower.contains("git")
        || lower.contains("error initializing context")
    {
        ReasonCode::GitUnreachable
    } else {
        ReasonCode::BuildFailed
    }
}

impl RuntimeError {
    /// What Docker said during `operation`, classified.
    pub fn refused(operation: Operation, text: &str) -> Self {
        // Messages of an engine after it was killed in the middle of a start.
        let text_end = text.trim_end();
        let is_left = text.starts_with("task ") && text_end.ends_with(": already exists")
            || text_end == "id already in use";
        if operation == Operation::Start && is_left {
            return Self::TaskLeft {
                message: one_line(text),
            };
        }
        Self::Refused {
            code: classify(operation, text),
            message: one_line(text),
        }
    }

    /// Docker itself did not answer; the request may be fine.
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Timeout { .. })
    }

    /// The reason a view gives for this error during `operation`.
    pub fn why(&self, operation: Operation) -> Why {
        let code = match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => ReasonCode::DockerUnreachable,
            Self::ContainerGone | Self::NetworkMissing | Self::TaskLeft { .. } => {
                ReasonCode::DockerFailed
            }
            Self::ImageMissing => ReasonCode::ImageNotFound,
            Self::NameTaken => ReasonCode::NameConflict,
            Self::Refused { code, .. } => *code,
        };
        let detail = self.to_string();
        let message = match (code, operation) {
            (ReasonCode::ImageNotFound, _) => {
                format!("The registry has no such image, or it is private: {detail}")
            }
            (ReasonCode::ImageTagNotFound, _) => {
                format!("The registry has no such tag or digest of this image: {detail}")
            }
            (ReasonCode::RegistryUnauthorized, _) => {
                format!("The registry wants credentials for this image: {detail}")
            }
            (ReasonCode::RegistryUnreachable, _) => {
                format!("The registry could not be reached: {detail}")
            }
            (ReasonCode::NoSpace, _) => format!("The machine's disk is full: {detail}"),
            (ReasonCode::PlatformMismatch, _) => {
                format!("The image is not built for this machine: {detail}")
            }
            (ReasonCode::BuildFailed, _) => format!("The image could not be built: {detail}"),
            (ReasonCode::GitUnreachable, _) => {
                format!("The Git repository could not be fetched: {detail}")
            }
            (ReasonCode::PortInUse, _) => format!("A host port is already in use: {detail}"),
            (ReasonCode::NameConflict, _) => {
                "Both names of the container are taken by other containers; remove one of them"
                    .to_owned()
            }
            (ReasonCode::StartFailed, _) => {
                format!("The container's entry point could not be run: {detail}")
            }
            (ReasonCode::DockerUnreachable, _) => format!("{detail}; the agent keeps trying"),
            (_, Operation::Stop) => format!("The container could not be stopped: {detail}"),
            (_, Operation::Remove) => format!("The container could not be removed: {detail}"),
            _ => format!("Docker reported a failure: {detail}"),
        };
        code.because(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReasonCode as R;

    #[test]
    fn a_task_left_in_containerd_is_told_apart_when_a_container_starts() {
        for text in ["task ea75f925: already exists", "id already in use"] {
            assert!(matches!(
                RuntimeError::refused(Operation::Start, text),
                RuntimeError::TaskLeft { .. }
            ));
        }
        for (operation, text) in [
            (Operation::Create, "task ea75f925: already exists"),
            (Operation::Create, "id already in use"),
            (Operation::Start, "network toolbox-1: already exists"),
        ] {
            assert!(matches!(
                RuntimeError::refused(operation, text),
                RuntimeError::Refused { .. }
            ));
        }
    }

    #[test]
    fn what_keeps_a_container_from_starting_is_understood() {
        let start = [
            (
                "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:31000 failed: port is already allocated",
                R::PortInUse,
            ),
            (
                "listen tcp4 127.0.0.1:31000: bind: address already in use",
                R::PortInUse,
            ),
            (
                "standard_init_linux.go:228: exec user process caused: exec format error",
                R::PlatformMismatch,
            ),
            ("No command specified", R::StartFailed),
            // Docker 20.10 says this while it shuts down.
            (
                "failed to update store for object type *libnetwork.endpoint: open : no such file or directory",
                R::DockerFailed,
            ),
            (
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"docker-init\": executable file not found in $PATH: unknown",
                R::DockerFailed,
            ),
            (
                "OCI runtime create failed: runc create failed: unable to start container process: context canceled",
                R::DockerFailed,
            ),
        ];
        for (text, code) in start {
            assert_eq!(classify(Operation::Start, text), code, "{text}");
        }
    }

    #[test]
    fn sentences_of_engines_and_registries_are_understood() {
        let pull = [
            (
                "manifest for 127.0.0.1:5000/x:nope not found: manifest unknown: manifest unknown",
                R::ImageTagNotFound,
            ),
            (
                "pull access denied for nope/nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                R::ImageNotFound,
            ),
            (
                "name unknown: repository name not known to registry",
                R::ImageNotFound,
            ),
            (
                "Head \"http://127.0.0.1:5000/v2/x/manifests/1\": no basic auth credentials",
                R::RegistryUnauthorized,
            ),
            (
                "unauthorized: authentication required",
                R::RegistryUnauthorized,
            ),
            (
                "Head \"https://ghcr.io/v2/a/b/manifests/1\": denied: denied",
                R::RegistryUnauthorized,
            ),
            (
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                R::RegistryUnreachable,
            ),
            (
                "Get \"https://nope.invalid/v2/\": dial tcp: lookup nope.invalid: no such host",
                R::RegistryUnreachable,
            ),
            (
                "Get \"https://registry-1.docker.io/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
                R::RegistryUnreachable,
            ),
            (
                "toomanyrequests: You have reached your pull rate limit",
                R::RegistryUnreachable,
            ),
            (
                "no matching manifest for linux/amd64 in the manifest list entries",
                R::PlatformMismatch,
            ),
            (
                "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
                R::NoSpace,
            ),
            ("something new", R::DockerFailed),
        ];
        for (text, code) in pull {
            assert_eq!(classify(Operation::Pull, text), code, "{text}");
        }
        assert_eq!(
            classify(
                Operation::Build,
                "error fetching: exit status 128: fatal: unable to access 'https://github.com/a/b.git/'"
            ),
            R::GitUnreachable
        );
        assert_eq!(
            classify(
                Operation::Build,
                "The command '/bin/sh -c make' returned a non-zero code: 2"
            ),
            R::BuildFailed
        );
    }
}
