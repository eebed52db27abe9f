//! What a container may reach of the machine it runs on.

use core::fmt;
use core::str::FromStr;

use super::validate::limits;
use super::wire::Protocol;

/// One port of the machine that a container may reach although it is refused to others. Link-local addresses, where clouds
/// keep what a machine may know of itself, are opened to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostAccess {
    /// The port, never 0.
    pub port: u16,
    /// TCP or UDP.
    pub protocol: Protocol,
}

/// It is no exception.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "give host:PORT for a port of the machine, such as host:5432, with /udp for UDP; link-local addresses, such as the cloud's metadata, are opened to no tool"
)]
pub struct HostAccessError;

impl HostAccess {
    /// The port belongs to the machine and is given to no tool.
    pub fn is_reserved(&self) -> bool {
        limits::RESERVED_HOST_PORTS.contains(&self.port)
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
        let port = address.strip_prefix("host:").ok_or(HostAccessError)?;
        let is_number = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|port| *port != 0 && is_number);
        Ok(Self {
            port: port.ok_or(HostAccessError)?,
            protocol,
        })
    }
}

impl fmt::Display for HostAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host:{}", self.port)?;
        match self.protocol {
            Protocol::Tcp => Ok(()),
            Protocol::Udp => f.write_str("/udp"),
        }
    }
}
