//! What DigitalOcean's account holds, as far as it is used, and its form on the wire.
//!
//! Fields that are not known are passed over: DigitalOcean adds some without a new version.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use toolbox_api::moment;

/// DigitalOcean's number of a droplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DropletId(pub u64);

/// DigitalOcean's number of something that is being done to a droplet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionId(pub u64);

/// DigitalOcean's number of an SSH key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SshKeyId(pub u64);

/// DigitalOcean's id of a firewall.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FirewallId(pub String);

macro_rules! display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display!(DropletId, ActionId, SshKeyId, FirewallId);

/// What a droplet is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DropletStatus {
    /// It is being made.
    New,
    /// It runs.
    Active,
    /// It is switched off, and still paid for.
    Off,
    /// It is kept as an image only.
    Archive,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A machine at DigitalOcean.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "DropletWire")]
pub struct Droplet {
    /// Its number.
    pub id: DropletId,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub status: DropletStatus,
    /// An action is at work on it; others are refused.
    pub locked: bool,
    /// Where it can be reached; a new droplet has no address at first.
    pub public_ipv4: Option<Ipv4Addr>,
    /// The region's slug.
    pub region: String,
    /// The size's slug.
    pub size: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// When it was ordered, since the Unix epoch; none when DigitalOcean writes no time.
    pub created_at: Option<Duration>,
}

#[derive(Deserialize)]
struct DropletWire {
    id: DropletId,
    name: String,
    status: DropletStatus,
    #[serde(default)]
    locked: bool,
    #[serde(default)]
    networks: Networks,
    region: Slug,
    size_slug: String,
    #[serde(default, deserialize_with = "or_default")]
    tags: Vec<String>,
    #[serde(default)]
    created_at: String,
}

#[derive(Deserialize)]
struct Slug {
    slug: String,
}

#[derive(Default, Deserialize)]
struct Networks {
    #[serde(default, deserialize_with = "or_default")]
    v4: Vec<Network>,
}

#[derive(Deserialize)]
struct Network {
    ip_address: String,
    r#type: String,
}

impl From<DropletWire> for Droplet {
    fn from(wire: DropletWire) -> Self {
        let public = |n: &&Network| n.r#type == "public";
        let address = wire.networks.v4.iter().find(public);
        Self {
            id: wire.id,
            name: wire.name,
            status: wire.status,
            locked: wire.locked,
            public_ipv4: address.and_then(|n| n.ip_address.parse().ok()),
            region: wire.region.slug,
            size: wire.size_slug,
            tags: wire.tags,
            created_at: moment::parse(&wire.created_at),
        }
    }
}

/// DigitalOcean writes `null` for some empty lists.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A droplet to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewDroplet {
    /// Its name and host name. No other droplet ever has it, because a droplet is looked for by it.
    pub name: String,
    /// The tag that no other droplet ever has: the droplet is looked for by it first.
    pub tag: String,
    /// Its other tags.
    pub tags: Vec<String>,
    /// The region's slug.
    pub region: String,
    /// The size's slug.
    pub size: String,
    /// The image's slug.
    pub image: String,
    /// Fingerprints of the account's SSH keys that may log in as root.
    pub ssh_keys: Vec<String>,
    /// What cloud-init does on its first start; at most 64 KiB. It may hold a secret, so it is never printed.
    pub user_data: String,
}

impl fmt::Debug for NewDroplet {
    /// Without the user data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewDroplet")
            .field("name", &self.name)
            .field("tag", &self.tag)
            .field("region", &self.region)
            .field("size", &self.size)
            .field("image", &self.image)
            .finish_non_exhaustive()
    }
}

/// [`NewDroplet`] on the wire.
#[derive(Serialize)]
pub(super) struct NewDropletWire<'a> {
    name: &'a str,
    region: &'a str,
    size: &'a str,
    image: &'a str,
    ssh_keys: &'a [String],
    tags: Vec<&'a str>,
    user_data: &'a str,
}

impl<'a> From<&'a NewDroplet> for NewDropletWire<'a> {
    fn from(new: &'a NewDroplet) -> Self {
        let others = new.tags.iter().map(String::as_str);
        Self {
            name: &new.name,
            region: &new.region,
            size: &new.size,
            image: &new.image,
            ssh_keys: &new.ssh_keys,
            tags: std::iter::once(new.tag.as_str()).chain(others).collect(),
            user_data: &new.user_data,
        }
    }
}

/// Whether an earlier attempt to make the same droplet may have got through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Nobody has tried.
    First,
    /// Somebody has, and it is not known how that ended. A droplet that was just made can be missing in DigitalOcean's
    /// lists for some seconds, so it is looked for several times before another is made.
    Again,
}

/// What can be done to a droplet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DropletAction {
    /// Restarts it, as by the command.
    Reboot,
    /// Ends it, as by the command.
    Shutdown,
    /// Takes its power away.
    PowerOff,
    /// Switches it on.
    PowerOn,
    /// Takes its power away, and switches it on.
    PowerCycle,
    /// Gives it other processors and memory; it has to be off.
    Resize {
        /// The size's slug.
        size: String,
        /// Also makes its disk larger, which can never be undone.
        disk: bool,
    },
    /// Gives it another name.
    Rename {
        /// The name.
        name: String,
    },
}

/// How far an action is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionStatus {
    /// It is at work.
    InProgress,
    /// It is done.
    Completed,
    /// It failed.
    Errored,
    /// Something that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Something that is being done to a droplet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Action {
    /// Its number.
    pub id: ActionId,
    /// How far it is.
    pub status: ActionStatus,
    /// What it does, in DigitalOcean's word, such as `reboot`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The droplet's number.
    pub resource_id: Option<u64>,
}

/// What a rule of a firewall is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP; its ports are `0`.
    Icmp,
}

/// What a firewall lets through. All else is dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FirewallRule {
    /// The protocol.
    pub protocol: Protocol,
    /// One port, a range such as `8000-9000`, or `0` for all.
    pub ports: String,
    /// From where, or to where: addresses and networks.
    pub addresses: Vec<String>,
}

/// A firewall to be made. It holds for the droplets with its tag, also for those that do not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFirewall {
    /// Its name, which no other firewall has.
    pub name: String,
    /// The droplets with this tag are behind it.
    pub tag: String,
    /// What reaches the droplets.
    pub inbound: Vec<FirewallRule>,
    /// What droplets reach.
    pub outbound: Vec<FirewallRule>,
}

#[derive(Serialize)]
pub(super) struct NewFirewallWire<'a> {
    name: &'a str,
    inbound_rules: Vec<Inbound>,
    outbound_rules: Vec<Outbound>,
    droplet_ids: &'a [DropletId],
    tags: Vec<&'a str>,
}

impl NewFirewall {
    /// On the wire, with the droplets that are behind it beside those with the tag.
    pub(super) fn wire<'a>(&'a self, droplet_ids: &'a [DropletId]) -> NewFirewallWire<'a> {
        NewFirewallWire {
            name: &self.name,
            inbound_rules: self.inbound.iter().cloned().map(Inbound::from).collect(),
            outbound_rules: self.outbound.iter().cloned().map(Outbound::from).collect(),
            droplet_ids,
            tags: vec![&self.tag],
        }
    }

    /// Whether a firewall does what this one shall do.
    pub(super) fn is(&self, there: &Firewall) -> bool {
        there.tags == [self.tag.as_str()]
            && sorted(&self.inbound) == sorted(&there.inbound)
            && sorted(&self.outbound) == sorted(&there.outbound)
    }
}

fn sorted(rules: &[FirewallRule]) -> Vec<FirewallRule> {
    let mut rules = rules.to_vec();
    for rule in &mut rules {
        rule.addresses.sort();
    }
    rules.sort();
    rules
}

/// A firewall.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "FirewallWire")]
pub struct Firewall {
    /// Its id.
    pub id: FirewallId,
    /// Its name.
    pub name: String,
    /// The droplets with these tags are behind it.
    pub tags: Vec<String>,
    /// So are these.
    pub droplet_ids: Vec<DropletId>,
    /// What reaches the droplets. Of a rule only its addresses are kept.
    pub inbound: Vec<FirewallRule>,
    /// What droplets reach.
    pub outbound: Vec<FirewallRule>,
}

#[derive(Deserialize)]
struct FirewallWire {
    id: FirewallId,
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    tags: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    droplet_ids: Vec<DropletId>,
    #[serde(default, deserialize_with = "or_default")]
    inbound_rules: Vec<Inbound>,
    #[serde(default, deserialize_with = "or_default")]
    outbound_rules: Vec<Outbound>,
}

impl From<FirewallWire> for Firewall {
    fn from(wire: FirewallWire) -> Self {
        Self {
            id: wire.id,
            name: wire.name,
            tags: wire.tags,
            droplet_ids: wire.droplet_ids,
            inbound: wire.inbound_rules.into_iter().map(Into::into).collect(),
            outbound: wire.outbound_rules.into_iter().map(Into::into).collect(),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Target {
    #[serde(default, deserialize_with = "or_default")]
    addresses: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Inbound {
    protocol: Protocol,
    #[serde(default)]
    ports: String,
    #[serde(default)]
    sources: Target,
}

#[derive(Serialize, Deserialize)]
struct Outbound {
    protocol: Protocol,
    #[serde(default)]
    ports: String,
    #[serde(default)]
    destinations: Target,
}

macro_rules! rule {
    ($name:ident, $target:ident) => {
        impl From<FirewallRule> for $name {
            fn from(rule: FirewallRule) -> Self {
                Self {
                    protocol: rule.protocol,
                    ports: rule.ports,
                    $target: Target {
                        addresses: rule.addresses,
                    },
                }
            }
        }

        impl From<$name> for FirewallRule {
            fn from(wire: $name) -> Self {
                Self {
                    protocol: wire.protocol,
                    ports: wire.ports,
                    addresses: wire.$target.addresses,
                }
            }
        }
    };
}
rule!(Inbound, sources);
rule!(Outbound, destinations);

/// What a droplet can be, and what it costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// Its slug.
    pub slug: String,
    /// Memory in MiB.
    pub memory: u64,
    /// Processors.
    pub vcpus: u32,
    /// Disk in GiB.
    pub disk: u64,
    /// US dollars for a whole month.
    pub price_monthly: f64,
    /// US dollars for an hour.
    pub price_hourly: f64,
    /// Slugs of the regions that have it.
    pub regions: Vec<String>,
    /// New droplets can have it.
    pub available: bool,
    /// Its class, such as `Basic`.
    #[serde(default)]
    pub description: String,
}

/// Where a droplet can be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its slug.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// New droplets can be there.
    pub available: bool,
    /// Slugs of the sizes that it has.
    #[serde(default, deserialize_with = "or_default")]
    pub sizes: Vec<String>,
}

/// What a droplet starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its slug; images of one's own have none.
    pub slug: Option<String>,
    /// Its name for people.
    pub name: String,
    /// The system, such as `Ubuntu`.
    pub distribution: String,
    /// Slugs of the regions that have it.
    #[serde(default, deserialize_with = "or_default")]
    pub regions: Vec<String>,
}

/// An SSH key of the account.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SshKey {
    /// Its number.
    pub id: SshKeyId,
    /// Its fingerprint (MD5, with colons).
    pub fingerprint: String,
    /// The key, as in `authorized_keys`.
    pub public_key: String,
    /// Its name.
    pub name: String,
}

/// Whose the token is, and what it may have.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Account {
    /// Most droplets at one time.
    pub droplet_limit: u64,
    /// `active`, `warning` or `locked`.
    pub status: String,
}
