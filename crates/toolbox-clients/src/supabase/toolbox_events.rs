//! The history of toolboxes themselves: agents restarted and replaced, machines reached by SSH.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toolbox_domain::ids::{ToolboxId, UserId};

use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A user asked for it.
    User(UserId),
    /// The machine's agent reported it.
    Agent,
    /// Nobody asked.
    ControlPlane,
}

/// Something that was done to a toolbox.
#[derive(Clone, Debug)]
pub struct ToolboxEvent<'a> {
    /// The toolbox.
    pub toolbox: ToolboxId,
    /// Who caused it.
    pub actor: Actor,
    /// What was done, as a stable code.
    pub kind: &'a str,
    /// What belongs to it; 4096 bytes at most, without secrets: the owner reads it.
    pub detail: &'a Map<String, Value>,
    /// `succeeded`, or the code of what went wrong.
    pub result: &'a str,
    /// The request that caused it.
    pub request_id: Option<&'a str>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventRecorded {
    /// It is in the history.
    Recorded,
    /// The agent of this toolbox causes more events than are kept.
    Limited,
    /// The toolbox is gone.
    NotFound,
}

#[derive(Serialize)]
struct RecordToolboxEvent<'a> {
    toolbox_id: ToolboxId,
    actor_kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    kind: &'a str,
    detail: &'a Map<String, Value>,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Deserialize)]
struct RecordedWire {
    outcome: EventRecorded,
}

impl Supabase {
    /// Adds an event to the history of a toolbox. Repeated only when the first call certainly did not arrive: a second one
    /// would tell of two events.
    pub async fn record_toolbox_event(
        &self,
        event: &ToolboxEvent<'_>,
    ) -> Result<EventRecorded, DatabaseError> {
        let (actor_kind, actor_id) = match event.actor {
            Actor::User(id) => ("user", Some(id.to_string())),
            Actor::Agent => ("agent", Some(event.toolbox.to_string())),
            Actor::ControlPlane => ("control_plane", None),
        };
        let body = argument(&RecordToolboxEvent {
            toolbox_id: event.toolbox,
            actor_kind,
            actor_id,
            kind: event.kind,
            detail: event.detail,
            result: event.result,
            request_id: event.request_id,
        });
        let answer = self.call_once("record_toolbox_event", &body).await?;
        parse::<RecordedWire>(&answer)
            .map(|told| told.outcome)
            .map_err(|_| unexpected(&answer))
    }
}
