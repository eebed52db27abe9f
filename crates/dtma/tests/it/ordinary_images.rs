//! What ordinary images do, each deployed as it is: it runs, or the reason says the truth and how to cure it. The table in
//! docs/API.md ("What an image may expect") is this one.

use std::time::{Duration, Instant};

use bollard::models::ContainerInspectResponse;
use serde_json::{Value, json};

use crate::agent::{Agent, Tool};
use crate::docker;
use crate::volumes::{image, owner, started, volume};

/// Deploys an image of these instructions with these settings; the tool, and how it ended.
async fn deploy(agent: &Agent, name: &str, instructions: &str, settings: Value) -> (Tool, Value) {
    let image = image(&format!("ordinary-{name}"), instructions).await;
    let mut tool = Tool::new(&[]);
    tool.body["spec"] = json!({"image": image, "resources": {"memory_bytes": 64 << 20}});
    for (field, value) in settings.as_object().unwrap() {
        tool.body["spec"][field] = value.clone();
    }
    let view = agent.put(&tool).await.expect(200);
    assert_eq!(view["settled"], true, "{name}: {view}");
    (tool, view)
}

/// It must run.
async fn runs(agent: &Agent, name: &str, instructions: &str, settings: Value) -> Tool {
    let (tool, view) = deploy(agent, name, instructions, settings).await;
    assert_eq!(view["phase"], "running", "{name}: {view}");
    assert!(docker::runs(&agent.container(&tool).await), "{name}");
    tool
}

/// It must end with this code and these words, and run with what they say.
async fn is_cured(
    agent: &Agent,
    name: &str,
    instructions: &str,
    (code, words): (&str, &[&str]),
    (settings, cure): (Value, Value),
) -> Tool {
    let (_, view) = deploy(agent, name, instructions, settings).await;
    assert_eq!(view["phase"], "error", "{name}: {view}");
    assert_eq!(view["reason"]["code"], code, "{name}: {view}");
    let message = view["reason"]["message"].as_str().unwrap();
    println!("{name}: {code}: {message}");
    for word in words {
        assert!(message.contains(word), "{name}: {word}: {message}");
    }
    runs(agent, name, instructions, cure).await
}

fn log_bytes(container: &ContainerInspectResponse) -> u64 {
    let path = container.log_path.clone().unwrap();
    let folder = std::path::Path::new(&path).parent().unwrap();
    let files = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap());
    let logs = files.filter(|f| f.file_name().to_string_lossy().contains("-json.log"));
    logs.map(|f| f.metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn images_that_run_as_they_are() {
    let agent = Agent::new().await;
    runs(&agent, "root", "CMD [\"sleep\"]", json!({})).await;

    let non_root = "USER 1000\nCMD [\"count\", \"/data/starts\"]";
    let data = json!([{"name": "data", "path": "/data"}]);
    let tool = runs(&agent, "non-root", non_root, json!({"volumes": data})).await;
    let (_, folder) = volume(&agent.container(&tool).await, "/data");
    started(&folder, 1).await;
    assert_eq!(owner(&folder), (1000, 0));

    let declares = "VOLUME /data\nCMD [\"count\", \"/data/starts\"]";
    let tool = runs(&agent, "volume", declares, json!({})).await;
    agent
        .deploy(&tool.clone().next().with("env", json!({"A": "1"})))
        .await;
    let (_, folder) = volume(&agent.container(&tool).await, "/data");
    started(&folder, 2).await;

    let check = "HEALTHCHECK --interval=1s CMD [\"/fixture\", \"exists\", \"/fixture\"]";
    let tool = runs(&agent, "healthcheck", check, json!({})).await;
    assert_eq!(agent.settled(&tool).await["health"], "healthy");

    let stops = "STOPSIGNAL SIGINT\nCMD [\"interrupted\"]";
    let tool = runs(&agent, "stopsignal", stops, json!({})).await;
    let begun = Instant::now();
    let view = agent.command(&tool, "stop").await.expect(200);
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "its own signal ends it"
    );
    assert_eq!(
        (&view["phase"], &view["exit_code"]),
        (&json!("stopped"), &json!(2))
    );

    let tool = runs(&agent, "loud", "CMD [\"loud\", \"60\"]", json!({})).await;
    let container = agent.container(&tool).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let bytes = log_bytes(&container);
    println!("of 60 MiB of output, {} MiB are kept", bytes >> 20);
    assert!((5 << 20..32 << 20).contains(&bytes), "{bytes}");

    runs(&agent, "forks", "CMD [\"bomb\", \"100\"]", json!({})).await;
    runs(
        &agent,
        "root-writes",
        "CMD [\"fill\", \"1\", \"/filled\"]",
        json!({}),
    )
    .await;
}

#[tokio::test]
async fn images_that_need_something_say_what() {
    let agent = Agent::new().await;
    let named = |caps: &[&str]| json!({"confinement": {"add_capabilities": caps}});
    let tool = is_cured(
        &agent,
        "chown-then-drop",
        "VOLUME /data\nCMD [\"drop\", \"/data\"]",
        (
            "exited",
            &["Operation not permitted", "CHOWN, SETUID, SETGID"],
        ),
        (json!({}), named(&["CHOWN", "SETUID", "SETGID"])),
    )
    .await;
    let (_, folder) = volume(&agent.container(&tool).await, "/data");
    assert_eq!(owner(&folder), (999, 999));

    is_cured(
        &agent,
        "no-cmd",
        "ENTRYPOINT []\nCMD []",
        ("start_failed", &["names no program", "name one in command"]),
        (json!({}), json!({"command": ["/fixture", "sleep"]})),
    )
    .await;
    is_cured(
        &agent,
        "forks-too-much",
        "CMD [\"bomb\", \"100\"]",
        (
            "exited",
            &["Resource temporarily unavailable", "resources.pids"],
        ),
        (
            json!({"resources": {"pids": 50}}),
            json!({"resources": {"pids": 200}}),
        ),
    )
    .await;
    is_cured(
        &agent,
        "read-only-root",
        "WORKDIR /tool\nCMD [\"fill\", \"1\", \"/tool/filled\"]",
        ("exited", &["Read-only file system", "volume"]),
        (
            json!({"confinement": {"read_only_root": true}, "volumes": []}),
            json!({"confinement": {"read_only_root": true}, "volumes": [{"name": "tool", "path": "/tool"}]}),
        ),
    )
    .await;
    is_cured(
        &agent,
        "needs-capability",
        "CMD [\"raw\"]",
        ("exited", &["Operation not permitted", "capabilities"]),
        (json!({}), named(&["NET_RAW"])),
    )
    .await;
    is_cured(
        &agent,
        "exits-0",
        "CMD [\"exit\", \"0\"]",
        ("exited", &["exit code 0", "go on running"]),
        (json!({}), json!({"command": ["sleep"]})),
    )
    .await;
}
