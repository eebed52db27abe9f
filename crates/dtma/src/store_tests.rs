//! The store against files that were cut short, garbled or replaced.

use toolbox_api::dtma::SecretValue;
use toolbox_domain::spec::limits;

use super::*;
use crate::reason::ReasonCode;

const TOOLBOX: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

fn open(dir: &Path) -> Store {
    Store::open(dir, TOOLBOX.parse().unwrap()).unwrap()
}

fn record(n: u128) -> Record {
    let mut wire = ToolSpec {
        image: "ghcr.io/a/b:1".into(),
        ..ToolSpec::default()
    };
    wire.env
        .insert("TOKEN".into(), SecretValue::plain("SECRET"));
    let spec = InstanceSpec::validate(wire).unwrap();
    let release = Release::new(3, spec, Vec::new());
    Record {
        id: ToolInstanceId::new(uuid::Uuid::from_u128(n)),
        name: DisplayName::parse("Ünï/cödé 404 🧰").unwrap(),
        container_name: "x-1".into(),
        generation: 4,
        desired: Desired::Running,
        requested_sha256: release.sha256.clone(),
        next: Some(Release {
            revision: 4,
            proven: false,
            refresh_image: true,
            ..release.clone()
        }),
        current: Release {
            proven: true,
            image_digest: Some("sha256:1".into()),
            pulled: true,
            ..release
        },
        update_failure: Some(Reason {
            code: "exited".into(),
            message: "m".into(),
        }),
        inherited_volumes: [("/data".to_owned(), "f00d".to_owned())].into(),
        halted: Some(Halt {
            reason: ReasonCode::DiskLimitExceeded.because("too much").into(),
            asked_again: true,
        }),
        rests: true,
        restart: OffsetDateTime::from_unix_timestamp(1_800_000_000)
            .ok()
            .map(|after| Restart {
                after,
                generation: 4,
            }),
    }
}

#[test]
fn a_record_whose_values_have_no_envelope_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.save(&record(1)).unwrap();
    let path = store.instances.join(format!("{}.json", record(1).id));
    let envelope = r#"{"key_id":null,"value":"SECRET"}"#;
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(envelope).count(), 2);
    let old = text
        .replace(envelope, "\"SECRET\"")
        .replace("\"format\":2", "\"format\":1");
    fs::write(&path, old).unwrap();
    assert_eq!(store.load().unwrap().records, [record(1)]);
}

/// As an agent wrote it that knew no limit on the disk.
#[test]
fn a_release_that_was_stored_without_a_limit_on_the_disk_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.save(&record(1)).unwrap();
    let path = store.instances.join(format!("{}.json", record(1).id));
    let limit = format!(r#","disk_bytes":{}"#, limits::DEFAULT_DISK_BYTES);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(&limit).count(), 2, "{text}");
    fs::write(&path, text.replacen(&limit, "", 1)).unwrap();
    for _ in 0..2 {
        let loaded = store.load().unwrap().records.remove(0);
        let of = |release: &Release| release.spec.resources().disk_bytes;
        assert_eq!(of(&loaded.current), None);
        let next = loaded.next.as_ref().unwrap();
        assert_eq!(of(next), Some(limits::DEFAULT_DISK_BYTES));
        // The spec is the same that was asked for.
        assert_eq!(loaded.current.spec.wire(), record(1).current.spec.wire());
        assert_eq!(loaded.current.sha256, record(1).current.sha256);
        store.save(&loaded).unwrap();
    }
}

#[test]
fn a_record_reads_back_equal_and_is_private() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.save(&record(1)).unwrap();
    store.save(&record(2)).unwrap();
    let mut loaded = store.load().unwrap().records;
    loaded.sort_by_key(|r| r.id);
    assert_eq!(loaded, [record(1), record(2)]);
    let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&store.instances), 0o700);
    assert_eq!(
        mode(&store.instances.join(format!("{}.json", record(1).id))),
        0o600
    );
}

#[test]
fn removing_is_idempotent() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.save(&record(1)).unwrap();
    store.remove(record(1).id).unwrap();
    store.remove(record(1).id).unwrap();
    assert!(store.load().unwrap().records.is_empty());
}

#[test]
fn whatever_is_no_record_is_set_aside_and_the_rest_is_read() {
    let whole = {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.save(&record(1)).unwrap();
        fs::read(store.instances.join(format!("{}.json", record(1).id))).unwrap()
    };
    let text = String::from_utf8(whole.clone()).unwrap();
    let broken: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"null".to_vec(),
        vec![0; 4096],
        vec![0xff; 10],
        whole[..whole.len() / 2].to_vec(),
        text.replace("\"format\":2", "\"format\":3").into_bytes(),
        text.replace("ghcr.io/a/b:1", "http://not-allowed/x")
            .into_bytes(),
        text.replace("Ünï/cödé 404 🧰", "a\\nb").into_bytes(),
        text.replace(&record(1).id.to_string(), &record(9).id.to_string())
            .into_bytes(),
    ];
    for bytes in broken {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        store.save(&record(2)).unwrap();
        fs::write(
            store.instances.join(format!("{}.json", record(1).id)),
            &bytes,
        )
        .unwrap();
        let loaded = store.load().unwrap();
        assert_eq!(loaded.records, [record(2)]);
        assert_eq!(loaded.quarantined, [record(1).id]);
        assert_eq!(
            fs::read_dir(&store.quarantine).unwrap().count(),
            1,
            "nothing is thrown away"
        );
        assert!(
            store.load().unwrap().quarantined.is_empty(),
            "it is reported once"
        );
    }
}

#[test]
fn a_write_cut_short_leaves_the_old_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.save(&record(1)).unwrap();
    fs::write(
        store.instances.join(format!(".{}.tmp", record(1).id)),
        b"{\"format\":1,\"id\"",
    )
    .unwrap();
    let loaded = store.load().unwrap();
    assert_eq!(loaded.records, [record(1)]);
    assert_eq!(
        fs::read_dir(&store.instances).unwrap().count(),
        1,
        "the leftover is removed"
    );
}

#[test]
fn one_agent_per_folder_and_one_folder_per_toolbox() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let toolbox = TOOLBOX.parse().unwrap();
    let second = Store::open(dir.path(), toolbox);
    assert!(matches!(second, Err(StoreError::Locked { .. })));
    drop(first);
    let other = "00000000-0000-0000-0000-000000000001".parse().unwrap();
    let stranger = Store::open(dir.path(), other);
    assert!(matches!(stranger, Err(StoreError::OtherToolbox { .. })));
}

/// The loaded state, and what was logged on the way.
fn load_logged(store: &Store) -> (Loaded, String) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let writer = std::sync::Mutex::new(log.reopen().unwrap());
    let subscriber = tracing_subscriber::fmt()
        .json()
        .with_writer(writer)
        .finish();
    let loaded = tracing::subscriber::with_default(subscriber, || store.load().unwrap());
    (loaded, fs::read_to_string(log.path()).unwrap())
}

#[test]
fn a_file_that_quotes_a_secret_does_not_tell_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.save(&record(1)).unwrap();
    let path = store.instances.join(format!("{}.json", record(1).id));
    let text = fs::read_to_string(&path).unwrap();
    // serde's error of this quotes the text.
    let envelope = r#"{"TOKEN":{"key_id":null,"value":"SECRET"}}"#;
    let broken = text.replace(envelope, "\"SECRET\"");
    assert_ne!(broken, text);
    fs::write(&path, broken).unwrap();
    let (loaded, log) = load_logged(&store);
    assert_eq!(loaded.quarantined, [record(1).id]);
    assert!(log.contains("it is no JSON of a record (line 1"), "{log}");
    assert!(!log.contains("SECRET"), "{log}");
}

#[test]
fn a_folder_that_cannot_be_synced_leaves_the_old_record_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    store.save(&record(1)).unwrap();
    store.sync_folder = |_| Err(io::Error::other("broken disk"));
    let deletion = Record {
        desired: Desired::Absent,
        generation: 5,
        ..record(1)
    };
    for refused in [deletion, record(2)] {
        let error = store.save(&refused).unwrap_err();
        assert!(matches!(error, StoreError::Io { action: "sync", .. }));
        assert_eq!(fs::read_dir(&store.instances).unwrap().count(), 1);
        assert_eq!(store.load().unwrap().records, [record(1)]);
    }
    store.sync_folder = durable::sync_folder;
    store.save(&record(2)).unwrap();
    assert_eq!(store.load().unwrap().records.len(), 2);
}
