//! Names are display text: any of them works or is refused with a code, and none reaches another instance.

use bollard::models::ContainerCreateBody;
use serde_json::json;

use crate::agent::{Agent, Tool};
use crate::docker;

#[tokio::test]
async fn every_name_deploys_and_comes_back_byte_for_byte() {
    let agent = Agent::new().await;
    let names = [
        "Context7 MCP Server-1750278276605",
        "404",
        "a/b?c#d%2F&e+f..g",
        "🧰🔧👩‍💻",
        "أداة الاختبار",
        "כלי/בדיקה",
        "quote's \"double\" `tick` $(sub) \\ back",
        &"n".repeat(255),
        "ＦＵＬＬ　ｗｉｄｔｈ",
    ];
    let tools: Vec<_> = names.iter().map(|n| Tool::named(n, &["sleep"])).collect();
    for tool in &tools {
        let view = agent.deploy(tool).await;
        assert_eq!(view["name"], tool.body["name"]);
        let labels = agent.container(tool).await.config.unwrap().labels.unwrap();
        assert_eq!(json!(labels["io.toolbox.name"]), tool.body["name"]);
    }
    // Each command reaches its own instance.
    for tool in &tools {
        agent.command(tool, "stop").await.expect(200);
    }
    for tool in &tools {
        assert!(!docker::runs(&agent.container(tool).await));
        agent.delete(tool).await.expect(200);
    }
}

#[tokio::test]
async fn names_that_break_a_rule_are_refused_with_a_code() {
    let agent = Agent::new().await;
    let too_long = "n".repeat(256);
    let cases = [
        ("", "name_empty"),
        (" x", "name_has_outer_whitespace"),
        ("a\nb", "name_has_control_characters"),
        ("a\0b", "name_has_control_characters"),
        ("a\u{202e}b", "name_has_bidi_controls"),
        ("..", "name_is_dot_segment"),
        ("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "name_is_uuid"),
        (&too_long, "name_too_long"),
    ];
    for (name, code) in cases {
        let tool = Tool::named(name, &["sleep"]);
        let problem = agent.put(&tool).await.expect_problem(422, "invalid_spec");
        assert_eq!(problem["errors"][0]["field"], "name");
        assert_eq!(problem["errors"][0]["code"], code, "{name:?}");
        agent
            .view(&tool)
            .await
            .expect_problem(404, "instance_unknown");
    }
    let mut odd = Tool::new(&["sleep"]);
    odd.body["container_name"] = json!("Not a/container name");
    odd.body["spec"]["image"] = json!("https://example.com/page.html");
    odd.body["spec"]["env"] = json!({"1 bad": "x"});
    let problem = agent.put(&odd).await.expect_problem(422, "invalid_spec");
    let fields: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["field"].as_str().unwrap().to_owned())
        .collect();
    assert!(fields.len() >= 3, "all violations at once: {fields:?}");
}

#[tokio::test]
async fn a_value_under_a_key_that_is_not_known_is_refused() {
    let agent = Agent::new().await;
    let sealed = json!({"TOKEN": {"key_id": "k1", "value": "s3aled"}});
    let tool = Tool::new(&["sleep"]).with("env", sealed);
    let problem = agent.put(&tool).await.expect_problem(422, "invalid_spec");
    assert_eq!(problem["errors"][0]["field"], "env.TOKEN");
    assert_eq!(problem["errors"][0]["code"], "secret_key_unknown");
    assert!(!problem.to_string().contains("s3aled"));
}

#[tokio::test]
async fn a_name_that_another_container_has_gives_way_to_the_long_one() {
    let agent = Agent::new().await;
    let tool = Tool::named("Wanted", &["sleep"]);
    let stranger = docker::foreign(tool.container_name(), ContainerCreateBody::default()).await;
    let view = agent.deploy(&tool).await;
    let long = format!("wanted-{}", tool.id.simple());
    assert_eq!(view["container_name"], json!(long));
    assert_eq!(docker::name(&agent.container(&tool).await), long);
    assert!(
        docker::runs(
            &docker::connect()
                .inspect_container(&stranger, None)
                .await
                .unwrap()
        ),
        "the stranger is left alone"
    );

    // It keeps the long name, also when it is updated while the short one is free.
    docker::remove(&stranger).await;
    let updated = agent
        .deploy(&tool.clone().next().with("env", json!({"A": "1"})))
        .await;
    assert_eq!(updated["container_name"], json!(long));
}

#[tokio::test]
async fn two_instances_given_the_same_container_name_both_run() {
    let agent = Agent::new().await;
    let (first, mut second) = (Tool::new(&["sleep"]), Tool::new(&["sleep"]));
    second.body["container_name"] = first.body["container_name"].clone();
    agent.deploy(&first).await;
    let view = agent.deploy(&second).await;
    assert_ne!(view["container_name"], first.body["container_name"]);
    assert!(
        docker::runs(&agent.container(&first).await)
            && docker::runs(&agent.container(&second).await)
    );
}
