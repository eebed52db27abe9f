//! Several servers of either era behind one URL, for clients of either era.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::routing::any;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use toolbox_mcp::bridge::{Bridge, Options, start};
use toolbox_mcp::child::ChildProcess;
use toolbox_mcp::merge::{Member, Merge, Servers};
use toolbox_mcp::wire::body::Budget;
use uuid::Uuid;

const STATELESS: &str = "2026-07-28";

/// The servers of the test, each with what is said of it.
#[derive(Clone, Default)]
struct Several(Arc<Mutex<BTreeMap<Uuid, (Member, Bridge)>>>);

impl Servers for Several {
    fn members(&self) -> Vec<Member> {
        let servers = self.0.lock().unwrap();
        servers.values().map(|(member, _)| member.clone()).collect()
    }

    async fn serve(&self, id: Uuid, request: Request<Body>) -> Response<Body> {
        let bridge = self.0.lock().unwrap()[&id].1.clone();
        bridge.serve(request).await
    }
}

impl Several {
    fn add(&self, digit: u128, arguments: &[&str], is_well: bool) -> Uuid {
        let process = ChildProcess::new(env!("CARGO_BIN_EXE_mcp-fixture"), arguments);
        let (bridge, task) = start(Arc::new(process), Options::default());
        tokio::spawn(task);
        let id = Uuid::from_u128(digit << 124 | digit);
        let member = Member {
            id,
            name: "same name".to_owned(),
            absent: None,
            is_well,
            version: None,
        };
        self.0.lock().unwrap().insert(id, (member, bridge));
        id
    }

    fn change(&self, id: Uuid, change: impl FnOnce(&mut Member)) {
        change(&mut self.0.lock().unwrap().get_mut(&id).unwrap().0);
    }
}

struct Merged {
    servers: Several,
    url: String,
    http: reqwest::Client,
}

impl Merged {
    async fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let servers = Several::default();
        let merge = Merge::new(1024 * 1024, Budget::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let served = servers.clone();
        let router = Router::new().route(
            "/mcp",
            any(move |request: Request| {
                let (merge, servers) = (merge.clone(), served.clone());
                async move {
                    let who = request.headers().get("x-who").cloned();
                    let who =
                        who.map_or_else(|| "a".to_owned(), |v| v.to_str().unwrap().to_owned());
                    merge.serve(servers, &who, request).await
                }
            }),
        );
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            servers,
            url,
            http: reqwest::Client::new(),
        }
    }

    fn post(&self, message: &Value) -> RequestBuilder {
        self.http
            .post(&self.url)
            .header("accept", "application/json, text/event-stream")
            .json(message)
    }

    /// A session, and what the handshake said.
    async fn begin(&self) -> (String, Value) {
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {"sampling": {}},
            "clientInfo": {"name": "test", "version": "0"}}});
        let response = self.post(&message).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let session = response.headers()["mcp-session-id"].to_str().unwrap();
        let session = session.to_owned();
        (session, response.json().await.unwrap())
    }

    async fn ask(&self, session: &str, method: &str, params: Value) -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let response = self.post(&message).header("mcp-session-id", session);
        message_of(response.send().await.unwrap()).await
    }

    async fn alone(&self, method: &str, mut params: Value) -> Value {
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": STATELESS,
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
            "io.modelcontextprotocol/clientCapabilities": {}});
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let mut request = self.post(&message);
        request = request.header("mcp-protocol-version", STATELESS);
        request = request.header("mcp-method", method);
        if !name.is_empty() {
            request = request.header("mcp-name", name);
        }
        message_of(request.send().await.unwrap()).await
    }
}

/// The last message of an answer of either form.
async fn message_of(response: reqwest::Response) -> Value {
    let text = response.text().await.unwrap();
    let last = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("data: "));
    serde_json::from_str(last.unwrap_or(&text)).unwrap_or_else(|_| panic!("{text}"))
}

fn names(list: &Value) -> Vec<&str> {
    let tools = list["result"]["tools"].as_array();
    let tools = tools.unwrap_or_else(|| panic!("{list}"));
    tools
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect()
}

fn text_of(answer: &Value) -> &str {
    let text = answer["result"]["content"][0]["text"].as_str();
    text.unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test]
async fn servers_of_either_era_are_one_for_clients_of_either_era() {
    let merged = Merged::new().await;
    merged.servers.add(1, &["--era", "sessions"], true);
    merged.servers.add(2, &["--era", "stateless"], true);
    merged.servers.add(3, &["--era", "both"], true);
    let (session, begun) = merged.begin().await;
    assert_eq!(begun["result"]["protocolVersion"], "2025-11-25");
    let capabilities = json!({"tools": {"listChanged": true}});
    assert_eq!(begun["result"]["capabilities"], capabilities);
    let told = begun["result"]["instructions"].as_str().unwrap();
    assert!(
        told.contains("same-name-10000000, same-name-20000000"),
        "{told}"
    );
    assert!(!told.contains("Not available"), "{told}");
    let found = merged.alone("server/discover", json!({})).await;
    assert_eq!(found["result"]["supportedVersions"], json!([STATELESS]));
    for stateless in [false, true] {
        let ask = async |method: &str, params: Value| {
            if stateless {
                merged.alone(method, params).await
            } else {
                merged.ask(&session, method, params).await
            }
        };
        let list = ask("tools/list", json!({})).await;
        let names = names(&list);
        assert_eq!(names.len(), 30, "{names:?}");
        assert!(
            list["result"]["tools"][0]["inputSchema"].is_object(),
            "{list}"
        );
        let mut pids = Vec::new();
        for digit in 1..=3 {
            let name = |tool: &str| format!("same-name-{digit}0000000__{tool}");
            assert!(names.contains(&&*name("echo")));
            let said = ask(
                "tools/call",
                json!({"name": name("echo"), "arguments": {"message": "hej"}}),
            );
            assert_eq!(text_of(&said.await), "hej");
            let said = ask("tools/call", json!({"name": name("pid"), "arguments": {}})).await;
            assert_eq!(said["id"], 7);
            // A server of the older era does not say so itself.
            if stateless && digit == 1 {
                assert_eq!(said["result"]["resultType"], "complete", "{said}");
            }
            pids.push(text_of(&said).to_owned());
        }
        pids.sort();
        pids.dedup();
        assert_eq!(pids.len(), 3, "each name leads to its own server");
        for name in ["echo", "same-name-40000000__echo", "x__y"] {
            let refused = ask("tools/call", json!({"name": name, "arguments": {}})).await;
            assert_eq!(refused["error"]["code"], -32602, "{name}");
        }
        let refused = ask("prompts/list", json!({})).await;
        assert_eq!(refused["error"]["code"], -32601, "{refused}");
    }
}

#[tokio::test]
async fn one_broken_server_hides_no_other_and_its_absence_is_said() {
    let merged = Merged::new().await;
    let well = merged.servers.add(1, &[], true);
    merged.servers.add(2, &["--silent"], false);
    merged
        .servers
        .add(3, &["--exit", "3", "--say", "no key"], false);
    let stopped = merged.servers.add(4, &[], true);
    merged.servers.change(stopped, |member| {
        member.absent = Some("the tool is stopped".to_owned());
    });
    let begun = std::time::Instant::now();
    let (session, handshake) = merged.begin().await;
    let told = handshake["result"]["instructions"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = merged.ask(&session, "tools/list", json!({})).await;
    println!(
        "a handshake and a list beside a silent server took {:?}",
        begun.elapsed()
    );
    assert!(begun.elapsed() < Duration::from_secs(8));
    assert_eq!(names(&list).len(), 11, "the tools of one, and the notice");
    let notice = &list["result"]["tools"][10];
    assert_eq!(notice["name"], "toolbox__unavailable_servers");
    for text in [&*told, notice["description"].as_str().unwrap()] {
        for absent in [
            "same-name-20000000 (",
            "same-name-30000000 (",
            "same-name-40000000 (the tool is stopped)",
        ] {
            assert!(text.contains(absent), "{text}");
        }
        assert!(!text.contains("same-name-10000000 ("), "{text}");
    }
    assert_eq!(
        list["result"]["_meta"]["toolbox/unavailable"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let call = json!({"name": "same-name-40000000__echo", "arguments": {}});
    let failed = merged.ask(&session, "tools/call", call).await;
    assert_eq!(failed["result"]["isError"], true);
    assert!(text_of(&failed).contains("the tool is stopped"), "{failed}");

    // It comes back, and the client hears of it.
    let mut stream = merged
        .http
        .get(&merged.url)
        .header("accept", "text/event-stream")
        .header("mcp-session-id", &session)
        .send()
        .await
        .unwrap();
    merged
        .servers
        .change(stopped, |member| member.absent = None);
    let heard = async {
        let mut text = String::new();
        while !text.contains("notifications/tools/list_changed") {
            text.push_str(&String::from_utf8_lossy(
                &stream.chunk().await.unwrap().unwrap(),
            ));
        }
    };
    tokio::time::timeout(Duration::from_secs(5), heard)
        .await
        .unwrap();
    assert_eq!(
        names(&merged.ask(&session, "tools/list", json!({})).await).len(),
        21
    );
    // Its tools become others.
    merged
        .servers
        .change(well, |member| member.version = Some("other".to_owned()));
    let heard = async {
        while !String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap())
            .contains("list_changed")
        {}
    };
    tokio::time::timeout(Duration::from_secs(5), heard)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_subscription_of_the_stateless_era_hears_of_changes() {
    let merged = Merged::new().await;
    let id = merged.servers.add(1, &[], true);
    let message = json!({"jsonrpc": "2.0", "id": "s", "method": "subscriptions/listen", "params": {
        "notifications": {"toolsListChanged": true}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": STATELESS,
            "io.modelcontextprotocol/clientCapabilities": {}}}});
    let mut stream = merged
        .post(&message)
        .header("mcp-protocol-version", STATELESS)
        .header("mcp-method", "subscriptions/listen")
        .send()
        .await
        .unwrap();
    let mut text = String::new();
    let heard = async {
        while !text.contains("tools/list_changed") {
            text.push_str(&String::from_utf8_lossy(
                &stream.chunk().await.unwrap().unwrap(),
            ));
            if text.contains("acknowledged") {
                merged
                    .servers
                    .change(id, |member| member.version = Some("other".to_owned()));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), heard)
        .await
        .unwrap();
    assert_eq!(
        text.matches(r#""io.modelcontextprotocol/subscriptionId":"s""#)
            .count(),
        2,
        "{text}"
    );
}

#[tokio::test]
async fn a_question_of_a_server_and_its_progress_reach_the_client_and_the_answer_goes_back() {
    let merged = Merged::new().await;
    merged.servers.add(1, &[], true);
    merged.servers.add(2, &[], true);
    let (session, _) = merged.begin().await;
    let call = |tool: &str, id: u32| {
        let name = format!("same-name-20000000__{tool}");
        let params =
            json!({"name": name, "arguments": {"ms": 400}, "_meta": {"progressToken": "p"}});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params});
        merged.post(&message).header("mcp-session-id", &session)
    };
    let progress = call("sleep", 1).send().await.unwrap().text().await.unwrap();
    assert_eq!(
        progress.matches(r#""progressToken":"p""#).count(),
        4,
        "{progress}"
    );
    let mut asking = call("ask", 2).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\n\n") {
        text.push_str(&String::from_utf8_lossy(
            &asking.chunk().await.unwrap().unwrap(),
        ));
    }
    let question = text
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    let question: Value = serde_json::from_str(question).unwrap();
    assert_eq!(question["method"], "sampling/createMessage");
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": {
        "role": "assistant", "model": "m", "content": {"type": "text", "text": "yes"}}});
    let taken = merged.post(&answer).header("mcp-session-id", &session);
    assert_eq!(taken.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let rest = tokio::time::timeout(Duration::from_secs(10), asking.text()).await;
    let rest = rest.unwrap().unwrap();
    assert!(
        rest.contains(r#"\"ask-1\""#),
        "by the id that the server gave: {rest}"
    );
}

#[tokio::test]
async fn a_session_is_its_callers_and_ends() {
    let merged = Merged::new().await;
    let id = merged.servers.add(1, &[], true);
    let (session, _) = merged.begin().await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let of = |who: &str| {
        let request = merged.post(&list).header("mcp-session-id", &session);
        request.header("x-who", who).send()
    };
    assert_eq!(of("b").await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(of("a").await.unwrap().status(), StatusCode::OK);
    // A session within that has ended is begun again.
    let bridge = merged.servers.0.lock().unwrap()[&id].1.clone();
    let mut end = Request::new(Body::empty());
    *end.method_mut() = axum::http::Method::DELETE;
    end.headers_mut().insert(
        "mcp-session-id",
        Uuid::new_v4().to_string().parse().unwrap(),
    );
    assert_eq!(bridge.serve(end).await.status(), 404);
    let ended = merged
        .http
        .delete(&merged.url)
        .header("mcp-session-id", &session);
    assert_eq!(ended.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(of("a").await.unwrap().status(), StatusCode::NOT_FOUND);
    let batch = merged
        .post(&json!([list]))
        .header("mcp-session-id", &session);
    assert_eq!(
        batch.send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
}
