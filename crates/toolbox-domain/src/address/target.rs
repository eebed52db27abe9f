//! A host that a user named, and a URL with one.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use super::{Allowed, Refusal};

/// Most bytes of a URL.
const MAX_URL_BYTES: usize = 2048;
/// The port of `https`.
const HTTPS_PORT: u16 = 443;
/// Ports below this belong to other services of a machine.
const FIRST_FREE_PORT: u16 = 1024;
/// Last labels of names that only an inner network knows (RFC 6761, RFC 8375, ICANN's list of collisions).
const INNER_DOMAINS: [&str; 10] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "home",
    "lan",
    "arpa",
];

/// Why a text names no target that may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AddressError {
    /// No host name, no address, no port.
    #[error(
        "write the host as a name such as example.com or as an IP address, with an optional port"
    )]
    Malformed,
    /// `127.1`, `2130706433`, `0x7f000001`, `0177.0.0.1`: some resolvers read these as addresses.
    #[error("write the IP address as four decimal numbers, such as 192.0.2.1")]
    Number,
    /// An address that is not public.
    #[error("give a public address; this is {0}")]
    NotPublic(Refusal),
    /// A name that only an inner network knows.
    #[error("give a public host name; this one is known in an inner network only")]
    InnerName,
    /// A URL that is not `https://host/path`.
    #[error("write the URL as https://host/path, without spaces and without a part after #")]
    Url,
    /// A URL with a user name or a password.
    #[error("remove user name and password from the URL")]
    Credentials,
    /// A port of another service.
    #[error("use port 443, or one from 1024 up")]
    Port,
}

impl AddressError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "address_malformed",
            Self::Number => "address_is_number",
            Self::NotPublic(_) => "address_not_public",
            Self::InnerName => "address_is_inner_name",
            Self::Url => "url_invalid",
            Self::Credentials => "url_has_credentials",
            Self::Port => "url_port_refused",
        }
    }
}

/// A host, by name or address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// In lower case, without a dot at its end.
    Name(String),
    /// Written as an address.
    Ip(IpAddr),
}

/// Where a call goes: `host`, `host:port`, `[ipv6]` or `[ipv6]:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The host.
    pub host: Host,
    /// The port, if one was written.
    pub port: Option<u16>,
}

impl Target {
    /// Whether a user may name this target, as far as the text tells: an address is judged, a name only when no public
    /// resolver can know it. Judge what a name resolves to with [`Allowed::check_ip`].
    pub fn check(&self, allowed: &Allowed) -> Result<(), AddressError> {
        match &self.host {
            _ if allowed.has_target(self) => Ok(()),
            Host::Ip(ip) => allowed
                .check_ip(*ip, self.port)
                .map_err(AddressError::NotPublic),
            Host::Name(name) if is_inner(name) => Err(AddressError::InnerName),
            Host::Name(_) => Ok(()),
        }
    }
}

impl FromStr for Target {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, after) = if let Some(rest) = text.strip_prefix('[') {
            let (ip, after) = rest.split_once(']').ok_or(AddressError::Malformed)?;
            let ip: Ipv6Addr = ip.parse().map_err(|_| AddressError::Malformed)?;
            (Host::Ip(ip.into()), after)
        } else {
            let (host, after) = text.split_at(text.find(':').unwrap_or(text.len()));
            (Host::from_str(host)?, after)
        };
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err(AddressError::Malformed),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Ip(IpAddr::V4(ip)) => ip.fmt(f)?,
            Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// A name or an IPv4 address.
impl FromStr for Host {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        if text.len() > 253 || !text.split('.').all(is_label) {
            return Err(AddressError::Malformed);
        }
        // No domain ends in a number; resolvers read 127.1 and 0x7f000001 as addresses.
        let last = text.rsplit('.').next().unwrap_or(text).to_ascii_lowercase();
        if last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(AddressError::Number);
        }
        Ok(Self::Name(text.to_ascii_lowercase()))
    }
}

/// The target of an `https` URL that a user may name, as far as the text tells: no user name, no fragment, port 443 or
/// one that no service of the system has.
pub fn https_url(text: &str, allowed: &Allowed) -> Result<Target, AddressError> {
    // URL parsers take `\` for `/`, and drop tabs and line breaks.
    let is_plain = text.len() <= MAX_URL_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#');
    let (scheme, rest) = text.split_once("://").ok_or(AddressError::Url)?;
    if !is_plain || !scheme.eq_ignore_ascii_case("https") {
        return Err(AddressError::Url);
    }
    let authority = rest.split(['/', '?']).next().unwrap_or(rest);
    if authority.contains('@') {
        return Err(AddressError::Credentials);
    }
    let target: Target = authority.parse()?;
    target.check(allowed)?;
    let port = target.port.unwrap_or(HTTPS_PORT);
    if port != HTTPS_PORT && port < FIRST_FREE_PORT {
        return Err(AddressError::Port);
    }
    Ok(target)
}

fn parse_port(text: &str) -> Result<u16, AddressError> {
    let is_decimal = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_decimal && port != 0 => Ok(port),
        _ => Err(AddressError::Malformed),
    }
}

fn is_inner(name: &str) -> bool {
    match name.rsplit_once('.') {
        Some((_, last)) => INNER_DOMAINS.contains(&last),
        None => true,
    }
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
