//! Ids of the bridge's own, and answers that give them back in another form.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use toolbox_api::mcp::McpState;

use super::world::{World, answer, json_of, message};
use crate::hub::Hub;
use crate::limits::Limits;
use crate::redact::Redactor;

#[test]
fn ids_fit_into_32_bits_with_a_sign() {
    for seed in [0, 7, u64::MAX] {
        let now = Instant::now();
        let mut hub = Hub::new(now, Limits::default(), Redactor::default(), seed);
        hub.connecting();
        hub.connected(now, 1);
        let first: Value = serde_json::from_slice(hub.out()).unwrap();
        let id = first["id"].as_i64().unwrap();
        assert!(id > 0 && i32::try_from(id).is_ok(), "{id}");
    }
}

#[test]
fn an_answer_is_matched_in_each_form_of_its_id() {
    let mut world = World::ready();
    let client = world.open(&json!({}));
    let forms: [fn(&Value) -> Value; 3] = [
        Value::clone,
        |id| id.to_string().into(),
        |id| id.as_f64().unwrap().into(),
    ];
    for form in forms {
        let (mut mail, sent) = world.call(client, &json!("mine"), &json!("token"));
        let id = form(&sent["id"]);
        world.server(&json!({"method": "notifications/progress",
            "params": {"progressToken": id, "progress": 1}}));
        world.server(&json!({"id": id, "result": {}}));
        let progress = message(&mut mail).unwrap_or_else(|| panic!("no progress for {id}"));
        assert_eq!(progress["params"]["progressToken"], "token");
        assert_eq!(json_of(&answer(&mut mail).unwrap())["id"], "mine", "{id}");
    }
    world.pass(Duration::from_secs(9));
    world.answer_probe();
    assert_eq!(world.last().state, McpState::Healthy);
}

#[test]
fn an_answer_that_matches_nothing_is_in_the_evidence_by_its_id() {
    let mut world = World::ready();
    let client = world.open(&json!({}));
    let (_mail, sent) = world.call(client, &json!(1), &json!(1));
    let truncated = sent["id"].as_i64().unwrap() - (1 << 33);
    world.server(&json!({"id": truncated, "result": {}}));
    world.server(&json!({"id": "other", "result": {}}));
    world.raw(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"hunter22"}}"#);
    world.pass(Duration::from_secs(9));
    world.answer_probe();
    let last = world.last();
    assert_eq!(last.state, McpState::Degraded);
    let words =
        format!("it answered 3 requests that nobody made, the first with the id {truncated}");
    assert!(last.evidence.contains(&words), "{}", last.evidence);
}

#[test]
fn an_answer_that_comes_late_is_no_fault() {
    let mut world = World::ready();
    let client = world.open(&json!({}));
    let (_mail, sent) = world.call(client, &json!(1), &json!(1));
    world.hub.input(
        world.now,
        crate::hub::Input::End {
            session: client,
            reply: crate::mailbox::mailbox(0).0,
        },
    );
    world.server(&json!({"id": sent["id"], "result": {}}));
    world.pass(Duration::from_secs(9));
    world.answer_probe();
    assert_eq!(world.last().state, McpState::Healthy);
}

#[test]
fn a_server_may_answer_in_batches_with_a_mark_before_its_output_and_with_null() {
    let mut world = World::ready();
    let client = world.open(&json!({}));
    let calls = [1, 2, 3].map(|id| world.call(client, &json!(id), &json!(id)));
    let [
        (mut one, sent_one),
        (mut two, sent_two),
        (mut three, sent_three),
    ] = calls;
    world.raw(&format!(
        "\u{feff}{}",
        json!({"jsonrpc": "2.0", "id": sent_one["id"], "result": {}})
    ));
    world.raw(
        &json!([
            {"jsonrpc": "2.0", "id": sent_two["id"], "result": {}},
            {"jsonrpc": "2.0", "id": sent_three["id"], "result": null},
        ])
        .to_string(),
    );
    for mail in [&mut one, &mut two, &mut three] {
        assert!(answer(mail).is_some());
    }
    world.pass(Duration::from_secs(9));
    world.answer_probe();
    assert_eq!(world.last().state, McpState::Healthy);
}
