//! Who owns a volume that holds nothing yet.
//!
//! Docker gives a new volume the owner that the image has for its folder, or root where it has none. All capabilities are
//! dropped, so a tool that runs as another user cannot write to it, and not even root can. So before a container starts, its
//! user gets those of its volumes that are empty. One with data in it is never touched, nor one that a running container
//! uses. It is done at each start and not once: nothing has to be remembered, and a version that runs again after an update
//! failed finds its volumes as they were.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, HostConfig, Mount, MountType, MountVolumeOptions,
};
use bollard::query_parameters::{
    CreateContainerOptions, DownloadFromContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};

use super::docker::DockerEngine;
use super::docker_view as view;
use super::types::{ContainerId, ContainerState, VolumeMount};
use super::{Operation, RuntimeError, labels, volumes};

/// Where the volumes are in the container that gives them their owner.
const FOLDER: &str = "toolbox-volumes";
/// Most bytes that are read of a folder: its own entry and the next one.
const MAX_ENTRY_BYTES: usize = 64 * 1024;
/// Most bytes that are read of `/etc/passwd` or `/etc/group`.
const MAX_LIST_BYTES: usize = 1024 * 1024;

/// A user and its group, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    uid: u64,
    gid: u64,
}

/// A folder of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Folder {
    owner: Owner,
    mode: u32,
    is_empty: bool,
}

/// What matters of a container that is about to start.
#[derive(Debug, PartialEq)]
struct Starting {
    image: String,
    /// As it or its image names it.
    user: String,
    has_capabilities: bool,
    /// The instance's own.
    volumes: Vec<VolumeMount>,
    volume_labels: HashMap<String, String>,
}

impl Starting {
    /// None: it runs already, or has no volume of its instance.
    fn of(detail: &ContainerInspectResponse, toolbox: ToolboxId) -> Option<Self> {
        let container = view::container(detail)?;
        if matches!(
            container.state,
            ContainerState::Running | ContainerState::Paused
        ) {
            return None;
        }
        let config = detail.config.as_ref()?;
        let labels = config.labels.as_ref()?;
        let instance: ToolInstanceId = labels.get(labels::INSTANCE_ID)?.parse().ok()?;
        let is_own = |volume: &VolumeMount| {
            volumes::is_named_by_agent(instance, &volume.name)
                || volumes::is_named_by_docker(&volume.name)
        };
        let own: Vec<_> = container.volumes.into_iter().filter(is_own).collect();
        (!own.is_empty()).then(|| Self {
            image: container.image_digest.unwrap_or(container.image),
            user: config.user.clone().unwrap_or_default(),
            has_capabilities: !container.hardening.cap_add.is_empty(),
            volumes: own,
            volume_labels: labels::of_instance(toolbox, instance),
        })
    }
}

impl DockerEngine {
    /// Gives the empty volumes of a container that is about to start to the user that it will run as.
    pub(super) async fn own_volumes(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let detail = self.inspect(id.as_str()).await?;
        let Some(starting) = Starting::of(&detail, self.toolbox) else {
            return Ok(());
        };
        let mut wanted = Vec::new();
        for volume in &starting.volumes {
            let head = self.read(id, &volume.path, MAX_ENTRY_BYTES).await?;
            let folder = head.as_deref().and_then(folder);
            wanted.extend(folder.filter(|f| f.is_empty).map(|f| (volume, f)));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let Some(owner) = self.owner(id, &starting.user).await? else {
            tracing::warn!(
                container = id.short(),
                user = starting.user,
                "the image does not say who its user is; its volumes keep their owner"
            );
            return Ok(());
        };
        // Root with capabilities gives its folders to others itself, and may count on the owner that they have.
        if owner.uid == 0 && starting.has_capabilities {
            return Ok(());
        }
        wanted.retain(|(_, folder)| folder.owner != owner);
        if wanted.is_empty() {
            return Ok(());
        }
        let in_use = self.in_use(wanted.iter().map(|(v, _)| &v.name)).await?;
        wanted.retain(|(volume, _)| !in_use.contains(&volume.name));
        if wanted.is_empty() {
            return Ok(());
        }
        let given = self.give(&starting, &wanted, owner).await;
        match given {
            Err(error) => Err(self.what_is_missing(error, &starting.image).await),
            Ok(()) => Ok(()),
        }
    }

    /// Those of `volumes` that running containers mount.
    async fn in_use(
        &self,
        volumes: impl Iterator<Item = &String>,
    ) -> Result<BTreeSet<String>, RuntimeError> {
        let using = HashMap::from([("volume".to_owned(), volumes.cloned().collect())]);
        let list = self.list(false, &using).await?;
        let mounts = list.into_iter().flat_map(|c| c.mounts.unwrap_or_default());
        Ok(mounts.filter_map(|mount| mount.name).collect())
    }

    /// The user by number. None: the image names one that it does not list.
    async fn owner(
        &self,
        container: &ContainerId,
        user: &str,
    ) -> Result<Option<Owner>, RuntimeError> {
        let (name, group) = match user.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (user, None),
        };
        if let (Ok(uid), Some(Ok(gid))) = (name.parse(), group.map(str::parse)) {
            return Ok(Some(Owner { uid, gid }));
        }
        if matches!(name, "" | "0" | "root") && group.is_none() {
            return Ok(Some(Owner { uid: 0, gid: 0 }));
        }
        let users = self.read(container, "/etc/passwd", MAX_LIST_BYTES).await?;
        let groups = match group {
            Some(_) => self.read(container, "/etc/group", MAX_LIST_BYTES).await?,
            None => None,
        };
        let text = |archive: Option<Vec<u8>>| archive.and_then(|a| file(&a)).unwrap_or_default();
        Ok(find(name, group, &text(users), &text(groups)))
    }

    /// The first bytes of the archive of `path` in a container; none when it cannot be had.
    async fn read(
        &self,
        container: &ContainerId,
        path: &str,
        most: usize,
    ) -> Result<Option<Vec<u8>>, RuntimeError> {
        let read = self
            .call(
                (Operation::Look, "read a container's files"),
                self.deadlines.change,
                |docker| async move {
                    let options = DownloadFromContainerOptionsBuilder::default()
                        .path(path)
                        .build();
                    let mut parts =
                        docker.download_from_container(container.as_str(), Some(options));
                    let mut bytes = Vec::new();
                    while let Some(part) = parts.next().await {
                        bytes.extend_from_slice(&part?);
                        if bytes.len() >= most {
                            break;
                        }
                    }
                    Ok(bytes)
                },
            )
            .await;
        match read {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                tracing::debug!(container = container.short(), path, %error, "a container's file cannot be read");
                Ok(None)
            }
        }
    }

    /// Gives `volumes` their owner in a container that never starts. In the tool's own, a link in the image could lead
    /// elsewhere, and a read-only root refuses it.
    async fn give(
        &self,
        starting: &Starting,
        volumes: &[(&VolumeMount, Folder)],
        owner: Owner,
    ) -> Result<(), RuntimeError> {
        let mounts = volumes.iter().enumerate().map(|(at, (volume, _))| Mount {
            typ: Some(MountType::VOLUME),
            source: Some(volume.name.clone()),
            target: Some(format!("/{FOLDER}/{at}")),
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(true),
                labels: Some(starting.volume_labels.clone()),
                ..MountVolumeOptions::default()
            }),
            ..Mount::default()
        });
        // Without the label of a generation it is no container of the tool: one that a crash leaves is removed.
        let body = ContainerCreateBody {
            image: Some(starting.image.clone()),
            cmd: Some(vec!["never-started".to_owned()]),
            labels: Some(starting.volume_labels.clone()),
            host_config: Some(HostConfig {
                mounts: Some(mounts.collect()),
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let helper = self
            .call(
                (Operation::Create, "create a container for the volumes"),
                self.deadlines.change,
                |docker| async move {
                    docker
                        .create_container(None::<CreateContainerOptions>, body)
                        .await
                },
            )
            .await?
            .id;
        let archive = folders(volumes, owner);
        let given = self
            .call(
                (Operation::Create, "give the volumes to the tool's user"),
                self.deadlines.change,
                |docker| {
                    let helper = helper.clone();
                    async move {
                        let options = UploadToContainerOptionsBuilder::default().path("/").build();
                        let body = bollard::body_full(Bytes::from(archive));
                        docker
                            .upload_to_container(&helper, Some(options), body)
                            .await
                    }
                },
            )
            .await;
        let removed = self
            .call(
                (Operation::Remove, "remove a container"),
                self.deadlines.change,
                |docker| async move {
                    let options = RemoveContainerOptionsBuilder::default()
                        .force(true)
                        .v(true)
                        .build();
                    docker.remove_container(&helper, Some(options)).await
                },
            )
            .await;
        given.and(removed)
    }
}

/// An archive with an entry for each volume's folder.
fn folders(volumes: &[(&VolumeMount, Folder)], owner: Owner) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (at, (_, folder)) in volumes.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        header.set_mode(folder.mode);
        header.set_uid(owner.uid);
        header.set_gid(owner.gid);
        // Writing to memory does not fail, and the name is short and relative.
        let _ = archive.append_data(&mut header, format!("{FOLDER}/{at}/"), std::io::empty());
    }
    archive.into_inner().unwrap_or_default()
}

/// The folder that is the first entry of an archive; none when it is something else, such as a link.
fn folder(archive: &[u8]) -> Option<Folder> {
    let mut archive = tar::Archive::new(archive);
    let mut entries = archive.entries().ok()?;
    let first = entries.next()?.ok()?;
    let header = first.header();
    if !header.entry_type().is_dir() {
        return None;
    }
    Some(Folder {
        owner: Owner {
            uid: header.uid().ok()?,
            gid: header.gid().ok()?,
        },
        mode: header.mode().ok()? & 0o7777,
        is_empty: entries.next().is_none(),
    })
}

/// The text of the file that is the first entry of an archive.
fn file(archive: &[u8]) -> Option<String> {
    use std::io::Read;
    let mut archive = tar::Archive::new(archive);
    let mut first = archive.entries().ok()?.next()?.ok()?;
    let mut text = Vec::new();
    first.read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The user that Docker runs a container as, from the image's lists: `name:x:uid:gid:…` and `name:x:gid:…`.
fn find(user: &str, group: Option<&str>, users: &str, groups: &str) -> Option<Owner> {
    fn fields(line: &str) -> Vec<&str> {
        line.trim().split(':').collect()
    }
    let number = |fields: &[&str], at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok());
    let by_number = user.parse::<u64>().ok();
    let listed = users
        .lines()
        .map(fields)
        .find(|f| f.first() == Some(&user) || by_number.is_some() && number(f, 2) == by_number);
    let uid = by_number.or_else(|| number(listed.as_ref()?, 2))?;
    let gid = match group {
        Some(group) => group.parse().ok().or_else(|| {
            let listed = groups
                .lines()
                .map(fields)
                .find(|f| f.first() == Some(&group));
            number(&listed?, 2)
        })?,
        None => listed.and_then(|f| number(&f, 3)).unwrap_or(0),
    };
    Some(Owner { uid, gid })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_as_docker_finds_it() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1001:Node:/home/node:/bin/sh\n";
        let groups = "root:x:0:\nstaff:x:50:node\n";
        let owner = |uid, gid| Some(Owner { uid, gid });
        for (user, group, expected) in [
            ("node", None, owner(1000, 1001)),
            ("1000", None, owner(1000, 1001)),
            ("1234", None, owner(1234, 0)),
            ("node", Some("staff"), owner(1000, 50)),
            ("1234", Some("staff"), owner(1234, 50)),
            ("node", Some("77"), owner(1000, 77)),
            ("nobody", None, None),
            ("node", Some("nobody"), None),
        ] {
            assert_eq!(
                find(user, group, users, groups),
                expected,
                "{user} {group:?}"
            );
        }
        assert_eq!(find("1000", None, "", ""), owner(1000, 0));
    }

    #[test]
    fn a_folder_is_read_from_the_head_of_its_archive() {
        let owner = Owner { uid: 5, gid: 6 };
        let volume = VolumeMount {
            name: "v".into(),
            path: "/data".into(),
        };
        let empty = Folder {
            owner,
            mode: 0o1777,
            is_empty: true,
        };
        let one = folders(&[(&volume, empty)], owner);
        assert_eq!(folder(&one), Some(empty));
        let two = folders(&[(&volume, empty), (&volume, empty)], owner);
        let full = Folder {
            is_empty: false,
            ..empty
        };
        assert_eq!(folder(&two), Some(full));
        // Cut off where the reader stopped.
        assert_eq!(folder(&two[..700]), Some(full));
        assert_eq!(folder(b"no archive"), None);
    }
}
