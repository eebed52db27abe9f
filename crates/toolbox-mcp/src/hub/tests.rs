//! The hub against a scripted server and clients, in simulated time.

mod changes;
mod eras;
mod ids;
mod probes;
mod questions;
mod world;

use std::time::Duration;

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;
use uuid::Uuid;

use self::world::{META, World, answer, json_of, message};
use super::Input;
use crate::limits::Limits;
use crate::mailbox::{Receiver, mailbox};
use crate::process::Ended;

#[test]
fn a_server_is_healthy_only_after_it_listed_its_tools() {
    let mut world = World::new();
    world.findings.extend(world.hub.finding());
    assert_eq!(world.last().state, McpState::Starting);
    world.greet();
    assert_eq!(world.last().state, McpState::Healthy);
    let states: Vec<_> = world.findings.iter().map(|f| f.state).collect();
    assert_eq!(
        states.iter().filter(|s| **s == McpState::Healthy).count(),
        1
    );
    let success = world.last().success.clone().unwrap();
    assert_eq!(success.server.protocol.as_deref(), Some("2025-11-25"));
    assert_eq!(success.tools.len(), 1);
}

#[test]
fn same_ids_and_tokens_of_two_clients_do_not_meet() {
    let mut world = World::ready();
    let (one, two) = (world.open(&json!({})), world.open(&json!({})));
    let (mut mail_one, sent_one) = world.call(one, &json!(1), &json!("t"));
    let (mut mail_two, sent_two) = world.call(two, &json!(1), &json!("t"));
    assert_ne!(sent_one["id"], sent_two["id"]);
    assert_eq!(sent_one["params"]["_meta"]["progressToken"], sent_one["id"]);
    world.server(&json!({"method": "notifications/progress",
        "params": {"progressToken": sent_two["id"], "progress": 1}}));
    world.server(&json!({"id": sent_two["id"], "result": {"of": "two"}}));
    world.server(&json!({"id": sent_one["id"], "result": {"of": "one"}}));
    assert_eq!(
        message(&mut mail_two).unwrap()["params"]["progressToken"],
        "t"
    );
    let (one, two) = (
        answer(&mut mail_one).unwrap(),
        answer(&mut mail_two).unwrap(),
    );
    assert_eq!(
        json_of(&one),
        json!({"jsonrpc": "2.0", "id": 1, "result": {"of": "one"}})
    );
    assert_eq!(json_of(&two)["result"]["of"], "two");
}

#[test]
fn a_cancellation_reaches_only_a_call_of_its_own_session() {
    let mut world = World::ready();
    let (one, two) = (world.open(&json!({})), world.open(&json!({})));
    let (_mail, sent) = world.call(one, &json!("x"), &json!(1));
    let cancel = json!({"method": "notifications/cancelled", "params": {"requestId": "x"}});
    world.post(Some(two), &cancel);
    assert_eq!(world.written(), Vec::<Value>::new());
    world.post(Some(one), &cancel);
    assert_eq!(world.written()[0]["params"]["requestId"], sent["id"]);
}

#[test]
fn calls_under_way_fail_with_the_reason_and_the_session_goes_on_with_the_next_process() {
    let mut world = World::ready();
    world.pass(Duration::from_secs(11));
    let session = world.open(&json!({}));
    let (mut mail, _) = world.call(session, &json!(1), &json!(1));
    world.hub.logged(b"API_KEY hunter22 is missing\n");
    let ended = Ended {
        exit_code: Some(3),
        ..Ended::default()
    };
    world.hub.ended(world.now, &ended);
    let error = json_of(&answer(&mut mail).unwrap());
    let text = error["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("exited with code 3") && text.contains("API_KEY [secret] is missing"),
        "{text}"
    );
    assert_eq!(world.hub.connect_at(), Some(world.now));
    let mut early = world.post(Some(session), &json!({"id": 2, "method": "tools/list"}));
    world.hub.connecting();
    world.hub.connected(world.now, 1);
    assert!(answer(&mut early).is_none());
    let hello = world.written();
    // The era is known, so the handshake takes one exchange.
    assert_eq!(hello[0]["method"], "initialize");
    world.server(
        &json!({"id": hello[0]["id"], "result": {"protocolVersion": "2025-11-25",
        "capabilities": {}, "serverInfo": {}}}),
    );
    let sent = world.written();
    assert_eq!(sent[0]["method"], "notifications/initialized");
    world.server(&json!({"id": sent[1]["id"], "result": {}}));
    assert_eq!(json_of(&answer(&mut early).unwrap())["id"], 2);
}

#[test]
fn a_server_that_ends_at_once_is_not_started_without_end() {
    let mut world = World::ready();
    let mut pauses = Vec::new();
    for _ in 0..12 {
        world.hub.logged(b"set API_KEY\n");
        let ended = Ended {
            exit_code: Some(1),
            ..Ended::default()
        };
        world.hub.ended(world.now, &ended);
        world.findings.extend(world.hub.finding());
        let at = world.hub.connect_at().unwrap();
        pauses.push((at - world.now).as_millis());
        world.now = at;
        world.hub.connecting();
        world.hub.connected(world.now, 1);
    }
    assert_eq!(pauses[..4], [0, 250, 500, 1000]);
    assert_eq!(pauses[11], 30_000);
    let last = world
        .findings
        .iter()
        .rfind(|f| f.state == McpState::Unhealthy)
        .unwrap();
    assert!(
        last.evidence.contains("crash loop") && last.evidence.contains("set API_KEY"),
        "{}",
        last.evidence
    );
    world.hub.ended(world.now, &Ended::default());
    let mut mail = world.post(
        None,
        &json!({"id": 0, "method": "initialize", "params": {}}),
    );
    let refused = answer(&mut mail).unwrap();
    assert_eq!(refused.status, 503);
}

#[test]
fn a_hung_server_is_seen_within_15_s_and_a_call_to_it_ends() {
    let mut world = World::ready();
    let session = world.open(&json!({}));
    let (mut mail, sent) = world.call(session, &json!(1), &json!(1));
    let mut waited = Duration::ZERO;
    while world.last().state == McpState::Healthy {
        world.pass(Duration::from_millis(250));
        waited += Duration::from_millis(250);
        assert!(waited < Duration::from_secs(15));
    }
    let evidence = &world.last().evidence;
    assert!(
        evidence.contains("it is busy: ping was not answered within 5 s; 1 calls are under way"),
        "{evidence}"
    );
    world.pass(Limits::default().call);
    assert_eq!(world.last().state, McpState::Unhealthy);
    let error = json_of(&answer(&mut mail).unwrap());
    assert_eq!(error["error"]["code"], -32001);
    let cancelled = world.written().into_iter().any(|m| {
        m["method"] == "notifications/cancelled" && m["params"]["requestId"] == sent["id"]
    });
    assert!(cancelled);
    // It answers again: a late answer makes the next probe come at once.
    world.server(&json!({"id": sent["id"], "result": {}}));
    for _ in 0..2 {
        world.pass(Duration::ZERO);
        world.answer_probe();
    }
    assert_eq!(world.last().state, McpState::Healthy);
}

#[test]
fn only_the_client_that_was_asked_can_answer() {
    let mut world = World::ready();
    let (one, two) = (
        world.open(&json!({"sampling": {}})),
        world.open(&json!({"sampling": {}})),
    );
    let ask = json!({"id": "q", "method": "sampling/createMessage", "params": {}});
    let (mut mail, _) = world.call(one, &json!(1), &json!(1));
    world.server(&ask);
    let asked = message(&mut mail).unwrap();
    assert_eq!(asked["method"], "sampling/createMessage");
    // The other session cannot answer in its place.
    world.post(
        Some(two),
        &json!({"id": asked["id"], "result": {"forged": true}}),
    );
    assert_eq!(world.written(), Vec::<Value>::new());
    world.post(
        Some(one),
        &json!({"id": asked["id"], "result": {"text": "x"}}),
    );
    assert_eq!(
        world.written()[0],
        json!({"jsonrpc": "2.0", "id": "q", "result": {"text": "x"}})
    );
}

#[test]
fn a_stateless_call_is_cancelled_when_its_client_leaves() {
    let mut world = World::stateless();
    assert_eq!(
        world.last().success.clone().unwrap().server.name.as_deref(),
        Some("n")
    );
    let params = json!({"name": "a", "_meta": {META: "2026-07-28"}});
    let mail = world.post(
        None,
        &json!({"id": 5, "method": "tools/call", "params": params}),
    );
    let sent = world.written().pop().unwrap();
    drop(mail);
    world.pass(Duration::from_millis(500));
    assert_eq!(world.written()[0]["params"]["requestId"], sent["id"]);
    assert_eq!(world.hub.load(), (0, 0));
}

#[test]
fn a_subscription_gets_its_own_id_back() {
    let mut world = World::stateless();
    let params = json!({"notifications": {}, "_meta": {META: "2026-07-28"}});
    let mut mail = world.post(
        None,
        &json!({"id": "s", "method": "subscriptions/listen", "params": params}),
    );
    let number = world.written().pop().unwrap()["id"].clone();
    let meta = |id: &Value| json!({"io.modelcontextprotocol/subscriptionId": id});
    world.server(
        &json!({"method": "notifications/tools/list_changed", "params": {"_meta": meta(&number)}}),
    );
    assert_eq!(
        message(&mut mail).unwrap()["params"]["_meta"],
        meta(&json!("s"))
    );
    world.pass(Duration::from_mins(5));
    world.server(&json!({"id": number, "result": {"_meta": meta(&number)}}));
    let end = json_of(&answer(&mut mail).unwrap());
    assert_eq!(
        (&end["id"], &end["result"]["_meta"]),
        (&json!("s"), &meta(&json!("s")))
    );
}

#[test]
fn a_thousand_clients_that_vanish_leave_a_bounded_number_of_sessions_and_then_none() {
    let mut world = World::ready();
    for _ in 0..3000 {
        world.open(&json!({}));
    }
    assert_eq!(world.hub.load(), (0, 1024));
    world.pass(Duration::from_mins(31));
    assert_eq!(world.hub.load().1, 0);
}

#[test]
fn a_client_that_does_not_read_gets_its_bound_of_a_flood_and_no_more() {
    let mut world = World::ready();
    let (reading, deaf) = (world.open(&json!({})), world.open(&json!({})));
    let (reply, mut mail) = mailbox(10_000);
    let listen = Input::Listen {
        session: reading,
        reply,
    };
    world.hub.input(world.now, listen);
    let line = json!({"method": "notifications/message", "params": {"level": "info", "data": "x".repeat(900)}});
    for _ in 0..2000 {
        world.server(&line);
    }
    let kept = std::iter::from_fn(|| message(&mut mail)).count();
    assert!((5..=10).contains(&kept), "{kept}");
    let (reply, mut late) = mailbox(1 << 20);
    let listen = Input::Listen {
        session: deaf,
        reply,
    };
    world.hub.input(world.now, listen);
    assert_eq!(std::iter::from_fn(|| message(&mut late)).count(), 64);
}

#[test]
fn garbage_is_told_and_is_never_healthy() {
    let mut world = World::new();
    for _ in 0..1000 {
        world.raw("Server listening on port 3000");
    }
    world.pass(Duration::from_secs(3));
    assert_eq!(world.last().state, McpState::NotMcp);
    assert!(
        world
            .last()
            .evidence
            .contains("1000 lines that are no messages, the first: Server listening")
    );
    for _ in 0..100_000 {
        world.raw("Server listening on port 3000");
    }
    assert!(world.hub.flooded());
    world.pass(Duration::from_millis(300));
    assert!(!world.hub.flooded());
    assert_eq!(world.written().len(), 1);
}

#[test]
fn an_unknown_revision_is_answered_when_the_server_is_known() {
    let newer = json!({"id": 5, "method": "tools/list", "params": {"_meta": {META: "2027-03-01"}}});
    let supported = |mail: &mut Receiver| {
        let refused = json_of(&answer(mail)?)["error"].take();
        assert_eq!(refused["code"], -32022);
        assert_eq!(refused["data"]["requested"], "2027-03-01");
        Some(refused["data"]["supported"].clone())
    };

    let mut world = World::new();
    for turn in 0..2 {
        let mut mail = world.post(None, &newer);
        assert_eq!(supported(&mut mail), None);
        if turn == 0 {
            world.refuse("initialize", -32022);
        }
        world.discovered();
        assert_eq!(supported(&mut mail), Some(json!(["2026-07-28"])));
        // The next process of the server is no more known at first than this one was.
        world.hub.ended(world.now, &Ended::default());
        let mut while_down = world.post(None, &newer);
        assert_eq!(supported(&mut while_down), None);
        world.written();
        world.hub.connecting();
        world.hub.connected(world.now, 1);
    }

    let mut world = World::new();
    let mut mail = world.post(None, &newer);
    world.greet();
    let sessions = json!(["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]);
    assert_eq!(supported(&mut mail), Some(sessions));

    // It waits no longer than any call does.
    let mut world = World::new();
    let mut mail = world.post(None, &newer);
    world.pass(Limits::default().ready + Duration::from_secs(1));
    let refused = answer(&mut mail).unwrap();
    assert_eq!(json_of(&refused)["error"]["code"], -32603);
}

#[test]
fn what_waits_for_a_server_is_bounded_in_bytes_too() {
    let mut world = World::new();
    let large = json!({"id": 5, "method": "tools/call", "params": {
        "_meta": {META: "2026-07-28"}, "name": "echo", "arguments": {"text": "a".repeat(1024 * 1024)}}});
    let mut mails: Vec<_> = (0..40).map(|_| world.post(None, &large)).collect();
    let refused = mails.iter_mut().filter_map(answer).count();
    let room = Limits::default().queued_bytes / (1024 * 1024);
    assert!((40 - room..40).contains(&refused), "{refused} refused");
}

#[test]
fn a_server_that_reads_nothing_is_kept_no_more_than_its_bound() {
    const MIB: usize = 1024 * 1024;
    let most = 2 * Limits::default().queued_bytes + 2 * MIB;
    let large = "a".repeat(MIB);
    for method in ["ping", "sampling/createMessage"] {
        let mut world = World::ready();
        for _ in 0..70 {
            world.server(&json!({"id": large, "method": method}));
        }
        let waits = world.hub.out().len();
        assert!((MIB..most).contains(&waits), "{method}: {waits}");
        assert!(world.hub.flooded(), "{method}");
    }

    // What a client answers or cancels.
    let mut world = World::ready();
    let session = world.open(&json!({"sampling": {}}));
    let (mut mail, _) = world.call(session, &json!(1), &json!(1));
    world.server(&json!({"id": "q", "method": "sampling/createMessage", "params": {}}));
    let asked = message(&mut mail).unwrap();
    let cancel = json!({"method": "notifications/cancelled",
        "params": {"requestId": 1, "reason": large}});
    for _ in 0..40 {
        world.post(Some(session), &cancel);
    }
    let room = Limits::default().queued_bytes;
    assert!(world.hub.out().len() <= room);
    let reply = json!({"id": asked["id"], "result": {"text": large}});
    let refused = answer(&mut world.post(Some(session), &reply)).unwrap();
    assert_eq!(refused.status, 503);
    assert!(world.hub.out().len() <= room);
    // Once the server reads, the answer is taken.
    world.written();
    let taken = answer(&mut world.post(Some(session), &reply)).unwrap();
    assert_eq!(taken.status, 202);
    assert_eq!(world.written()[0]["id"], "q");
}

/// A session with subscriptions to so many resources.
fn subscribed(world: &mut World, resources: usize) -> Uuid {
    let session = world.open(&json!({}));
    for at in 0..resources {
        let params = json!({"uri": format!("file:///{at}")});
        let subscribe = json!({"id": at, "method": "resources/subscribe", "params": params});
        world.post(Some(session), &subscribe);
        let id = world.written().pop().unwrap()["id"].take();
        world.server(&json!({"id": id, "result": {}}));
    }
    session
}

#[test]
fn a_new_process_first_hears_the_handshake_whatever_ended_while_there_was_none() {
    let mut world = World::ready();
    let session = subscribed(&mut world, 1);
    world.hub.ended(world.now, &Ended::default());
    let reply = mailbox(0).0;
    world.hub.input(world.now, Input::End { session, reply });
    world.hub.connecting();
    world.hub.connected(world.now, 1);
    let methods: Vec<_> = world
        .written()
        .iter()
        .map(|m| m["method"].clone())
        .collect();
    assert_eq!(methods, ["initialize"]);
}

#[test]
fn requests_of_the_bridge_that_a_server_leaves_unanswered_take_no_calls_place() {
    let mut world = World::ready();
    let most = Limits::default().calls;
    let session = subscribed(&mut world, most);
    let reply = mailbox(0).0;
    world.hub.input(world.now, Input::End { session, reply });
    assert_eq!(world.written().len(), most, "each is unsubscribed");
    let other = world.open(&json!({}));
    let (_mail, sent) = world.call(other, &json!(1), &json!(1));
    assert_eq!(sent["method"], "tools/call");
}

#[test]
fn a_session_lasts_as_long_as_its_calls_and_the_time_of_silence_after_them() {
    let hours = Duration::from_hours(2);
    for answered in [true, false] {
        let limits = Limits::default().with_times(Some(hours), None);
        let mut world = World::limited(limits);
        world.greet();
        let session = world.open(&json!({}));
        let (mut mail, sent) = world.call(session, &json!(1), &json!(1));
        for _ in 0..(hours.as_secs() - 60) {
            world.pass(Duration::from_secs(1));
            world.answer_probe();
        }
        // Others come, more than there is room for.
        for _ in 0..Limits::default().sessions {
            world.open(&json!({}));
        }
        assert!(answer(&mut mail).is_none());
        if answered {
            world.server(&json!({"id": sent["id"], "result": {}}));
        }
        world.pass(Duration::from_mins(2));
        let end = json_of(&answer(&mut mail).unwrap());
        assert_eq!(end["result"].is_object(), answered, "{end}");
        assert!(!end.to_string().contains("session"), "{end}");
        world.call(session, &json!(2), &json!(2));
    }
}

#[test]
fn a_cancellation_without_a_session_takes_no_waiting_call_of_another_client() {
    let mut world = World::new();
    let call = json!({"id": 5, "method": "tools/list", "params": {"_meta": {META: "2026-07-28"}}});
    let mut mail = world.post(None, &call);
    let cancel = json!({"method": "notifications/cancelled",
        "params": {"requestId": 5, "_meta": {META: "2026-07-28"}}});
    assert!(answer(&mut world.post(None, &cancel)).is_some());
    world.greet();
    assert!(answer(&mut mail).is_some());
}
