//! DigitalOcean, the rows, the machines and the workers in memory, in simulated time. Each call takes time before and after
//! what it does; a worker can be killed at both moments, and a call can fail at either. The rows keep the rules of
//! `supabase/schemas/functions/provisioning.sql`, which tests/db shows of the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::{Map, Value, json};
use toolbox_api::error::ApiError;
use toolbox_clients::digitalocean::DigitalOcean;
use toolbox_clients::supabase::{ProjectKeys, Supabase};
use toolbox_domain::ids::{ToolboxId, UserId};
use toolbox_domain::lifecycle::{EnvironmentStatus, environment_can_transition};
use toolbox_domain::provisioning::CHECK;
use toolbox_domain::retry::Fault;
use toolbox_http::recorded::lock;
use toolbox_http::{
    BodyStream, BoxFuture, Call, Clock, Request, Response, Transport, TransportError,
};
use uuid::Uuid;

use crate::{DropletOrder, Provisioning, ProvisioningSettings, Wish};

/// Names of the calls that change something outside, or write.
pub(crate) type Trace = Vec<String>;

/// What happens to one call, counted from the beginning of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strike {
    /// The worker dies before the call does anything.
    KillBefore,
    /// The worker dies when the call has done it.
    KillAfter,
    /// No answer, and nothing was done.
    LostBefore,
    /// No answer, although it was done.
    LostAfter,
    /// No answer, and it is done when nobody waits any more.
    Late,
    /// 500, and nothing was done.
    ErrorBefore,
    /// 500, although it was done.
    ErrorAfter,
    /// 429.
    Limited,
    /// DigitalOcean does not want it.
    Refused,
    /// DigitalOcean does not know the token.
    Unauthorised,
}

pub(crate) const STRIKES: [Strike; 8] = [
    Strike::KillBefore,
    Strike::KillAfter,
    Strike::LostBefore,
    Strike::LostAfter,
    Strike::Late,
    Strike::ErrorBefore,
    Strike::ErrorAfter,
    Strike::Limited,
];

/// How machines behave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manners {
    /// A machine never gets so far as to have an address.
    pub(crate) never_boots: bool,
    /// No agent ever reports.
    pub(crate) never_reports: bool,
    /// No machine gets the name that is asked for.
    pub(crate) never_renames: bool,
    /// A new droplet is missing in lists for so long.
    pub(crate) lag: Duration,
    /// The longest that a call takes before and after what it does.
    pub(crate) latency: Duration,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            never_boots: false,
            never_reports: false,
            never_renames: false,
            lag: Duration::from_secs(2),
            latency: Duration::from_millis(200),
        }
    }
}

/// So late is what nobody waits for any more.
pub(crate) const LATE: Duration = Duration::from_secs(20);
const BOOT: Duration = Duration::from_secs(25);
const AGENT: Duration = Duration::from_mins(1);
const SETTINGS_DEFAULT_SIZE: &str = "s-1vcpu-1gb";

#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) tags: Vec<String>,
    pub(crate) size: String,
    pub(crate) address: String,
    pub(crate) is_off: bool,
    made_at: Duration,
    token: Option<String>,
    has_reported: bool,
    /// The change that is at work, until when, and its number.
    change: Option<(Value, Duration)>,
}

#[derive(Default)]
pub(crate) struct State {
    now: Duration,
    timers: BTreeSet<Duration>,
    calls: usize,
    late: Vec<(Duration, Request)>,
    trace: Trace,
    strikes: BTreeMap<usize, Strike>,
    manners: Option<Manners>,
    random: u64,
    killed: bool,
    pub(crate) machines: Vec<Machine>,
    pub(crate) firewalls: BTreeMap<String, String>,
    actions: BTreeMap<u64, Duration>,
    numbers: u64,
    pub(crate) rows: BTreeMap<String, Map<String, Value>>,
    tokens: BTreeMap<String, String>,
    pub(crate) removed: BTreeSet<String>,
    pub(crate) ever_made: usize,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    supabase: Arc<Supabase>,
    digitalocean: Arc<DigitalOcean>,
    settings: Arc<ProvisioningSettings>,
}

pub(crate) const OWNER: UserId = UserId::new(Uuid::from_u128(0xa0));

struct Hosts(Arc<Mutex<State>>);

struct Sleep {
    state: Arc<Mutex<State>>,
    until: Option<Duration>,
    duration: Duration,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.state);
        let mut state = lock(&shared);
        let until = self.until.unwrap_or(state.now + self.duration);
        self.until = Some(until);
        if state.now >= until && !state.killed {
            return Poll::Ready(());
        }
        state.timers.insert(until);
        Poll::Pending
    }
}

fn sleep(state: &Arc<Mutex<State>>, duration: Duration) -> Sleep {
    Sleep {
        state: Arc::clone(state),
        until: None,
        duration,
    }
}

impl Clock for Hosts {
    fn now(&self) -> Duration {
        lock(&self.0).now
    }

    fn random(&self) -> f64 {
        0.5
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(sleep(&self.0, duration))
    }
}

impl Transport for Hosts {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let (strike, before, behind) = {
                let mut state = lock(&self.0);
                let number = state.calls;
                state.calls += 1;
                let request = &call.request;
                state
                    .trace
                    .push(format!("{} {}", request.method, request.path()));
                let strike = state.strikes.get(&number).copied();
                (strike, state.latency(), state.latency())
            };
            let limit = call.deadline;
            sleep(&self.0, before).await;
            let lost = || Err(TransportError::new(Fault::Timeout, "simulated"));
            match strike {
                Some(Strike::KillBefore) => return self.die().await,
                Some(Strike::LostBefore) => {
                    sleep(&self.0, limit).await;
                    return lost();
                }
                Some(Strike::Late) => {
                    let at = lock(&self.0).now + LATE;
                    lock(&self.0).late.push((at, call.request.clone()));
                    sleep(&self.0, limit).await;
                    return lost();
                }
                Some(Strike::ErrorBefore) => return Ok(Response::new(500, b"{}".to_vec())),
                Some(Strike::Refused) => {
                    let body =
                        br#"{"id": "unprocessable_entity", "message": "Size is not available"}"#;
                    return Ok(Response::new(422, body.to_vec()));
                }
                Some(Strike::Unauthorised) => return Ok(Response::new(401, b"{}".to_vec())),
                Some(Strike::Limited) => return Ok(Response::new(429, b"{}".to_vec())),
                _ => {}
            }
            let answer = lock(&self.0).answer(&call.request);
            match strike {
                Some(Strike::KillAfter) => return self.die().await,
                Some(Strike::LostAfter) => {
                    sleep(&self.0, limit).await;
                    return lost();
                }
                Some(Strike::ErrorAfter) => return Ok(Response::new(500, b"{}".to_vec())),
                _ => {}
            }
            sleep(&self.0, behind).await;
            Ok(answer)
        })
    }

    fn open(
        &self,
        _: Call,
        _: Duration,
    ) -> BoxFuture<'_, Result<Response<BodyStream>, TransportError>> {
        Box::pin(async { Err(TransportError::new(Fault::Refused, "nothing streams here")) })
    }
}

impl Hosts {
    /// The worker that polls this gets nowhere any more.
    async fn die(&self) -> Result<Response, TransportError> {
        lock(&self.0).killed = true;
        std::future::pending().await
    }
}

impl World {
    pub(crate) fn new(manners: Manners, seed: u64) -> Self {
        let state = Arc::new(Mutex::new(State {
            now: Duration::from_hours(500_000),
            manners: Some(manners),
            random: seed,
            ..State::default()
        }));
        let hosts = Arc::new(Hosts(Arc::clone(&state)));
        let keys = ProjectKeys {
            publishable: "p".to_owned(),
            secret: "sb_secret_s".to_owned(),
        };
        let limit = Duration::from_secs(10);
        Self {
            supabase: Arc::new(Supabase::new(
                hosts.clone(),
                hosts.clone(),
                "http://db",
                keys,
                limit,
            )),
            digitalocean: Arc::new(DigitalOcean::new(
                hosts.clone(),
                hosts,
                "http://do",
                "t",
                limit,
            )),
            state,
            settings: Arc::new(ProvisioningSettings {
                default_region: Some("fra1".to_owned()),
                default_size: Some(SETTINGS_DEFAULT_SIZE.to_owned()),
                default_image: "ubuntu-24-04-x64".to_owned(),
                ssh_keys: Vec::new(),
                release_url: "https://releases.example".to_owned(),
                control_url: "https://project.example/functions/v1/heartbeat".to_owned(),
                max_price: 50,
                max_toolboxes: 5,
                max_user_price: 200,
            }),
        }
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn with_strike(&self, call: usize, strike: Strike) -> &Self {
        self.state().strikes.insert(call, strike);
        self
    }

    pub(crate) fn calls(&self) -> usize {
        self.state().calls
    }

    pub(crate) fn trace(&self) -> Trace {
        self.state().trace.clone()
    }

    /// Runs workers at the same time until each has ended or was killed; none for those that were killed.
    pub(crate) fn run<T>(&self, workers: Vec<BoxFuture<'_, T>>) -> Vec<Option<T>> {
        let mut live: Vec<_> = workers.into_iter().map(Some).collect();
        let mut ends: Vec<Option<T>> = live.iter().map(|_| None).collect();
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1_000_000 {
            for (worker, end) in live.iter_mut().zip(&mut ends) {
                let Some(future) = worker else { continue };
                match future.as_mut().poll(&mut context) {
                    Poll::Ready(value) => {
                        *end = Some(value);
                        *worker = None;
                    }
                    Poll::Pending if self.state().killed => *worker = None,
                    Poll::Pending => {}
                }
                self.state().killed = false;
            }
            if live.iter().all(Option::is_none) {
                self.state().timers.clear();
                return ends;
            }
            let mut state = self.state();
            let next = state.timers.pop_first();
            if let Some(next) = next {
                state.now = state.now.max(next);
            }
            state.machines_live();
        }
        panic!("the workers do not end");
    }

    pub(crate) fn order(&self) -> Option<ToolboxId> {
        let work: BoxFuture<'_, _> = Box::pin(async move {
            let hosts = Hosts(Arc::clone(&self.state));
            let provisioning = self.provisioning(&hosts);
            let order = DropletOrder {
                name: "My box".to_owned(),
                key: Some("one".to_owned()),
                ..DropletOrder::default()
            };
            provisioning.order(OWNER, &order, None).await
        });
        let end = self.run(vec![work]).pop().flatten();
        end.and_then(Result::ok).map(|ordered| ordered.id)
    }

    pub(crate) fn wish(&self, id: ToolboxId, wish: &Wish) -> Option<Result<bool, ApiError>> {
        let work: BoxFuture<'_, _> = Box::pin(async move {
            let hosts = Hosts(Arc::clone(&self.state));
            let provisioning = self.provisioning(&hosts);
            provisioning.change(id, Some(OWNER), wish, None).await
        });
        self.run(vec![work]).pop().flatten()
    }

    /// Ticks of the clock, every 30 s, with so many workers at once.
    pub(crate) fn ticks(&self, count: u32, workers: usize) {
        for _ in 0..count {
            self.run((0..workers).map(|name| self.worker(name)).collect());
            self.pass(Duration::from_secs(30));
        }
    }

    /// Ticks every 3 s with one worker; its user is deleted `after` the first.
    pub(crate) fn ticks_with_deletion(&self, count: u32, after: Duration) {
        let deletion: BoxFuture<'_, ()> = Box::pin(async move {
            sleep(&self.state, after).await;
            self.state().delete_user();
        });
        let working: BoxFuture<'_, ()> = Box::pin(async move {
            for _ in 0..count {
                self.worker(0).await;
                sleep(&self.state, Duration::from_secs(3)).await;
            }
        });
        self.run(vec![working, deletion]);
    }

    /// Ticks every 3 s, with so many workers at once.
    pub(crate) fn quick_ticks(&self, count: u32, workers: usize) {
        for _ in 0..count {
            self.run((0..workers).map(|name| self.worker(name)).collect());
            self.pass(Duration::from_secs(3));
        }
    }

    fn worker(&self, name: usize) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let hosts = Hosts(Arc::clone(&self.state));
            let provisioning = self.provisioning(&hosts);
            let holder = format!("worker {name}");
            // Whatever fails is due again.
            let _ = provisioning
                .advance_due(&holder, 10, Duration::from_secs(20))
                .await;
        })
    }

    pub(crate) fn sweep(&self) -> Option<crate::SweepReport> {
        let work: BoxFuture<'_, _> = Box::pin(async move {
            let hosts = Hosts(Arc::clone(&self.state));
            self.provisioning(&hosts)
                .sweep(Duration::from_secs(30))
                .await
        });
        self.run(vec![work]).pop().flatten().and_then(Result::ok)
    }

    fn provisioning<'a>(&'a self, clock: &'a Hosts) -> Provisioning<'a> {
        Provisioning {
            supabase: &self.supabase,
            digitalocean: &self.digitalocean,
            clock,
            settings: &self.settings,
        }
    }

    pub(crate) fn pass(&self, time: Duration) {
        let mut state = self.state();
        state.now += time;
        state.machines_live();
    }

    /// What the row says, and what there is.
    pub(crate) fn summary(&self, id: ToolboxId) -> String {
        let state = self.state();
        let row = state.rows.get(&id.to_string());
        format!(
            "{} step={} droplets={:?} firewalls={} problem={}",
            row.map_or("gone", |row| row["status"].as_str().unwrap_or("?")),
            row.map_or(&Value::Null, |row| &row["step"]),
            state.machines.iter().map(|m| m.id).collect::<Vec<_>>(),
            state.firewalls.len(),
            row.map_or(&Value::Null, |row| &row["problem"]),
        )
    }

    /// The row is at rest, and what is paid for is what it says.
    pub(crate) fn check(&self, id: ToolboxId, told: &str) -> String {
        let summary = self.summary(id);
        let state = self.state();
        let row = state.rows.get(&id.to_string());
        let status = row.map_or("gone", |row| row["status"].as_str().unwrap_or("?"));
        let step = row.map_or(&Value::Null, |row| &row["step"]);
        assert!(step.is_null(), "{told}: not at rest: {summary}");
        match status {
            "active" | "unresponsive" => {
                let row = row.unwrap_or_else(|| unreachable!());
                assert_eq!(state.machines.len(), 1, "{told}: {summary}");
                assert_eq!(
                    row["do_droplet_id"],
                    json!(state.machines[0].id),
                    "{told}: {summary}"
                );
                assert_eq!(
                    row["public_ip_address"],
                    json!(state.machines[0].address),
                    "{told}: {summary}"
                );
                assert_eq!(state.firewalls.len(), 1, "{told}: {summary}");
            }
            "error_provisioning" => {
                let row = row.unwrap_or_else(|| unreachable!());
                assert!(row["error"].is_string(), "{told}: no reason: {summary}");
                assert_eq!(row["do_droplet_id"], Value::Null, "{told}: {summary}");
                assert_eq!(state.machines.len(), 0, "{told}: {summary}");
                assert_eq!(state.firewalls.len(), 0, "{told}: {summary}");
            }
            "gone" => {
                assert_eq!(state.machines.len(), 0, "{told}: {summary}");
                assert_eq!(state.firewalls.len(), 0, "{told}: {summary}");
            }
            other => panic!("{told}: {other} is no rest: {summary}"),
        }
        status.to_owned()
    }
}

impl State {
    fn manners(&self) -> Manners {
        self.manners.unwrap_or_default()
    }

    /// From nothing to the longest.
    fn latency(&mut self) -> Duration {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.manners()
            .latency
            .mul_f64(f64::from((self.random >> 40) as u32 % 1000) / 1000.0)
    }

    /// Machines boot, and their agents enrol and report.
    fn machines_live(&mut self) {
        let now = self.now;
        if let Some(at) = self.late.iter().position(|(at, _)| *at <= now) {
            let (_, request) = self.late.swap_remove(at);
            self.answer(&request);
        }
        let manners = self.manners();
        for at in 0..self.machines.len() {
            let machine = &mut self.machines[at];
            if let Some((change, until)) = &machine.change
                && now >= *until
            {
                match change["type"].as_str() {
                    Some("shutdown" | "power_off") => machine.is_off = true,
                    Some("resize") => {
                        machine.size = change["size"].as_str().unwrap_or("").to_owned();
                    }
                    Some("rename") if manners.never_renames => {}
                    Some("rename") => {
                        machine.name = change["name"].as_str().unwrap_or("").to_owned();
                    }
                    _ => machine.is_off = false,
                }
                machine.change = None;
            }
            let is_up = now >= machine.made_at + BOOT + AGENT && !machine.is_off;
            if manners.never_boots || manners.never_reports || !is_up {
                continue;
            }
            let id = machine
                .tags
                .iter()
                .find_map(|tag| tag.strip_prefix("toolbox-"));
            let Some(id) = id.map(str::to_owned) else {
                continue;
            };
            let token = machine.token.clone();
            let Some(row) = self.rows.get_mut(&id) else {
                continue;
            };
            if !machine.has_reported {
                let Some(token) = token.filter(|token| self.tokens.get(token) == Some(&id)) else {
                    continue;
                };
                self.tokens.retain(|t, of| *of != id || *t == token);
                self.tokens.remove(&token);
                machine.has_reported = true;
                row.insert("key_of".to_owned(), json!(machine.id));
                row.insert("enrolled_from".to_owned(), json!(machine.address));
            }
            if row["key_of"] == json!(machine.id) {
                row.insert("heartbeat_at".to_owned(), json!(now.as_secs_f64()));
                for next in ["provisioning", "awaiting_heartbeat"] {
                    move_to(row, next, now);
                }
                if !row["public_ip_address"].is_null() {
                    move_to(row, "active", now);
                }
            }
        }
    }

    fn answer(&mut self, request: &Request) -> Response {
        self.machines_live();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let (status, answer) = if let Some(path) = request.url.strip_prefix("http://do/v2/") {
            self.digitalocean(&request.method, path, &body)
        } else {
            let name = request.path().rsplit('/').next().unwrap_or_default();
            if request.method == "GET" {
                self.read(&request.url)
            } else {
                (200, self.rpc(name, &body["p"]))
            }
        };
        Response::new(status, serde_json::to_vec(&answer).unwrap_or_default())
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    #[allow(clippy::too_many_lines, reason = "one arm a route")]
    fn digitalocean(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.split('/').collect();
        let by = |name: &str| {
            query
                .split('&')
                .find_map(|p| p.strip_prefix(name)?.strip_prefix('='))
        };
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        let now = self.now;
        match (method, parts.as_slice()) {
            ("GET", ["sizes"]) => (
                200,
                json!({ "sizes": [
                { "slug": SETTINGS_DEFAULT_SIZE, "memory": 1024, "vcpus": 1, "disk": 25, "transfer": 1.0, "price_monthly": 6.0,
                  "price_hourly": 0.00893, "regions": ["fra1"], "available": true },
                { "slug": "s-2vcpu-2gb", "memory": 2048, "vcpus": 2, "disk": 60, "transfer": 3.0, "price_monthly": 18.0,
                  "price_hourly": 0.02679, "regions": ["fra1"], "available": true },
            ] }),
            ),
            ("GET", ["droplets"]) => {
                let lag = self.manners().lag;
                let (tag, name) = (by("tag_name"), by("name"));
                let found: Vec<Value> = self
                    .machines
                    .iter()
                    .filter(|m| now >= m.made_at + lag)
                    .filter(|m| tag.is_none_or(|tag| m.tags.iter().any(|t| t == tag)))
                    .filter(|m| name.is_none_or(|name| m.name == name))
                    .map(|m| self.droplet(m))
                    .collect();
                (200, json!({ "droplets": found, "links": {} }))
            }
            ("POST", ["droplets"]) => {
                let id = self.number() + 1000;
                self.ever_made += 1;
                let data = body["user_data"].as_str().unwrap_or_default();
                let token = data
                    .split('"')
                    .find(|part| part.starts_with("tbe_"))
                    .map(str::to_owned);
                let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
                let tags = body["tags"].as_array().into_iter().flatten();
                let made = Machine {
                    id,
                    name: text("name"),
                    tags: tags.filter_map(|t| t.as_str().map(str::to_owned)).collect(),
                    size: text("size"),
                    address: format!("192.0.2.{}", id % 250),
                    is_off: false,
                    made_at: now,
                    token,
                    has_reported: false,
                    change: None,
                };
                let answer = self.droplet(&made);
                self.machines.push(made);
                (202, json!({ "droplet": answer }))
            }
            ("GET", ["droplets", id]) => match self.machines.iter().find(|m| m.id == number(id)) {
                Some(m) => (200, json!({ "droplet": self.droplet(m) })),
                None => (404, json!({ "id": "not_found" })),
            },
            ("DELETE", ["droplets", id]) => {
                let before = self.machines.len();
                self.machines.retain(|m| m.id != number(id));
                (
                    if self.machines.len() < before {
                        204
                    } else {
                        404
                    },
                    json!({}),
                )
            }
            ("POST", ["droplets", id, "actions"]) => {
                let action = self.number();
                let Some(m) = self.machines.iter_mut().find(|m| m.id == number(id)) else {
                    return (404, json!({}));
                };
                if m.change.is_some() {
                    return (
                        422,
                        json!({ "id": "unprocessable_entity", "message": "Droplet already has a pending event." }),
                    );
                }
                if body["type"] == "resize" && !m.is_off {
                    return (
                        422,
                        json!({ "id": "unprocessable_entity", "message": "Droplet is on." }),
                    );
                }
                let until = now + Duration::from_secs(8);
                m.change = Some((body.clone(), until));
                self.actions.insert(action, until);
                (
                    201,
                    json!({ "action": { "id": action, "status": "in-progress", "type": body["type"], "resource_id": number(id) } }),
                )
            }
            ("GET", ["actions", id]) => match self.actions.get(&number(id)) {
                Some(until) => (
                    200,
                    json!({ "action": {
                    "id": number(id), "status": if now >= *until { "completed" } else { "in-progress" }, "type": "x", "resource_id": 1
                } }),
                ),
                None => (404, json!({})),
            },
            ("GET", ["firewalls"]) => {
                let all: Vec<Value> = self
                    .firewalls
                    .iter()
                    .map(|(id, name)| firewall(id, name))
                    .collect();
                (200, json!({ "firewalls": all, "links": {} }))
            }
            ("POST", ["firewalls"]) => {
                let name = body["name"].as_str().unwrap_or_default().to_owned();
                if self.firewalls.values().any(|there| *there == name) {
                    return (
                        409,
                        json!({ "id": "conflict", "message": "duplicate name" }),
                    );
                }
                let id = format!("fw-{}", self.number());
                self.firewalls.insert(id.clone(), name.clone());
                (202, json!({ "firewall": firewall(&id, &name) }))
            }
            ("PUT", ["firewalls", id]) => (
                200,
                json!({ "firewall": firewall(id, body["name"].as_str().unwrap_or_default()) }),
            ),
            ("DELETE", ["firewalls", id]) => (
                if self.firewalls.remove(*id).is_some() {
                    204
                } else {
                    404
                },
                json!({}),
            ),
            ("POST" | "DELETE", ["tags", ..]) => (204, json!({ "tag": { "name": "x" } })),
            _ => (404, json!({})),
        }
    }

    fn droplet(&self, m: &Machine) -> Value {
        let is_up = self.now >= m.made_at + BOOT && !self.manners().never_boots;
        let v4 = if is_up {
            json!([{ "ip_address": m.address, "type": "public" }])
        } else {
            json!([])
        };
        let status = if !is_up {
            "new"
        } else if m.is_off {
            "off"
        } else {
            "active"
        };
        json!({
            "id": m.id, "name": m.name, "status": status, "locked": m.change.is_some(), "networks": { "v4": v4 },
            "region": { "slug": "fra1" }, "size_slug": m.size, "tags": m.tags, "created_at": "2027-01-15T08:00:00Z"
        })
    }

    fn read(&self, url: &str) -> (u16, Value) {
        let row = self
            .rows
            .values()
            .find(|row| url.contains(row["id"].as_str().unwrap_or("?")));
        let wide = row.map(|row| {
            json!({
                "id": row["id"], "status": row["status"], "public_ip_address": null, "dtma_port": 30000, "dtma_certificate_pem": null,
                "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null, "dtma_api_version": null,
                "dtma_last_known_version": null, "kind": "droplet", "name": row["name"], "description": null,
                "status_changed_at": "2027-01-15T08:00:00Z", "region_slug": "fra1", "size_slug": row["size_slug"],
                "image_slug": "x", "cost_before_usd": 0.0, "created_at": "2027-01-15T08:00:00Z", "updated_at": "2027-01-15T08:00:00Z"
            })
        });
        (200, json!(wide.into_iter().collect::<Vec<_>>()))
    }

    fn rpc(&mut self, name: &str, p: &Value) -> Value {
        let now = self.now.as_secs_f64();
        let id = p["toolbox_id"].as_str().unwrap_or_default().to_owned();
        match name {
            "order_toolbox" => {
                if let Some(row) = self
                    .rows
                    .values()
                    .find(|row| row["order_key"] == p["order_key"] && !p["order_key"].is_null())
                {
                    return json!({ "outcome": "ordered", "id": row["id"], "is_new": false });
                }
                let id = Uuid::from_u128(0xe000 + u128::from(self.number())).to_string();
                let row = json!({
                    "id": id, "name": p["name"], "status": "pending_provision", "lease": 0, "leased_until": 0.0, "step": "firewall",
                    "step_at": now, "due_at": now, "tries": 0, "problem": null, "error": null, "order_key": p["order_key"],
                    "region_slug": p["region_slug"], "size_slug": p["size_slug"], "image_slug": p["image_slug"],
                    "wanted_size_slug": null, "do_droplet_id": null, "do_droplet_name": null, "do_firewall_id": null,
                    "do_action_id": null, "public_ip_address": null, "asked_at": null, "heartbeat_at": null, "key_of": null, "enrolled_from": null
                });
                let Value::Object(row) = row else {
                    return Value::Null;
                };
                self.rows.insert(id.clone(), row);
                json!({ "outcome": "ordered", "id": id, "is_new": true })
            }
            "lease_toolboxes" => {
                let limit = usize::try_from(p["limit"].as_u64().unwrap_or(1)).unwrap_or(1);
                let due = |row: &&mut Map<String, Value>| {
                    row["due_at"].as_f64().is_some_and(|due| due <= now)
                        && row["leased_until"]
                            .as_f64()
                            .is_some_and(|until| until <= now)
                        && (p["toolbox_id"].is_null() || row["id"] == p["toolbox_id"])
                };
                let mut leased = Vec::new();
                for row in self.rows.values_mut().filter(due).take(limit) {
                    row["lease"] = json!(row["lease"].as_u64().unwrap_or(0) + 1);
                    row["leased_until"] = json!(now + p["lease_seconds"].as_f64().unwrap_or(0.0));
                    leased.push(for_worker(row, now));
                }
                json!({ "outcome": "leased", "toolboxes": leased })
            }
            "begin_toolbox_machine" => {
                let token = format!("tbe_{}", self.number());
                let Some(row) = self.rows.get_mut(&id).filter(|row| {
                    row["lease"] == p["lease"]
                        && row["step"] == "machine"
                        && row["leased_until"].as_f64() > Some(now)
                }) else {
                    return json!({ "outcome": "superseded" });
                };
                row["asked_at"] = json!(now);
                row["leased_until"] = json!(now + p["lease_seconds"].as_f64().unwrap_or(0.0));
                self.tokens.insert(token.clone(), id);
                json!({ "outcome": "begun", "token": token, "expires_at": "2027-01-15T09:00:00Z" })
            }
            "record_toolbox_step" => self.record(&id, p),
            "remove_toolbox" => {
                let is_mine = |row: &Map<String, Value>| {
                    row["lease"] == p["lease"] && row["step"] == "remove_firewall"
                };
                if !self.rows.get(&id).is_some_and(is_mine) {
                    return json!({ "outcome": "superseded" });
                }
                assert_eq!(
                    self.rows[&id]["do_droplet_id"],
                    Value::Null,
                    "a row goes while its droplet is known"
                );
                self.rows.remove(&id);
                self.removed.insert(id);
                json!({ "outcome": "removed" })
            }
            "ask_toolbox" => self.ask(&id, p),
            "sweep_toolboxes" => self.compare(p),
            "get_provider_list" => json!({ "outcome": "due" }),
            "put_provider_list" => json!({ "outcome": "kept" }),
            other => panic!("no function {other}"),
        }
    }

    fn ask(&mut self, id: &str, p: &Value) -> Value {
        let now = self.now;
        let Some(row) = self.rows.get_mut(id) else {
            return json!({ "outcome": "not_found" });
        };
        let is_leaving = row["status"]
            .as_str()
            .is_some_and(|s| s.contains("deprovision"));
        let is_in_use = row["status"] == "active" || row["status"] == "unresponsive";
        match p["change"].as_str() {
            Some("deprovision") if !is_leaving => move_to(row, "pending_deprovision", now),
            Some("retry") if row["status"] == "error_provisioning" && row["step"].is_null() => {
                move_to(row, "provisioning", now);
                row["error"] = Value::Null;
                row["problem"] = Value::Null;
                row["step"] = json!("firewall");
                row["step_at"] = json!(now.as_secs_f64());
            }
            Some("resize") if is_in_use && row["step"].is_null() => {
                row["step"] = json!("stop");
                row["step_at"] = json!(now.as_secs_f64());
                row["wanted_size_slug"] = p["size_slug"].clone();
                row["problem"] = Value::Null;
            }
            Some("reboot") if is_in_use && row["step"].is_null() => {
                row["step"] = json!("reboot");
                row["step_at"] = json!(now.as_secs_f64());
            }
            Some("rename") => row["name"] = p["name"].clone(),
            Some("look") => {}
            _ => return json!({ "outcome": "refused", "status": row["status"] }),
        }
        row["due_at"] = json!(now.as_secs_f64());
        json!({ "outcome": "accepted" })
    }

    fn record(&mut self, id: &str, p: &Value) -> Value {
        let now = self.now;
        let seconds = now.as_secs_f64();
        let Some(row) = self.rows.get_mut(id) else {
            return json!({ "outcome": "superseded" });
        };
        if row["lease"] != p["lease"] || row["step"] != p["from_step"] {
            if row["lease"] == p["lease"] {
                row["leased_until"] = json!(0.0);
            }
            return json!({ "outcome": "superseded" });
        }
        let is_other = p["to_step"] != p["from_step"];
        if is_other
            && p["to_step"]
                .as_str()
                .is_some_and(|step| step.starts_with("clean"))
        {
            self.tokens.retain(|_, of| of != id);
            row["key_of"] = Value::Null;
        }
        if is_other {
            row["step_at"] = json!(seconds);
        }
        row["step"] = p["to_step"].clone();
        row["problem"] = p["problem"].clone();
        row["due_at"] = p["due_in_seconds"]
            .as_f64()
            .map_or(Value::Null, |due| json!(seconds + due));
        let failures = row["tries"].as_u64().unwrap_or(0) + 1;
        row["tries"] = json!(if p["failed"] == true { failures } else { 0 });
        row["leased_until"] = json!(if p["keep"] == true {
            seconds + p["lease_seconds"].as_f64().unwrap_or(0.0)
        } else {
            0.0
        });
        for (column, value) in p["set"].as_object().into_iter().flatten() {
            if column == "machine_not_asked" {
                row["asked_at"] = Value::Null;
            } else {
                row[column.as_str()] = value.clone();
            }
        }
        if let Some(to) = p["to_status"].as_str() {
            move_to(row, to, now);
        }
        let has_reported = row["heartbeat_at"].as_f64() >= row["asked_at"].as_f64();
        if p["from_step"] == "boot" && p["to_step"] == "agent" && has_reported {
            move_to(row, "active", now);
        }
        row["error"] = if row["status"]
            .as_str()
            .is_some_and(|s| s.starts_with("error"))
        {
            row["problem"].clone()
        } else {
            Value::Null
        };
        if row["status"] == "active" && row["step"] == "agent" {
            row["step"] = Value::Null;
            row["due_at"] = json!(seconds + CHECK.as_secs_f64());
        }
        json!({ "outcome": "recorded", "toolbox": for_worker(row, seconds) })
    }

    fn compare(&mut self, p: &Value) -> Value {
        let listed: Vec<(u64, String)> = p["droplets"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|d| {
                (
                    d["droplet_id"].as_u64().unwrap_or(0),
                    d["toolbox_id"].as_str().unwrap_or("").to_owned(),
                )
            })
            .collect();
        let now = self.now.as_secs_f64();
        let mut adopted = Vec::new();
        for d in p["droplets"].as_array().into_iter().flatten() {
            let id = d["toolbox_id"].as_str().unwrap_or_default();
            let Some(row) = self.rows.get_mut(id).filter(|row| row["step"].is_null()) else {
                continue;
            };
            if d["address"] == row["enrolled_from"]
                && d["droplet_id"] != row["do_droplet_id"]
                && row["public_ip_address"] != row["enrolled_from"]
            {
                row["do_droplet_id"] = d["droplet_id"].clone();
                row["public_ip_address"] = d["address"].clone();
                row["due_at"] = json!(now);
                adopted.push(id.to_owned());
            }
        }
        let mut extra = Vec::new();
        for (droplet, toolbox) in &listed {
            let (why, is_ours) = match self.rows.get(toolbox) {
                Some(row) => {
                    let own = row["do_droplet_id"].as_u64();
                    let is_second = row["step"].is_null()
                        && own.is_some_and(|own| {
                            own != *droplet && listed.iter().any(|(d, _)| *d == own)
                        });
                    if !is_second {
                        continue;
                    }
                    ("second", true)
                }
                None if self.removed.contains(toolbox) => ("removed", true),
                None => ("unknown", false),
            };
            extra.push(json!({ "droplet_id": droplet, "toolbox_id": Some(toolbox).filter(|t| !t.is_empty()), "why": why, "is_ours": is_ours }));
        }
        let mut cleaned = Vec::new();
        let mut unseen = Vec::new();
        for (id, row) in &mut self.rows {
            if row["status"] == "error_provisioning"
                && row["step"].is_null()
                && listed.iter().any(|(_, t)| t == id)
            {
                row["step"] = json!("clean_machine");
                row["step_at"] = json!(now);
                row["due_at"] = json!(now);
                cleaned.push(id.clone());
            }
            let own = row["do_droplet_id"].as_u64();
            if row["step"].is_null() && own.is_some_and(|own| listed.iter().all(|(d, _)| *d != own))
            {
                row["due_at"] = json!(now);
                unseen.push(id.clone());
            }
        }
        let mut moved = Vec::new();
        for d in p["droplets"].as_array().into_iter().flatten() {
            for (id, row) in &mut self.rows {
                if row["do_droplet_id"] == d["droplet_id"]
                    && row["public_ip_address"] != d["address"]
                {
                    row["due_at"] = json!(now);
                    moved.push(id.clone());
                }
            }
        }
        json!({ "outcome": "swept", "adopted": adopted, "droplets": extra, "cleaned": cleaned, "unseen": unseen, "moved": moved })
    }

    pub(crate) fn behave(&mut self, manners: Manners) {
        self.manners = Some(manners);
    }

    /// A user is deleted: their rows lose their owner, and the guard moves them.
    pub(crate) fn delete_user(&mut self) {
        let now = self.now;
        for row in self.rows.values_mut() {
            move_to(row, "pending_deprovision", now);
        }
    }
}

/// The guard: legal transitions only, and what comes with them.
fn move_to(row: &mut Map<String, Value>, to: &str, now: Duration) {
    let status = |text: &str| text.parse::<EnvironmentStatus>().ok();
    let from = row["status"].as_str().and_then(status);
    let (Some(from), Some(next)) = (from, status(to)) else {
        return;
    };
    if !environment_can_transition(from, next) {
        return;
    }
    row["status"] = json!(to);
    let seconds = json!(now.as_secs_f64());
    if to == "pending_deprovision" {
        row["step"] = json!("remove_machine");
        row["step_at"] = seconds.clone();
        row["due_at"] = seconds;
        row["problem"] = Value::Null;
        row["tries"] = json!(0);
        row["order_key"] = Value::Null;
        row["wanted_size_slug"] = Value::Null;
        row["do_action_id"] = Value::Null;
    } else if to == "active" && row["step"] == "agent" {
        row["step"] = Value::Null;
        row["due_at"] = json!(now.as_secs_f64() + CHECK.as_secs_f64());
    }
}

fn for_worker(row: &Map<String, Value>, now: f64) -> Value {
    let age = |name: &str| row[name].as_f64().map(|at| now - at);
    let mut told = row.clone();
    told.insert("step_age_seconds".to_owned(), json!(age("step_at")));
    told.insert(
        "machine_asked_age_seconds".to_owned(),
        json!(age("asked_at")),
    );
    told.insert(
        "heartbeat_age_seconds".to_owned(),
        json!(age("heartbeat_at")),
    );
    told.insert(
        "due_in_seconds".to_owned(),
        json!(age("due_at").map(|age| -age)),
    );
    Value::Object(told)
}

fn firewall(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "tags": [name], "droplet_ids": [], "inbound_rules": [], "outbound_rules": [] })
}
