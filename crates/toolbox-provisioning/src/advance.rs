//! The steps are taken: look, one action, write.

use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::digitalocean::{
    ActionId, ActionStatus, Attempt, DigitalOceanError, Droplet, DropletAction, DropletId,
    DropletStatus, FirewallId, FirewallRule, NewDroplet, NewFirewall, Protocol,
};
use toolbox_clients::supabase::provisioning::{LeasedToolbox, RecordStep};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::lifecycle::EnvironmentStatus;
use toolbox_domain::provisioning::{
    Act, ActionState, Change, Done, Failure, Look, Machine, Next, Power, Record, Seen, Set, Step,
    TAG, TOKEN_TTL, Toolbox, Write, after, droplet_name, look, look_failed, next, tag_of,
};
use toolbox_http::within;

use crate::Provisioning;
use crate::user_data::user_data;

/// How long a toolbox is a worker's: longer than a look and an action together, so that nobody else works on it meanwhile.
/// When a worker dies, another goes on after this.
const LEASE: Duration = Duration::from_secs(90);
/// Longest time for the looks of a step.
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// Longest time for the action of a step. It ends before the lease does.
const ACT_LIMIT: Duration = Duration::from_secs(40);
/// So long a worker waits for the next step at most: that step ends within the lease.
const LONGEST_PAUSE: Duration = Duration::from_secs(25);
/// What the looks and the action of a step get at least, however little is left of the budget: one that is cut off sooner
/// only leaves doubt. So a worker ends within its budget and 35 s.
const LEAST_LOOK: Duration = Duration::from_secs(10);
const LEAST_ACT: Duration = Duration::from_secs(25);
/// Most steps of one toolbox at a time; a whole provisioning has fewer than this.
const MOST_STEPS: u32 = 100;

/// What became of a toolbox that was to be advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advanced {
    /// Nothing was due, or somebody else works on it.
    NotDue,
    /// So many steps were taken.
    Steps(u32),
    /// Nothing is left of it.
    Removed,
}

impl Provisioning<'_> {
    /// Takes the steps of a toolbox that are due, or will be within `budget`. `holder` names the worker, for operators.
    pub async fn advance(
        &self,
        toolbox: ToolboxId,
        holder: &str,
        budget: Duration,
    ) -> Result<Advanced, ApiError> {
        let until = self.clock.now() + budget;
        let leased = self
            .supabase
            .lease_toolboxes(holder, Some(toolbox), 1, LEASE.as_secs())
            .await?;
        match leased.into_iter().next() {
            Some(row) => self.work(row, until).await,
            None => Ok(Advanced::NotDue),
        }
    }

    /// Takes the steps of toolboxes that are due, of `limit` toolboxes at most. How many steps that were. A toolbox whose row
    /// could not be written is due again when its lease ends; the first such failure is the error when nothing else was done.
    pub async fn advance_due(
        &self,
        holder: &str,
        limit: u32,
        budget: Duration,
    ) -> Result<u32, ApiError> {
        let until = self.clock.now() + budget;
        let leased = self
            .supabase
            .lease_toolboxes(holder, None, limit, LEASE.as_secs())
            .await?;
        let ends = join_all(leased.into_iter().map(|row| self.work(row, until))).await;
        let mut steps = 0;
        let mut failed = None;
        for end in ends {
            match end {
                Ok(Advanced::Steps(taken)) => steps += taken,
                Ok(Advanced::Removed) => steps += 1,
                Ok(Advanced::NotDue) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if steps == 0 => Err(error),
            _ => Ok(steps),
        }
    }

    /// Takes steps of a toolbox that is this worker's, as long as the next one is due before `until`.
    async fn work(&self, row: LeasedToolbox, until: Duration) -> Result<Advanced, ApiError> {
        let mut row = row;
        for taken in 1..=MOST_STEPS {
            let toolbox = read(&row)?;
            let Some(write) = self.step(&row, &toolbox, until).await? else {
                return Ok(Advanced::Steps(taken));
            };
            let record = match write {
                Write::RemoveRow => {
                    self.supabase.remove_toolbox(row.id, row.lease).await?;
                    return Ok(Advanced::Removed);
                }
                Write::Record(record) => record,
            };
            let left = until.saturating_sub(self.clock.now());
            let pause = record
                .due
                .filter(|due| *due <= left.min(LONGEST_PAUSE) && taken < MOST_STEPS)
                .filter(|_| !left.is_zero());
            let Some(now) = self
                .record(&row, &toolbox, &record, pause.is_some())
                .await?
            else {
                return Ok(Advanced::Steps(taken));
            };
            let Some(pause) = pause else {
                return Ok(Advanced::Steps(taken));
            };
            if !pause.is_zero() {
                self.clock.sleep(pause).await;
            }
            row = now;
        }
        Ok(Advanced::Steps(MOST_STEPS))
    }

    /// Looks, and does the one action that follows; what is to be written. None: the toolbox is another's by now.
    async fn step(
        &self,
        row: &LeasedToolbox,
        toolbox: &Toolbox,
        until: Duration,
    ) -> Result<Option<Write>, ApiError> {
        let left = || until.saturating_sub(self.clock.now());
        let limit = left().clamp(LEAST_LOOK, LOOK_LIMIT);
        let seen = match within(self.clock, limit, self.see(toolbox)).await {
            Some(Ok(seen)) => seen,
            Some(Err(error)) => return Ok(Some(look_failed(toolbox, &failure(&error)))),
            None => return Ok(Some(look_failed(toolbox, &too_slow()))),
        };
        let act = match next(toolbox, &seen) {
            Next::Write(write) => return Ok(Some(write)),
            Next::Act(act) => act,
        };
        let token = if matches!(act, Act::CreateMachine { .. }) {
            // From here on the row says that a droplet may exist.
            let begun = self
                .supabase
                .begin_toolbox_machine(row.id, row.lease, LEASE.as_secs(), TOKEN_TTL.as_secs())
                .await?;
            match begun {
                Some(token) => Some(token.token),
                None => return Ok(None),
            }
        } else {
            None
        };
        let limit = left().clamp(LEAST_ACT, ACT_LIMIT);
        let done = match within(
            self.clock,
            limit,
            self.act(row, toolbox, &act, token.as_deref()),
        )
        .await
        {
            Some(Ok(done)) => Ok(done),
            Some(Err(error)) => Err(failure(&error)),
            None => Err(too_slow()),
        };
        Ok(Some(after(toolbox, &act, done)))
    }

    async fn see(&self, toolbox: &Toolbox) -> Result<Seen, DigitalOceanError> {
        let look = look(toolbox);
        let mut seen = Seen::default();
        if look == Look::Nothing {
            return Ok(seen);
        }
        if let Some(id) = toolbox.droplet
            && let Some(droplet) = self.digitalocean.droplet(DropletId(id)).await?
        {
            seen.machines.push(machine(&droplet));
        }
        if look == Look::All || seen.machines.is_empty() {
            for droplet in self
                .digitalocean
                .droplets_by_tag(&tag_of(toolbox.id))
                .await?
            {
                if seen.machines.iter().all(|known| known.id != droplet.id.0) {
                    seen.machines.push(machine(&droplet));
                }
            }
        }
        if let Some(id) = toolbox.action {
            let action = self.digitalocean.action(ActionId(id)).await?;
            // One that DigitalOcean has forgotten is long over.
            seen.action = Some(match action.map(|action| action.status) {
                None | Some(ActionStatus::Completed) => ActionState::Done,
                Some(ActionStatus::InProgress | ActionStatus::Unknown) => ActionState::Working,
                Some(ActionStatus::Errored) => ActionState::Failed,
            });
        }
        Ok(seen)
    }

    async fn act(
        &self,
        row: &LeasedToolbox,
        toolbox: &Toolbox,
        act: &Act,
        token: Option<&str>,
    ) -> Result<Done, DigitalOceanError> {
        let digitalocean = self.digitalocean;
        let tag = tag_of(toolbox.id);
        match act {
            Act::EnsureFirewall => {
                let firewall = digitalocean.ensure_firewall(&firewall(&tag)).await?;
                Ok(Done::Firewall(firewall.id.0))
            }
            Act::CreateMachine { again } => {
                let text = |value: &Option<String>| value.clone().unwrap_or_default();
                let new = NewDroplet {
                    name: droplet_name(&toolbox.name, toolbox.id),
                    tag,
                    tags: vec![TAG.to_owned()],
                    region: text(&row.region_slug),
                    size: toolbox.size.clone(),
                    image: text(&row.image_slug),
                    ssh_keys: self.settings.ssh_keys.clone(),
                    user_data: user_data(toolbox.id, token.unwrap_or_default(), self.settings),
                };
                let attempt = if *again {
                    Attempt::Again
                } else {
                    Attempt::First
                };
                let droplet = digitalocean.ensure_droplet(&new, attempt).await?;
                Ok(Done::Machine(machine(&droplet)))
            }
            Act::DeleteMachine(id) => {
                digitalocean.delete_droplet(DropletId(*id)).await?;
                Ok(Done::Nothing)
            }
            Act::DeleteFirewall => {
                // By its name where there is no number: that it was made may never have been written.
                let firewall = match &toolbox.firewall {
                    Some(id) => Some(FirewallId(id.clone())),
                    None => digitalocean.firewall_by_name(&tag).await?.map(|f| f.id),
                };
                if let Some(firewall) = firewall {
                    digitalocean.delete_firewall(&firewall).await?;
                }
                // By the tag a sweep finds what is left, whatever was seen before.
                if digitalocean.droplets_by_tag(&tag).await?.is_empty() {
                    digitalocean.delete_tag(&tag).await?;
                }
                Ok(Done::Nothing)
            }
            Act::Change(id, change) => {
                let what = match change.clone() {
                    Change::Shutdown => DropletAction::Shutdown,
                    Change::PowerOff => DropletAction::PowerOff,
                    Change::PowerOn => DropletAction::PowerOn,
                    Change::Reboot => DropletAction::Reboot,
                    Change::Rename(name) => DropletAction::Rename { name },
                    Change::Resize(size) => DropletAction::Resize { size, disk: false },
                };
                let action = digitalocean.act(DropletId(*id), &what).await?;
                Ok(Done::Action(action.id.0))
            }
        }
    }

    async fn record(
        &self,
        row: &LeasedToolbox,
        toolbox: &Toolbox,
        record: &Record,
        keep: bool,
    ) -> Result<Option<LeasedToolbox>, ApiError> {
        let p = RecordStep {
            toolbox_id: row.id,
            lease: row.lease,
            from_step: toolbox.step.map(Step::as_str),
            to_step: record.step.map(Step::as_str),
            to_status: record.status.map(EnvironmentStatus::as_str),
            problem: record.problem.as_deref(),
            due_in_seconds: record.due.map(|due| due.as_secs_f64()),
            failed: record.failed,
            keep,
            lease_seconds: LEASE.as_secs(),
            set: columns(&record.set),
        };
        let now = self.supabase.record_toolbox_step(&p).await?;
        Ok(now.map(|toolbox| *toolbox))
    }
}

/// The row in the words of the domain.
fn read(row: &LeasedToolbox) -> Result<Toolbox, ApiError> {
    let unreadable = || ApiError::new(ErrorCode::DatabaseBadResponse);
    let age = |seconds: Option<f64>| {
        seconds
            .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
    };
    let step = row.step.as_deref().map(str::parse).transpose();
    Ok(Toolbox {
        id: row.id,
        name: row.name.clone(),
        status: row.status.parse().map_err(|_| unreadable())?,
        step: step.map_err(|_| unreadable())?,
        step_age: age(row.step_age_seconds).unwrap_or_default(),
        tries: row.tries,
        problem: row.problem.clone(),
        machine_asked_age: age(row.machine_asked_age_seconds),
        heartbeat_age: age(row.heartbeat_age_seconds),
        droplet: row.do_droplet_id,
        droplet_name: row.do_droplet_name.clone(),
        address: row.public_ip_address,
        firewall: row.do_firewall_id.clone(),
        action: row.do_action_id,
        size: row.size_slug.clone().unwrap_or_default(),
        wanted_size: row.wanted_size_slug.clone(),
    })
}

fn columns(set: &Set) -> Map<String, Value> {
    let mut columns = Map::new();
    let mut put = |name: &str, value: Value| {
        columns.insert(name.to_owned(), value);
    };
    if let Some(droplet) = &set.droplet {
        put("do_droplet_id", json!(droplet.as_ref().map(|(id, _)| id)));
        put(
            "do_droplet_name",
            json!(droplet.as_ref().map(|(_, name)| name)),
        );
    }
    if let Some(address) = &set.address {
        put(
            "public_ip_address",
            json!(address.map(|ip: Ipv4Addr| ip.to_string())),
        );
    }
    if let Some(firewall) = &set.firewall {
        put("do_firewall_id", json!(firewall));
    }
    if let Some(action) = &set.action {
        put("do_action_id", json!(action));
    }
    if let Some(size) = &set.size {
        put("size_slug", json!(size));
    }
    if set.no_wanted_size {
        put("wanted_size_slug", Value::Null);
    }
    if set.machine_not_asked {
        put("machine_not_asked", Value::Bool(true));
    }
    columns
}

fn machine(droplet: &Droplet) -> Machine {
    Machine {
        id: droplet.id.0,
        name: droplet.name.clone(),
        power: match droplet.status {
            DropletStatus::Active => Power::On,
            DropletStatus::Off => Power::Off,
            DropletStatus::New | DropletStatus::Archive | DropletStatus::Unknown => Power::Unknown,
        },
        is_locked: droplet.locked,
        address: droplet.public_ipv4,
        size: droplet.size.clone(),
    }
}

fn failure(error: &DigitalOceanError) -> Failure {
    Failure {
        words: match error {
            // DigitalOcean's own words say best what it wants.
            DigitalOceanError::Refused { message, .. } => {
                format!("DigitalOcean refused it: {message}")
            }
            other => other.to_string(),
        },
        is_passing: error.is_passing() || error.may_have_happened(),
        may_have_happened: error.may_have_happened(),
        retry_after: match error {
            DigitalOceanError::RateLimited { retry_after } => *retry_after,
            _ => None,
        },
    }
}

fn too_slow() -> Failure {
    Failure {
        words: "DigitalOcean did not answer in time".to_owned(),
        is_passing: true,
        may_have_happened: true,
        retry_after: None,
    }
}

/// What reaches a toolbox: SSH, the companion, the agent, and tools whose ports are published.
fn firewall(tag: &str) -> NewFirewall {
    let everywhere = || vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let rule = |protocol, ports: &str| FirewallRule {
        protocol,
        ports: ports.to_owned(),
        addresses: everywhere(),
    };
    NewFirewall {
        name: tag.to_owned(),
        tag: tag.to_owned(),
        inbound: vec![
            rule(Protocol::Tcp, "22"),
            rule(Protocol::Tcp, "3000"),
            rule(Protocol::Tcp, "30000"),
            rule(Protocol::Tcp, "31000-32767"),
            rule(Protocol::Icmp, "0"),
        ],
        outbound: vec![
            rule(Protocol::Tcp, "0"),
            rule(Protocol::Udp, "0"),
            rule(Protocol::Icmp, "0"),
        ],
    }
}
