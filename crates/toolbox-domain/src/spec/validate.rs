//! RawSpec → InstanceSpec: every rule, every violation.

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use super::image::{ImagePolicy, ImageSource};
use super::instance::{InstanceSpec, SpecError};
use super::limits;
use super::parts::{
    Confinement, EnvVar, Port, Protocol, RawConfinement, RawPort, RawResources, RawSpec, RawVolume,
    Resources, Transport, Volume,
};

impl InstanceSpec {
    /// Checks every rule; all violations come back together.
    pub fn validate(raw: RawSpec) -> Result<Self, Vec<SpecError>> {
        Self::validate_with(raw, ImagePolicy::default())
    }

    /// Like [`InstanceSpec::validate`], with the image sources that `policy` allows.
    pub fn validate_with(raw: RawSpec, policy: ImagePolicy) -> Result<Self, Vec<SpecError>> {
        let mut check = Check { errors: Vec::new() };
        check.size(&raw);
        let image = ImageSource::parse_with(&raw.image, policy);
        if let Err(error) = image {
            check.refuse("image", error.code(), error.to_string());
        }
        check.arguments("command", raw.command.as_deref());
        check.arguments("entrypoint", raw.entrypoint.as_deref());
        let env = check.env(raw.env);
        let ports = check.ports(&raw.ports);
        let volumes = check.volumes(raw.volumes);
        let resources = check.resources(&raw.resources);
        let confinement = check.confinement(&raw.confinement, &volumes);
        let transport = check.transport(raw.transport.as_deref());
        check.mcp_path(raw.mcp_path.as_deref());
        match image {
            Ok(image) if check.errors.is_empty() => Ok(Self {
                image,
                command: raw.command,
                entrypoint: raw.entrypoint,
                env,
                ports,
                volumes,
                resources,
                confinement,
                transport,
                mcp_path: raw.mcp_path,
                // A stdio server reads end-of-file at once otherwise, and exits.
                stdin_open: raw.stdin_open || transport == Some(Transport::Stdio),
            }),
            _ => Err(check.errors),
        }
    }
}

/// The violations found so far.
struct Check {
    errors: Vec<SpecError>,
}

impl Check {
    fn refuse(&mut self, field: impl Into<String>, code: &'static str, message: impl Into<String>) {
        self.errors.push(SpecError {
            field: field.into(),
            code,
            message: message.into(),
        });
    }

    fn count(&mut self, field: &str, count: usize, most: usize) {
        if count > most {
            self.refuse(field, "too_many", format!("give at most {most}"));
        }
    }

    fn size(&mut self, raw: &RawSpec) {
        let texts = |list: &[String]| list.iter().map(String::len).sum::<usize>();
        let bytes = raw.image.len()
            + texts(raw.command.as_deref().unwrap_or_default())
            + texts(raw.entrypoint.as_deref().unwrap_or_default())
            + raw
                .env
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum::<usize>()
            + raw
                .volumes
                .iter()
                .map(|v| v.name.len() + v.path.len())
                .sum::<usize>()
            + texts(&raw.confinement.tmpfs)
            + texts(&raw.confinement.add_capabilities)
            + raw.mcp_path.as_ref().map_or(0, String::len);
        if bytes > limits::MAX_SPEC_BYTES {
            let most = limits::MAX_SPEC_BYTES / 1024;
            self.refuse(
                "",
                "spec_too_large",
                format!("keep the whole spec within {most} KiB"),
            );
        }
    }

    fn arguments(&mut self, field: &str, arguments: Option<&[String]>) {
        let arguments = arguments.unwrap_or_default();
        self.count(field, arguments.len(), limits::MAX_ARGS);
        for (i, argument) in arguments.iter().enumerate() {
            if argument.contains('\0') {
                self.refuse(
                    format!("{field}[{i}]"),
                    "arg_has_nul",
                    "remove the NUL character",
                );
            }
        }
    }

    fn env(&mut self, env: BTreeMap<String, String>) -> Vec<EnvVar> {
        self.count("env", env.len(), limits::MAX_ENV_VARS);
        for (name, value) in &env {
            let is_name = is_env_name(name);
            // What is no name may be a secret in the wrong place: it is not repeated.
            let field = || {
                if is_name {
                    format!("env.{}", name.chars().take(64).collect::<String>())
                } else {
                    "env".to_owned()
                }
            };
            if !is_name {
                self.refuse(
                    field(),
                    "env_name_invalid",
                    "use letters, digits and _ for the name, and no digit first",
                );
            }
            if value.len() > limits::MAX_ENV_VALUE_BYTES {
                self.refuse(
                    field(),
                    "env_value_too_long",
                    "keep the value within 32 KiB",
                );
            }
            if value.contains('\0') {
                self.refuse(field(), "env_value_has_nul", "remove the NUL character");
            }
        }
        env.into_iter()
            .map(|(name, value)| EnvVar { name, value })
            .collect()
    }

    fn ports(&mut self, raw: &[RawPort]) -> Vec<Port> {
        self.count("ports", raw.len(), limits::MAX_PORTS);
        let mut ports: Vec<Port> = Vec::with_capacity(raw.len().min(limits::MAX_PORTS));
        for (i, raw) in raw.iter().take(limits::MAX_PORTS).enumerate() {
            let field = |name| format!("ports[{i}].{name}");
            if raw.container_port == 0 {
                self.refuse(
                    field("container_port"),
                    "port_invalid",
                    "give a port from 1 to 65535",
                );
            }
            if raw.host_port == Some(0) {
                self.refuse(
                    field("host_port"),
                    "port_invalid",
                    "give a port from 1 to 65535, or none",
                );
            }
            if raw
                .host_port
                .is_some_and(|p| limits::RESERVED_HOST_PORTS.contains(&p))
            {
                self.refuse(
                    field("host_port"),
                    "host_port_reserved",
                    "choose another port; 22, 3000 and 30000 belong to the machine",
                );
            }
            let protocol = raw.protocol.parse().unwrap_or_else(|_| {
                self.refuse(field("protocol"), "protocol_unknown", "give tcp or udp");
                Protocol::Tcp
            });
            let host_ip = raw.host_ip.as_deref().map_or(Some(LOOPBACK), parse_host_ip);
            if host_ip.is_none() {
                self.refuse(
                    field("host_ip"),
                    "host_ip_invalid",
                    "give an IP address of the machine, 127.0.0.1 or 0.0.0.0",
                );
            }
            let same = |p: &&Port| p.protocol == protocol;
            if ports
                .iter()
                .filter(same)
                .any(|p| p.container_port == raw.container_port)
            {
                self.refuse(
                    field("container_port"),
                    "port_duplicate",
                    "list each container port once",
                );
            }
            if raw.host_port.is_some()
                && ports
                    .iter()
                    .filter(same)
                    .any(|p| p.host_port == raw.host_port)
            {
                self.refuse(
                    field("host_port"),
                    "port_duplicate",
                    "list each host port once",
                );
            }
            ports.push(Port {
                container_port: raw.container_port,
                protocol,
                host_port: raw.host_port,
                host_ip: host_ip.unwrap_or(LOOPBACK),
            });
        }
        ports
    }

    fn volumes(&mut self, raw: Vec<RawVolume>) -> Vec<Volume> {
        self.count("volumes", raw.len(), limits::MAX_VOLUMES);
        let mut volumes: Vec<Volume> = Vec::new();
        for (i, RawVolume { name, path }) in raw.into_iter().take(limits::MAX_VOLUMES).enumerate() {
            if !is_volume_name(&name) {
                self.refuse(
                    format!("volumes[{i}].name"),
                    "volume_name_invalid",
                    "use 1 to 40 lower-case letters, digits and single - between them",
                );
            }
            if volumes.iter().any(|v| v.name == name) {
                self.refuse(
                    format!("volumes[{i}].name"),
                    "volume_duplicate",
                    "name each volume once",
                );
            }
            let path = self.mount_path(format!("volumes[{i}].path"), &path, &volumes, &[]);
            volumes.push(Volume { name, path });
        }
        volumes
    }

    fn confinement(&mut self, raw: &RawConfinement, volumes: &[Volume]) -> Confinement {
        self.count("confinement.tmpfs", raw.tmpfs.len(), limits::MAX_TMPFS);
        let mut tmpfs: Vec<String> = Vec::new();
        for (i, path) in raw.tmpfs.iter().take(limits::MAX_TMPFS).enumerate() {
            let path = self.mount_path(format!("confinement.tmpfs[{i}]"), path, volumes, &tmpfs);
            tmpfs.push(path);
        }
        let asked: Vec<&str> = raw
            .add_capabilities
            .iter()
            .map(|name| name.strip_prefix("CAP_").unwrap_or(name))
            .collect();
        // One is enough to say; the list may be long.
        if let Some(i) = asked
            .iter()
            .position(|name| !limits::CAPABILITIES.contains(name))
        {
            let message = format!("give one of {}", limits::CAPABILITIES.join(", "));
            self.refuse(
                format!("confinement.add_capabilities[{i}]"),
                "capability_unknown",
                message,
            );
        }
        let capabilities = limits::CAPABILITIES
            .iter()
            .copied()
            .filter(|c| asked.contains(c));
        Confinement {
            read_only_root: raw.read_only_root,
            tmpfs,
            add_capabilities: capabilities.collect(),
        }
    }

    /// The path in its one spelling; no two mounts of a container share one.
    fn mount_path(
        &mut self,
        field: String,
        path: &str,
        volumes: &[Volume],
        tmpfs: &[String],
    ) -> String {
        let path = path.strip_suffix('/').unwrap_or(path);
        if !is_mount_path(path) {
            self.refuse(
                field,
                "path_invalid",
                "give an absolute path such as /data, without . or .. and outside /proc, /sys and /dev",
            );
        } else if volumes.iter().any(|v| v.path == path) || tmpfs.iter().any(|t| t == path) {
            self.refuse(field, "path_duplicate", "mount each path once");
        }
        path.to_owned()
    }

    fn resources(&mut self, raw: &RawResources) -> Resources {
        let memory_bytes = raw.memory_bytes.unwrap_or(limits::DEFAULT_MEMORY_BYTES);
        if !limits::MEMORY_BYTES.contains(&memory_bytes) {
            self.refuse(
                "resources.memory_bytes",
                "memory_out_of_bounds",
                "give 16 MiB to 64 GiB, in bytes",
            );
        }
        let nano_cpus = raw.cpus.map_or(Some(limits::DEFAULT_NANO_CPUS), nano_cpus);
        if nano_cpus.is_none() {
            self.refuse(
                "resources.cpus",
                "cpus_out_of_bounds",
                "give 0.01 to 64 CPUs",
            );
        }
        let pids = raw.pids.unwrap_or(limits::DEFAULT_PIDS);
        if !limits::PIDS.contains(&pids) {
            self.refuse(
                "resources.pids",
                "pids_out_of_bounds",
                "give 1 to 4096 processes",
            );
        }
        Resources {
            memory_bytes,
            nano_cpus: nano_cpus.unwrap_or(limits::DEFAULT_NANO_CPUS),
            pids,
        }
    }

    fn transport(&mut self, raw: Option<&str>) -> Option<Transport> {
        let transport = raw?.parse().ok();
        if transport.is_none() {
            self.refuse(
                "transport",
                "transport_unknown",
                "give stdio, streamable-http, sse or websocket",
            );
        }
        transport
    }

    fn mcp_path(&mut self, path: Option<&str>) {
        if path.is_some_and(|path| !is_url_path(path)) {
            self.refuse(
                "mcp_path",
                "mcp_path_invalid",
                "give a URL path such as /mcp, without query, spaces, . or ..",
            );
        }
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn parse_host_ip(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.parse().ok()?;
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    (!ip.is_multicast() && !broadcast).then_some(ip)
}

fn is_env_name(name: &str) -> bool {
    name.len() <= limits::MAX_ENV_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_volume_name(name: &str) -> bool {
    name.len() <= limits::MAX_VOLUME_NAME_CHARS
        && name.split('-').all(|word| {
            !word.is_empty()
                && word
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

/// `:` and `,` separate the parts of mount options in Docker.
fn is_mount_path(path: &str) -> bool {
    let Some(inside) = path.strip_prefix('/') else {
        return false;
    };
    path.len() <= limits::MAX_PATH_BYTES
        && !path.contains(|c: char| c.is_control() || matches!(c, ':' | ',' | '\\'))
        && inside
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."))
        && !matches!(inside.split('/').next(), Some("proc" | "sys" | "dev"))
}

fn is_url_path(path: &str) -> bool {
    let Some(inside) = path.strip_prefix('/') else {
        return false;
    };
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b);
    path.len() <= limits::MAX_PATH_BYTES
        && path.bytes().all(legal)
        && inside.split('/').all(|part| !matches!(part, "." | ".."))
}

fn nano_cpus(cpus: f64) -> Option<u64> {
    // Also keeps NaN and the infinities out of the conversion.
    if !(0.0..=1e6).contains(&cpus) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to 1e15, checked"
    )]
    let nano_cpus = (cpus * 1e9 + 0.5) as u64;
    limits::NANO_CPUS.contains(&nano_cpus).then_some(nano_cpus)
}
