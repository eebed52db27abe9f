//! Each range at its borders, and what carries an IPv4 address.

use proptest::prelude::*;

use super::*;

fn judged(text: &str) -> Option<Refusal> {
    refused(text.parse().unwrap())
}

/// The address before a range, its first, its last, the one behind it; and why the range is refused.
type Range = (
    Option<&'static str>,
    &'static str,
    &'static str,
    Option<&'static str>,
    Refusal,
);

const RANGES: &[Range] = &[
    (
        None,
        "0.0.0.0",
        "0.255.255.255",
        Some("1.0.0.0"),
        Refusal::Unspecified,
    ),
    (
        Some("9.255.255.255"),
        "10.0.0.0",
        "10.255.255.255",
        Some("11.0.0.0"),
        Refusal::Private,
    ),
    (
        Some("100.63.255.255"),
        "100.64.0.0",
        "100.127.255.255",
        Some("100.128.0.0"),
        Refusal::Shared,
    ),
    (
        Some("126.255.255.255"),
        "127.0.0.0",
        "127.255.255.255",
        Some("128.0.0.0"),
        Refusal::Loopback,
    ),
    (
        Some("168.63.129.15"),
        "168.63.129.16",
        "168.63.129.16",
        Some("168.63.129.17"),
        Refusal::CloudService,
    ),
    (
        Some("169.253.255.255"),
        "169.254.0.0",
        "169.254.255.255",
        Some("169.255.0.0"),
        Refusal::LinkLocal,
    ),
    (
        Some("172.15.255.255"),
        "172.16.0.0",
        "172.31.255.255",
        Some("172.32.0.0"),
        Refusal::Private,
    ),
    (
        Some("191.255.255.255"),
        "192.0.0.0",
        "192.0.0.255",
        Some("192.0.1.0"),
        Refusal::Reserved,
    ),
    (
        Some("192.0.1.255"),
        "192.0.2.0",
        "192.0.2.255",
        Some("192.0.3.0"),
        Refusal::Documentation,
    ),
    (
        Some("192.88.98.255"),
        "192.88.99.0",
        "192.88.99.255",
        Some("192.88.100.0"),
        Refusal::Reserved,
    ),
    (
        Some("192.167.255.255"),
        "192.168.0.0",
        "192.168.255.255",
        Some("192.169.0.0"),
        Refusal::Private,
    ),
    (
        Some("198.17.255.255"),
        "198.18.0.0",
        "198.19.255.255",
        Some("198.20.0.0"),
        Refusal::Benchmarking,
    ),
    (
        Some("198.51.99.255"),
        "198.51.100.0",
        "198.51.100.255",
        Some("198.51.101.0"),
        Refusal::Documentation,
    ),
    (
        Some("203.0.112.255"),
        "203.0.113.0",
        "203.0.113.255",
        Some("203.0.114.0"),
        Refusal::Documentation,
    ),
    (
        Some("223.255.255.255"),
        "224.0.0.0",
        "239.255.255.255",
        None,
        Refusal::Multicast,
    ),
    (
        None,
        "240.0.0.0",
        "255.255.255.254",
        None,
        Refusal::Reserved,
    ),
    (
        None,
        "255.255.255.255",
        "255.255.255.255",
        None,
        Refusal::Broadcast,
    ),
    (None, "::", "::", None, Refusal::Unspecified),
    (None, "::1", "::1", None, Refusal::Loopback),
    (None, "::2", "::ffff:ffff", None, Refusal::Reserved),
    (
        None,
        "64:ff9b:1::",
        "64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
        None,
        Refusal::Private,
    ),
    (
        None,
        "2001:2::",
        "2001:2:0:ffff:ffff:ffff:ffff:ffff",
        None,
        Refusal::Benchmarking,
    ),
    (
        None,
        "2001:10::",
        "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
        Some("2001:200::"),
        Refusal::Reserved,
    ),
    (
        Some("2001:db7:ffff::"),
        "2001:db8::",
        "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
        Some("2001:db9::"),
        Refusal::Documentation,
    ),
    (
        Some("3ffe:ffff::"),
        "3fff::",
        "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
        Some("3fff:1000::"),
        Refusal::Documentation,
    ),
    (None, "4000::", "fbff::", None, Refusal::Reserved),
    (None, "5f00::", "5f00:ffff::", None, Refusal::Reserved),
    (
        None,
        "fc00::",
        "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        None,
        Refusal::Private,
    ),
    (
        None,
        "fe80::",
        "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        None,
        Refusal::LinkLocal,
    ),
    (
        None,
        "fec0::",
        "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        None,
        Refusal::Private,
    ),
    (
        None,
        "ff00::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        None,
        Refusal::Multicast,
    ),
    (None, "100::1", "100::ffff", None, Refusal::Reserved),
    (
        None,
        "::ffff:0:7f00:1",
        "::ffff:0:808:808",
        None,
        Refusal::Reserved,
    ),
    (
        Some("2606:4700:4700::1111"),
        "fd00:ec2::254",
        "fd00:ec2::254",
        Some("2a00:1450:4001::"),
        Refusal::Private,
    ),
];

#[test]
fn each_range_begins_and_ends_where_it_should() {
    for &(before, first, last, after, why) in RANGES {
        for inside in [first, last] {
            assert_eq!(judged(inside), Some(why), "{inside}");
        }
        for outside in [before, after].into_iter().flatten() {
            assert_eq!(judged(outside), None, "{outside}");
        }
    }
}

#[test]
fn each_reason_reads_as_a_part_of_a_sentence() {
    for why in [Refusal::Loopback, Refusal::Reserved, Refusal::CloudService] {
        let text = why.to_string();
        assert!(text.starts_with("a ") || text.starts_with("an "), "{text}");
    }
}

/// An IPv4 address, half of the time one that is refused.
fn any_v4() -> impl Strategy<Value = Ipv4Addr> {
    let special = prop::sample::select(&V4[..]).prop_flat_map(|(net, _)| {
        (net.network().to_bits()..=net.broadcast().to_bits()).prop_map(Ipv4Addr::from_bits)
    });
    prop_oneof![any::<u32>().prop_map(Ipv4Addr::from_bits), special]
}

proptest! {
    #[test]
    fn what_carries_an_ipv4_address_is_judged_by_it(ip in any_v4(), rest in any::<[u16; 5]>()) {
        let why = refused(ip.into());
        let [a, b, c, d] = ip.octets().map(u16::from);
        let (high, low) = (a << 8 | b, c << 8 | d);
        prop_assert_eq!(refused(ip.to_ipv6_mapped().into()), why);
        let nat64 = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low);
        prop_assert_eq!(refused(nat64.into()), why);
        let six_to_four = Ipv6Addr::new(0x2002, high, low, rest[0], rest[1], rest[2], rest[3], rest[4]);
        prop_assert_eq!(refused(six_to_four.into()), why);
        let teredo_client = Ipv6Addr::new(0x2001, 0, 0x808, 0x808, rest[0], rest[1], !high, !low);
        prop_assert_eq!(refused(teredo_client.into()), why);
        let teredo_server = Ipv6Addr::new(0x2001, 0, high, low, rest[0], rest[1], !0x808, !0x808);
        prop_assert_eq!(refused(teredo_server.into()), why);
        let compatible = Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low);
        prop_assert!(refused(compatible.into()).is_some());
    }

    /// What the standard library knows of an address is refused.
    #[test]
    fn nothing_that_the_standard_library_calls_special_is_public(v4 in any_v4(), v6 in any::<[u16; 8]>(), first in 0xfb00u16..) {
        if v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
            || v4.is_documentation() || v4.is_unspecified()
        {
            prop_assert!(refused(v4.into()).is_some(), "{}", v4);
        }
        for start in [v6[0], first] {
            let v6 = Ipv6Addr::new(start, v6[1], v6[2], v6[3], v6[4], v6[5], v6[6], v6[7]);
            if v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local() {
                prop_assert!(refused(v6.into()).is_some(), "{}", v6);
            }
            if refused(v6.into()).is_none() {
                prop_assert!((0x2000..0x4000).contains(&start), "{}", v6);
            }
        }
    }
}
