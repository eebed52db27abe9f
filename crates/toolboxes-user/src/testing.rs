//! The function over recorded answers of the database and the agent.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_edge::recorded::{Function, RecordedHost, Seen, assert_documented, user_token};
use toolbox_http::Headers;
use toolbox_http::recorded::{JumpingClock, Recorded};
use toolbox_instances::testing::{Answer, NOW, TOOLBOX, USER, answer};

use crate::FUNCTION;

/// See the module.
pub(crate) struct World {
    pub(crate) transport: Arc<Recorded>,
    function: Function,
}

/// The row of a machine that a user brings, which is active.
pub(crate) fn row() -> Value {
    json!({"id": TOOLBOX, "kind": "byo", "name": "my machine", "description": null, "status": "active",
        "status_changed_at": "2025-12-31T23:50:00+00:00", "region_slug": null, "size_slug": null, "image_slug": null,
        "do_droplet_id": null, "do_droplet_name": null, "public_ip_address": "127.0.0.1", "dtma_port": 30000,
        "dtma_certificate_pem": null, "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null,
        "dtma_api_version": 2, "dtma_last_known_version": "0.1.0", "last_heartbeat_at": "2025-12-31T23:59:30+00:00",
        "dtma_health_details_json": null, "provisioning_error_message": null, "provisioning_step": null,
        "provisioning_step_since": null, "provisioning_problem": null, "wanted_size_slug": null, "price_hourly_usd": null,
        "price_monthly_usd": null, "price_since": null, "cost_before_usd": 0, "created_at": "2025-12-31T00:00:00+00:00",
        "updated_at": "2025-12-31T00:00:00+00:00"})
}

impl World {
    /// A project whose releases are at `https://r.example`; `variables` come first.
    pub(crate) fn with(variables: &[(&str, &str)]) -> Self {
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
        let mut all = variables.to_vec();
        all.push(("SUPABASE_JWT_SECRET", "secret"));
        all.push(("TOOLBOX_RELEASE_URL", "https://r.example/"));
        let function = Function::new(&FUNCTION, &all, Arc::clone(&transport), clock);
        let world = Self {
            transport,
            function,
        };
        world.rows(json!([row()]));
        world
    }

    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    pub(crate) fn host(&self) -> &RecordedHost {
        &self.function.host
    }

    /// What the caller's token may read from now on.
    pub(crate) fn rows(&self, rows: Value) {
        self.transport.on(move |request| {
            let reads = request.url.contains("/account_tool_environments?");
            reads.then(|| answer(200, &rows))
        });
    }

    pub(crate) fn rpc(&self, name: &'static str, body: Value) {
        self.transport.on(move |request| {
            let calls = request.url.ends_with(&format!("/rpc/{name}"));
            calls.then(|| answer(200, &body))
        });
    }

    pub(crate) fn agent(&self, mut script: impl FnMut() -> Answer + Send + 'static) {
        self.transport.on(move |request| {
            let asks = request.url == "http://127.0.0.1:30000/status";
            asks.then(&mut script)
        });
    }

    /// Arguments of the calls to a function of the database.
    pub(crate) fn sent(&self, name: &str) -> Vec<Value> {
        let calls = self.transport.sent();
        let calls = calls.iter().filter(|call| call.request.url.ends_with(name));
        calls
            .map(|call| serde_json::from_slice::<Value>(&call.request.body).unwrap()["p"].clone())
            .collect()
    }

    /// A request of the signed-in owner, whose answer the document knows.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Seen {
        let mut headers = Headers::default();
        let token = user_token(USER, NOW + 3600);
        headers.set("authorization", format!("Bearer {token}"));
        headers.set("x-request-id", "req-1");
        if body.is_some() {
            headers.set("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let seen = self.function.ask(method, path, headers, body.as_bytes());
        let document = include_str!("../../../docs/api/toolboxes-user.openapi.json");
        let document = serde_json::from_str(document).unwrap();
        assert_documented(&FUNCTION, &document, method, path, &seen);
        seen
    }
}

/// A path of the toolbox.
pub(crate) fn path(rest: &str) -> String {
    format!("/{TOOLBOX}{rest}")
}
