//! The history of toolboxes themselves: agents restarted and replaced, machines reached by SSH.
//!
//! An event is written before what it tells of is done, with the result `begun`, and ended after. Whatever ends the function
//! in between, the event stays.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toolbox_domain::ids::{ToolboxId, UserId};

use super::{DatabaseError, Supabase, argument, parse};

/// The result of what has not ended, as far as is known.
const BEGUN: &str = "begun";

/// Something that a user or an operator has done to a toolbox.
#[derive(Clone, Debug)]
pub struct ToolboxEvent<'a> {
    /// The toolbox.
    pub toolbox: ToolboxId,
    /// Who asked for it.
    pub user: UserId,
    /// As an operator, whoever's toolbox it is.
    pub as_operator: bool,
    /// What is done, as a stable code.
    pub kind: &'a str,
    /// What is known of it before; 4096 bytes at most with what [`Supabase::end_toolbox_event`] adds, without secrets: the
    /// owner reads it.
    pub detail: &'a Map<String, Value>,
    /// The request that caused it.
    pub request_id: Option<&'a str>,
}

/// An event that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(i64);

#[derive(Serialize)]
struct RecordToolboxEvent<'a> {
    toolbox_id: ToolboxId,
    actor_kind: &'a str,
    actor_id: UserId,
    kind: &'a str,
    detail: &'a Map<String, Value>,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
enum RecordedWire {
    Recorded { id: EventId },
    NotFound,
}

#[derive(Serialize)]
struct EndToolboxEvent<'a> {
    id: EventId,
    result: &'a str,
    detail: &'a Map<String, Value>,
}

impl Supabase {
    /// Writes that something begins; none when the toolbox is gone. Repeated only when the first call certainly did not
    /// arrive: a second one would tell of two events.
    pub async fn begin_toolbox_event(
        &self,
        event: &ToolboxEvent<'_>,
    ) -> Result<Option<EventId>, DatabaseError> {
        let body = argument(&RecordToolboxEvent {
            toolbox_id: event.toolbox,
            actor_kind: if event.as_operator {
                "operator"
            } else {
                "user"
            },
            actor_id: event.user,
            kind: event.kind,
            detail: event.detail,
            result: BEGUN,
            request_id: event.request_id,
        });
        let answer = self.call_once("record_toolbox_event", &body).await?;
        match parse(&answer)? {
            RecordedWire::Recorded { id } => Ok(Some(id)),
            RecordedWire::NotFound => Ok(None),
        }
    }

    /// Writes how it ended: `succeeded`, or the code of what went wrong; and what is known of it besides.
    pub async fn end_toolbox_event(
        &self,
        id: EventId,
        result: &str,
        detail: &Map<String, Value>,
    ) -> Result<(), DatabaseError> {
        let body = argument(&EndToolboxEvent { id, result, detail });
        self.call("end_toolbox_event", &body).await.map(|_| ())
    }
}
