//! Control planes of recorded versions of the agent's API against the agent of now: it does what they ask, and answers what
//! they read. The other way round is tests/e2e/versions_test.ts; docs/CONTRIBUTING.md says how to record.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value, json};
use toolbox_api::dtma::{API_VERSION, Desired, Phase};
use toolbox_api::heartbeat::{DesiredInstance, DesiredState, EnrolResponse, HeartbeatResponse};
use toolbox_domain::ids::ToolInstanceId;
use uuid::Uuid;

use crate::agent::Agent;
use crate::control::{SOON, enrolled};
use crate::docker;
use crate::stub::Stub;

/// The recordings of the version before and of this one, as far as there are.
fn recordings() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/e2e/versions");
    let found: Vec<Value> = [API_VERSION - 1, API_VERSION]
        .iter()
        .filter_map(|version| std::fs::read(folder.join(format!("api-{version}.json"))).ok())
        .map(|bytes| serde_json::from_slice(&bytes).unwrap())
        .collect();
    let newest = found.last().map(|one| one["api_version"].clone());
    assert_eq!(newest, Some(json!(API_VERSION)), "record this version");
    found
}

/// The same with other ids, and with the image that these tests have.
fn renamed(part: &Value, toolbox: Uuid, instance: Uuid) -> Vec<Value> {
    let text = part["exchanges"].to_string();
    let text = text.replace(part["toolbox"].as_str().unwrap(), &toolbox.to_string());
    let text = text.replace(part["instance"].as_str().unwrap(), &instance.to_string());
    let mut exchanges: Vec<Value> = serde_json::from_str(&text).unwrap();
    for exchange in &mut exchanges {
        for body in ["request", "answer"] {
            put_image(exchange.pointer_mut(&format!("/{body}/spec")));
            let instances = exchange.pointer_mut(&format!("/{body}/instances"));
            for one in instances
                .and_then(Value::as_array_mut)
                .into_iter()
                .flatten()
            {
                put_image(one.get_mut("spec"));
            }
        }
    }
    exchanges
}

fn put_image(spec: Option<&mut Value>) {
    if let Some(spec) = spec {
        spec["image"] = json!(docker::IMAGE);
        spec["command"] = json!(["sleep"]);
    }
}

/// What `then` has and `now` lacks, or has as another kind of value. Null is no kind; of a list, its first entry counts.
fn lacking(then: &Value, now: &Value, path: &str, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, value) in then {
                let path = format!("{path}/{key}");
                match now.get(key) {
                    Some(now) => lacking(value, now, &path, found),
                    None if value.is_null() => {}
                    None => found.push(path),
                }
            }
        }
        (Value::Array(then), Value::Array(now)) => {
            if let (Some(then), Some(now)) = (then.first(), now.first()) {
                lacking(then, now, &format!("{path}/0"), found);
            }
        }
        (Value::Null, _)
        | (_, Value::Null)
        | (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => {}
        _ => found.push(path.to_owned()),
    }
}

#[tokio::test]
async fn what_control_planes_of_this_and_the_version_before_ask_is_done_and_answered() {
    for recording in recordings() {
        let agent = Agent::new().await;
        let exchanges = renamed(&recording["commands"], agent.toolbox, Uuid::new_v4());
        assert!(exchanges.len() > 10, "{}", exchanges.len());
        for exchange in exchanges {
            let text = |key: &str| exchange[key].as_str();
            let (method, path) = (text("method").unwrap(), text("path").unwrap());
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let mut request = agent.request(method.clone(), path);
            if let Some(prefer) = text("prefer") {
                request = request.header("prefer", prefer);
            }
            if !exchange["request"].is_null() {
                request = request.json(&exchange["request"]);
            }
            let answer = agent.send(request).await;
            let what = format!("version {}: {method} {path}", recording["api_version"]);
            // 202 is 200 of an agent that needs longer.
            let status = |code: u64| if code == 202 { 200 } else { code };
            let now = status(answer.status.as_u16().into());
            let then = exchange["status"].as_u64().map(status);
            assert_eq!(Some(now), then, "{what}: {}", answer.body);
            let mut found = Vec::new();
            lacking(&exchange["answer"], &answer.body, "", &mut found);
            assert!(found.is_empty(), "{what} lacks {found:?}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn what_control_planes_of_this_and_the_version_before_answer_is_understood() {
    for recording in recordings() {
        let stub = Stub::new().await;
        let mut agent = enrolled(&stub).await;
        let id = Uuid::new_v4();
        let mut wanted: Option<DesiredInstance> = None;
        for exchange in renamed(&recording["reports"], agent.toolbox, id) {
            if exchange["status"] != 200 {
                continue;
            }
            let path = exchange["path"].as_str().unwrap();
            let answer = exchange["answer"].clone();
            if path.ends_with("/enrol") {
                serde_json::from_value::<EnrolResponse>(answer).unwrap();
            } else if path.ends_with("/desired") {
                let state: DesiredState = serde_json::from_value(answer).unwrap();
                wanted = state.instances.into_iter().next().or(wanted);
            } else {
                serde_json::from_value::<HeartbeatResponse>(answer).unwrap();
            }
        }
        let wanted = wanted.expect("a desired state was recorded");
        assert_eq!(wanted.deploy.desired, Desired::Running);
        let id = ToolInstanceId::new(id);
        stub.plane().rows.insert(id, wanted);
        // It asks at its start what should run.
        agent.terminate().await;
        agent.start().await;
        stub.until("it runs as was desired", SOON, |plane| {
            plane
                .reports
                .get(&id)
                .is_some_and(|report| report.phase == Some(Phase::Running))
        })
        .await;
    }
}
