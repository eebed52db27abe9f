//! One newtype per kind of id, so that no two kinds can be mixed up.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is not a UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID such as 6f9619ff-8b86-4d01-b42d-00cf4fc964ff")]
pub struct IdError;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this value.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// The value.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        /// Hyphenated lower case.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        /// Accepts exactly the texts that [`crate::names::DisplayName`] refuses as UUIDs, so that a path segment
        /// is an id or a name, never both.
        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text).map(Self).map_err(|_| IdError)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

id! {
    /// A toolbox: one machine of one account (`account_tool_environments.id`).
    ToolboxId
}
id! {
    /// A tool instance: one container in a toolbox (`account_tool_instances.id`).
    ToolInstanceId
}
id! {
    /// An entry of the tool catalog (`tool_catalog.id`).
    CatalogToolId
}
id! {
    /// A user of the application (`auth.users.id`).
    UserId
}
id! {
    /// One accepted mutation of a tool instance (`tool_instance_operations.id`).
    OperationId
}

id! {
    /// One rollout: the agents of many toolboxes replaced in waves (`rollouts.id`).
    RolloutId
}

id! {
    /// One agent of a user, which works with tools (`agents.id`); not the agent on a machine.
    AgentId
}

id! {
    /// A channel of alerts (`alert_channels.id`).
    AlertChannelId
}

id! {
    /// One run of an agent: drawn at random each time its program starts.
    AgentRunId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_hyphenated_lower_case_and_parses_it_back() {
        let id: ToolboxId = "6F9619FF-8B86-4D01-B42D-00CF4FC964FF".parse().unwrap();
        assert_eq!(id.to_string(), "6f9619ff-8b86-4d01-b42d-00cf4fc964ff");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(
            format!("{id:?}"),
            "ToolboxId(6f9619ff-8b86-4d01-b42d-00cf4fc964ff)"
        );
    }

    #[test]
    fn refuses_what_is_no_uuid() {
        for text in [
            "",
            "404",
            "6f9619ff-8b86-4d01-b42d-00cf4fc964f",
            "Context7 MCP Server",
        ] {
            assert_eq!(text.parse::<ToolInstanceId>(), Err(IdError), "{text:?}");
        }
    }
}
