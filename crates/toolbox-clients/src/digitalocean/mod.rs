//! DigitalOcean, where droplets are bought.
//!
//! Reads and deletions are repeated when that can help. What makes something is sent once; where it is not certain
//! whether it was carried out, the thing is looked for. Lists are read to their end. The token goes to one address only:
//! links in answers are not followed.

mod error;
#[cfg(test)]
mod tests;
mod types;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toolbox_domain::names::encode_segment;
use toolbox_domain::retry::RetryPolicy;
use toolbox_http::retry::retry;
use toolbox_http::{Call, Clock, Request, Response, Transport};

pub use error::DigitalOceanError;
use types::NewDropletWire;
pub use types::{
    Account, Action, ActionId, ActionStatus, Attempt, Droplet, DropletAction, DropletId,
    DropletStatus, Firewall, FirewallId, FirewallRule, Image, NewDroplet, NewFirewall, Protocol,
    Region, Size, SshKey, SshKeyId,
};

/// Where DigitalOcean's API is.
pub const DEFAULT_URL: &str = "https://api.digitalocean.com";

/// Things on one page: the most that DigitalOcean gives.
const PER_PAGE: usize = 200;
/// Pages that are read at most.
const MAX_PAGES: usize = 50;

/// Reads and deletions get over a short failure. A longer wish of DigitalOcean is handed to the caller.
const RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 4,
    base: Duration::from_millis(250),
    cap: Duration::from_secs(4),
    budget: Duration::from_secs(15),
};

/// Pauses between looks for what may have been made: lists can be some seconds behind.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// One account of DigitalOcean.
#[derive(Clone)]
pub struct DigitalOcean {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    base: Arc<str>,
    authorization: Arc<str>,
    deadline: Duration,
}

impl fmt::Debug for DigitalOcean {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigitalOcean")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl DigitalOcean {
    /// The account of `token` at `url` (no slash at the end). Each call ends within `deadline`.
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        url: &str,
        token: &str,
        deadline: Duration,
    ) -> Self {
        Self {
            transport,
            clock,
            base: url.into(),
            authorization: format!("Bearer {token}").into(),
            deadline,
        }
    }

    /// The same with calls that end within `limit`.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self {
            deadline: self.deadline.min(limit),
            ..self.clone()
        }
    }

    /// Whose the token is.
    pub async fn account(&self) -> Result<Account, DigitalOceanError> {
        one(&self.get("account").await?, "account")
    }

    /// The droplets with a tag, oldest first.
    pub async fn droplets_by_tag(&self, tag: &str) -> Result<Vec<Droplet>, DigitalOceanError> {
        self.droplets(&format!("tag_name={}", encode_segment(tag)))
            .await
    }

    /// One droplet; none when there is none.
    pub async fn droplet(&self, id: DropletId) -> Result<Option<Droplet>, DigitalOceanError> {
        match self.get(&format!("droplets/{id}")).await {
            Ok(answer) => one(&answer, "droplet").map(Some),
            Err(DigitalOceanError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The droplet with this tag, which is made when there is none. It is ordered once at most. When it is not certain
    /// whether the order got through, and the droplet does not show itself, the error says so
    /// ([`DigitalOceanError::may_have_happened`]): try later, with [`Attempt::Again`].
    ///
    /// Two callers at the same time could make two droplets, so let only one call this for a tag.
    pub async fn ensure_droplet(
        &self,
        new: &NewDroplet,
        attempt: Attempt,
    ) -> Result<Droplet, DigitalOceanError> {
        let there = match attempt {
            Attempt::First => self.find_droplet(new).await?,
            Attempt::Again => self.look(|| self.find_droplet(new)).await?,
        };
        if let Some(droplet) = there {
            return Ok(droplet);
        }
        let made = self.post("droplets", &NewDropletWire::from(new)).await;
        let made = made.and_then(|answer| one(&answer, "droplet"));
        self.or_found(made, || self.find_droplet(new)).await
    }

    /// Ends a droplet and what is on it. One that is gone already is fine.
    pub async fn delete_droplet(&self, id: DropletId) -> Result<(), DigitalOceanError> {
        self.delete(&format!("droplets/{id}")).await
    }

    /// Begins to do something to a droplet. It is asked once: after a failure that
    /// [`DigitalOceanError::may_have_happened`], look at the droplet.
    pub async fn act(
        &self,
        id: DropletId,
        what: &DropletAction,
    ) -> Result<Action, DigitalOceanError> {
        let answer = self.post(&format!("droplets/{id}/actions"), what).await?;
        one(&answer, "action")
    }

    /// How far an action is; none when it is forgotten.
    pub async fn action(&self, id: ActionId) -> Result<Option<Action>, DigitalOceanError> {
        match self.get(&format!("actions/{id}")).await {
            Ok(answer) => one(&answer, "action").map(Some),
            Err(DigitalOceanError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The firewall with a name; none when there is none.
    pub async fn firewall_by_name(
        &self,
        name: &str,
    ) -> Result<Option<Firewall>, DigitalOceanError> {
        let all: Vec<Firewall> = self.list("firewalls", "", "firewalls").await?;
        Ok(all.into_iter().find(|firewall| firewall.name == name))
    }

    /// The firewall with this name, which is made when there is none, and put right when it does something else. Its tag
    /// is made first, because DigitalOcean wants it to exist. Names are given once, so the firewall is asked for at once and
    /// looked for among all of them only where it may be there: how many there are costs nothing.
    pub async fn ensure_firewall(&self, new: &NewFirewall) -> Result<Firewall, DigitalOceanError> {
        self.ensure_tag(&new.tag).await?;
        let made = self.post("firewalls", &new.wire(&[])).await;
        let made = made.and_then(|answer| one(&answer, "firewall"));
        if made.is_ok() {
            return made;
        }
        let find = || self.firewall_by_name(&new.name);
        let there = self.or_found(made, find).await?;
        if new.is(&there) {
            return Ok(there);
        }
        let path = format!("firewalls/{}", encode_segment(&there.id.0));
        let call = self.call("PUT", &path, &new.wire(&there.droplet_ids));
        one(&self.repeat(&call).await?, "firewall")
    }

    /// Removes a firewall. One that is gone already is fine.
    pub async fn delete_firewall(&self, id: &FirewallId) -> Result<(), DigitalOceanError> {
        self.delete(&format!("firewalls/{}", encode_segment(&id.0)))
            .await
    }

    /// Makes a tag; one that exists is left as it is.
    pub async fn ensure_tag(&self, tag: &str) -> Result<(), DigitalOceanError> {
        // Making a tag twice is as making it once, so this may be repeated.
        let call = self.call("POST", "tags", &NewTag { name: tag });
        self.repeat(&call).await.map(drop)
    }

    /// Removes a tag from everything. One that is gone already is fine.
    pub async fn delete_tag(&self, tag: &str) -> Result<(), DigitalOceanError> {
        self.delete(&format!("tags/{}", encode_segment(tag))).await
    }

    /// What droplets can be, and what they cost.
    pub async fn sizes(&self) -> Result<Vec<Size>, DigitalOceanError> {
        self.list("sizes", "", "sizes").await
    }

    /// Where droplets can be.
    pub async fn regions(&self) -> Result<Vec<Region>, DigitalOceanError> {
        self.list("regions", "", "regions").await
    }

    /// The systems that droplets can start from.
    pub async fn images(&self) -> Result<Vec<Image>, DigitalOceanError> {
        self.list("images", "type=distribution", "images").await
    }

    /// The SSH keys of the account.
    pub async fn ssh_keys(&self) -> Result<Vec<SshKey>, DigitalOceanError> {
        self.list("account/keys", "", "ssh_keys").await
    }

    /// The account's entry of a public key (as in `authorized_keys`), which is made under `name` when there is none.
    pub async fn ensure_ssh_key(
        &self,
        name: &str,
        public_key: &str,
    ) -> Result<SshKey, DigitalOceanError> {
        let find = || async {
            let all = self.ssh_keys().await?;
            let same =
                |key: &SshKey| without_comment(&key.public_key).eq(without_comment(public_key));
            Ok(all.into_iter().find(same))
        };
        if let Some(there) = find().await? {
            return Ok(there);
        }
        let made = self
            .post("account/keys", &NewKey { name, public_key })
            .await;
        let made = made.and_then(|answer| one(&answer, "ssh_key"));
        self.or_found(made, find).await
    }

    /// Removes an SSH key from the account. One that is gone already is fine.
    pub async fn delete_ssh_key(&self, id: SshKeyId) -> Result<(), DigitalOceanError> {
        self.delete(&format!("account/keys/{id}")).await
    }

    /// Tags are given to a droplet after it is made, so it is looked for by its name too. One that somebody else gave this
    /// name has other tags.
    async fn find_droplet(&self, new: &NewDroplet) -> Result<Option<Droplet>, DigitalOceanError> {
        if let Some(oldest) = self.droplets_by_tag(&new.tag).await?.into_iter().next() {
            return Ok(Some(oldest));
        }
        let named = format!("name={}", encode_segment(&new.name));
        let ours =
            |d: &Droplet| d.name == new.name && (d.tags.is_empty() || d.tags.contains(&new.tag));
        Ok(self.droplets(&named).await?.into_iter().find(ours))
    }

    /// Droplets that have the lowest numbers first.
    async fn droplets(&self, filter: &str) -> Result<Vec<Droplet>, DigitalOceanError> {
        let mut droplets: Vec<Droplet> = self.list("droplets", filter, "droplets").await?;
        droplets.sort_by_key(|droplet| droplet.id);
        Ok(droplets)
    }

    /// What was made. After a failure, what is there all the same: this caller has made it, or another has meanwhile.
    async fn or_found<T, F>(
        &self,
        made: Result<T, DigitalOceanError>,
        find: impl Fn() -> F,
    ) -> Result<T, DigitalOceanError>
    where
        F: Future<Output = Result<Option<T>, DigitalOceanError>>,
    {
        let error = match made {
            Ok(made) => return Ok(made),
            Err(error) => error,
        };
        let found = if error.may_have_happened() {
            self.look(find).await
        } else if error.may_be_there() {
            find().await
        } else {
            return Err(error);
        };
        found.ok().flatten().ok_or(error)
    }

    /// Looks several times, until there is something, or a look fails.
    async fn look<T, F>(&self, find: impl Fn() -> F) -> Result<Option<T>, DigitalOceanError>
    where
        F: Future<Output = Result<Option<T>, DigitalOceanError>>,
    {
        let mut found = find().await;
        for pause in LOOKS {
            if !matches!(found, Ok(None)) {
                break;
            }
            self.clock.sleep(pause).await;
            found = find().await;
        }
        found
    }

    /// All pages of a list.
    async fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        filter: &str,
        name: &str,
    ) -> Result<Vec<T>, DigitalOceanError> {
        let and = if filter.is_empty() { "" } else { "&" };
        let mut all = Vec::new();
        for page in 1..=MAX_PAGES {
            let path = format!("{path}?{filter}{and}page={page}&per_page={PER_PAGE}");
            let answer = self.get(&path).await?;
            let mut body: Value = json(&answer)?;
            all.extend(take::<Vec<T>>(&mut body, name, answer.status)?);
            if !body["links"]["pages"]["next"].is_string() {
                return Ok(all);
            }
        }
        Err(DigitalOceanError::TooMany)
    }

    async fn get(&self, path: &str) -> Result<Response, DigitalOceanError> {
        self.repeat(&self.call("GET", path, &())).await
    }

    async fn delete(&self, path: &str) -> Result<(), DigitalOceanError> {
        match self.repeat(&self.call("DELETE", path, &())).await {
            Ok(_) | Err(DigitalOceanError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Response, DigitalOceanError> {
        self.send(self.call("POST", path, body)).await
    }

    /// A call whose body is JSON; none for GET and DELETE.
    fn call(&self, method: &str, path: &str, body: &impl Serialize) -> Call {
        let mut request = Request::new(method, format!("{}/v2/{path}", self.base));
        request
            .headers
            .set("authorization", self.authorization.as_ref());
        if !matches!(method, "GET" | "DELETE") {
            request.headers.set("content-type", "application/json");
            // Types of this module always serialize.
            request.body = serde_json::to_vec(body).unwrap_or_default();
        }
        Call::new(request, self.deadline)
    }

    /// Sends what may be carried out twice.
    async fn repeat(&self, call: &Call) -> Result<Response, DigitalOceanError> {
        let clock = self.clock.as_ref();
        let attempt = || self.send(call.clone());
        retry(clock, &RETRY, DigitalOceanError::transience, attempt).await
    }

    async fn send(&self, call: Call) -> Result<Response, DigitalOceanError> {
        let answer = self.transport.send(call).await?;
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(DigitalOceanError::from_answer(&answer, self.clock.now()))
        }
    }
}

#[derive(Serialize)]
struct NewTag<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct NewKey<'a> {
    name: &'a str,
    public_key: &'a str,
}

/// Kind and key of a public key.
fn without_comment(key: &str) -> impl Iterator<Item = &str> {
    key.split_whitespace().take(2)
}

fn json(answer: &Response) -> Result<Value, DigitalOceanError> {
    let status = answer.status;
    serde_json::from_slice(&answer.body).map_err(|_| DigitalOceanError::Malformed { status })
}

/// What a body holds under `name`.
fn take<T: DeserializeOwned>(
    body: &mut Value,
    name: &str,
    status: u16,
) -> Result<T, DigitalOceanError> {
    let found = body.get_mut(name).map(Value::take).unwrap_or_default();
    serde_json::from_value(found).map_err(|_| DigitalOceanError::Malformed { status })
}

/// The one thing of an answer.
fn one<T: DeserializeOwned>(answer: &Response, name: &str) -> Result<T, DigitalOceanError> {
    take(&mut json(answer)?, name, answer.status)
}
