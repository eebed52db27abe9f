//! Whatever comes over the wire, a spec keeps every rule or says which it breaks.

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use toolbox_domain::spec::{
    Confinement, InstanceSpec, McpTransport, PortSpec, Protocol, Resources, SecretValue, ToolSpec,
    VolumeSpec, limits,
};

prop_compose! {
    fn any_raw()(
        image in prop_oneof![Just("nginx".to_owned()), any::<String>()],
        command in prop::option::of(prop::collection::vec(any::<String>(), 0..70)),
        env in prop::collection::btree_map("[A-Z0-9_]{0,3}|\\PC{0,4}", any::<String>(), 0..6),
        ports in prop::collection::vec((0..4_u16, prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp)], prop::option::of(20..24_u16), prop::option::of("127.0.0.1|::|x")), 0..4),
        volumes in prop::collection::vec(("[a-c-]{0,3}", "/?[a-b./]{0,5}"), 0..3),
        tmpfs in prop::collection::vec("/[a-b./]{0,4}", 0..3),
        capabilities in prop::collection::vec("(CAP_)?(CHOWN|KILL|X)", 0..4),
        cpus in prop::option::of(any::<f64>()),
        memory_bytes in prop::option::of(any::<u64>()),
        pids in prop::option::of(any::<u32>()),
        networks in prop::collection::vec("[a-b-]{0,3}", 0..4),
        host_access in prop::collection::vec("(host|169.254.1.[0-9]{1,3}|x):[0-9]{1,5}(/udp|/tcp|/)?", 0..4),
        disk_bytes in prop::option::of(any::<u64>()),
        transport in prop::option::of(prop_oneof![Just(McpTransport::Stdio), Just(McpTransport::Sse)]),
        mcp_path in prop::option::of("/?[a-z./?]{0,6}"),
        headers in prop::collection::btree_map("[A-Za-z-]{0,3}|Host|mcp-[a-z]|\\PC{0,4}", "[ -~]{0,4}|\\PC{0,4}", 0..4),
    ) -> ToolSpec {
        let ports = ports.into_iter().map(|(container_port, protocol, host_port, host_ip)| {
            PortSpec { container_port, protocol, host_port, host_ip }
        });
        ToolSpec {
            image,
            command,
            env: env.into_iter().map(|(name, value)| (name, SecretValue::plain(value))).collect(),
            ports: ports.collect(),
            volumes: volumes.into_iter().map(|(name, path)| VolumeSpec { name, path }).collect(),
            resources: Resources { memory_bytes, cpus, pids, disk_bytes },
            confinement: Confinement { read_only_root: false, tmpfs, add_capabilities: capabilities, user: None },
            networks,
            host_access,
            transport,
            mcp_path,
            mcp_headers: headers.into_iter().map(|(name, value)| (name, SecretValue::plain(value))).collect(),
            ..ToolSpec::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_spec_keeps_every_rule_or_says_which_not(raw in any_raw()) {
        match InstanceSpec::validate(raw) {
            Ok(spec) => {
                prop_assert!(limits::MEMORY_BYTES.contains(&spec.resources().memory_bytes));
                prop_assert!(spec.resources().disk_bytes.is_some_and(|bytes| limits::DISK_BYTES.contains(&bytes)));
                prop_assert!(limits::NANO_CPUS.contains(&spec.resources().nano_cpus));
                for (name, value) in spec.mcp_headers() {
                    prop_assert!(name != "host" && !name.starts_with("mcp-") && name == name.to_ascii_lowercase());
                    prop_assert!(!value.is_empty() && value.bytes().all(|b| (b' '..=b'~').contains(&b)));
                }
                for port in spec.ports() {
                    prop_assert!(port.container_port != 0 && port.host_port != Some(0));
                    prop_assert!(port.host_port.is_none_or(|p| !limits::RESERVED_HOST_PORTS.contains(&p)));
                }
                let volumes = spec.wire().volumes.iter().map(|v| v.path.as_str());
                let mut mounts: Vec<&str> = volumes.chain(spec.wire().confinement.tmpfs.iter().map(String::as_str)).collect();
                prop_assert!(mounts.iter().all(|m| m.starts_with('/') && m.len() > 1 && !m.ends_with('/')));
                let count = mounts.len();
                mounts.sort_unstable();
                mounts.dedup();
                prop_assert_eq!(mounts.len(), count, "no path is mounted twice");
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(error.code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
                    prop_assert!(!error.message.is_empty());
                }
            }
        }
    }
}
