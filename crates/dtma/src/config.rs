//! Flags and environment variables of the agent, and those that it shares with the machine's other programs. Nothing
//! else reads the environment.

pub mod companion;
pub mod enrol;
pub mod ssh;

use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{Args, Parser};
use ipnet::Ipv4Net;
use toolbox_domain::address::Allowed;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::keys::AgentKey;

use crate::runtime::networks::POOL_LENGTHS;
use crate::ssh::SshHost;

/// Most keys in a key file: the one in use and its predecessors during a rotation.
const MAX_KEYS: usize = 4;
/// Largest key file, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// What the agent is told.
#[derive(Clone, Debug, Parser)]
pub struct Config {
    /// Address and port the API listens on.
    #[arg(
        long,
        env = "DTMA_LISTEN",
        default_value = "127.0.0.1:30000",
        value_name = "ADDRESS:PORT"
    )]
    pub listen: SocketAddr,

    #[command(flatten)]
    pub machine: MachineConfig,

    #[command(flatten)]
    pub control: ControlConfig,

    /// File with the single-use token (`tbe_...`) that enrols this machine as its toolbox. The agent reads it once, keeps
    /// the keys it gets for it in its state folder, and removes the file. A new token in it enrols the machine again.
    #[arg(
        long,
        env = "DTMA_ENROLMENT_TOKEN_FILE",
        value_name = "FILE",
        requires = "control_url"
    )]
    pub enrolment_token_file: Option<PathBuf>,

    /// Seconds between two full heartbeats, 1 to 300; changes are reported at once besides. What the control plane says
    /// at the enrolment counts when this is absent, and 60 when it says nothing.
    #[arg(long, env = "DTMA_HEARTBEAT_INTERVAL", value_parser = clap::value_parser!(u32).range(1..=300), value_name = "SECONDS")]
    pub heartbeat_interval: Option<u32>,

    /// Host ports that may be given to tools that ask for none in particular. Ports 22, 3000 and 30000 are never given.
    #[arg(long, env = "DTMA_PORT_RANGE", default_value = "31000-32767", value_parser = parse_range, value_name = "FIRST-LAST")]
    pub port_range: RangeInclusive<u16>,

    /// Private networks that the subnets of tools' networks are taken from, separated by commas, each of a prefix from /12 to
    /// /26. A subnet that overlaps a route of this machine or another network of Docker is passed over.
    #[arg(long, env = "DTMA_NETWORK_POOL", default_value = "10.213.0.0/16,172.30.0.0/16", value_delimiter = ',', value_parser = parse_pool, value_name = "NETWORKS")]
    pub network_pool: Vec<Ipv4Net>,

    /// Port of the companion on this machine. The agent tells whether it answers.
    #[arg(long, env = "DTMA_COMPANION_PORT", value_parser = clap::value_parser!(u16).range(1..), value_name = "PORT")]
    pub companion_port: Option<u16>,

    /// Share of the disk with the state folder that should be free, in percent: 0 to 100. A diagnosis warns of less, and
    /// fails below a quarter of it.
    #[arg(long, env = "DTMA_DISK_FREE", default_value_t = 10, value_parser = clap::value_parser!(u8).range(0..=100), value_name = "PERCENT")]
    pub disk_free: u8,

    /// Memory for MCP messages over 64 KiB, of all servers together, in MiB: 32 to 4096. What is taken in beyond it is refused.
    #[arg(long, env = "DTMA_MCP_MEMORY", default_value_t = 128, value_parser = clap::value_parser!(u16).range(32..=4096), value_name = "MIB")]
    pub mcp_memory: u16,

    /// Seconds that count as a minute of a tool's `idleMinutes`, 1 to 60; for tests only.
    #[arg(long, env = "DTMA_IDLE_MINUTE", default_value_t = 60, value_parser = clap::value_parser!(u8).range(1..=60), value_name = "SECONDS")]
    pub idle_minute: u8,

    /// Free space in MiB that is kept on the disk with Docker's data. Below it no image is fetched, and the tool that has written
    /// most lately is stopped. 0 keeps none.
    #[arg(long, env = "DTMA_MIN_FREE_DISK", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(0..=1_048_576), value_name = "MIB")]
    pub min_free_disk: u32,

    /// Registries and Git hosts that tools may come from although they are not public: `host`, `host:port` or a network such
    /// as `10.20.0.0/16`, with commas between them. Git over plain HTTP is possible from these only. For Docker Hub write
    /// `docker.io`. Also list names that only Docker can reach, through a proxy or a mirror.
    #[arg(
        long,
        env = "DTMA_ALLOW_PRIVATE_SOURCES",
        default_value = "",
        hide_default_value = true,
        value_name = "LIST"
    )]
    pub allow_private_sources: Allowed,

    /// Only find out whether this program could serve the machine: read the state, ask Docker and the control plane, answer
    /// `GET /health`, and print what was found as one line. Nothing is changed, and it ends with its standard input.
    #[arg(long)]
    pub candidate: bool,
}

/// What every program of a machine is told.
#[derive(Clone, Debug, Args)]
pub struct MachineConfig {
    /// Id of the toolbox this machine is. Only containers labelled with it are ever changed.
    #[arg(long, env = "DTMA_TOOLBOX_ID", value_name = "UUID")]
    pub toolbox_id: ToolboxId,

    /// Folder for the desired state of every tool instance, the agent's keys and its certificate. It holds secrets of the
    /// tools and is kept at mode 0700.
    #[arg(
        long,
        env = "DTMA_STATE_DIR",
        default_value = "/var/lib/dtma",
        value_name = "FOLDER"
    )]
    pub state_dir: PathBuf,

    /// Speak plain HTTP, without TLS; for development only, and only on a loopback address.
    #[arg(long, env = "DTMA_INSECURE_HTTP", default_value_t = false, action = clap::ArgAction::Set,
          value_parser = clap::builder::BoolishValueParser::new(),
          num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub insecure_http: bool,

    /// File with the key that callers present as a bearer token, for an agent that is not enrolled: `tbk_` and 64 hex
    /// digits. Further lines hold keys that are still accepted while a key is being replaced (four in all). There is no
    /// other way to pass a key. Once the agent is enrolled, the keys it got count and this file does not.
    #[arg(long, env = "DTMA_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Docker Engine: `unix:///path` or `tcp://host:port`.
    #[arg(
        long,
        env = "DTMA_DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock",
        value_name = "URL"
    )]
    pub docker_host: String,

    /// What is logged: `error`, `warn`, `info`, `debug`, or a filter such as `dtma::instances=debug,info`.
    #[arg(long, env = "DTMA_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

impl MachineConfig {
    /// The port where Docker listens, unless it is a socket.
    pub fn docker_port(&self) -> Option<u16> {
        // Only of a scheme that it knows the usual port is known to the parser.
        let url = self.docker_host.replacen("tcp://", "http://", 1);
        let url = reqwest::Url::parse(&url).ok()?;
        url.port_or_known_default()
    }
}

/// Where the control plane is, and what it and other callers know this machine by.
#[derive(Clone, Debug, Args)]
pub struct ControlConfig {
    /// The control plane's function `heartbeat`, such as `https://<project>.supabase.co/functions/v1/heartbeat`: the
    /// agent reports to it and takes the desired state from it. Plain HTTP is possible to a loopback address only.
    #[arg(long, env = "DTMA_CONTROL_URL", value_parser = parse_control_url, value_name = "URL")]
    pub control_url: Option<http::Uri>,

    /// File with further certificates (PEM) that the control plane's certificate may be issued by, beside the public ones.
    #[arg(
        long,
        env = "DTMA_CONTROL_CA_FILE",
        value_name = "FILE",
        requires = "control_url"
    )]
    pub control_ca_file: Option<PathBuf>,

    /// Further addresses and names that callers use for this machine, for its TLS certificate, separated by commas. The
    /// addresses of its interfaces and loopback are in it anyway. The certificate is made at the first start and kept.
    #[arg(long, env = "DTMA_TLS_NAMES", value_delimiter = ',', value_parser = parse_tls_name, value_name = "NAMES")]
    pub tls_names: Vec<String>,

    /// File with the ed25519 host key of this machine's sshd. The agent tells it to the control plane when it enrols, so that
    /// the machine can be reached by SSH when the agent does not answer; without the file it cannot.
    #[arg(
        long,
        env = "DTMA_SSH_HOST_KEY_FILE",
        default_value = "/etc/ssh/ssh_host_ed25519_key.pub",
        value_name = "FILE"
    )]
    pub ssh_host_key_file: PathBuf,

    /// Port of this machine's sshd, told with its host key.
    #[arg(long, env = "DTMA_SSH_PORT", default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..), value_name = "PORT")]
    pub ssh_port: u16,
}

impl ControlConfig {
    /// How this machine's sshd is reached and known.
    pub fn ssh(&self) -> SshHost {
        SshHost {
            key_file: self.ssh_host_key_file.clone(),
            port: self.ssh_port,
        }
    }
}

/// The key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It could not be read.
    #[error("could not read the key file '{path}'")]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    /// A line is no key. The line is not repeated here.
    #[error("line {line} of the key file '{path}' is no key; expected tbk_ and 64 hex digits")]
    NoKey {
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// Wrong number of keys, or something else entirely.
    #[error("the key file '{path}' must hold 1 to {MAX_KEYS} keys, one per line")]
    WrongSize { path: PathBuf },
}

/// Reads the accepted keys.
pub fn read_keys(path: &Path) -> Result<Vec<AgentKey>, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.len() > MAX_KEY_FILE_BYTES {
        return Err(KeyFileError::WrongSize {
            path: path.to_owned(),
        });
    }
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", metadata.mode() & 0o777), "the key file can be read by others; set its mode to 0600");
    }
    let text = fs::read_to_string(path).map_err(unreadable)?;
    let keys = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            AgentKey::parse(line.trim()).map_err(|_| KeyFileError::NoKey {
                path: path.to_owned(),
                line: number + 1,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() || keys.len() > MAX_KEYS {
        return Err(KeyFileError::WrongSize {
            path: path.to_owned(),
        });
    }
    Ok(keys)
}

/// A flag contradicts another, or there is too little to start with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Anybody on the network could read the key and the specs.
    #[error("DTMA_INSECURE_HTTP needs DTMA_LISTEN to be a loopback address, not {0}")]
    InsecureOffLoopback(SocketAddr),
    /// Nobody could ever call the agent.
    #[error(
        "there is no key: give DTMA_CONTROL_URL and DTMA_ENROLMENT_TOKEN_FILE to enrol, or DTMA_KEY_FILE"
    )]
    NoKeys,
}

impl Config {
    /// Checks rules about several flags.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.machine.insecure_http && !self.listen.ip().is_loopback() {
            return Err(ConfigError::InsecureOffLoopback(self.listen));
        }
        if self.machine.key_file.is_none() && self.control.control_url.is_none() {
            return Err(ConfigError::NoKeys);
        }
        Ok(())
    }
}

fn parse_tls_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    rustls::pki_types::ServerName::try_from(name)
        .map(|_| name.to_owned())
        .map_err(|_| format!("expected an IP address or a DNS name, got '{text}'"))
}

fn parse_control_url(text: &str) -> Result<http::Uri, String> {
    parse_web_url(text).map_err(|expected| format!("{expected}, of the function heartbeat"))
}

/// A URL that may be trusted with what is sent there, or fetched from there.
pub fn parse_web_url(text: &str) -> Result<http::Uri, String> {
    let expected = "expected https://host/path, or http:// and a loopback address";
    let url: http::Uri = text
        .trim_end_matches('/')
        .parse()
        .map_err(|_| expected.to_owned())?;
    let host = url.host().unwrap_or_default();
    let loopback = host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback());
    // A query could hold a secret, which would end in logs; nothing here needs one.
    let plain = url.query().is_none() && !url.authority().is_some_and(|a| a.as_str().contains('@'));
    match url.scheme_str() {
        Some("https") if plain && !host.is_empty() => Ok(url),
        Some("http") if plain && loopback => Ok(url),
        _ => Err(expected.to_owned()),
    }
}

fn parse_pool(text: &str) -> Result<Ipv4Net, String> {
    let net: Option<Ipv4Net> = text.trim().parse().ok();
    net.filter(|net| POOL_LENGTHS.contains(&net.prefix_len()) && net.trunc() == *net)
        .ok_or_else(|| {
            let (least, most) = (POOL_LENGTHS.start(), POOL_LENGTHS.end());
            format!(
                "expected a network such as 10.213.0.0/16, of /{least} to /{most}, got '{text}'"
            )
        })
}

fn parse_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let expected = || format!("expected two ports such as 31000-32767, got '{text}'");
    let (first, last) = text.split_once('-').ok_or_else(expected)?;
    let (first, last): (u16, u16) = (
        first.trim().parse().map_err(|_| expected())?,
        last.trim().parse().map_err(|_| expected())?,
    );
    if first == 0 || first > last {
        return Err(expected());
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_two_ports_in_order() {
        assert_eq!(parse_range("31000-32767"), Ok(31000..=32767));
        for text in ["", "1", "2-1", "0-5", "a-b", "1-70000"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pools_are_networks_that_hold_subnets() {
        for text in ["10.213.0.0/16", " 192.168.7.0/26", "172.16.0.0/12"] {
            parse_pool(text).unwrap();
        }
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.1/16",
            "10.0.0.0/11",
            "10.0.0.0/27",
            "fd00::/16",
            "x/16",
        ] {
            assert!(parse_pool(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_control_plane_is_reached_over_tls_or_on_this_machine() {
        for url in [
            "https://abc.supabase.co/functions/v1/heartbeat",
            "https://abc.supabase.co/functions/v1/heartbeat/",
            "http://127.0.0.1:54321/functions/v1/heartbeat",
            "http://[::1]:1/heartbeat",
            "http://localhost:1/heartbeat",
        ] {
            let parsed = parse_control_url(url).unwrap();
            assert!(!parsed.path().ends_with('/'), "{parsed}");
        }
        for url in [
            "",
            "heartbeat",
            "http://abc.supabase.co/heartbeat",
            "http://10.0.0.1/heartbeat",
            "https://user:secret@host/heartbeat",
            "https://host/heartbeat?key=secret",
            "ftp://127.0.0.1/",
        ] {
            assert!(parse_control_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn plain_http_stays_on_this_machine_and_some_key_must_come() {
        let config = |more: &[&str]| {
            let base = [
                "dtma",
                "--toolbox-id",
                "6f9619ff-8b86-4d01-b42d-00000000000a",
            ];
            Config::try_parse_from(base.iter().chain(more)).unwrap()
        };
        assert_eq!(config(&[]).check(), Err(ConfigError::NoKeys));
        let enrolling = ["--control-url", "https://host/heartbeat"];
        config(&enrolling).check().unwrap();
        let open = config(&[
            "--key-file",
            "k",
            "--insecure-http",
            "--listen",
            "0.0.0.0:30000",
        ]);
        assert!(matches!(
            open.check(),
            Err(ConfigError::InsecureOffLoopback(_))
        ));
        config(&["--key-file", "k", "--insecure-http"])
            .check()
            .unwrap();
    }

    #[test]
    fn docker_has_a_port_unless_it_is_a_socket() {
        for (host, port) in [
            ("unix:///var/run/docker.sock", None),
            ("tcp://127.0.0.1:2375", Some(2375)),
            ("tcp://[::1]:2376/", Some(2376)),
            ("http://docker.lan:80", Some(80)),
            ("tcp://docker.lan", Some(80)),
        ] {
            let toolbox = ["--toolbox-id", "6f9619ff-8b86-4d01-b42d-00000000000a"];
            let arguments = ["dtma", "--docker-host", host];
            let config = Config::try_parse_from(arguments.iter().chain(&toolbox)).unwrap();
            assert_eq!(config.machine.docker_port(), port, "{host}");
        }
    }

    #[test]
    fn a_key_file_holds_keys_and_errors_never_repeat_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let key = format!("tbk_{}", "ab".repeat(32));
        fs::write(&path, format!("{key}\n\n  {key}  \n")).unwrap();
        assert_eq!(read_keys(&path).unwrap().len(), 2);
        fs::write(&path, format!("{key}\nSECRET\n")).unwrap();
        let error = read_keys(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::NoKey { line: 2, .. }));
        assert!(!error.to_string().contains("SECRET"));
        fs::write(&path, "\n").unwrap();
        assert!(matches!(
            read_keys(&path),
            Err(KeyFileError::WrongSize { .. })
        ));
    }
}
