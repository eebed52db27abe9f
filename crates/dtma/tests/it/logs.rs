//! Logs as NDJSON.

use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::agent::{Agent, Tool};
use crate::docker;

async fn read(agent: &Agent, tool: &Tool, query: &str) -> Vec<Value> {
    let response = agent
        .request(Method::GET, &format!("/tools/{}/logs{query}", tool.id))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let text = response.text().await.unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn tail_since_and_streams_are_told_apart() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["lines", "150"]);
    agent.deploy(&tool).await;
    let all = read(&agent, &tool, "?tail=10000").await;
    assert_eq!(all.len(), 151);
    // Docker keeps the order within a stream, not between the two.
    let first = all.iter().find(|l| l["stream"] == "stdout").unwrap();
    assert_eq!(first["line"], "line 0");
    assert_eq!(
        all.iter()
            .filter(|l| l["stream"] == "stderr" && l["line"] == "ready")
            .count(),
        1
    );
    assert_eq!(read(&agent, &tool, "").await.len(), 100);
    assert_eq!(read(&agent, &tool, "?tail=3").await.len(), 3);
    let time = all[100]["time"].as_str().unwrap();
    let since = read(
        &agent,
        &tool,
        &format!("?tail=10000&since={}", time.replace('+', "%2B")),
    )
    .await;
    assert!(
        since.len() < 151 && since.iter().all(|l| l["time"].as_str().unwrap() >= time),
        "{}",
        since.len()
    );
    assert!(
        read(&agent, &tool, "?since=4102444800").await.is_empty(),
        "nothing is from the future"
    );
    for bad in ["?tail=10001", "?tail=x", "?since=yesterday", "?nope=1"] {
        agent
            .call(Method::GET, &format!("/tools/{}/logs{bad}", tool.id))
            .await
            .expect_problem(400, "invalid_body");
    }
}

#[tokio::test]
async fn long_lines_are_cut_and_say_so() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["long", "100000"]);
    agent.deploy(&tool).await;
    let lines = read(&agent, &tool, "?tail=10000").await;
    let long: Vec<_> = lines.iter().filter(|l| l["truncated"] == true).collect();
    assert_eq!(long.len(), 1);
    assert_eq!(long[0]["line"].as_str().unwrap().len(), 16 * 1024);
    assert!(lines.iter().any(|l| l["line"] == "end"));
}

#[tokio::test]
async fn a_stopped_container_still_has_its_log_and_one_without_container_has_none() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    agent.deploy(&tool).await;
    agent.command(&tool, "stop").await.expect(200);
    assert_eq!(read(&agent, &tool, "").await[0]["line"], "ready");
    let never = Tool::new(&["sleep"]).stopped();
    agent.deploy(&never).await;
    assert!(read(&agent, &never, "").await.is_empty());
    let failed = Tool::new(&["lines", "3"]).with("entrypoint", json!(["/fixture", "exit", "1"]));
    agent.put(&failed).await.expect(200);
    agent
        .call(
            Method::GET,
            &format!("/tools/{}/logs", uuid::Uuid::new_v4()),
        )
        .await
        .expect_problem(404, "instance_unknown");
}

/// Asks a server over standard streams for something it does beside its answer.
async fn ask(agent: &Agent, tool: &Tool, name: &str) {
    let post = |message: Value| {
        agent
            .request(Method::POST, &format!("/mcp/{}", tool.id))
            .header("accept", "application/json")
            .json(&message)
    };
    let initialize = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}});
    let begun = post(initialize).send().await.unwrap();
    let session = begun.headers()["mcp-session-id"].clone();
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}});
    let answer = post(call)
        .header("mcp-session-id", session)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("result"), "{name}");
}

/// What the log has once `wanted` lines are there: what a server says beside its answer may come after it.
async fn read_whole(agent: &Agent, tool: &Tool, query: &str, wanted: usize) -> Vec<Value> {
    docker::eventually(
        "the lines are in the log",
        Duration::from_secs(10),
        || async { read(agent, tool, query).await.len() >= wanted },
    )
    .await;
    read(agent, tool, query).await
}

fn texts(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["line"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn of_a_stdio_server_the_log_shows_what_it_says_beside_the_protocol() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["mcp"]).with("transport", json!("stdio"));
    agent.deploy(&tool).await;
    ask(&agent, &tool, "say").await;
    assert_eq!(
        texts(&read_whole(&agent, &tool, "", 2).await),
        ["server is ready", "said as asked"]
    );
    tokio::time::sleep(Duration::from_secs(3)).await;
    ask(&agent, &tool, "say").await;
    let said = ["server is ready", "said as asked", "said as asked"];
    let lines = read_whole(&agent, &tool, "?stream=stderr", 3).await;
    assert_eq!(texts(&lines), said);
    assert!(lines.iter().all(|line| line["stream"] == "stderr"));
    assert_eq!(
        texts(&read(&agent, &tool, "?tail=1").await),
        ["said as asked"]
    );
    let time = lines[2]["time"].as_str().unwrap();
    let since = format!("?since={}", time.replace('+', "%2B"));
    assert_eq!(read(&agent, &tool, &since).await.len(), 1);

    let protocol = read(&agent, &tool, "?stream=stdout").await;
    assert!(protocol.len() >= 4 && protocol.iter().all(|line| line["stream"] == "stdout"));
    assert!(
        texts(&protocol)
            .iter()
            .all(|line| line.starts_with("{\"jsonrpc\""))
    );
    assert_eq!(read(&agent, &tool, "?stream=stdout&tail=2").await.len(), 2);
    let all = read(&agent, &tool, "?stream=all&tail=10000").await;
    assert!(all.len() >= protocol.len() + said.len());
    agent
        .call(Method::GET, &format!("/tools/{}/logs?stream=both", tool.id))
        .await
        .expect_problem(400, "invalid_body");

    // It stays when the container does not run, and goes with the instance.
    agent.command(&tool, "stop").await.expect(200);
    assert_eq!(texts(&read(&agent, &tool, "").await), said);
    let kept = agent
        .record(&tool)
        .parent()
        .unwrap()
        .parent()
        .unwrap()
        .join("mcp");
    let files = || {
        let names = std::fs::read_dir(&kept).unwrap();
        let names = names.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("stderr")).count()
    };
    assert_eq!(files(), 1);
    agent.delete(&tool).await.expect(200);
    docker::eventually("its log is removed", Duration::from_secs(5), || async {
        files() == 0
    })
    .await;
}

#[tokio::test]
async fn answers_of_any_length_do_not_push_out_what_a_server_says() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["mcp"]).with("transport", json!("stdio"));
    agent.deploy(&tool).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..8 {
        ask(&agent, &tool, "large").await;
    }
    let all = read(&agent, &tool, "?stream=all&tail=10000").await;
    let left = all.iter().filter(|line| line["stream"] == "stderr").count();
    println!(
        "of Docker's log {} lines are left, {left} of them from standard error",
        all.len()
    );
    assert_eq!(texts(&read(&agent, &tool, "").await), ["server is ready"]);
}

#[tokio::test]
async fn what_a_server_says_while_the_agent_is_away_is_not_missing() {
    let mut agent = Agent::new().await;
    let tool = Tool::new(&["mcp"]).with("transport", json!("stdio"));
    agent.deploy(&tool).await;
    ask(&agent, &tool, "mutter").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    agent.kill();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let container = agent.container(&tool).await.id.unwrap();
    let muttered = |lines: &[String]| {
        lines
            .iter()
            .filter(|line| line.starts_with("mutter "))
            .count()
    };
    let missed = muttered(&docker::errors(&container).await);
    agent.start().await;
    for pause in [0, 1, 4] {
        tokio::time::sleep(Duration::from_secs(pause)).await;
        let written = docker::errors(&container).await;
        let lines = read(&agent, &tool, "?tail=10000").await;
        let numbers: Vec<usize> = texts(&lines)
            .iter()
            .filter_map(|line| line.strip_prefix("mutter ")?.parse().ok())
            .collect();
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
        // However slow the machine is, what was in Docker's log a moment before is told. Of what the agent is attached to, it
        // has got all but the last moment's.
        let of_docker = muttered(&written);
        assert!(
            of_docker > 20 && numbers.len() + 60 >= of_docker,
            "{} of {of_docker}",
            numbers.len()
        );
        if pause == 4 {
            assert!(numbers.len() >= missed, "{} of {missed}", numbers.len());
        }
    }

    let path = format!("/tools/{}/logs?tail=1&follow=true", tool.id);
    let mut body = agent
        .request(Method::GET, &path)
        .send()
        .await
        .unwrap()
        .bytes_stream();
    let mut text = String::new();
    while text.lines().count() < 20 {
        let next = tokio::time::timeout(Duration::from_secs(20), body.next()).await;
        text.push_str(std::str::from_utf8(&next.unwrap().unwrap().unwrap()).unwrap());
    }
    // The last one may have come in part.
    let whole = text.rsplit_once('\n').unwrap().0;
    let lines: Vec<Value> = whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let first: usize = texts(&lines)[0]
        .strip_prefix("mutter ")
        .unwrap()
        .parse()
        .unwrap();
    let wanted: Vec<_> = (first..)
        .take(lines.len())
        .map(|n| format!("mutter {n}"))
        .collect();
    assert_eq!(texts(&lines), wanted);
    // The container's end is the end of the stream.
    agent.command(&tool, "stop").await.expect(200);
    while tokio::time::timeout(Duration::from_secs(10), body.next())
        .await
        .unwrap()
        .is_some()
    {}
}

#[tokio::test]
async fn following_shows_lines_as_they_come_and_ends_with_the_reader() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["spam"]);
    agent.deploy(&tool).await;
    let sockets = || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap();
        fds.filter_map(|f| std::fs::read_link(f.unwrap().path()).ok())
            .filter(|l| l.to_string_lossy().starts_with("socket:"))
            .count()
    };
    // Now and then the agent asks Docker something.
    let mut before = usize::MAX;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        before = before.min(sockets());
    }
    let path = format!("/tools/{}/logs?tail=1&follow=true", tool.id);
    let mut followers = Vec::new();
    for _ in 0..5 {
        // A client of its own, so that dropping it closes the connection.
        let client = reqwest::Client::new();
        let response = client
            .get(agent.url(&path))
            .bearer_auth(&agent.key)
            .send()
            .await
            .unwrap();
        let mut body = response.bytes_stream();
        let mut text = String::new();
        while text.lines().count() < 5 {
            let chunk = tokio::time::timeout(Duration::from_secs(5), body.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        followers.push((client, body));
    }
    assert!(
        sockets() >= before + 10,
        "each follower has a connection to us and one to Docker"
    );
    drop(followers);
    docker::eventually(
        "connections are given back",
        Duration::from_secs(10),
        || async { sockets() <= before + 1 },
    )
    .await;

    // The container's end is the end of the stream.
    let response = agent.request(Method::GET, &path).send().await.unwrap();
    agent.command(&tool, "stop").await.expect(200);
    tokio::time::timeout(Duration::from_secs(10), response.text())
        .await
        .unwrap()
        .unwrap();
}
