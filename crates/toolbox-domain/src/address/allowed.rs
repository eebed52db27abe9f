//! What an operator allows although it is not public.

use core::net::IpAddr;
use core::str::FromStr;

use ipnet::IpNet;

use super::{Host, Refusal, Target, refused};

/// Most entries of a list.
const MAX_ENTRIES: usize = 64;

/// Targets that are no public ones and may be named nevertheless; none by default.
///
/// A list with commas: `host` and `host:port` by name or address, or a network such as `10.20.0.0/16`. Without a port
/// each port is allowed. A listed name may lead to any address; an address or a network allows the addresses that are
/// written as such, and those of names that a public resolver knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Network(IpNet),
    Target(Target),
}

/// A list that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowedError {
    /// One of its entries.
    #[error("'{0}' is no host, host:port or network such as 10.20.0.0/16")]
    Entry(String),
    /// Longer than a list may be.
    #[error("list at most {MAX_ENTRIES} entries; a network stands for many addresses")]
    TooMany,
}

impl Allowed {
    /// Why a call to this address, which was written or resolved, is refused.
    pub fn check_ip(&self, ip: IpAddr, port: Option<u16>) -> Result<(), Refusal> {
        let Some(why) = refused(ip) else {
            return Ok(());
        };
        let ip = ip.to_canonical();
        let is_listed = self.0.iter().any(|entry| match entry {
            Entry::Network(network) => network.contains(&ip),
            Entry::Target(target) => target.host == Host::Ip(ip) && target.allows_port(port),
        });
        if is_listed { Ok(()) } else { Err(why) }
    }

    /// Whether the list allows this target by the host that is written in it.
    pub fn has_target(&self, asked: &Target) -> bool {
        self.0.iter().any(|entry| match (entry, &asked.host) {
            (Entry::Network(network), Host::Ip(ip)) => network.contains(&ip.to_canonical()),
            (Entry::Network(_), Host::Name(_)) => false,
            (Entry::Target(listed), host) => {
                listed.host == host.canonical() && listed.allows_port(asked.port)
            }
        })
    }
}

impl Target {
    /// As an entry of a list: without a port it allows each.
    fn allows_port(&self, asked: Option<u16>) -> bool {
        self.port.is_none() || self.port == asked
    }
}

impl Host {
    /// An IPv4 address also where it is written as the IPv6 address that stands for it.
    fn canonical(&self) -> Self {
        match self {
            Self::Ip(ip) => Self::Ip(ip.to_canonical()),
            Self::Name(name) => Self::Name(name.clone()),
        }
    }
}

impl FromStr for Allowed {
    type Err = AllowedError;

    fn from_str(text: &str) -> Result<Self, AllowedError> {
        let entries: Vec<Entry> = text
            .split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| parse_entry(entry).ok_or_else(|| AllowedError::Entry(entry.to_owned())))
            .collect::<Result<_, _>>()?;
        if entries.len() > MAX_ENTRIES {
            return Err(AllowedError::TooMany);
        }
        Ok(Self(entries))
    }
}

fn parse_entry(text: &str) -> Option<Entry> {
    if let Ok(network) = text.parse::<IpNet>() {
        return Some(Entry::Network(network.trunc()));
    }
    let mut target: Target = text.parse().ok()?;
    target.host = target.host.canonical();
    Some(Entry::Target(target))
}

#[cfg(test)]
#[path = "allowed_tests.rs"]
mod tests;
