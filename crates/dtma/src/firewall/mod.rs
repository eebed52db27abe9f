//! Keeps containers of this toolbox away from the machine itself.
//!
//! The agent owns one table of nftables, `toolbox_` and the start of the toolbox's id, and no other rule. Its rules count for
//! packets from bridges of the toolbox ([`crate::runtime::networks`]), also from those that are made later. They count for the
//! bridge that all tools shared before, too, while it is there. No packet may go to a link-local address, and none to an address of
//! the machine's own but for the exceptions that specs name.
//!
//! One task, [`run`], looks every ten seconds whether the table is as it should be, and puts it back. What it puts there it
//! has checked by a container that tries to break the rules. Instances tell their exceptions through [`Firewall::set`].

pub mod netlink;
pub mod probe;
pub mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use toolbox_api::dtma::{FirewallState, HostFirewall};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::spec::HostAccess;

use crate::instances::{stopped, view};
use crate::record::{Record, short_id};
use crate::runtime::{ContainerRuntime, RuntimeError, networks};
use crate::telemetry::Telemetry;
use rules::Exceptions;

/// How often the table is looked at.
const PERIOD: Duration = Duration::from_secs(10);
/// How soon it is tried again, unless the container was refused: what kept it from trying, or let it through, may be mended.
const PROBE_AGAIN: Duration = Duration::from_mins(1);

/// The rules of one toolbox.
pub struct Firewall {
    toolbox: ToolboxId,
    own_port: u16,
    /// What tools never reach, whatever their specs name: the ports of the agent, its companion, sshd and Docker.
    closed: BTreeSet<u16>,
    table: String,
    wanted: Mutex<Wanted>,
    state: watch::Sender<HostFirewall>,
    telemetry: Arc<Telemetry>,
}

#[derive(Default)]
struct Wanted {
    exceptions: BTreeMap<ToolInstanceId, BTreeSet<HostAccess>>,
    /// What the probe may reach, while it runs.
    of_probe: Option<Exceptions>,
    /// The bridges that tools of an earlier agent share; none before Docker was asked.
    former: Option<Vec<String>>,
    /// The kernel does not have them all yet.
    changed: bool,
}

/// What a look at the table did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// It is as it should be.
    AsItWas,
    /// It was not there, or not as the agent had left it.
    PutBack,
}

impl Firewall {
    /// The rules of `toolbox`, whose agent listens on `own_port`. No exception leads there, nor to a port in `closed`.
    pub fn new(
        toolbox: ToolboxId,
        own_port: u16,
        closed: BTreeSet<u16>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let state = HostFirewall {
            state: FirewallState::Unverified,
            detail: Some("the rules are not set yet".to_owned()),
            since: view::text(OffsetDateTime::now_utc()),
        };
        Self {
            toolbox,
            own_port,
            closed,
            table: table(toolbox),
            wanted: Mutex::default(),
            state: watch::channel(state).0,
            telemetry,
        }
    }

    /// How it is, now and later.
    pub fn state(&self) -> watch::Receiver<HostFirewall> {
        self.state.subscribe()
    }

    /// The exceptions of an instance are those of `record` from now on; none when it is gone.
    pub async fn set(&self, id: ToolInstanceId, record: Option<&Record>) {
        let releases = record
            .into_iter()
            .flat_map(|r| std::iter::once(&r.current).chain(&r.next));
        let access: BTreeSet<_> = releases
            .flat_map(|r| r.spec.host_access().iter().copied())
            .collect();
        let mut wanted = self.wanted.lock().await;
        let before = if access.is_empty() {
            wanted.exceptions.remove(&id)
        } else {
            wanted.exceptions.insert(id, access.clone())
        };
        wanted.changed |= before.unwrap_or_default() != access;
    }

    /// The kernel has what [`Firewall::set`] was told, if it takes rules at all.
    pub async fn settled(&self) {
        let mut wanted = self.wanted.lock().await;
        if wanted.changed
            && let Err(error) = self.write(&mut wanted).await
        {
            self.unavailable(&error);
        }
    }

    /// Asks Docker for the bridge that tools of an earlier agent share. Once it is gone nobody makes it again.
    async fn find_former(&self, runtime: &dyn ContainerRuntime) -> Result<(), RuntimeError> {
        let is_gone = |wanted: &Wanted| wanted.former.as_ref().is_some_and(Vec::is_empty);
        if is_gone(&*self.wanted.lock().await) {
            return Ok(());
        }
        let found = runtime.former_bridges().await?;
        let mut wanted = self.wanted.lock().await;
        let found = Some(found);
        wanted.changed |= wanted.former != found;
        wanted.former = found;
        Ok(())
    }

    /// The same as [`Firewall::settled`], before a container is made. Nobody may have asked Docker for the former bridge yet,
    /// without which the rules are not written.
    pub async fn ready(&self, runtime: &dyn ContainerRuntime) {
        if self.wanted.lock().await.former.is_none() {
            self.look_for_former(runtime).await;
        }
        self.settled().await;
    }

    async fn look_for_former(&self, runtime: &dyn ContainerRuntime) {
        if let Err(error) = self.find_former(runtime).await {
            tracing::debug!(%error, "it is not known whether tools share a network still");
        }
    }

    /// Looks at the table, and writes it anew unless it is as it should be.
    async fn keep(&self) -> io::Result<Kept> {
        let mut wanted = self.wanted.lock().await;
        if wanted.changed {
            self.write(&mut wanted).await?;
            return Ok(Kept::AsItWas);
        }
        let expected: Vec<_> = self.rules(&wanted).into_iter().map(|r| r.comment).collect();
        let held = self.held().await?;
        if held == expected || wanted.former.is_none() && !held.is_empty() {
            return Ok(Kept::AsItWas);
        }
        self.write(&mut wanted).await?;
        Ok(Kept::PutBack)
    }

    /// The comments of the rules that the kernel has.
    async fn held(&self) -> io::Result<Vec<String>> {
        let table = self.table.clone();
        blocking(move || netlink::comments(&table)).await
    }

    /// Leaves a table that is there alone as long as it is not known whether it names a bridge that tools share.
    async fn write(&self, wanted: &mut Wanted) -> io::Result<()> {
        if wanted.former.is_none() && !self.held().await?.is_empty() {
            return Ok(());
        }
        let (table, rules) = (self.table.clone(), self.rules(wanted));
        blocking(move || netlink::replace(&table, &rules)).await?;
        wanted.changed = false;
        Ok(())
    }

    fn rules(&self, wanted: &Wanted) -> Vec<rules::Rule> {
        let exceptions = wanted.exceptions.iter().map(|(id, access)| Exceptions {
            bridge: networks::bridge(self.toolbox, &networks::of_instance(self.toolbox, *id)),
            access: access.clone(),
        });
        let exceptions: Vec<_> = exceptions.chain(wanted.of_probe.clone()).collect();
        let prefix = networks::bridge_prefix(self.toolbox);
        let former = wanted.former.as_deref().unwrap_or_default();
        rules::rules(&prefix, former, &self.closed, &exceptions)
    }

    fn unavailable(&self, error: &io::Error) {
        self.show(FirewallState::Unavailable, Some(why_unavailable(error)));
    }

    fn is_unavailable(&self) -> bool {
        self.state.borrow().state == FirewallState::Unavailable
    }

    fn show(&self, state: FirewallState, detail: Option<String>) {
        self.telemetry.firewall(state);
        self.state.send_if_modified(|shown| {
            if (shown.state, &shown.detail) == (state, &detail) {
                return false;
            }
            let told = detail.as_deref().unwrap_or_default();
            match state {
                FirewallState::Verified => tracing::info!(
                    "containers are kept away from the machine; a container that tried was refused"
                ),
                FirewallState::Ineffective => {
                    tracing::error!(detail = told, "containers reach the machine");
                }
                FirewallState::Unverified | FirewallState::Unavailable => {
                    tracing::warn!(
                        state = state.as_str(),
                        detail = told,
                        "it is not known that containers are kept away from the machine"
                    );
                }
            }
            *shown = HostFirewall {
                state,
                detail,
                since: view::text(OffsetDateTime::now_utc()),
            };
            true
        });
    }

    /// Lets a container try, and shows what came of it; whether it was refused.
    async fn verify(&self, runtime: &dyn ContainerRuntime) -> bool {
        match self.probe(runtime).await {
            Ok((state, detail)) => {
                self.show(state, detail);
                state == FirewallState::Verified
            }
            Err(why) => {
                let detail = format!("the rules are set, but no container could try them: {why}");
                self.show(FirewallState::Unverified, Some(detail));
                false
            }
        }
    }
}

/// The table of a toolbox.
pub fn table(toolbox: ToolboxId) -> String {
    format!("toolbox_{}", short_id(toolbox))
}

/// Keeps the table until the shutdown signal. It stays behind, because the containers do.
pub async fn run(
    firewall: Arc<Firewall>,
    runtime: Arc<dyn ContainerRuntime>,
    mut shutdown: watch::Receiver<bool>,
) {
    let keeping = async {
        let mut probe_at = None;
        let mut is_first = true;
        loop {
            // The rules are for its bridge, too, so it is asked for before they are written.
            firewall.look_for_former(&*runtime).await;
            match firewall.keep().await {
                Ok(Kept::AsItWas) => {
                    if is_first || firewall.is_unavailable() {
                        probe_at = Some(Instant::now());
                    }
                }
                Ok(Kept::PutBack) => {
                    if !is_first {
                        tracing::warn!(
                            table = firewall.table,
                            "somebody changed the rules that keep containers away from the machine; they were put back"
                        );
                    }
                    probe_at = Some(Instant::now());
                }
                Err(error) => {
                    firewall.unavailable(&error);
                    // What was verified holds no longer.
                    probe_at = None;
                }
            }
            is_first = false;
            if probe_at.is_some_and(|at| at <= Instant::now()) {
                let verified = firewall.verify(&*runtime).await;
                probe_at = (!verified).then(|| Instant::now() + PROBE_AGAIN);
            }
            tokio::time::sleep(PERIOD).await;
        }
    };
    tokio::select! {
        () = keeping => {}
        () = stopped(&mut shutdown) => {}
    }
}

fn why_unavailable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "the agent may not set rules: start it with the capability NET_ADMIN, in the machine's own network".to_owned()
        }
        _ => format!("the kernel takes no rules of nftables: {error}"),
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(call)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
