//! What the bridge asks on its own account, and what it makes of the answers.

use std::time::Duration;

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;

use super::world::{World, answer, json_of};

const DAY: Duration = Duration::from_hours(24);

/// Lets a server that nobody calls live for a while; what it was asked, and how many bytes it answered.
fn live(world: &mut World, time: Duration, list: &Value) -> (Vec<Value>, usize) {
    let end = world.now + time;
    let (mut asked, mut bytes) = (Vec::new(), 0);
    while world.now < end {
        for message in world.written() {
            let result = match message["method"].as_str() {
                Some("tools/list") => list.clone(),
                _ => json!({}),
            };
            let answer = json!({"jsonrpc": "2.0", "id": message["id"], "result": result});
            bytes += answer.to_string().len() + 1;
            world.server(&answer);
            asked.push(message);
        }
        world.pass(Duration::from_secs(2));
    }
    (asked, bytes)
}

#[test]
fn an_uncalled_server_writes_less_than_a_megabyte_a_day() {
    for tools in [1, 500] {
        let mut world = World::ready();
        let tools: Vec<_> = (0..tools)
            .map(|n| json!({"name": n.to_string(), "description": "what it does ".repeat(10)}))
            .collect();
        let (asked, bytes) = live(&mut world, DAY, &json!({ "tools": tools }));
        let lists = asked.iter().filter(|m| m["method"] == "tools/list").count();
        println!(
            "{} tools: {bytes} bytes, {lists} lists of {}",
            tools.len(),
            asked.len()
        );
        // Some servers log each request, so there are few.
        assert!(asked.len() < 1600, "{} requests", asked.len());
        assert!(bytes < 1_000_000, "{bytes} bytes");
        assert!(lists >= 1);
        assert_eq!(world.last().state, McpState::Healthy);
    }
}

#[test]
fn a_server_that_nobody_used_for_long_is_probed_when_somebody_comes() {
    let mut world = World::ready();
    live(&mut world, Duration::from_mins(10), &json!({"tools": []}));
    world.written();
    world.open(&json!({}));
    world.pass(Duration::ZERO);
    assert_eq!(world.written()[0]["method"], "ping");
    world.pass(Duration::from_secs(6));
    assert_eq!(world.last().state, McpState::Unhealthy);
}

#[test]
fn any_answer_to_a_ping_is_a_sign_of_life() {
    let mut world = World::ready();
    world.pass(Duration::from_secs(9));
    world.refuse("ping", -32601);
    assert_eq!(world.last().state, McpState::Healthy);
    assert!(
        world.last().evidence.contains("answered ping"),
        "{}",
        world.last().evidence
    );
}

#[test]
fn a_hung_server_is_seen_within_15_s() {
    let mut world = World::ready();
    world.pass(Duration::from_secs(9));
    world.answer_probe();
    let healthy = world.now;
    while world.last().state == McpState::Healthy {
        world.pass(Duration::from_millis(250));
    }
    assert!(world.now - healthy < Duration::from_secs(15));
    assert_eq!(world.last().state, McpState::Unhealthy);
    assert!(
        world
            .last()
            .evidence
            .contains("ping was not answered within 5 s")
    );
    // It gets a few bytes, and not more and more of them.
    world.pass(Duration::from_hours(1));
    assert!(world.written().len() < 4);
}

#[test]
fn a_server_that_works_on_one_call_at_a_time_is_busy_and_takes_new_clients() {
    let mut world = World::ready();
    let caller = world.open(&json!({}));
    let (mut mail, sent) = world.call(caller, &json!(1), &json!(1));
    for _ in 0..25 {
        world.pass(Duration::from_secs(1));
        // What the one handshake gave serves new clients.
        let client = world.open(&json!({}));
        let mut list = world.post(Some(client), &json!({"id": 2, "method": "tools/list"}));
        if world.last().evidence.contains("busy") {
            let list = json_of(&answer(&mut list).unwrap());
            assert_eq!(
                list,
                json!({"jsonrpc": "2.0", "id": 2, "result": {"tools": [{"name": "a"}]}})
            );
        }
    }
    assert_eq!(world.last().state, McpState::Degraded);
    let evidence = &world.last().evidence;
    assert!(
        evidence.contains("it is busy") && evidence.contains("are under way"),
        "{evidence}"
    );
    // A list that may have changed is not given from memory.
    world.server(&json!({"method": "notifications/tools/list_changed"}));
    let client = world.open(&json!({}));
    let mut list = world.post(Some(client), &json!({"id": 3, "method": "tools/list"}));
    assert_eq!(answer(&mut list), None);

    for message in world.written() {
        match message["method"].as_str() {
            Some("ping") => world.server(&json!({"id": message["id"], "result": {}})),
            Some("tools/list") => {
                world.server(&json!({"id": message["id"], "result": {"tools": []}}));
            }
            _ => {}
        }
    }
    world.server(&json!({"id": sent["id"], "result": {}}));
    assert!(answer(&mut mail).is_some());
    world.pass(Duration::ZERO);
    world.answer_probe();
    assert_eq!(
        world.last().state,
        McpState::Healthy,
        "{}",
        world.last().evidence
    );
    for finding in &world.findings {
        assert_ne!(finding.state, McpState::Unhealthy, "{}", finding.evidence);
    }
}

#[test]
fn a_call_may_take_a_quarter_of_an_hour_and_a_start_two_minutes() {
    let mut world = World::ready();
    let client = world.open(&json!({}));
    let (mut mail, _) = world.call(client, &json!(1), &json!(1));
    world.pass(Duration::from_mins(14));
    assert_eq!(answer(&mut mail), None);
    world.pass(Duration::from_mins(2));
    assert_eq!(
        json_of(&answer(&mut mail).unwrap())["error"]["code"],
        -32001
    );

    let mut world = World::new();
    let initialize = json!({"id": 0, "method": "initialize", "params": {}});
    let mut mail = world.post(None, &initialize);
    world.pass(Duration::from_secs(110));
    assert_eq!(
        (answer(&mut mail), world.last().state),
        (None, McpState::Starting)
    );
    world.greet();
    assert!(answer(&mut mail).unwrap().session.is_some());
}

#[test]
fn what_clients_can_read_does_not_make_a_server_sick() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for odd in [r#""half \ud83d a pair""#, "1e999", &deep] {
        let mut world = World::new();
        let asked = world.written();
        world.server(&json!({"id": asked[0]["id"], "result": {
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {}}}));
        world.pass(Duration::ZERO);
        let id = world.written().pop().unwrap()["id"].clone();
        world.raw(&format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"tools":[{{"name":"a","description":{odd}}},{{"name":"b"}}]}}}}"#
        ));
        assert_eq!(
            world.last().state,
            McpState::Healthy,
            "{odd}: {}",
            world.last().evidence
        );
        assert_eq!(world.last().success.clone().unwrap().tools.len(), 2);
    }
}

#[test]
fn a_server_that_cannot_list_its_tools_is_unhealthy_and_serves_all_the_same() {
    let mut world = World::new();
    let asked = world.written();
    world.server(&json!({"id": asked[0]["id"], "result": {
        "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {}}}));
    world.pass(Duration::ZERO);
    world.refuse("tools/list", -32603);
    for _ in 0..3 {
        assert_eq!(world.last().state, McpState::Unhealthy);
        assert!(
            world
                .last()
                .evidence
                .contains("tools/list was answered with an error")
        );
        world.open(&json!({}));
        world.pass(Duration::from_secs(9));
        for message in world.written() {
            assert_eq!(message["method"], "ping");
            world.server(&json!({"id": message["id"], "result": {}}));
        }
    }
    for _ in 0..60 {
        world.pass(Duration::from_secs(1));
        world.answer_probe();
    }
    assert_eq!(world.last().state, McpState::Healthy);
}

#[test]
fn however_often_a_server_says_that_its_tools_changed_they_are_read_now_and_then() {
    let mut world = World::ready();
    let mut lists = 0;
    for _ in 0..100 {
        world.server(&json!({"method": "notifications/tools/list_changed"}));
        world.pass(Duration::from_secs(1));
        for message in world.written() {
            lists += usize::from(message["method"] == "tools/list");
            world.server(&json!({"id": message["id"], "result": {"tools": []}}));
        }
    }
    assert!((9..=13).contains(&lists), "{lists}");
    for _ in 0..30 {
        world.pass(Duration::from_secs(1));
        world.answer_probe();
    }
    assert_eq!(world.last().success.clone().unwrap().tools.len(), 1);
}
