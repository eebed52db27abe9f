//! The ranges of addresses that are not public.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Why an address is no public target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It stands for this machine or none.
    Unspecified,
    /// This machine.
    Loopback,
    /// A network of its own: RFC 1918, unique local, site-local.
    Private,
    /// The link only; clouds serve a machine's secrets there.
    LinkLocal,
    /// Between a provider and its customers.
    Shared,
    /// A group of machines.
    Multicast,
    /// Each machine of the link.
    Broadcast,
    /// For measurements between machines.
    Benchmarking,
    /// For examples.
    Documentation,
    /// Services of a cloud for its own machines, behind a public address.
    CloudService,
    /// Anything else that is not routed publicly.
    Reserved,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::LinkLocal => "a link-local address",
            Self::Shared => "an address of a provider's inner network",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "a broadcast address",
            Self::Benchmarking => "an address for benchmarks",
            Self::Documentation => "an address for documentation",
            Self::CloudService => "an address of a cloud's inner services",
            Self::Reserved => "a reserved address",
        })
    }
}

/// Why `ip` is no public address, by the registries of IANA for special addresses. An address that carries an IPv4
/// address (mapped, NAT64, 6to4, Teredo) is judged by that one.
pub fn refused(ip: IpAddr) -> Option<Refusal> {
    match ip {
        IpAddr::V4(ip) => refused_v4(ip),
        IpAddr::V6(ip) => refused_v6(ip),
    }
}

fn refused_v4(ip: Ipv4Addr) -> Option<Refusal> {
    let found = V4.iter().find(|(range, _)| range.contains(&ip));
    found.map(|(_, why)| *why)
}

fn refused_v6(ip: Ipv6Addr) -> Option<Refusal> {
    if let Some(found) = V6.iter().find(|(range, _)| range.contains(&ip)) {
        return match found.1 {
            Judge::Refuse(why) => Some(why),
            Judge::Carried(at) => refused_v4(carried(ip, at)),
            Judge::Teredo => {
                let client = Ipv4Addr::from_bits(!carried(ip, 96).to_bits());
                refused_v4(carried(ip, 32)).or_else(|| refused_v4(client))
            }
        };
    }
    // Nothing else is routed publicly.
    (!v6(0x2000, 0, 0, 0, 3).contains(&ip)).then_some(Refusal::Reserved)
}

/// The IPv4 address that begins at bit `at`.
fn carried(ip: Ipv6Addr, at: u32) -> Ipv4Addr {
    let bytes = (ip.to_bits() << at).to_be_bytes();
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

/// The narrower range first.
const V4: [(Ipv4Net, Refusal); 17] = [
    (v4([0, 0, 0, 0], 8), Refusal::Unspecified),
    (v4([10, 0, 0, 0], 8), Refusal::Private),
    (v4([100, 64, 0, 0], 10), Refusal::Shared),
    (v4([127, 0, 0, 0], 8), Refusal::Loopback),
    // Azure's: DHCP, DNS, and what its machines are set up with.
    (v4([168, 63, 129, 16], 32), Refusal::CloudService),
    (v4([169, 254, 0, 0], 16), Refusal::LinkLocal),
    (v4([172, 16, 0, 0], 12), Refusal::Private),
    // 192.0.0.192 is a cloud's metadata.
    (v4([192, 0, 0, 0], 24), Refusal::Reserved),
    (v4([192, 0, 2, 0], 24), Refusal::Documentation),
    // Relays of 6to4, which are gone.
    (v4([192, 88, 99, 0], 24), Refusal::Reserved),
    (v4([192, 168, 0, 0], 16), Refusal::Private),
    (v4([198, 18, 0, 0], 15), Refusal::Benchmarking),
    (v4([198, 51, 100, 0], 24), Refusal::Documentation),
    (v4([203, 0, 113, 0], 24), Refusal::Documentation),
    (v4([224, 0, 0, 0], 4), Refusal::Multicast),
    (v4([255, 255, 255, 255], 32), Refusal::Broadcast),
    (v4([240, 0, 0, 0], 4), Refusal::Reserved),
];

enum Judge {
    Refuse(Refusal),
    /// By the IPv4 address that begins at this bit.
    Carried(u32),
    /// By the addresses of its server and of its client, which is inverted.
    Teredo,
}

/// The narrower range first.
const V6: [(Ipv6Net, Judge); 16] = [
    (v6(0, 0, 0, 0, 128), Judge::Refuse(Refusal::Unspecified)),
    (
        Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
        Judge::Refuse(Refusal::Loopback),
    ),
    // ::ffff:a.b.c.d, which the kernel connects to by IPv4.
    (
        Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96),
        Judge::Carried(96),
    ),
    (v6(0x64, 0xff9b, 0, 0, 96), Judge::Carried(96)),
    // NAT64 within a network, which decides by itself where the IPv4 address lies in it.
    (v6(0x64, 0xff9b, 1, 0, 48), Judge::Refuse(Refusal::Private)),
    (v6(0x2001, 0, 0, 0, 32), Judge::Teredo),
    (
        v6(0x2001, 2, 0, 0, 48),
        Judge::Refuse(Refusal::Benchmarking),
    ),
    (
        v6(0x2001, 0xdb8, 0, 0, 32),
        Judge::Refuse(Refusal::Documentation),
    ),
    // Assignments of the IETF for protocols.
    (v6(0x2001, 0, 0, 0, 23), Judge::Refuse(Refusal::Reserved)),
    (v6(0x2002, 0, 0, 0, 16), Judge::Carried(16)),
    (
        v6(0x3fff, 0, 0, 0, 20),
        Judge::Refuse(Refusal::Documentation),
    ),
    (v6(0xfc00, 0, 0, 0, 7), Judge::Refuse(Refusal::Private)),
    (v6(0xfe80, 0, 0, 0, 10), Judge::Refuse(Refusal::LinkLocal)),
    (v6(0xfec0, 0, 0, 0, 10), Judge::Refuse(Refusal::Private)),
    (v6(0xff00, 0, 0, 0, 8), Judge::Refuse(Refusal::Multicast)),
    // ::a.b.c.d, the old way to write an IPv4 address; ends here whatever it carries.
    (v6(0, 0, 0, 0, 96), Judge::Refuse(Refusal::Reserved)),
];

const fn v4([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// The first four parts of an address, and the rest of it zero.
const fn v6(a: u16, b: u16, c: u16, d: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), length)
}

#[cfg(test)]
#[path = "ranges_tests.rs"]
mod tests;
