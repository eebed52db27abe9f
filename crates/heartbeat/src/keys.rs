//! What an agent is given: its two keys, derived anew each time.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::heartbeat::KeyPair;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::keys::{AgentKey, KeyId, Purpose, RootId, derive_agent_key};
use toolbox_edge::FunctionState;
use toolbox_edge::config::Config;

/// The keys of one toolbox in one epoch of the current root secret.
pub(crate) struct Keys {
    id: KeyId,
    control_to_agent: AgentKey,
    agent_to_control: AgentKey,
}

/// Fingerprint of the current root secret.
pub(crate) fn root_id(config: &Config) -> Result<RootId, ApiError> {
    let agents = config.agents.as_ref()?;
    Ok(RootId::of(agents.root_secret.as_bytes()))
}

impl Keys {
    pub(crate) fn derive(
        state: &FunctionState,
        toolbox: ToolboxId,
        epoch: u32,
    ) -> Result<Self, ApiError> {
        let root = state.config.agents.as_ref()?.root_secret.as_bytes();
        let key = |purpose| {
            derive_agent_key(root, toolbox, purpose, epoch)
                .map_err(|error| ApiError::new(ErrorCode::NotConfigured).caused_by(&error))
        };
        let id = KeyId {
            root: RootId::of(root),
            epoch,
        };
        Ok(Self {
            id,
            control_to_agent: key(Purpose::ControlToAgent)?,
            agent_to_control: key(Purpose::AgentToControl)?,
        })
    }

    /// Their id, as it is stored.
    pub(crate) fn id(&self) -> String {
        self.id.to_string()
    }

    /// Hash of the key the agent will present, as it is stored.
    pub(crate) fn hash(&self) -> String {
        self.agent_to_control.hash()
    }

    /// The keys themselves, for the agent.
    pub(crate) fn reveal(&self) -> KeyPair {
        KeyPair {
            key_id: self.id(),
            control_to_agent: self.control_to_agent.expose().to_owned(),
            agent_to_control: self.agent_to_control.expose().to_owned(),
        }
    }
}
