//! A control plane for tests: a small database and a scripted agent behind one recorded transport.
//!
//! The database keeps the rules that matter here: one operation at a time, compare-and-set on status and generation, legal
//! transitions only. tests/db and tests/e2e have the real one.
#![allow(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic is a mistake of the test that uses it"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_domain::lifecycle::{InstanceStatus, can_transition};
use toolbox_domain::retry::Fault;
use toolbox_http::recorded::{JumpingClock, Recorded, lock};
use toolbox_http::{Response, TransportError};

/// The toolbox.
pub const TOOLBOX: &str = "11111111-1111-4111-8111-111111111111";
/// Its instance.
pub const INSTANCE: &str = "22222222-2222-4222-8222-222222222222";
/// The only entry of the catalog.
pub const CATALOG: &str = "00000000-0000-0000-0000-000000000001";
/// The owner of the toolbox.
pub const USER: &str = "33333333-3333-4333-8333-333333333333";
/// When the clock starts: 2026-01-01T00:00:00Z, in seconds since the Unix epoch.
pub const NOW: u64 = 1_767_225_600;

/// An answer of the database or the agent.
pub type Answer = Result<Response, TransportError>;

/// What the tables hold.
pub struct Tables {
    /// The toolbox.
    pub toolbox: Value,
    /// Its instance, unless that is gone.
    pub row: Option<Value>,
    /// The last operation.
    pub operation: Option<Value>,
    /// The versions of the instance, newest first.
    pub versions: Vec<Value>,
    /// The entry of the catalog.
    pub catalog: Value,
    /// Statuses the row went through, as `from>to`.
    pub history: Vec<String>,
    /// Outcomes of begin to give before deciding for real.
    pub begin_with: VecDeque<Value>,
}

/// A database and an agent. The database is at `http://supabase`, the agent on port 30000 of 127.0.0.1.
pub struct ControlPlane {
    /// Reaches both.
    pub transport: Arc<Recorded>,
    /// Time passes only by sleeping and by deadlines.
    pub clock: Arc<JumpingClock>,
    tables: Arc<Mutex<Tables>>,
}

/// An instance that is in this status, as the table has it.
pub fn row(status: &str) -> Value {
    let is_error = status == "error";
    json!({
        "id": INSTANCE, "account_tool_environment_id": TOOLBOX, "tool_catalog_id": CATALOG,
        "instance_name_on_toolbox": "Context7 MCP Server-1750278276605",
        "container_name": "context7-mcp-server-22222222", "docker_image_url": "mcp/context7:1",
        "mcp_transport_type": "streamable-http", "mcp_endpoint_path": "/mcp", "generation": 4,
        "desired_status": if status == "stopped" { "stopped" } else { "running" },
        "status_on_toolbox": status,
        "instance_error_code": is_error.then_some("exited"),
        "instance_error_message": is_error.then_some("The container exited with code 1"),
        "container_id": "abc", "image_digest": "sha256:1", "port_mapping_json": [],
        "last_observed_at": "2025-12-31T23:59:00+00:00", "version": "1",
        "created_at": "2025-12-31T00:00:00+00:00", "updated_at": "2025-12-31T00:00:00+00:00",
        "spec": {"image": "mcp/context7:1", "env": {"TOKEN": {"key_id": null, "value": "SECRET"}}, "ports": [{"container_port": 8080}]},
    })
}

/// A version of it that is kept.
pub fn version(generation: u64, spec: &Value, registry_digest: Option<&str>) -> Value {
    json!({
        "generation": generation, "spec": spec, "image_digest": "sha256:1", "registry_digest": registry_digest,
        "ran_at": "2025-12-31T00:00:00+00:00", "restores": null, "actor_kind": "user", "actor_id": USER,
        "created_at": "2025-12-31T00:00:00+00:00",
    })
}

/// What the agent shows of the instance: `phase`, settled, at this generation.
pub fn view(phase: &str, generation: u64) -> Value {
    let settled = matches!(phase, "running" | "stopped" | "error");
    json!({
        "id": INSTANCE, "name": "Context7 MCP Server-1750278276605",
        "container_name": "context7-mcp-server-22222222", "generation": generation,
        "desired": if phase.starts_with("stop") { "stopped" } else { "running" },
        "phase": phase, "settled": settled,
        "reason": (phase == "error").then(|| json!({"code": "image_not_found", "message": "No such image"})),
        "progress": null, "container_id": "abc", "image": "mcp/context7:1",
        "image_digest": "sha256:1", "ports": [], "started_at": null, "finished_at": null,
        "exit_code": null, "restart_count": 0, "update_failed": false,
        "updated_at": "2026-01-01T00:00:00Z",
    })
}

/// What the function for SSH answers when the machine said this.
pub fn by_ssh(said: &Value) -> Answer {
    let body = json!({"success": said["ok"], "exitCode": 0, "stdout": "", "stderr": "", "command": "x",
        "timestamp": "2026-01-01T00:00:00Z", "duration": 1, "toolboxId": TOOLBOX, "answer": said, "request_id": "x"});
    answer(200, &body)
}

/// A JSON answer.
#[allow(clippy::unnecessary_wraps, reason = "stands beside answers that fail")]
pub fn answer(status: u16, body: &Value) -> Answer {
    let mut response = Response::new(status, body.to_string().into_bytes());
    response.headers.set("content-type", "application/json");
    Ok(response)
}

/// A problem document of the agent.
#[allow(clippy::unnecessary_wraps, reason = "stands beside answers that fail")]
pub fn problem(code: &str, status: u16) -> Answer {
    let body = json!({"type": "x", "title": "x", "status": status, "detail": "A detail",
        "code": code, "retryable": false});
    let mut response = Response::new(status, body.to_string().into_bytes());
    response
        .headers
        .set("content-type", "application/problem+json");
    Ok(response)
}

/// No answer.
pub fn fault(fault: Fault) -> Answer {
    Err(TransportError::new(fault, "recorded"))
}

impl ControlPlane {
    /// One toolbox with one instance in `status`, and an agent that shows it running.
    pub fn new(status: &str) -> Self {
        let tables = Arc::new(Mutex::new(Tables {
            toolbox: json!({"id": TOOLBOX, "status": "active", "public_ip_address": "127.0.0.1",
                "dtma_port": 30000, "dtma_certificate_pem": null, "dtma_last_known_version": "0.1.0"}),
            row: Some(row(status)),
            operation: None,
            versions: Vec::new(),
            catalog: json!({"id": CATALOG, "default_spec": {"transport": "stdio", "stdin_open": true,
                "env": {"MODE": {"key_id": null, "value": "a"}}}, "required_config_schema": {"type": "object"},
                "required_secrets_schema": {"type": "object"}}),
            history: Vec::new(),
            begin_with: VecDeque::new(),
        }));
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
        let database = Arc::clone(&tables);
        transport.on(move |request| {
            let path = request.url.strip_prefix("http://supabase/rest/v1/")?;
            Some(answer(200, &lock(&database).ask(path, &request.body)))
        });
        let plane = Self {
            transport,
            clock,
            tables,
        };
        plane.agent(|_| answer(200, &view("running", 4)));
        plane.ssh(|_| {
            let error = json!({"code": "ssh_not_enrolled", "message": "x", "request_id": "x"});
            answer(503, &json!({ "error": error }))
        });
        plane
    }

    /// Answers what is asked of the function for SSH from now on. The script gets the body.
    pub fn ssh(&self, mut script: impl FnMut(Value) -> Answer + Send + 'static) {
        self.transport.on(move |request| {
            (request.url == "http://supabase/functions/v1/ssh-command-executor")
                .then(|| script(serde_json::from_slice(&request.body).unwrap()))
        });
    }

    /// What the tables hold now.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        lock(&self.tables)
    }

    /// Answers every call to the agent from now on.
    pub fn agent(&self, mut script: impl FnMut(&str) -> Answer + Send + 'static) {
        self.transport.on(move |request| {
            let path = request.url.split_once("127.0.0.1:30000")?.1;
            Some(script(&format!("{} {path}", request.method)))
        });
    }

    /// Answers the calls to the agent in this order; the last answer stays.
    pub fn agent_once(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut answers: VecDeque<Answer> = answers.into_iter().collect();
        self.agent(move |_| match answers.len() {
            1 => answers[0].clone(),
            _ => answers.pop_front().unwrap(),
        });
    }

    /// Calls made to the agent, as `METHOD /path`.
    pub fn sent_to_agent(&self) -> Vec<String> {
        let sent = self.transport.sent();
        let calls = sent.iter().filter_map(|call| {
            let path = call.request.url.split_once("127.0.0.1:30000")?.1;
            Some(format!("{} {path}", call.request.method))
        });
        calls.collect()
    }

    /// Bodies of the calls to a function of the database.
    pub fn rpc(&self, name: &str) -> Vec<Value> {
        let sent = self.transport.sent();
        let calls = sent.iter().filter(|call| call.request.url.ends_with(name));
        calls
            .map(|call| serde_json::from_slice::<Value>(&call.request.body).unwrap()["p"].clone())
            .collect()
    }

    /// Status of the row now; `gone` without one.
    pub fn status(&self) -> String {
        let tables = self.tables();
        tables
            .row
            .as_ref()
            .map_or("gone", |row| row["status_on_toolbox"].as_str().unwrap())
            .to_owned()
    }

    /// State of the last operation; `none` without one.
    pub fn operation(&self) -> String {
        let tables = self.tables();
        tables
            .operation
            .as_ref()
            .map_or("none", |o| o["state"].as_str().unwrap())
            .to_owned()
    }
}

impl Tables {
    fn ask(&mut self, path: &str, body: &[u8]) -> Value {
        let argument = || serde_json::from_slice::<Value>(body).unwrap()["p"].clone();
        if path.starts_with("account_tool_environments?") {
            let mut toolbox = self.toolbox.clone();
            if path.contains("account_tool_instances(") {
                let mut rows: Vec<Value> = self.row.iter().cloned().collect();
                for row in &mut rows {
                    row.as_object_mut().unwrap().remove("spec");
                }
                rows.retain(|row| is_asked_for(row, path));
                toolbox["account_tool_instances"] = rows.into();
            }
            return json!([toolbox]);
        }
        if path.starts_with("account_tool_instances?") {
            return self.row.as_ref().map_or(
                json!([]),
                |row| json!([{"spec": row["spec"], "generation": row["generation"]}]),
            );
        }
        if let Some(query) = path.strip_prefix("account_tool_instance_versions?") {
            let only = query
                .split('&')
                .find_map(|part| part.strip_prefix("generation=eq."));
            let is_asked_for = |version: &&Value| {
                only.is_none_or(|only| only.parse().ok() == version["generation"].as_u64())
            };
            return self.versions.iter().filter(is_asked_for).cloned().collect();
        }
        if path.starts_with("tool_catalog?") {
            return json!([self.catalog]);
        }
        match path {
            "rpc/begin_tool_instance_operation" => self.begin(&argument()),
            "rpc/record_tool_instance_states" => {
                let items = argument()["items"].as_array().unwrap().clone();
                let results: Vec<Value> = items.iter().map(|item| self.record(item)).collect();
                json!({"results": results})
            }
            other => panic!("the database was asked for {other}"),
        }
    }

    fn begin(&mut self, p: &Value) -> Value {
        if let Some(outcome) = self.begin_with.pop_front() {
            return outcome;
        }
        if p["action"] == "deploy" {
            let mut new = row("deploying");
            for (column, key) in [
                ("id", "instance_id"),
                ("instance_name_on_toolbox", "name"),
                ("container_name", "container_name"),
                ("spec", "spec"),
            ] {
                new[column] = p[key].clone();
            }
            new["generation"] = 1.into();
            self.row = Some(new);
        }
        let Some(row) = &mut self.row else {
            return json!({"outcome": "not_found"});
        };
        if let Some(running) = self
            .operation
            .as_ref()
            .filter(|o| o["state"] == "in_progress")
            .filter(|o| {
                let preempts = p["preempts"].as_array();
                preempts.is_none_or(|actions| !actions.contains(&o["action"]))
            })
        {
            return json!({"outcome": "in_progress", "operation": running});
        }
        let mut previous_desired = Value::Null;
        if p["action"] != "deploy" {
            if row["status_on_toolbox"] != p["expected_status"] {
                return json!({"outcome": "status_changed", "status": row["status_on_toolbox"]});
            }
            step(
                &mut self.history,
                row,
                &p["to_status"],
                &Value::Null,
                &Value::Null,
            );
            row["generation"] = (row["generation"].as_u64().unwrap() + 1).into();
            previous_desired = row["desired_status"].clone();
            row["desired_status"] = p["desired_status"].clone();
        }
        let previous = row["spec"].clone();
        if !p["spec"].is_null() {
            row["spec"] = p["spec"].clone();
        }
        self.operation = Some(json!({"id": "99999999-9999-4999-8999-999999999999",
            "tool_instance_id": row["id"], "action": p["action"], "state": "in_progress",
            "request_id": p["request_id"], "generation": row["generation"], "previous_spec": previous,
            "previous_desired": previous_desired,
            "error_code": null, "error_message": null}));
        json!({"outcome": "started", "operation": self.operation, "instance": row})
    }

    fn record(&mut self, p: &Value) -> Value {
        let Some(row) = &mut self.row else {
            return json!({"outcome": "not_found"});
        };
        let running = self
            .operation
            .as_mut()
            .filter(|o| o["state"] == "in_progress");
        let result = &p["operation_result"];
        let is_stale = row["generation"] != p["expected_generation"]
            || row["status_on_toolbox"] != p["expected_status"]
            || match (&running, &p["operation_id"]) {
                (None, id) => !id.is_null(),
                (Some(_), Value::Null) => p["only_idle"] == true,
                (Some(o), id) => o["id"] != *id,
            };
        if is_stale {
            return json!({"outcome": "stale", "instance": row});
        }
        for wanted in p["steps"].as_array().unwrap() {
            step(
                &mut self.history,
                row,
                &wanted["status"],
                &wanted["reason_code"],
                &wanted["reason"],
            );
        }
        if let Some(operation) = running.filter(|_| !result.is_null()) {
            // A generation names one desired state for ever.
            for (key, column, previous) in [
                ("restore_previous_spec", "spec", "previous_spec"),
                (
                    "restore_previous_desired",
                    "desired_status",
                    "previous_desired",
                ),
            ] {
                if p[key] == true {
                    row[column] = operation[previous].clone();
                    row["generation"] = (operation["generation"].as_u64().unwrap() + 1).into();
                }
            }
            for key in ["state", "error_code", "error_message", "answered_code"] {
                operation[key] = result[key].clone();
            }
        }
        if p["remove_row"] == true {
            self.row = None;
        }
        json!({"outcome": "recorded", "instance": self.row})
    }
}

fn is_asked_for(row: &Value, path: &str) -> bool {
    let Some((_, filter)) = path.split_once("&account_tool_instances.") else {
        return true;
    };
    if let Some(id) = filter.strip_prefix("id=eq.") {
        return row["id"] == id;
    }
    filter
        .strip_prefix("instance_name_on_toolbox=eq.")
        .is_none_or(|name| {
            row["instance_name_on_toolbox"] == toolbox_domain::names::decode_segment(name).unwrap()
        })
}

/// Writes a status as the trigger would let it.
fn step(history: &mut Vec<String>, row: &mut Value, to: &Value, code: &Value, reason: &Value) {
    let parse = |text: &Value| text.as_str().unwrap().parse::<InstanceStatus>().unwrap();
    let (from, to) = (parse(&row["status_on_toolbox"]), parse(to));
    if from != to {
        assert!(
            can_transition(from, to),
            "illegal transition: {from} -> {to}"
        );
        history.push(format!("{from}>{to}"));
    }
    assert_eq!(
        to == InstanceStatus::Error,
        !code.is_null(),
        "a reason belongs to error"
    );
    row["status_on_toolbox"] = to.as_str().into();
    row["instance_error_code"] = code.clone();
    row["instance_error_message"] = reason.clone();
}
