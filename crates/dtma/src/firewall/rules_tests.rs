use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// What the agent, its companion, sshd and Docker listen on.
const OWN_PORTS: [u16; 3] = [30_001, 3001, 2222];
const FORMER: &str = "br-0a1b2c3d4e5f";

fn rules_of(exceptions: &[Exceptions]) -> Vec<Rule> {
    rules(
        "tbxaaaaa",
        &[FORMER.to_owned()],
        &OWN_PORTS.into(),
        exceptions,
    )
}

/// A packet as the rules see it.
#[derive(Clone, Debug)]
struct Packet {
    hook: Hook,
    from: String,
    to: IpAddr,
    transport: u8,
    port: u16,
    icmp_type: u8,
    is_answer: bool,
}

impl Packet {
    fn passes(&self, check: &Check) -> bool {
        match check {
            Check::FromInterface(start) => self.from.starts_with(start),
            Check::FromInterfaceNamed(name) => self.from == *name,
            Check::Answers => self.is_answer,
            Check::Family(family) => (*family == IPV4) == self.to.is_ipv4(),
            Check::Transport(transport) => self.transport == *transport,
            Check::ToPort(port) => self.port == *port,
            Check::IcmpType(first, last) => (*first..=*last).contains(&self.icmp_type),
            Check::To4(start) => match self.to {
                IpAddr::V4(ip) => ip.octets().starts_with(start),
                IpAddr::V6(_) => false,
            },
            Check::To6LinkLocal => match self.to {
                IpAddr::V4(_) => false,
                IpAddr::V6(ip) => ip.is_unicast_link_local(),
            },
        }
    }

    fn is_refused(&self, rules: &[Rule]) -> bool {
        let mut chain = rules.iter().filter(|rule| rule.hook == self.hook);
        let decides = chain.find(|rule| rule.checks.iter().all(|check| self.passes(check)));
        decides.is_some_and(|rule| rule.verdict == Verdict::Refuse)
    }

    fn is_link_local(&self) -> bool {
        match self.to {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
    }
}

fn exceptions() -> Vec<Exceptions> {
    let access = [
        "host:5432",
        "host:30001",
        "host:3001",
        "host:2222",
        "host:2222/udp",
        "host:53/udp",
    ];
    vec![Exceptions {
        bridge: "tbxaaaaaexcepted".to_owned()[..15].to_owned(),
        access: access.iter().map(|text| text.parse().unwrap()).collect(),
    }]
}

prop_compose! {
    fn any_packet()(
        hook in prop_oneof![Just(Hook::Input), Just(Hook::Forward)],
        from in prop_oneof![
            Just("tbxaaaaabbbbbbb".to_owned()), Just("tbxaaaaaexcepte".to_owned()),
            Just("tbxbbbbbccccccc".to_owned()), Just(FORMER.to_owned()), Just("br-0a1b2c3d4e50".to_owned()), Just("docker0".to_owned()), Just("eth0".to_owned()),
        ],
        to in prop_oneof![
            Just("10.213.0.1"), Just("169.254.169.254"), Just("169.254.1.1"), Just("8.8.8.8"), Just("fe80::1"), Just("2001:db8::1"),
        ],
        transport in prop_oneof![Just(TCP), Just(UDP), Just(ICMPV6), Just(1)],
        port in prop_oneof![Just(53), Just(80), Just(5432), Just(OWN_PORTS[0]), Just(OWN_PORTS[1]), Just(OWN_PORTS[2]), any::<u16>()],
        icmp_type in any::<u8>(),
        is_answer in prop::bool::weighted(0.2),
    ) -> Packet {
        Packet { hook, from, to: to.parse().unwrap(), transport, port, icmp_type, is_answer }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, ..ProptestConfig::default() })]

    #[test]
    fn packets_of_tools_reach_the_internet_and_what_is_excepted(packet in any_packet()) {
        let rules = rules_of(&exceptions());
        let is_ours = packet.from.starts_with("tbxaaaaa") || packet.from == FORMER;
        let is_excepted = packet.from == "tbxaaaaaexcepte";
        let is_input = packet.hook == Hook::Input;
        let discovers = packet.transport == ICMPV6 && (133..=136).contains(&packet.icmp_type);
        let names = packet.to.is_ipv4() && packet.is_link_local() && packet.port == 53 && [TCP, UDP].contains(&packet.transport);
        let is_named = matches!((packet.transport, packet.port), (TCP, 5432) | (UDP, 53));
        let excepted = is_excepted && is_named && is_input && !packet.is_link_local();
        let let_through = (packet.is_answer && is_input) || discovers || names || excepted;
        let refused = is_ours && (is_input || packet.is_link_local()) && !let_through;
        prop_assert_eq!(packet.is_refused(&rules), refused);
    }
}

#[test]
fn a_change_of_any_rule_shows_in_every_comment() {
    let comments = |exceptions: &[Exceptions]| -> BTreeSet<String> {
        rules_of(exceptions)
            .into_iter()
            .map(|rule| rule.comment)
            .collect()
    };
    assert!(comments(&[]).is_disjoint(&comments(&exceptions())));
    assert!(comments(&[]).iter().all(|comment| comment.len() < 128));
}

/// The agent compares what it reads back with these, in their order.
#[test]
fn the_rules_of_a_chain_stand_together() {
    let rules = rules_of(&exceptions());
    assert!(rules.is_sorted_by_key(|rule| rule.hook == Hook::Forward));
}
