//! Names and addresses of a toolbox's networks. Nothing here asks anybody.
//!
//! Each instance has a network of its own, which leads to the internet and carries its published ports. Tools that name a
//! common network are in a second one besides, which leads nowhere else. The bridges of a toolbox share the beginning of
//! their names, by which the firewall knows them.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::spec::InstanceSpec;

use crate::record::short_id;

/// Longest name of a network interface in Linux, in bytes.
const BRIDGE_CHARS: usize = 15;
/// Beginning of the bridges of every toolbox.
pub(crate) const BRIDGE_START: &str = "tbx";
/// How much of a bridge's name tells the toolbox: 25 bits.
const TOOLBOX_CHARS: usize = 5;
/// An instance's own network: the bridge, the container, and a few addresses to spare.
pub const OWN_LENGTH: u8 = 29;
/// A network of several containers: 61 of them.
pub const JOINT_LENGTH: u8 = 26;
/// Lengths of a pool's prefix: the smallest holds a network of either kind, and the largest is looked through in an instant.
pub const POOL_LENGTHS: std::ops::RangeInclusive<u8> = 12..=JOINT_LENGTH;

/// The network that all tools of a toolbox shared before each had its own.
pub fn former(toolbox: ToolboxId) -> String {
    format!("toolbox-{}", short_id(toolbox))
}

/// An instance's own network.
pub fn of_instance(toolbox: ToolboxId, instance: ToolInstanceId) -> String {
    format!("{}-{instance}", former(toolbox))
}

/// The network of the tools that name `name`.
pub fn joint(toolbox: ToolboxId, name: &str) -> String {
    format!("{}-join-{name}", former(toolbox))
}

/// The network of the container that tries to reach the machine, and its name, and that of its image.
pub fn of_probe(toolbox: ToolboxId) -> String {
    format!("{}-probe", former(toolbox))
}

/// The network of the commands of builds.
pub fn of_builds(toolbox: ToolboxId) -> String {
    format!("{}-builds", former(toolbox))
}

/// The networks that `spec` shares with other tools.
pub fn of_spec(toolbox: ToolboxId, spec: &InstanceSpec) -> impl Iterator<Item = String> {
    let names = spec.wire().networks.iter();
    names.map(move |name| joint(toolbox, name))
}

/// The network belongs to the toolbox that `other` belongs to, by their names.
pub fn is_of_same_toolbox(network: &str, other: &str) -> bool {
    let toolbox = |name: &str| {
        let id = name.strip_prefix("toolbox-")?;
        Some(id.split('-').next()?.to_owned())
    };
    toolbox(network).is_some_and(|id| toolbox(other) == Some(id))
}

/// The beginning of the names of a toolbox's bridges, and of no others.
pub fn bridge_prefix(toolbox: ToolboxId) -> String {
    let tag = letters(toolbox.to_string().as_bytes());
    format!("{BRIDGE_START}{}", &tag[..TOOLBOX_CHARS])
}

/// The bridge of a network.
pub fn bridge(toolbox: ToolboxId, network: &str) -> String {
    let prefix = bridge_prefix(toolbox);
    let rest = BRIDGE_CHARS - prefix.len();
    format!("{prefix}{}", &letters(network.as_bytes())[..rest])
}

/// A digest in 32 letters and digits.
fn letters(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let digest = Sha256::digest(bytes);
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte % 32)]);
    digest.iter().map(letter).collect()
}

/// The first subnet of this length in `pools` that overlaps nothing `taken`. Networks of several tools come from the end,
/// so that the small ones do not lie scattered where they need room.
pub fn first_free(pools: &[Ipv4Net], length: u8, taken: &[Ipv4Net]) -> Option<Ipv4Net> {
    let is_free = |one: &Ipv4Net| {
        !taken
            .iter()
            .any(|other| one.contains(&other.network()) || other.contains(&one.network()))
    };
    pools.iter().find_map(|pool| {
        let mut subnets = pool.subnets(length).ok()?;
        if length == JOINT_LENGTH {
            subnets.filter(is_free).last()
        } else {
            subnets.find(is_free)
        }
    })
}

/// The networks that the machine's routes lead to, from the text of `/proc/net/route`; the default route is none.
pub fn routes(table: &str) -> Vec<Ipv4Net> {
    table.lines().filter_map(route).collect()
}

fn route(line: &str) -> Option<Ipv4Net> {
    let mut columns = line.split_whitespace().skip(1);
    // Each is a word in the machine's byte order.
    let address = |text: &str| {
        let word = u32::from_str_radix(text, 16).ok()?;
        Some(Ipv4Addr::from(word.to_ne_bytes()))
    };
    let destination = address(columns.next()?)?;
    let mask = address(columns.nth(5)?)?;
    let net = Ipv4Net::with_netmask(destination, mask).ok()?;
    (net.prefix_len() > 0).then_some(net)
}

#[cfg(test)]
#[path = "networks_tests.rs"]
mod tests;
