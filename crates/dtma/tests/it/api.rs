//! The API's surface: keys, routes, bodies, problems, help.

use std::process::Command;

use dtma::api::router::{Access, routes};
use reqwest::Method;
use serde_json::{Value, json};
use toolbox_api::dtma::{Health, Status, ToolList};
use uuid::Uuid;

use crate::agent::{Agent, Tool};
use crate::docker;

pub fn path_of(route: &str, id: Uuid) -> String {
    route.replace("{id}", &id.to_string())
}

#[tokio::test]
async fn no_route_answers_without_an_accepted_key() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    agent.deploy(&tool).await;
    let mut closed = 0;
    for route in routes() {
        let path = path_of(route.path, tool.id);
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        if route.access == Access::Public {
            agent
                .send(agent.bare_request(method, &path))
                .await
                .expect(200);
            continue;
        }
        closed += 1;
        let wrong = format!("tbk_{}", "0".repeat(64));
        let presented: [Option<String>; 6] = [
            None,
            Some(format!("Bearer {wrong}")),
            Some("Bearer ".into()),
            Some(agent.key.clone()),
            Some(format!("Basic {}", agent.key)),
            Some(format!("Bearer {}x", agent.key)),
        ];
        for header in presented {
            let mut request = agent.bare_request(method.clone(), &path).json(&tool.body);
            if let Some(header) = &header {
                request = request.header("authorization", header);
            }
            let answer = agent.send(request).await;
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"dtma\"");
            answer.expect_problem(401, "unauthorized");
        }
        // The key in the query is no key either.
        agent
            .send(agent.bare_request(method, &format!("{path}?key={}", agent.key)))
            .await
            .expect_problem(401, "unauthorized");
    }
    assert_eq!(closed, routes().len() - 1, "only /health is public");
    for path in ["/", "/nope", "/health/", "//health", "/metrics"] {
        agent
            .send(agent.bare_request(Method::GET, path))
            .await
            .expect_problem(401, "unauthorized");
    }
    agent
        .send(agent.bare_request(Method::POST, "/health"))
        .await
        .expect_problem(401, "unauthorized");
    assert_eq!(
        agent.settled(&tool).await["phase"],
        "running",
        "nothing was changed"
    );
}

#[tokio::test]
async fn every_accepted_key_of_the_file_opens() {
    let mut agent = Agent::new().await;
    let next = format!("tbk_{}", "5a".repeat(32));
    agent.kill();
    agent.write_keys(&[&next, &agent.key]);
    agent.start().await;
    agent.call(Method::GET, "/tools").await.expect(200);
    agent.key = next;
    agent.call(Method::GET, "/tools").await.expect(200);
}

#[tokio::test]
async fn an_unknown_route_is_not_an_unknown_instance() {
    let agent = Agent::new().await;
    let id = Uuid::new_v4();
    for path in [
        "/",
        "/nope",
        "/tool",
        "/tools/",
        &format!("/tools/{id}/nope"),
        &format!("/tools/{id}/logs/x"),
        "/TOOLS",
    ] {
        agent
            .call(Method::GET, path)
            .await
            .expect_problem(404, "route_unknown");
    }
    for path in [
        format!("/tools/{id}"),
        format!("/tools/{id}/logs"),
        "/tools/404".into(),
        "/tools/Context7%20MCP".into(),
    ] {
        agent
            .call(Method::GET, &path)
            .await
            .expect_problem(404, "instance_unknown");
    }
    for command in ["start", "stop", "restart"] {
        agent
            .call(Method::POST, &format!("/tools/{id}/{command}"))
            .await
            .expect_problem(404, "instance_unknown");
    }
    assert_eq!(
        agent
            .call(Method::DELETE, &format!("/tools/{id}"))
            .await
            .expect(200),
        json!({"id": id, "removed": true})
    );
}

#[tokio::test]
async fn wrong_methods_name_the_right_ones() {
    let agent = Agent::new().await;
    let id = Uuid::new_v4();
    for route in routes() {
        let path = path_of(route.path, id);
        let answer = agent.call(Method::PATCH, &path).await;
        let allowed = answer.headers["allow"].to_str().unwrap().to_owned();
        assert!(
            allowed
                .split(',')
                .any(|m| m.trim() == route.method.as_str()),
            "{path}: {allowed}"
        );
        answer.expect_problem(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_told_apart() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    let path = format!("/tools/{}", tool.id);
    let put = || agent.request(Method::PUT, &path);
    let json_put = |body: String| put().header("content-type", "application/json").body(body);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{\"generation\":1}",
        "\u{0}",
    ] {
        agent
            .send(json_put(body.into()))
            .await
            .expect_problem(400, "invalid_body");
    }
    let mut extra = tool.body.clone();
    extra["spec"]["privileged"] = json!(true);
    let problem = agent
        .send(put().json(&extra))
        .await
        .expect_problem(400, "invalid_body");
    assert!(
        problem["detail"].as_str().unwrap().contains("privileged"),
        "{problem}"
    );
    let mut secret = tool.body.clone();
    secret["spec"]["env"] = json!({"TOKEN": ["s3cret"]});
    let problem = agent
        .send(put().json(&secret))
        .await
        .expect_problem(400, "invalid_body");
    assert!(!problem.to_string().contains("s3cret"));
    agent
        .send(put().body("a=b"))
        .await
        .expect_problem(415, "unsupported_media_type");
    agent
        .send(put().header("content-type", "text/plain").body("{}"))
        .await
        .expect_problem(415, "unsupported_media_type");
    let large = format!("{{\"x\":\"{}\"}}", "y".repeat(256 * 1024));
    agent
        .send(json_put(large))
        .await
        .expect_problem(413, "body_too_large");
    let start = agent.request(Method::POST, &format!("{path}/start"));
    agent
        .send(
            start
                .header("content-type", "application/json")
                .body("{\"generation\":-1}"),
        )
        .await
        .expect_problem(400, "invalid_body");
    agent
        .call(Method::GET, &format!("{path}?generation=x"))
        .await
        .expect_problem(400, "invalid_body");
    agent
        .view(&tool)
        .await
        .expect_problem(404, "instance_unknown");
}

#[tokio::test]
async fn specs_that_break_rules_are_refused_with_every_violation() {
    let agent = Agent::new().await;
    let cases: [(&str, Value); 9] = [
        ("image", json!("")),
        ("image", json!("http://127.0.0.2/x.git")),
        ("image", json!("UPPER/case:1")),
        ("env", json!({"A": "nul\0"})),
        ("resources", json!({"memory_bytes": 1})),
        ("confinement", json!({"add_capabilities": ["SYS_ADMIN"]})),
        ("volumes", json!([{"name": "x", "path": "/a/../b"}])),
        ("ports", json!([{"container_port": 0}])),
        ("mcp_path", json!("no slash")),
    ];
    for (field, value) in cases {
        let tool = Tool::new(&["sleep"]).with(field, value.clone());
        let problem = agent.put(&tool).await.expect_problem(422, "invalid_spec");
        let named = problem["errors"][0]["field"].as_str().unwrap().to_owned();
        assert!(named.starts_with(field), "{field}={value}: {problem}");
    }
    let mut absent = Tool::new(&["sleep"]);
    absent.body["desired"] = json!("absent");
    agent.put(&absent).await.expect_problem(422, "invalid_spec");
}

#[tokio::test]
async fn health_and_status_tell_the_truth_in_the_documented_shape() {
    let agent = Agent::new().await;
    let tool = Tool::new(&["sleep"]);
    agent.deploy(&tool).await;
    let health = agent
        .send(agent.bare_request(Method::GET, "/health"))
        .await
        .expect(200);
    assert_eq!(health["status"], "healthy");
    assert_eq!(health.as_object().unwrap().len(), 6, "no more than it must");
    serde_json::from_value::<Health>(health).unwrap();
    let status = agent.call(Method::GET, "/status").await.expect(200);
    assert_eq!(
        status["environment"],
        json!({"hasAuthToken": true, "hasApiKey": true, "hasApiBaseUrl": false,
        "port": agent.url("").rsplit(':').next().unwrap().parse::<u16>().unwrap()})
    );
    assert!(
        status["system_metrics"]["memory"]["total_bytes"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_eq!(status["tool_instances"][0]["id"], json!(tool.id));
    assert!(
        status["docker"]["api_version"]
            .as_str()
            .unwrap()
            .starts_with("1.")
    );
    serde_json::from_value::<Status>(status).unwrap();
}

#[tokio::test]
async fn foreign_containers_are_listed_without_their_secrets() {
    let agent = Agent::new().await;
    let name = format!("dtma-test-foreign-{}", Uuid::new_v4().simple());
    let body = bollard::models::ContainerCreateBody {
        env: Some(vec!["TOKEN=s3cret".into()]),
        ..Default::default()
    };
    let id = docker::foreign(&name, body).await;
    let answer = agent.call(Method::GET, "/tools").await.expect(200);
    docker::remove(&id).await;
    let found = answer["foreign"]
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["container_id"] == json!(id))
        .unwrap();
    assert_eq!(
        (&found["name"], &found["state"]),
        (&json!(name), &json!("running"))
    );
    assert!(!answer.to_string().contains("s3cret"));
    serde_json::from_value::<ToolList>(answer).unwrap();
}

#[tokio::test]
async fn request_ids_are_taken_over_or_made() {
    let agent = Agent::new().await;
    let given = agent
        .send(
            agent
                .request(Method::GET, "/nope")
                .header("x-request-id", "req-1"),
        )
        .await;
    assert_eq!(given.headers["x-request-id"], "req-1");
    for bad in ["", "a b", &"x".repeat(129)] {
        let made = agent
            .send(
                agent
                    .request(Method::GET, "/tools")
                    .header("x-request-id", bad),
            )
            .await;
        assert!(
            made.headers["x-request-id"]
                .to_str()
                .unwrap()
                .parse::<Uuid>()
                .is_ok()
        );
    }
}

#[test]
fn the_published_document_has_exactly_these_routes() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/api/dtma.openapi.json"
    );
    let document: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut documented = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let security = operation
                .get("security")
                .or(document.get("security"))
                .cloned()
                .unwrap_or_default();
            let open = security
                .as_array()
                .is_none_or(|s| s.iter().all(|scheme| scheme == &json!({})));
            documented.push((path.clone(), method.to_uppercase(), open));
        }
    }
    let mut served: Vec<_> = routes()
        .into_iter()
        .map(|r| {
            (
                r.path.to_owned(),
                r.method.to_string(),
                r.access == Access::Public,
            )
        })
        .collect();
    documented.sort();
    served.sort();
    assert_eq!(served, documented);
}

#[test]
fn help_documents_every_variable() {
    #[allow(clippy::disallowed_methods, reason = "the program under test")]
    let output = Command::new(env!("CARGO_BIN_EXE_dtma"))
        .args(["agent", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in [
        "DTMA_LISTEN",
        "DTMA_TOOLBOX_ID",
        "DTMA_KEY_FILE",
        "DTMA_STATE_DIR",
        "DTMA_DOCKER_HOST",
        "DTMA_PORT_RANGE",
        "DTMA_LOG",
        "DTMA_ALLOW_PRIVATE_SOURCES",
        "DTMA_INSECURE_HTTP",
        "DTMA_TLS_NAMES",
        "DTMA_CONTROL_URL",
        "DTMA_CONTROL_CA_FILE",
        "DTMA_ENROLMENT_TOKEN_FILE",
        "DTMA_HEARTBEAT_INTERVAL",
    ] {
        assert!(help.contains(variable), "{variable} is missing in:\n{help}");
    }
}
