//! What may be done on a machine from outside when nothing else is let in: a closed set of operations.
//!
//! An operation has one text form, which is the whole command of an SSH connection, and one JSON form. [`parse`](MachineOperation::from_str)
//! accepts exactly the texts that [`Display`](fmt::Display) writes, so no text reaches anything but one of these
//! variants with checked arguments. The command texts of the predecessor are read by [`PredecessorCommand`] into the
//! same variants; nothing of such a text travels further.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::ToolInstanceId;
use crate::names::ContainerName;

/// The user of the machine whom the control plane signs in as.
pub const SSH_USER: &str = "toolbox-ssh";

/// What sshd runs for that user, whatever was asked for. It reads the operation from `SSH_ORIGINAL_COMMAND`.
pub const FORCED_COMMAND: &str = "sudo -n /usr/local/bin/dtma ssh-command";

/// Most bytes of an operation's text; the longest one has fewer.
pub const MAX_TEXT_BYTES: usize = 128;

/// Most lines of a log that one operation asks for.
pub const MAX_TAIL: u16 = 5000;

/// Most characters of a version.
pub const MAX_VERSION_CHARS: usize = 64;

/// One operation on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MachineOperation {
    /// Changes one tool instance.
    Instance {
        /// What to do with it.
        action: InstanceAction,
        /// The instance.
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
        id: ToolInstanceId,
    },
    /// Reads the last lines of one tool instance.
    InstanceLogs {
        /// The instance.
        #[cfg_attr(feature = "openapi", schema(value_type = String, format = Uuid))]
        id: ToolInstanceId,
        /// How many lines.
        tail: Tail,
    },
    /// Says how the agent is.
    AgentStatus,
    /// Ends the agent and starts it again.
    AgentRestart,
    /// Replaces the agent by another version.
    AgentRedeploy {
        /// The version; without it, the one that the machine is configured for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<AgentVersion>,
    },
    /// Replaces the agent by the version before.
    AgentRollback,
    /// Reads the last lines of the agent's own log.
    AgentLogs {
        /// How many lines.
        tail: Tail,
    },
    /// Says how the machine is.
    HostHealth,
}

/// What can be done with a tool instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum InstanceAction {
    /// Starts it.
    Start,
    /// Stops it.
    Stop,
    /// Stops it and starts it.
    Restart,
    /// Removes its container and its volumes, and forgets it.
    Remove,
}

impl InstanceAction {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::Start, Self::Stop, Self::Restart, Self::Remove];

    /// The stable spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Remove => "remove",
        }
    }
}

/// How many lines of a log: 1 to [`MAX_TAIL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "u16", into = "u16")]
pub struct Tail(u16);

impl Tail {
    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Tail {
    type Error = OperationError;

    fn try_from(lines: u16) -> Result<Self, OperationError> {
        match lines {
            1..=MAX_TAIL => Ok(Self(lines)),
            _ => Err(OperationError::Tail),
        }
    }
}

impl From<Tail> for u16 {
    fn from(tail: Tail) -> Self {
        tail.0
    }
}

/// A version of the agent: 1 to [`MAX_VERSION_CHARS`] of `0-9 A-Z a-z . + -`, the first a digit. It names a folder
/// and a part of a URL as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "String", into = "String")]
pub struct AgentVersion(String);

impl AgentVersion {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentVersion {
    type Err = OperationError;

    fn from_str(text: &str) -> Result<Self, OperationError> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-');
        let starts = text.as_bytes().first().is_some_and(u8::is_ascii_digit);
        if starts && text.len() <= MAX_VERSION_CHARS && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(OperationError::Version)
        }
    }
}

impl TryFrom<String> for AgentVersion {
    type Error = OperationError;

    fn try_from(text: String) -> Result<Self, OperationError> {
        text.parse()
    }
}

impl From<AgentVersion> for String {
    fn from(version: AgentVersion) -> Self {
        version.0
    }
}

impl fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// It is none of the set's forms.
    #[error("send one of the allowed operations, exactly as it is listed")]
    Unknown,
    /// Not an id in the one form in which ids are written.
    #[error("name the instance by its id, hyphenated and in lower case")]
    Id,
    /// Not a number of lines.
    #[error("ask for 1 to {MAX_TAIL} lines")]
    Tail,
    /// Not a version.
    #[error(
        "give a version of at most {MAX_VERSION_CHARS} of 0-9 A-Z a-z . + -, the first a digit"
    )]
    Version,
    /// The predecessor's `docker rm`, which kept named volumes.
    #[error(
        "send the operation remove with the id of the instance; other than docker rm, it removes the instance's volumes too"
    )]
    KeptVolumes,
}

/// The forms of the set, for people who sent something else.
pub const ALLOWED: [&str; 11] = [
    "start <instance id>",
    "stop <instance id>",
    "restart <instance id>",
    "remove <instance id>",
    "logs <instance id> <lines>",
    "agent-status",
    "agent-restart",
    "agent-redeploy [version]",
    "agent-rollback",
    "agent-logs <lines>",
    "host-health",
];

impl fmt::Display for MachineOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance { action, id } => write!(f, "{} {id}", action.as_str()),
            Self::InstanceLogs { id, tail } => write!(f, "logs {id} {}", tail.0),
            Self::AgentStatus => f.write_str("agent-status"),
            Self::AgentRestart => f.write_str("agent-restart"),
            Self::AgentRedeploy { version: None } => f.write_str("agent-redeploy"),
            Self::AgentRedeploy {
                version: Some(version),
            } => write!(f, "agent-redeploy {version}"),
            Self::AgentRollback => f.write_str("agent-rollback"),
            Self::AgentLogs { tail } => write!(f, "agent-logs {}", tail.0),
            Self::HostHealth => f.write_str("host-health"),
        }
    }
}

/// Reads exactly what `Display` writes: words with one space between them, nothing around them.
impl FromStr for MachineOperation {
    type Err = OperationError;

    fn from_str(text: &str) -> Result<Self, OperationError> {
        let words = words(text)?;
        Ok(match words.as_slice() {
            ["start", id] => Self::Instance {
                action: InstanceAction::Start,
                id: instance(id)?,
            },
            ["stop", id] => Self::Instance {
                action: InstanceAction::Stop,
                id: instance(id)?,
            },
            ["restart", id] => Self::Instance {
                action: InstanceAction::Restart,
                id: instance(id)?,
            },
            ["remove", id] => Self::Instance {
                action: InstanceAction::Remove,
                id: instance(id)?,
            },
            ["logs", id, lines] => Self::InstanceLogs {
                id: instance(id)?,
                tail: tail(lines)?,
            },
            ["agent-status"] => Self::AgentStatus,
            ["agent-restart"] => Self::AgentRestart,
            ["agent-redeploy"] => Self::AgentRedeploy { version: None },
            ["agent-redeploy", version] => Self::AgentRedeploy {
                version: Some(version.parse()?),
            },
            ["agent-rollback"] => Self::AgentRollback,
            ["agent-logs", lines] => Self::AgentLogs { tail: tail(lines)? },
            ["host-health"] => Self::HostHealth,
            _ => return Err(OperationError::Unknown),
        })
    }
}

/// A command text of the predecessor, read into the same set. Old callers named a container where the set names an
/// instance; whoever has the rows looks the name up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PredecessorCommand {
    /// Says all that an operation needs.
    Operation(MachineOperation),
    /// `docker start|stop|restart <name>`.
    Named {
        /// What to do.
        action: InstanceAction,
        /// What the instance or its container is called.
        name: ContainerName,
    },
    /// `docker logs [--tail <lines>] <name>`.
    NamedLogs {
        /// What the instance or its container is called.
        name: ContainerName,
        /// How many lines.
        tail: Tail,
    },
}

/// Lines that `docker logs` without `--tail` gives: what the predecessor asked for by default.
const PREDECESSOR_TAIL: Tail = Tail(100);

impl FromStr for PredecessorCommand {
    type Err = OperationError;

    fn from_str(text: &str) -> Result<Self, OperationError> {
        let words = words(text)?;
        match words.as_slice() {
            ["docker", "start", target] => changed(InstanceAction::Start, target),
            ["docker", "stop", target] => changed(InstanceAction::Stop, target),
            ["docker", "restart", target] => changed(InstanceAction::Restart, target),
            // To remove an instance is to remove its volumes. Nobody who meant the container alone may lose them.
            ["docker", "rm", ..] => Err(OperationError::KeptVolumes),
            ["docker", "logs", target] => logged(target, PREDECESSOR_TAIL),
            ["docker", "logs", "--tail", lines, target] => logged(target, tail(lines)?),
            ["sudo", "systemctl", "restart", "dtma"] | ["systemctl", "restart", "dtma"] => {
                Ok(Self::Operation(MachineOperation::AgentRestart))
            }
            ["systemctl", "is-active", "dtma"] => {
                Ok(Self::Operation(MachineOperation::AgentStatus))
            }
            ["uptime"] | ["free" | "df", "-h"] => Ok(Self::Operation(MachineOperation::HostHealth)),
            _ => text.parse().map(Self::Operation),
        }
    }
}

fn changed(action: InstanceAction, target: &str) -> Result<PredecessorCommand, OperationError> {
    Ok(match instance(target) {
        Ok(id) => PredecessorCommand::Operation(MachineOperation::Instance { action, id }),
        Err(_) => PredecessorCommand::Named {
            action,
            name: name(target)?,
        },
    })
}

fn logged(target: &str, tail: Tail) -> Result<PredecessorCommand, OperationError> {
    Ok(match instance(target) {
        Ok(id) => PredecessorCommand::Operation(MachineOperation::InstanceLogs { id, tail }),
        Err(_) => PredecessorCommand::NamedLogs {
            name: name(target)?,
            tail,
        },
    })
}

/// The words between single spaces. A text with anything but printable ASCII has none.
fn words(text: &str) -> Result<Vec<&str>, OperationError> {
    let plain = text.len() <= MAX_TEXT_BYTES && text.bytes().all(|b| matches!(b, b' '..=b'~'));
    if plain {
        Ok(text.split(' ').collect())
    } else {
        Err(OperationError::Unknown)
    }
}

fn instance(word: &str) -> Result<ToolInstanceId, OperationError> {
    let id: ToolInstanceId = word.parse().map_err(|_| OperationError::Id)?;
    if id.to_string() == word {
        Ok(id)
    } else {
        Err(OperationError::Id)
    }
}

fn name(word: &str) -> Result<ContainerName, OperationError> {
    ContainerName::parse(word).map_err(|_| OperationError::Unknown)
}

/// A number without a sign or zeros before it.
fn tail(word: &str) -> Result<Tail, OperationError> {
    let lines: u16 = word.parse().map_err(|_| OperationError::Tail)?;
    if lines.to_string() == word {
        lines.try_into()
    } else {
        Err(OperationError::Tail)
    }
}
