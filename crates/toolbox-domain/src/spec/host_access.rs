//! What a container may reach of the machine it runs on.

use core::fmt;
use core::net::Ipv4Addr;
use core::str::FromStr;

use super::validate::limits;
use super::wire::Protocol;

/// One port that a container may reach although it is refused to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostAccess {
    /// Where.
    pub target: HostTarget,
    /// The port there, never 0.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// Where an exception leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostTarget {
    /// Any address of the machine's own that is not link-local.
    Host,
    /// This link-local address.
    LinkLocal(Ipv4Addr),
}

/// It is no exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "give host:PORT for a port of the machine, or 169.254.x.y:PORT for a link-local address, with /udp for UDP, such as host:5432"
)]
pub struct HostAccessError;

impl HostAccess {
    /// The port belongs to the machine and is given to no tool.
    pub fn is_reserved(&self) -> bool {
        self.target == HostTarget::Host && limits::RESERVED_HOST_PORTS.contains(&self.port)
    }
}

impl FromStr for HostAccess {
    type Err = HostAccessError;

    fn from_str(text: &str) -> Result<Self, HostAccessError> {
        let (address, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((address, "tcp")) => (address, Protocol::Tcp),
            Some((address, "udp")) => (address, Protocol::Udp),
            Some(_) => return Err(HostAccessError),
        };
        let (target, port) = address.split_once(':').ok_or(HostAccessError)?;
        let target = match target {
            "host" => HostTarget::Host,
            ip => HostTarget::LinkLocal(
                ip.parse()
                    .ok()
                    .filter(Ipv4Addr::is_link_local)
                    .ok_or(HostAccessError)?,
            ),
        };
        let is_number = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|port| *port != 0 && is_number);
        Ok(Self {
            target,
            port: port.ok_or(HostAccessError)?,
            protocol,
        })
    }
}

impl fmt::Display for HostAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            HostTarget::Host => f.write_str("host")?,
            HostTarget::LinkLocal(ip) => ip.fmt(f)?,
        }
        write!(f, ":{}", self.port)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}
