//! The rules: from the wire form to the checked spec, every violation at once.

use core::net::{IpAddr, Ipv4Addr};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;

use super::host_access::HostAccess;
use super::image::ImageSource;
use super::instance::{EnvVar, InstanceSpec, Port, ResourceLimits, SpecError};
use super::secret::SecretValue;
use super::wire::{Confinement, McpTransport, PortSpec, Resources, ToolSpec, VolumeSpec};

/// Bounds and defaults of a spec.
pub mod limits {
    use core::ops::RangeInclusive;

    /// Most bytes of all texts of a spec together.
    pub const MAX_SPEC_BYTES: usize = 128 * 1024;
    /// Most arguments of the command, and of the entry point.
    pub const MAX_ARGS: usize = 64;
    /// Most environment variables.
    pub const MAX_ENV_VARS: usize = 100;
    /// Most bytes of the name of an environment variable.
    pub const MAX_ENV_NAME_BYTES: usize = 255;
    /// Most bytes of the value of an environment variable.
    pub const MAX_ENV_VALUE_BYTES: usize = 32 * 1024;
    /// Most ports.
    pub const MAX_PORTS: usize = 32;
    /// Host ports that belong to the machine: SSH, the companion server, DTMA.
    pub const RESERVED_HOST_PORTS: &[u16] = &[22, 3000, 30000];
    /// Most volumes.
    pub const MAX_VOLUMES: usize = 16;
    /// Most characters of the name of a volume.
    pub const MAX_VOLUME_NAME_CHARS: usize = 40;
    /// Most tmpfs mounts.
    pub const MAX_TMPFS: usize = 16;
    /// Most bytes of a path.
    pub const MAX_PATH_BYTES: usize = 255;
    /// Most networks that it shares with other tools.
    pub const MAX_NETWORKS: usize = 8;
    /// Most characters of the name of a network.
    pub const MAX_NETWORK_NAME_CHARS: usize = 30;
    /// Most things of the machine that it may reach.
    pub const MAX_HOST_ACCESS: usize = 16;
    /// Most headers for the MCP server.
    pub const MAX_HEADERS: usize = 16;
    /// Most bytes of the name of a header.
    pub const MAX_HEADER_NAME_BYTES: usize = 64;
    /// Most bytes of the value of a header.
    pub const MAX_HEADER_VALUE_BYTES: usize = 8 * 1024;
    /// How long a call of the MCP server may take, in seconds (up to a day).
    pub const CALL_SECONDS: RangeInclusive<u32> = 1..=86_400;
    /// How long the MCP server may take to start, in seconds (up to half an hour).
    pub const START_SECONDS: RangeInclusive<u32> = 1..=1_800;
    /// How long nobody may use an MCP server that is stopped then, in minutes.
    pub const IDLE_MINUTES: RangeInclusive<u32> = 1..=10_080;
    /// Headers that the connection and the protocol need. Those that begin with `mcp-` or `proxy-` belong to them too.
    pub const RESERVED_HEADERS: &[&str] = &[
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "last-event-id",
        "te",
        "traceparent",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    /// Memory limit in bytes.
    pub const MEMORY_BYTES: RangeInclusive<u64> = 16 * MIB..=64 * 1024 * MIB;
    /// Memory limit in bytes when none is given.
    pub const DEFAULT_MEMORY_BYTES: u64 = 512 * MIB;
    /// CPU limit in billionths of a CPU (0.01 to 64 CPUs).
    pub const NANO_CPUS: RangeInclusive<u64> = 10_000_000..=64_000_000_000;
    /// CPU limit in billionths of a CPU when none is given.
    pub const DEFAULT_NANO_CPUS: u64 = 1_000_000_000;
    /// Most processes and threads.
    pub const PIDS: RangeInclusive<u32> = 1..=4096;
    /// Most processes and threads when no number is given.
    pub const DEFAULT_PIDS: u32 = 256;
    /// Most bytes on the disk.
    pub const DISK_BYTES: RangeInclusive<u64> = 16 * MIB..=16 * 1024 * 1024 * MIB;
    /// Most bytes on the disk when no number is given.
    pub const DEFAULT_DISK_BYTES: u64 = 10 * 1024 * MIB;
    /// Capabilities a spec may ask for: those Docker gives by default.
    pub const CAPABILITIES: &[&str] = &[
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ];

    const MIB: u64 = 1024 * 1024;
}

impl ToolSpec {
    /// Leaves out exceptions that were taken when there were fewer rules, and are none any more.
    pub fn drop_former_exceptions(&mut self) {
        let is_one = |access: HostAccess| !access.is_reserved();
        self.host_access
            .retain(|text| text.parse().is_ok_and(is_one));
    }
}

impl InstanceSpec {
    /// Checks a spec that was taken before, perhaps when there were fewer rules: exceptions that are none any more are left
    /// out, and one without `disk_bytes` has the limit on the disk that it was taken with, which may be none.
    pub fn taken_before(
        mut spec: ToolSpec,
        disk_bytes: Option<u64>,
    ) -> Result<Self, Vec<SpecError>> {
        spec.drop_former_exceptions();
        let disk_bytes = spec.resources.disk_bytes.or(disk_bytes);
        Ok(Self::validate(spec)?.with_disk_limit(disk_bytes))
    }

    /// Checks every rule; all violations come back together.
    pub fn validate(mut spec: ToolSpec) -> Result<Self, Vec<SpecError>> {
        let mut check = Check { errors: Vec::new() };
        check.size(&spec);
        // Every field is named, so that none can be forgotten.
        let ToolSpec {
            image,
            command,
            entrypoint,
            env,
            ports,
            volumes,
            resources,
            confinement,
            networks,
            host_access,
            transport,
            mcp_path,
            mcp_headers,
            mcp_call_timeout_seconds,
            mcp_start_timeout_seconds,
            mcp_stateless,
            idle_minutes,
            stdin_open,
        } = &mut spec;
        let image = ImageSource::parse(image);
        if let Err(error) = image {
            check.refuse("image", error.code(), error.to_string());
        }
        check.arguments("command", command.as_deref());
        check.arguments("entrypoint", entrypoint.as_deref());
        let env = check.env(env);
        let ports = check.ports(ports);
        check.volumes(volumes);
        let resources = check.resources(resources);
        check.confinement(confinement, volumes);
        check.networks(networks);
        let host_access = check.host_access(host_access);
        check.mcp_path(mcp_path.as_deref());
        check.mcp_headers(mcp_headers, *transport);
        check.seconds(
            "mcp_call_timeout_seconds",
            *mcp_call_timeout_seconds,
            &limits::CALL_SECONDS,
        );
        check.seconds(
            "mcp_start_timeout_seconds",
            *mcp_start_timeout_seconds,
            &limits::START_SECONDS,
        );
        if *mcp_stateless && *transport != Some(McpTransport::Stdio) {
            check.refuse(
                "mcp_stateless",
                "stateless_without_stdio",
                "set it only with the transport stdio; over HTTP each client asks for its own"
                    .to_owned(),
            );
        }
        check.idle_minutes(*idle_minutes, *transport);
        // A stdio server reads end-of-file at once otherwise, and exits.
        *stdin_open |= *transport == Some(McpTransport::Stdio);
        match image {
            Ok(image) if check.errors.is_empty() => Ok(Self {
                wire: spec,
                image,
                env,
                ports,
                resources,
                host_access,
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

    fn size(&mut self, spec: &ToolSpec) {
        let texts = |list: &[String]| list.iter().map(String::len).sum::<usize>();
        let bytes = spec.image.len()
            + texts(spec.command.as_deref().unwrap_or_default())
            + texts(spec.entrypoint.as_deref().unwrap_or_default())
            + spec
                .env
                .iter()
                .chain(&spec.mcp_headers)
                .map(|(name, value)| name.len() + value.value.len())
                .sum::<usize>()
            + spec
                .volumes
                .iter()
                .map(|v| v.name.len() + v.path.len())
                .sum::<usize>()
            + texts(&spec.confinement.tmpfs)
            + texts(&spec.confinement.add_capabilities)
            + texts(&spec.networks)
            + texts(&spec.host_access)
            + spec.confinement.user.as_ref().map_or(0, String::len)
            + spec.mcp_path.as_ref().map_or(0, String::len);
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

    fn env(&mut self, env: &BTreeMap<String, SecretValue>) -> Vec<EnvVar> {
        self.count("env", env.len(), limits::MAX_ENV_VARS);
        let mut variables = Vec::with_capacity(env.len().min(limits::MAX_ENV_VARS));
        for (name, value) in env {
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
            let Some(value) = value.reveal() else {
                self.refuse(
                    field(),
                    "secret_key_unknown",
                    "the value is encrypted with a key that is not known here; give it in plain text, with key_id null",
                );
                continue;
            };
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
            variables.push(EnvVar {
                name: name.clone(),
                value: value.to_owned(),
            });
        }
        variables
    }

    fn ports(&mut self, raw: &[PortSpec]) -> Vec<Port> {
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
            let host_ip = raw.host_ip.as_deref().map_or(Some(LOOPBACK), parse_host_ip);
            if host_ip.is_none() {
                self.refuse(
                    field("host_ip"),
                    "host_ip_invalid",
                    "give an IP address of the machine, 127.0.0.1 or 0.0.0.0",
                );
            }
            let same = |p: &&Port| p.protocol == raw.protocol;
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
                protocol: raw.protocol,
                host_port: raw.host_port,
                host_ip: host_ip.unwrap_or(LOOPBACK),
            });
        }
        ports
    }

    fn volumes(&mut self, volumes: &mut [VolumeSpec]) {
        self.count("volumes", volumes.len(), limits::MAX_VOLUMES);
        for i in 0..volumes.len().min(limits::MAX_VOLUMES) {
            let (before, rest) = volumes.split_at_mut(i);
            let Some(VolumeSpec { name, path }) = rest.first_mut() else {
                break;
            };
            if !is_volume_name(name) {
                self.refuse(
                    format!("volumes[{i}].name"),
                    "volume_name_invalid",
                    "use 1 to 40 lower-case letters, digits and single - between them",
                );
            }
            if before.iter().any(|v| v.name == *name) {
                self.refuse(
                    format!("volumes[{i}].name"),
                    "volume_duplicate",
                    "name each volume once",
                );
            }
            self.mount_path(format!("volumes[{i}].path"), path, before, &[]);
        }
    }

    fn confinement(&mut self, confinement: &mut Confinement, volumes: &[VolumeSpec]) {
        let Confinement {
            read_only_root: _,
            tmpfs,
            add_capabilities,
            user,
        } = confinement;
        self.count("confinement.tmpfs", tmpfs.len(), limits::MAX_TMPFS);
        for i in 0..tmpfs.len().min(limits::MAX_TMPFS) {
            let (before, rest) = tmpfs.split_at_mut(i);
            let Some(path) = rest.first_mut() else {
                break;
            };
            self.mount_path(format!("confinement.tmpfs[{i}]"), path, volumes, before);
        }
        if user.as_deref().is_some_and(|user| !is_user(user)) {
            self.refuse(
                "confinement.user",
                "user_invalid",
                "give uid or uid:gid in numbers, such as 1000 or 1000:1000",
            );
        }
        let asked: Vec<&str> = add_capabilities
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
        *add_capabilities = limits::CAPABILITIES
            .iter()
            .filter(|c| asked.contains(c))
            .map(|&c| c.to_owned())
            .collect();
    }

    /// Sorts them, each once.
    fn networks(&mut self, networks: &mut Vec<String>) {
        self.count("networks", networks.len(), limits::MAX_NETWORKS);
        let most = limits::MAX_NETWORK_NAME_CHARS;
        for (i, name) in networks.iter().enumerate().take(limits::MAX_NETWORKS) {
            if !is_word(name, most) {
                self.refuse(
                    format!("networks[{i}]"),
                    "network_name_invalid",
                    format!("use 1 to {most} lower-case letters, digits and single - between them"),
                );
            }
        }
        networks.sort_unstable();
        networks.dedup();
    }

    /// Puts them into their one spelling, sorted, each once.
    fn host_access(&mut self, texts: &mut Vec<String>) -> Vec<HostAccess> {
        self.count("host_access", texts.len(), limits::MAX_HOST_ACCESS);
        let mut access = Vec::with_capacity(texts.len().min(limits::MAX_HOST_ACCESS));
        for (i, text) in texts.iter().enumerate().take(limits::MAX_HOST_ACCESS) {
            match text.parse::<HostAccess>() {
                Ok(one) if one.is_reserved() => self.refuse(
                    format!("host_access[{i}]"),
                    "host_port_reserved",
                    "choose another port; 22, 3000 and 30000 belong to the machine",
                ),
                Ok(one) => access.push(one),
                Err(error) => self.refuse(
                    format!("host_access[{i}]"),
                    "host_access_invalid",
                    error.to_string(),
                ),
            }
        }
        access.sort_unstable();
        access.dedup();
        *texts = access.iter().map(ToString::to_string).collect();
        access
    }

    /// Puts the path into its one spelling; no two mounts of a container share one.
    fn mount_path(
        &mut self,
        field: String,
        path: &mut String,
        volumes: &[VolumeSpec],
        tmpfs: &[String],
    ) {
        if path.ends_with('/') {
            path.pop();
        }
        if !is_mount_path(path) {
            self.refuse(
                field,
                "path_invalid",
                "give an absolute path such as /data, without . or .. and outside /proc, /sys and /dev",
            );
        } else if volumes.iter().any(|v| v.path == *path) || tmpfs.contains(path) {
            self.refuse(field, "path_duplicate", "mount each path once");
        }
    }

    fn resources(&mut self, resources: &Resources) -> ResourceLimits {
        let Resources {
            memory_bytes,
            cpus,
            pids,
            disk_bytes,
        } = *resources;
        let memory_bytes = memory_bytes.unwrap_or(limits::DEFAULT_MEMORY_BYTES);
        if !limits::MEMORY_BYTES.contains(&memory_bytes) {
            self.refuse(
                "resources.memory_bytes",
                "memory_out_of_bounds",
                "give 16 MiB to 64 GiB",
            );
        }
        let nano_cpus = cpus.map_or(Some(limits::DEFAULT_NANO_CPUS), nano_cpus);
        if nano_cpus.is_none() {
            self.refuse(
                "resources.cpus",
                "cpus_out_of_bounds",
                "give 0.01 to 64 CPUs",
            );
        }
        let pids = pids.unwrap_or(limits::DEFAULT_PIDS);
        if !limits::PIDS.contains(&pids) {
            self.refuse(
                "resources.pids",
                "pids_out_of_bounds",
                "give 1 to 4096 processes",
            );
        }
        let disk_bytes = disk_bytes.unwrap_or(limits::DEFAULT_DISK_BYTES);
        if !limits::DISK_BYTES.contains(&disk_bytes) {
            self.refuse(
                "resources.disk_bytes",
                "disk_out_of_bounds",
                "give 16 MiB to 16 TiB",
            );
        }
        ResourceLimits {
            memory_bytes,
            nano_cpus: nano_cpus.unwrap_or(limits::DEFAULT_NANO_CPUS),
            pids,
            disk_bytes: Some(disk_bytes),
        }
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

    /// Puts the names into lower case. No value and no broken name is repeated: it may be a secret.
    fn mcp_headers(
        &mut self,
        headers: &mut BTreeMap<String, SecretValue>,
        transport: Option<McpTransport>,
    ) {
        self.count("mcp_headers", headers.len(), limits::MAX_HEADERS);
        let speaks_http = matches!(
            transport,
            Some(McpTransport::StreamableHttp | McpTransport::Sse)
        );
        if !headers.is_empty() && !speaks_http {
            self.refuse(
                "mcp_headers",
                "header_without_http",
                "give headers only with the transport streamable-http or sse",
            );
        }
        let mut lower = BTreeMap::new();
        for (name, value) in std::mem::take(headers) {
            let is_name = is_header_name(&name);
            let field = if is_name {
                format!("mcp_headers.{name}")
            } else {
                "mcp_headers".to_owned()
            };
            let mut refuse = |code, message| self.refuse(field.clone(), code, message);
            if !is_name {
                refuse(
                    "header_name_invalid",
                    "use letters, digits and - for the name, at most 64",
                );
            }
            match value.reveal() {
                None => refuse(
                    "secret_key_unknown",
                    "the value is encrypted with a key that is not known here; give it in plain text, with key_id null",
                ),
                Some(value) if !is_header_value(value) => refuse(
                    "header_value_invalid",
                    "give 1 to 8192 visible ASCII characters, with spaces only between them",
                ),
                Some(_) => {}
            }
            let name = name.to_ascii_lowercase();
            if is_reserved_header(&name) {
                refuse(
                    "header_reserved",
                    "leave it out; the connection and the protocol set this header",
                );
            }
            if lower.contains_key(&name) {
                refuse(
                    "header_duplicate",
                    "give each header once; capitals make no difference",
                );
            }
            lower.insert(name, value);
        }
        *headers = lower;
    }

    fn seconds(&mut self, field: &str, given: Option<u32>, bounds: &RangeInclusive<u32>) {
        if given.is_some_and(|seconds| !bounds.contains(&seconds)) {
            let (least, most) = (bounds.start(), bounds.end());
            self.refuse(
                field,
                "timeout_out_of_bounds",
                format!("give {least} to {most} seconds"),
            );
        }
    }

    /// Only a call that the agent passes on can start it again.
    fn idle_minutes(&mut self, given: Option<u32>, transport: Option<McpTransport>) {
        let Some(minutes) = given else { return };
        if !limits::IDLE_MINUTES.contains(&minutes) {
            let (least, most) = (limits::IDLE_MINUTES.start(), limits::IDLE_MINUTES.end());
            self.refuse(
                "idle_minutes",
                "timeout_out_of_bounds",
                format!("give {least} to {most} minutes"),
            );
        }
        if transport.is_none_or(|transport| transport == McpTransport::Websocket) {
            self.refuse(
                "idle_minutes",
                "idle_without_mcp",
                "set it only for an MCP server over stdio, streamable-http or sse; nothing else could start the tool again"
                    .to_owned(),
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

/// `uid` or `uid:gid`, each from 0 to 2^31 - 1, as the container engine counts them. Names would need the image to be read.
fn is_user(user: &str) -> bool {
    let is_id = |id: &str| {
        let plain = id == "0" || !id.starts_with('0');
        plain && id.bytes().all(|b| b.is_ascii_digit()) && id.parse::<i32>().is_ok()
    };
    match user.split_once(':') {
        Some((uid, gid)) => is_id(uid) && is_id(gid),
        None => is_id(user),
    }
}

fn is_volume_name(name: &str) -> bool {
    is_word(name, limits::MAX_VOLUME_NAME_CHARS)
}

fn is_word(name: &str, most: usize) -> bool {
    name.len() <= most
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

/// Letters, digits and `-`; HTTP allows a few more characters, which no server uses.
fn is_header_name(name: &str) -> bool {
    (1..=limits::MAX_HEADER_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_header_value(value: &str) -> bool {
    (1..=limits::MAX_HEADER_VALUE_BYTES).contains(&value.len())
        && value.trim_ascii() == value
        && value.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
}

/// `name` is in lower case.
fn is_reserved_header(name: &str) -> bool {
    limits::RESERVED_HEADERS.contains(&name)
        || name.starts_with("mcp-")
        || name.starts_with("proxy-")
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
