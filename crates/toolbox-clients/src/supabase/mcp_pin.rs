//! The tools of MCP servers that owners accepted.

use serde::{Deserialize, Serialize};
use serde_json::json;
use toolbox_api::mcp::ToolsChanged;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId, UserId};

use super::{DatabaseError, Supabase, argument, parse};

/// Tools that were accepted.
#[derive(Clone, Debug, Deserialize)]
pub struct McpPinRow {
    /// Their fingerprint.
    pub fingerprint: String,
    /// Their definitions, a JSON array.
    pub definitions: String,
    /// When they were accepted.
    pub accepted_at: String,
}

/// Argument of `set_mcp_pin`.
#[derive(Clone, Debug, Serialize)]
pub struct SetMcpPin<'a> {
    /// The toolbox.
    pub toolbox_id: ToolboxId,
    /// Whose it must be.
    pub owner_id: UserId,
    /// The instance.
    pub instance_id: ToolInstanceId,
    /// Fingerprint of the tools; none accepts any.
    pub fingerprint: Option<&'a str>,
    /// Their definitions, a JSON array.
    pub definitions: Option<String>,
    /// What differs from those that were accepted before, by name.
    pub change: ToolsChanged,
    /// The request.
    pub request_id: &'a str,
}

impl Supabase {
    /// Which tools of an owner's server were accepted, if any; none when it is no instance of theirs.
    pub async fn mcp_pin(
        &self,
        toolbox_id: ToolboxId,
        owner_id: UserId,
        instance_id: ToolInstanceId,
    ) -> Result<Option<Option<McpPinRow>>, DatabaseError> {
        #[derive(Deserialize)]
        #[serde(tag = "outcome", rename_all = "snake_case")]
        enum Answer {
            Found { pin: Option<McpPinRow> },
            NotFound,
        }
        let p =
            json!({ "toolbox_id": toolbox_id, "owner_id": owner_id, "instance_id": instance_id });
        let answer = self.call("get_mcp_pin", &argument(&p)).await?;
        Ok(match parse(&answer)? {
            Answer::Found { pin } => Some(pin),
            Answer::NotFound => None,
        })
    }

    /// Accepts the tools of an owner's server; when that was, if there is a fingerprint. None when it is no instance of theirs.
    pub async fn set_mcp_pin(
        &self,
        pin: &SetMcpPin<'_>,
    ) -> Result<Option<Option<String>>, DatabaseError> {
        #[derive(Deserialize)]
        #[serde(tag = "outcome", rename_all = "snake_case")]
        enum Answer {
            Set { accepted_at: Option<String> },
            NotFound,
        }
        let answer = self.call("set_mcp_pin", &argument(pin)).await?;
        Ok(match parse(&answer)? {
            Answer::Set { accepted_at } => Some(accepted_at),
            Answer::NotFound => None,
        })
    }
}
