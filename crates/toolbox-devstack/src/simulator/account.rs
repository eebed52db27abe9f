//! The account: droplets, actions, tags, firewalls and keys, and DigitalOcean's rules about them.
//!
//! Values in, values out: the time is told, and nothing here waits. An action is begun here; whoever carries it out on the
//! machine says when it is done.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::catalog::{Image, Region, Size};
use super::wire::{fingerprint, moment};

/// Most droplets of the account.
const DROPLET_LIMIT: usize = 5000;
/// Longest user data, in bytes.
const USER_DATA_LIMIT: usize = 64 * 1024;

/// Why DigitalOcean refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    /// The body is no JSON, or lacks what every body of its kind has.
    BadRequest(String),
    Conflict(String),
    Unprocessable(String),
}

fn unprocessable(text: impl Into<String>) -> Refusal {
    Refusal::Unprocessable(text.into())
}

/// What a droplet is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    New,
    Active,
    Off,
}

/// A droplet.
#[derive(Clone, Debug)]
pub(super) struct Droplet {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) status: Status,
    /// The action that is at work on it.
    pending: Option<u64>,
    region: &'static Region,
    size: &'static Size,
    image: &'static Image,
    /// GiB; it stays when the size becomes a smaller one.
    disk: u32,
    pub(super) tags: Vec<String>,
    /// Keys that may log in as root.
    pub(super) public_keys: Vec<String>,
    pub(super) user_data: String,
    pub(super) address: Option<Ipv4Addr>,
    ordered_at: Duration,
}

/// What is needed to show a droplet again after the simulator was started anew.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Kept {
    pub(super) id: u64,
    name: String,
    region: String,
    size: String,
    image: String,
    tags: Vec<String>,
    /// Milliseconds since the Unix epoch.
    ordered_at: u64,
    pub(super) address: Ipv4Addr,
}

/// The body of an order.
#[derive(Debug, Deserialize)]
pub(super) struct Order {
    #[serde(default)]
    name: String,
    region: Option<String>,
    #[serde(default)]
    size: String,
    #[serde(default)]
    image: Value,
    #[serde(default)]
    ssh_keys: Vec<Value>,
    tags: Option<Vec<String>>,
    #[serde(default)]
    user_data: String,
}

/// The body of a wish for an action.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum What {
    Reboot,
    PowerCycle,
    Shutdown,
    PowerOff,
    PowerOn,
    Resize {
        size: String,
        #[serde(default)]
        disk: bool,
    },
    Rename {
        name: String,
    },
}

impl What {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerCycle => "power_cycle",
            Self::Shutdown => "shutdown",
            Self::PowerOff => "power_off",
            Self::PowerOn => "power_on",
            Self::Resize { .. } => "resize",
            Self::Rename { .. } => "rename",
        }
    }
}

struct Action {
    id: u64,
    kind: &'static str,
    status: &'static str,
    droplet: u64,
    region: &'static Region,
    started_at: Duration,
    completed_at: Option<Duration>,
}

struct Firewall {
    body: FirewallBody,
    created_at: Duration,
}

/// The body of a new or changed firewall. Its rules are kept and shown; no packet is filtered by them.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct FirewallBody {
    #[serde(default)]
    name: String,
    inbound_rules: Option<Vec<Value>>,
    outbound_rules: Option<Vec<Value>>,
    droplet_ids: Option<Vec<u64>>,
    tags: Option<Vec<String>>,
}

struct Key {
    id: u64,
    name: String,
    /// As in `authorized_keys`.
    text: String,
    fingerprint: String,
}

/// Everything that the token shows.
pub(super) struct Account {
    droplets: BTreeMap<u64, Droplet>,
    /// Droplets that lists still show, and until when.
    gone: Vec<(Duration, Droplet)>,
    actions: BTreeMap<u64, Action>,
    tags: BTreeSet<String>,
    firewalls: BTreeMap<String, Firewall>,
    keys: BTreeMap<u64, Key>,
    last_id: u64,
    /// How far lists of droplets are behind.
    pub(super) list_lag: Duration,
}

impl Account {
    /// An empty account. Ids begin at the time in milliseconds, so that no two runs give the same.
    pub(super) fn new(now: Duration, list_lag: Duration) -> Self {
        Self {
            droplets: BTreeMap::new(),
            gone: Vec::new(),
            actions: BTreeMap::new(),
            tags: BTreeSet::new(),
            firewalls: BTreeMap::new(),
            keys: BTreeMap::new(),
            last_id: u64::try_from(now.as_millis()).unwrap_or_default(),
            list_lag,
        }
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn view() -> Value {
        json!({
            "droplet_limit": DROPLET_LIMIT,
            "floating_ip_limit": 3,
            "email": "simulator@example.com",
            "name": "Simulator",
            "uuid": "00000000000000000000000000000000",
            "email_verified": true,
            "status": "active",
            "status_message": "",
        })
    }

    /// Orders a droplet; its view and the action that makes it.
    pub(super) fn order(&mut self, order: Order, now: Duration) -> Result<(Droplet, u64), Refusal> {
        check_name(&order.name)?;
        let size = Size::find(&order.size)
            .ok_or_else(|| unprocessable("You specified an invalid size for Droplet creation."))?;
        let region = Region::find(order.region.as_deref().unwrap_or("nyc3")).ok_or_else(|| {
            unprocessable("You specified an invalid region for Droplet creation.")
        })?;
        let image = match &order.image {
            Value::String(slug) => Image::find(slug),
            Value::Number(id) => Image::find(&id.to_string()),
            _ => None,
        };
        let image = image
            .ok_or_else(|| unprocessable("You specified an invalid image for Droplet creation."))?;
        if !size.is_in(region) {
            return Err(unprocessable("Size is not available in this region."));
        }
        if order.user_data.len() > USER_DATA_LIMIT {
            return Err(unprocessable("User data is too long (maximum is 64KiB)."));
        }
        if self.droplets.len() >= DROPLET_LIMIT {
            let text = "creating this/these droplet(s) will exceed your droplet limit";
            return Err(unprocessable(text));
        }
        let public_keys = order
            .ssh_keys
            .iter()
            .map(|wanted| {
                let text = wanted
                    .as_str()
                    .map_or_else(|| wanted.to_string(), str::to_owned);
                let key = self.key(&text).ok_or_else(|| {
                    unprocessable(format!(
                        "{text} are invalid key identifiers for Droplet creation."
                    ))
                })?;
                Ok(key.text.clone())
            })
            .collect::<Result<_, Refusal>>()?;
        let tags = order.tags.unwrap_or_default();
        for tag in &tags {
            check_tag(tag).map_err(unprocessable)?;
        }
        self.tags.extend(tags.iter().cloned());
        let id = self.next_id();
        let action = self.begin(id, "create", region, now);
        let droplet = Droplet {
            id,
            name: order.name,
            status: Status::New,
            pending: Some(action),
            region,
            size,
            image,
            disk: size.disk,
            tags,
            public_keys,
            user_data: order.user_data,
            address: None,
            ordered_at: now,
        };
        self.droplets.insert(id, droplet.clone());
        Ok((droplet, action))
    }

    /// A droplet that was there before the simulator was started. None when it was made by another version.
    pub(super) fn restore(&mut self, kept: Kept) -> Option<()> {
        let size = Size::find(&kept.size)?;
        let droplet = Droplet {
            id: kept.id,
            name: kept.name,
            status: Status::Active,
            pending: None,
            region: Region::find(&kept.region)?,
            size,
            image: Image::find(&kept.image)?,
            disk: size.disk,
            tags: kept.tags,
            public_keys: Vec::new(),
            user_data: String::new(),
            address: Some(kept.address),
            ordered_at: Duration::from_millis(kept.ordered_at),
        };
        self.tags.extend(droplet.tags.iter().cloned());
        self.last_id = self.last_id.max(droplet.id);
        self.droplets.insert(droplet.id, droplet);
        Some(())
    }

    pub(super) fn droplet(&self, id: u64) -> Result<&Droplet, Refusal> {
        self.droplets.get(&id).ok_or(Refusal::NotFound)
    }

    /// All droplets as they are, newest first.
    pub(super) fn droplets(&self) -> impl Iterator<Item = &Droplet> {
        self.droplets.values().rev()
    }

    /// The droplets that lists show, newest first: a new one is missing for a moment, and one that is gone is shown for one.
    pub(super) fn listed(&mut self, now: Duration) -> Vec<Droplet> {
        let lag = self.list_lag;
        self.gone.retain(|(until, _)| *until > now);
        let mut listed: Vec<Droplet> = self
            .droplets
            .values()
            .filter(|droplet| droplet.ordered_at + lag <= now)
            .chain(self.gone.iter().map(|(_, droplet)| droplet))
            .cloned()
            .collect();
        listed.sort_by_key(|droplet| std::cmp::Reverse(droplet.id));
        listed
    }

    /// Removes a droplet.
    pub(super) fn delete_droplet(&mut self, id: u64, now: Duration) -> Result<(), Refusal> {
        let droplet = self.droplet(id)?;
        // One that is being made can be removed; other actions are waited for.
        if droplet.pending.is_some() && droplet.status != Status::New {
            return Err(unprocessable("Droplet already has a pending event."));
        }
        if let Some(droplet) = self.droplets.remove(&id) {
            if let Some(action) = droplet.pending {
                self.end(action, false, now);
            }
            self.gone.push((now + self.list_lag, droplet));
        }
        for firewall in self.firewalls.values_mut() {
            if let Some(ids) = &mut firewall.body.droplet_ids {
                ids.retain(|other| *other != id);
            }
        }
        Ok(())
    }

    /// Begins an action on a droplet; its number.
    pub(super) fn act(&mut self, id: u64, what: &What, now: Duration) -> Result<u64, Refusal> {
        let droplet = self.droplet(id)?;
        if droplet.pending.is_some() {
            return Err(unprocessable("Droplet already has a pending event."));
        }
        let is_on = droplet.status == Status::Active;
        match what {
            What::Rename { name } => check_name(name)?,
            What::Resize { size, disk } => {
                let size = Size::find(size)
                    .filter(|size| size.is_in(droplet.region))
                    .ok_or_else(|| unprocessable("You specified an invalid size."))?;
                if is_on {
                    let text = "Droplet is currently on. Please power it off to run this event.";
                    return Err(unprocessable(text));
                }
                if size.slug == droplet.size.slug {
                    return Err(unprocessable("Droplet already has this size."));
                }
                if size.disk < droplet.disk || *disk && size.disk == droplet.disk {
                    let text = "This size is not available because it has a smaller disk.";
                    return Err(unprocessable(text));
                }
            }
            What::PowerOn if is_on => return Err(unprocessable("Droplet is already powered on.")),
            What::Reboot | What::PowerCycle | What::Shutdown | What::PowerOff if !is_on => {
                return Err(unprocessable("Droplet is already powered off."));
            }
            _ => {}
        }
        let region = droplet.region;
        let action = self.begin(id, what.name(), region, now);
        if let Some(droplet) = self.droplets.get_mut(&id) {
            droplet.pending = Some(action);
        }
        Ok(action)
    }

    fn begin(
        &mut self,
        droplet: u64,
        kind: &'static str,
        region: &'static Region,
        now: Duration,
    ) -> u64 {
        let id = self.next_id();
        let action = Action {
            id,
            kind,
            status: "in-progress",
            droplet,
            region,
            started_at: now,
            completed_at: None,
        };
        self.actions.insert(id, action);
        id
    }

    fn end(&mut self, action: u64, well: bool, now: Duration) {
        if let Some(action) = self.actions.get_mut(&action) {
            action.status = if well { "completed" } else { "errored" };
            action.completed_at = Some(now);
        }
    }

    /// An action has ended; `change` is what it has changed about the droplet, none when it failed. False when the droplet is
    /// gone meanwhile.
    pub(super) fn finish(
        &mut self,
        id: u64,
        action: u64,
        now: Duration,
        change: Option<impl FnOnce(&mut Droplet)>,
    ) -> bool {
        let Some(droplet) = self.droplets.get_mut(&id) else {
            return false;
        };
        droplet.pending = None;
        let well = change.is_some();
        if let Some(change) = change {
            change(droplet);
        }
        self.end(action, well, now);
        true
    }

    /// Gives a droplet another address.
    pub(super) fn move_droplet(&mut self, id: u64, address: Ipv4Addr) -> Result<(), Refusal> {
        let droplet = self.droplets.get_mut(&id).ok_or(Refusal::NotFound)?;
        droplet.address = Some(address);
        Ok(())
    }

    pub(super) fn action(&self, id: u64) -> Result<Value, Refusal> {
        self.actions
            .get(&id)
            .map(Action::view)
            .ok_or(Refusal::NotFound)
    }

    /// The actions on a droplet, newest first.
    pub(super) fn actions_of(&self, droplet: u64) -> Result<Vec<Value>, Refusal> {
        self.droplet(droplet)?;
        let actions = self.actions.values().rev();
        Ok(actions
            .filter(|action| action.droplet == droplet)
            .map(Action::view)
            .collect())
    }

    pub(super) fn make_tag(&mut self, name: &str) -> Result<Value, Refusal> {
        check_tag(name).map_err(Refusal::BadRequest)?;
        self.tags.insert(name.to_owned());
        self.tag(name)
    }

    pub(super) fn tag(&self, name: &str) -> Result<Value, Refusal> {
        if !self.tags.contains(name) {
            return Err(Refusal::NotFound);
        }
        let with = |droplet: &&Droplet| droplet.tags.iter().any(|tag| tag == name);
        let count = self.droplets.values().filter(with).count();
        let none = json!({ "count": 0 });
        Ok(json!({ "name": name, "resources": {
            "count": count,
            "droplets": { "count": count },
            "images": none, "volumes": none, "volume_snapshots": none, "databases": none,
        }}))
    }

    pub(super) fn tags(&self) -> Vec<Value> {
        let tags = self.tags.iter();
        tags.filter_map(|name| self.tag(name).ok()).collect()
    }

    pub(super) fn delete_tag(&mut self, name: &str) -> Result<(), Refusal> {
        if !self.tags.remove(name) {
            return Err(Refusal::NotFound);
        }
        for droplet in self.droplets.values_mut() {
            droplet.tags.retain(|tag| tag != name);
        }
        for firewall in self.firewalls.values_mut() {
            if let Some(tags) = &mut firewall.body.tags {
                tags.retain(|tag| tag != name);
            }
        }
        Ok(())
    }

    /// Makes a firewall under `id`, or changes the one that has it.
    pub(super) fn put_firewall(
        &mut self,
        id: &str,
        body: FirewallBody,
        now: Duration,
    ) -> Result<Value, Refusal> {
        self.check_firewall(id, &body)?;
        let created_at = self.firewalls.get(id).map_or(now, |there| there.created_at);
        let firewall = Firewall { body, created_at };
        self.firewalls.insert(id.to_owned(), firewall);
        self.firewall(id)
    }

    fn check_firewall(&self, id: &str, body: &FirewallBody) -> Result<(), Refusal> {
        let mut letters = body.name.chars();
        let good = letters.next().is_some_and(|c| c.is_ascii_alphanumeric())
            && letters.clone().next().is_some()
            && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
        if !good {
            return Err(Refusal::BadRequest("invalid firewall name".to_owned()));
        }
        let rules = |rules: &Option<Vec<Value>>, target| {
            rules.iter().flatten().all(|rule| {
                let protocol = rule["protocol"].as_str().unwrap_or_default();
                matches!(protocol, "tcp" | "udp" | "icmp")
                    && (protocol == "icmp" || is_ports(rule["ports"].as_str().unwrap_or_default()))
                    && rule[target].is_object()
            })
        };
        if body.inbound_rules.is_none() && body.outbound_rules.is_none()
            || !rules(&body.inbound_rules, "sources")
            || !rules(&body.outbound_rules, "destinations")
        {
            return Err(Refusal::BadRequest("invalid firewall rules".to_owned()));
        }
        if let Some(tag) = body
            .tags
            .iter()
            .flatten()
            .find(|tag| !self.tags.contains(*tag))
        {
            return Err(unprocessable(format!("tag {tag} does not exist")));
        }
        let mut ids = body.droplet_ids.iter().flatten();
        if let Some(id) = ids.find(|id| !self.droplets.contains_key(id)) {
            return Err(unprocessable(format!("droplet {id} does not exist")));
        }
        let mut others = self.firewalls.iter();
        if others.any(|(other, there)| other != id && there.body.name == body.name) {
            return Err(Refusal::Conflict("duplicate name".to_owned()));
        }
        Ok(())
    }

    pub(super) fn firewall(&self, id: &str) -> Result<Value, Refusal> {
        let firewall = self.firewalls.get(id).ok_or(Refusal::NotFound)?;
        Ok(firewall.view(id))
    }

    pub(super) fn firewalls(&self) -> Vec<Value> {
        let all = self.firewalls.iter();
        all.map(|(id, firewall)| firewall.view(id)).collect()
    }

    /// The firewalls that a droplet is behind.
    pub(super) fn firewalls_of(&self, id: u64) -> Result<Vec<Value>, Refusal> {
        let droplet = self.droplet(id)?;
        let covers = |firewall: &Firewall| {
            firewall
                .body
                .droplet_ids
                .iter()
                .flatten()
                .any(|other| *other == id)
                || firewall
                    .body
                    .tags
                    .iter()
                    .flatten()
                    .any(|tag| droplet.tags.contains(tag))
        };
        let all = self
            .firewalls
            .iter()
            .filter(|(_, firewall)| covers(firewall));
        Ok(all.map(|(id, firewall)| firewall.view(id)).collect())
    }

    pub(super) fn delete_firewall(&mut self, id: &str) -> Result<(), Refusal> {
        let gone = self.firewalls.remove(id);
        gone.map(drop).ok_or(Refusal::NotFound)
    }

    pub(super) fn add_key(&mut self, name: &str, public_key: &str) -> Result<Value, Refusal> {
        let fingerprint = fingerprint(public_key).ok_or_else(|| {
            unprocessable("Key invalid, key should be of the format `ssh-rsa ...`")
        })?;
        if name.is_empty() {
            return Err(unprocessable("Name can't be blank"));
        }
        if self.key(&fingerprint).is_some() {
            let text = "SSH Key is already in use on your account";
            return Err(unprocessable(text));
        }
        let id = self.next_id();
        let key = Key {
            id,
            name: name.to_owned(),
            text: public_key.to_owned(),
            fingerprint,
        };
        let view = key.view();
        self.keys.insert(id, key);
        Ok(view)
    }

    /// By its number or its fingerprint.
    fn key(&self, name: &str) -> Option<&Key> {
        let mut keys = self.keys.values();
        keys.find(|key| key.fingerprint == name || key.id.to_string() == name)
    }

    pub(super) fn show_key(&self, name: &str) -> Result<Value, Refusal> {
        self.key(name).map(Key::view).ok_or(Refusal::NotFound)
    }

    pub(super) fn keys(&self) -> Vec<Value> {
        self.keys.values().map(Key::view).collect()
    }

    pub(super) fn delete_key(&mut self, name: &str) -> Result<(), Refusal> {
        let id = self.key(name).ok_or(Refusal::NotFound)?.id;
        self.keys.remove(&id);
        Ok(())
    }
}

impl Droplet {
    /// What is kept with its machine, which has this address.
    pub(super) fn kept(&self, address: Ipv4Addr) -> Kept {
        Kept {
            id: self.id,
            name: self.name.clone(),
            region: self.region.slug.to_owned(),
            size: self.size.slug.to_owned(),
            image: self.image.slug.to_owned(),
            tags: self.tags.clone(),
            ordered_at: u64::try_from(self.ordered_at.as_millis()).unwrap_or_default(),
            address,
        }
    }

    /// Gives it another size, and a larger disk if that is asked for. An unknown size changes nothing.
    pub(super) fn resize(&mut self, size: &str, disk: bool) {
        if let Some(size) = Size::find(size) {
            self.size = size;
            if disk {
                self.disk = size.disk;
            }
        }
    }

    /// As DigitalOcean shows it.
    pub(super) fn view(&self) -> Value {
        let networks = self.address.map(|address| {
            json!({ "ip_address": address, "netmask": "255.255.0.0", "gateway": "0.0.0.0", "type": "public" })
        });
        let mut view = json!({
            "id": self.id,
            "name": self.name,
            "disk": self.disk,
            "locked": self.pending.is_some(),
            "status": self.status,
            "created_at": moment(self.ordered_at),
            "features": [],
            "backup_ids": [],
            "next_backup_window": null,
            "snapshot_ids": [],
            "image": self.image.view(),
            "volume_ids": [],
            "networks": { "v4": networks.into_iter().collect::<Vec<_>>(), "v6": [] },
            "region": self.region.view(),
            "tags": self.tags,
        });
        self.size.fill(&mut view);
        view
    }
}

impl Action {
    fn view(&self) -> Value {
        json!({
            "id": self.id,
            "status": self.status,
            "type": self.kind,
            "started_at": moment(self.started_at),
            "completed_at": self.completed_at.map(moment),
            "resource_id": self.droplet,
            "resource_type": "droplet",
            "region": self.region.view(),
            "region_slug": self.region.slug,
        })
    }
}

impl Firewall {
    fn view(&self, id: &str) -> Value {
        json!({
            "id": id,
            "name": self.body.name,
            "status": "succeeded",
            "created_at": moment(self.created_at),
            "pending_changes": [],
            "inbound_rules": self.body.inbound_rules.as_deref().unwrap_or_default(),
            "outbound_rules": self.body.outbound_rules.as_deref().unwrap_or_default(),
            "droplet_ids": self.body.droplet_ids.as_deref().unwrap_or_default(),
            "tags": self.body.tags.as_deref().unwrap_or_default(),
        })
    }
}

impl Key {
    fn view(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "public_key": self.text,
            "fingerprint": self.fingerprint,
        })
    }
}

fn check_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() {
        return Err(unprocessable("Name can't be blank"));
    }
    let good = name.len() <= 255
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        && name.ends_with(|c: char| c.is_ascii_alphanumeric());
    let text = "Only valid hostname characters are allowed. (a-z, A-Z, 0-9, . and -)";
    if good {
        Ok(())
    } else {
        Err(unprocessable(text))
    }
}

fn check_tag(tag: &str) -> Result<(), String> {
    let good = (1..=255).contains(&tag.len())
        && tag
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | ':'));
    if good {
        Ok(())
    } else {
        Err(format!("Tag {tag:?} contains invalid characters"))
    }
}

/// One port, a range, or `0` for all.
fn is_ports(text: &str) -> bool {
    let port = |text: &str| text.parse::<u16>().ok();
    match text.split_once('-') {
        Some((from, to)) => port(from)
            .zip(port(to))
            .is_some_and(|(from, to)| from <= to),
        None => text == "all" || port(text).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);
    const LAG: Duration = Duration::from_secs(3);

    fn account() -> Account {
        Account::new(NOW, LAG)
    }

    fn body<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn good() -> Value {
        json!({ "name": "a", "region": "nyc3", "size": "s-1vcpu-1gb", "image": "ubuntu-24-04-x64", "tags": ["t"] })
    }

    /// A droplet that is active.
    fn droplet(account: &mut Account) -> u64 {
        let (droplet, action) = account.order(body(good()), NOW).unwrap();
        let active = |droplet: &mut Droplet| droplet.status = Status::Active;
        account.finish(droplet.id, action, NOW, Some(active));
        droplet.id
    }

    #[test]
    fn orders_that_digitalocean_refuses_are_refused() {
        for (field, value) in [
            ("name", json!("")),
            ("name", json!("a b")),
            ("name", json!("a_b")),
            ("name", json!("a-")),
            ("size", json!("s-none")),
            ("region", json!("nyc")),
            ("image", json!("windows")),
            ("image", json!(null)),
            ("ssh_keys", json!(["aa:bb"])),
            ("tags", json!(["a b"])),
            ("user_data", json!("x".repeat(USER_DATA_LIMIT + 1))),
        ] {
            let mut order = good();
            order[field] = value;
            let refused = account().order(body(order.clone()), NOW);
            assert!(
                matches!(refused, Err(Refusal::Unprocessable(_))),
                "{field} {}",
                order[field]
            );
        }
        let mut order = good();
        (order["region"], order["size"]) = (json!("sgp1"), json!("s-8vcpu-16gb"));
        assert!(account().order(body(order), NOW).is_err());
    }

    #[test]
    fn lists_are_behind() {
        let mut account = account();
        let id = droplet(&mut account);
        assert!(account.droplet(id).is_ok());
        let listed = |account: &mut Account, at| account.listed(at).len();
        assert_eq!(listed(&mut account, NOW), 0);
        assert_eq!(listed(&mut account, NOW + LAG), 1);
        let end = NOW + Duration::from_mins(1);
        account.delete_droplet(id, end).unwrap();
        assert_eq!(account.droplet(id).err(), Some(Refusal::NotFound));
        assert_eq!(listed(&mut account, end), 1);
        assert_eq!(listed(&mut account, end + LAG), 0);
    }

    #[test]
    fn one_action_at_a_time() {
        let mut account = account();
        let id = droplet(&mut account);
        let action = account.act(id, &What::Reboot, NOW).unwrap();
        assert!(account.act(id, &What::Reboot, NOW).is_err());
        assert!(account.delete_droplet(id, NOW).is_err());
        assert_eq!(account.action(action).unwrap()["status"], "in-progress");
        account.finish(id, action, NOW, Some(|_: &mut Droplet| ()));
        assert_eq!(account.action(action).unwrap()["status"], "completed");
        assert!(account.delete_droplet(id, NOW).is_ok());
    }

    #[test]
    fn a_size_is_changed_while_the_droplet_is_off() {
        let mut account = account();
        let id = droplet(&mut account);
        let resize = |size: &str| What::Resize {
            size: size.to_owned(),
            disk: false,
        };
        assert!(
            account.act(id, &resize("s-2vcpu-2gb"), NOW).is_err(),
            "it is on"
        );
        let off = account.act(id, &What::PowerOff, NOW).unwrap();
        let change = |d: &mut Droplet| d.status = Status::Off;
        account.finish(id, off, NOW, Some(change));
        for refused in ["s-1vcpu-512mb-10gb", "s-1vcpu-1gb", "s-none"] {
            assert!(account.act(id, &resize(refused), NOW).is_err(), "{refused}");
        }
        let begun = account.act(id, &resize("s-2vcpu-2gb"), NOW).unwrap();
        let change = |d: &mut Droplet| d.resize("s-2vcpu-2gb", false);
        account.finish(id, begun, NOW, Some(change));
        let view = account.droplet(id).unwrap().view();
        assert_eq!(
            (&view["size_slug"], &view["disk"]),
            (&json!("s-2vcpu-2gb"), &json!(25))
        );
    }

    #[test]
    fn firewalls_hold_for_tags_that_exist() {
        let mut account = account();
        let rules = json!([{ "protocol": "tcp", "ports": "22", "sources": { "addresses": ["0.0.0.0/0"] } }]);
        let firewall = json!({ "name": "toolbox", "inbound_rules": rules, "tags": ["t"] });
        let put =
            |account: &mut Account, id: &str| account.put_firewall(id, body(firewall.clone()), NOW);
        assert!(matches!(
            put(&mut account, "1"),
            Err(Refusal::Unprocessable(_))
        ));
        let id = droplet(&mut account);
        assert!(account.firewalls_of(id).unwrap().is_empty());
        put(&mut account, "1").unwrap();
        assert_eq!(account.firewalls_of(id).unwrap().len(), 1);
        assert!(matches!(put(&mut account, "2"), Err(Refusal::Conflict(_))));
        put(&mut account, "1").unwrap();
        account.delete_tag("t").unwrap();
        assert!(account.firewalls_of(id).unwrap().is_empty());
        for bad in [
            json!({ "name": "x y", "inbound_rules": rules }),
            json!({ "name": "xy" }),
            json!({ "name": "xy", "inbound_rules": [{ "protocol": "smtp", "ports": "1", "sources": {} }] }),
            json!({ "name": "xy", "inbound_rules": [{ "protocol": "tcp", "ports": "9-1", "sources": {} }] }),
        ] {
            let refused = account.put_firewall("3", body(bad.clone()), NOW);
            assert!(matches!(refused, Err(Refusal::BadRequest(_))), "{bad}");
        }
    }

    #[test]
    fn a_key_is_added_once() {
        let mut account = account();
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8dX6XVYHmnZxB1f2q1yQ8kSjJ3JbqK0p2t0T6iF3bM me";
        let added = account.add_key("me", key).unwrap();
        assert_eq!(added["fingerprint"].as_str().unwrap().len(), 47);
        assert!(account.add_key("again", key).is_err());
        assert!(account.add_key("me", "no key").is_err());
        let mut order = good();
        order["ssh_keys"] = json!([added["fingerprint"], added["id"]]);
        let (droplet, _) = account.order(body(order), NOW).unwrap();
        assert_eq!(droplet.public_keys, [key, key]);
    }
}
