//! The envelope of a secret value, and where a spec has secrets.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire::ToolSpec;
use crate::ids::ToolInstanceId;
use crate::objects::Object;
use crate::sealing::Place;

/// A value that may be a secret, with the key that encrypts it.
///
/// In the database it is encrypted ([`crate::sealing`]); to the agent and on its disk it goes in plain text, with `key_id`
/// null. A reader that meets a key it does not have refuses the value (`secret_key_unknown`) and never takes the
/// ciphertext for the value.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(from = "SecretForm")]
pub struct SecretValue {
    /// The key `value` is encrypted with; null: it is plain text.
    pub key_id: Option<String>,
    /// The value, or its ciphertext.
    pub value: String,
}

impl SecretValue {
    /// A value that is not encrypted.
    pub fn plain(value: impl Into<String>) -> Self {
        Self {
            key_id: None,
            value: value.into(),
        }
    }

    /// The value itself; none when it is encrypted.
    pub fn reveal(&self) -> Option<&str> {
        self.key_id.is_none().then_some(self.value.as_str())
    }
}

impl fmt::Debug for SecretValue {
    /// Leaves out the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretValue")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// What is read: the envelope, or the value alone, as people and the first agents' records and labels write it.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, or an object with key_id and value"
)]
enum SecretForm {
    Plain(String),
    Envelope(Object<Envelope>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    key_id: Option<String>,
    value: String,
}

impl From<SecretForm> for SecretValue {
    fn from(form: SecretForm) -> Self {
        match form {
            SecretForm::Plain(value) => Self::plain(value),
            SecretForm::Envelope(Object(Envelope { key_id, value })) => Self { key_id, value },
        }
    }
}

/// The secrets of a spec: its other fields are none.
#[derive(Debug)]
pub struct SpecSecrets<'a> {
    /// Environment variables.
    pub env: &'a mut BTreeMap<String, SecretValue>,
    /// Headers for the MCP server.
    pub mcp_headers: &'a mut BTreeMap<String, SecretValue>,
}

impl ToolSpec {
    /// Its secrets.
    pub fn secrets(&mut self) -> SpecSecrets<'_> {
        SpecSecrets {
            env: &mut self.env,
            mcp_headers: &mut self.mcp_headers,
        }
    }
}

impl<'a> SpecSecrets<'a> {
    /// Each value with its field on the wire, and where it belongs in the spec of `instance`.
    pub(crate) fn places(
        self,
        instance: ToolInstanceId,
    ) -> impl Iterator<Item = (String, Place<'a>, &'a mut SecretValue)> {
        let env = self.env.iter_mut().map(move |(name, value)| {
            let place = Place::Env(instance, name);
            (format!("env.{name}"), place, value)
        });
        let headers = self.mcp_headers.iter_mut().map(move |(name, value)| {
            let place = Place::Header(instance, name);
            (format!("mcp_headers.{name}"), place, value)
        });
        env.chain(headers)
    }
}
