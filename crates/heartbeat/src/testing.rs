//! A world for tests of routes: the real service over a scripted database.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use toolbox_edge::body::Incoming;
use toolbox_edge::recorded::{Scripted, Seen};
use toolbox_http::Headers;

use crate::FUNCTION;

pub(crate) const TOOLBOX: &str = "6f9619ff-8b86-4d01-b42d-000000000001";
pub(crate) const INSTANCE: &str = "22222222-2222-4222-8222-222222222222";
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

/// See the module.
pub(crate) struct World(Scripted);

impl Deref for World {
    type Target = Scripted;

    fn deref(&self) -> &Scripted {
        &self.0
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    /// The same with more variables.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let document = include_str!("../../../docs/api/heartbeat.openapi.json");
        Self(Scripted::new(&FUNCTION, document, variables))
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
