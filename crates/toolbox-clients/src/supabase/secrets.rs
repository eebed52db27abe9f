//! Secrets as the database holds them: sealed, and sealed anew when the root secret is another one.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, Serializer};
use serde_json::{Map, Value};
use toolbox_domain::ids::{AlertChannelId, OperationId, ToolInstanceId, ToolboxId};
use toolbox_domain::spec::{SecretValue, SpecSecrets};

use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// What stands for the key of a value that is not sealed.
const PLAIN: &str = "plain";

/// Most bytes of a spec in the database, as it prints it.
const MAX_STORED_SPEC: usize = 256 * 1024;

/// Whether the database has room for a spec of an instance.
pub fn has_room(spec: &impl Serialize) -> bool {
    stored_bytes(spec).is_ok_and(|bytes| bytes <= MAX_STORED_SPEC)
}

/// The length of a spec as the database prints it: with a space after each comma and colon.
fn stored_bytes(spec: &impl Serialize) -> Result<usize, serde_json::Error> {
    let mut counter = Counter(0);
    spec.serialize(&mut Serializer::with_formatter(&mut counter, Spaced))?;
    Ok(counter.0)
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A stored spec of any version: its secrets, and what is passed on as it is.
#[derive(Clone, Serialize, Deserialize)]
pub struct StoredSpec {
    #[serde(default)]
    env: BTreeMap<String, SecretValue>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    mcp_headers: BTreeMap<String, SecretValue>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl StoredSpec {
    /// Its secrets.
    pub fn secrets(&mut self) -> SpecSecrets<'_> {
        SpecSecrets {
            env: &mut self.env,
            mcp_headers: &mut self.mcp_headers,
        }
    }
}

/// A spec with a value that is not sealed with the current key. Not `Debug`: it may hold secrets.
#[derive(Deserialize)]
pub struct SpecToSeal {
    /// The toolbox of the instance.
    pub toolbox_id: ToolboxId,
    /// The instance.
    pub instance_id: ToolInstanceId,
    /// The operation that keeps the spec; without it and `generation` it is the instance's own.
    pub operation_id: Option<OperationId>,
    /// The version of the instance that has the spec.
    pub generation: Option<u64>,
    spec: Value,
    /// What was read, by its digest.
    pub version: String,
}

impl SpecToSeal {
    /// The spec, if it is one: a user or an operator may have written something else.
    pub fn spec(&self) -> Result<StoredSpec, serde_json::Error> {
        StoredSpec::deserialize(&self.spec)
    }
}

/// A webhook's secret that is not sealed with the current key.
#[derive(Deserialize)]
pub struct WebhookToSeal {
    /// The channel.
    pub channel_id: AlertChannelId,
    /// The secret.
    #[serde(flatten)]
    pub secret: WebhookSecret,
}

/// What signs the messages of a webhook, and the key it is sealed with.
#[derive(Clone, Deserialize)]
pub struct WebhookSecret {
    webhook_secret: String,
    webhook_secret_key_id: Option<String>,
}

impl WebhookSecret {
    /// In its envelope.
    pub fn envelope(&self) -> SecretValue {
        SecretValue {
            key_id: self.webhook_secret_key_id.clone(),
            value: self.webhook_secret.clone(),
        }
    }
}

/// What there is to seal.
#[derive(Deserialize)]
pub struct ToSeal {
    /// Specs.
    pub specs: Vec<SpecToSeal>,
    /// Secrets of webhooks.
    pub webhooks: Vec<WebhookToSeal>,
}

/// A spec that was sealed.
#[derive(Serialize)]
pub struct SealedSpec<'a> {
    /// The instance.
    pub instance_id: ToolInstanceId,
    /// The operation that keeps the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<OperationId>,
    /// The version of the instance that has the spec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// The spec.
    pub spec: StoredSpec,
    /// What it was made of.
    pub version: &'a str,
}

/// A webhook's secret that was sealed.
#[derive(Serialize)]
pub struct SealedWebhook<'a> {
    /// The channel.
    pub channel_id: AlertChannelId,
    /// What it was made of.
    pub was: &'a str,
    /// The key.
    pub key_id: Option<String>,
    /// The sealed secret.
    pub secret: String,
}

#[derive(Serialize)]
struct Get<'a> {
    key_ids: Vec<&'a str>,
}

#[derive(Serialize)]
struct Put<'a> {
    specs: &'a [SealedSpec<'a>],
    webhooks: &'a [SealedWebhook<'a>],
}

#[derive(Deserialize)]
struct Sealed {
    outcome: String,
    count: Option<u32>,
}

impl WebhookToSeal {
    /// The same secret, sealed.
    pub fn sealed(&self, secret: SecretValue) -> SealedWebhook<'_> {
        SealedWebhook {
            channel_id: self.channel_id,
            was: &self.secret.webhook_secret,
            key_id: secret.key_id,
            secret: secret.value,
        }
    }
}

impl Supabase {
    /// Some of what is in plain text, or sealed with the key named `previous`, within `limit`.
    pub async fn secrets_to_seal(
        &self,
        previous: Option<&str>,
        limit: Duration,
    ) -> Result<ToSeal, DatabaseError> {
        let key_ids = [Some(PLAIN), previous].into_iter().flatten().collect();
        let body = argument(&Get { key_ids });
        let hurried = self.within(limit);
        parse(&hurried.call_function("get_secrets_to_seal", &body).await?)
    }

    /// Writes what was sealed, each where nothing else was written since, within `limit`; how many. Never repeated: the next
    /// tick does that.
    pub async fn put_sealed_secrets(
        &self,
        specs: &[SealedSpec<'_>],
        webhooks: &[SealedWebhook<'_>],
        limit: Duration,
    ) -> Result<u32, DatabaseError> {
        let body = argument(&Put { specs, webhooks });
        let hurried = self.within(limit);
        let answer = hurried.call_function("put_sealed_secrets", &body).await?;
        let told: Sealed = parse(&answer)?;
        told.count
            .filter(|_| told.outcome == "sealed")
            .ok_or_else(|| unexpected(&answer))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_spec_is_as_long_as_the_database_prints_it() {
        let spec = json!({"image": "a\u{1}\n\"ü", "command": [], "ports": [1, {"a": null, "b": true}], "env": {}});
        let printed = r#"{"env": {}, "image": "a\u0001\n\"ü", "ports": [1, {"a": null, "b": true}], "command": []}"#;
        assert_eq!(stored_bytes(&spec).unwrap(), printed.len());
    }
}
