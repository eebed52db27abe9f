//! Which packets of a toolbox's containers are refused, as values.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use toolbox_api::dtma::Protocol;
use toolbox_domain::spec::HostAccess;

use crate::record::hex;

/// Where the kernel asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// A packet to an address of the machine's own.
    Input,
    /// A packet that the machine passes on.
    Forward,
}

impl Hook {
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Input => 1,
            Self::Forward => 2,
        }
    }

    pub(super) const fn chain(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Forward => "forward",
        }
    }
}

/// What a packet must be for a rule to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It came in by an interface whose name begins so.
    FromInterface(String),
    /// It came in by this interface.
    FromInterfaceNamed(String),
    /// It belongs to a connection that was let through before, or is an error about one.
    Answers,
    /// It is of this address family.
    Family(u8),
    /// It carries this protocol.
    Transport(u8),
    /// It goes to this port.
    ToPort(u16),
    /// It is an ICMP message from one type to the other.
    IcmpType(u8, u8),
    /// Its IPv4 destination begins so.
    To4(Vec<u8>),
    /// Its IPv6 destination is link-local.
    To6LinkLocal,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Accept,
    Refuse,
}

/// One rule. The first of a chain whose checks a packet passes decides; without one it is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub hook: Hook,
    pub checks: Vec<Check>,
    pub verdict: Verdict,
    /// What `nft list ruleset` shows of it. Its digest tells rules that somebody changed from these.
    pub comment: String,
}

const IPV4: u8 = 2;
const IPV6: u8 = 10;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Router and neighbour discovery, without which IPv6 does not work.
const DISCOVERY: (u8, u8) = (133, 136);
const LINK_LOCAL: [u8; 2] = [169, 254];

/// What the containers behind one bridge may reach although others may not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exceptions {
    pub bridge: String,
    pub access: BTreeSet<HostAccess>,
}

/// The rules of a toolbox whose bridges begin with `prefix`, and whose earlier agent made those in `former`. No exception
/// leads to a port in `closed`.
pub fn rules(
    prefix: &str,
    former: &[String],
    closed: &BTreeSet<u16>,
    exceptions: &[Exceptions],
) -> Vec<Rule> {
    let former = former.iter().cloned().map(Check::FromInterfaceNamed);
    let sources: Vec<_> = std::iter::once(Check::FromInterface(prefix.to_owned()))
        .chain(former)
        .collect();
    let mut rules = Vec::new();
    for hook in [Hook::Input, Hook::Forward] {
        let mut add = |comment: &str, verdict, from: &Check, checks: &[Check]| {
            rules.push(Rule {
                hook,
                checks: std::iter::once(from).chain(checks).cloned().collect(),
                verdict,
                comment: comment.to_owned(),
            });
        };
        for from in &sources {
            if hook == Hook::Input {
                let checks = [Check::Answers];
                add("answers to the machine", Verdict::Accept, from, &checks);
            }
            let (first, last) = DISCOVERY;
            let checks = [Check::Transport(ICMPV6), Check::IcmpType(first, last)];
            add("IPv6 discovery", Verdict::Accept, from, &checks);
            let link_local = [Check::Family(IPV4), Check::To4(LINK_LOCAL.to_vec())];
            for protocol in [UDP, TCP] {
                // Where clouds have their name servers.
                let [family, to] = link_local.clone();
                let checks = [family, to, Check::Transport(protocol), Check::ToPort(53)];
                add("names", Verdict::Accept, from, &checks);
            }
            add("link-local addresses", Verdict::Refuse, from, &link_local);
            let checks = [Check::Family(IPV6), Check::To6LinkLocal];
            add("link-local addresses", Verdict::Refuse, from, &checks);
        }
        if hook == Hook::Input {
            for one in exceptions {
                let from = Check::FromInterfaceNamed(one.bridge.clone());
                let access = one.access.iter().filter(|a| !closed.contains(&a.port));
                for access in access {
                    add(&access.to_string(), Verdict::Accept, &from, &port(*access));
                }
            }
            for from in &sources {
                add("the machine", Verdict::Refuse, from, &[]);
            }
        }
    }
    let digest = digest(&rules);
    for rule in &mut rules {
        rule.comment = format!("{} ({digest})", rule.comment);
    }
    rules
}

fn port(access: HostAccess) -> [Check; 2] {
    let protocol = match access.protocol {
        Protocol::Tcp => TCP,
        Protocol::Udp => UDP,
    };
    [Check::Transport(protocol), Check::ToPort(access.port)]
}

/// Of all rules together, in short.
fn digest(rules: &[Rule]) -> String {
    let digest = Sha256::digest(format!("{rules:?}").as_bytes());
    hex(&digest[..4])
}

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
