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
    #[error("the image is not on this machine: {message}")]
    ImageMissing {
        /// Docker's sentence, on one line.
        message: String,
    },
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

/// A sentence and what it means.
type Meaning = (&'static [&'static str], ReasonCode);

/// The machine's and the image's own faults, which no status tells.
const LOCAL: &[Meaning] = &[
    (
        &["no space left on device", "disk quota exceeded"],
        ReasonCode::NoSpace,
    ),
    (
        &[
            "no matching manifest for",
            "no match for platform in manifest",
            "does not provide the specified platform",
            "exec format error",
            "cannot be used on this platform",
            "does not match the specified platform",
        ],
        ReasonCode::PlatformMismatch,
    ),
];

/// What a registry says of itself in words. Docker Hub answers the first for a private repository as well as for none.
const REGISTRY: &[Meaning] = &[
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
        &["manifest unknown", "manifest for", "manifest_unknown"],
        ReasonCode::ImageTagNotFound,
    ),
    (
        &[
            "unauthorized",
            "no basic auth credentials",
            "authentication required",
            "authorization failed",
            "pull access denied",
            "denied:",
        ],
        ReasonCode::RegistryUnauthorized,
    ),
    (
        &["toomanyrequests", "too many requests"],
        ReasonCode::RegistryUnreachable,
    ),
];

/// What the network says on the way to a registry. The last sentence is containerd's for a 404, in which it keeps the
/// reference and drops the status.
const NETWORK: &[Meaning] = &[
    (
        &[
            "dial tcp",
            "i/o timeout",
            "no route to host",
            "no such host",
            "connection refused",
            "connection reset",
            "tls handshake",
            "deadline exceeded",
            "client.timeout exceeded",
            "request canceled",
            "server misbehaving",
            "temporary failure in name resolution",
            "network is unreachable",
            "x509:",
            "tls: ",
            "server gave http response to https client",
            "unexpected eof",
            ": eof",
            "goaway",
            "broken pipe",
        ],
        ReasonCode::RegistryUnreachable,
    ),
    (&[": not found"], ReasonCode::ImageTagNotFound),
];

/// Sentences that only mean this when a container is created or starts.
const START: &[Meaning] = &[
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
    (
        &[
            "no command specified",
            "no command or entrypoint provided",
            "unable to find user",
            "no matching entries in passwd file",
            "no matching entries in group file",
            "chdir to cwd",
        ],
        ReasonCode::StartFailed,
    ),
];

fn find(tables: &[&[Meaning]], lower: &str) -> Option<ReasonCode> {
    tables
        .iter()
        .copied()
        .flatten()
        .find(|(words, _)| words.iter().any(|w| lower.contains(w)))
        .map(|(_, code)| *code)
}

/// What Docker's answer during `operation` means: its HTTP status, where there was one, and its sentence. Statuses are the
/// same in every version; sentences are not, so they only refine what a status says, or stand in where there is none.
pub fn classify(operation: Operation, status: Option<u16>, text: &str) -> ReasonCode {
    let lower = text.to_lowercase();
    match operation {
        Operation::Pull => classify_pull(status, &lower),
        Operation::Build => classify_build(&lower),
        Operation::Create | Operation::Start => {
            find(&[START], &lower).unwrap_or(ReasonCode::DockerFailed)
        }
        Operation::Stop => ReasonCode::StopFailed,
        Operation::Remove => ReasonCode::RemoveFailed,
        Operation::Look => ReasonCode::DockerFailed,
    }
}

/// Docker answers a pull with the class of the registry's answer in versions that know it, else with 500. Once it reports
/// progress there is no status any more, but most sentences then carry the registry's own.
fn classify_pull(status: Option<u16>, lower: &str) -> ReasonCode {
    if let Some(code) = find(&[LOCAL], lower) {
        return code;
    }
    let by_status = registry_status(lower).or(status).and_then(|s| match s {
        401 | 403 => Some(ReasonCode::RegistryUnauthorized),
        404 => Some(ReasonCode::ImageTagNotFound),
        408 | 429 | 502..=504 => Some(ReasonCode::RegistryUnreachable),
        // Docker's own, for whatever it does not know.
        _ => None,
    });
    match by_status {
        // Which of the two is missing, or whether it is hidden, only words tell.
        Some(ReasonCode::ImageTagNotFound) => find(&[REGISTRY], lower)
            .filter(|code| *code != ReasonCode::RegistryUnreachable)
            .unwrap_or(ReasonCode::ImageTagNotFound),
        Some(code) => code,
        None if registry_status(lower).is_some_and(|s| s >= 500) => ReasonCode::RegistryUnreachable,
        None => find(&[REGISTRY, NETWORK], lower).unwrap_or(ReasonCode::DockerFailed),
    }
}

/// The status of the registry's answer, as Docker and containerd quote it: `403 Forbidden`.
fn registry_status(lower: &str) -> Option<u16> {
    const STATUSES: &[(&str, u16)] = &[
        ("401 unauthorized", 401),
        ("403 forbidden", 403),
        ("404 not found", 404),
        ("http 404 response", 404),
        ("408 request timeout", 408),
        ("429 too many requests", 429),
        ("500 internal server error", 500),
        ("502 bad gateway", 502),
        ("503 service unavailable", 503),
        ("504 gateway time", 504),
    ];
    let mut statuses = STATUSES.iter();
    statuses
        .find(|(words, _)| lower.contains(words))
        .map(|(_, status)| *status)
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
        || lower.contains("failed to fetch remote")
        || lower.contains("unable to 'git clone'")
        || lower.contains("could not read from remote")
        || lower.contains("unable to access")
        || lower.contains("repository not found")
        || lower.contains("executable file not found in $path") && lower.contains("git")
        || lower.contains("error initializing context")
    {
        ReasonCode::GitUnreachable
    } else if !is_of_a_step(lower)
        && find(&[REGISTRY, NETWORK], lower) == Some(ReasonCode::RegistryUnreachable)
    {
        // The registry of the image that it builds on.
        ReasonCode::RegistryUnreachable
    } else {
        ReasonCode::BuildFailed
    }
}

/// A command of the repository failed; what it printed is in the build's log.
fn is_of_a_step(lower: &str) -> bool {
    lower.contains("returned a non-zero code") || lower.contains("did not complete successfully")
}

impl RuntimeError {
    /// What Docker answered during `operation`, classified. A message within a stream has no status.
    pub fn refused(operation: Operation, status: Option<u16>, text: &str) -> Self {
        // Messages of an engine after it was killed in the middle of a start.
        let text_end = text.trim_end().trim_end_matches(": unknown");
        let is_left = text.contains("task ") && text_end.ends_with(": already exists")
            || text_end.ends_with("id already in use")
            || text_end.ends_with("container with given ID already exists");
        if operation == Operation::Start && is_left {
            return Self::TaskLeft {
                message: one_line(text),
            };
        }
        Self::Refused {
            code: classify(operation, status, text),
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
            Self::ImageMissing { .. } => ReasonCode::ImageNotFound,
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
            (ReasonCode::DiskLimitExceeded, _) => detail,
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
            (ReasonCode::StartFailed, _) if detail.to_lowercase().contains("no command") => {
                format!("The image names no command: give it one (command): {detail}")
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
        for text in [
            "task ea75f925: already exists",
            "id already in use",
            "failed to create task for container: task ea75f925: already exists: unknown",
            "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: container with given ID already exists: unknown",
        ] {
            assert!(
                matches!(
                    RuntimeError::refused(Operation::Start, Some(409), text),
                    RuntimeError::TaskLeft { .. }
                ),
                "{text}"
            );
        }
        for (operation, text) in [
            (Operation::Create, "task ea75f925: already exists"),
            (Operation::Create, "id already in use"),
            (Operation::Start, "network toolbox-1: already exists"),
        ] {
            assert!(matches!(
                RuntimeError::refused(operation, None, text),
                RuntimeError::Refused { .. }
            ));
        }
    }

    #[test]
    fn what_keeps_a_container_from_starting_is_understood() {
        for (text, code) in [
            // 20.10 to 27
            (
                "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:31000 failed: port is already allocated",
                R::PortInUse,
            ),
            (
                "listen tcp4 127.0.0.1:31000: bind: address already in use",
                R::PortInUse,
            ),
            // 28, 29
            (
                "failed to set up container networking: driver failed programming external connectivity on endpoint x (d5bda0): failed to bind host port for 0.0.0.0:7148:172.18.0.2:7148/tcp: address already in use",
                R::PortInUse,
            ),
            (
                "ports are not available: exposing port TCP 0.0.0.0:80 -> 127.0.0.1:0: listen tcp 0.0.0.0:80: bind: An attempt was made to access a socket",
                R::PortInUse,
            ),
            (
                "standard_init_linux.go:228: exec user process caused: exec format error",
                R::PlatformMismatch,
            ),
            ("No command specified", R::StartFailed),
            ("no command specified", R::StartFailed),
            (
                "unable to find user nobody-here: no matching entries in passwd file",
                R::StartFailed,
            ),
            (
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: chdir to cwd (\"/srv/app\") set in config.json failed: permission denied: unknown",
                R::StartFailed,
            ),
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
        ] {
            assert_eq!(classify(Operation::Start, Some(500), text), code, "{text}");
        }
    }

    /// Docker 20.10 to 28 with its own image store.
    #[test]
    fn a_pull_that_docker_refuses_is_understood() {
        for (status, text, code) in [
            (
                Some(404),
                "manifest for 127.0.0.1:5000/x:nope not found: manifest unknown: manifest unknown",
                R::ImageTagNotFound,
            ),
            (
                Some(404),
                "pull access denied for nope/nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                R::ImageNotFound,
            ),
            (
                Some(404),
                "name unknown: repository name not known to registry",
                R::ImageNotFound,
            ),
            (
                Some(500),
                "Head \"http://127.0.0.1:5000/v2/x/manifests/1\": no basic auth credentials",
                R::RegistryUnauthorized,
            ),
            (
                Some(500),
                "unauthorized: authentication required",
                R::RegistryUnauthorized,
            ),
            (
                Some(500),
                "Head \"https://ghcr.io/v2/a/b/manifests/1\": denied: denied",
                R::RegistryUnauthorized,
            ),
            (
                Some(500),
                "error parsing HTTP 403 response body: unexpected end of JSON input: \"\"; received unexpected HTTP status: 403 Forbidden",
                R::RegistryUnauthorized,
            ),
            (
                Some(500),
                "error parsing HTTP 404 response body: invalid character '<' looking for beginning of value: \"<html>\"",
                R::ImageTagNotFound,
            ),
            (
                Some(500),
                "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
                R::RegistryUnreachable,
            ),
            (
                Some(500),
                "Get \"https://nope.invalid/v2/\": dial tcp: lookup nope.invalid: no such host",
                R::RegistryUnreachable,
            ),
            (
                Some(500),
                "Get \"https://registry-1.docker.io/v2/\": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)",
                R::RegistryUnreachable,
            ),
            (
                Some(500),
                "Get \"https://registry-1.docker.io/v2/\": context deadline exceeded",
                R::RegistryUnreachable,
            ),
            (
                Some(500),
                "received unexpected HTTP status: 500 Internal Server Error",
                R::RegistryUnreachable,
            ),
            (
                None,
                "toomanyrequests: You have reached your pull rate limit",
                R::RegistryUnreachable,
            ),
            (
                Some(429),
                "You have reached your unauthenticated pull rate limit",
                R::RegistryUnreachable,
            ),
            (
                Some(404),
                "no matching manifest for linux/amd64 in the manifest list entries",
                R::PlatformMismatch,
            ),
            (
                None,
                "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
                R::NoSpace,
            ),
            (Some(500), "something new", R::DockerFailed),
            (None, "something new", R::DockerFailed),
        ] {
            assert_eq!(classify(Operation::Pull, status, text), code, "{text}");
        }
    }

    /// Docker 23 to 29 with containerd's image store, which is the default of 29.
    #[test]
    fn a_pull_that_containerd_refuses_is_understood() {
        for (status, text, code) in [
            (
                Some(404),
                "failed to resolve reference \"quay.io/a/runner:nope\": quay.io/a/runner:nope: not found",
                R::ImageTagNotFound,
            ),
            // Before Docker gave these a class, and within a stream.
            (
                Some(500),
                "failed to resolve reference \"docker.io/library/nope:latest\": docker.io/library/nope:latest: not found",
                R::ImageTagNotFound,
            ),
            (
                None,
                "failed to resolve reference \"127.0.0.1:5000/a@sha256:00\": 127.0.0.1:5000/a@sha256:00: not found",
                R::ImageTagNotFound,
            ),
            (
                Some(404),
                "pull access denied for nope, repository does not exist or may require 'docker login'",
                R::ImageNotFound,
            ),
            (
                Some(500),
                "failed to resolve reference \"docker.io/library/nope:1\": pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                R::ImageNotFound,
            ),
            (
                Some(500),
                "failed to resolve reference \"r.example/a:1\": unexpected status from HEAD request to https://r.example/v2/a/manifests/1: 401 Unauthorized",
                R::RegistryUnauthorized,
            ),
            (
                Some(500),
                "failed to resolve reference \"ghcr.io/a/b:1\": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token?scope=repository%3Aa%2Fb%3Apull&service=ghcr.io: 403 Forbidden",
                R::RegistryUnauthorized,
            ),
            (
                Some(500),
                "failed to resolve reference \"r.example/a:1\": unexpected status from HEAD request to https://r.example/v2/a/manifests/1: 429 Too Many Requests",
                R::RegistryUnreachable,
            ),
            (
                Some(500),
                "failed to resolve reference \"r.example/a:1\": unexpected status from HEAD request to https://r.example/v2/a/manifests/1: 503 Service Unavailable",
                R::RegistryUnreachable,
            ),
            (
                Some(500),
                "failed to resolve reference \"r.example/a:1\": unexpected status from HEAD request to https://r.example/v2/a/manifests/1: 500 Internal Server Error",
                R::RegistryUnreachable,
            ),
            (
                Some(500),
                "failed to resolve reference \"nope.invalid/a:1\": failed to do request: Head \"https://nope.invalid/v2/a/manifests/1\": dial tcp: lookup nope.invalid on 10.0.0.2:53: no such host",
                R::RegistryUnreachable,
            ),
            (
                Some(500),
                "failed to resolve reference \"docker.io/library/nginx:1\": failed to authorize: failed to fetch anonymous token: Get \"https://auth.docker.io/token\": net/http: TLS handshake timeout",
                R::RegistryUnreachable,
            ),
            (
                None,
                "failed to copy: httpReadSeeker: failed open: unexpected status code https://r.example/v2/a/blobs/sha256:00: 404 Not Found - Server message: blob unknown",
                R::ImageTagNotFound,
            ),
            (
                None,
                "failed to copy: httpReadSeeker: failed open: failed to do request: Get \"https://r.example/v2/a/blobs/sha256:00\": EOF",
                R::RegistryUnreachable,
            ),
            (
                Some(404),
                "no match for platform in manifest: not found",
                R::PlatformMismatch,
            ),
            (
                Some(404),
                "image with reference r.example/a:1 was found but does not provide the specified platform (linux/arm64)",
                R::PlatformMismatch,
            ),
            (
                None,
                "failed to extract layer sha256:00: write /var/lib/containerd/x: no space left on device",
                R::NoSpace,
            ),
        ] {
            assert_eq!(classify(Operation::Pull, status, text), code, "{text}");
        }
    }

    #[test]
    fn a_build_is_told_from_what_it_fetches() {
        for (text, code) in [
            (
                "error fetching: exit status 128: fatal: unable to access 'https://github.com/a/b.git/'",
                R::GitUnreachable,
            ),
            (
                "failed to fetch remote https://github.com/a/b.git: git stderr: fatal: repository not found",
                R::GitUnreachable,
            ),
            (
                "The command '/bin/sh -c curl x: dial tcp' returned a non-zero code: 2",
                R::BuildFailed,
            ),
            (
                "Get \"https://registry-1.docker.io/v2/\": dial tcp: i/o timeout",
                R::RegistryUnreachable,
            ),
            (
                "manifest for a:nope not found: manifest unknown: manifest unknown",
                R::BuildFailed,
            ),
            (
                "failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 2",
                R::BuildFailed,
            ),
        ] {
            assert_eq!(classify(Operation::Build, None, text), code, "{text}");
        }
    }
}
