//! The tools of MCP servers that owners accepted.

use serde::{Deserialize, Serialize};
use serde_json::json;
use toolbox_api::mcp::ToolsChanged;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId, UserId};

use super::rows::EnvironmentRow;
use super::{DatabaseError, Supabase, argument, parse};

/// Tools that were accepted.
#[derive(Clone, Debug, Deserialize)]
pub struct McpPinRow {
    /// Their fingerprint.
    pub fingerprint: String,
    /// Their definitions, a JSON array; none where the server listed others before they could be read.
    pub definitions: Option<String>,
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
    /// They are those that the server listed first, which its deployment asked to be pinned: written only while that is due.
    pub is_first: bool,
    /// What differs from those that were accepted before, by name.
    pub change: ToolsChanged,
    /// The request.
    pub request_id: &'a str,
}

/// What is found of accepted tools.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum FoundMcpPin {
    /// The instance is there.
    Found {
        /// What was accepted, if anything.
        pin: Option<McpPinRow>,
    },
    /// It is no instance of theirs.
    NotFound,
}

/// What came of accepting tools.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum AcceptedMcpPin {
    /// It is as was asked.
    Set {
        /// When they were accepted; none where any are.
        accepted_at: Option<String>,
    },
    /// It is no instance of theirs, or nothing is due any more.
    NotFound,
}

/// A server of which the tools that it listed first are to be pinned.
#[derive(Clone, Debug, Deserialize)]
pub struct ClaimedMcpPin {
    /// The instance.
    pub instance_id: ToolInstanceId,
    /// Whose it is.
    pub owner_id: UserId,
    /// Where it runs.
    pub toolbox: Box<EnvironmentRow>,
}

#[derive(Deserialize)]
struct ClaimedWire {
    pins: Vec<ClaimedMcpPin>,
}

impl Supabase {
    /// Which tools of an owner's server were accepted.
    pub async fn mcp_pin(
        &self,
        toolbox_id: ToolboxId,
        owner_id: UserId,
        instance_id: ToolInstanceId,
    ) -> Result<FoundMcpPin, DatabaseError> {
        let p =
            json!({ "toolbox_id": toolbox_id, "owner_id": owner_id, "instance_id": instance_id });
        parse(&self.call("get_mcp_pin", &argument(&p)).await?)
    }

    /// Takes servers whose first tools are to be pinned. Never repeated: the next tick does that.
    pub async fn claim_mcp_pins(&self) -> Result<Vec<ClaimedMcpPin>, DatabaseError> {
        let answer = self.call_function("claim_mcp_pins", br#"{"p":{}}"#).await?;
        Ok(parse::<ClaimedWire>(&answer)?.pins)
    }

    /// Accepts the tools of an owner's server.
    pub async fn set_mcp_pin(&self, pin: &SetMcpPin<'_>) -> Result<AcceptedMcpPin, DatabaseError> {
        parse(&self.call("set_mcp_pin", &argument(pin)).await?)
    }
}
