//! From the caller's toolbox row to an agent that may be called.

use std::rc::Rc;

use toolbox_api::error::ErrorCode;
use toolbox_clients::dtma::Agent;
use toolbox_clients::supabase::Select;
use toolbox_clients::supabase::rows::{EnvironmentRow, InstanceRow};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::names::{DisplayName, agent_host};
use toolbox_edge::{ApiError, Cx};
use toolbox_http::Pin;

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
) -> Result<Box<EnvironmentRow>, ApiError> {
    cx.app
        .supabase
        .toolbox(&cx.caller()?.token, id, select)
        .await?
        .ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))
}

/// The toolbox and one of its instances, in one read.
pub(crate) async fn find_instance(
    cx: &Cx,
    id: ToolboxId,
    target: &Target,
) -> Result<(Box<EnvironmentRow>, Box<InstanceRow>), ApiError> {
    let mut toolbox = find(cx, id, target.select()).await?;
    let instance = toolbox
        .instances
        .pop()
        .ok_or_else(|| ApiError::new(ErrorCode::InstanceNotFound))?;
    Ok((toolbox, instance))
}

/// Where the agent of a toolbox answers, as a client on the network would call it.
pub(crate) fn base(toolbox: &EnvironmentRow) -> Result<String, ApiError> {
    let scheme = match &toolbox.dtma_certificate_pem {
        Some(_) => "https",
        None => "http",
    };
    Ok(format!("{scheme}://{}", authority(toolbox)?))
}

/// IP address and port of the agent. They come from a table no user can write, and still only two kinds of agent are
/// called: one with a pinned certificate over TLS, or one on loopback. Plain HTTP to anywhere else would show the
/// toolbox's key to the network.
fn authority(toolbox: &EnvironmentRow) -> Result<String, ApiError> {
    let address = toolbox
        .public_ip_address
        .as_deref()
        .and_then(|text| text.split('/').next());
    let address = address.and_then(Address::read);
    let address = address.ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotReady))?;
    if toolbox.dtma_certificate_pem.is_none() && !address.is_loopback() {
        return Err(ApiError::new(ErrorCode::AgentNotEnrolled));
    }
    Ok(format!("{}:{}", address.host(), toolbox.dtma_port))
}

/// The agent of a toolbox. An enrolled one is called by the name in its certificate, through its own tunnel.
pub(crate) fn agent(cx: &Cx, toolbox: &EnvironmentRow) -> Result<Agent, ApiError> {
    let address = format!("http://{}", authority(toolbox)?);
    let (base, pin) = match toolbox.dtma_certificate_pem.as_deref() {
        Some(pem) => {
            let pin = Pin {
                certificate: pem.into(),
                proxy: address.into(),
            };
            (format!("https://{}", agent_host(toolbox.id)), Some(pin))
        }
        None => (address, None),
    };
    let app = &cx.app;
    let key = app.agent_key(toolbox.id, toolbox.dtma_key_id.as_deref())?;
    Ok(Agent::new(
        Rc::clone(&app.transport),
        base,
        &key,
        pin,
        app.config.upstream_timeout,
        Rc::clone(&cx.request_id),
    ))
}

/// An IP address as Postgres prints an `inet`. The standard library's parser and printer of both
/// families would weigh 2 KB gzip; this needs no more than which family it is.
enum Address<'a> {
    V4(&'a str),
    V6(&'a str),
}

impl<'a> Address<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let parts = text
            .split('.')
            .filter(|part| part.parse::<u8>().is_ok())
            .count();
        if parts == 4 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Some(Self::V4(text));
        }
        let is_v6 = text.contains(':') && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        is_v6.then_some(Self::V6(text))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::V4(text) => text.starts_with("127."),
            Self::V6(text) => *text == "::1",
        }
    }

    fn host(&self) -> String {
        match self {
            Self::V4(text) => (*text).to_owned(),
            Self::V6(text) => format!("[{text}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_are_hosts_and_only_loopback_is_loopback() {
        for (text, host, loopback) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("127.8.9.10", "127.8.9.10", true),
            ("::1", "[::1]", true),
            ("10.0.0.1", "10.0.0.1", false),
            ("169.254.169.254", "169.254.169.254", false),
            ("2001:db8::1", "[2001:db8::1]", false),
        ] {
            let address = Address::read(text).unwrap();
            assert_eq!(
                (address.host().as_str(), address.is_loopback()),
                (host, loopback)
            );
        }
        for text in [
            "",
            "127.0.0",
            "127.0.0.1.2",
            "127.0.0.256",
            "127.a.b.c",
            "localhost",
            "::ffff:127.0.0.1",
            "::1@x",
            "127.0.0.1:80",
        ] {
            assert!(Address::read(text).is_none(), "{text}");
        }
    }
}
