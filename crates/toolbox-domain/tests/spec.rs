//! Specs: every rule is told with its field and code, all violations at once, and no value leaks.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use serde_json::json;
use toolbox_domain::spec::{
    Confinement, HostAccess, InstanceSpec, McpTransport, Port, PortSpec, Protocol, ResourceLimits,
    Resources, SecretValue, ToolSpec, VolumeSpec, limits,
};

fn raw() -> ToolSpec {
    ToolSpec {
        image: "mcp/context7".to_owned(),
        ..ToolSpec::default()
    }
}

fn port(container_port: u16, host_port: Option<u16>) -> PortSpec {
    PortSpec {
        container_port,
        protocol: Protocol::Tcp,
        host_port,
        host_ip: None,
    }
}

fn volume(name: &str, path: &str) -> VolumeSpec {
    VolumeSpec {
        name: name.to_owned(),
        path: path.to_owned(),
    }
}

fn env(name: &str, value: &str) -> BTreeMap<String, SecretValue> {
    BTreeMap::from([(name.to_owned(), SecretValue::plain(value))])
}

fn sealed(name: &str) -> BTreeMap<String, SecretValue> {
    let value = SecretValue {
        key_id: Some("k1".to_owned()),
        value: "SECRET".to_owned(),
    };
    BTreeMap::from([(name.to_owned(), value)])
}

fn many_vars(count: usize, value: &str) -> BTreeMap<String, SecretValue> {
    (0..count)
        .map(|i| (format!("V{i}"), SecretValue::plain(value)))
        .collect()
}

fn port_at(host_ip: &str) -> PortSpec {
    PortSpec {
        host_ip: Some(host_ip.to_owned()),
        ..port(1, None)
    }
}

fn volumes(list: &[(&str, &str)]) -> Vec<VolumeSpec> {
    list.iter().map(|(name, path)| volume(name, path)).collect()
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn an_image_alone_is_a_spec_with_defaults() {
    let spec = InstanceSpec::validate(raw()).unwrap();
    assert_eq!(spec.image().to_string(), "docker.io/mcp/context7:latest");
    let defaults = ResourceLimits {
        memory_bytes: limits::DEFAULT_MEMORY_BYTES,
        nano_cpus: limits::DEFAULT_NANO_CPUS,
        pids: limits::DEFAULT_PIDS,
        disk_bytes: Some(limits::DEFAULT_DISK_BYTES),
    };
    assert_eq!(spec.resources(), defaults);
    assert_eq!(
        (
            spec.wire().command.as_deref(),
            spec.wire().entrypoint.as_deref(),
            spec.wire().transport,
            spec.wire().mcp_path.as_deref()
        ),
        (None, None, None, None)
    );
    assert!(spec.env().is_empty() && spec.ports().is_empty() && spec.wire().volumes.is_empty());
    assert!(!spec.wire().stdin_open && !spec.wire().confinement.read_only_root);
}

#[test]
fn everything_given_arrives() {
    let spec = InstanceSpec::validate(ToolSpec {
        command: Some(vec!["--port".to_owned(), String::new()]),
        entrypoint: Some(vec!["/server".to_owned()]),
        env: env("API_KEY", "a\nb=c"),
        ports: vec![
            port(8080, Some(31000)),
            PortSpec {
                protocol: Protocol::Udp,
                host_ip: Some("0.0.0.0".to_owned()),
                ..port(8080, Some(31000))
            },
        ],
        volumes: vec![volume("data-1", "/data/"), volume("cache", "/var/cache")],
        resources: Resources {
            memory_bytes: Some(16 << 20),
            cpus: Some(0.25),
            pids: Some(1),
            disk_bytes: Some(16 << 20),
        },
        confinement: Confinement {
            read_only_root: true,
            tmpfs: vec!["/tmp".to_owned()],
            add_capabilities: ["CAP_SETUID", "CHOWN", "SETUID"]
                .map(str::to_owned)
                .to_vec(),
            ..Confinement::default()
        },
        transport: Some(McpTransport::StreamableHttp),
        mcp_path: Some("/mcp".to_owned()),
        stdin_open: true,
        ..raw()
    })
    .unwrap();
    assert_eq!(spec.wire().command.as_deref().unwrap(), ["--port", ""]);
    assert_eq!(spec.wire().entrypoint.as_deref().unwrap(), ["/server"]);
    assert_eq!(
        (spec.env()[0].name(), spec.env()[0].value()),
        ("API_KEY", "a\nb=c")
    );
    let tcp = Port {
        container_port: 8080,
        protocol: Protocol::Tcp,
        host_port: Some(31000),
        host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    let udp = Port {
        protocol: Protocol::Udp,
        host_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ..tcp
    };
    assert_eq!(spec.ports(), [tcp, udp]);
    assert_eq!(spec.wire().volumes[0].path, "/data", "one spelling");
    assert_eq!(spec.resources().nano_cpus, 250_000_000);
    assert_eq!(spec.wire().confinement.tmpfs, ["/tmp"]);
    assert_eq!(
        spec.wire().confinement.add_capabilities,
        ["CHOWN", "SETUID"]
    );
    assert_eq!(spec.wire().transport, Some(McpTransport::StreamableHttp));
    assert_eq!(spec.wire().mcp_path.as_deref(), Some("/mcp"));
    assert!(spec.wire().stdin_open && spec.wire().confinement.read_only_root);
}

#[test]
fn a_stdio_server_keeps_its_input() {
    let spec = InstanceSpec::validate(ToolSpec {
        transport: Some(McpTransport::Stdio),
        ..raw()
    })
    .unwrap();
    assert!(spec.wire().stdin_open);
}

type Break = fn(&mut ToolSpec);

/// One broken rule each: how, and the field and code that say so.
const BROKEN: &[(Break, &str, &str)] = &[
    (
        |s| s.image = "Nginx".into(),
        "image",
        "image_repository_invalid",
    ),
    (
        |s| s.command = Some(vec!["x".into(); 65]),
        "command",
        "too_many",
    ),
    (
        |s| s.command = Some(vec!["a".into(), "\0".into()]),
        "command[1]",
        "arg_has_nul",
    ),
    (
        |s| s.entrypoint = Some(vec!["x".into(); 65]),
        "entrypoint",
        "too_many",
    ),
    (
        |s| s.entrypoint = Some(vec!["\0".into()]),
        "entrypoint[0]",
        "arg_has_nul",
    ),
    (|s| s.env = many_vars(101, ""), "env", "too_many"),
    (|s| s.env = env("1A", ""), "env", "env_name_invalid"),
    (|s| s.env = env("", ""), "env", "env_name_invalid"),
    (|s| s.env = env("A-B", ""), "env", "env_name_invalid"),
    (|s| s.env = env("A=B", ""), "env", "env_name_invalid"),
    (|s| s.env = env("É", ""), "env", "env_name_invalid"),
    (|s| s.env = env("A", "x\0"), "env.A", "env_value_has_nul"),
    (|s| s.env = sealed("A"), "env.A", "secret_key_unknown"),
    (
        |s| s.env = env("A", &"x".repeat(32 * 1024 + 1)),
        "env.A",
        "env_value_too_long",
    ),
    (
        |s| s.env = many_vars(5, &"x".repeat(32 * 1024)),
        "",
        "spec_too_large",
    ),
    (
        |s| s.ports = vec![port(0, None)],
        "ports[0].container_port",
        "port_invalid",
    ),
    (
        |s| s.ports = vec![port(1, Some(0))],
        "ports[0].host_port",
        "port_invalid",
    ),
    (
        |s| s.ports = vec![port(1, Some(22))],
        "ports[0].host_port",
        "host_port_reserved",
    ),
    (
        |s| s.ports = vec![port(1, Some(3000))],
        "ports[0].host_port",
        "host_port_reserved",
    ),
    (
        |s| s.ports = vec![port(1, Some(30000))],
        "ports[0].host_port",
        "host_port_reserved",
    ),
    (
        |s| s.ports = vec![port(1, None); 2],
        "ports[1].container_port",
        "port_duplicate",
    ),
    (
        |s| s.ports = vec![port(1, Some(9)), port(2, Some(9))],
        "ports[1].host_port",
        "port_duplicate",
    ),
    (
        |s| s.ports = (1..=33).map(|p| port(p, None)).collect(),
        "ports",
        "too_many",
    ),
    (
        |s| s.ports = vec![port_at("localhost")],
        "ports[0].host_ip",
        "host_ip_invalid",
    ),
    (
        |s| s.ports = vec![port_at("224.0.0.1")],
        "ports[0].host_ip",
        "host_ip_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("", "/d")]),
        "volumes[0].name",
        "volume_name_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("A", "/d")]),
        "volumes[0].name",
        "volume_name_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("a--b", "/d")]),
        "volumes[0].name",
        "volume_name_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("../x", "/d")]),
        "volumes[0].name",
        "volume_name_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("a", "/a"), ("a", "/b")]),
        "volumes[1].name",
        "volume_duplicate",
    ),
    (
        |s| s.volumes = volumes(&[("a", "/a"), ("b", "/a/")]),
        "volumes[1].path",
        "path_duplicate",
    ),
    (
        |s| s.volumes = volumes(&[("a", "data")]),
        "volumes[0].path",
        "path_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("a", "/")]),
        "volumes[0].path",
        "path_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("a", "/a/../b")]),
        "volumes[0].path",
        "path_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("a", "/a//b")]),
        "volumes[0].path",
        "path_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("a", "/a:ro")]),
        "volumes[0].path",
        "path_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("a", "/proc/x")]),
        "volumes[0].path",
        "path_invalid",
    ),
    (
        |s| s.volumes = volumes(&[("a", "/sys")]),
        "volumes[0].path",
        "path_invalid",
    ),
    (
        |s| s.confinement.tmpfs = texts(&["/dev"]),
        "confinement.tmpfs[0]",
        "path_invalid",
    ),
    (
        |s| s.confinement.tmpfs = texts(&["/t", "/t"]),
        "confinement.tmpfs[1]",
        "path_duplicate",
    ),
    (
        |s| s.confinement.tmpfs = texts(&["/t"; 17]),
        "confinement.tmpfs",
        "too_many",
    ),
    (
        |s| {
            s.volumes = volumes(&[("a", "/a")]);
            s.confinement.tmpfs = texts(&["/a"]);
        },
        "confinement.tmpfs[0]",
        "path_duplicate",
    ),
    (
        |s| s.confinement.add_capabilities = texts(&["CHOWN", "SYS_ADMIN"]),
        "confinement.add_capabilities[1]",
        "capability_unknown",
    ),
    (
        |s| s.confinement.user = Some("postgres".to_owned()),
        "confinement.user",
        "user_invalid",
    ),
    (
        |s| s.confinement.user = Some("1000:".to_owned()),
        "confinement.user",
        "user_invalid",
    ),
    (
        |s| s.confinement.user = Some("2147483648".to_owned()),
        "confinement.user",
        "user_invalid",
    ),
    (
        |s| s.confinement.user = Some("0100".to_owned()),
        "confinement.user",
        "user_invalid",
    ),
    (
        |s| s.networks = texts(&["a", "A b"]),
        "networks[1]",
        "network_name_invalid",
    ),
    (|s| s.networks = texts(&["a"; 9]), "networks", "too_many"),
    (
        |s| s.host_access = texts(&["host:1"; 17]),
        "host_access",
        "too_many",
    ),
    (
        |s| s.host_access = texts(&["host:5432", "10.0.0.1:80"]),
        "host_access[1]",
        "host_access_invalid",
    ),
    (
        |s| s.host_access = texts(&["host:30000"]),
        "host_access[0]",
        "host_port_reserved",
    ),
    (
        |s| s.confinement.add_capabilities = texts(&["ALL"]),
        "confinement.add_capabilities[0]",
        "capability_unknown",
    ),
    (
        |s| s.resources.memory_bytes = Some((16 << 20) - 1),
        "resources.memory_bytes",
        "memory_out_of_bounds",
    ),
    (
        |s| s.resources.memory_bytes = Some((64 << 30) + 1),
        "resources.memory_bytes",
        "memory_out_of_bounds",
    ),
    (
        |s| s.resources.cpus = Some(0.009),
        "resources.cpus",
        "cpus_out_of_bounds",
    ),
    (
        |s| s.resources.cpus = Some(64.1),
        "resources.cpus",
        "cpus_out_of_bounds",
    ),
    (
        |s| s.resources.cpus = Some(f64::NAN),
        "resources.cpus",
        "cpus_out_of_bounds",
    ),
    (
        |s| s.resources.cpus = Some(f64::INFINITY),
        "resources.cpus",
        "cpus_out_of_bounds",
    ),
    (
        |s| s.resources.cpus = Some(-1.0),
        "resources.cpus",
        "cpus_out_of_bounds",
    ),
    (
        |s| s.resources.pids = Some(0),
        "resources.pids",
        "pids_out_of_bounds",
    ),
    (
        |s| s.resources.pids = Some(4097),
        "resources.pids",
        "pids_out_of_bounds",
    ),
    (
        |s| s.resources.disk_bytes = Some((16 << 20) - 1),
        "resources.disk_bytes",
        "disk_out_of_bounds",
    ),
    (
        |s| s.resources.disk_bytes = Some((16 << 40) + 1),
        "resources.disk_bytes",
        "disk_out_of_bounds",
    ),
    (
        |s| s.mcp_path = Some("mcp".into()),
        "mcp_path",
        "mcp_path_invalid",
    ),
    (
        |s| s.mcp_path = Some("/m?x".into()),
        "mcp_path",
        "mcp_path_invalid",
    ),
    (
        |s| s.mcp_path = Some("/a/../b".into()),
        "mcp_path",
        "mcp_path_invalid",
    ),
    (
        |s| s.mcp_path = Some("/%2e%2e".into()),
        "mcp_path",
        "mcp_path_invalid",
    ),
];

#[test]
fn each_rule_has_its_field_and_code() {
    for (break_rule, field, code) in BROKEN {
        let mut spec = raw();
        break_rule(&mut spec);
        let errors = InstanceSpec::validate(spec).unwrap_err();
        let told = errors.iter().any(|e| e.field == *field && e.code == *code);
        assert!(told, "{field} {code}: {errors:?}");
    }
}

#[test]
fn bounds_are_inclusive() {
    for (memory, cpus, pids, disk) in [
        (16 << 20, 0.01, 1, 16 << 20),
        (64 << 30, 64.0, 4096, 16 << 40),
    ] {
        let resources = Resources {
            memory_bytes: Some(memory),
            cpus: Some(cpus),
            pids: Some(pids),
            disk_bytes: Some(disk),
        };
        assert!(
            InstanceSpec::validate(ToolSpec { resources, ..raw() }).is_ok(),
            "{memory}"
        );
    }
    let value = "x".repeat(32 * 1024);
    assert!(
        InstanceSpec::validate(ToolSpec {
            env: env("_", &value),
            ..raw()
        })
        .is_ok()
    );
    let ports = vec![port(1, Some(1)), port(65535, Some(65535))];
    assert!(InstanceSpec::validate(ToolSpec { ports, ..raw() }).is_ok());
}

#[test]
fn all_violations_come_together_and_show_no_value() {
    let spec = ToolSpec {
        image: "SECRET".to_owned(),
        env: env("A B", "SECRET\0"),
        ports: vec![port(0, Some(22))],
        mcp_path: Some("SECRET".to_owned()),
        ..raw()
    };
    assert!(!format!("{spec:?}").contains("SECRET\\0"));
    let errors = InstanceSpec::validate(spec).unwrap_err();
    assert_eq!(errors.len(), 6);
    assert!(!format!("{errors:?}").contains("SECRET"));

    let valid = InstanceSpec::validate(ToolSpec {
        env: env("A", "SECRET"),
        ..raw()
    })
    .unwrap();
    assert!(!format!("{valid:?}").contains("SECRET"));
}

#[test]
fn what_was_checked_is_checked_to_itself() {
    let spec = InstanceSpec::validate(ToolSpec {
        volumes: volumes(&[("data", "/data/")]),
        confinement: Confinement {
            tmpfs: texts(&["/tmp/"]),
            add_capabilities: texts(&["SETUID", "CAP_CHOWN"]),
            ..Confinement::default()
        },
        transport: Some(McpTransport::Stdio),
        networks: texts(&["b", "a", "b"]),
        host_access: texts(&["host:53/udp", "host:53/tcp", "host:53"]),
        ..raw()
    })
    .unwrap();
    assert_eq!(InstanceSpec::validate(spec.wire().clone()).unwrap(), spec);
    assert_eq!(spec.wire().networks, ["a", "b"]);
    let access = ["host:53", "host:53/udp"];
    assert_eq!(spec.wire().host_access, access);
}

/// Rules that came later stop no tool that runs.
#[test]
fn what_was_taken_before_keeps_its_limit_and_loses_exceptions_that_are_none_any_more() {
    let old = ToolSpec {
        host_access: texts(&["169.254.169.254:80", "host:30000", "host:5432"]),
        ..raw()
    };
    assert!(InstanceSpec::validate(old.clone()).is_err());
    for (given, kept, limit) in [
        (None, None, None),
        (None, Some(5 << 30), Some(5 << 30)),
        (Some(1 << 30), None, Some(1 << 30)),
        (Some(1 << 30), Some(5 << 30), Some(1 << 30)),
    ] {
        let mut old = old.clone();
        old.resources.disk_bytes = given;
        let spec = InstanceSpec::taken_before(old, kept).unwrap();
        assert_eq!(spec.resources().disk_bytes, limit);
        assert_eq!(spec.wire().resources.disk_bytes, given);
        assert_eq!(spec.wire().host_access, ["host:5432"]);
    }
}

#[test]
fn names_on_the_wire_are_those_in_code() {
    for transport in [
        McpTransport::Stdio,
        McpTransport::StreamableHttp,
        McpTransport::Sse,
        McpTransport::Websocket,
    ] {
        assert_eq!(serde_json::to_value(transport).unwrap(), transport.as_str());
    }
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        assert_eq!(serde_json::to_value(protocol).unwrap(), protocol.as_str());
    }
}

#[test]
fn a_value_is_written_in_an_envelope_and_read_with_or_without() {
    let envelope = json!({"key_id": null, "value": "SECRET"});
    let value = SecretValue::plain("SECRET");
    assert_eq!(serde_json::to_value(&value).unwrap(), envelope);
    for form in [envelope, json!({"value": "SECRET"}), json!("SECRET")] {
        assert_eq!(serde_json::from_value::<SecretValue>(form).unwrap(), value);
    }
    let sealed: SecretValue =
        serde_json::from_value(json!({"key_id": "k1", "value": "SECRET"})).unwrap();
    assert_eq!(sealed.reveal(), None);
    assert!(!format!("{sealed:?} {value:?}").contains("SECRET"));
    for form in [
        json!(["SECRET"]),
        json!({"key_id": "k1"}),
        json!({"key_id": 1, "value": "SECRET"}),
        json!({"value": "SECRET", "key": "k1"}),
    ] {
        let error = serde_json::from_value::<SecretValue>(form).unwrap_err();
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}

#[test]
fn headers_of_the_mcp_server_are_checked_and_never_repeated() {
    let with = |transport, headers: &[(&str, &str)]| ToolSpec {
        transport,
        mcp_headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretValue::plain(*value)))
            .collect(),
        ..raw()
    };
    let http = Some(McpTransport::StreamableHttp);
    let good = InstanceSpec::validate(with(http, &[("Authorization", "Bearer SECRET")])).unwrap();
    assert_eq!(
        good.mcp_headers().collect::<Vec<_>>(),
        [("authorization", "Bearer SECRET")]
    );
    assert_eq!(
        good.secrets().collect::<Vec<_>>(),
        ["Bearer SECRET", "SECRET"]
    );
    assert!(!format!("{good:?}").contains("SECRET"));
    let many: Vec<String> = (0..17).map(|i| format!("x-{i}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "SECRET")).collect();
    let long = "S".repeat(limits::MAX_HEADER_VALUE_BYTES + 1);
    for (spec, code) in [
        (with(None, &[("x-a", "SECRET")]), "header_without_http"),
        (
            with(Some(McpTransport::Stdio), &[("x-a", "SECRET")]),
            "header_without_http",
        ),
        (with(http, &[("Bearer SECRET", "x")]), "header_name_invalid"),
        (
            with(http, &[("x-a", "SECRET\r\nHost: x")]),
            "header_value_invalid",
        ),
        (with(http, &[("x-a", " SECRET")]), "header_value_invalid"),
        (with(http, &[("x-a", "")]), "header_value_invalid"),
        (with(http, &[("x-a", &long)]), "header_value_invalid"),
        (with(http, &[("Host", "SECRET")]), "header_reserved"),
        (with(http, &[("Content-Length", "1")]), "header_reserved"),
        (
            with(http, &[("MCP-Session-Id", "SECRET")]),
            "header_reserved",
        ),
        (
            with(http, &[("Proxy-Authorization", "SECRET")]),
            "header_reserved",
        ),
        (
            with(http, &[("X-A", "SECRET"), ("x-a", "SECRET")]),
            "header_duplicate",
        ),
        (with(http, &many), "too_many"),
        (
            ToolSpec {
                transport: http,
                mcp_headers: sealed("x-a"),
                ..raw()
            },
            "secret_key_unknown",
        ),
    ] {
        let errors = InstanceSpec::validate(spec).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0].code, code);
        assert!(!format!("{errors:?}").contains("SECRET"), "{errors:?}");
    }
}

#[test]
fn timeouts_of_the_mcp_server_are_bounded() {
    let with = |call, start| ToolSpec {
        mcp_call_timeout_seconds: call,
        mcp_start_timeout_seconds: start,
        ..raw()
    };
    assert!(InstanceSpec::validate(with(Some(86_400), Some(1_800))).is_ok());
    for (spec, field) in [
        (with(Some(0), None), "mcp_call_timeout_seconds"),
        (with(Some(86_401), None), "mcp_call_timeout_seconds"),
        (with(None, Some(0)), "mcp_start_timeout_seconds"),
        (with(None, Some(1_801)), "mcp_start_timeout_seconds"),
    ] {
        let errors = InstanceSpec::validate(spec).unwrap_err();
        let found: Vec<_> = errors.iter().map(|e| (e.field.as_str(), e.code)).collect();
        assert_eq!(found, [(field, "timeout_out_of_bounds")]);
    }
}

#[test]
fn only_an_mcp_server_that_calls_can_start_again_stops_for_want_of_use() {
    let with = |transport, minutes| ToolSpec {
        transport,
        idle_minutes: Some(minutes),
        ..raw()
    };
    let stdio = Some(McpTransport::Stdio);
    assert!(InstanceSpec::validate(with(stdio, 1)).is_ok());
    assert!(InstanceSpec::validate(with(stdio, 10_080)).is_ok());
    for (spec, code) in [
        (with(stdio, 0), "timeout_out_of_bounds"),
        (with(stdio, 10_081), "timeout_out_of_bounds"),
        (with(None, 30), "idle_without_mcp"),
        (with(Some(McpTransport::Websocket), 30), "idle_without_mcp"),
    ] {
        let errors = InstanceSpec::validate(spec).unwrap_err();
        let found: Vec<_> = errors.iter().map(|e| (e.field.as_str(), e.code)).collect();
        assert_eq!(found, [("idle_minutes", code)]);
    }
}

#[test]
fn an_agent_of_before_takes_a_spec_without_the_new_fields() {
    let written = serde_json::to_string(&raw()).unwrap();
    assert!(
        !written.contains("mcp_") && !written.contains("idle"),
        "{written}"
    );
}

#[test]
fn what_may_be_reached_of_the_machine_is_a_port_of_it() {
    for text in ["host:1", "host:65535/udp"] {
        let access: HostAccess = text.parse().unwrap();
        assert_eq!(access.to_string(), text);
    }
    for text in [
        "",
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:+1",
        "host:1/",
        "host:1/sctp",
        "host:1/udp/tcp",
        "Host:1",
        "127.0.0.1:1",
        "10.0.0.1:1",
        "[fe80::1]:1",
        "169.254.169.254:80",
        "169.254.0.1:53/udp",
        ":1",
        "host:1:2",
        "*:1",
    ] {
        assert!(text.parse::<HostAccess>().is_err(), "{text}");
    }
}
