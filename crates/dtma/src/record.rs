//! What the agent durably knows of one instance.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use toolbox_api::dtma::{Desired, PortBinding, Reason, ToolSpec};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::names::DisplayName;
use toolbox_domain::spec::{ImageSource, InstanceSpec};

use crate::runtime::ImageRequest;

/// The desired state of one instance, and the specs it can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: ToolInstanceId,
    /// The user's name of it.
    pub name: DisplayName,
    /// Name of its container in Docker.
    pub container_name: String,
    /// Generation of the desired state.
    pub generation: u64,
    /// What it should be; `Absent` marks a deletion in progress.
    pub desired: Desired,
    /// Digest of the last spec that was asked for, whether it runs or was rolled back.
    pub requested_sha256: String,
    /// The release in use.
    pub current: Release,
    /// An update that has not proven itself yet.
    pub next: Option<Release>,
    /// Why the last update was rolled back.
    pub update_failure: Option<Reason>,
    /// The last restart that was asked for.
    pub restart: Option<Restart>,
    /// Volumes that Docker named for containers of the instance, by path: later containers get them too.
    pub inherited_volumes: BTreeMap<String, String>,
    /// It was stopped although it should run.
    pub halted: Option<Halt>,
    /// It was stopped because nobody used it, until somebody does or a command comes, also across lives of the agent.
    pub rests: bool,
}

impl Record {
    /// Its container is to run now.
    pub fn is_to_run(&self) -> bool {
        self.desired == Desired::Running && !self.rests
    }

    /// What is current is not what its generation asks for.
    pub fn is_rolled_back(&self) -> bool {
        self.update_failure.is_some() && self.requested_sha256 != self.current.sha256
    }

    /// The update is the same spec again; only its image may be another by now.
    pub fn is_redeployed(&self) -> bool {
        let next = self.next.as_ref();
        next.is_some_and(|next| next.sha256 == self.current.sha256)
    }
}

/// A restart as a desired state: the container must have started after a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    pub after: OffsetDateTime,
    /// The generation that asked for it, so that a repeated request does not restart again.
    pub generation: u64,
}

/// Why the agent stopped an instance that should run. It stays stopped until a command comes, also across lives of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Halt {
    pub reason: Reason,
    /// A command came since: it starts if what stopped it is over.
    pub asked_again: bool,
}

/// A spec with what the agent added to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// Generation that brought the spec.
    pub revision: u64,
    /// The spec.
    pub spec: InstanceSpec,
    /// Digest of its wire form.
    pub sha256: String,
    /// Published ports, all allocated.
    pub ports: Vec<PortBinding>,
    /// Its container passed the trial.
    pub proven: bool,
    /// It was deployed, and its registry was not asked yet what a floating reference names. It is asked once a release.
    pub refresh_image: bool,
    /// Content id of its image, once known.
    pub image_digest: Option<String>,
    /// Digest by which its registry has that image.
    pub registry_digest: Option<String>,
    /// The agent pulled its image.
    pub pulled: bool,
}

impl Release {
    /// An unproven release.
    pub fn new(revision: u64, spec: InstanceSpec, ports: Vec<PortBinding>) -> Self {
        let sha256 = spec_sha256(spec.wire());
        Self {
            revision,
            spec,
            sha256,
            ports,
            proven: false,
            refresh_image: false,
            image_digest: None,
            registry_digest: None,
            pulled: false,
        }
    }

    /// How to get its image, for `instance`.
    pub fn image_request(&self, instance: ToolInstanceId) -> ImageRequest {
        match self.spec.image() {
            ImageSource::Reference(reference) => ImageRequest::Pull {
                reference: reference.to_string(),
                source: self.spec.image().target().clone(),
                known: self.image_digest.clone(),
                ask_again: reference.is_floating() && self.refresh_image,
                pulled: self.pulled,
            },
            ImageSource::Git(source) => ImageRequest::Build {
                remote: source.build_remote(),
                source: source.target().clone(),
                dockerfile: source.dockerfile().to_owned(),
                // The whole id: an image that is here already is not built again, so no other instance may share its name.
                tag: format!(
                    "toolbox-build/{}:{}",
                    instance.as_uuid().as_simple(),
                    self.revision
                ),
                instance,
                resources: self.spec.resources(),
            },
        }
    }
}

/// The first 8 hex digits of an id.
pub fn short_id(id: impl std::fmt::Display) -> String {
    id.to_string().chars().take(8).collect()
}

/// Digest of a spec in its one JSON form (fields in order, environment sorted).
pub fn spec_sha256(spec: &ToolSpec) -> String {
    let mut digest = Sha256::new();
    // A ToolSpec has string keys only and f64s that JSON can hold, so it always serialises.
    let _ = spec.serialize(&mut serde_json::Serializer::new(Writer(&mut digest)));
    hex(&digest.finalize())
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
            use std::fmt::Write as _;
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Hashes what is written to it.
struct Writer<'a>(&'a mut Sha256);

impl std::io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use toolbox_api::dtma::SecretValue;

    use super::*;

    #[test]
    fn the_digest_depends_on_content_only() {
        let mut a = ToolSpec {
            image: "a".into(),
            ..ToolSpec::default()
        };
        a.env.insert("X".into(), SecretValue::plain("1"));
        a.env.insert("A".into(), SecretValue::plain("2"));
        let round_trip: ToolSpec =
            serde_json::from_str(&serde_json::to_string(&a).unwrap()).unwrap();
        assert_eq!(spec_sha256(&a), spec_sha256(&round_trip));
        a.env.insert("A".into(), SecretValue::plain("3"));
        assert_ne!(spec_sha256(&a), spec_sha256(&round_trip));
        assert_eq!(spec_sha256(&a).len(), 64);
    }
}
