use serde_json::{Value, json};

use crate::testing::{INSTANCE, TOOLBOX, World, answer, version, view};

fn path(rest: &str) -> String {
    format!("/{TOOLBOX}/tools/{INSTANCE}/versions{rest}")
}

fn spec(image: &str, token: &str) -> Value {
    json!({"image": image, "env": {"TOKEN": {"key_id": null, "value": token}}})
}

fn digest() -> String {
    format!("sha256:{}", "a".repeat(64))
}

/// Three versions: an image of a registry, one that was never pulled from one, and what runs.
fn with_versions() -> World {
    let world = World::new("running");
    world.tables().versions = vec![
        version(4, &spec("mcp/context7:3", "SECRET-1"), None),
        version(3, &spec("mcp/context7:2", "SECRET-1"), None),
        version(1, &spec("mcp/context7:1", "SECRET-0"), Some(&digest())),
    ];
    world
}

#[test]
fn the_versions_are_told_without_their_secrets() {
    let seen = with_versions().ask("GET", &path(""), None);
    assert_eq!(seen.status, 200, "{}", seen.text);
    assert!(!seen.text.contains("SECRET"), "{}", seen.text);
    let versions = seen.body["versions"].as_array().unwrap();
    let told: Vec<_> = versions
        .iter()
        .map(|version| {
            let differences = version["differences"].as_array().unwrap().iter();
            let fields: Vec<_> = differences
                .map(|it| it["field"].as_str().unwrap())
                .collect();
            (
                version["generation"].as_u64().unwrap(),
                version["current"].as_bool().unwrap(),
                version["rollback_image"].as_str().unwrap(),
                fields.join(" "),
            )
        })
        .collect();
    let by_digest = format!("docker.io/mcp/context7:1@{}", digest());
    assert_eq!(
        told,
        [
            (4, true, "mcp/context7:3", String::new()),
            (3, false, "mcp/context7:2", "dockerImage".to_owned()),
            (
                1,
                false,
                &*by_digest,
                "environmentVariables.TOKEN dockerImage".to_owned()
            ),
        ]
    );
}

#[test]
fn a_rollback_is_an_update_to_what_was_kept() {
    for (generation, image) in [
        (1, format!("docker.io/mcp/context7:1@{}", digest())),
        (3, "mcp/context7:2".to_owned()),
    ] {
        let world = with_versions();
        world.agent(|_| answer(202, &view("pulling", 5)));
        let key = [("idempotency-key", "k-1")];
        let rollback = path(&format!("/{generation}/rollback"));
        let seen = world.ask_with("POST", &rollback, None, &key);
        assert_eq!((seen.status, &seen.body["action"]), (202, &json!("update")));
        let begun = &world.rpc("begin_tool_instance_operation")[0];
        assert_eq!(begun["spec"]["image"], image.as_str());
        assert_eq!(
            (
                &begun["restores"],
                &begun["expected_generation"],
                &begun["idempotency_key"]
            ),
            (&json!(generation), &json!(4), &json!("k-1"))
        );
        assert!(
            begun["spec"]["env"]["TOKEN"]["key_id"].is_string(),
            "it is sealed"
        );
        assert_eq!(world.sent_to_agent(), [format!("PUT /tools/{INSTANCE}")]);
        assert!(!seen.text.contains("SECRET"), "{}", seen.text);
        // The same request while it is under way.
        let seen = world.ask("POST", &rollback, None);
        assert_eq!((seen.status, seen.code()), (409, "operation_in_progress"));
    }
}

#[test]
fn a_version_that_is_not_kept_cannot_be_gone_back_to() {
    let world = with_versions();
    for (generation, status, code) in [
        ("2", 404, "version_not_kept"),
        ("x", 400, "invalid_request"),
        ("-1", 400, "invalid_request"),
    ] {
        let seen = world.ask("POST", &path(&format!("/{generation}/rollback")), None);
        assert_eq!((seen.status, seen.code()), (status, code));
    }
    // A version whose secrets do not open is not run without them.
    let lost =
        json!({"image": "mcp/context7:0", "env": {"TOKEN": {"key_id": "k1", "value": "SECRET"}}});
    world.tables().versions.push(version(2, &lost, None));
    let seen = world.ask("POST", &path("/2/rollback"), None);
    assert_eq!((seen.status, seen.code()), (422, "validation_failed"));
    assert!(world.rpc("begin_tool_instance_operation").is_empty());
    assert!(world.sent_to_agent().is_empty());
}
