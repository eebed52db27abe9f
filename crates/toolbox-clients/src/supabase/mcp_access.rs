//! Access to MCP servers: given, listed, revoked, and looked up for a request.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use toolbox_api::mcp_access::{McpAccessView, McpGrant, McpLimit, McpServerView};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId, UserId};
use uuid::Uuid;

use super::rows::EnvironmentRow;
use super::{DatabaseError, Supabase, argument, parse};

/// Columns of a list; the hash of a token is readable by nobody.
const VIEW: &str = "id,account_tool_environment_id,account_tool_instance_id,name,user_id,client_id,allowed_tools,read_only,\
    requests_per_minute,concurrent_requests,expires_at,revoked_at,last_used_at,last_client,created_at";

/// Argument of `grant_mcp_access`.
#[derive(Clone, Debug, Serialize)]
pub struct GrantMcpAccess<'a> {
    /// The toolbox.
    pub toolbox_id: ToolboxId,
    /// Whose it must be; for an application, or with whom it must be shared.
    pub owner_id: UserId,
    /// One instance of it, or all.
    pub instance_id: Option<ToolInstanceId>,
    /// Display name.
    pub name: &'a str,
    /// Hash of a token, where no user is named.
    pub token_hash: Option<String>,
    /// The user.
    pub user_id: Option<UserId>,
    /// An application that acts for the owner.
    pub client_id: Option<&'a str>,
    /// The tools; all without a list.
    pub allowed_tools: Option<&'a [String]>,
    /// Read-only tools alone.
    pub read_only: bool,
    /// When it ends, in seconds from now.
    pub ttl_seconds: Option<u64>,
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Requests under way at once.
    pub concurrent_requests: Option<u32>,
}

/// What came of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum GrantedMcpAccess {
    /// It counts.
    Granted {
        /// What was given.
        access: Box<McpAccessView>,
    },
    /// There is no such toolbox of this owner.
    ToolboxNotFound,
    /// There is no such instance in it.
    InstanceNotFound,
    /// There is no such user.
    UserNotFound,
    /// The toolbox has as many as it may.
    TooMany {
        /// How many that is.
        most: u32,
    },
}

/// Who asks for an MCP server.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub enum McpAsker<'a> {
    /// The holder of a token.
    Token {
        /// Its hash.
        token_hash: &'a str,
    },
    /// A user, or an application that acts for them.
    User {
        /// The user.
        user_id: UserId,
        /// The application.
        client_id: Option<&'a str>,
    },
}

/// What is found of an access.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum FoundMcpAccess {
    /// They may.
    Access(Box<McpAccess>),
    /// No such token, or it was revoked.
    TokenUnknown,
    /// Its time is over.
    TokenExpired,
    /// It does not open this instance, or there is none.
    NoAccess,
}

/// Who may use which server how, and where that is.
#[derive(Clone, Debug, Deserialize)]
pub struct McpAccess {
    /// Who is counted, as in [`McpCaller`](toolbox_api::mcp_access::McpCaller).
    pub who: String,
    /// The tools; all without a list.
    pub allowed_tools: Option<Vec<String>>,
    /// Read-only tools alone.
    pub read_only: bool,
    /// How much may be asked by way of what opens it.
    #[serde(default)]
    pub limits: Vec<McpLimit>,
    /// Fingerprints of the tools that owners accepted, by server.
    #[serde(default)]
    pub pins: BTreeMap<ToolInstanceId, String>,
    /// The instance.
    pub instance: McpInstance,
    /// Its toolbox.
    pub toolbox: EnvironmentRow,
}

/// What is found of an access to the URL of a whole toolbox.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum FoundMcpToolboxAccess {
    /// They may.
    Access(Box<McpToolboxAccess>),
    /// No such token, or it was revoked.
    TokenUnknown,
    /// Its time is over.
    TokenExpired,
    /// It does not open this toolbox, or there is none.
    NoAccess,
}

/// Who may use which servers of a toolbox how, and where it is.
#[derive(Clone, Debug, Deserialize)]
pub struct McpToolboxAccess {
    /// Who is counted, as in [`McpCaller`](toolbox_api::mcp_access::McpCaller).
    pub who: String,
    /// The servers, each once.
    pub grants: Vec<McpGrant>,
    /// How much may be asked by way of what opens them.
    #[serde(default)]
    pub limits: Vec<McpLimit>,
    /// Fingerprints of the tools that owners accepted, by server.
    #[serde(default)]
    pub pins: BTreeMap<ToolInstanceId, String>,
    /// The toolbox.
    pub toolbox: EnvironmentRow,
}

/// Use of one tool by one client on one day.
#[derive(Clone, Debug, Deserialize)]
pub struct McpUseRow {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// The tool.
    pub tool: String,
    /// The client.
    pub client: String,
    /// Calls.
    pub calls: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Bytes of requests and answers.
    pub bytes: u64,
    /// The place among the bounds of time that half of the calls kept to.
    pub p50: usize,
    /// The place that 95 of 100 did.
    pub p95: usize,
}

/// An instance as a caller of its server needs it.
#[derive(Clone, Debug, Deserialize)]
pub struct McpInstance {
    /// Its lifecycle status.
    pub status: String,
    /// `running`, `stopped` or `absent`.
    pub desired: String,
    /// What it speaks; none if it is no MCP server.
    pub transport: Option<String>,
}

impl Supabase {
    /// Gives access. Repeated only when the first call certainly did not arrive.
    pub async fn grant_mcp_access(
        &self,
        p: &GrantMcpAccess<'_>,
    ) -> Result<GrantedMcpAccess, DatabaseError> {
        parse(&self.call_once("grant_mcp_access", &argument(p)).await?)
    }

    /// Ends an access; none when it is no access to a toolbox of this owner.
    pub async fn revoke_mcp_access(
        &self,
        toolbox_id: ToolboxId,
        owner_id: UserId,
        access_id: Uuid,
    ) -> Result<Option<McpAccessView>, DatabaseError> {
        #[derive(Deserialize)]
        struct Revoked {
            access: Option<McpAccessView>,
        }
        let p = json!({ "toolbox_id": toolbox_id, "owner_id": owner_id, "access_id": access_id });
        let answer = self.call("revoke_mcp_access", &argument(&p)).await?;
        Ok(parse::<Revoked>(&answer)?.access)
    }

    /// The accesses to a toolbox that the holder of `token` gave, newest first.
    pub async fn mcp_accesses(
        &self,
        token: &str,
        toolbox: ToolboxId,
        owner: UserId,
    ) -> Result<Vec<McpAccessView>, DatabaseError> {
        let query = format!(
            "mcp_access?account_tool_environment_id=eq.{toolbox}&granted_by=eq.{owner}&order=revoked_at.desc.nullsfirst,created_at.desc,id.asc&limit=1000&select={VIEW}"
        );
        self.read(token, &query).await
    }

    /// What the holder of `token` lets applications use, newest first.
    pub async fn mcp_clients(
        &self,
        token: &str,
        user: UserId,
    ) -> Result<Vec<McpAccessView>, DatabaseError> {
        let query = format!(
            "mcp_access?user_id=eq.{user}&client_id=not.is.null&order=revoked_at.desc.nullsfirst,created_at.desc,id.asc&limit=1000&select={VIEW}"
        );
        self.read(token, &query).await
    }

    /// Ends all that an application may use for a user; how many accesses that were.
    pub async fn revoke_mcp_client(
        &self,
        user_id: UserId,
        client_id: &str,
    ) -> Result<u32, DatabaseError> {
        #[derive(Deserialize)]
        struct Revoked {
            ended: u32,
        }
        let p = json!({ "user_id": user_id, "client_id": client_id });
        let answer = self.call("revoke_mcp_client", &argument(&p)).await?;
        Ok(parse::<Revoked>(&answer)?.ended)
    }

    /// The servers that a user may use; their URLs are left empty.
    pub async fn mcp_servers(&self, user_id: UserId) -> Result<Vec<McpServerView>, DatabaseError> {
        let p = json!({ "user_id": user_id });
        parse(&self.call("list_mcp_servers", &argument(&p)).await?)
    }

    /// Whether somebody may use an instance's server, and how. The one query of a request to it.
    pub async fn find_mcp_access(
        &self,
        instance_id: ToolInstanceId,
        asker: McpAsker<'_>,
        client_name: Option<&str>,
    ) -> Result<FoundMcpAccess, DatabaseError> {
        #[derive(Serialize)]
        struct Find<'a> {
            instance_id: ToolInstanceId,
            #[serde(flatten)]
            asker: McpAsker<'a>,
            client_name: Option<&'a str>,
        }
        let p = Find {
            instance_id,
            asker,
            client_name,
        };
        parse(&self.call("find_mcp_access", &argument(&p)).await?)
    }

    /// How the server of an owner's instance was used in the last `days`; none when it is no instance of theirs.
    pub async fn mcp_use(
        &self,
        toolbox_id: ToolboxId,
        owner_id: UserId,
        instance_id: ToolInstanceId,
        days: u32,
    ) -> Result<Option<Vec<McpUseRow>>, DatabaseError> {
        #[derive(Deserialize)]
        struct Found {
            usage: Option<Vec<McpUseRow>>,
        }
        let p = json!({ "toolbox_id": toolbox_id, "owner_id": owner_id, "instance_id": instance_id, "days": days });
        let answer = self.call("get_mcp_use", &argument(&p)).await?;
        Ok(parse::<Found>(&answer)?.usage)
    }

    /// Whether somebody may use servers of a toolbox, which, and how. The one query of a request to the URL of all.
    pub async fn find_mcp_toolbox_access(
        &self,
        toolbox_id: ToolboxId,
        asker: McpAsker<'_>,
        client_name: Option<&str>,
    ) -> Result<FoundMcpToolboxAccess, DatabaseError> {
        #[derive(Serialize)]
        struct Find<'a> {
            toolbox_id: ToolboxId,
            #[serde(flatten)]
            asker: McpAsker<'a>,
            client_name: Option<&'a str>,
        }
        let p = Find {
            toolbox_id,
            asker,
            client_name,
        };
        parse(&self.call("find_mcp_toolbox_access", &argument(&p)).await?)
    }
}
