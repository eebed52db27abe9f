//! A stub of the control plane's function `heartbeat`: the real wire types and rules, rows in memory.
//!
//! It is no copy of the real one: what the database makes of a report is its own affair. Here a row is the desired
//! state, and the last report of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use toolbox_api::dtma::Desired;
use toolbox_api::heartbeat::{
    DesiredInstance, DesiredState, EnrolRequest, EnrolResponse, Heartbeat, HeartbeatResponse,
    InstanceReport, KeyPair, digest_line,
};
use toolbox_domain::ids::ToolInstanceId;
use uuid::Uuid;

use crate::agent::Tool;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nobody answers.
    Down,
    /// Requests are carried out, answers are lost.
    LostAnswers,
    /// Requests arrive twice, and the answer to the copy is what comes back.
    Twice,
    /// Heartbeats with more than one instance are too large.
    Small,
}

/// What the stub knows.
pub struct Plane {
    pub fault: Fault,
    pub token: String,
    pub enrolled_with: Option<String>,
    /// The certificate that is trusted, by its SHA-256.
    pub certificate: Option<String>,
    pub enrolments: u32,
    pub keys: KeyPair,
    pub previous: Option<KeyPair>,
    pub interval_seconds: u32,
    /// What it tells of SSH's authority.
    pub ssh_ca_public_key: Option<String>,
    /// What the last enrolment told of the machine's sshd.
    pub ssh_host: (Option<String>, Option<u16>),
    /// Every heartbeat that was recorded.
    pub heard: Vec<(Instant, Heartbeat)>,
    pub replayed: u32,
    pub last: (u64, u64),
    pub rows: BTreeMap<ToolInstanceId, DesiredInstance>,
    pub reports: BTreeMap<ToolInstanceId, InstanceReport>,
    pub request_ids: Vec<String>,
    pub pulls: u32,
}

/// A running stub.
#[derive(Clone)]
pub struct Stub {
    plane: Arc<Mutex<Plane>>,
    address: SocketAddr,
}

pub fn pair() -> KeyPair {
    let key = || format!("tbk_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    KeyPair {
        key_id: format!("{}.0", &Uuid::new_v4().simple().to_string()[..8]),
        control_to_agent: key(),
        agent_to_control: key(),
    }
}

impl Stub {
    pub async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plane = Plane {
            fault: Fault::None,
            token: format!("tbe_{}", Uuid::new_v4().simple()),
            enrolled_with: None,
            certificate: None,
            enrolments: 0,
            keys: pair(),
            previous: None,
            interval_seconds: 60,
            ssh_ca_public_key: None,
            ssh_host: (None, None),
            heard: Vec::new(),
            replayed: 0,
            last: (0, 0),
            rows: BTreeMap::new(),
            reports: BTreeMap::new(),
            request_ids: Vec::new(),
            pulls: 0,
        };
        let stub = Self {
            plane: Arc::new(Mutex::new(plane)),
            address: listener.local_addr().unwrap(),
        };
        let router = Router::new()
            .route("/heartbeat/{toolbox}/enrol", post(enrol))
            .route("/heartbeat/{toolbox}", post(beat))
            .route("/heartbeat/{toolbox}/desired", get(desired))
            .with_state(stub.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        stub
    }

    pub fn url(&self) -> String {
        format!("http://{}/heartbeat", self.address)
    }

    pub fn plane(&self) -> MutexGuard<'_, Plane> {
        self.plane.lock().unwrap()
    }

    /// A row that wants what `tool` says.
    pub fn want(&self, tool: &Tool) {
        let mut row = tool.body.clone();
        row["id"] = json!(tool.id);
        let row: DesiredInstance = serde_json::from_value(row).unwrap();
        self.plane().rows.insert(row.id, row);
    }

    /// The row's next generation wants this.
    pub fn change(&self, tool: &Tool, desired: Desired, restart: bool) -> u64 {
        let mut plane = self.plane();
        let row = plane.rows.get_mut(&ToolInstanceId::new(tool.id)).unwrap();
        row.deploy.generation += 1;
        row.deploy.desired = desired;
        row.deploy.restart = restart;
        row.deploy.generation
    }

    pub fn report(&self, tool: &Tool) -> Option<InstanceReport> {
        self.plane()
            .reports
            .get(&ToolInstanceId::new(tool.id))
            .cloned()
    }

    /// Waits until `wanted` holds.
    pub async fn until(&self, what: &str, limit: Duration, wanted: impl Fn(&Plane) -> bool) {
        let end = Instant::now() + limit;
        while !wanted(&self.plane()) {
            assert!(
                Instant::now() < end,
                "{what} within {limit:?}; reports: {:?}",
                self.plane().reports
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the last report of `tool` is as wanted.
    pub async fn until_told(
        &self,
        tool: &Tool,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&InstanceReport) -> bool,
    ) {
        let id = ToolInstanceId::new(tool.id);
        self.until(what, limit, |plane| {
            plane.reports.get(&id).is_some_and(&wanted)
        })
        .await;
    }
}

fn refuse(status: u16, code: &str) -> Response {
    refuse_with(status, code, &json!({}))
}

fn refuse_with(status: u16, code: &str, details: &Value) -> Response {
    let body =
        json!({"error": {"code": code, "message": "m", "request_id": "r", "details": details}});
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn bearer(headers: &HeaderMap) -> &str {
    let value = headers["authorization"].to_str().unwrap();
    value.strip_prefix("Bearer ").unwrap()
}

async fn enrol(State(stub): State<Stub>, headers: HeaderMap, body: Bytes) -> Response {
    let request: EnrolRequest = serde_json::from_slice(&body).unwrap();
    let mut plane = stub.plane();
    if plane.fault == Fault::Down {
        return refuse(503, "database_unreachable");
    }
    if bearer(&headers) != plane.token {
        return refuse(401, "enrolment_token_invalid");
    }
    let used = plane.enrolled_with.replace(request.certificate_pem.clone());
    if used.is_some_and(|before| before != request.certificate_pem) {
        return refuse(409, "enrolment_token_used");
    }
    plane.enrolments += 1;
    plane.ssh_host = (request.ssh_host_key, request.ssh_port);
    plane.last = (0, 0);
    plane.certificate = None;
    if plane.fault == Fault::LostAnswers {
        return refuse(502, "lost");
    }
    Json(EnrolResponse {
        keys: plane.keys.clone(),
        interval_seconds: plane.interval_seconds,
        ssh_ca_public_key: plane.ssh_ca_public_key.clone(),
    })
    .into_response()
}

async fn beat(
    State(stub): State<Stub>,
    Path(_): Path<Uuid>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let heartbeat: Heartbeat = serde_json::from_slice(&body).unwrap();
    let mut plane = stub.plane();
    let fault = plane.fault;
    if fault == Fault::Down {
        return refuse(503, "database_unreachable");
    }
    if fault == Fault::Small && heartbeat.instances.len() > 1 {
        return refuse(413, "body_too_large");
    }
    let request_id = headers["x-request-id"].to_str().unwrap().to_owned();
    plane.request_ids.push(request_id);
    let answer = record(&mut plane, bearer(&headers), heartbeat.clone());
    match fault {
        Fault::LostAnswers => refuse(502, "lost"),
        Fault::Twice => record(&mut plane, bearer(&headers), heartbeat),
        _ => answer,
    }
}

fn record(plane: &mut Plane, key: &str, heartbeat: Heartbeat) -> Response {
    let is_current = key == plane.keys.agent_to_control;
    let is_previous = plane
        .previous
        .as_ref()
        .is_some_and(|p| p.agent_to_control == key);
    if !is_current && !is_previous {
        return refuse(401, "heartbeat_key_invalid");
    }
    if plane.certificate.is_none() {
        plane.certificate.clone_from(&heartbeat.certificate_sha256);
    }
    if plane.certificate != heartbeat.certificate_sha256 {
        return refuse(409, "certificate_changed");
    }
    let numbers = (heartbeat.boot, heartbeat.sequence);
    if numbers <= plane.last {
        plane.replayed += 1;
        let (boot, sequence) = plane.last;
        let details = json!({"accepted": {"boot": boot, "sequence": sequence}});
        return refuse_with(409, "heartbeat_replayed", &details);
    }
    plane.last = numbers;
    let mut unknown = Vec::new();
    for report in &heartbeat.instances {
        let Some(row) = plane.rows.get(&report.id) else {
            unknown.push(report.id);
            continue;
        };
        let (generation, desired) = (row.deploy.generation, row.deploy.desired);
        if report.generation < generation {
            continue;
        }
        if report.phase.is_none() && desired == Desired::Absent {
            plane.rows.remove(&report.id);
        }
        plane.reports.insert(report.id, report.clone());
    }
    plane.heard.push((Instant::now(), heartbeat));
    Json(HeartbeatResponse {
        desired_digest: digest(plane),
        unknown,
        new_keys: is_previous.then(|| plane.keys.clone()),
    })
    .into_response()
}

fn digest(plane: &Plane) -> String {
    let lines: String = plane
        .rows
        .values()
        .map(|r| digest_line(r.id, r.deploy.generation, r.deploy.desired))
        .collect();
    Sha256::digest(lines.as_bytes())
        .iter()
        .fold(String::new(), |hex, b| format!("{hex}{b:02x}"))
}

async fn desired(State(stub): State<Stub>, headers: HeaderMap) -> Response {
    let mut plane = stub.plane();
    if plane.fault == Fault::Down {
        return refuse(503, "database_unreachable");
    }
    if bearer(&headers) != plane.keys.agent_to_control {
        return refuse(401, "heartbeat_key_invalid");
    }
    plane.pulls += 1;
    Json(DesiredState {
        digest: digest(&plane),
        instances: plane.rows.values().cloned().collect(),
    })
    .into_response()
}
