//! Volumes that an image declares (`VOLUME`).
//!
//! Docker gives each container an anonymous volume for every path that its image declares, and a container that is made
//! anew gets an empty one. So the agent names these volumes itself, after the instance and the path: every container of
//! the instance gets the same one, and it goes with the instance.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use toolbox_domain::ids::ToolInstanceId;

use super::types::VolumeMount;
use crate::record::hex;

/// Most characters of a path that are kept in the name of its volume.
const MAX_PATH_CHARS: usize = 40;

/// The name of the volume that the user calls `name`.
pub fn of_user(instance: ToolInstanceId, name: &str) -> String {
    format!("toolbox-{instance}-{name}")
}

/// The name of the volume that an image declares at `path`. A user's volume has no `_` in its name.
pub fn of_path(instance: ToolInstanceId, path: &str) -> String {
    let words: String = path
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(MAX_PATH_CHARS)
        .collect();
    let digest = hex(&Sha256::digest(path));
    let digest = digest.get(..8).unwrap_or(&digest);
    format!("toolbox-{instance}_{}-{digest}", words.trim_matches('-'))
}

/// The agent gave the volume its name.
pub fn is_named_by_agent(instance: ToolInstanceId, name: &str) -> bool {
    name.starts_with(&format!("toolbox-{instance}"))
}

/// Docker gave the volume its name: 64 hexadecimal digits.
pub fn is_named_by_docker(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The volumes for the paths that an image declares, except those where something else is mounted. `inherited` are volumes
/// that Docker named, by path; they are used again.
pub fn of_image(
    instance: ToolInstanceId,
    declared: &[String],
    inherited: &BTreeMap<String, String>,
    is_taken: impl Fn(&str) -> bool,
) -> Vec<VolumeMount> {
    let mut volumes = BTreeMap::new();
    for path in declared.iter().filter_map(|path| clean(path)) {
        if is_taken(&path) {
            continue;
        }
        let name = inherited
            .get(&path)
            .cloned()
            .unwrap_or_else(|| of_path(instance, &path));
        volumes.insert(path, name);
    }
    volumes
        .into_iter()
        .map(|(path, name)| VolumeMount { name, path })
        .collect()
}

/// The path in the one spelling that Docker mounts it at; none for one that is not absolute, which Docker's API does not
/// mount by name.
fn clean(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.strip_prefix('/')?.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> ToolInstanceId {
        ToolInstanceId::new(uuid::Uuid::from_u128(7))
    }

    fn named(declared: &[&str], inherited: &[(&str, &str)], taken: &[&str]) -> Vec<VolumeMount> {
        let declared: Vec<String> = declared.iter().map(|&p| p.to_owned()).collect();
        let inherited = inherited
            .iter()
            .map(|&(path, name)| (path.to_owned(), name.to_owned()))
            .collect();
        of_image(id(), &declared, &inherited, |path| taken.contains(&path))
    }

    #[test]
    fn a_path_has_one_volume_however_it_is_spelled() {
        let plain = named(&["/var/lib/data"], &[], &[]);
        assert_eq!(plain.len(), 1);
        assert_eq!(plain[0].path, "/var/lib/data");
        assert!(
            plain[0]
                .name
                .starts_with("toolbox-00000000-0000-0000-0000-000000000007_var-lib-data-"),
            "{}",
            plain[0].name
        );
        for spelling in ["/var/lib/data/", "//var/./lib/data", "/var/x/../lib/data"] {
            assert_eq!(
                named(&[spelling, "/var/lib/data"], &[], &[]),
                plain,
                "{spelling}"
            );
        }
        assert!(is_named_by_agent(id(), &plain[0].name));
        assert!(!is_named_by_docker(&plain[0].name));
        assert!(is_named_by_docker(&"0a1f".repeat(16)));
        assert!(!is_named_by_docker("backups") && !is_named_by_docker(&"g".repeat(64)));
    }

    #[test]
    fn paths_that_look_alike_have_volumes_of_their_own_and_none_is_a_users() {
        let volumes = named(&["/a/b", "/a-b", "/a_b", "/ü", "/ö"], &[], &[]);
        let names: std::collections::BTreeSet<_> = volumes.iter().map(|v| &v.name).collect();
        assert_eq!(names.len(), 5);
        assert!(
            names.iter().all(|n| n.len() <= 128
                && n.bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))),
            "{names:?}"
        );
        assert!(names.iter().all(|n| n.contains('_')));
        assert!(!of_user(id(), "a-b").contains('_'));
    }

    #[test]
    fn what_is_mounted_already_wins_and_a_volume_of_docker_is_used_again() {
        let volumes = named(
            &["/data", "/cache", "relative", "/"],
            &[("/data", "f00d"), ("/gone", "beef")],
            &["/cache"],
        );
        assert_eq!(
            volumes,
            [VolumeMount {
                name: "f00d".into(),
                path: "/data".into()
            }]
        );
    }
}
