//! Droplets as containers of this machine's Docker: each has an address on a bridge of its own, sshd, and a Docker Engine.
//!
//! `host/droplet/` says what they are made of: they mount this machine's `/usr`, so that one is ready within two seconds.
//! Their user data is copied to where cloud-init keeps it, and run once. With an image of their own they have a system and
//! cloud-init of their own, which finds the user data. What is known of a droplet is a label of its
//! container, so that a simulator that starts again finds it; what was renamed or resized since, it finds as it was.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;

use super::account::{Droplet, Kept, What};
use super::machines::Addresses;
use crate::error::StackError;
use crate::process::{Program, exists};
use crate::secrets::write_private;

/// Whose droplet a container is.
const OWNER: &str = "io.toolbox.simulator";
/// What is known of the droplet.
const KEPT: &str = "io.toolbox.droplet";
/// Images of this machine that droplets get, in the folder of the scripts.
const ARCHIVE: &str = "images.tar";
const IMAGE: &str = "toolbox/droplet:host-usr";
/// Where cloud-init looks for what it is told.
const SEED: &str = "/var/lib/cloud/seed/nocloud-net";
/// Prefix of the owner of droplets whose simulator runs by itself; the rest is its process.
const ALONE: &str = "alone-";

/// Longest that Docker may take for one command.
const LIMIT: Duration = Duration::from_mins(1);
/// Longest that making the image may take.
const IMAGE_LIMIT: Duration = Duration::from_mins(2);
/// Networks that are tried for the bridge: others may be in use.
const NETWORKS: usize = 20;
/// Addresses at the beginning that are not droplets': the network's and the bridge's.
const SKIPPED: u32 = 2;

const SCRIPTS: [(&str, &str); 3] = [
    ("image", include_str!("../../host/droplet/image")),
    ("boot", include_str!("../../host/droplet/boot")),
    (
        "cloud-config",
        include_str!("../../host/droplet/cloud-config"),
    ),
];

/// The droplets of one simulator.
pub(crate) struct Containers {
    docker: Docker,
    /// Scripts, images, and for a moment what is copied into a droplet.
    folder: PathBuf,
    /// With a system and cloud-init of its own; none: droplets mount this machine's `/usr`.
    image: Option<String>,
    /// sshd and sudo, where this machine does not have them itself.
    machine: PathBuf,
    /// Ports that droplets find at their own loopback.
    forwarded: Vec<u16>,
    network: Ipv4Net,
    pub(super) addresses: Addresses,
}

/// Docker, as one simulator uses it.
struct Docker {
    /// `PATH`.
    search: String,
    owner: String,
}

/// The owner of droplets of a simulator that runs by itself.
pub(super) fn alone() -> String {
    format!("{ALONE}{}", std::process::id())
}

/// What becomes of droplets when their simulator ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// They are stopped, and started again with the next one.
    Stop,
    /// They are removed.
    Remove,
}

impl Docker {
    fn network(&self) -> String {
        format!("toolbox-droplets-{}", self.owner)
    }

    /// Runs a docker command; what it printed.
    async fn run<A: Into<OsString>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> Result<String, StackError> {
        let program = Program::new("docker", "docker", "/")
            .args(args)
            .env("PATH", &self.search)
            .env("HOME", "/nonexistent");
        program.finish(LIMIT).await
    }

    /// The network of droplets, which is made when there is none.
    async fn ensure_network(&self) -> Result<Ipv4Net, StackError> {
        let name = self.network();
        let subnet = "{{(index .IPAM.Config 0).Subnet}}";
        let inspect = ["network", "inspect", "--format", subnet, &name];
        if let Ok(there) = self.run(inspect).await
            && let Ok(network) = there.trim().parse()
        {
            return Ok(network);
        }
        let mut tried = 0;
        loop {
            let random = getrandom::u32().map_err(StackError::Random)?;
            let [third, ..] = random.to_le_bytes();
            let network = Ipv4Net::new_assert(Ipv4Addr::new(10, 214, third, 0), 24);
            let subnet = format!("--subnet={network}");
            let label = format!("--label={OWNER}={}", self.owner);
            let create = ["network", "create", &subnet, &label, &name];
            tried += 1;
            match self.run(create).await {
                Ok(_) => return Ok(network),
                Err(error) if tried == NETWORKS => return Err(error),
                Err(_) => {}
            }
        }
    }

    async fn containers(&self, more: &[&str]) -> Vec<String> {
        let filter = format!("label={OWNER}={}", self.owner);
        let args = ["ps", "--quiet", "--no-trunc", "--filter", &filter];
        let listed = self.run(args.iter().chain(more)).await;
        let listed = listed.unwrap_or_default();
        listed.split_whitespace().map(str::to_owned).collect()
    }

    async fn end(&self, how: End) {
        let (more, verb): (&[&str], &[&str]) = match how {
            End::Stop => (&[], &["stop", "--time=3"]),
            End::Remove => (&["--all"], &["rm", "--force", "--volumes"]),
        };
        let containers = self.containers(more).await;
        if !containers.is_empty() {
            let args = verb.iter().copied().map(str::to_owned).chain(containers);
            let _ = self.run(args).await;
        }
        if how == End::Remove {
            let _ = self.run(["network", "rm", &self.network()]).await;
        }
    }
}

/// Removes the droplets of an owner that is no more.
pub(crate) async fn clear(search: &str, owner: &str) {
    let docker = Docker {
        search: search.to_owned(),
        owner: owner.to_owned(),
    };
    docker.end(End::Remove).await;
}

/// Removes the droplets of simulators that ran by themselves and were killed.
pub(super) async fn sweep(search: &str) {
    let docker = Docker {
        search: search.to_owned(),
        owner: String::new(),
    };
    let label = format!("{{{{.Label \"{OWNER}\"}}}}");
    let filter = format!("label={OWNER}");
    let listed = docker
        .run(["network", "ls", "--filter", &filter, "--format", &label])
        .await;
    for owner in listed.unwrap_or_default().lines() {
        let pid = owner.strip_prefix(ALONE).and_then(|pid| pid.parse().ok());
        if pid.is_some_and(|pid| !exists(pid)) {
            clear(search, owner).await;
        }
    }
}

impl Containers {
    /// Makes the image and the network. `search` is the `PATH` of Docker, `cache` the folder of tools that all checkouts share,
    /// `image` a system with cloud-init, `images` what droplets get of this machine's images, as far as there are such.
    pub(crate) async fn open(
        search: &str,
        owner: &str,
        folder: PathBuf,
        cache: &Path,
        image: Option<String>,
        forwarded: Vec<u16>,
        images: &[&str],
    ) -> Result<Self, StackError> {
        let docker = Docker {
            search: search.to_owned(),
            owner: owner.to_owned(),
        };
        std::fs::create_dir_all(&folder).map_err(StackError::file("create", &folder))?;
        for (name, text) in SCRIPTS {
            let path = folder.join(name);
            std::fs::write(&path, text).map_err(StackError::file("write", &path))?;
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&path, mode).map_err(StackError::file("protect", &path))?;
        }
        if image.is_none() {
            Program::new("the image of droplets", folder.join("image"), &folder)
                .args([IMAGE.into(), folder.clone().into_os_string()])
                .env("PATH", search)
                .env("HOME", "/nonexistent")
                .finish(IMAGE_LIMIT)
                .await?;
        }
        let mut given = Vec::new();
        for image in images {
            if docker.run(["image", "inspect", image]).await.is_ok() {
                given.push(*image);
            }
        }
        let archive = folder.join(ARCHIVE).display().to_string();
        if !given.is_empty() {
            let save = ["save", "--output", &archive];
            docker.run(save.into_iter().chain(given)).await?;
        }
        let network = docker.ensure_network().await?;
        Ok(Self {
            docker,
            folder,
            image,
            machine: cache.join("machine"),
            forwarded,
            network,
            addresses: Addresses::new(network, SKIPPED),
        })
    }

    /// This machine's address on the bridge.
    pub(crate) fn bridge(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network.network()) + 1)
    }

    /// Where droplets are.
    pub(crate) const fn network(&self) -> Ipv4Net {
        self.network
    }

    /// The droplets of an earlier run, which are started again.
    pub(super) async fn found(&self) -> Vec<Kept> {
        let containers = self.docker.containers(&["--all"]).await;
        if containers.is_empty() {
            return Vec::new();
        }
        let label = format!("{{{{index .Config.Labels \"{KEPT}\"}}}}");
        let inspect = ["inspect", "--format", &label].map(str::to_owned);
        let told = self.docker.run(inspect.into_iter().chain(containers)).await;
        let kept: Vec<Kept> = told
            .unwrap_or_default()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        for kept in &kept {
            self.addresses.skip_to(kept.address);
            let _ = self.docker.run(["start", &name(kept.id)]).await;
        }
        kept
    }

    pub(super) async fn make(&self, droplet: &Droplet) -> Result<Ipv4Addr, StackError> {
        let address = self.addresses.next();
        let name = name(droplet.id);
        let kept = serde_json::to_string(&droplet.kept(address)).unwrap_or_default();
        let mut forwarded = "FORWARDED=".to_owned();
        for port in &self.forwarded {
            let _ = write!(forwarded, "{port} ");
        }
        // All that --privileged gives, and that a machine without the right to raise limits can give.
        let mut args = vec![
            "create".to_owned(),
            format!("--name={name}"),
            format!("--hostname={}", droplet.name),
            format!("--label={OWNER}={}", self.docker.owner),
            format!("--label={KEPT}={kept}"),
            format!("--network={}", self.docker.network()),
            format!("--ip={address}"),
            "--cgroupns=private".to_owned(),
            "--cap-add=ALL".to_owned(),
            "--cap-drop=SYS_RESOURCE".to_owned(),
            "--security-opt=seccomp=unconfined".to_owned(),
            "--security-opt=apparmor=unconfined".to_owned(),
            "--security-opt=systempaths=unconfined".to_owned(),
            "--sysctl=net.ipv4.conf.all.route_localnet=1".to_owned(),
            format!("--env={forwarded}"),
            "--volume=/var/lib/docker".to_owned(),
            "--volume=/var/lib/droplet".to_owned(),
        ];
        let mut given = vec![(self.folder.join(ARCHIVE), "/opt/images.tar")];
        if self.image.is_none() {
            given.push((PathBuf::from("/usr"), "/usr"));
            given.push((self.machine.clone(), "/opt/machine"));
        }
        for (there, at) in given {
            if there.exists() {
                args.push(format!("--volume={}:{at}:ro", there.display()));
            }
        }
        args.push(self.image.clone().unwrap_or_else(|| IMAGE.to_owned()));
        self.docker.run(args).await?;
        let started = self.furnish(droplet, &name).await;
        if started.is_err() {
            self.remove(droplet.id).await;
        }
        started.map(|()| address)
    }

    /// Gives a droplet its user data and its keys, by files: a command line can be read by everybody. Then starts it.
    async fn furnish(&self, droplet: &Droplet, name: &str) -> Result<(), StackError> {
        let mut keys = droplet.public_keys.join("\n");
        keys.push('\n');
        let mut files = vec![(&keys, "/root/.ssh/authorized_keys".to_owned())];
        let meta = format!(
            "instance-id: {}\nlocal-hostname: {}\n",
            droplet.id, droplet.name
        );
        if self.image.is_some() {
            files.push((&meta, format!("{SEED}/meta-data")));
            files.push((&droplet.user_data, format!("{SEED}/user-data")));
        } else {
            let data = "/var/lib/cloud/instance/user-data.txt".to_owned();
            files.push((&droplet.user_data, data));
        }
        for (text, to) in files {
            if text.trim().is_empty() {
                continue;
            }
            let file = self.folder.join(format!("{name}.copied"));
            write_private(&file, text)?;
            let from = file.display().to_string();
            let copied = self
                .docker
                .run(["cp", &from, &format!("{name}:{to}")])
                .await;
            let _ = std::fs::remove_file(&file);
            copied?;
        }
        self.docker.run(["start", name]).await.map(drop)
    }

    pub(super) async fn act(&self, id: u64, what: &What) -> Result<(), StackError> {
        let name = name(id);
        let args: &[&str] = match what {
            What::Reboot => &["restart", "--time=20"],
            What::PowerCycle => &["restart", "--time=0"],
            What::Shutdown => &["stop", "--time=20"],
            What::PowerOff => &["kill"],
            What::PowerOn => &["start"],
            // They change what DigitalOcean tells only.
            What::Resize { .. } | What::Rename { .. } => return Ok(()),
        };
        self.docker
            .run(args.iter().copied().chain([name.as_str()]))
            .await
            .map(drop)
    }

    pub(super) async fn remove(&self, id: u64) {
        let _ = self
            .docker
            .run(["rm", "--force", "--volumes", &name(id)])
            .await;
    }

    /// Ends all droplets.
    pub(crate) async fn end(&self, how: End) {
        self.docker.end(how).await;
        if how == End::Remove {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The container of a droplet.
fn name(id: u64) -> String {
    format!("toolbox-droplet-{id}")
}
