//! From the caller's toolbox row to an agent that may be called.

use std::net::IpAddr;
use std::rc::Rc;

use toolbox_api::error::ErrorCode;
use toolbox_clients::dtma::Agent;
use toolbox_clients::supabase::Select;
use toolbox_clients::supabase::rows::{EnvironmentRow, InstanceRow};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::keys::{Purpose, derive_agent_key};
use toolbox_domain::names::DisplayName;
use toolbox_edge::{ApiError, App, Cx};

/// An instance as callers name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// By id.
    Id(ToolInstanceId),
    /// By display name; names that are UUIDs are not allowed, so there is no third meaning.
    Name(String),
}

impl Target {
    /// Reads a path segment (decoded once) or the `instanceId` of a body.
    pub(crate) fn parse(text: &str) -> Result<Self, ApiError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        // A name that could never be given names nothing.
        DisplayName::parse(text)
            .map(|name| Self::Name(name.as_str().to_owned()))
            .map_err(|_| ApiError::new(ErrorCode::InstanceNotFound))
    }

    fn select(&self) -> Select<'_> {
        match self {
            Self::Id(id) => Select::Id(*id),
            Self::Name(name) => Select::Name(name),
        }
    }
}

/// Reads the toolbox id of a path or body.
pub(crate) fn toolbox_id(text: &str) -> Result<ToolboxId, ApiError> {
    text.parse().map_err(|_| {
        ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give the id of the toolbox, a UUID",
        )
    })
}

/// The toolbox, as far as the caller may see it.
pub(crate) async fn find(
    cx: &Cx,
    id: ToolboxId,
    select: Select<'_>,
) -> Result<EnvironmentRow, ApiError> {
    cx.app
        .supabase
        .toolbox(&cx.caller.token, id, select)
        .await?
        .ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))
}

/// The toolbox and one of its instances, in one read.
pub(crate) async fn find_instance(
    cx: &Cx,
    id: ToolboxId,
    target: &Target,
) -> Result<(EnvironmentRow, InstanceRow), ApiError> {
    let mut toolbox = find(cx, id, target.select()).await?;
    let instance = toolbox
        .instances
        .pop()
        .ok_or_else(|| ApiError::new(ErrorCode::InstanceNotFound))?;
    Ok((toolbox, instance))
}

/// The agent of a toolbox. Its address comes from a table no user can write, and still only two
/// kinds of address are called: with a pinned certificate over TLS, or loopback. Plain HTTP to
/// anywhere else would show the toolbox's key to the network.
pub(crate) fn agent(app: &App, toolbox: &EnvironmentRow) -> Result<Agent, ApiError> {
    let address: IpAddr = toolbox
        .public_ip_address
        .as_deref()
        .and_then(|text| text.split('/').next())
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotReady))?;
    let scheme = match &toolbox.dtma_certificate_pem {
        Some(_) => "https",
        None if address.is_loopback() => "http",
        None => return Err(ApiError::new(ErrorCode::AgentNotEnrolled)),
    };
    let host = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let root = app.config.agent_root_secret.as_bytes();
    let key = derive_agent_key(root, toolbox.id, Purpose::ControlToAgent)
        .map_err(|error| ApiError::new(ErrorCode::NotConfigured).caused_by(&error))?;
    Ok(Agent::new(
        Rc::clone(&app.transport),
        format!("{scheme}://{host}:{}", toolbox.dtma_port),
        &key,
        toolbox.dtma_certificate_pem.as_deref().map(Rc::from),
        app.config.upstream_timeout,
    ))
}
