//! What a tool keeps on the disk, and how much the disk has left.
//!
//! Where the agent sees Docker's folders, it counts there. Where it does not (it runs in a container itself, or the engine
//! keeps layers elsewhere), it asks Docker, which counts the volumes of the whole machine at once. So the count of one tool takes
//! [`crate::disk::Budget`]'s time and then [`COUNT_LIMIT`] at most, however much the tool keeps.

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
/// How long its count of all volumes is good for, also one that failed: so many times longer than it took, within these bounds.
const COUNT_SHARE: u32 = 10;
const MIN_COUNT_AGE: Duration = Duration::from_secs(15);
const MAX_COUNT_AGE: Duration = Duration::from_mins(1);
/// Most bytes of its answer: some hundred bytes a volume.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// Sizes of all volumes, or why Docker did not count them, and until when that is used.
pub(super) type VolumeSizes = Option<(Instant, Result<HashMap<String, u64>, RuntimeError>)>;

/// Where a container keeps what its tool writes.
#[derive(Debug, PartialEq)]
struct Places {
    layer: Option<PathBuf>,
    /// Name and folder.
    volumes: Vec<(String, PathBuf)>,
    /// The container's limit on the disk.
    limit: Option<u64>,
}

impl Places {
    fn of(detail: &ContainerInspectResponse) -> Option<Self> {
        let config = detail.config.as_ref()?;
        let labels = config.labels.as_ref()?;
        let instance: ToolInstanceId = labels.get(labels::INSTANCE_ID)?.parse().ok()?;
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
            limit: labels
                .get(labels::DISK_BYTES)
                .and_then(|text| text.parse().ok()),
        })
    }
}

impl DockerEngine {
    pub(super) async fn usage_of(&self, id: &ContainerId) -> Result<DiskUsage, RuntimeError> {
        let detail = self.inspect(id.as_str()).await?;
        let places = Places::of(&detail)
            .ok_or_else(|| not_counted("the container does not say whose it is"))?;
        let limit = places.limit;
        let names: Vec<_> = places
            .volumes
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let begun = std::time::Instant::now();
        let counting = move || {
            let budget = Budget::default();
            let layer = places.layer.as_deref();
            let volumes = places.volumes.iter().map(|(_, path)| path.as_path());
            (
                layer.map(|path| bytes_below(path, budget)),
                bytes_of_all(volumes, budget),
            )
        };
        let counted = tokio::task::spawn_blocking(counting).await;
        let (layer, volumes) = match counted {
            Ok((layer, volumes)) => (layer, Some(volumes)),
            Err(_) => (None, None),
        };
        self.telemetry
            .docker("count what a tool keeps on the disk", begun.elapsed());
        let by_docker = (self.layer_by_docker(id), self.volumes_by_docker(&names));
        usage(limit, layer, volumes, by_docker).await
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
        let begun = Instant::now();
        let sizes = match &*held {
            Some((until, sizes)) if *until > begun => sizes,
            // One that failed is not tried for each tool anew.
            _ => {
                let sizes = self.count_volumes().await;
                if let Err(error) = &sizes
                    && error.is_outage()
                {
                    return Err(error.clone());
                }
                let age = (begun.elapsed() * COUNT_SHARE).clamp(MIN_COUNT_AGE, MAX_COUNT_AGE);
                &held.insert((Instant::now() + age, sizes)).1
            }
        };
        let sizes = sizes.as_ref().map_err(Clone::clone)?;
        names.iter().try_fold(0_u64, |sum, name| {
            let bytes = sizes.get(name);
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

/// What a tool keeps, of what the agent counted and what Docker counts. Docker is asked for what the agent has only a part of,
/// unless that is too much already.
async fn usage(
    limit: Option<u64>,
    layer: Own,
    volumes: Own,
    (layer_by_docker, volumes_by_docker): (
        impl Future<Output = Result<u64, RuntimeError>>,
        impl Future<Output = Result<u64, RuntimeError>>,
    ),
) -> Result<DiskUsage, RuntimeError> {
    let (mut layer, mut volumes) = (Part::of(layer), Part::of(volumes));
    let at_least = layer.bytes.saturating_add(volumes.bytes);
    if limit.is_none_or(|limit| at_least <= limit) {
        (layer, volumes) =
            tokio::try_join!(layer.or(layer_by_docker), volumes.or(volumes_by_docker))?;
    }
    Ok(DiskUsage {
        layer: layer.bytes,
        volumes: volumes.bytes,
        missing: layer.missing.or(volumes.missing),
    })
}

/// What the agent counted; none where it could not begin.
type Own = Option<Result<u64, Uncounted>>;

/// What was counted of a place, and why that is not all of it.
struct Part {
    bytes: u64,
    missing: Option<String>,
}

impl Part {
    fn of(own: Own) -> Self {
        match own {
            Some(Ok(bytes)) => Self {
                bytes,
                missing: None,
            },
            Some(Err(part)) => Self {
                bytes: part.at_least,
                missing: Some(crate::error_chain(&part)),
            },
            None => Self {
                bytes: 0,
                missing: Some("the agent does not see it".to_owned()),
            },
        }
    }

    /// Docker's count instead of a part; where Docker fails too, that part.
    async fn or(
        self,
        by_docker: impl Future<Output = Result<u64, RuntimeError>>,
    ) -> Result<Self, RuntimeError> {
        let Some(why) = &self.missing else {
            return Ok(self);
        };
        match by_docker.await {
            Ok(bytes) => Ok(Self {
                bytes: bytes.max(self.bytes),
                missing: None,
            }),
            Err(error @ (RuntimeError::Unreachable { .. } | RuntimeError::ContainerGone)) => {
                Err(error)
            }
            // One tool that is not counted must not end the count of the others.
            Err(error) => Ok(Self {
                bytes: self.bytes,
                missing: Some(format!("{why}; {error}")),
            }),
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

    fn part() -> Result<u64, Uncounted> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), vec![1; 1 << 20]).unwrap();
        let missing = folder.path().join("none");
        let places = [folder.path(), &missing];
        let part = bytes_of_all(places.into_iter(), Budget::default());
        assert!(part.as_ref().is_err_and(|part| part.at_least >= 1 << 20));
        part
    }

    #[tokio::test]
    async fn a_part_counts_only_where_docker_fails_too_and_is_told_to_be_one() {
        let of_layer = async |own, by_docker| {
            let by_docker = (async { by_docker }, async { panic!("it is known") });
            let counted = usage(Some(1 << 30), own, Some(Ok(0)), by_docker).await;
            counted.map(|usage| (usage.layer, usage.missing))
        };
        let slow = || RuntimeError::Timeout {
            operation: "count",
            seconds: 60,
        };
        assert_eq!(
            of_layer(Some(part()), Ok(5 << 20)).await,
            Ok((5 << 20, None))
        );
        assert_eq!(of_layer(None, Ok(7)).await, Ok((7, None)));
        assert!(of_layer(Some(part()), Ok(7)).await.unwrap().0 >= 1 << 20);
        let (bytes, missing) = of_layer(Some(part()), Err(slow())).await.unwrap();
        assert!(bytes >= 1 << 20);
        assert!(missing.unwrap().contains("within 60 s"));
        let (bytes, missing) = of_layer(None, Err(slow())).await.unwrap();
        assert!(bytes == 0 && missing.is_some(), "unknown is not empty");
        let gone = RuntimeError::ContainerGone;
        assert_eq!(of_layer(Some(part()), Err(gone.clone())).await, Err(gone));
    }

    #[tokio::test]
    async fn docker_is_not_asked_where_a_part_is_too_much_already() {
        let never = || async { panic!("Docker was asked") };
        let counted = usage(Some((1 << 20) - 1), None, Some(part()), (never(), never())).await;
        let counted = counted.unwrap();
        assert!(counted.over((1 << 20) - 1).is_some());
        assert!(counted.missing.is_some());
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
