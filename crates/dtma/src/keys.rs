//! The toolbox's keys: those callers may present, and the one the agent presents to the control plane.
//!
//! They come from the enrolment and from rotations, and live in `keys.json` of the state folder; a key that is replaced
//! stays accepted for a while. Without an enrolment they come from the key file. New keys are durable before they are
//! used, so the control plane never knows newer ones than a restarted agent.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tokio::sync::watch;
use tokio::time::Instant;
use toolbox_api::heartbeat::KeyPair;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::keys::{AgentKey, McpToken};

use crate::durable;

const FILE: &str = "keys.json";
/// Version of the file's format.
const FORMAT: u32 = 1;
/// How long a replaced key is still accepted: answers on their way to the control plane's functions take no longer.
const OVERLAP: Duration = Duration::from_mins(15);
/// Most replaced keys that are accepted; each rotation replaces one.
const MOST_REPLACED: usize = 3;

/// Why there are no keys, or no new ones.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The file system refused.
    #[error("could not read or write '{path}'")]
    Io { path: PathBuf, source: io::Error },
    /// The file holds something else. Its content is not repeated.
    #[error("'{path}' holds no keys; move it away and enrol the toolbox again")]
    NoKeys { path: PathBuf },
    /// What the control plane sent is no pair of keys.
    #[error("the control plane sent something that is no key")]
    NotAKey,
}

/// The keys; everybody sees a change at once.
pub struct KeyRing {
    state_dir: PathBuf,
    held: watch::Sender<Held>,
}

#[derive(Default)]
struct Held {
    accepted: Vec<Accepted>,
    enrolment: Option<Enrolment>,
}

/// A key callers may present.
struct Accepted {
    key: AgentKey,
    digest: [u8; 32],
    /// None for a key in use.
    until: Option<Instant>,
}

impl Accepted {
    fn new(key: AgentKey, until: Option<Instant>) -> Self {
        let digest = digest(key.expose());
        Self { key, digest, until }
    }
}

/// What an enrolment gave.
#[derive(Clone)]
struct Enrolment {
    keys: KeyPair,
    interval_seconds: u32,
    replaced: Vec<Replaced>,
}

/// A control plane's key that was replaced.
#[derive(Clone, Serialize, Deserialize)]
struct Replaced {
    control_to_agent: String,
    until_unix: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    keys: KeyPair,
    interval_seconds: u32,
    replaced: Vec<Replaced>,
}

impl KeyRing {
    /// The keys of `state_dir`; those of the key file when the agent is not enrolled. Blocks.
    pub fn load(state_dir: &Path, of_file: &[AgentKey]) -> Result<Self, KeysError> {
        let path = state_dir.join(FILE);
        let text = durable::read(&path).map_err(|source| KeysError::Io {
            path: path.clone(),
            source,
        })?;
        let ring = Self {
            state_dir: state_dir.to_owned(),
            ..Self::of_file(of_file)
        };
        if let Some(text) = text {
            // The text of serde's errors may quote the file.
            let stored: Stored = serde_json::from_str(&text)
                .ok()
                .filter(|s: &Stored| s.format == FORMAT && are_keys(&s.keys))
                .ok_or(KeysError::NoKeys { path })?;
            if !of_file.is_empty() {
                tracing::info!("the agent is enrolled, so the key file is not used");
            }
            ring.hold(Enrolment {
                keys: stored.keys,
                interval_seconds: stored.interval_seconds,
                replaced: stored.replaced,
            });
        }
        Ok(ring)
    }

    /// Accepts these keys; there is no enrolment.
    pub fn of_file(keys: &[AgentKey]) -> Self {
        let accepted = keys.iter().map(|key| Accepted::new(key.clone(), None));
        let held = Held {
            accepted: accepted.collect(),
            enrolment: None,
        };
        Self {
            state_dir: PathBuf::new(),
            held: watch::channel(held).0,
        }
    }

    fn hold(&self, enrolment: Enrolment) {
        let (clock, now) = (unix_now(), Instant::now());
        let replaced = enrolment.replaced.iter().filter_map(|r| {
            let left = Duration::from_secs(r.until_unix.saturating_sub(clock)).min(OVERLAP);
            let key = AgentKey::parse(&r.control_to_agent).ok()?;
            (!left.is_zero()).then(|| Accepted::new(key, Some(now + left)))
        });
        let current = AgentKey::parse(&enrolment.keys.control_to_agent).ok();
        let current = current.map(|key| Accepted::new(key, None));
        let accepted = current.into_iter().chain(replaced).collect();
        self.held.send_replace(Held {
            accepted,
            enrolment: Some(enrolment),
        });
    }

    /// Whether any key is accepted.
    pub fn any(&self) -> bool {
        !self.held.borrow().accepted.is_empty()
    }

    /// Whether `presented` is an accepted key. Digests are compared, all of them and in constant time, so neither
    /// length nor content of a key shows in how long it takes.
    pub fn accept(&self, presented: &str) -> bool {
        self.any_accepted(presented, |accepted| Some(accepted.digest))
    }

    /// Whether `presented` is the token of this instance's MCP endpoint, made from an accepted key. Compared as keys are.
    pub fn accept_mcp(&self, presented: &str, instance: ToolInstanceId) -> bool {
        McpToken::has_form(presented)
            && self.any_accepted(presented, |accepted| {
                let token = accepted.key.mcp_token(instance).ok()?;
                Some(digest(token.expose()))
            })
    }

    fn any_accepted(
        &self,
        presented: &str,
        wanted: impl Fn(&Accepted) -> Option<[u8; 32]>,
    ) -> bool {
        let (presented, now) = (digest(presented), Instant::now());
        let held = self.held.borrow();
        let in_time = held
            .accepted
            .iter()
            .filter(|k| k.until.is_none_or(|until| now < until));
        let found = in_time
            .filter_map(wanted)
            .fold(Choice::from(0), |found, digest| {
                found | digest.ct_eq(&presented)
            });
        bool::from(found)
    }

    /// A key that callers may present, for programs of this machine that are callers themselves.
    pub fn of_callers(&self) -> Option<String> {
        let held = self.held.borrow();
        let current = held
            .accepted
            .iter()
            .find(|accepted| accepted.until.is_none());
        current.map(|accepted| accepted.key.expose().to_owned())
    }

    /// The key the agent presents to the control plane; none before its enrolment.
    pub fn own(&self) -> Option<String> {
        let held = self.held.borrow();
        let enrolment = held.enrolment.as_ref();
        enrolment.map(|e| e.keys.agent_to_control.clone())
    }

    /// Seconds between two heartbeats, as the control plane said at the enrolment.
    pub fn interval_seconds(&self) -> Option<u32> {
        let held = self.held.borrow();
        held.enrolment.as_ref().map(|e| e.interval_seconds)
    }

    /// The toolbox was enrolled: only these keys count from now on.
    pub async fn enrolled(&self, keys: KeyPair, interval_seconds: u32) -> Result<(), KeysError> {
        self.replace(Enrolment {
            keys,
            interval_seconds,
            replaced: Vec::new(),
        })
        .await
    }

    /// The control plane gave new keys. The one it presents now stays accepted for a while.
    pub async fn rotated(&self, keys: KeyPair) -> Result<(), KeysError> {
        let before = self.held.borrow().enrolment.clone();
        let Some(mut before) = before else {
            return Err(KeysError::NotAKey);
        };
        if before.keys == keys {
            return Ok(());
        }
        let clock = unix_now();
        before.replaced.retain(|r| r.until_unix > clock);
        before.replaced.insert(
            0,
            Replaced {
                control_to_agent: before.keys.control_to_agent,
                until_unix: clock + OVERLAP.as_secs(),
            },
        );
        before.replaced.truncate(MOST_REPLACED);
        self.replace(Enrolment {
            keys,
            interval_seconds: before.interval_seconds,
            replaced: before.replaced,
        })
        .await
    }

    async fn replace(&self, enrolment: Enrolment) -> Result<(), KeysError> {
        if !are_keys(&enrolment.keys) {
            return Err(KeysError::NotAKey);
        }
        let stored = Stored {
            format: FORMAT,
            keys: enrolment.keys.clone(),
            interval_seconds: enrolment.interval_seconds,
            replaced: enrolment.replaced.clone(),
        };
        let folder = self.state_dir.clone();
        let written = tokio::task::spawn_blocking(move || {
            let bytes = serde_json::to_vec(&stored)?;
            durable::write(&folder, FILE, &bytes)
        })
        .await
        .unwrap_or_else(|panic| Err(io::Error::other(panic)));
        written.map_err(|source| KeysError::Io {
            path: self.state_dir.join(FILE),
            source,
        })?;
        tracing::info!(key_id = %enrolment.keys.key_id, "holding new keys");
        self.hold(enrolment);
        Ok(())
    }
}

fn are_keys(pair: &KeyPair) -> bool {
    let id_is_plain = pair.key_id.len() <= 64 && pair.key_id.bytes().all(|b| b.is_ascii_graphic());
    id_is_plain
        && AgentKey::parse(&pair.control_to_agent).is_ok()
        && AgentKey::parse(&pair.agent_to_control).is_ok()
}

fn digest(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

/// Seconds since 1970. A clock that is wrong only changes how long a replaced key is accepted, and never beyond the
/// overlap.
fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(digit: char) -> KeyPair {
        let key = |last: char| format!("tbk_{}{last}", digit.to_string().repeat(63));
        KeyPair {
            key_id: format!("0123abcd.{digit}"),
            control_to_agent: key('0'),
            agent_to_control: key('1'),
        }
    }

    #[tokio::test]
    async fn keys_survive_and_a_replaced_one_is_accepted_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let file = AgentKey::parse(&pair('f').control_to_agent).unwrap();
        let ring = KeyRing::load(dir.path(), std::slice::from_ref(&file)).unwrap();
        assert!(ring.accept(file.expose()) && ring.own().is_none());
        ring.enrolled(pair('a'), 30).await.unwrap();
        assert!(
            !ring.accept(file.expose()),
            "the enrolment replaces the file"
        );
        ring.rotated(pair('b')).await.unwrap();
        ring.rotated(pair('b')).await.unwrap();
        for ring in [&ring, &KeyRing::load(dir.path(), &[file]).unwrap()] {
            assert!(ring.accept(&pair('a').control_to_agent));
            assert!(ring.accept(&pair('b').control_to_agent));
            assert!(!ring.accept(&pair('b').agent_to_control));
            assert_eq!(ring.own().unwrap(), pair('b').agent_to_control);
            assert_eq!(ring.interval_seconds(), Some(30));
        }
        tokio::time::pause();
        tokio::time::advance(OVERLAP + Duration::from_secs(1)).await;
        assert!(!ring.accept(&pair('a').control_to_agent));
        assert!(ring.accept(&pair('b').control_to_agent));
        // Another enrolment ends the keys before it at once.
        ring.enrolled(pair('c'), 30).await.unwrap();
        assert!(!ring.accept(&pair('b').control_to_agent));
    }

    #[tokio::test]
    async fn the_token_of_an_endpoint_lives_as_long_as_the_key_it_is_made_from() {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::load(dir.path(), &[]).unwrap();
        let [a, b] = ["1", "2"].map(|last| {
            format!("6f9619ff-8b86-4d01-b42d-00000000000{last}")
                .parse()
                .unwrap()
        });
        let token = |digit, instance| {
            let key = AgentKey::parse(&pair(digit).control_to_agent).unwrap();
            key.mcp_token(instance).unwrap().expose().to_owned()
        };
        assert!(!ring.accept_mcp(&token('a', a), a), "there is no key yet");
        ring.enrolled(pair('a'), 30).await.unwrap();
        let first = token('a', a);
        assert!(ring.accept_mcp(&first, a));
        assert!(!ring.accept_mcp(&first, b), "it opens another instance");
        assert!(!ring.accept(&first), "it is no key");
        let inward = AgentKey::parse(&pair('a').agent_to_control).unwrap();
        for wrong in [
            String::new(),
            pair('a').control_to_agent,
            inward.mcp_token(a).unwrap().expose().to_owned(),
            first[..first.len() - 1].to_owned(),
            format!("{first}0"),
            first.to_uppercase(),
        ] {
            assert!(!ring.accept_mcp(&wrong, a), "{wrong}");
        }
        ring.rotated(pair('b')).await.unwrap();
        for ring in [&ring, &KeyRing::load(dir.path(), &[]).unwrap()] {
            assert!(ring.accept_mcp(&first, a) && ring.accept_mcp(&token('b', a), a));
        }
        tokio::time::pause();
        tokio::time::advance(OVERLAP + Duration::from_secs(1)).await;
        assert!(!ring.accept_mcp(&first, a), "it outlives its key");
        assert!(ring.accept_mcp(&token('b', a), a));
        ring.enrolled(pair('c'), 30).await.unwrap();
        assert!(
            !ring.accept_mcp(&token('b', a), a),
            "it outlives an enrolment"
        );
    }

    #[tokio::test]
    async fn what_is_no_key_is_refused_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let ring = KeyRing::load(dir.path(), &[]).unwrap();
        let mut wrong = pair('a');
        wrong.agent_to_control = "SECRET".into();
        assert!(matches!(
            ring.enrolled(wrong, 30).await,
            Err(KeysError::NotAKey)
        ));
        assert!(!ring.any());
        std::fs::write(dir.path().join(FILE), "{\"format\":1,\"SECRET\"").unwrap();
        let error = KeyRing::load(dir.path(), &[]).err().unwrap();
        assert!(!crate::error_chain(&error).contains("SECRET"));
    }
}
