//! Several servers of either era behind one URL, for clients of either era.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::Response;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any, post};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use toolbox_mcp::bridge::{Bridge, Options, start};
use toolbox_mcp::child::ChildProcess;
use toolbox_mcp::http::{self, HttpBridge, Private};
use toolbox_mcp::limits::Limits;
use toolbox_mcp::merge::{Member, Merge, Servers, names};
use toolbox_mcp::wire::body::Budget;
use uuid::Uuid;

use crate::http::{answer, place, serve};

const STATELESS: &str = "2026-07-28";

/// The servers of the test, each with what is said of it.
#[derive(Clone, Default)]
struct Several(
    Arc<Mutex<BTreeMap<Uuid, (Member, Server)>>>,
    /// How many requests each got.
    Arc<Mutex<BTreeMap<Uuid, usize>>>,
);

#[derive(Clone)]
enum Server {
    Stdio(Bridge),
    Http(HttpBridge),
}

impl Server {
    async fn serve(&self, request: Request<Body>) -> Response<Body> {
        match self {
            Self::Stdio(bridge) => bridge.serve(request).await,
            Self::Http(bridge) => bridge.serve(request).await,
        }
    }
}

impl Servers for Several {
    fn members(&self) -> Vec<Member> {
        let servers = self.0.lock().unwrap();
        servers.values().map(|(member, _)| member.clone()).collect()
    }

    fn listed(&self, id: Uuid) -> Option<Vec<String>> {
        let Server::Stdio(bridge) = self.0.lock().unwrap()[&id].1.clone() else {
            return None;
        };
        let memory = bridge.memory();
        let memory = memory.borrow();
        Some(memory.tools.as_ref()?.entries()?.to_vec())
    }

    async fn serve(&self, id: Uuid, request: Request<Body>) -> Response<Body> {
        *self.1.lock().unwrap().entry(id).or_default() += 1;
        let server = self.0.lock().unwrap()[&id].1.clone();
        server.serve(request).await
    }
}

impl Several {
    fn add(&self, digit: u128, arguments: &[&str], is_well: bool) -> Uuid {
        let process = ChildProcess::new(env!("CARGO_BIN_EXE_mcp-fixture"), arguments);
        let options = Options {
            limits: Limits {
                keeps_tools: true,
                ..Limits::default()
            },
            ..Options::default()
        };
        let (bridge, task) = start(Arc::new(process), options);
        tokio::spawn(task);
        self.put(digit, Server::Stdio(bridge), is_well)
    }

    /// A server that speaks HTTP itself.
    async fn add_http(&self, digit: u128, handler: MethodRouter) -> Uuid {
        let address = serve(Router::new().route("/", handler)).await;
        let place = place(address, "/", Private::default());
        let (bridge, task) = http::start(place, Options::default());
        tokio::spawn(task);
        self.put(digit, Server::Http(bridge), true)
    }

    fn put(&self, digit: u128, server: Server, is_well: bool) -> Uuid {
        let id = Uuid::from_u128(digit << 124 | digit);
        let member = Member {
            id,
            name: "same name".to_owned(),
            absent: None,
            is_well,
            is_idle: false,
            version: None,
            run: None,
            ready: Duration::from_secs(30),
        };
        self.0.lock().unwrap().insert(id, (member, server));
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

    async fn alone(&self, method: &str, params: Value) -> Value {
        message_of(self.alone_raw(method, params).await).await
    }

    async fn alone_raw(&self, method: &str, mut params: Value) -> reqwest::Response {
        let name = params["name"].as_str().or(params["uri"].as_str());
        let name = name.unwrap_or_default().to_owned();
        let version = "io.modelcontextprotocol/protocolVersion";
        params["_meta"][version] = STATELESS.into();
        params["_meta"]["io.modelcontextprotocol/clientInfo"] =
            json!({"name": "test", "version": "0"});
        params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let message = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let mut request = self.post(&message);
        request = request.header("mcp-protocol-version", STATELESS);
        request = request.header("mcp-method", method);
        if !name.is_empty() {
            request = request.header("mcp-name", name);
        }
        request.send().await.unwrap()
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
    all(list, "tools", "name")
}

/// What the entries of a list are called by.
fn all<'a>(list: &'a Value, field: &str, key: &str) -> Vec<&'a str> {
    let entries = list["result"][field].as_array();
    let entries = entries.unwrap_or_else(|| panic!("{list}"));
    let name = |entry: &'a Value| entry[key].as_str().unwrap();
    entries.iter().map(name).collect()
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
    let changes = json!({"listChanged": true});
    let capabilities =
        json!({"tools": changes, "prompts": changes, "resources": changes, "completions": {}});
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
        assert_eq!(names.len(), 33, "{names:?}");
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
        let refused = ask("resources/subscribe", json!({"uri": "test://one"})).await;
        assert_eq!(refused["error"]["code"], -32601, "{refused}");
    }
}

#[tokio::test]
async fn prompts_and_resources_lead_to_their_server_for_clients_of_either_era() {
    let merged = Merged::new().await;
    merged.servers.add(1, &["--era", "sessions"], true);
    merged.servers.add(2, &["--era", "stateless"], true);
    let (session, _) = merged.begin().await;
    for stateless in [false, true] {
        let ask = async |method: &str, params: Value| {
            if stateless {
                merged.alone(method, params).await
            } else {
                merged.ask(&session, method, params).await
            }
        };
        let prompts = ask("prompts/list", json!({})).await;
        let prompts = all(&prompts, "prompts", "name");
        assert_eq!(prompts.len(), 4, "{prompts:?}");
        let resources = ask("resources/list", json!({})).await;
        assert_eq!(
            resources["result"]["_meta"]["toolbox/unavailable"],
            json!([])
        );
        let resources = all(&resources, "resources", "uri");
        assert_eq!(resources.len(), 4, "{resources:?}");
        let templates = ask("resources/templates/list", json!({})).await;
        let templates = all(&templates, "resourceTemplates", "uriTemplate");
        for (at, digit) in [(0, 1), (1, 2)] {
            let server = format!("same-name-{digit}0000000");
            let home = format!("toolbox://{server}/");
            // The name of the second one is shortened.
            assert_eq!(prompts[2 * at], format!("{server}__greet"));
            for (prompt, own) in [(prompts[2 * at], "greet"), (prompts[2 * at + 1], "a b")] {
                let got = ask(
                    "prompts/get",
                    json!({"name": prompt, "arguments": {"who": "x"}}),
                )
                .await;
                let [first, second] =
                    [0, 1].map(|at| got["result"]["messages"][at]["content"].clone());
                assert_eq!(first["text"], format!(r#""{own}" {{"who":"x"}}"#));
                assert_eq!(second["resource"]["uri"], format!("{home}test://one"));
            }
            let template = templates[at];
            assert_eq!(template, format!("{home}test://{{number}}{{?q}}"));
            let filled = template.replace("{number}{?q}", "9?q=a%2Fb");
            for (uri, own) in [
                (resources[2 * at], "test://one"),
                (resources[2 * at + 1], "file:///a b/\"2\""),
                (&*filled, "test://9?q=a%2Fb"),
            ] {
                let read = ask("resources/read", json!({"uri": uri})).await;
                let contents = &read["result"]["contents"][0];
                assert_eq!(contents["text"], format!("read {}", Value::from(own)));
                assert_eq!(contents["uri"], uri, "{read}");
                // A server of the older era does not say so itself.
                if stateless && digit == 1 {
                    let result = &read["result"];
                    assert_eq!(result["resultType"], "complete", "{read}");
                    assert_eq!(
                        [&result["ttlMs"], &result["cacheScope"]],
                        [&json!(0), &json!("private")]
                    );
                }
            }
            let called = ask(
                "tools/call",
                json!({"name": format!("{server}__link"), "arguments": {}}),
            )
            .await;
            let [text, link, embedded] =
                [0, 1, 2].map(|at| called["result"]["content"][at].clone());
            assert_eq!(text["text"], "test://one", "text stays as it is");
            assert_eq!(link["uri"], format!("{home}test://one"));
            assert_eq!(embedded["resource"]["uri"], format!("{home}test://two"));
            for (reference, own) in [
                (
                    json!({"type": "ref/prompt", "name": prompts[2 * at + 1]}),
                    r#"{"name":"a b","type":"ref/prompt"}"#,
                ),
                (
                    json!({"type": "ref/resource", "uri": template}),
                    r#"{"type":"ref/resource","uri":"test://{number}{?q}"}"#,
                ),
            ] {
                let argument = json!({"name": "who", "value": "x"});
                let params = json!({"ref": reference, "argument": argument});
                let completed = ask("completion/complete", params).await;
                assert_eq!(completed["result"]["completion"]["values"], json!([own]));
            }
        }
        for (method, params) in [
            ("prompts/get", json!({"name": "greet"})),
            ("resources/read", json!({"uri": "test://one"})),
            (
                "resources/read",
                json!({"uri": "toolbox://same-name-30000000/test://one"}),
            ),
            ("completion/complete", json!({"ref": {"type": "ref/other"}})),
        ] {
            let refused = ask(method, params.clone()).await;
            assert_eq!(refused["error"]["code"], -32602, "{method} {params}");
        }
    }
}

#[tokio::test]
async fn a_server_without_prompts_and_resources_is_not_asked_for_them_and_one_that_is_absent_is_named()
 {
    let merged = Merged::new().await;
    let few = merged
        .servers
        .add_http(1, post(async |body: Bytes| usual(&read(&body))))
        .await;
    let stopped = merged.servers.add(2, &[], true);
    merged.servers.change(stopped, |member| {
        member.absent = Some("it is stopped".to_owned());
    });
    let (session, _) = merged.begin().await;
    let asked = merged.servers.1.lock().unwrap()[&few];
    for (method, field) in [
        ("prompts/list", "prompts"),
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
    ] {
        let list = merged.ask(&session, method, json!({})).await;
        assert_eq!(list["result"][field], json!([]));
        let absent = json!([{"server": "same-name-20000000", "reason": "it is stopped"}]);
        assert_eq!(list["result"]["_meta"]["toolbox/unavailable"], absent);
    }
    let reference = json!({"type": "ref/prompt", "name": "same-name-10000000__greet"});
    let params = json!({"ref": reference, "argument": {"name": "who", "value": ""}});
    let none = merged.ask(&session, "completion/complete", params).await;
    assert_eq!(none["result"]["completion"]["values"], json!([]));
    let params = json!({"name": "same-name-10000000__greet"});
    let unknown = merged.ask(&session, "prompts/get", params).await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
    let nameless = merged.ask(&session, "resources/read", json!({})).await;
    assert_eq!(nameless["error"]["code"], -32602, "{nameless}");
    assert_eq!(merged.servers.1.lock().unwrap()[&few], asked);
    for (method, params) in [
        ("prompts/get", json!({"name": "same-name-20000000__greet"})),
        (
            "resources/read",
            json!({"uri": "toolbox://same-name-20000000/test://one"}),
        ),
    ] {
        let failed = merged.ask(&session, method, params).await;
        let why = failed["error"]["message"].as_str().unwrap();
        assert_eq!(why, "same-name-20000000 is not available: it is stopped");
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
    assert_eq!(names(&list).len(), 12, "the tools of one, and the notice");
    let notice = &list["result"]["tools"][11];
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
        23
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
async fn the_tools_of_an_idle_server_are_listed_without_it_and_a_call_reaches_it() {
    let merged = Merged::new().await;
    let id = merged.servers.add(1, &[], true);
    while merged.servers.listed(id).is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    merged.servers.change(id, |member| member.is_idle = true);
    let (session, begun) = merged.begin().await;
    let told = begun["result"]["instructions"].as_str().unwrap();
    assert!(told.contains("Servers: same-name-10000000."), "{told}");
    let idle = merged.ask(&session, "tools/list", json!({})).await;
    let unknown = merged.ask(&session, "prompts/list", json!({})).await;
    let why = &unknown["result"]["_meta"]["toolbox/unavailable"][0]["reason"];
    assert_eq!(why, "nobody uses it now; its next call starts it");
    assert!(merged.servers.1.lock().unwrap().is_empty(), "it was asked");
    let call = json!({"name": "same-name-10000000__echo", "arguments": {"message": "hej"}});
    let said = merged.ask(&session, "tools/call", call).await;
    assert_eq!(text_of(&said), "hej");
    // A name that was shortened is asked for, because the call starts the server all the same.
    let name = names::tool("same-name-10000000", "a b");
    let got = merged.ask(&session, "prompts/get", json!({"name": name}));
    let got = got.await["result"]["messages"][0]["content"]["text"].clone();
    assert_eq!(got, r#""a b" null"#);
    merged.servers.change(id, |member| member.is_idle = false);
    let awake = merged.ask(&session, "tools/list", json!({})).await;
    assert_eq!(idle, awake, "the list is the same");
    let prompts = merged.ask(&session, "prompts/list", json!({})).await;
    assert_eq!(all(&prompts, "prompts", "name").len(), 2);
}

#[tokio::test]
async fn a_server_with_resources_that_knows_no_templates_has_none() {
    for era in ["sessions", "stateless"] {
        let merged = Merged::new().await;
        let arguments = ["--no-templates", "--era", era];
        merged.servers.add(1, &arguments, true);
        let list = merged.alone("resources/templates/list", json!({})).await;
        assert_eq!(list["result"]["resourceTemplates"], json!([]), "{list}");
        let absent = &list["result"]["_meta"]["toolbox/unavailable"];
        assert_eq!(absent, &json!([]), "{era}");
    }
}

#[tokio::test]
async fn a_subscription_of_the_stateless_era_hears_of_changes() {
    let merged = Merged::new().await;
    let id = merged.servers.add(1, &[], true);
    let message = json!({"jsonrpc": "2.0", "id": "s", "method": "subscriptions/listen", "params": {
        "notifications": {"toolsListChanged": true, "promptsListChanged": true}, "_meta": {
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
            // After a start its tools are the same, and nobody knows of the rest.
            if text.contains("prompts/list_changed") {
                merged
                    .servers
                    .change(id, |member| member.version = Some("other".to_owned()));
            } else if text.contains("acknowledged") {
                merged
                    .servers
                    .change(id, |member| member.run = Some("another".to_owned()));
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(8), heard)
        .await
        .unwrap();
    assert!(
        !text.contains("resources"),
        "nobody wanted to hear of those: {text}"
    );
    let [prompts, tools] =
        ["prompts", "tools"].map(|list| text.find(&format!("{list}/list_changed")));
    assert!(prompts < tools, "{text}");
    let named = r#""io.modelcontextprotocol/subscriptionId":"s""#;
    assert!(text.matches(named).count() >= 3, "{text}");
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
    let server = merged.servers.0.lock().unwrap()[&id].1.clone();
    let mut end = Request::new(Body::empty());
    *end.method_mut() = axum::http::Method::DELETE;
    end.headers_mut().insert(
        "mcp-session-id",
        Uuid::new_v4().to_string().parse().unwrap(),
    );
    assert_eq!(server.serve(end).await.status(), 404);
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

/// A message as an answer of a server.
fn json_of(message: &Value) -> Response<Body> {
    ([("content-type", "application/json")], message.to_string()).into_response()
}

/// Messages as an answer of a server.
fn events_of(messages: &[Value]) -> Response<Body> {
    let events: Vec<_> = messages.iter().map(|m| format!("data: {m}\n\n")).collect();
    ([("content-type", "text/event-stream")], events.concat()).into_response()
}

/// What [`answer`] says, which is nothing to a notification.
fn usual(message: &Value) -> Response<Body> {
    answer(message).map_or_else(
        || StatusCode::ACCEPTED.into_response(),
        |answer| json_of(&answer),
    )
}

fn read(body: &Bytes) -> Value {
    serde_json::from_slice(body).unwrap()
}

const HTTP_ECHO: &str = "same-name-10000000__echo";

#[tokio::test]
async fn calls_of_one_caller_of_the_stateless_era_keep_their_answers_apart() {
    let merged = Merged::new().await;
    // Within a session it tells calls apart by their ids, as SDKs do, and answers once both are there.
    let texts = Arc::new(Mutex::new(BTreeMap::new()));
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let handler = async move |body: Bytes| {
        let message = read(&body);
        if message["method"] != "tools/call" {
            return ([("mcp-session-id", "one")], usual(&message)).into_response();
        }
        let (id, params) = (message["id"].to_string(), &message["params"]);
        let text = params["arguments"]["message"].clone();
        texts.lock().unwrap().insert(id.clone(), text);
        both.wait().await;
        let text = texts.lock().unwrap()[&id].clone();
        let mut told = Vec::new();
        if let Some(token) = params["_meta"].get("progressToken") {
            told.push(json!({"jsonrpc": "2.0", "method": "notifications/progress",
                "params": {"progressToken": token, "progress": 1}}));
        }
        told.push(json!({"jsonrpc": "2.0", "id": message["id"],
            "result": {"content": [{"type": "text", "text": text}]}}));
        events_of(&told)
    };
    merged.servers.add_http(1, post(handler)).await;
    let call = async |text: &str, meta: Value| {
        let params = json!({"name": HTTP_ECHO, "arguments": {"message": text}, "_meta": meta});
        let answer = merged.alone_raw("tools/call", params).await;
        let answer = answer.text().await.unwrap();
        let messages = answer
            .lines()
            .filter_map(|line| line.strip_prefix("data: "));
        let messages = messages.map(|message| serde_json::from_str(message).unwrap());
        messages.collect::<Vec<Value>>()
    };
    let (a, b) = tokio::join!(
        call("a", json!({"progressToken": "p"})),
        call("b", json!({"progressToken": 3}))
    );
    for (told, text, token) in [(a, "a", json!("p")), (b, "b", json!(3))] {
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0]["params"]["progressToken"], token);
        assert_eq!(told[1]["id"], 7);
        assert_eq!(told[1]["result"]["resultType"], "complete");
        assert_eq!(text_of(&told[1]), text);
    }
    let (a, b) = tokio::join!(call("a", json!({})), call("b", json!({})));
    for (told, text) in [(a, "a"), (b, "b")] {
        assert_eq!(told.len(), 1, "no progress that nobody asked for");
        assert_eq!(text_of(&told[0]), text);
    }
}

#[tokio::test]
async fn lists_that_are_too_long_are_absent_and_what_is_held_is_counted() {
    const MIB: usize = 1024 * 1024;
    let budget = Budget::new(64 * MIB);
    let merge = Merge::new(20 * MIB, budget.clone());
    let servers = Several::default();
    for (digit, bytes) in [
        (1, 3 * MIB / 2),
        (2, 3 * MIB),
        (3, 3 * MIB / 2),
        (4, 3 * MIB / 2),
    ] {
        let handler = async move |body: Bytes| {
            let message = read(&body);
            let mut answer = usual(&message);
            if message["method"] == "tools/list" {
                let tool = json!({"name": "echo", "description": "x".repeat(bytes),
                    "inputSchema": {"type": "object"}});
                let result = json!({"tools": [tool]});
                answer = json_of(&json!({"jsonrpc": "2.0", "id": message["id"], "result": result}));
            }
            answer
        };
        servers.add_http(digit, post(handler)).await;
    }
    let asked = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": STATELESS,
        "io.modelcontextprotocol/clientCapabilities": {}}}});
    for accept in ["application/json, text/event-stream", "text/event-stream"] {
        let request = Request::post("/")
            .header("content-type", "application/json")
            .header("accept", accept)
            .header("mcp-protocol-version", STATELESS)
            .header("mcp-method", "tools/list")
            .body(Body::from(asked.to_string()))
            .unwrap();
        let response = merge.serve(servers.clone(), "a", request).await;
        let used = budget.used();
        assert!(
            (3 * MIB..4 * MIB).contains(&used),
            "{used} bytes are held with the answer"
        );
        let body = axum::body::to_bytes(response.into_body(), 20 * MIB).await;
        let body = String::from_utf8(body.unwrap().to_vec()).unwrap();
        let json = body.find('{').map(|start| body[start..].trim());
        let list: Value = serde_json::from_str(json.unwrap()).unwrap();
        let of = |digit: u32| format!("same-name-{digit}0000000__echo");
        assert_eq!(
            names(&list),
            [&*of(1), &*of(3), "toolbox__unavailable_servers"]
        );
        let why = list["result"]["tools"][2]["description"].as_str().unwrap();
        for absent in ["same-name-20000000 (", "same-name-40000000 ("] {
            assert!(why.contains(absent), "{why}");
        }
        assert_eq!(budget.used(), 0);
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_an_answer_is_an_error_of_its_call() {
    let merged = Merged::new().await;
    // The client is to ask again with Last-Event-ID.
    let handler = async |body: Bytes| {
        let message = read(&body);
        if message["method"] != "tools/call" {
            return usual(&message);
        }
        let priming = "id: 1\nretry: 10\ndata: \n\n";
        ([("content-type", "text/event-stream")], priming).into_response()
    };
    merged.servers.add_http(1, post(handler)).await;
    let (session, _) = merged.begin().await;
    let params = json!({"name": HTTP_ECHO, "arguments": {}});
    for answer in [
        merged.ask(&session, "tools/call", params.clone()).await,
        merged.alone("tools/call", params).await,
    ] {
        assert_eq!(answer["id"], 7, "{answer}");
        let why = answer["error"]["message"].as_str().unwrap();
        assert!(why.contains("without an answer"), "{why}");
    }
}

#[tokio::test]
async fn a_server_that_started_anew_is_greeted_anew() {
    let merged = Merged::new().await;
    // It names no session, and knows who greeted it; the first run has no tools.
    let (run, greeted) = (Arc::new(AtomicU32::new(1)), Arc::new(AtomicU32::new(0)));
    let now = Arc::clone(&run);
    let handler = async move |body: Bytes| {
        let message = read(&body);
        let run = now.load(Relaxed);
        let mut answered = answer(&message);
        if message["method"] == "initialize" {
            greeted.store(run, Relaxed);
            if run == 1 {
                answered.as_mut().unwrap()["result"]["capabilities"] = json!({});
            }
        } else if greeted.load(Relaxed) != run {
            return (StatusCode::BAD_REQUEST, "greet me").into_response();
        }
        answered.map_or_else(
            || StatusCode::ACCEPTED.into_response(),
            |answered| json_of(&answered),
        )
    };
    let id = merged.servers.add_http(1, post(handler)).await;
    let is = |started: &str| {
        merged
            .servers
            .change(id, |member| member.run = Some(started.to_owned()));
    };
    is("first");
    let (session, _) = merged.begin().await;
    let list = merged.ask(&session, "tools/list", json!({})).await;
    assert_eq!(names(&list).len(), 0);
    run.store(2, Relaxed);
    is("second");
    let list = merged.ask(&session, "tools/list", json!({})).await;
    assert_eq!(names(&list), [HTTP_ECHO]);
    // It says so itself before anybody else noticed.
    let params = json!({"name": HTTP_ECHO, "arguments": {"message": "hej"}});
    run.store(3, Relaxed);
    let said = merged.ask(&session, "tools/call", params).await;
    assert_eq!(text_of(&said), "hej");
    run.store(4, Relaxed);
    let list = merged.ask(&session, "tools/list", json!({})).await;
    assert_eq!(names(&list), [HTTP_ECHO]);
}

#[tokio::test]
async fn a_call_waits_for_a_server_that_starts_slowly_and_a_list_does_not() {
    let merged = Merged::new().await;
    let (session, _) = merged.begin().await;
    merged.servers.add(1, &["--start-ms", "13000"], false);
    let list = merged.ask(&session, "tools/list", json!({})).await;
    assert_eq!(names(&list), ["toolbox__unavailable_servers"]);
    let params = json!({"name": HTTP_ECHO, "arguments": {"message": "hej"}});
    let said = merged.ask(&session, "tools/call", params).await;
    assert_eq!(text_of(&said), "hej");
}

/// One server that is being started for ever.
#[derive(Clone)]
struct Silent;

impl Servers for Silent {
    fn members(&self) -> Vec<Member> {
        vec![Member {
            id: Uuid::nil(),
            name: "silent".to_owned(),
            absent: None,
            is_well: true,
            is_idle: true,
            version: None,
            run: None,
            ready: Duration::from_secs(30),
        }]
    }

    fn listed(&self, _: Uuid) -> Option<Vec<String>> {
        None
    }

    async fn serve(&self, _: Uuid, _: Request<Body>) -> Response<Body> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_a_server_that_is_slow_to_start_for_its_definitions_is_told_what_to_do() {
    let merge = Merge::new(1024, Budget::default());
    let said = merge.definitions(Silent).await.unwrap_err();
    assert_eq!(
        said,
        "it did not answer within 10 s; it may still be starting, and goes on with that: try again in a minute"
    );
}
