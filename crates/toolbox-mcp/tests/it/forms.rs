//! Forms of requests that not every client uses: batches, marks and ids that are none, and what browsers ask first.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{World, messages, text_of};

fn echo(id: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": "echo", "arguments": {"message": id.to_string()}}})
}

#[tokio::test]
async fn a_batch_is_served_in_the_revision_that_has_them() {
    let world = World::new(&[]).await;
    let client = world.client_as("2025-03-26", json!({})).await;
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let asked = client.request(&json!([note])).send().await.unwrap();
    assert_eq!(asked.status(), 202);

    let batch = json!([echo(1), note, echo(2)]);
    let response = client.request(&batch).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut events = messages(response).await;
    events.sort_by_key(|answer| answer["id"].as_u64());
    let texts: Vec<_> = events.iter().map(text_of).collect();
    assert_eq!(texts, ["1", "2"]);

    let response = client.without_events(&batch).send().await.unwrap();
    let whole: Vec<Value> = response.json().await.unwrap();
    let texts: Vec<_> = whole.iter().map(text_of).collect();
    assert_eq!(texts, ["1", "2"]);

    let begin = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    let many: Vec<_> = (0..101).map(echo).collect();
    for refused in [json!([]), json!([begin]), json!([1]), json!(many)] {
        let response = client.request(&refused).send().await.unwrap();
        assert_eq!(response.status(), 400, "{refused}");
    }
}

#[tokio::test]
async fn a_batch_is_refused_with_words_in_other_revisions() {
    let world = World::new(&[]).await;
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let client = world.client_as(version, json!({})).await;
        for header in [None, Some(version)] {
            let mut request = client.request(&json!([echo(1)]));
            if let Some(header) = header {
                request = request.header("mcp-protocol-version", header);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 400);
            let body: Value = response.json().await.unwrap();
            let text = body["error"]["message"].as_str().unwrap();
            assert!(text.contains("2025-03-26 only"), "{text}");
        }
    }
}

#[tokio::test]
async fn what_is_kept_of_a_message_is_bounded() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    let long = |bytes: usize| "x".repeat(bytes);
    let with = |id: Value, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": "resources/subscribe", "params": params});
    for (message, code, reason) in [
        (
            with(json!(long(1025)), json!({})),
            -32600,
            "an id or a progress token",
        ),
        (
            with(json!(1), json!({"_meta": {"progressToken": long(1025)}})),
            -32600,
            "an id or a progress token",
        ),
        (
            with(json!(1), json!({"uri": long(70_000)})),
            -32602,
            "a uri to subscribe to has at most",
        ),
    ] {
        let response = client.request(&message).send().await.unwrap();
        assert_eq!(response.status(), 400, "{reason}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{body}");
        let text = body["error"]["message"].as_str().unwrap();
        assert!(text.contains(reason), "{text}");
    }
    // What is only passed on may be long.
    assert_eq!(client.echo(&long(70_000)).await, long(70_000));
}

#[tokio::test]
async fn what_is_almost_a_message_is_refused_with_the_reason() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    for (body, reason) in [
        (format!("\u{feff}{}", echo(1)), "byte order mark"),
        (
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#.to_owned(),
            "id must be a text or a number",
        ),
        (
            r#"{"jsonrpc":"2.0","id":true,"method":"tools/list"}"#.to_owned(),
            "id must be a text or a number",
        ),
    ] {
        let response = client.request(&json!({})).body(body).send().await.unwrap();
        assert_eq!(response.status(), 400, "{reason}");
        let body: Value = response.json().await.unwrap();
        let text = body["error"]["message"].as_str().unwrap();
        assert!(text.contains(reason), "{text}");
    }
}

#[tokio::test]
async fn a_browser_is_told_which_pages_may_call() {
    let world = World::new(&[]).await;
    let ask = |origin: &'static str| {
        world
            .http
            .request(Method::OPTIONS, &world.url)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "content-type,mcp-protocol-version, Mcp-Param-Uri,x-other",
            )
            .send()
    };
    let page = "http://localhost:6274";
    let response = ask(page).await.unwrap();
    assert_eq!(response.status(), 204);
    let headers = response.headers();
    assert_eq!(headers["access-control-allow-origin"], page);
    assert_eq!(headers["access-control-allow-methods"], "GET, POST, DELETE");
    assert_eq!(
        headers["access-control-allow-headers"],
        "content-type, mcp-protocol-version, Mcp-Param-Uri"
    );
    let refused = ask("https://evil.example").await.unwrap();
    assert_eq!(refused.status(), 403);
    assert!(
        !refused
            .headers()
            .contains_key("access-control-allow-origin")
    );

    let client = world.client().await;
    let answer = client.request(&echo(1)).header("origin", page);
    let answer = answer.send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], page);
    let exposed = answer.headers()["access-control-expose-headers"]
        .to_str()
        .unwrap();
    assert!(exposed.contains("mcp-session-id"), "{exposed}");
}

#[tokio::test]
async fn a_client_that_takes_no_events_is_asked_where_it_listens() {
    let world = World::new(&[]).await;
    let client = world.client().await;
    let mut listening = client.listen().send().await.unwrap();
    let call =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask"}});
    let call = client.without_events(&call).send();
    let answer = async {
        let asked = listening.chunk().await.unwrap().unwrap();
        let asked = String::from_utf8(asked.to_vec()).unwrap();
        let asked = asked.lines().find_map(|l| l.strip_prefix("data: "));
        let asked: Value = serde_json::from_str(asked.unwrap()).unwrap();
        let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"answer": 42}});
        client.request(&answer).send().await.unwrap();
    };
    let (called, ()) = tokio::join!(call, answer);
    let called: Value = called.unwrap().json().await.unwrap();
    assert_eq!(text_of(&called), "\"ask-1\" 42");
}
