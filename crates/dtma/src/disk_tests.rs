use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::fs::mkdirat;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use super::*;

fn below(path: &Path) -> u64 {
    bytes_below(path, Budget::default()).unwrap()
}

#[test]
fn what_the_disk_holds_is_counted_once_and_links_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let outside = folder.path().join("outside");
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("large"), vec![1; 4 << 20]).unwrap();
    let empty = below(&root);
    std::fs::write(root.join("a/b/file"), vec![1; 1 << 20]).unwrap();
    let one = below(&root) - empty;
    assert!((1 << 20..1 << 21).contains(&one), "{one}");
    std::fs::hard_link(root.join("a/b/file"), root.join("again")).unwrap();
    symlink(&outside, root.join("away")).unwrap();
    symlink(outside.join("large"), root.join("a/away")).unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let more = below(&root) - empty - one;
    assert!(more < 1 << 16, "{more}");
    assert!(bytes_below(&folder.path().join("none"), Budget::default()).is_err());
}

/// A path through all of them is longer than the kernel takes.
#[test]
fn what_lies_deep_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let name = "d".repeat(200);
    let mut inner = open(folder.path(), FOLDER, Mode::empty()).unwrap();
    for _ in 0..300 {
        mkdirat(&inner, &*name, Mode::RWXU).unwrap();
        inner = openat(&inner, &*name, FOLDER, Mode::empty()).unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file = openat(&inner, "file", flags, Mode::RWXU).unwrap();
    std::fs::File::from(file)
        .write_all(&vec![1; 1 << 20])
        .unwrap();
    std::fs::write(folder.path().join("other"), vec![1; 1 << 20]).unwrap();
    let bytes = below(folder.path());
    assert!((2 << 20..4 << 20).contains(&bytes), "{bytes}");
}

#[test]
fn more_than_one_count_looks_at_is_not_taken_for_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    for file in 0..50 {
        std::fs::write(folder.path().join(file.to_string()), vec![1; 8192]).unwrap();
    }
    let little = Budget {
        entries: 10,
        ..Budget::default()
    };
    let part = bytes_below(folder.path(), little).unwrap_err();
    assert!((8192..=10 * 8192).contains(&part.at_least), "{part:?}");
    // One place does not use up what the next one may take.
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("file"), vec![1; 1 << 20]).unwrap();
    let places = [folder.path(), other.path()];
    let budget = Budget {
        entries: 60,
        ..Budget::default()
    };
    assert!(bytes_of_all(places.into_iter(), budget).unwrap() >= (1 << 20) + 50 * 8192);
    // The time is for all of them. None begins a time of its own.
    let over = Budget {
        end: Instant::now(),
        ..Budget::default()
    };
    let part = bytes_of_all(places.into_iter(), over).unwrap_err();
    assert_eq!(part.at_least, 0);
}

#[test]
fn what_the_operator_mounted_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![1; 1 << 20]).unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    mount("none", &inner, "tmpfs", MountFlags::empty(), None).unwrap();
    let written = std::fs::write(inner.join("large"), vec![1; 4 << 20]);
    let counted = bytes_below(folder.path(), Budget::default());
    unmount(&inner, UnmountFlags::DETACH).unwrap();
    written.unwrap();
    let bytes = counted.unwrap();
    assert!((1 << 20..4 << 20).contains(&bytes), "{bytes}");
}

#[test]
fn a_folder_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![1; 1 << 20]).unwrap();
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::write(closed.join("large"), vec![1; 4 << 20]).unwrap();
    let mode = |mode| std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(mode));
    mode(0o000).unwrap();
    let path = folder.path().to_owned();
    // As root all could be read. Capabilities are a thread's own.
    let counted = std::thread::spawn(move || {
        let mut own = capabilities(None).unwrap();
        own.effective
            .remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
        set_capabilities(None, own).unwrap();
        bytes_below(&path, Budget::default())
    });
    let part = counted.join().unwrap().unwrap_err();
    assert_eq!(part.source.kind(), io::ErrorKind::PermissionDenied);
    assert!((1 << 20..4 << 20).contains(&part.at_least), "{part:?}");
    mode(0o700).unwrap();
}

#[test]
fn too_much_is_told_with_its_limit_and_the_way_out() {
    let usage = DiskUsage {
        layer: 3 << 29,
        volumes: 100 << 20,
        missing: None,
    };
    assert_eq!(usage.over(2 << 30), None);
    let why = usage.over(1 << 30).unwrap();
    assert_eq!(why.code, ReasonCode::DiskLimitExceeded);
    for part in [
        "1.5 GiB outside",
        "100 MiB in its volumes",
        "its limit is 1 GiB",
        "resources.disk",
    ] {
        assert!(why.message.contains(part), "{part}: {}", why.message);
    }
}

#[test]
fn a_disk_is_short_of_bytes_or_of_inodes() {
    let disk = DiskSpace {
        total: 100 << 30,
        free: 2 << 30,
        inodes: 1000,
        free_inodes: 500,
        kept: 1 << 30,
    };
    assert_eq!(disk.short(), None);
    let full = DiskSpace {
        free: 1 << 29,
        ..disk
    };
    assert_eq!(
        full.short().unwrap(),
        "512 MiB are free of 100 GiB, and 1 GiB are kept free"
    );
    let without_inodes = DiskSpace {
        free_inodes: 9,
        ..disk
    };
    assert!(without_inodes.short().unwrap().contains("inodes"));
    let uncounted = DiskSpace {
        inodes: 0,
        free_inodes: 0,
        ..disk
    };
    assert_eq!(uncounted.short(), None);
    assert!(DiskSpace::of(Path::new("/"), 0).unwrap().short().is_none());
}

#[test]
fn amounts_are_read_by_people() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (1_600_000, "1.5 MiB"),
        (3 << 29, "1.5 GiB"),
        (16 << 40, "16 TiB"),
        (u64::MAX, "16777215.9 TiB"),
    ] {
        assert_eq!(amount(bytes), text);
    }
}
