//! The use cases over the control plane for tests.

use std::ops::Deref;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_api::dtma::ToolSpec;
use toolbox_api::edge::ConfigOverride;
use toolbox_api::error::{ApiError, ErrorBody};
use toolbox_clients::supabase::{ProjectKeys, Supabase};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::keys::RootId;
use toolbox_domain::names::DisplayName;
use toolbox_domain::sealing::{Owner, Roots, SealingKeys};
use toolbox_http::BoxFuture;
use toolbox_http::recorded::{lock, run};

use crate::change::Change;
use crate::deploy::NewTool;
use crate::find::Target;
use crate::last_resort::SshExecutor;
use crate::reach::HttpsAgents;
use crate::testing::{CATALOG, ControlPlane, INSTANCE, TOOLBOX, USER};
use crate::{Host, Idempotency, Instances, Outcome, Progress, UserRequest};

pub(crate) const ROOT: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const PREVIOUS_ROOT: &str = "the root secret before that one..";

/// A change that the agent works on.
pub(crate) const ACCEPTED: Option<Progress> = Some(Progress::Accepted);
/// A change whose end was observed, as asked.
pub(crate) const DONE: Option<Progress> = Some(Progress::Done);

/// See the module.
pub(crate) struct World {
    plane: ControlPlane,
    pub(crate) instances: Instances,
    pub(crate) host: Arc<TestHost>,
}

impl Deref for World {
    type Target = ControlPlane;

    fn deref(&self) -> &ControlPlane {
        &self.plane
    }
}

/// Keeps background work until asked for.
#[derive(Default)]
pub(crate) struct TestHost {
    counter: AtomicU8,
    background: Mutex<Vec<BoxFuture<'static, ()>>>,
    log: Mutex<Vec<String>>,
}

impl TestHost {
    /// Runs the work that was put off, and what it puts off in turn; says how many there were.
    pub(crate) fn run_background(&self) -> usize {
        let mut done = 0;
        loop {
            let work = lock(&self.background).pop();
            let Some(work) = work else {
                return done;
            };
            run(work);
            done += 1;
        }
    }

    /// What was logged.
    pub(crate) fn log(&self) -> String {
        lock(&self.log).join("\n")
    }
}

impl Host for TestHost {
    fn random_bytes(&self) -> [u8; 16] {
        [self.counter.fetch_add(1, Ordering::Relaxed) + 1; 16]
    }

    fn background(&self, work: BoxFuture<'static, ()>) {
        lock(&self.background).push(work);
    }

    fn log(&self, request_id: &str, what: &str, error: &ApiError) {
        let line = format!(
            "{request_id} {what} {} {:?}",
            error.code.as_str(),
            error.cause
        );
        lock(&self.log).push(line);
    }
}

/// What has become of a request.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How far a change is; none when it failed.
    pub(crate) progress: Option<Progress>,
    /// `status`, `tool_instance` and `operation` of a change, or `error`.
    pub(crate) body: Value,
    /// The header that an error brings.
    pub(crate) header: Option<(&'static str, String)>,
}

impl Seen {
    /// The error code; empty for a success.
    pub(crate) fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }
}

impl From<Result<Outcome, ApiError>> for Seen {
    fn from(result: Result<Outcome, ApiError>) -> Self {
        let mut header = None;
        let (progress, body) = match result {
            Ok(outcome) => {
                let instance = outcome.instance.as_ref();
                let status = instance.map_or("deleted", |i| &i.status_on_toolbox);
                let body = json!({
                    "status": status,
                    "tool_instance": outcome.instance,
                    "operation": outcome.operation,
                    "instance_id": outcome.instance_id,
                });
                (Some(outcome.progress), body)
            }
            Err(mut error) => {
                header = error.header.take();
                let error = ErrorBody {
                    code: error.code.as_str().to_owned(),
                    message: error.message().to_owned(),
                    details: error.details.map(|details| *details),
                    request_id: String::new(),
                };
                (None, json!({ "error": error }))
            }
        };
        Self {
            progress,
            body,
            header,
        }
    }
}

/// The toolbox.
pub(crate) fn toolbox() -> ToolboxId {
    TOOLBOX.parse().unwrap()
}

/// The instance.
pub(crate) fn target() -> Target {
    Target::parse(INSTANCE).unwrap()
}

/// A request of the owner.
pub(crate) fn request() -> UserRequest {
    UserRequest {
        id: "req-1".into(),
        user: USER.parse().unwrap(),
        token: "token".into(),
        idempotency: None,
        wait: None,
    }
}

/// The same, under a key.
pub(crate) fn request_under_key(key: &str) -> UserRequest {
    let (key, fingerprint) = (key.to_owned(), "f".to_owned());
    UserRequest {
        idempotency: Some(Idempotency {
            key,
            fingerprint,
            former_fingerprint: None,
        }),
        ..request()
    }
}

/// The same, by a caller who waits this many seconds.
pub(crate) fn request_that_waits(seconds: u64) -> UserRequest {
    UserRequest {
        wait: Some(Duration::from_secs(seconds)),
        ..request()
    }
}

impl World {
    /// One toolbox with one instance in `status`, and an agent that shows it running.
    pub(crate) fn new(status: &str) -> Self {
        let plane = ControlPlane::new(status);
        let host = Arc::new(TestHost::default());
        let deadline = Duration::from_secs(10);
        let keys = ProjectKeys {
            publishable: "sb_publishable_x".to_owned(),
            secret: "sb_secret_x".to_owned(),
        };
        let database = Supabase::new(
            Arc::clone(&plane.transport) as _,
            Arc::clone(&plane.clock) as _,
            "http://supabase",
            keys,
            deadline,
        );
        let instances = Instances {
            database: Arc::new(database),
            clock: Arc::clone(&plane.clock) as _,
            agents: Arc::new(HttpsAgents {
                transport: Arc::clone(&plane.transport) as _,
                deadline,
                root_secret: ROOT.to_owned(),
                previous_root_secret: Some(PREVIOUS_ROOT.to_owned()),
            }),
            last_resort: Some(Arc::new(SshExecutor {
                transport: Arc::clone(&plane.transport) as _,
                supabase_url: "http://supabase".to_owned(),
                publishable_key: "sb_publishable_x".to_owned(),
            })),
            host: Arc::clone(&host) as _,
        };
        Self {
            plane,
            instances,
            host,
        }
    }

    /// `start`, `stop`, `restart` or `delete`.
    pub(crate) fn change(&self, what: &str) -> Seen {
        self.change_with(what, &request())
    }

    pub(crate) fn change_with(&self, what: &str, request: &UserRequest) -> Seen {
        let change = match what {
            "start" => Change::Start,
            "stop" => Change::Stop,
            "restart" => Change::Restart,
            _ => Change::Delete,
        };
        run(self.instances.change(request, toolbox(), &target(), change)).into()
    }

    pub(crate) fn update(&self, wanted: &Value, request: &UserRequest) -> Seen {
        let wanted: ConfigOverride = serde_json::from_value(wanted.clone()).unwrap();
        run(self
            .instances
            .update(request, toolbox(), &target(), &wanted))
        .into()
    }

    /// A spec that the database got, with its secrets opened. All of them must be sealed with the current key.
    pub(crate) fn opened(&self, stored: &Value, instance: &str) -> Value {
        let mut spec: ToolSpec = serde_json::from_value(stored.clone()).unwrap();
        let current = RootId::of(ROOT.as_bytes()).to_string();
        let keys = self.instances.agents.sealing_keys(toolbox()).unwrap();
        for value in spec.env.values().chain(spec.mcp_headers.values()) {
            assert_eq!(value.key_id, Some(current.clone()));
        }
        let unopened = keys.open_spec(instance.parse().unwrap(), spec.secrets());
        assert!(unopened.is_empty(), "{unopened:?}");
        serde_json::to_value(spec).unwrap()
    }

    /// Seals what the row holds, with the keys of this root.
    pub(crate) fn seal_row(&self, root: &str) {
        let mut tables = self.tables();
        let stored = &mut tables.row.as_mut().unwrap()["spec"];
        let mut spec: ToolSpec = serde_json::from_value(stored.clone()).unwrap();
        let roots = Roots {
            current: root.as_bytes(),
            previous: None,
        };
        let keys = SealingKeys::derive(roots, Owner::Toolbox(toolbox())).unwrap();
        keys.seal_spec(INSTANCE.parse().unwrap(), spec.secrets(), || [9; 12])
            .unwrap();
        *stored = serde_json::to_value(spec).unwrap();
    }

    /// The spec that the agent was sent last.
    pub(crate) fn put(&self) -> Value {
        let sent = self.transport.sent();
        let put = sent.iter().rfind(|call| call.request.method == "PUT");
        let request: Value = serde_json::from_slice(&put.unwrap().request.body).unwrap();
        request["spec"].clone()
    }

    /// Deploys an entry of the catalog as `wanted`.
    pub(crate) fn deploy(&self, wanted: &Value, request: &UserRequest) -> Seen {
        let tool = NewTool {
            catalog_id: CATALOG.parse().unwrap(),
            name: DisplayName::parse("Context7 MCP Server-1750278276605").unwrap(),
            config: serde_json::from_value(wanted.clone()).unwrap(),
            max_instances: 100,
            pin_tools: false,
        };
        run(self.instances.deploy(request, toolbox(), &tool)).into()
    }

    /// All instances.
    pub(crate) fn list(&self) -> Result<Value, ApiError> {
        let listing = run(self.instances.list(&request(), toolbox()))?;
        Ok(json!({
            "agent": listing.agent,
            "instances": listing.instances,
            "orphans": listing.orphans,
            "foreign": listing.foreign,
        }))
    }

    /// The instance.
    pub(crate) fn get(&self) -> Result<Value, ApiError> {
        let found = run(self.instances.get(&request(), toolbox(), &target()))?;
        Ok(json!({ "agent": found.agent, "instance": found.instance }))
    }
}
