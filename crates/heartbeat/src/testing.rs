//! A world for tests of routes: the real service over a scripted database.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_edge::body::Incoming;
use toolbox_edge::recorded::{Function, RecordedHost, Seen, assert_documented};
use toolbox_http::recorded::{JumpingClock, Recorded, lock};
use toolbox_http::{Headers, Response, TransportError};

use crate::FUNCTION;

pub(crate) const TOOLBOX: &str = "6f9619ff-8b86-4d01-b42d-000000000001";
pub(crate) const INSTANCE: &str = "22222222-2222-4222-8222-222222222222";
const NOW: u64 = 1_767_225_600; // 2026-01-01T00:00:00Z
/// Has the form of a token; its end is what must appear nowhere.
pub(crate) const TOKEN: &str = "tbe_0123456789_-abcdefghijklmnopqrstuvwxyCANARY";
/// Has the form of a key.
pub(crate) const KEY: &str = "tbk_c0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffeec0ffee0bad";

/// Made by OpenSSL, as is its fingerprint.
pub(crate) const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBbzCCARagAwIBAgIUXVEc4W1VMj5d5AzQOfPaufZdcfMwCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEZHRtYTAeFw0yNjExMjExMzExMzlaFw0zNjExMTgxMzExMzla\n\
MA8xDTALBgNVBAMMBGR0bWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARqs79g\n\
xR0dStqngywYBgCScIeUy73kkzp0Uh33XAorrMNlh0VqohzGZrDmT1FHGoNGMcB/\n\
dqv3Ug8H6yNyCvHxo1AwTjAdBgNVHQ4EFgQURtcsDDzp49fjlUt74VVkbiwV7NAw\n\
HwYDVR0jBBgwFoAURtcsDDzp49fjlUt74VVkbiwV7NAwDAYDVR0TAQH/BAIwADAK\n\
BggqhkjOPQQDAgNHADBEAiBOFZnS0bDio/WHG8L5ZkdKfmbHlGKYQH2y5sy/bf6u\n\
qwIgD0ZGAeeQp71LIou7xZSIUWf0SJOLRZtnJ+zBGLdESro=\n\
-----END CERTIFICATE-----\n";
pub(crate) const CERTIFICATE_SHA256: &str =
    "fcff37dc1639e2bd217d17aefae10878dcc0aaf7670dc908b2f48410d7bbea0d";

type Answer = Result<Response, TransportError>;

/// See the module.
pub(crate) struct World {
    function: Function,
    pub(crate) transport: Arc<Recorded>,
    answers: Arc<Mutex<Vec<(&'static str, Answer)>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with more variables.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
        let answers: Arc<Mutex<Vec<(&'static str, Answer)>>> = Arc::default();
        let script = Arc::clone(&answers);
        transport.on(move |request| {
            let name = request.url.strip_prefix("http://supabase/rest/v1/rpc/")?;
            let mut script = lock(&script);
            let at = script.iter().position(|(of, _)| *of == name)?;
            // The last answer to a function stays.
            let is_last = script[at + 1..].iter().all(|(of, _)| *of != name);
            Some(if is_last {
                script[at].1.clone()
            } else {
                script.remove(at).1
            })
        });
        let function = Function::new(&FUNCTION, variables, Arc::clone(&transport), clock);
        Self {
            function,
            transport,
            answers,
        }
    }

    pub(crate) fn host(&self) -> &RecordedHost {
        &self.function.host
    }

    /// The database's next answer to this function; the last one stays.
    pub(crate) fn on(&self, function: &'static str, body: &Value) -> &Self {
        self.on_raw(
            function,
            Ok(Response::new(200, body.to_string().into_bytes())),
        )
    }

    /// The same with any answer.
    pub(crate) fn on_raw(&self, function: &'static str, answer: Answer) -> &Self {
        lock(&self.answers).push((function, answer));
        self
    }

    /// A request that presents `bearer`.
    pub(crate) fn ask(&self, method: &str, path: &str, bearer: &str, body: &str) -> Seen {
        let mut headers = Headers::default();
        headers.set("authorization", format!("Bearer {bearer}"));
        headers.set("content-type", "application/json");
        headers.set("x-request-id", "req-1");
        let seen = self.function.ask(method, path, headers, body.as_bytes());
        assert_is_documented(method, path, &seen);
        seen
    }

    /// Any request.
    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: Headers,
        body: Incoming,
    ) -> Seen {
        let seen = self.function.ask_with(method, path, headers, body);
        assert_is_documented(method, path, &seen);
        seen
    }

    /// A request with the header `authorization`, and whether its body was read.
    pub(crate) fn ask_and_watch(&self, path: &str, authorization: &str) -> (Seen, bool) {
        let is_read = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_read);
        let body = Box::pin(async move {
            flag.store(true, Ordering::Relaxed);
            Incoming::Complete(Vec::new())
        });
        let mut headers = Headers::default();
        headers.set("authorization", authorization);
        let seen = self.function.ask_unread("POST", path, headers, body);
        (seen, is_read.load(Ordering::Relaxed))
    }

    /// Arguments of the calls to a function of the database.
    pub(crate) fn asked(&self, function: &str) -> Vec<Value> {
        let calls = self.transport.sent();
        let calls = calls
            .iter()
            .filter(|call| call.request.url.ends_with(function));
        calls
            .map(|call| serde_json::from_slice::<Value>(&call.request.body).unwrap()["p"].clone())
            .collect()
    }

    /// Nothing of a secret is in the operator's log.
    pub(crate) fn assert_log_is_clean(&self) {
        let log = self.host().log();
        for secret in ["CANARY", "c0ffee", "tbk_", "tbe_", "SECRET"] {
            assert!(!log.contains(secret), "{log}");
        }
    }
}

fn assert_is_documented(method: &str, path: &str, seen: &Seen) {
    let document = include_str!("../../../docs/api/heartbeat.openapi.json");
    let document = serde_json::from_str(document).unwrap();
    assert_documented(&FUNCTION, &document, method, path, seen);
}

/// What the database is told of a heartbeat: what was read of it.
pub(crate) fn as_told(sent: &Value) -> Value {
    let read: toolbox_api::heartbeat::Heartbeat = serde_json::from_value(sent.clone()).unwrap();
    serde_json::to_value(read).unwrap()
}

/// A heartbeat with one instance that runs.
pub(crate) fn heartbeat() -> Value {
    json!({
        "boot": 1, "sequence": 1, "version": "0.1.0", "api_version": 1, "interval_seconds": 60,
        "docker_reachable": true, "full": true,
        "instances": [{
            "id": INSTANCE, "generation": 4, "phase": "running", "settled": true,
            "container_id": "abc", "image_digest": "sha256:1",
            "ports": [{"container_port": 8080, "protocol": "tcp", "host_ip": "127.0.0.1", "host_port": 31000}],
            "observed_at": "2026-01-01T00:00:00Z",
        }],
    })
}
