//! Toolboxes that are ordered, changed and removed.

use std::net::Ipv4Addr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use toolbox_domain::ids::{ToolboxId, UserId};

use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// Argument of `order_toolbox`.
#[derive(Clone, Debug, Serialize)]
pub struct OrderToolbox<'a> {
    /// Whose it will be.
    pub user_id: UserId,
    /// Display name.
    pub name: &'a str,
    /// Free text.
    pub description: Option<&'a str>,
    /// Names the order, so that it can be repeated.
    pub order_key: Option<&'a str>,
    /// The user may have so many toolboxes.
    pub max_toolboxes: u32,
    /// All machines of the user may cost so many US dollars a month.
    pub max_monthly_usd: u32,
    /// The request.
    pub request_id: Option<&'a str>,
    /// DigitalOcean's region.
    pub region_slug: &'a str,
    /// DigitalOcean's size.
    pub size_slug: &'a str,
    /// DigitalOcean's image.
    pub image_slug: &'a str,
    /// US dollars an hour.
    pub price_hourly_usd: f64,
    /// US dollars a month at most.
    pub price_monthly_usd: f64,
}

/// What all machines of a user would cost, and may, in US dollars a month.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TooDear {
    /// They would.
    pub monthly: f64,
    /// They may.
    pub most: u32,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ordered {
    /// There is a row.
    Ordered {
        /// Its id.
        id: ToolboxId,
        /// It was made now.
        is_new: bool,
    },
    /// The user has so many already.
    TooMany(u32),
    /// All machines of the user would cost more than they may.
    TooDear(TooDear),
    /// The user ordered so many in the last hour.
    TooOften(u32),
    /// There is no such user.
    NoUser,
}

/// What can be asked of a toolbox.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum ToolboxChange {
    /// Remove it: the droplet, the firewall, then the row.
    Deprovision,
    /// Try again what failed.
    Retry,
    /// Give its droplet another size.
    Resize {
        /// The size.
        size_slug: String,
        /// US dollars an hour.
        price_hourly_usd: f64,
        /// US dollars a month at most.
        price_monthly_usd: f64,
        /// All machines of the user may cost so many US dollars a month.
        max_monthly_usd: u32,
    },
    /// Restart its droplet.
    Reboot,
    /// Give it another name, and its droplet too.
    Rename {
        /// The name.
        name: String,
    },
    /// Look at the droplet now.
    Look,
}

/// What became of such a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// It is due now.
    Accepted,
    /// It is so, or on its way.
    Unchanged,
    /// The toolbox does not exist for this user.
    NotFound,
    /// Its user brought the machine.
    Byo,
    /// In this status it cannot be done.
    Refused(String),
    /// All machines of the user would cost more than they may.
    TooDear(TooDear),
    /// The user asked for so many changes in the last ten minutes.
    TooOften(u32),
    /// Another change is under way.
    InProgress,
}

/// A toolbox as who advances it needs it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LeasedToolbox {
    /// Id.
    pub id: ToolboxId,
    /// Display name.
    pub name: String,
    /// Lifecycle status.
    pub status: String,
    /// Shows that it is this caller's still.
    pub lease: u64,
    /// What is being done.
    pub step: Option<String>,
    /// What went wrong last.
    pub problem: Option<String>,
    /// How often the step failed in a row.
    pub tries: u32,
    /// Since when it is in this step.
    pub step_age_seconds: Option<f64>,
    /// When it is due next.
    pub due_in_seconds: Option<f64>,
    /// Since when a droplet may exist.
    pub machine_asked_age_seconds: Option<f64>,
    /// When the agent last reported.
    pub heartbeat_age_seconds: Option<f64>,
    /// DigitalOcean's region.
    pub region_slug: Option<String>,
    /// DigitalOcean's size.
    pub size_slug: Option<String>,
    /// DigitalOcean's image.
    pub image_slug: Option<String>,
    /// The size that the machine is being given.
    pub wanted_size_slug: Option<String>,
    /// DigitalOcean's number of the droplet.
    pub do_droplet_id: Option<u64>,
    /// Its name.
    pub do_droplet_name: Option<String>,
    /// DigitalOcean's id of the firewall.
    pub do_firewall_id: Option<String>,
    /// What DigitalOcean does to the droplet.
    pub do_action_id: Option<u64>,
    /// The droplet's address.
    pub public_ip_address: Option<Ipv4Addr>,
}

/// Argument of `record_toolbox_step`.
#[derive(Clone, Debug, Serialize)]
pub struct RecordStep<'a> {
    /// The toolbox.
    pub toolbox_id: ToolboxId,
    /// The caller's lease.
    pub lease: u64,
    /// The step that was taken.
    pub from_step: Option<&'a str>,
    /// The one that follows.
    pub to_step: Option<&'a str>,
    /// The status that follows, if it may.
    pub to_status: Option<&'a str>,
    /// What went wrong.
    pub problem: Option<&'a str>,
    /// When it is due next.
    pub due_in_seconds: Option<f64>,
    /// The step failed and is tried again.
    pub failed: bool,
    /// The lease is kept, for so long.
    pub keep: bool,
    /// How long a kept lease lasts.
    pub lease_seconds: u64,
    /// Columns that change.
    pub set: Map<String, Value>,
}

/// The token of a machine, and until when it is good.
#[derive(Clone, Deserialize)]
pub struct MachineToken {
    /// Single use.
    pub token: String,
    /// RFC 3339.
    pub expires_at: String,
}

/// A droplet with our tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TaggedDroplet {
    /// DigitalOcean's number.
    pub droplet_id: u64,
    /// The toolbox of its tag.
    pub toolbox_id: Option<ToolboxId>,
    /// Its address.
    pub address: Option<Ipv4Addr>,
}

/// What a sweep found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Swept {
    /// Toolboxes whose row named a droplet that never enrolled, and now names the one that did.
    pub adopted: Vec<ToolboxId>,
    /// Droplets that no row has.
    pub droplets: Vec<ExtraDroplet>,
    /// Toolboxes in `error_provisioning` that had one all the same; they are cleaned up again.
    pub cleaned: Vec<ToolboxId>,
    /// Toolboxes whose droplet was not listed; they are looked at now.
    pub unseen: Vec<ToolboxId>,
    /// Toolboxes whose droplet has another address than their row says; they are looked at now.
    pub moved: Vec<ToolboxId>,
}

/// A droplet that no row has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ExtraDroplet {
    /// DigitalOcean's number.
    pub droplet_id: u64,
    /// The toolbox of its tag.
    pub toolbox_id: Option<ToolboxId>,
    /// `second`, `removed` or `unknown`.
    pub why: String,
    /// It is ours beyond doubt, and may be removed.
    pub is_ours: bool,
}

/// A list of DigitalOcean's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderList<T> {
    /// As it was answered lately.
    Kept(T),
    /// The caller is to ask DigitalOcean.
    Due,
    /// Another caller asks, and there is none yet.
    Awaited,
}

#[derive(Deserialize)]
struct Content<T> {
    content: T,
}

#[derive(Serialize)]
struct Ask<'a> {
    toolbox_id: ToolboxId,
    user_id: Option<UserId>,
    request_id: Option<&'a str>,
    #[serde(flatten)]
    change: &'a ToolboxChange,
}

#[derive(Deserialize)]
struct Told {
    outcome: String,
    id: Option<ToolboxId>,
    is_new: Option<bool>,
    most: Option<u32>,
    monthly_usd: Option<f64>,
    most_monthly_usd: Option<u32>,
    status: Option<String>,
    toolboxes: Option<Vec<LeasedToolbox>>,
    toolbox: Option<Box<LeasedToolbox>>,
}

fn too_dear(monthly: Option<f64>, most: Option<u32>) -> Option<TooDear> {
    Some(TooDear {
        monthly: monthly?,
        most: most?,
    })
}

impl Supabase {
    /// Orders a toolbox. Without a key it is repeated only when the first call certainly did not arrive: a second one would
    /// make two.
    pub async fn order_toolbox(&self, p: &OrderToolbox<'_>) -> Result<Ordered, DatabaseError> {
        let body = argument(p);
        let answer = if p.order_key.is_some() {
            self.call("order_toolbox", &body).await?
        } else {
            self.call_once("order_toolbox", &body).await?
        };
        let told: Told = parse(&answer)?;
        match (told.outcome.as_str(), told.id, told.is_new, told.most) {
            ("ordered", Some(id), Some(is_new), _) => Ok(Ordered::Ordered { id, is_new }),
            ("too_many", .., Some(most)) => Ok(Ordered::TooMany(most)),
            ("too_often", .., Some(most)) => Ok(Ordered::TooOften(most)),
            ("too_dear", ..) => too_dear(told.monthly_usd, told.most_monthly_usd)
                .map(Ordered::TooDear)
                .ok_or_else(|| unexpected(&answer)),
            ("not_found", ..) => Ok(Ordered::NoUser),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Asks for a change of a toolbox; with `user`, only of theirs. Repeated only when the first call certainly did not arrive.
    pub async fn ask_toolbox(
        &self,
        toolbox_id: ToolboxId,
        user_id: Option<UserId>,
        change: &ToolboxChange,
        request_id: Option<&str>,
    ) -> Result<Asked, DatabaseError> {
        let body = argument(&Ask {
            toolbox_id,
            user_id,
            request_id,
            change,
        });
        let answer = self.call_once("ask_toolbox", &body).await?;
        let told: Told = parse(&answer)?;
        match (told.outcome.as_str(), told.status) {
            ("accepted", _) => Ok(Asked::Accepted),
            ("too_often", _) => told
                .most
                .map(Asked::TooOften)
                .ok_or_else(|| unexpected(&answer)),
            ("unchanged", _) => Ok(Asked::Unchanged),
            ("not_found", _) => Ok(Asked::NotFound),
            ("byo", _) => Ok(Asked::Byo),
            ("refused", Some(status)) => Ok(Asked::Refused(status)),
            ("in_progress", _) => Ok(Asked::InProgress),
            ("too_dear", _) => too_dear(told.monthly_usd, told.most_monthly_usd)
                .map(Asked::TooDear)
                .ok_or_else(|| unexpected(&answer)),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Takes toolboxes that are due, or the one. Never repeated: what is taken and not worked on is due again when the lease
    /// ends.
    pub async fn lease_toolboxes(
        &self,
        holder: &str,
        toolbox: Option<ToolboxId>,
        limit: u32,
        lease_seconds: u64,
    ) -> Result<Vec<LeasedToolbox>, DatabaseError> {
        let body = argument(&json!({
            "holder": holder, "toolbox_id": toolbox, "limit": limit, "lease_seconds": lease_seconds,
        }));
        let answer = self.call_function("lease_toolboxes", &body).await?;
        let told: Told = parse(&answer)?;
        told.toolboxes.ok_or_else(|| unexpected(&answer))
    }

    /// Writes that a droplet may exist from now on, and makes its token; none when the lease is another's.
    pub async fn begin_toolbox_machine(
        &self,
        toolbox: ToolboxId,
        lease: u64,
        lease_seconds: u64,
        ttl_seconds: u64,
    ) -> Result<Option<MachineToken>, DatabaseError> {
        let body = argument(&json!({
            "toolbox_id": toolbox, "lease": lease, "lease_seconds": lease_seconds, "ttl_seconds": ttl_seconds,
        }));
        // A second token does no harm: the first is good for nothing, because nobody has it.
        let answer = self.call("begin_toolbox_machine", &body).await?;
        let told: Told = parse(&answer)?;
        match told.outcome.as_str() {
            "begun" => parse(&answer).map(Some),
            "superseded" => Ok(None),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Writes what came of a step; the toolbox as it is now, or none when the lease or the step is another's.
    pub async fn record_toolbox_step(
        &self,
        p: &RecordStep<'_>,
    ) -> Result<Option<Box<LeasedToolbox>>, DatabaseError> {
        // Not repeated: a second one would find another step.
        let answer = self.call_once("record_toolbox_step", &argument(p)).await?;
        let told: Told = parse(&answer)?;
        match (told.outcome.as_str(), told.toolbox) {
            ("recorded", Some(toolbox)) => Ok(Some(toolbox)),
            ("superseded", _) => Ok(None),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Removes the row of a toolbox of which nothing is left; false when the lease or the step is another's.
    pub async fn remove_toolbox(
        &self,
        toolbox: ToolboxId,
        lease: u64,
    ) -> Result<bool, DatabaseError> {
        let body = argument(&json!({ "toolbox_id": toolbox, "lease": lease }));
        let answer = self.call_once("remove_toolbox", &body).await?;
        match parse::<Told>(&answer)?.outcome.as_str() {
            "removed" => Ok(true),
            "superseded" => Ok(false),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Compares the droplets with the rows. `list_age_seconds` is how long ago the list was asked for.
    pub async fn sweep_toolboxes(
        &self,
        droplets: &[TaggedDroplet],
        list_age_seconds: f64,
    ) -> Result<Swept, DatabaseError> {
        let body = argument(&json!({ "droplets": droplets, "list_age_seconds": list_age_seconds }));
        parse(&self.call("sweep_toolboxes", &body).await?)
    }

    /// A list of DigitalOcean's, as it was answered within `max_age_seconds`. Where the caller is to ask for it, nobody else is told
    /// so for `claim_seconds`. Asked once: a second call would be told to wait for the first.
    pub async fn provider_list<T: DeserializeOwned>(
        &self,
        name: &str,
        max_age_seconds: u64,
        claim_seconds: u64,
    ) -> Result<ProviderList<T>, DatabaseError> {
        let body = argument(&json!({
            "name": name, "max_age_seconds": max_age_seconds, "claim_seconds": claim_seconds,
        }));
        let answer = self.call_once("get_provider_list", &body).await?;
        match parse::<Told>(&answer)?.outcome.as_str() {
            "kept" => Ok(ProviderList::Kept(parse::<Content<T>>(&answer)?.content)),
            "due" => Ok(ProviderList::Due),
            "awaited" => Ok(ProviderList::Awaited),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Keeps a list that DigitalOcean answered.
    pub async fn keep_provider_list(
        &self,
        name: &str,
        content: &impl Serialize,
    ) -> Result<(), DatabaseError> {
        let body = argument(&json!({ "name": name, "content": content }));
        let answer = self.call("put_provider_list", &body).await?;
        match parse::<Told>(&answer)?.outcome.as_str() {
            "kept" => Ok(()),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Whether a job is due that runs every so many seconds. Asked once: a second call would be told that it is not.
    pub async fn begin_rare_job(
        &self,
        job: &str,
        every_seconds: u64,
    ) -> Result<bool, DatabaseError> {
        let body = argument(&json!({ "job": job, "every_seconds": every_seconds }));
        let answer = self.call_once("begin_rare_job", &body).await?;
        Ok(parse::<Told>(&answer)?.outcome == "due")
    }
}
