use proptest::prelude::*;

use super::*;

fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
    texts.iter().map(|text| net(text)).collect()
}

fn toolbox(n: u128) -> ToolboxId {
    ToolboxId::new(uuid::Uuid::from_u128(n))
}

#[test]
fn the_first_subnet_that_nobody_has_is_taken() {
    let pools = nets(&["10.213.0.0/24", "172.30.0.0/24"]);
    let own = |taken: &[&str]| first_free(&pools, OWN_LENGTH, &nets(taken)).map(|n| n.to_string());
    for (taken, expected) in [
        (&[][..], Some("10.213.0.0/29")),
        (&["10.213.0.0/29"], Some("10.213.0.8/29")),
        (&["10.213.0.1/32", "10.213.0.8/30"], Some("10.213.0.16/29")),
        (&["10.213.0.0/25"], Some("10.213.0.128/29")),
        // A route of the machine's own network may be larger than the pool.
        (&["10.0.0.0/8"], Some("172.30.0.0/29")),
        (&["10.0.0.0/8", "172.16.0.0/12"], None),
    ] {
        assert_eq!(own(taken).as_deref(), expected, "{taken:?}");
    }
    let joint =
        |taken: &[&str]| first_free(&pools, JOINT_LENGTH, &nets(taken)).map(|n| n.to_string());
    for (taken, expected) in [
        (&[][..], Some("10.213.0.192/26")),
        (&["10.213.0.192/26"], Some("10.213.0.128/26")),
        (&["10.213.0.128/25"], Some("10.213.0.64/26")),
        (
            &["10.213.0.200/29", "10.213.0.0/25"],
            Some("10.213.0.128/26"),
        ),
        (&["10.213.0.0/16"], Some("172.30.0.192/26")),
        (&["10.213.0.0/16", "172.30.0.0/16"], None),
    ] {
        assert_eq!(joint(taken).as_deref(), expected, "{taken:?}");
    }
}

proptest! {
    #[test]
    fn a_pool_gives_all_it_has_and_nothing_twice(
        taken in prop::collection::vec((0_u32..1 << 11, 20_u8..=32), 0..12),
        kinds in prop::collection::vec(prop::bool::ANY, 0..300),
    ) {
        // A pool of 2,048 addresses, and taken ones in it, around it and over it.
        let pools = [net("10.9.8.0/21")];
        let start = u32::from(Ipv4Addr::new(10, 9, 8, 0));
        let mut taken: Vec<_> = taken
            .into_iter()
            .map(|(at, length)| Ipv4Net::new_assert(Ipv4Addr::from(start + at), length).trunc())
            .collect();
        for is_joint in kinds {
            let length = if is_joint { JOINT_LENGTH } else { OWN_LENGTH };
            let is_free = |n: &Ipv4Net| taken.iter().all(|t| !t.contains(&n.network()) && !n.contains(&t.network()));
            let all: Vec<_> = pools[0].subnets(length).unwrap().filter(is_free).collect();
            let expected = if is_joint { all.last() } else { all.first() };
            let found = first_free(&pools, length, &taken);
            prop_assert_eq!(found.as_ref(), expected);
            taken.extend(found);
        }
    }
}

#[test]
fn bridges_are_known_by_their_beginning_and_fit_linux() {
    let instance = ToolInstanceId::new(uuid::Uuid::from_u128(7));
    let own = of_instance(toolbox(1), instance);
    let joint = joint(toolbox(1), "shop");
    let bridges: Vec<_> = [&own, &joint].map(|n| bridge(toolbox(1), n)).into();
    for bridge in &bridges {
        assert_eq!(bridge.len(), 15);
        assert!(bridge.starts_with(&bridge_prefix(toolbox(1))), "{bridge}");
        assert!(!bridge.starts_with(&bridge_prefix(toolbox(2))), "{bridge}");
    }
    assert_ne!(bridges[0], bridges[1]);
    assert!(is_of_same_toolbox(&joint, &own) && is_of_same_toolbox(&former(toolbox(1)), &own));
    let other = ToolboxId::new(uuid::Uuid::from_u128(1 << 100));
    assert!(!is_of_same_toolbox(&former(other), &own));
    assert!(!is_of_same_toolbox("bridge", &own) && !is_of_same_toolbox("bridge", "bridge"));
}

#[test]
#[cfg(target_endian = "little")]
fn routes_of_the_kernels_table_are_read() {
    let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t0000000A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
        eth0\tFEA9FEA9\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0\n";
    assert_eq!(routes(table), nets(&["10.0.0.0/16", "169.254.169.254/32"]));
    assert!(routes("no table").is_empty());
}
