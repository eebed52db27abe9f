//! A small stdio MCP server that can be told to fail the way real servers fail. Tests and benchmarks run it.

#![expect(
    clippy::disallowed_methods,
    reason = "its threads write to a pipe, and sleep, as servers without a runtime do"
)]

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};

/// How it behaves.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
#[derive(Clone, Debug, Parser)]
struct Behaviour {
    /// Which eras of the protocol it speaks.
    #[arg(long, value_enum, default_value_t = Era::Sessions)]
    era: Era,
    /// Exit at once with this code.
    #[arg(long)]
    exit: Option<i32>,
    /// Write this to standard error at start.
    #[arg(long)]
    say: Option<String>,
    /// Never answer anything.
    #[arg(long)]
    silent: bool,
    /// Write a line that is no message before each answer.
    #[arg(long)]
    chatty: bool,
    /// Write lines that are no messages without end.
    #[arg(long)]
    garbage: bool,
    /// Write notifications without end.
    #[arg(long)]
    flood: bool,
    /// Answer tools/list only after so many milliseconds.
    #[arg(long, default_value_t = 0)]
    slow_ms: u64,
    /// End when anything but initialize comes first, as older servers do.
    #[arg(long)]
    shy: bool,
    /// End when a method is asked for that it does not know, as older servers do.
    #[arg(long)]
    brittle: bool,
    /// Read nothing for so many milliseconds after the start.
    #[arg(long, default_value_t = 0)]
    start_ms: u64,
    /// List a tool whose description ends with half a surrogate pair.
    #[arg(long)]
    half: bool,
    /// Know no templates of resources, as many servers do.
    #[arg(long)]
    no_templates: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Era {
    Sessions,
    Stateless,
    Both,
}

struct Server {
    behaviour: Behaviour,
    out: Mutex<std::io::Stdout>,
    grown: AtomicBool,
    initialized: AtomicBool,
    asked: Mutex<Option<Value>>,
}

fn main() {
    let behaviour = Behaviour::parse();
    if let Some(text) = &behaviour.say {
        eprintln!("{text}");
    }
    if let Some(code) = behaviour.exit {
        std::process::exit(code);
    }
    let server = Arc::new(Server {
        behaviour,
        out: Mutex::new(std::io::stdout()),
        grown: AtomicBool::new(false),
        initialized: AtomicBool::new(false),
        asked: Mutex::new(None),
    });
    for (wanted, line) in [
        (
            server.behaviour.garbage,
            "Server listening on port 3000 {not json",
        ),
        (
            server.behaviour.flood,
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"flood"}}"#,
        ),
    ] {
        let server = Arc::clone(&server);
        if wanted {
            std::thread::spawn(move || {
                let many = format!("{line}\n").repeat(500);
                loop {
                    server.write(&many);
                    // The lock is not fair, and what is to be seen is the bridge's patience, not the fixture's.
                    std::thread::sleep(Duration::from_micros(100));
                }
            });
        }
    }
    std::thread::sleep(Duration::from_millis(server.behaviour.start_ms));
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { return };
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        server.take(&message);
    }
}

impl Server {
    fn write(&self, text: &str) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody reads any more: the end of standard input follows.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    fn send(&self, message: &Value) {
        let chat = if self.behaviour.chatty {
            "debug: about to answer\n"
        } else {
            ""
        };
        self.write(&format!("{chat}{message}\n"));
    }

    fn take(self: &Arc<Self>, message: &Value) {
        if self.behaviour.silent {
            return;
        }
        let id = &message["id"];
        let Some(method) = message["method"].as_str() else {
            self.answered(message);
            return;
        };
        if self.behaviour.shy && method != "initialize" && !self.initialized.load(Ordering::Relaxed)
        {
            std::process::exit(1);
        }
        if self.behaviour.brittle && method == "server/discover" {
            std::process::exit(1);
        }
        if id.is_null() {
            if method == "notifications/cancelled" {
                eprintln!("cancelled {}", message["params"]["requestId"]);
            }
            return;
        }
        let stateless =
            message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        let spoken = match self.behaviour.era {
            Era::Sessions => !stateless,
            Era::Stateless => stateless,
            Era::Both => true,
        };
        if !spoken {
            self.fail(id, -32601, "Method not found");
            return;
        }
        match method {
            "initialize" => {
                self.initialized.store(true, Ordering::Relaxed);
                self.succeed(id, &json!({
                    "protocolVersion": message["params"]["protocolVersion"],
                    "capabilities": { "tools": { "listChanged": true }, "logging": {}, "resources": { "subscribe": true },
                        "prompts": {}, "completions": {} },
                    "serverInfo": { "name": "fixture", "version": "1.0" },
                }));
            }
            "server/discover" => self.succeed(id, &json!({
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": { "tools": {}, "resources": {}, "prompts": {}, "completions": {} },
                "_meta": { "io.modelcontextprotocol/serverInfo": { "name": "fixture", "version": "1.0" } },
                "ttlMs": 0,
                "cacheScope": "private",
            })),
            "tools/list" => {
                std::thread::sleep(Duration::from_millis(self.behaviour.slow_ms));
                let tools = self.tools();
                if self.behaviour.half {
                    // No value of ours can hold it, so it is written as it is.
                    let tools = tools.to_string().replacen("]}", r#",{"name":"half","description":"\ud83d"}]}"#, 1);
                    self.write(&format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{tools}}}\n"));
                } else {
                    self.succeed(id, &tools);
                }
            }
            "tools/call" => self.call(id, &message["params"]),
            "prompts/list" => self.succeed(id, &json!({ "prompts": [
                { "name": "greet", "arguments": [{ "name": "who" }] },
                { "name": "a b" },
            ] })),
            "prompts/get" => {
                let prompt = format!("{} {}", message["params"]["name"], message["params"]["arguments"]);
                self.succeed(id, &json!({ "messages": [
                    { "role": "user", "content": { "type": "text", "text": prompt } },
                    { "role": "user", "content": { "type": "resource", "resource": { "uri": "test://one", "text": "1" } } },
                ] }));
            }
            // The second page is the last.
            "resources/list" => self.succeed(id, &match message["params"]["cursor"].as_str() {
                None => json!({ "resources": [{ "uri": "test://one", "name": "one" }], "nextCursor": "2" }),
                Some(_) => json!({ "resources": [{ "name": "\"two\"", "uri": "file:///a b/\"2\"" }, { "name": "none" }] }),
            }),
            "resources/templates/list" if !self.behaviour.no_templates => self.succeed(id, &json!({ "resourceTemplates": [
                { "uriTemplate": "test://{number}{?q}", "name": "any" },
            ] })),
            "resources/read" => {
                let uri = &message["params"]["uri"];
                self.succeed(id, &json!({ "contents": [{ "uri": uri, "text": format!("read {uri}") }] }));
            }
            "completion/complete" => self.succeed(id, &json!({ "completion": { "values": [
                message["params"]["ref"].to_string(),
            ] } })),
            "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
                self.succeed(id, &json!({}));
            }
            "subscriptions/listen" => self.send(&json!({
                "jsonrpc": "2.0",
                "method": "notifications/subscriptions/acknowledged",
                "params": {
                    "_meta": { "io.modelcontextprotocol/subscriptionId": id },
                    "notifications": { "toolsListChanged": true },
                },
            })),
            _ => self.fail(id, -32601, "Method not found"),
        }
    }

    fn tools(&self) -> Value {
        let mut names = vec![
            "echo", "sleep", "block", "large", "die", "ask", "grow", "log", "touch", "pid", "link",
        ];
        if self.grown.load(Ordering::Relaxed) {
            names.push("grown");
        }
        let tools: Vec<_> = names
            .iter()
            .map(|name| {
                let mut schema = json!({ "type": "object" });
                if *name == "touch" {
                    let uri = json!({ "type": "string", "x-mcp-header": "Uri" });
                    schema["properties"] = json!({ "uri": uri });
                }
                json!({ "name": name, "inputSchema": schema })
            })
            .collect();
        json!({ "tools": tools })
    }

    fn call(self: &Arc<Self>, id: &Value, params: &Value) {
        let arguments = &params["arguments"];
        match params["name"].as_str().unwrap_or_default() {
            "echo" => self.say(id, arguments["message"].as_str().unwrap_or_default()),
            "pid" => self.say(id, &std::process::id().to_string()),
            "die" => std::process::exit(7),
            "link" => self.succeed(
                id,
                &json!({ "content": [
                { "type": "text", "text": "test://one" },
                { "type": "resource_link", "uri": "test://one", "name": "one" },
                { "type": "resource", "resource": { "uri": "test://two", "text": "2" } },
            ] }),
            ),
            // It does nothing else meanwhile.
            "block" => {
                std::thread::sleep(Duration::from_millis(
                    arguments["ms"].as_u64().unwrap_or(100),
                ));
                self.say(id, "blocked");
            }
            "large" => {
                let bytes = arguments["bytes"].as_u64().unwrap_or_default();
                self.say(id, &"x".repeat(usize::try_from(bytes).unwrap_or_default()));
            }
            "grow" => {
                self.grown.store(true, Ordering::Relaxed);
                self.send(
                    &json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }),
                );
                self.say(id, "grown");
            }
            "log" => {
                self.send(
                    &json!({ "jsonrpc": "2.0", "method": "notifications/message",
                    "params": { "level": "info", "data": "a log line" } }),
                );
                self.say(id, "logged");
            }
            "touch" => {
                self.send(
                    &json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated",
                    "params": { "uri": "test://one" } }),
                );
                self.say(id, "touched");
            }
            "ask" => {
                *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(id.clone());
                self.send(
                    &json!({ "jsonrpc": "2.0", "id": "ask-1", "method": "sampling/createMessage",
                    "params": { "messages": [], "maxTokens": 1 } }),
                );
            }
            "sleep" => {
                let (server, id) = (Arc::clone(self), id.clone());
                let milliseconds = arguments["ms"].as_u64().unwrap_or(100);
                let token = params["_meta"]["progressToken"].clone();
                std::thread::spawn(move || {
                    for step in 1..=4 {
                        std::thread::sleep(Duration::from_millis(milliseconds / 4));
                        if !token.is_null() {
                            server.send(&json!({ "jsonrpc": "2.0", "method": "notifications/progress",
                                "params": { "progressToken": token, "progress": step, "total": 4 } }));
                        }
                    }
                    server.say(&id, "slept");
                });
            }
            _ => self.fail(id, -32602, "Unknown tool"),
        }
    }

    /// A client answered what the tool `ask` wanted to know.
    fn answered(&self, message: &Value) {
        let asked = self
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(id) = asked {
            self.say(
                &id,
                &format!("{} {}", message["id"], message["result"]["answer"]),
            );
            if message["error"].is_object() {
                self.fail(&id, -32000, "declined");
            }
        }
    }

    fn say(&self, id: &Value, text: &str) {
        self.succeed(
            id,
            &json!({ "content": [{ "type": "text", "text": text }] }),
        );
    }

    fn succeed(&self, id: &Value, result: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
    }

    fn fail(&self, id: &Value, code: i32, message: &str) {
        self.send(
            &json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } }),
        );
    }
}
