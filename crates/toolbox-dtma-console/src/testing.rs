//! The function over recorded answers of the database, the agent, the companion and the SSH executor.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_domain::retry::Fault;
use toolbox_edge::recorded::{Function, RecordedHost, Seen, assert_documented, user_token};
use toolbox_http::Headers;
use toolbox_http::recorded::{JumpingClock, Recorded};
use toolbox_instances::testing::{Answer, NOW, TOOLBOX, USER, answer, fault};

use crate::FUNCTION;

/// Where the programs of the machine answer.
pub(crate) const AGENT: u16 = 30000;
pub(crate) const COMPANION: u16 = 3000;

/// See the module.
pub(crate) struct World {
    pub(crate) transport: Arc<Recorded>,
    function: Function,
}

/// What the agent, or the companion, tells of a machine.
pub(crate) fn machine(served_by: &str, health: &str) -> Value {
    json!({
        "toolbox_id": TOOLBOX,
        "agent": {"health": health, "version": "0.1.0", "api_version": 2, "uptime_seconds": 7},
        "host": {"now": {"cpu_load_percent": 1.5, "memory": {"total_bytes": 4, "used_bytes": 2, "free_bytes": 2,
            "active_bytes": 2}, "disk": null, "uptime_seconds": 100}, "samples": []},
        "certificate": null, "docker": {"reachable": true, "version": "20.10"}, "companion": null,
        "served_by": served_by, "timestamp": "2026-01-01T00:00:02Z",
    })
}

/// The row of the toolbox.
pub(crate) fn row() -> Value {
    json!({"id": TOOLBOX, "status": "active", "public_ip_address": "127.0.0.1", "dtma_port": AGENT,
        "dtma_certificate_pem": null, "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null,
        "dtma_api_version": 2, "dtma_last_known_version": "0.1.0", "last_heartbeat_at": "2025-12-31T23:59:30+00:00", "ssh_port": 22})
}

impl World {
    /// A toolbox whose agent is healthy, without companion and SSH; `variables` come first.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
        let mut all = vec![("SUPABASE_JWT_SECRET", "secret")];
        all.extend(variables);
        let function = Function::new(&FUNCTION, &all, Arc::clone(&transport), clock);
        let world = Self {
            transport,
            function,
        };
        world.row(row());
        world.rpc(
            "get_agent_version",
            json!({"outcome": "found", "version": null}),
        );
        world.rpc("begin_ssh_check", json!({"outcome": "due"}));
        world.rpc("record_ssh_check", json!({"outcome": "recorded"}));
        world.rpc(
            "record_toolbox_event",
            json!({"outcome": "recorded", "id": 7}),
        );
        world.rpc("end_toolbox_event", json!({"outcome": "recorded"}));
        world.agent(|path| match path {
            "GET /v1/machine/status" => answer(200, &machine("agent", "healthy")),
            "GET /v1/machine/diagnose" => answer(200, &json!({"checks": []})),
            _ => problem("route_unknown", 404),
        });
        world.program(COMPANION, |_| fault(Fault::Refused));
        world.executor(404, json!({"message": "no such function"}));
        world.host().listen(AGENT, b"");
        world
    }

    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn host(&self) -> &RecordedHost {
        &self.function.host
    }

    /// What the database holds of the toolbox from now on.
    pub(crate) fn row(&self, row: Value) {
        self.transport.on(move |request| {
            request
                .url
                .contains("/account_tool_environments?")
                .then(|| answer(200, &json!([row])))
        });
    }

    pub(crate) fn rpc(&self, name: &'static str, body: Value) {
        self.transport.on(move |request| {
            request
                .url
                .ends_with(&format!("/rpc/{name}"))
                .then(|| answer(200, &body))
        });
    }

    pub(crate) fn agent(&self, script: impl FnMut(&str) -> Answer + Send + 'static) {
        self.program(AGENT, script);
    }

    pub(crate) fn companion(&self, script: impl FnMut(&str) -> Answer + Send + 'static) {
        self.program(COMPANION, script);
    }

    fn program(&self, port: u16, mut script: impl FnMut(&str) -> Answer + Send + 'static) {
        let base = format!("http://127.0.0.1:{port}");
        self.transport.on(move |request| {
            let path = request.url.strip_prefix(&base)?;
            // Another port may begin with the same digits.
            let path = path.starts_with('/').then_some(path)?;
            Some(script(&format!("{} {path}", request.method)))
        });
    }

    pub(crate) fn executor(&self, status: u16, body: Value) {
        self.transport.on(move |request| {
            request
                .url
                .ends_with("/functions/v1/ssh-command-executor")
                .then(|| answer(status, &body))
        });
    }

    /// Bodies of the calls whose URL ends so.
    pub(crate) fn sent(&self, end: &str) -> Vec<Value> {
        let sent = self.transport.sent();
        let calls = sent.iter().filter(|call| call.request.url.ends_with(end));
        calls
            .map(|call| serde_json::from_slice(&call.request.body).unwrap_or_default())
            .collect()
    }

    /// A request of the signed-in owner, whose answer the document knows.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Seen {
        self.ask_with(method, path, body, &[])
    }

    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        more: &[(&'static str, &str)],
    ) -> Seen {
        let mut headers = Headers::default();
        headers.set(
            "authorization",
            format!("Bearer {}", user_token(USER, NOW + 3600)),
        );
        headers.set("x-request-id", "req-1");
        if body.is_some() {
            headers.set("content-type", "application/json");
        }
        for (name, value) in more {
            headers.set(name, *value);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let seen = self.function.ask(method, path, headers, body.as_bytes());
        let document = include_str!("../../../docs/api/toolbox-dtma-console.openapi.json");
        let document = serde_json::from_str(document).unwrap();
        assert_documented(&FUNCTION, &document, method, path, &seen);
        seen
    }
}

/// What the executor answers when the machine has answered this.
pub(crate) fn executed(answer: &Value) -> Value {
    json!({"success": answer["ok"], "exitCode": 0, "stdout": "", "stderr": "", "command": "x",
        "timestamp": "2026-01-01T00:00:00Z", "duration": 1, "toolboxId": TOOLBOX, "answer": answer, "request_id": "r"})
}

/// A problem document of a program on the machine.
pub(crate) fn problem(code: &str, status: u16) -> Answer {
    toolbox_instances::testing::problem(code, status)
}

/// A path of the toolbox.
pub(crate) fn path(action: &str) -> String {
    format!("/{TOOLBOX}/{action}")
}
