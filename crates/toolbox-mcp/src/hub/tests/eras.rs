//! How the bridge finds out which era of the protocol a server speaks, without asking it what may end it.

use std::time::Duration;

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;

use super::world::{META, World, answer, json_of};
use crate::hub::STATELESS;
use crate::mailbox::Receiver;
use crate::memory::{KnownEra, Only};
use crate::process::Ended;

fn methods(written: &[Value]) -> Vec<&str> {
    written
        .iter()
        .filter_map(|m| m["method"].as_str())
        .collect()
}

fn list(world: &mut World) -> Receiver {
    let params = json!({"_meta": {META: STATELESS}});
    world.post(
        None,
        &json!({"id": 5, "method": "tools/list", "params": params}),
    )
}

fn again(world: &mut World) {
    world.hub.connecting();
    world.hub.connected(world.now, 1);
}

#[test]
fn an_unknown_server_is_asked_nothing_but_what_clients_of_sessions_ask() {
    let mut world = World::new();
    assert_eq!(methods(&world.written()), ["initialize"]);
    // Not even when it takes its time.
    world.pass(Duration::from_mins(3));
    assert_eq!(world.written(), Vec::<Value>::new());

    let mut world = World::ready();
    world.pass(Duration::from_hours(2));
    for message in world.written() {
        assert_ne!(message["method"], "server/discover");
    }
}

#[test]
fn a_server_that_is_said_to_be_stateless_is_asked_for_that_until_it_refuses() {
    let begin = || {
        let mut world = World::new();
        world.written();
        world.hub.recall(KnownEra {
            image: None,
            only: Some(Only::Sessions),
        });
        world.hub.ask_stateless_first();
        again(&mut world);
        world
    };
    let mut world = begin();
    let asked = world.written();
    assert_eq!(methods(&asked), ["server/discover"]);
    world.server(&json!({"id": asked[0]["id"], "result": {
        "supportedVersions": ["2025-11-25", STATELESS], "capabilities": {"tools": {}}}}));
    let mut mail = list(&mut world);
    let sent = world.written();
    let listed = sent.iter().rfind(|m| m["method"] == "tools/list").unwrap();
    world.server(&json!({"id": listed["id"], "result": {"tools": []}}));
    assert!(answer(&mut mail).is_some());
    assert!(!methods(&sent).contains(&"initialize"));

    let mut world = begin();
    let asked = world.written();
    world.server(&json!({"id": asked[0]["id"], "error": {"code": -32601, "message": "no"}}));
    assert_eq!(methods(&world.written()), ["initialize"]);
}

#[test]
fn a_stateless_client_makes_it_be_asked_once() {
    let mut world = World::ready();
    let mut mails = [list(&mut world), list(&mut world)];
    let asked = world.written();
    assert_eq!(methods(&asked), ["server/discover"]);
    world.server(&json!({"id": asked[0]["id"], "result": {
        "supportedVersions": ["2025-11-25", STATELESS], "capabilities": {"tools": {}}}}));
    let sent = world.written();
    assert_eq!(methods(&sent), ["tools/list", "tools/list"]);
    for (mail, sent) in mails.iter_mut().zip(sent) {
        world.server(&json!({"id": sent["id"], "result": {"tools": []}}));
        assert_eq!(json_of(&answer(mail).unwrap())["id"], 5);
    }
    // It serves sessions as well.
    world.open(&json!({}));
}

#[test]
fn a_stateless_client_of_an_older_server_is_told_to_begin_with_initialize() {
    let refused = |mail: &mut Receiver| {
        let answer = answer(mail).unwrap();
        assert_eq!(answer.status, 400);
        let text = json_of(&answer)["error"]["message"].to_string();
        assert!(text.contains("begin with initialize"), "{text}");
    };
    let mut world = World::ready();
    let mut mail = list(&mut world);
    world.refuse("server/discover", -32601);
    refused(&mut mail);
    refused(&mut list(&mut world));
    assert_eq!(world.written(), Vec::<Value>::new());

    // One that speaks an older revision than it was offered cannot know a newer one.
    let mut world = World::new();
    let asked = world.written();
    world.server(&json!({"id": asked[0]["id"], "result": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}}}));
    world.written();
    refused(&mut list(&mut world));
    assert_eq!(world.written(), Vec::<Value>::new());

    // One that says nothing is not waited for long, and not asked again.
    let mut world = World::ready();
    let mut mail = list(&mut world);
    world.written();
    world.pass(Duration::from_millis(2500));
    refused(&mut mail);
    refused(&mut list(&mut world));
    assert_eq!(world.written(), Vec::<Value>::new());
}

#[test]
fn a_server_that_ends_because_of_the_question_is_started_again_without_it() {
    let mut world = World::ready();
    let mut mail = list(&mut world);
    world.findings.clear();
    world.hub.ended(world.now, &Ended::default());
    assert_eq!(world.hub.connect_at(), Some(world.now), "without a pause");
    again(&mut world);
    world.greet();
    assert_eq!(answer(&mut mail).unwrap().status, 400);
    assert_eq!(answer(&mut list(&mut world)).unwrap().status, 400);
    for finding in &world.findings {
        assert_ne!(finding.state, McpState::Unhealthy, "{}", finding.evidence);
    }
    assert_eq!(world.last().state, McpState::Healthy);
    assert_eq!(world.hub.era().only, Some(Only::Sessions));
}

#[test]
fn an_end_long_after_the_question_was_left_unanswered_has_another_cause() {
    let mut world = World::ready();
    let mut mail = list(&mut world);
    world.pass(Duration::from_hours(3));
    assert!(answer(&mut mail).is_some());
    world.hub.ended(world.now, &Ended::default());
    world.findings.extend(world.hub.finding());
    assert_eq!(world.last().state, McpState::Unhealthy);
    assert_eq!(world.hub.era().only, None);
}

#[test]
fn a_server_that_refuses_initialize_and_ends_is_asked_for_the_other_era_first() {
    for ends in [false, true] {
        let mut world = World::new();
        world.refuse("initialize", -32022);
        if ends {
            world.hub.ended(world.now, &Ended::default());
            assert_eq!(world.hub.connect_at(), Some(world.now), "without a pause");
            again(&mut world);
        }
        world.discovered();
        assert_eq!(world.last().state, McpState::Healthy);
        assert_eq!(world.hub.era().only, Some(Only::Stateless));
        let initialize = json!({"id": 1, "method": "initialize", "params": {}});
        let mut mail = world.post(None, &initialize);
        world.refuse("initialize", -32022);
        assert_eq!(answer(&mut mail).unwrap().status, 400);
    }
}

#[test]
fn what_was_learned_holds_for_the_image_and_for_no_other() {
    let mut world = World::stateless();
    world.hub.set_image(Some("one".to_owned()));
    again(&mut world);
    world.refuse("initialize", -32601);
    world.discovered();
    for (image, revision, first) in [
        ("one", 1, "server/discover"),
        ("one", 2, "server/discover"),
        ("two", 3, "initialize"),
    ] {
        world.hub.ended(world.now, &Ended::default());
        world.written();
        world.hub.set_image(Some(image.to_owned()));
        world.hub.connecting();
        world.hub.connected(world.now, revision);
        let asked = world.written();
        assert_eq!(methods(&asked), [first], "{image} {revision}");
        world.server(&json!({"id": asked[0]["id"], "result": {"supportedVersions": [STATELESS]}}));
    }
}

#[test]
fn a_server_that_refuses_both_eras_says_why_and_is_asked_again_later() {
    let mut world = World::new();
    let initialize = json!({"id": 1, "method": "initialize", "params": {}});
    let mut mail = world.post(None, &initialize);
    world.refuse("initialize", -32603);
    world.refuse("server/discover", -32601);
    assert_eq!(world.last().state, McpState::Unhealthy);
    let words = "initialize was answered with an error";
    assert!(world.last().evidence.contains(words));
    assert!(String::from_utf8_lossy(&answer(&mut mail).unwrap().body).contains(words));
    let mut asked = 0;
    for _ in 0..60 {
        world.pass(Duration::from_secs(1));
        asked += usize::from(!world.hub.out().is_empty());
        world.refuse("initialize", -32603);
        world.refuse("server/discover", -32601);
        assert_eq!(world.last().state, McpState::Unhealthy);
    }
    assert!((5..=8).contains(&asked), "{asked} in a minute");
    world.pass(Duration::from_secs(9));
    world.greet();
    assert_eq!(world.last().state, McpState::Healthy);
}

#[test]
fn an_answer_to_initialize_passes_as_it_came() {
    let mut world = World::new();
    let asked = world.written();
    // Half a surrogate pair, a number beyond f64, and 200 levels: clients take them all.
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let about = format!(
        r#""capabilities":{{"tools":{{}},"experimental":{{"x":{deep}}}}},"serverInfo":{{"name":"a\ud83d","n":1e999}},"instructions":"\ud83d""#
    );
    world.raw(&format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"protocolVersion":"2025-11-25",{about}}}}}"#,
        asked[0]["id"]
    ));
    let initialize =
        json!({"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}});
    let answer = answer(&mut world.post(None, &initialize)).unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        text.contains(r#""protocolVersion":"2025-06-18""#) && text.contains(&about),
        "{text}"
    );
}
