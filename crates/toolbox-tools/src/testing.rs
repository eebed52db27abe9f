//! The real service over a control plane for tests.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use toolbox_edge::body::Incoming;
use toolbox_edge::recorded::{Function, RecordedHost, assert_documented, user_token};
use toolbox_http::Headers;
use toolbox_instances::testing::{NOW, USER};

use crate::FUNCTION;

pub(crate) use toolbox_edge::recorded::Seen;
pub(crate) use toolbox_instances::testing::{
    CATALOG, ControlPlane, INSTANCE, TOOLBOX, answer, fault, problem, row, version, view,
};

/// See the module.
pub(crate) struct World {
    plane: ControlPlane,
    function: Function,
}

impl Deref for World {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.plane
    }
}

impl World {
    /// One toolbox with one instance in `status`, and an agent that shows it running.
    pub(crate) fn new(status: &str) -> Self {
        Self::with(status, &[])
    }

    /// The same with more variables.
    pub(crate) fn with(status: &str, more: &[(&str, &str)]) -> Self {
        let plane = ControlPlane::new(status);
        let mut variables = vec![
            ("SUPABASE_JWT_SECRET", "secret"),
            (
                "BACKEND_TO_DTMA_API_KEY_PREVIOUS",
                "the root secret before that one..",
            ),
        ];
        variables.extend(more);
        let (transport, clock) = (Arc::clone(&plane.transport), Arc::clone(&plane.clock));
        let function = Function::new(&FUNCTION, &variables, transport, clock);
        Self { plane, function }
    }

    pub(crate) fn host(&self) -> &RecordedHost {
        &self.function.host
    }

    /// A request of the signed-in owner.
    pub(crate) fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Seen {
        self.ask_with(method, path, body, &[])
    }

    /// The same with more headers.
    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
        more: &[(&'static str, &str)],
    ) -> Seen {
        let mut headers = Headers::default();
        headers.set("authorization", authorization());
        headers.set("x-request-id", "req-1");
        if body.is_some() {
            headers.set("content-type", "application/json");
        }
        for (name, value) in more {
            headers.set(name, *value);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let seen = self.function.ask(method, path, headers, body.as_bytes());
        assert!(!seen.text.contains("SECRET"), "{}", seen.text);
        let document = include_str!("../../../docs/api/toolbox-tools.openapi.json");
        let document = serde_json::from_str(document).unwrap();
        assert_documented(&FUNCTION, &document, method, path, &seen);
        seen
    }

    /// A request with the header `authorization`, and whether its body was read.
    pub(crate) fn ask_and_watch(
        &self,
        method: &str,
        path: &str,
        authorization: &str,
    ) -> (Seen, bool) {
        let is_read = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_read);
        let body = Box::pin(async move {
            flag.store(true, Ordering::Relaxed);
            Incoming::Complete(Vec::new())
        });
        let mut headers = Headers::default();
        headers.set("authorization", authorization);
        let seen = self.function.ask_unread(method, path, headers, body);
        (seen, is_read.load(Ordering::Relaxed))
    }
}

/// What the signed-in owner presents.
pub(crate) fn authorization() -> String {
    format!("Bearer {}", user_token(USER, NOW + 3600))
}
