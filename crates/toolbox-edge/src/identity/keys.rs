//! The project's signing keys: from the configuration, from the JWKS address, refreshed when an
//! unknown key id shows up.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::Shared;
use serde::Deserialize;
use toolbox_http::{Call, Clock, LocalFuture, Request, Transport};

use super::jwt::base64url;
use crate::host::{Algorithm, Host, KeyHandle, KeyMaterial};

/// Fetched keys are good for this long; a revoked key is honoured no longer than that.
const TTL: Duration = Duration::from_mins(10);
/// An unknown key id causes one fetch in this time, so that forged tokens cannot cause a storm.
const REFETCH_AFTER: Duration = Duration::from_secs(30);
const FETCH_DEADLINE: Duration = Duration::from_secs(5);
/// A key set has a handful of keys.
const MAX_ANSWER: usize = 64 * 1024;

/// One key of a set.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    crv: Option<String>,
    #[serde(default)]
    x: Option<String>,
    #[serde(default)]
    y: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
    #[serde(default)]
    k: Option<String>,
}

#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<Jwk>,
}

impl Jwk {
    /// The key's type alone decides its algorithm, whatever a token says. A set from the network
    /// must not hold shared secrets.
    fn material(self, trust_secrets: bool) -> Option<KeyMaterial> {
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => KeyMaterial::Es256 {
                x: self.x?,
                y: self.y?,
            },
            ("RSA", _) => KeyMaterial::Rs256 {
                n: self.n?,
                e: self.e?,
            },
            ("oct", _) if trust_secrets => KeyMaterial::Hs256 {
                secret: base64url(&self.k?).ok().filter(|k| !k.is_empty())?,
            },
            _ => return None,
        };
        let declared = match self.alg.as_deref() {
            None => true,
            Some("ES256") => material.algorithm() == Algorithm::Es256,
            Some("RS256") => material.algorithm() == Algorithm::Rs256,
            Some("HS256") => material.algorithm() == Algorithm::Hs256,
            Some(_) => false,
        };
        declared.then_some(material)
    }
}

struct StoredKey {
    kid: Option<String>,
    algorithm: Algorithm,
    handle: KeyHandle,
}

/// The keys could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signing keys cannot be read: {0}")]
pub(super) struct KeysUnavailable(String);

type Fetching = Shared<LocalFuture<'static, Result<(), KeysUnavailable>>>;

#[derive(Default)]
struct State {
    /// Keys of the configuration, once imported.
    configured: Option<Vec<StoredKey>>,
    /// Keys of the last fetch.
    fetched: Vec<StoredKey>,
    fetched_at: Option<Duration>,
    /// When an unknown key id last caused a fetch.
    refetched_at: Option<Duration>,
    /// The last fetch failed: until the next one, an unknown key may well be one of ours.
    failed: Option<KeysUnavailable>,
    /// The fetch that runs now, shared by all requests that need it.
    fetching: Option<Fetching>,
}

/// Finds keys by id.
pub(super) struct KeyStore {
    url: String,
    configured_set: Option<String>,
    legacy_secret: Option<String>,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    host: Arc<dyn Host>,
    state: RefCell<State>,
}

impl KeyStore {
    pub(super) fn new(
        url: String,
        configured_set: Option<String>,
        legacy_secret: Option<String>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        host: Arc<dyn Host>,
    ) -> Rc<Self> {
        let state = RefCell::default();
        Rc::new(Self {
            url,
            configured_set,
            legacy_secret,
            transport,
            clock,
            host,
            state,
        })
    }

    /// The keys that may have signed a token with this algorithm and key id; empty when none may.
    pub(super) async fn candidates(
        self: &Rc<Self>,
        algorithm: Algorithm,
        kid: Option<&str>,
    ) -> Result<Vec<KeyHandle>, KeysUnavailable> {
        self.import_configured().await;
        let found = self.find(algorithm, kid);
        if !found.is_empty() || algorithm == Algorithm::Hs256 {
            return Ok(found);
        }
        let now = self.clock.now();
        let refetch = {
            let state = self.state.borrow();
            let since = |at: Option<Duration>| at.map(|at| now.saturating_sub(at));
            state.fetching.is_some()
                || (since(state.fetched_at).is_none_or(|age| age > TTL)
                    && self.configured_set.is_none())
                || since(state.refetched_at).is_none_or(|age| age > REFETCH_AFTER)
        };
        if refetch {
            self.state.borrow_mut().refetched_at = Some(now);
            self.fetch().await?;
        }
        let found = self.find(algorithm, kid);
        match &self.state.borrow().failed {
            Some(failure) if found.is_empty() => Err(failure.clone()),
            _ => Ok(found),
        }
    }

    fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Vec<KeyHandle> {
        let now = self.clock.now();
        let state = self.state.borrow();
        let fresh = state
            .fetched_at
            .is_some_and(|at| now.saturating_sub(at) <= TTL);
        let fetched = state.fetched.iter().filter(|_| fresh);
        state
            .configured
            .iter()
            .flatten()
            .chain(fetched)
            .filter(|key| key.algorithm == algorithm)
            // A token without a key id, or a key without one, is tried; at most a handful fit.
            .filter(|key| match (kid, &key.kid) {
                (Some(wanted), Some(has)) => wanted == has,
                _ => true,
            })
            .map(|key| Rc::clone(&key.handle))
            .collect()
    }

    async fn import_configured(&self) {
        if self.state.borrow().configured.is_some() {
            return;
        }
        let mut keys = match &self.configured_set {
            Some(text) => self.import(text.as_bytes(), true).await.unwrap_or_default(),
            None => Vec::new(),
        };
        if let Some(secret) = &self.legacy_secret {
            let material = KeyMaterial::Hs256 {
                secret: secret.as_bytes().to_vec(),
            };
            keys.extend(self.import_one(None, material).await);
        }
        self.state.borrow_mut().configured = Some(keys);
    }

    /// Fetches the set; requests that come meanwhile wait for the same fetch.
    async fn fetch(self: &Rc<Self>) -> Result<(), KeysUnavailable> {
        let running = self.state.borrow().fetching.clone();
        let fetching = running.unwrap_or_else(|| {
            let store = Rc::clone(self);
            let work: LocalFuture<'static, _> = Box::pin(async move {
                let result = store.fetch_now().await;
                let mut state = store.state.borrow_mut();
                state.fetching = None;
                state.failed = result.as_ref().err().cloned();
                state.fetched = result?;
                state.fetched_at = Some(store.clock.now());
                Ok(())
            });
            let fetching = work.shared();
            self.state.borrow_mut().fetching = Some(fetching.clone());
            fetching
        });
        fetching.await
    }

    async fn fetch_now(&self) -> Result<Vec<StoredKey>, KeysUnavailable> {
        let mut call = Call::new(Request::new("GET", self.url.as_str()), FETCH_DEADLINE);
        call.max_answer = MAX_ANSWER;
        let answer = self
            .transport
            .send(call)
            .await
            .map_err(|e| KeysUnavailable(toolbox_api::error::chain(&e)))?;
        if !answer.is_success() {
            return Err(KeysUnavailable(format!("status {}", answer.status)));
        }
        self.import(&answer.body, false)
            .await
            .ok_or_else(|| KeysUnavailable("not a JSON Web Key Set".to_owned()))
    }

    async fn import(&self, text: &[u8], trust_secrets: bool) -> Option<Vec<StoredKey>> {
        // A set, or (as some setups give it) the bare list of keys.
        let set = serde_json::from_slice::<JwkSet>(text).map(|set| set.keys);
        let set = set
            .or_else(|_| serde_json::from_slice::<Vec<Jwk>>(text))
            .ok()?;
        let mut keys = Vec::with_capacity(set.len());
        for mut jwk in set {
            let kid = jwk.kid.take();
            if let Some(material) = jwk.material(trust_secrets) {
                keys.extend(self.import_one(kid, material).await);
            }
        }
        Some(keys)
    }

    async fn import_one(&self, kid: Option<String>, material: KeyMaterial) -> Option<StoredKey> {
        let algorithm = material.algorithm();
        let handle = self.host.import_key(&material).await.ok()?;
        Some(StoredKey {
            kid,
            algorithm,
            handle,
        })
    }
}
