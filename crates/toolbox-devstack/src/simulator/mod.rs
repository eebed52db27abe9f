//! A simulator of DigitalOcean's API, for tests and for the local stack. It is the only part of the project that stands in
//! for something else, and it says so: everything beside DigitalOcean's own routes is under `/simulator`.
//!
//! [`account`] has DigitalOcean's rules, [`routes`] its paths, [`wire`] its forms, [`machines`] what a droplet runs on.
//! Orders and actions are answered at once and carried out by a task each, as at DigitalOcean. Lists are a moment behind.
//! Firewalls are kept and listed, but filter nothing.
//!
//! With the same token, tests use:
//! - `GET`, `PUT /simulator/faults`: failures to come, as [`faults::Fault`] describes them; those that are left.
//! - `PUT /simulator/settings`: `list_lag_ms`, `boot_ms`, `requests_per_hour`.
//! - `GET /simulator/requests`: what was asked, oldest first: method, path, status.
//! - `GET /simulator/droplets`: every droplet as it is, with its user data and keys.
//! - `PUT /simulator/droplets/{id}/address`: the droplet has another address from now on.

mod account;
mod catalog;
mod containers;
mod faults;
mod machines;
mod rate;
mod routes;
mod wire;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::config::DigitalOceanArgs;
use crate::error::StackError;
use crate::progress::{answer, say};
use crate::secrets::random_hex;
use crate::signals::StopSignals;
use account::{Account, Droplet, Order, Refusal, Status, What};
pub(crate) use containers::{Containers, End, clear};
use faults::{Fault, MachineFault};
use machines::Addresses;
pub(crate) use machines::Machines;
use rate::Rate;

/// How long things take, and how far lists are behind, unless somebody says otherwise, in milliseconds.
pub(crate) const DELAY_MS: u64 = 300;
/// Requests that the real DigitalOcean takes in an hour.
pub(crate) const REQUESTS_PER_HOUR: u32 = 5000;
/// Requests that are remembered for tests.
const REQUESTS_KEPT: usize = 10_000;

/// What a test can change while the simulator runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How far lists of droplets are behind.
    pub(crate) list_lag: Duration,
    /// How long an order or an action takes beside what its machine takes.
    pub(crate) boot: Duration,
    pub(crate) requests_per_hour: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            list_lag: Duration::from_millis(DELAY_MS),
            boot: Duration::from_millis(DELAY_MS),
            requests_per_hour: REQUESTS_PER_HOUR,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    list_lag_ms: Option<u64>,
    boot_ms: Option<u64>,
    requests_per_hour: Option<u32>,
}

/// One request that was made.
#[derive(Clone, Debug, Serialize)]
struct Asked {
    method: String,
    path: String,
    status: u16,
}

/// The simulator: the account, and what its machines are.
pub(crate) struct Simulator {
    token: String,
    account: Mutex<Account>,
    boot: Mutex<Duration>,
    rate: Mutex<Rate>,
    faults: Mutex<Vec<Fault>>,
    asked: Mutex<VecDeque<Asked>>,
    machines: Machines,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time since the Unix epoch.
fn now() -> Duration {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default()
}

impl Simulator {
    /// A simulator whose account knows the droplets that are there from an earlier run.
    pub(crate) async fn new(token: String, settings: Settings, machines: Machines) -> Arc<Self> {
        let mut account = Account::new(now(), settings.list_lag);
        if let Machines::Containers(containers) = &machines {
            for kept in containers.found().await {
                account.restore(kept);
            }
        }
        Arc::new(Self {
            token,
            account: Mutex::new(account),
            boot: Mutex::new(settings.boot),
            rate: Mutex::new(Rate::new(settings.requests_per_hour)),
            faults: Mutex::default(),
            asked: Mutex::default(),
            machines,
        })
    }

    /// Ends what droplets run on.
    pub(crate) async fn end(&self, how: End) {
        if let Machines::Containers(containers) = &self.machines {
            containers.end(how).await;
        }
    }

    /// What a caller has to present.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// DigitalOcean's routes, and the simulator's own.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        routes::router(Arc::clone(self))
    }

    /// Takes an order, and begins to make the droplet.
    fn order(
        self: &Arc<Self>,
        order: Order,
        fault: Option<MachineFault>,
    ) -> Result<(Droplet, u64), Refusal> {
        let (droplet, action) = lock(&self.account).order(order, now())?;
        if fault != Some(MachineFault::NeverActive) {
            let (simulator, droplet) = (Arc::clone(self), droplet.clone());
            tokio::spawn(async move { simulator.make(droplet, action, fault).await });
        }
        Ok((droplet, action))
    }

    async fn make(&self, droplet: Droplet, action: u64, fault: Option<MachineFault>) {
        let id = droplet.id;
        let made = match fault {
            Some(MachineFault::NeverBoots) => Ok(self.machines.free_address()),
            _ => self.machines.make(&droplet).await,
        };
        let change = self.outcome("create", id, made).await.map(|address| {
            move |droplet: &mut Droplet| {
                droplet.address = Some(address);
                droplet.status = Status::Active;
            }
        });
        if !lock(&self.account).finish(id, action, now(), change) {
            self.machines.remove(id).await;
        }
    }

    /// Waits as long as an order or an action takes; what it gave. A failure is said here: DigitalOcean tells no reason.
    async fn outcome<T>(&self, what: &str, id: u64, done: Result<T, StackError>) -> Option<T> {
        let boot = *lock(&self.boot);
        sleep(boot).await;
        done.map_err(|error| {
            let error = crate::error::chain(&error);
            say(format_args!(
                "simulator: {what} of droplet {id} failed: {error}"
            ));
        })
        .ok()
    }

    /// Begins an action; its number.
    fn act(self: &Arc<Self>, id: u64, what: What) -> Result<u64, Refusal> {
        let action = lock(&self.account).act(id, &what, now())?;
        let simulator = Arc::clone(self);
        tokio::spawn(async move {
            let done = simulator.machines.act(id, &what).await;
            let change = simulator.outcome(what.name(), id, done).await;
            let change = change.map(|()| move |droplet: &mut Droplet| apply(droplet, what));
            lock(&simulator.account).finish(id, action, now(), change);
        });
        Ok(action)
    }

    /// Removes a droplet, then its machine.
    fn delete(self: &Arc<Self>, id: u64) -> Result<(), Refusal> {
        lock(&self.account).delete_droplet(id, now())?;
        let simulator = Arc::clone(self);
        tokio::spawn(async move { simulator.machines.remove(id).await });
        Ok(())
    }

    fn change(&self, changes: &Changes) {
        if let Some(lag) = changes.list_lag_ms {
            lock(&self.account).list_lag = Duration::from_millis(lag);
        }
        if let Some(boot) = changes.boot_ms {
            *lock(&self.boot) = Duration::from_millis(boot);
        }
        if let Some(requests) = changes.requests_per_hour {
            *lock(&self.rate) = Rate::new(requests);
        }
    }

    fn remember(&self, asked: Asked) {
        let mut all = lock(&self.asked);
        if all.len() == REQUESTS_KEPT {
            all.pop_front();
        }
        all.push_back(asked);
    }
}

/// What an action that is done has changed.
fn apply(droplet: &mut Droplet, what: What) {
    match what {
        What::Reboot | What::PowerCycle | What::PowerOn => droplet.status = Status::Active,
        What::Shutdown | What::PowerOff => droplet.status = Status::Off,
        What::Resize { size, disk } => droplet.resize(&size, disk),
        What::Rename { name } => droplet.name = name,
    }
}

/// `digitalocean`: a simulator by itself, until Ctrl-C.
pub(crate) async fn alone(args: &DigitalOceanArgs) -> Result<(), StackError> {
    let mut stop = StopSignals::new(args.die_with_stdin)?;
    let token = match &args.token {
        Some(token) => token.clone(),
        None => format!("dop_v1_{}", random_hex(32)?),
    };
    let machines = if args.stub {
        Machines::Stubs(Addresses::new(args.network, 1))
    } else {
        let search = &args.host.path;
        containers::sweep(search).await;
        let folder = std::env::temp_dir().join(format!("toolbox-droplets-{}", random_hex(6)?));
        let cache = args.host.cache()?.unwrap_or_else(std::env::temp_dir);
        let owner = containers::alone();
        let opened = Containers::open(search, &owner, folder, &cache, None, Vec::new(), &[]).await;
        Machines::Containers(opened?)
    };
    let simulator = Simulator::new(token.clone(), args.settings(), machines).await;
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(StackError::file("listen on", args.listen.to_string()))?;
    let address: SocketAddr = listener
        .local_addr()
        .map_err(StackError::file("read the address of", "the simulator"))?;
    crate::up::serve(listener, simulator.router());
    let url = format!("http://{address}");
    if args.json {
        answer(json!({ "url": url, "token": token }));
    } else {
        answer(format_args!(
            "A simulator of DigitalOcean's API is at {url}. Its token is {token}. Ctrl-C stops it."
        ));
    }
    stop.wait().await;
    simulator.end(End::Remove).await;
    Ok(())
}
