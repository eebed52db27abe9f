//! What is made of an engine's words about images.

use super::*;

#[test]
fn layers_add_up() {
    let mut layers = Layers::default();
    let detail = |current, total| {
        Some(ProgressDetail {
            current: Some(current),
            total: Some(total),
        })
    };
    layers.note(Some("latest".into()), "Pulling from a/b", None);
    layers.note(Some("l1".into()), "Downloading", detail(5, 10));
    layers.note(Some("l2".into()), "Downloading", detail(1, 20));
    layers.note(Some("l1".into()), "Pull complete", None);
    layers.note(Some("l3".into()), "Already exists", None);
    let progress = layers.progress();
    assert_eq!(
        (progress.current_bytes, progress.total_bytes),
        (Some(11), Some(30))
    );
    assert_eq!((progress.layers_done, progress.layers_total), (2, 3));
}

#[test]
fn docker_tells_where_it_keeps_images() {
    let pair = |name: &str, value: &str| vec![name.to_owned(), value.to_owned()];
    let classic = [
        pair("Backing Filesystem", "extfs"),
        pair("Supports d_type", "true"),
    ];
    assert!(!keeps_images_in_containerd(&classic));
    let containerd = [pair("driver-type", "io.containerd.snapshotter.v1")];
    assert!(keeps_images_in_containerd(&containerd));
}

#[test]
fn whatever_a_registry_says_keeps_the_image_that_is_here() {
    let here = || Some("sha256:1".to_owned());
    for words in [
        "toomanyrequests",
        "no space left on device",
        "unexpected EOF",
        "x509",
    ] {
        let kept = kept(
            here(),
            "a/b:1",
            RuntimeError::refused(Operation::Pull, None, words),
        )
        .unwrap();
        assert_eq!((kept.digest, kept.pulled), (here(), false));
        assert!(kept.not_asked.is_some(), "{words}");
    }
    let gone = RuntimeError::Unreachable {
        host: "unix:///x".into(),
        detail: "refused".into(),
    };
    assert_eq!(kept(here(), "a/b:1", gone.clone()), Err(gone));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_stalls_is_waited_for_a_minute_and_a_slow_one_for_five() {
    let toolbox = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".parse().unwrap();
    let telemetry = std::sync::Arc::default();
    let engine = DockerEngine::new("unix:///nowhere", toolbox, Vec::new(), telemetry);
    let begun = tokio::time::Instant::now();
    let words = (Operation::Pull, "pull the image");
    let patience = engine.patience_when_here();
    let word = || futures_util::stream::iter([Ok(())]);
    let stalled = word().chain(futures_util::stream::pending());
    let ended = engine.drain(stalled, words, patience, |()| None).await;
    assert!(
        matches!(ended, Err(RuntimeError::Refused { .. })),
        "{ended:?}"
    );
    assert_eq!(begun.elapsed().as_secs(), 60);
    let begun = tokio::time::Instant::now();
    let slow = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Some((Ok(()), ()))
    });
    let ended = engine
        .drain(Box::pin(slow), words, patience, |()| None)
        .await;
    assert!(
        matches!(ended, Err(RuntimeError::Refused { .. })),
        "{ended:?}"
    );
    assert_eq!(begun.elapsed().as_secs(), 300);
}

#[tokio::test]
async fn only_a_registry_that_an_image_came_from_is_asked() {
    let toolbox = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".parse().unwrap();
    let engine = DockerEngine::new(
        "unix:///nowhere",
        toolbox,
        Vec::new(),
        std::sync::Arc::default(),
    );
    let image = |repo_digest: &str, pulled_from: &str| LocalImage {
        digest: None,
        has_names: true,
        volumes: Vec::new(),
        repo_digests: vec![format!("{repo_digest}@sha256:{}", "0".repeat(64))],
        pulled_from: vec![pulled_from.to_owned()],
    };
    let unnamed = LocalImage {
        repo_digests: Vec::new(),
        ..image("a", "")
    };
    let full = "docker.io/library/nginx:1";
    // Built or loaded here, or pulled as something else and named so here.
    for other in [
        unnamed,
        image("ghcr.io/library/nginx", "ghcr.io/library/nginx"),
    ] {
        assert_eq!(engine.has_registry(&other, full, true).await, Ok(false));
    }
    for (pulled_from, pulled) in [("docker.io/library/nginx", false), ("", true)] {
        let image = image("nginx", pulled_from);
        let asked = engine.has_registry(&image, full, pulled).await;
        assert_eq!(asked, Ok(true));
    }
    // All else depends on Docker's image store, and this engine does not answer.
    let asked = engine.has_registry(&image("nginx", ""), full, false).await;
    assert!(
        matches!(asked, Err(RuntimeError::Unreachable { .. })),
        "{asked:?}"
    );
}
