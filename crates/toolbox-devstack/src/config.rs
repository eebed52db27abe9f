//! What the command line and the environment say; the only module that reads either.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use ipnet::Ipv4Net;

use crate::error::StackError;
use crate::simulator::{DELAY_MS, REQUESTS_PER_HOUR, Settings};

/// The local stack of Toolbox: Postgres, PostgREST, sign-in, edge functions and DTMA behind Supabase's URLs.
#[derive(Debug, Parser)]
#[command(name = "toolbox-devstack", version, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts everything and runs until Ctrl-C.
    Up(Box<UpArgs>),
    /// Starts a simulator of DigitalOcean's API alone, and runs until Ctrl-C.
    #[command(name = "digitalocean")]
    DigitalOcean(DigitalOceanArgs),
}

/// The simulator by itself. Its token is DO_API_TOKEN of the environment, or one that it makes up and prints.
#[derive(Debug, Args)]
pub(crate) struct DigitalOceanArgs {
    /// Droplets are addresses only; nothing runs at them. Without it they are containers.
    #[arg(long)]
    pub(crate) stub: bool,
    /// Where it listens; port 0 is a free one.
    #[arg(long, default_value = "127.0.0.1:54390")]
    pub(crate) listen: SocketAddr,
    /// The addresses of droplets with --stub.
    #[arg(long, default_value = "127.77.0.0/16")]
    pub(crate) network: Ipv4Net,
    /// How long an order or an action takes.
    #[arg(long, default_value_t = DELAY_MS, value_name = "MILLISECONDS")]
    boot_ms: u64,
    /// How far lists of droplets are behind.
    #[arg(long, default_value_t = DELAY_MS, value_name = "MILLISECONDS")]
    list_lag_ms: u64,
    /// More are refused, and more than a twentieth of them in a minute. DigitalOcean's own number is the default.
    #[arg(long, default_value_t = REQUESTS_PER_HOUR, value_name = "NUMBER")]
    requests_per_hour: u32,
    /// Prints one line of JSON when ready, instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
    /// Stops when standard input closes.
    #[arg(long)]
    pub(crate) die_with_stdin: bool,
    #[arg(long, env = "DO_API_TOKEN", hide = true, hide_env_values = true)]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) host: HostArgs,
}

impl DigitalOceanArgs {
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            list_lag: Duration::from_millis(self.list_lag_ms),
            boot: Duration::from_millis(self.boot_ms),
            requests_per_hour: self.requests_per_hour,
        }
    }
}

/// Ports of a stack on `--port P`: P gateway, P+1 Postgres, P+2 PostgREST, P+3 PostgREST's health, P+4 the simulator.
#[derive(Debug, Args)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "flags of a command line are independent"
)]
pub(crate) struct UpArgs {
    /// Folder that holds supabase/ [default: the nearest one from here upwards].
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    /// Where data and keys are kept [default: <project>/.toolbox].
    #[arg(
        long,
        env = "TOOLBOX_DATA_DIR",
        value_name = "DIR",
        conflicts_with = "ephemeral"
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// Folder with node_modules of this repository [default: the project].
    #[arg(long, env = "TOOLBOX_TOOLS_DIR", value_name = "DIR")]
    pub(crate) tools_dir: Option<PathBuf>,
    #[command(flatten)]
    host: HostArgs,
    /// Port of the gateway; the next three are taken too, with --droplets the next four.
    #[arg(long, default_value_t = 54321, value_parser = clap::value_parser!(u16).range(1024..=65530))]
    pub(crate) port: u16,
    /// Serves the web console that is built there.
    #[arg(long, value_name = "DIR")]
    pub(crate) web: Option<PathBuf>,
    /// Port of the web console [default: 3000, or a free one with --ephemeral].
    #[arg(long, requires = "web")]
    pub(crate) web_port: Option<u16>,
    /// Free ports, data in a temporary folder that is removed at the end.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Prints one line of JSON when ready, instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
    /// Stops when standard input closes, so that a test that dies takes its stack with it.
    #[arg(long)]
    pub(crate) die_with_stdin: bool,
    /// DTMA's program [default: target/x86_64-unknown-linux-musl/release/dtma of the project].
    #[arg(long, value_name = "FILE")]
    pub(crate) dtma_bin: Option<PathBuf>,
    /// Port of DTMA [default: 30000, or a free one with --ephemeral].
    #[arg(long)]
    pub(crate) dtma_port: Option<u16>,
    /// Port of DTMA's companion [default: 3101, or a free one with --ephemeral].
    #[arg(long)]
    pub(crate) companion_port: Option<u16>,
    /// DTMA without its companion: no other version can take its place, and whoever ends it decides when it comes back.
    #[arg(long)]
    pub(crate) no_companion: bool,
    /// Starts no agent; the toolbox "local" then waits for one to be enrolled.
    #[arg(long, default_value_if("droplets", "true", "true"))]
    pub(crate) no_dtma: bool,
    /// Starts a simulator of DigitalOcean's API too, whose droplets are containers; the functions buy there. Implies
    /// --no-dtma: all machines have the same ports.
    #[arg(long, conflicts_with = "dtma_http")]
    pub(crate) droplets: bool,
    /// An image with a system of its own and cloud-init, as tests/digitalocean/cloud-init-image makes it, that droplets start
    /// from [default: this machine's /usr].
    #[arg(long, requires = "droplets", value_name = "IMAGE")]
    pub(crate) droplet_image: Option<String>,
    /// Starts toolbox-backend too, with target/debug/toolbox-backend.
    #[arg(long, requires = "droplets")]
    pub(crate) backend: bool,
    /// Port of toolbox-backend [default: 3100, or a free one with --ephemeral].
    #[arg(long, requires = "backend")]
    pub(crate) backend_port: Option<u16>,
    /// DTMA without TLS, enrolment, heartbeat and companion: plain HTTP with a key file.
    #[arg(long, conflicts_with = "no_dtma")]
    pub(crate) dtma_http: bool,
    /// A variable for DTMA. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) dtma_env: Vec<(String, String)>,
    /// A variable for every function; wins over supabase/functions/.env. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) function_env: Vec<(String, String)>,
    #[arg(long, env = "CARGO_TARGET_DIR", hide = true)]
    target_dir: Option<PathBuf>,
}

/// What the machine itself says.
#[derive(Debug, Args)]
pub(crate) struct HostArgs {
    /// Folder of tools shared by all checkouts [default: /var/cache/toolbox for root, else ~/.cache/toolbox].
    #[arg(long, env = "TOOLBOX_CACHE", value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    home: Option<PathBuf>,
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    xdg_cache: Option<PathBuf>,
    #[arg(
        long,
        env = "PATH",
        hide = true,
        default_value = "/usr/local/bin:/usr/bin:/bin"
    )]
    pub(crate) path: String,
}

impl HostArgs {
    /// The folder of tools; none when nothing says where it is.
    pub(crate) fn cache(&self) -> Result<Option<PathBuf>, StackError> {
        Ok(match (&self.cache_dir, &self.xdg_cache, &self.home) {
            (Some(given), _, _) => Some(absolute(given)?),
            _ if rustix::process::getuid().is_root() => Some(PathBuf::from("/var/cache/toolbox")),
            (None, Some(cache), _) => Some(cache.join("toolbox")),
            (None, None, Some(home)) => Some(home.join(".cache/toolbox")),
            (None, None, None) => None,
        })
    }
}

/// The folders and programs a stack uses, all absolute.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    pub(crate) project: PathBuf,
    pub(crate) tools: PathBuf,
    pub(crate) cache: PathBuf,
    pub(crate) dtma: PathBuf,
    pub(crate) backend: PathBuf,
    /// PATH of the programs that start others (none but the Supabase CLI and Docker's).
    pub(crate) search: String,
}

impl UpArgs {
    /// Whether the agent runs under its companion.
    pub(crate) const fn has_companion(&self) -> bool {
        !(self.no_dtma || self.dtma_http || self.no_companion)
    }

    pub(crate) fn paths(&self) -> Result<Paths, StackError> {
        let project = match &self.project {
            Some(given) => absolute(given)?,
            None => nearest_project()?,
        };
        let tools = self
            .tools_dir
            .as_deref()
            .map_or_else(|| Ok(project.clone()), absolute)?;
        let cache = self.host.cache()?;
        let cache = cache.unwrap_or_else(|| project.join(".toolbox/cache"));
        let target = self
            .target_dir
            .as_deref()
            .map_or_else(|| Ok(project.join("target")), absolute)?;
        let dtma = match &self.dtma_bin {
            Some(given) => absolute(given)?,
            None => target.join("x86_64-unknown-linux-musl/release/dtma"),
        };
        Ok(Paths {
            project,
            tools,
            cache,
            dtma,
            backend: target.join("debug/toolbox-backend"),
            search: self.host.path.clone(),
        })
    }
}

impl Paths {
    /// A program of node_modules, checked to exist.
    pub(crate) fn node_module(&self, inner: &str) -> Result<PathBuf, StackError> {
        let path = self.tools.join("node_modules").join(inner);
        if path.exists() {
            Ok(path)
        } else {
            Err(StackError::ToolMissing(path))
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, StackError> {
    std::path::absolute(path).map_err(StackError::file("resolve", path))
}

fn nearest_project() -> Result<PathBuf, StackError> {
    let here = std::env::current_dir().map_err(StackError::file("resolve", "."))?;
    here.ancestors()
        .find(|folder| folder.join("supabase/config.toml").is_file())
        .map(Path::to_path_buf)
        .ok_or(StackError::NoProject)
}

fn pair(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    if name.is_empty() {
        Err("expected a name before =")
    } else {
        Ok((name.to_owned(), value.to_owned()))
    }
}
