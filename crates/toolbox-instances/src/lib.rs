//! What is done with the tool instances of a toolbox. There are no routes here and nothing of JavaScript: an edge
//! function or a server parses a request, calls one of the methods of [`Instances`], and turns the result into an answer.
//!
//! - [`find`]: the toolbox and the instance that a request names.
//! - `list` and [`logs`]: reads. `mcp`: how an MCP client reaches an instance, and who may; [`connect`]: what hosts of clients
//!   are told; `mcp_pin`: which tools of its server its owner accepted.
//! - `versions`: what was asked for before, and the way back to it, which is an update.
//! - [`deploy`], [`change`] and `update`: the three ways to change an instance. All of them take these steps:
//!   1. `begin`: the domain says which status to write. The database accepts it (compare-and-set, one operation per
//!      instance, idempotency) and gives out a generation and a lease.
//!   2. `dispatch`: the command is sent to the agent, with retries. A start re-creates what the agent has lost.
//!   3. `settle`: what is certain is recorded before the answer. What is not settled yet is answered as accepted, and a
//!      follower observes its end after the answer.
//! - `observation`: what agents show, in the words of the domain. `record`: how it becomes rows. `view`: what callers see of it.
//! - `spec`: from catalog entry and overrides to a validated spec.
//! - [`secrets`]: the secrets of the database sealed anew after a rotation of the root secret.
//! - [`receipts`]: what is kept of ended operations so that nobody can change it unseen.
//! - [`rollouts`]: the agents of many toolboxes replaced in waves.
//! - [`agent`]: how an agent is called. [`reach`]: where it is and which key it takes. [`ways`]: the agent, else the companion
//!   beside it. [`last_resort`]: SSH, where it cannot be reached.
//!
//! What the database says when the agent could not do it:
//! - The command certainly changed nothing (refused, rejected, wrong certificate and so on). The operation is failed with
//!   its reason. The status goes back to what it was, because what ran still runs. A new instance has no such status: it
//!   is in `error`. So is one that could not be deleted; its row stays, so that no container is left without one.
//! - The command may have arrived (no answer in time, connection lost). The operation stays in progress until its lease
//!   ends. The follower, or the next read that sees a settled view of the new generation, closes it with what happened.

pub mod agent;
mod begin;
pub mod change;
pub mod connect;
pub mod deploy;
mod dispatch;
pub mod find;
pub mod last_resort;
mod list;
pub mod logs;
mod mcp;
pub mod mcp_pin;
mod observation;
pub mod reach;
pub mod receipts;
mod record;
pub mod rollouts;
pub mod secrets;
mod settle;
mod spec;
#[cfg(all(any(test, feature = "testing"), not(target_arch = "wasm32")))]
pub mod testing;
mod update;
mod versions;
mod view;
pub mod ways;

#[cfg(test)]
mod change_tests;
#[cfg(test)]
mod deploy_tests;
#[cfg(test)]
mod dispatch_tests;
#[cfg(test)]
mod last_resort_tests;
#[cfg(test)]
mod list_tests;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
mod test_world;
#[cfg(test)]
mod update_tests;

use std::sync::Arc;
use std::time::Duration;

use toolbox_api::error::ApiError;
use toolbox_api::moment::Moment;
use toolbox_clients::supabase::Supabase;
use toolbox_domain::ids::UserId;
use toolbox_http::{BoxFuture, Clock, ThreadSafe};

use crate::agent::Agents;
use crate::last_resort::LastResort;

pub use list::{Found, Listing};
pub use logs::Lines;
pub use mcp::{GivenAccess, McpAccess};
pub use record::{Reports, record_reports};
pub use settle::{Outcome, Progress};
pub use versions::Versions;

/// The use cases, and what they need from the program that runs them.
#[derive(Clone)]
pub struct Instances {
    /// The database.
    pub database: Arc<Supabase>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The way to the agents.
    pub agents: Arc<dyn Agents>,
    /// The way to machines whose agent cannot be reached, where there is one.
    pub last_resort: Option<Arc<dyn LastResort>>,
    /// The program itself.
    pub host: Arc<dyn Host>,
}

/// What the use cases need from the program beside calls and time.
pub trait Host: ThreadSafe {
    /// Random bytes fit for ids and nonces.
    fn random_bytes(&self) -> [u8; 16];

    /// Runs work that goes on after the answer.
    fn background(&self, work: BoxFuture<'static, ()>);

    /// Logs a failure that does not become the answer of the request.
    fn log(&self, request_id: &str, what: &str, error: &ApiError);
}

/// One request of a signed-in user.
#[derive(Clone)]
pub struct UserRequest {
    /// The request's id.
    pub id: Arc<str>,
    /// The user.
    pub user: UserId,
    /// Their access token, verified. The database reads with it.
    pub token: Arc<str>,
    /// Given when repeating the request must not repeat what it does.
    pub idempotency: Option<Idempotency>,
    /// How long the answer may wait for the end of a change.
    pub wait: Option<Duration>,
}

/// A key of the caller, and what it was given for.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// A keyed hash of the request, so that the key counts for this request only.
    pub fingerprint: String,
    /// The same with the root secret before, while there is one: a request may be repeated across its replacement.
    pub former_fingerprint: Option<String>,
}

impl Instances {
    fn moment(&self) -> Moment {
        Moment::at(self.clock.now())
    }
}
