//! Secrets of the database: sealed anew with the current key, where they are in plain text or under the key before it. What
//! users write themselves is plain until then; so is what is from before secrets were sealed.

use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::supabase::Supabase;
use toolbox_clients::supabase::secrets::{
    SealedSpec, SealedWebhook, SpecToSeal, WebhookToSeal, has_room,
};
use toolbox_domain::keys::RootId;
use toolbox_domain::sealing::{Nonce, Owner, Place, Roots, SealingKeys};

/// Longest wait for the database, twice.
const LIMIT: Duration = Duration::from_secs(4);

/// A nonce of random bytes.
pub fn nonce(random: [u8; 16]) -> Nonce {
    let [nonce @ .., _, _, _, _] = random;
    nonce
}

/// Seals what is not sealed with the current key.
pub struct Resealing<'a> {
    /// The database.
    pub supabase: &'a Supabase,
    /// What the keys are derived from.
    pub roots: Roots<'a>,
    /// Draws random bytes.
    pub random: &'a dyn Fn() -> [u8; 16],
    /// Logs what cannot be opened, and therefore stays as it is.
    pub log: &'a dyn Fn(&str, &ApiError),
}

impl Resealing<'_> {
    /// A bounded part of it; how many rows were written.
    pub async fn reseal_due(&self) -> Result<u32, ApiError> {
        let previous = self.roots.previous.map(|root| RootId::of(root).to_string());
        let due = self
            .supabase
            .secrets_to_seal(previous.as_deref(), LIMIT)
            .await?;
        let mut specs = Vec::with_capacity(due.specs.len());
        for stored in &due.specs {
            match self.sealed(stored) {
                Ok(spec) => specs.push(spec),
                Err(error) => self.left("seal the secrets of instance", stored.instance_id, &error),
            }
        }
        let mut webhooks = Vec::with_capacity(due.webhooks.len());
        for stored in &due.webhooks {
            match self.sealed_webhook(stored) {
                Ok(webhook) => webhooks.push(webhook),
                Err(error) => self.left("seal the secret of channel", stored.channel_id, &error),
            }
        }
        if specs.is_empty() && webhooks.is_empty() {
            return Ok(0);
        }
        Ok(self
            .supabase
            .put_sealed_secrets(&specs, &webhooks, LIMIT)
            .await?)
    }

    /// One that cannot be sealed is told of, and keeps no other from it.
    fn left(&self, what: &str, id: impl std::fmt::Display, error: &ApiError) {
        (self.log)(&format!("{what} {id}"), error);
    }

    fn sealed<'s>(&self, stored: &'s SpecToSeal) -> Result<SealedSpec<'s>, ApiError> {
        let id = stored.instance_id;
        // Its text may hold a secret, so it is not repeated.
        let mut spec = stored.spec().map_err(|_| unreadable())?;
        let keys = self.keys(Owner::Toolbox(stored.toolbox_id))?;
        if let Some(first) = keys.open_spec(id, spec.secrets()).first() {
            return Err(ApiError::internal(first));
        }
        keys.seal_spec(id, spec.secrets(), || self.nonce())
            .map_err(|error| ApiError::internal(&error))?;
        // An operation keeps a spec of any length.
        if stored.operation_id.is_none() && !has_room(&spec) {
            return Err(without_room());
        }
        Ok(SealedSpec {
            instance_id: id,
            operation_id: stored.operation_id,
            generation: stored.generation,
            spec,
            version: &stored.version,
        })
    }

    fn sealed_webhook<'s>(&self, stored: &'s WebhookToSeal) -> Result<SealedWebhook<'s>, ApiError> {
        let keys = self.keys(Owner::Channel(stored.channel_id))?;
        let secret = keys
            .open(Place::WebhookSecret, &stored.secret.envelope())
            .map_err(|error| ApiError::internal(&error))?;
        let sealed = keys
            .seal(Place::WebhookSecret, &secret, self.nonce())
            .map_err(|error| ApiError::internal(&error))?;
        Ok(stored.sealed(sealed))
    }

    fn nonce(&self) -> Nonce {
        nonce((self.random)())
    }

    fn keys(&self, owner: Owner) -> Result<SealingKeys, ApiError> {
        SealingKeys::derive(self.roots, owner)
            .map_err(|error| ApiError::new(ErrorCode::NotConfigured).caused_by(&error))
    }
}

fn without_room() -> ApiError {
    ApiError {
        cause: Some(
            "sealed it is longer than the database takes; make its values shorter".to_owned(),
        ),
        ..ApiError::new(ErrorCode::Internal)
    }
}

fn unreadable() -> ApiError {
    ApiError {
        cause: Some("it is not a spec".to_owned()),
        ..ApiError::new(ErrorCode::Internal)
    }
}
