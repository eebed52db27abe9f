//! Toolboxes themselves: read as their owner, made and removed with the secret key.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use toolbox_api::toolboxes::{ToolboxKind, ToolboxQuota};
use toolbox_domain::ids::{ToolboxId, UserId};

use super::rows::EnvironmentRow;
use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// A toolbox as its owner sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct ToolboxRow {
    /// What is needed to reach its machine.
    #[serde(flatten)]
    pub toolbox: EnvironmentRow,
    /// Where its machine comes from.
    pub kind: ToolboxKind,
    /// What its owner calls it.
    pub name: String,
    /// What its owner says of it.
    pub description: Option<String>,
    /// Since when it is in its status.
    pub status_changed_at: String,
    /// Region at DigitalOcean.
    pub region_slug: Option<String>,
    /// Size at DigitalOcean.
    pub size_slug: Option<String>,
    /// Image at DigitalOcean.
    pub image_slug: Option<String>,
    /// The droplet.
    pub do_droplet_id: Option<i64>,
    /// Its name.
    pub do_droplet_name: Option<String>,
    /// When its agent last reported.
    pub last_heartbeat_at: Option<String>,
    /// Why making or removing it failed.
    pub provisioning_error_message: Option<String>,
    /// What is being done with its droplet: a `toolbox_domain::provisioning::Step`.
    pub provisioning_step: Option<String>,
    /// Since when.
    pub provisioning_step_since: Option<String>,
    /// What went wrong last, in words.
    pub provisioning_problem: Option<String>,
    /// The size that its droplet is being given.
    pub wanted_size_slug: Option<String>,
    /// US dollars an hour.
    pub price_hourly_usd: Option<f64>,
    /// US dollars a month at most.
    pub price_monthly_usd: Option<f64>,
    /// Since when its droplet is paid for at this price; none while there is none.
    pub price_since: Option<String>,
    /// US dollars for earlier droplets and sizes.
    pub cost_before_usd: f64,
    /// When it was asked for.
    pub created_at: String,
    /// When its row last changed.
    pub updated_at: String,
}

/// Argument of `create_own_toolbox`.
#[derive(Clone, Debug, Serialize)]
pub struct CreateOwnToolbox<'a> {
    /// Whose it is.
    pub user_id: UserId,
    /// What the owner calls it.
    pub name: &'a str,
    /// What the owner says of it.
    pub description: Option<&'a str>,
    /// Where its machine answers, if that is known.
    pub address: Option<IpAddr>,
    /// How many toolboxes a user may have.
    pub max_toolboxes: u32,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// There is a row.
    Created(ToolboxId),
    /// The user has so many, which is as many as they may.
    TooMany(u32),
}

/// What a user may have unless an operator set something else for them, for `get_quota`.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct QuotaOf {
    /// The user.
    pub user_id: UserId,
    /// So many toolboxes.
    pub max_toolboxes: u32,
    /// All machines may cost so many US dollars a month.
    pub max_monthly_usd: u32,
    /// So many tools in one toolbox.
    pub max_tools: u32,
}

/// Argument of `update_own_toolbox`: what is absent stays.
#[derive(Clone, Debug, Serialize)]
pub struct UpdateOwnToolbox<'a> {
    /// Which.
    pub toolbox_id: ToolboxId,
    /// Whose.
    pub user_id: UserId,
    /// Its new name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'a str>,
    /// Its new description, or that it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Option<&'a str>>,
    /// Its machine's new address, or that none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Option<IpAddr>>,
}

/// A token that enrols a machine once.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    /// The token.
    pub token: String,
    /// Until when it is good.
    pub expires_at: String,
}

#[derive(Serialize)]
struct CreateEnrolment {
    toolbox_id: ToolboxId,
    ttl_seconds: u32,
}

#[derive(Serialize)]
struct OfUser {
    toolbox_id: ToolboxId,
    user_id: UserId,
}

#[derive(Deserialize)]
struct Told {
    outcome: String,
    id: Option<ToolboxId>,
    most: Option<u32>,
    token: Option<String>,
    expires_at: Option<String>,
}

const TOOLBOX: &str = "kind,name,description,status_changed_at,region_slug,size_slug,image_slug,do_droplet_id,do_droplet_name,\
    last_heartbeat_at,provisioning_error_message,provisioning_step,provisioning_step_since,provisioning_problem,\
    wanted_size_slug,price_hourly_usd,price_monthly_usd,price_since,cost_before_usd,created_at,updated_at";

impl Supabase {
    /// The toolboxes of the holder of `token`, the oldest first.
    pub async fn own_toolboxes(&self, token: &str) -> Result<Vec<ToolboxRow>, DatabaseError> {
        let columns = super::ENVIRONMENT;
        let query = format!(
            "account_tool_environments?order=created_at.asc,id.asc&select={columns},{TOOLBOX}"
        );
        self.read(token, &query).await
    }

    /// One toolbox as the holder of `token` sees it; none when it does not exist for them.
    pub async fn own_toolbox(
        &self,
        token: &str,
        id: ToolboxId,
    ) -> Result<Option<Box<ToolboxRow>>, DatabaseError> {
        let columns = super::ENVIRONMENT;
        let query =
            format!("account_tool_environments?id=eq.{id}&limit=1&select={columns},{TOOLBOX}");
        let rows: Vec<Box<ToolboxRow>> = self.read(token, &query).await?;
        Ok(rows.into_iter().next())
    }

    /// A toolbox, whoever's it is. Read with the secret key.
    pub async fn any_toolbox(
        &self,
        id: ToolboxId,
    ) -> Result<Option<Box<ToolboxRow>>, DatabaseError> {
        let columns = super::ENVIRONMENT;
        let query =
            format!("account_tool_environments?id=eq.{id}&limit=1&select={columns},{TOOLBOX}");
        let answer = self.read_as_writer(&query).await?;
        Ok(parse::<Vec<Box<ToolboxRow>>>(&answer)?.into_iter().next())
    }

    /// Makes the toolbox of a machine that its user brings. Repeated only when the first call certainly did not arrive: a second
    /// one would make another.
    pub async fn create_own_toolbox(
        &self,
        p: &CreateOwnToolbox<'_>,
    ) -> Result<Created, DatabaseError> {
        let answer = self.call_once("create_own_toolbox", &argument(p)).await?;
        let told: Told = parse(&answer)?;
        match (told.outcome.as_str(), told.id, told.most) {
            ("created", Some(id), _) => Ok(Created::Created(id)),
            ("quota_exceeded", _, Some(most)) => Ok(Created::TooMany(most)),
            _ => Err(unexpected(&answer)),
        }
    }

    /// How much a user may have, and has.
    pub async fn quota(&self, p: &QuotaOf) -> Result<ToolboxQuota, DatabaseError> {
        parse(&self.call("get_quota", &argument(p)).await?)
    }

    /// Writes what the owner says of a toolbox; false when it is not theirs.
    pub async fn update_own_toolbox(
        &self,
        p: &UpdateOwnToolbox<'_>,
    ) -> Result<bool, DatabaseError> {
        let answer = self.call("update_own_toolbox", &argument(p)).await?;
        match parse::<Told>(&answer)?.outcome.as_str() {
            "updated" => Ok(true),
            "not_found" => Ok(false),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Forgets the toolbox of a machine that its user brought; false when there is none.
    pub async fn delete_own_toolbox(
        &self,
        toolbox_id: ToolboxId,
        user_id: UserId,
    ) -> Result<bool, DatabaseError> {
        let body = argument(&OfUser {
            toolbox_id,
            user_id,
        });
        let answer = self.call("delete_own_toolbox", &body).await?;
        match parse::<Told>(&answer)?.outcome.as_str() {
            "deleted" => Ok(true),
            "not_found" => Ok(false),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Makes the one token that a machine can join a toolbox with, and ends earlier ones; none when the toolbox is gone or
    /// leaving. The caller must have been shown to own the toolbox.
    pub async fn create_enrolment(
        &self,
        toolbox_id: ToolboxId,
        ttl_seconds: u32,
    ) -> Result<Option<NewToken>, DatabaseError> {
        let body = argument(&CreateEnrolment {
            toolbox_id,
            ttl_seconds,
        });
        let answer = self.call("create_toolbox_enrolment", &body).await?;
        let told: Told = parse(&answer)?;
        match (told.outcome.as_str(), told.token, told.expires_at) {
            ("created", Some(token), Some(expires_at)) => Ok(Some(NewToken { token, expires_at })),
            ("not_found", ..) => Ok(None),
            _ => Err(unexpected(&answer)),
        }
    }
}
