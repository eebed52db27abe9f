//! What operators see of all users and change for them. Everything here is asked with the secret key: the caller must have been
//! shown to be an operator.

use serde::{Deserialize, Serialize};
use toolbox_api::operators::{
    CatalogEntryRequest, Fleet, FleetRollout, FleetShow, OperatorCatalog, OwnQuota, PAGE, UserQuota,
};
use toolbox_domain::ids::{CatalogToolId, RolloutId, UserId};
use toolbox_domain::machine_operation::AgentVersion;

use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// Who changes something, and by which request.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ByOperator<'a> {
    /// The operator.
    pub operator_id: UserId,
    /// The request.
    pub request_id: &'a str,
}

/// What became of an entry of the catalog that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPut {
    /// There was none of this id.
    Made,
    /// It is as it was given.
    Changed,
    /// Another entry has its name.
    NameTaken,
    /// Somebody changed it after it was read.
    ChangedSince,
}

/// What became of an entry of the catalog that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryDeleted {
    /// It is gone.
    Deleted,
    /// There is no such entry.
    NotFound,
    /// So many tools were deployed from it.
    InUse(u32),
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    show: Option<FleetShow>,
    search: &'a str,
    limit: u32,
    offset: u32,
}

#[derive(Serialize)]
struct Change<'a, T> {
    #[serde(flatten)]
    by: ByOperator<'a>,
    #[serde(flatten)]
    what: T,
}

/// A page of users. What everybody may have, the database does not know.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct FoundUsers {
    /// So many users are as asked for.
    pub found: u32,
    /// The page.
    pub users: Vec<UserQuota>,
}

#[derive(Serialize)]
struct SetVersion<'a> {
    version: Option<&'a AgentVersion>,
}

#[derive(Serialize)]
struct PutEntry<'a> {
    catalog_id: CatalogToolId,
    #[serde(flatten)]
    entry: &'a CatalogEntryRequest,
}

#[derive(Serialize)]
struct DeleteEntry {
    catalog_id: CatalogToolId,
}

#[derive(Serialize)]
struct SetQuota {
    user_id: UserId,
    #[serde(flatten)]
    quota: OwnQuota,
}

#[derive(Serialize)]
struct GetRollout {
    rollout_id: RolloutId,
}

#[derive(Deserialize)]
struct RolloutTold {
    outcome: String,
    rollout: Option<Box<FleetRollout>>,
}

#[derive(Deserialize)]
struct Told {
    outcome: String,
    tools: Option<u32>,
    is_new: Option<bool>,
}

impl Supabase {
    /// A page of the toolboxes of all users.
    pub async fn fleet(
        &self,
        show: FleetShow,
        search: &str,
        offset: u32,
    ) -> Result<Fleet, DatabaseError> {
        let listed = Listed {
            show: Some(show),
            search,
            limit: PAGE,
            offset,
        };
        parse(&self.call("get_fleet", &argument(&listed)).await?)
    }

    /// A rollout of the fleet with all its toolboxes; none when there is no such one.
    pub async fn fleet_rollout(
        &self,
        rollout_id: RolloutId,
    ) -> Result<Option<Box<FleetRollout>>, DatabaseError> {
        let body = argument(&GetRollout { rollout_id });
        let answer = self.call("get_fleet_rollout", &body).await?;
        let told: RolloutTold = parse(&answer)?;
        match (told.outcome.as_str(), told.rollout) {
            ("found", Some(rollout)) => Ok(Some(rollout)),
            ("not_found", _) => Ok(None),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Writes which version agents should have.
    pub async fn set_agent_version(
        &self,
        by: ByOperator<'_>,
        version: Option<&AgentVersion>,
    ) -> Result<(), DatabaseError> {
        let body = argument(&Change {
            by,
            what: SetVersion { version },
        });
        let answer = self.call("set_agent_version", &body).await?;
        match parse::<Told>(&answer)?.outcome.as_str() {
            "set" => Ok(()),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Every entry of the catalog.
    pub async fn whole_catalog(&self) -> Result<OperatorCatalog, DatabaseError> {
        parse(&self.call("get_catalog", br#"{"p":{}}"#).await?)
    }

    /// Writes an entry of the catalog.
    pub async fn put_catalog_entry(
        &self,
        by: ByOperator<'_>,
        catalog_id: CatalogToolId,
        entry: &CatalogEntryRequest,
    ) -> Result<EntryPut, DatabaseError> {
        let body = argument(&Change {
            by,
            what: PutEntry { catalog_id, entry },
        });
        let answer = self.call("put_catalog_entry", &body).await?;
        let told: Told = parse(&answer)?;
        match (told.outcome.as_str(), told.is_new) {
            ("put", Some(true)) => Ok(EntryPut::Made),
            ("put", Some(false)) => Ok(EntryPut::Changed),
            ("name_taken", _) => Ok(EntryPut::NameTaken),
            ("changed_since", _) => Ok(EntryPut::ChangedSince),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Removes an entry of the catalog that nothing was deployed from.
    pub async fn delete_catalog_entry(
        &self,
        by: ByOperator<'_>,
        catalog_id: CatalogToolId,
    ) -> Result<EntryDeleted, DatabaseError> {
        let body = argument(&Change {
            by,
            what: DeleteEntry { catalog_id },
        });
        let answer = self.call("delete_catalog_entry", &body).await?;
        let told: Told = parse(&answer)?;
        match (told.outcome.as_str(), told.tools) {
            ("deleted", _) => Ok(EntryDeleted::Deleted),
            ("not_found", _) => Ok(EntryDeleted::NotFound),
            ("in_use", Some(tools)) => Ok(EntryDeleted::InUse(tools)),
            _ => Err(unexpected(&answer)),
        }
    }

    /// A page of the users, each with what was set for them.
    pub async fn quotas(&self, search: &str, offset: u32) -> Result<FoundUsers, DatabaseError> {
        let listed = Listed {
            show: None,
            search,
            limit: PAGE,
            offset,
        };
        parse(&self.call("list_quotas", &argument(&listed)).await?)
    }

    /// Writes how much a user may have; false when there is no such user.
    pub async fn set_quota(
        &self,
        by: ByOperator<'_>,
        user_id: UserId,
        quota: OwnQuota,
    ) -> Result<bool, DatabaseError> {
        let body = argument(&Change {
            by,
            what: SetQuota { user_id, quota },
        });
        let answer = self.call("set_quota", &body).await?;
        match parse::<Told>(&answer)?.outcome.as_str() {
            "set" => Ok(true),
            "not_found" => Ok(false),
            _ => Err(unexpected(&answer)),
        }
    }
}
