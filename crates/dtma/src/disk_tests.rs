use std::os::unix::fs::symlink;

use super::*;

fn below(path: &Path) -> u64 {
    bytes_below(path, &mut Budget::default()).unwrap()
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
    assert!(bytes_below(&folder.path().join("none"), &mut Budget::default()).is_err());
}

#[test]
fn deep_folders_and_many_files_end_at_their_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let mut path = folder.path().to_owned();
    for _ in 0..300 {
        path.push("d");
        std::fs::create_dir(&path).unwrap();
    }
    std::fs::write(path.join("file"), vec![1; 1 << 20]).unwrap();
    assert!(below(folder.path()) < 1 << 21);
    for file in 0..50 {
        std::fs::write(folder.path().join(file.to_string()), vec![1; 8192]).unwrap();
    }
    let mut little = Budget {
        entries: 10,
        ..Budget::default()
    };
    assert!(bytes_below(folder.path(), &mut little).unwrap() <= 10 * 8192);
}

#[test]
fn too_much_is_told_with_its_limit_and_the_way_out() {
    let usage = DiskUsage {
        layer: 3 << 29,
        volumes: 100 << 20,
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
