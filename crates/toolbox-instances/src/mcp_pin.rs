//! The tools of an MCP server that its owner accepted, beside those that it lists now.

use std::collections::BTreeMap;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::mcp::ToolsChanged;
use toolbox_api::mcp_pin::{Definition, FIELDS, McpAccepted, McpPin, McpToolChange, McpTools};
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::mcp_pin::{AcceptedMcpPin, FoundMcpPin, McpPinRow, SetMcpPin};
use toolbox_clients::supabase::rows::{EnvironmentRow, InstanceRow};
use toolbox_domain::ids::ToolboxId;

use crate::find::Target;
use crate::{Instances, UserRequest};

/// Said where fingerprints differ and nothing that is shown does.
const UNSEEN: &str = "The tools differ in what is not shown: a secret in a definition, or a field that stands there twice";

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
        match self.listed(request, &toolbox, &row).await {
            Ok(now) => {
                let mut pin = compared(accepted.as_ref(), Some(&now))?;
                let differs = accepted.is_some_and(|row| row.fingerprint != now.fingerprint);
                if differs
                    && pin.added.is_empty()
                    && pin.removed.is_empty()
                    && pin.changed.is_empty()
                {
                    pin.problem = Some(UNSEEN.to_owned());
                }
                Ok(pin)
            }
            Err(error) => Ok(McpPin {
                problem: Some(error.message().to_owned()),
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
        let definitions = serde_json::to_string(&now.tools);
        let pin = SetMcpPin {
            toolbox_id,
            owner_id: request.user,
            instance_id: row.id,
            fingerprint: Some(fingerprint),
            definitions: Some(definitions.map_err(|error| ApiError::internal(&error))?),
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
                tool_count: now.tools.len(),
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
            other => other.into(),
        })
    }
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
    let before: Vec<Definition> =
        serde_json::from_str(&accepted.definitions).map_err(|error| ApiError::internal(&error))?;
    pin.accepted = Some(McpAccepted {
        fingerprint: accepted.fingerprint.clone(),
        tool_count: before.len(),
        accepted_at: accepted.accepted_at.clone(),
    });
    let Some(now) = now.filter(|now| now.fingerprint != accepted.fingerprint) else {
        return Ok(pin);
    };
    let mut before: BTreeMap<String, Definition> = before
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
            definitions: json!([{"name": "same", "title": null}, {"name": "gone"}, {"name": "other", "description": "x"}]).to_string(),
            accepted_at: "then".to_owned(),
        };
        let now = McpTools {
            fingerprint: "b".to_owned(),
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
        assert_eq!(pin.accepted.map(|accepted| accepted.tool_count), Some(3));
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
}
