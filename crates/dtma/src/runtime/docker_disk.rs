//! What a tool keeps on the disk, and how much the disk has left.
//!
//! Where the agent sees Docker's folders, it counts there. Where it does not (it runs in a container itself, or the engine
//! keeps layers elsewhere), it asks Docker, which counts the volumes of the whole machine at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, SystemInfo};
use bollard::query_parameters::InspectContainerOptionsBuilder;
use serde::Deserialize;
use tokio::time::Instant;
use toolbox_domain::ids::ToolInstanceId;

use super::docker::DockerEngine;
use super::docker_view as view;
use super::types::{ContainerId, CreateContainer};
use super::{Operation, RuntimeError, labels, volumes};
use crate::disk::{Budget, DiskSpace, DiskUsage, Uncounted, bytes_below, bytes_of_all};
use crate::reason::ReasonCode;

/// How long Docker may take to count what it keeps.
const COUNT_LIMIT: Duration = Duration::from_mins(1);
/// How long its count of all volumes is good for, and how many times longer than the count took.
const COUNT_AGE: Duration = Duration::from_secs(15);
const COUNT_SHARE: u32 = 10;
/// Most bytes of its answer: some hundred bytes a volume.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Sizes of all volumes, and until when they are used.
pub(super) type VolumeSizes = Option<(Instant, HashMap<String, u64>)>;

/// Where a container keeps what its tool writes.
#[derive(Debug, PartialEq)]
struct Places {
    layer: Option<PathBuf>,
    /// Name and folder.
    volumes: Vec<(String, PathBuf)>,
}

impl Places {
    fn of(detail: &ContainerInspectResponse) -> Option<Self> {
        let config = detail.config.as_ref()?;
        let instance = config.labels.as_ref()?.get(labels::INSTANCE_ID)?;
        let instance: ToolInstanceId = instance.parse().ok()?;
        let driver = detail.graph_driver.as_ref();
        let mounts = detail.mounts.iter().flatten();
        Some(Self {
            layer: driver
                .and_then(|d| d.data.get("UpperDir"))
                .map(PathBuf::from),
            volumes: mounts
                .filter(|mount| view::volume(mount).is_some())
                .filter_map(|mount| Some((mount.name.clone()?, mount.source.clone()?.into())))
                .filter(|(name, _)| {
                    volumes::is_named_by_agent(instance, name) || volumes::is_named_by_docker(name)
                })
                .collect(),
        })
    }
}

impl DockerEngine {
    pub(super) async fn usage_of(&self, id: &ContainerId) -> Result<DiskUsage, RuntimeError> {
        let detail = self.inspect(id.as_str()).await?;
        let Some(places) = Places::of(&detail) else {
            return Ok(DiskUsage::default());
        };
        let names: Vec<_> = places
            .volumes
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let begun = std::time::Instant::now();
        let counting = move || {
            let layer = places.layer.as_deref();
            let volumes = places.volumes.iter().map(|(_, path)| path.as_path());
            (
                layer.map(|path| bytes_below(path, Budget::default())),
                bytes_of_all(volumes, Budget::default),
            )
        };
        let counted = tokio::task::spawn_blocking(counting).await;
        let (layer, volumes) = match counted {
            Ok((layer, volumes)) => (layer, Some(volumes)),
            Err(_) => (None, None),
        };
        self.telemetry
            .docker("count what a tool keeps on the disk", begun.elapsed());
        Ok(DiskUsage {
            layer: match layer {
                Some(Ok(bytes)) => bytes,
                other => known(id, other, self.layer_by_docker(id).await)?,
            },
            volumes: match volumes {
                Some(Ok(bytes)) => bytes,
                other => known(id, other, self.volumes_by_docker(&names).await)?,
            },
        })
    }

    async fn layer_by_docker(&self, id: &ContainerId) -> Result<u64, RuntimeError> {
        let options = InspectContainerOptionsBuilder::default().size(true).build();
        let detail = self
            .call(
                (Operation::Look, "count a container's layer"),
                COUNT_LIMIT,
                |docker| async move { docker.inspect_container(id.as_str(), Some(options)).await },
            )
            .await?;
        let bytes = detail.size_rw.and_then(|n| n.try_into().ok());
        bytes.ok_or_else(|| not_counted("it names no size of the container's layer"))
    }

    /// Docker counts every volume of the machine, so one answer does for all tools for a while.
    async fn volumes_by_docker(&self, names: &[String]) -> Result<u64, RuntimeError> {
        let mut held = self.volume_sizes.lock().await;
        let now = Instant::now();
        if held.as_ref().is_none_or(|(until, _)| *until <= now) {
            let sizes = self.count_volumes().await?;
            let age = (now.elapsed() * COUNT_SHARE).max(COUNT_AGE);
            *held = Some((Instant::now() + age, sizes));
        }
        let sizes = held.as_ref().map(|(_, sizes)| sizes);
        names.iter().try_fold(0_u64, |sum, name| {
            let bytes = sizes.and_then(|sizes| sizes.get(name));
            let bytes = bytes.ok_or_else(|| not_counted("a volume is not in its last count"))?;
            Ok(sum.saturating_add(*bytes))
        })
    }

    /// bollard reads only the answer that engines give since API 1.52.
    async fn count_volumes(&self) -> Result<HashMap<String, u64>, RuntimeError> {
        let client = self.client().await?;
        let version = client.client_version();
        let mut builder = reqwest::Client::builder().timeout(COUNT_LIMIT).no_proxy();
        let base = match self.host().strip_prefix("unix://") {
            Some(socket) => {
                builder = builder.unix_socket(Path::new(socket));
                "http://docker".to_owned()
            }
            None => self.host().replacen("tcp://", "http://", 1),
        };
        let url = format!(
            "{base}/v{}.{}/system/df?type=volume",
            version.major_version, version.minor_version
        );
        let plain = |error: reqwest::Error| not_counted(&crate::error_chain(&error));
        // reqwest asks for one where another crate of the build turns its TLS on. It may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = builder.build().map_err(plain)?;
        let begun = std::time::Instant::now();
        let mut answer = client.get(url).send().await.map_err(plain)?;
        let status = answer.status();
        let mut body = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(plain)? {
            body.extend_from_slice(&part);
            if body.len() > MAX_ANSWER_BYTES {
                return Err(not_counted("its answer is too long"));
            }
        }
        self.telemetry.docker("count all volumes", begun.elapsed());
        if !status.is_success() {
            return Err(not_counted(&format!("it answered {status}")));
        }
        let counted: Counted =
            serde_json::from_slice(&body).map_err(|error| not_counted(&error.to_string()))?;
        Ok(counted.sizes())
    }

    pub(super) async fn space(&self) -> Result<Option<DiskSpace>, RuntimeError> {
        if !self.host().starts_with("unix://") {
            return Ok(None);
        }
        let root = self
            .data_root
            .get_or_try_init(|| async {
                let info = self.describe_engine().await?;
                Ok::<_, RuntimeError>(seen_disk(info.docker_root_dir.as_deref()))
            })
            .await?;
        let disk = root.as_deref();
        Ok(disk.and_then(|path| DiskSpace::of(path, self.kept_free)))
    }

    /// The limit on what a container writes outside its volumes, for a storage driver that has one.
    pub(super) async fn layer_quota(
        &self,
        request: &CreateContainer,
    ) -> Result<Option<HashMap<String, String>>, RuntimeError> {
        let known = self.has_layer_quota.lock().ok().and_then(|known| *known);
        let has_quota = if let Some(known) = known {
            known
        } else {
            let info = self.describe_engine().await?;
            let may = may_limit_layers(&info);
            self.note_layer_quota(may, info.driver.as_deref().unwrap_or_default());
            may
        };
        let bytes = request.spec.resources().disk_bytes.filter(|_| has_quota);
        Ok(bytes.map(|bytes| HashMap::from([("size".to_owned(), bytes.to_string())])))
    }

    /// The driver refused a limit.
    pub(super) fn lacks_layer_quota(&self, why: &str) {
        self.note_layer_quota(false, why);
    }

    fn note_layer_quota(&self, has_quota: bool, detail: &str) {
        tracing::info!(
            has_quota,
            detail,
            "whether Docker's storage driver limits what tools write outside their volumes; where it does not, the agent counts"
        );
        if let Ok(mut known) = self.has_layer_quota.lock() {
            *known = Some(has_quota);
        }
    }

    /// Fails when the disk is too full for another image.
    pub(super) async fn has_room(&self) -> Result<(), RuntimeError> {
        match self.space().await?.and_then(DiskSpace::short) {
            None => Ok(()),
            Some(short) => Err(RuntimeError::Refused {
                code: ReasonCode::NoSpace,
                message: format!("{short}; free space on the machine, or remove tools"),
            }),
        }
    }
}

fn not_counted(detail: &str) -> RuntimeError {
    RuntimeError::Refused {
        code: ReasonCode::DockerFailed,
        message: format!("Docker did not count what is on the disk: {detail}"),
    }
}

/// Docker's count where the agent has a part or nothing; where Docker fails too, that part, and the log says so.
fn known(
    container: &ContainerId,
    own: Option<Result<u64, Uncounted>>,
    by_docker: Result<u64, RuntimeError>,
) -> Result<u64, RuntimeError> {
    let part = own.and_then(Result::err);
    let at_least = part.as_ref().map_or(0, |part| part.at_least);
    match by_docker {
        Ok(bytes) => Ok(bytes.max(at_least)),
        Err(error @ (RuntimeError::Unreachable { .. } | RuntimeError::ContainerGone)) => Err(error),
        Err(error) => {
            let part = part.as_ref().map(|part| crate::error_chain(part));
            tracing::warn!(container = container.as_str(), at_least, agent = part, docker = %error, "it is not known what a tool keeps on the disk; what was counted of it counts");
            Ok(at_least)
        }
    }
}

/// Drivers that take a limit on layers. Of overlay2 only the one on xfs may have it, and says so when it is asked.
fn may_limit_layers(info: &SystemInfo) -> bool {
    let pairs = info.driver_status.iter().flatten();
    let mut on_xfs = pairs.filter(|pair| *pair == &["Backing Filesystem", "xfs"]);
    match info.driver.as_deref() {
        Some("overlay2") => on_xfs.next().is_some(),
        Some("btrfs" | "zfs") => true,
        _ => false,
    }
}

/// A path on the disk that holds Docker's data. In a container whose layers Docker keeps, the agent's own root lies there.
fn seen_disk(root: Option<&str>) -> Option<PathBuf> {
    let root = root.map(PathBuf::from).filter(|path| path.is_dir());
    root.or_else(|| {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let is_layered = mounts
            .lines()
            .any(|line| line.split(' ').nth(4) == Some("/") && line.contains(" - overlay "));
        is_layered.then(|| PathBuf::from("/"))
    })
}

/// The answer of `/system/df`, before and since API 1.52.
#[derive(Deserialize)]
struct Counted {
    #[serde(rename = "Volumes", default)]
    volumes: Option<Vec<CountedVolume>>,
    #[serde(rename = "VolumeUsage", default)]
    usage: Option<CountedUsage>,
}

#[derive(Deserialize)]
struct CountedUsage {
    #[serde(rename = "Items", default)]
    items: Option<Vec<CountedVolume>>,
}

#[derive(Deserialize)]
struct CountedVolume {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "UsageData", default)]
    data: Option<CountedData>,
}

#[derive(Deserialize)]
struct CountedData {
    /// -1 where it is not known.
    #[serde(rename = "Size", default)]
    size: i64,
}

impl Counted {
    fn sizes(self) -> HashMap<String, u64> {
        let items = self.usage.and_then(|usage| usage.items);
        let all = [self.volumes, items].into_iter().flatten().flatten();
        all.filter_map(|volume| {
            let size = u64::try_from(volume.data?.size).ok()?;
            Some((volume.name, size))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_count_are_read() {
        for answer in [
            r#"{"LayersSize":1,"Volumes":[{"Name":"a","UsageData":{"Size":7,"RefCount":1}},{"Name":"b","UsageData":{"Size":-1}},{"Name":"c"}]}"#,
            r#"{"VolumeUsage":{"ActiveCount":1,"Items":[{"Name":"a","UsageData":{"Size":7}}]}}"#,
        ] {
            let counted: Counted = serde_json::from_str(answer).unwrap();
            assert_eq!(counted.sizes(), HashMap::from([("a".to_owned(), 7)]));
        }
        let none: Counted = serde_json::from_str("{\"Volumes\":null}").unwrap();
        assert!(none.sizes().is_empty());
    }

    #[test]
    fn a_part_counts_only_where_docker_fails_too() {
        let id = ContainerId::new("c");
        let part = || {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("file"), vec![1; 1 << 20]).unwrap();
            let missing = folder.path().join("none");
            let places = [folder.path(), &missing];
            let part = bytes_of_all(places.into_iter(), Budget::default);
            assert!(part.as_ref().is_err_and(|part| part.at_least >= 1 << 20));
            Some(part)
        };
        assert_eq!(known(&id, part(), Ok(5 << 20)), Ok(5 << 20));
        assert_eq!(known(&id, None, Ok(7)), Ok(7));
        let slow = || RuntimeError::Timeout {
            operation: "count",
            seconds: 60,
        };
        // One tool that is not counted must not end the count of the others.
        assert!(known(&id, part(), Err(slow())).unwrap() >= 1 << 20);
        assert_eq!(known(&id, None, Err(slow())), Ok(0));
        let gone = Err(RuntimeError::ContainerGone);
        assert_eq!(known(&id, part(), gone.clone()), gone);
    }

    #[test]
    fn a_layer_is_limited_where_the_driver_may_do_so() {
        let info = |driver: &str, backing: &str| SystemInfo {
            driver: Some(driver.to_owned()),
            driver_status: Some(vec![vec![
                "Backing Filesystem".to_owned(),
                backing.to_owned(),
            ]]),
            ..SystemInfo::default()
        };
        for (driver, backing, expected) in [
            ("overlay2", "extfs", false),
            ("overlay2", "xfs", true),
            ("btrfs", "", true),
            ("overlayfs", "xfs", false),
        ] {
            assert_eq!(
                may_limit_layers(&info(driver, backing)),
                expected,
                "{driver}"
            );
        }
    }

    #[test]
    fn the_disk_is_that_of_dockers_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str();
        assert_eq!(seen_disk(path), Some(folder.path().to_owned()));
    }
}
