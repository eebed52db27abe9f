//! The tools of an MCP server that its owner accepted, beside those that it lists now.
//!
//! A deployment may ask for the tools that the server lists first. Which those are, its agent knows and keeps, and it holds clients to
//! them from then on; a job of `clock/tick` writes them down as accepted soon after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::mcp::ToolsChanged;
use toolbox_api::mcp_pin::{Definition, FIELDS, McpAccepted, McpPin, McpToolChange, McpTools};
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::Supabase;
use toolbox_clients::supabase::mcp_pin::{
    AcceptedMcpPin, ClaimedMcpPin, FoundMcpPin, McpPinRow, SetMcpPin,
};
use toolbox_clients::supabase::rows::{EnvironmentRow, InstanceRow};
use toolbox_domain::ids::ToolboxId;

use crate::agent::Agents as _;
use crate::find::Target;
use crate::reach::HttpsAgents;
use crate::{Instances, UserRequest};

/// Said where fingerprints differ and nothing that is shown does.
const UNSEEN: &str = "The tools differ in what is not shown: a secret in a definition, or a field that stands there twice";
/// Said where the definitions of what was accepted are not known.
const UNREAD: &str = "The server listed other tools before those that it listed first could be read, so all that it lists now are shown";
/// Said where that is found before anything was written down.
const OTHERS: &str = "The server lists other tools than those that it listed first, so clients are held back until you accept these";
/// Said where an agent heard none yet, or does not keep which were first.
const UNKNOWN: &str = "The agent has not told which tools the server listed first. If it is still so in a minute, look at these and accept them: clients are held back until then";
/// Said where the machine did not answer while the server was asked.
const SILENT: &str = "The machine did not tell the server's tools within 20 seconds; the server may be slow to start, so try again in a minute";

impl Instances {
    /// What was accepted, and what differs.
    pub async fn mcp_pin(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
    ) -> Result<McpPin, ApiError> {
        let (toolbox, row) = self.find_server(request, toolbox_id, target).await?;
        let accepted = self.accepted(request, &toolbox, &row).await?;
        let pending = row.mcp_pin_due_at.is_some();
        match self.listed(request, &toolbox, &row).await {
            Ok(now) => shown(accepted.as_ref(), pending, &now),
            Err(error) => Ok(McpPin {
                problem: Some(error.message().to_owned()),
                pending,
                ..compared(accepted.as_ref(), None)?
            }),
        }
    }

    /// Accepts the tools that the server lists now, if they are those of `fingerprint`, which the owner has seen.
    pub async fn pin_mcp_tools(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
        fingerprint: &str,
    ) -> Result<McpPin, ApiError> {
        let (toolbox, row) = self.find_server(request, toolbox_id, target).await?;
        let before = self.accepted(request, &toolbox, &row).await?;
        let now = self.listed(request, &toolbox, &row).await?;
        if now.fingerprint != fingerprint {
            return Err(ApiError::with_message(
                ErrorCode::McpToolsChanged,
                "The server lists other tools than those you have seen; look at them again, then accept them",
            ));
        }
        let differs = compared(before.as_ref(), Some(&now))?;
        let names = |tools: &[Definition]| tools.iter().map(name_of).collect();
        let pin = SetMcpPin {
            toolbox_id,
            owner_id: request.user,
            instance_id: row.id,
            fingerprint: Some(fingerprint),
            definitions: Some(written(&now.tools)?),
            is_first: false,
            change: ToolsChanged {
                from_fingerprint: before.map(|row| row.fingerprint).unwrap_or_default(),
                added: names(&differs.added),
                removed: names(&differs.removed),
                changed: differs.changed.into_iter().map(|c| c.name).collect(),
            },
            request_id: &request.id,
        };
        let at = match self.database.set_mcp_pin(&pin).await? {
            AcceptedMcpPin::Set { accepted_at } => accepted_at,
            AcceptedMcpPin::NotFound => return Err(ApiError::new(ErrorCode::InstanceNotFound)),
        };
        Ok(McpPin {
            accepted: Some(McpAccepted {
                fingerprint: now.fingerprint.clone(),
                tool_count: Some(now.tools.len()),
                accepted_at: at.unwrap_or_default(),
            }),
            current_fingerprint: Some(now.fingerprint),
            ..McpPin::default()
        })
    }

    /// Pins the tools no more.
    pub async fn unpin_mcp_tools(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
    ) -> Result<McpPin, ApiError> {
        let (_, row) = self.find_instance(request, toolbox_id, target).await?;
        let pin = SetMcpPin {
            toolbox_id,
            owner_id: request.user,
            instance_id: row.id,
            fingerprint: None,
            definitions: None,
            is_first: false,
            change: ToolsChanged::default(),
            request_id: &request.id,
        };
        match self.database.set_mcp_pin(&pin).await? {
            AcceptedMcpPin::Set { .. } => Ok(McpPin::default()),
            AcceptedMcpPin::NotFound => Err(ApiError::new(ErrorCode::InstanceNotFound)),
        }
    }

    async fn find_server(
        &self,
        request: &UserRequest,
        toolbox_id: ToolboxId,
        target: &Target,
    ) -> Result<(Box<EnvironmentRow>, Box<InstanceRow>), ApiError> {
        let found = self.find_instance(request, toolbox_id, target).await?;
        if found.1.mcp_transport_type.is_none() {
            return Err(ApiError::with_message(
                ErrorCode::IllegalState,
                "This tool is no MCP server",
            ));
        }
        Ok(found)
    }

    async fn accepted(
        &self,
        request: &UserRequest,
        toolbox: &EnvironmentRow,
        row: &InstanceRow,
    ) -> Result<Option<McpPinRow>, ApiError> {
        let found = self.database.mcp_pin(toolbox.id, request.user, row.id);
        match found.await? {
            FoundMcpPin::Found { pin } => Ok(pin),
            FoundMcpPin::NotFound => Err(ApiError::new(ErrorCode::InstanceNotFound)),
        }
    }

    /// The tools that the server lists now.
    async fn listed(
        &self,
        request: &UserRequest,
        toolbox: &EnvironmentRow,
        row: &InstanceRow,
    ) -> Result<McpTools, ApiError> {
        let agent = self.agents.connect(toolbox, &request.id)?;
        agent.mcp_tools(row.id).await.map_err(|error| match error {
            // It says in words for the owner why it knows none.
            AgentError::Problem(problem)
                if ErrorCode::McpToolsUnknown.as_str() == problem.code.as_str() =>
            {
                ApiError::with_message(ErrorCode::McpToolsUnknown, problem.detail)
            }
            AgentError::Timeout(cause) => {
                ApiError::with_message(ErrorCode::AgentTimeout, SILENT).caused_by(&*cause)
            }
            other => other.into(),
        })
    }
}

/// Longest wait for each call to the database.
const LIMIT: Duration = Duration::from_secs(4);

/// Pins the tools that servers listed first, where deployments asked for it.
pub struct FirstTools<'a> {
    /// The database.
    pub supabase: &'a Supabase,
    /// How agents are asked.
    pub agents: HttpsAgents,
    /// Who runs the job.
    pub request_id: Arc<str>,
    /// Logs why one is not pinned yet.
    pub log: &'a dyn Fn(&str, &ApiError),
}

impl FirstTools<'_> {
    /// A bounded part of it, all at the same time; how many were pinned.
    pub async fn pin_due(&self) -> Result<u32, ApiError> {
        let database = self.supabase.within(LIMIT);
        let due = database.claim_mcp_pins().await?;
        let done = join_all(
            due.iter()
                .map(async |due| match self.pin(&database, due).await {
                    Ok(is_pinned) => u32::from(is_pinned),
                    Err(error) => {
                        let what = format!("pin the first tools of instance {}", due.instance_id);
                        (self.log)(&what, &error);
                        0
                    }
                }),
        );
        Ok(done.await.into_iter().sum())
    }

    async fn pin(&self, database: &Supabase, due: &ClaimedMcpPin) -> Result<bool, ApiError> {
        let agent = self.agents.connect(&due.toolbox, &self.request_id)?;
        let now = agent.mcp_tools(due.instance_id).await?;
        let Some(first) = &now.first_fingerprint else {
            return Err(ApiError::with_message(ErrorCode::McpToolsUnknown, UNKNOWN));
        };
        let is_first = *first == now.fingerprint;
        let pin = SetMcpPin {
            toolbox_id: due.toolbox.id,
            owner_id: due.owner_id,
            instance_id: due.instance_id,
            fingerprint: Some(first),
            // Those of others are never written down as those that were listed first.
            definitions: is_first.then(|| written(&now.tools)).transpose()?,
            is_first: true,
            change: ToolsChanged::default(),
            request_id: &self.request_id,
        };
        let set = database.set_mcp_pin(&pin).await?;
        Ok(matches!(set, AcceptedMcpPin::Set { .. }))
    }
}

fn written(tools: &[Definition]) -> Result<String, ApiError> {
    serde_json::to_string(tools).map_err(|error| ApiError::internal(&error))
}

/// What the owner is shown: what was accepted, or is going to be, beside what is listed now.
fn shown(accepted: Option<&McpPinRow>, pending: bool, now: &McpTools) -> Result<McpPin, ApiError> {
    let mut pin = compared(accepted, Some(now))?;
    pin.pending = pending;
    let told = match accepted {
        None if !pending => None,
        None if now.first_fingerprint.is_none() => Some(UNKNOWN),
        None => (now.first_fingerprint.as_ref() != Some(&now.fingerprint)).then_some(OTHERS),
        Some(accepted) if accepted.fingerprint == now.fingerprint => None,
        Some(McpPinRow {
            definitions: None, ..
        }) => Some(UNREAD),
        Some(_) => {
            let is_seen =
                !(pin.added.is_empty() && pin.removed.is_empty() && pin.changed.is_empty());
            (!is_seen).then_some(UNSEEN)
        }
    };
    if pending && told.is_some() {
        pin.added.clone_from(&now.tools);
    }
    pin.problem = told.map(str::to_owned);
    Ok(pin)
}

/// What was accepted, and how what is listed now differs from it.
fn compared(accepted: Option<&McpPinRow>, now: Option<&McpTools>) -> Result<McpPin, ApiError> {
    let mut pin = McpPin {
        current_fingerprint: now.map(|now| now.fingerprint.clone()),
        ..McpPin::default()
    };
    let Some(accepted) = accepted else {
        return Ok(pin);
    };
    let before: Option<Vec<Definition>> = match &accepted.definitions {
        Some(text) => Some(serde_json::from_str(text).map_err(|error| ApiError::internal(&error))?),
        None => None,
    };
    pin.accepted = Some(McpAccepted {
        fingerprint: accepted.fingerprint.clone(),
        tool_count: before.as_ref().map(Vec::len),
        accepted_at: accepted.accepted_at.clone(),
    });
    let Some(now) = now.filter(|now| now.fingerprint != accepted.fingerprint) else {
        return Ok(pin);
    };
    let mut before: BTreeMap<String, Definition> = before
        .unwrap_or_default()
        .into_iter()
        .map(|tool| (name_of(&tool), tool))
        .collect();
    // Of several of one name the last counts, as for the fingerprint.
    let now: BTreeMap<String, &Definition> =
        now.tools.iter().map(|tool| (name_of(tool), tool)).collect();
    for (name, after) in now {
        match before.remove(&name) {
            None => pin.added.push(after.clone()),
            Some(before) if !is_same(&before, after) => pin.changed.push(McpToolChange {
                name,
                before,
                after: after.clone(),
            }),
            Some(_) => {}
        }
    }
    pin.removed = before.into_values().collect();
    Ok(pin)
}

fn name_of(tool: &Definition) -> String {
    tool.get("name")
        .and_then(|name| name.as_str())
        .unwrap_or_default()
        .to_owned()
}

fn is_same(one: &Definition, other: &Definition) -> bool {
    let part = |tool: &Definition, field: &str| {
        // What is null counts as what is not there.
        tool.get(field).filter(|value| !value.is_null()).cloned()
    };
    FIELDS
        .iter()
        .all(|field| part(one, field) == part(other, field))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn tools(tools: &Value) -> Vec<Definition> {
        serde_json::from_value(tools.clone()).unwrap()
    }

    #[test]
    fn a_difference_has_the_definitions_before_and_after() {
        let accepted = McpPinRow {
            fingerprint: "a".to_owned(),
            definitions: Some(json!([{"name": "same", "title": null}, {"name": "gone"}, {"name": "other", "description": "x"}]).to_string()),
            accepted_at: "then".to_owned(),
        };
        let now = McpTools {
            fingerprint: "b".to_owned(),
            first_fingerprint: None,
            tools: tools(
                &json!([{"name": "new"}, {"name": "other", "description": "y"}, {"name": "same"}]),
            ),
        };
        let pin = compared(Some(&accepted), Some(&now)).unwrap();
        assert_eq!(pin.added, tools(&json!([{"name": "new"}])));
        assert_eq!(pin.removed, tools(&json!([{"name": "gone"}])));
        let [change] = &pin.changed[..] else {
            panic!("{pin:?}")
        };
        assert_eq!(change.name, "other");
        assert_eq!(
            (&change.before["description"], &change.after["description"]),
            (&json!("x"), &json!("y"))
        );
        assert_eq!(
            pin.accepted.and_then(|accepted| accepted.tool_count),
            Some(3)
        );
        let same = McpTools {
            fingerprint: "a".to_owned(),
            ..now.clone()
        };
        for (accepted, now) in [
            (Some(&accepted), Some(&same)),
            (Some(&accepted), None),
            (None, Some(&now)),
        ] {
            let pin = compared(accepted, now).unwrap();
            assert!(pin.added.is_empty() && pin.removed.is_empty() && pin.changed.is_empty());
            assert_eq!(pin.current_fingerprint.is_some(), now.is_some());
        }
    }

    #[test]
    fn what_a_difference_does_not_show_is_said() {
        let listed = json!([{"name": "one", "description": "[secret]"}]);
        let row = |definitions: Option<&Value>| McpPinRow {
            fingerprint: "a".to_owned(),
            definitions: definitions.map(Value::to_string),
            accepted_at: "then".to_owned(),
        };
        let now = |fingerprint: &str, first: Option<&str>| McpTools {
            fingerprint: fingerprint.to_owned(),
            first_fingerprint: first.map(str::to_owned),
            tools: tools(&listed),
        };
        let (same, unread) = (row(Some(&listed)), row(None));
        let others = row(Some(&json!([])));
        for (accepted, pending, now, told, added) in [
            (Some(&same), false, now("a", None), None, 0),
            (Some(&same), false, now("b", None), Some(UNSEEN), 0),
            (Some(&others), false, now("b", None), None, 1),
            (Some(&unread), false, now("a", None), None, 0),
            (Some(&unread), false, now("b", None), Some(UNREAD), 1),
            (None, false, now("b", Some("a")), None, 0),
            (None, true, now("a", Some("a")), None, 0),
            (None, true, now("b", Some("a")), Some(OTHERS), 1),
            (None, true, now("a", None), Some(UNKNOWN), 1),
        ] {
            let pin = shown(accepted, pending, &now).unwrap();
            assert_eq!(pin.problem.as_deref(), told, "{pin:?}");
            assert_eq!((pin.added.len(), pin.pending), (added, pending), "{pin:?}");
            let count = pin.accepted.map(|accepted| accepted.tool_count);
            let is_read = accepted.map(|row| row.definitions.is_some());
            assert_eq!(count.map(|count| count.is_some()), is_read);
        }
    }
}
