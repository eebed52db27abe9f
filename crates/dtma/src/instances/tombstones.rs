//! What was deleted, by generation: a late command must not bring it back.
//!
//! A command of the control plane may be delayed on its way and arrive after the deletion it came before, also in a
//! later life of the agent. So each accepted deletion leaves a durable mark, also one of an instance the agent does not
//! hold, and only a generation above it makes the instance anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use toolbox_domain::ids::ToolInstanceId;

use super::CommandError;
use crate::store::{Store, Tombstone};

/// Deletions that are remembered. A command that is still under way after a thousand others is no accident.
const MOST: usize = 1024;

/// The deletions.
pub struct Tombstones {
    store: Arc<Store>,
    // A leaf lock, never held across an await.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Generation and age (a number that grows) of each.
    generations: HashMap<ToolInstanceId, (u64, u64)>,
    next_age: u64,
}

impl Known {
    /// Remembers it; one that is forgotten for it.
    fn insert(&mut self, id: ToolInstanceId, generation: u64) -> Option<ToolInstanceId> {
        self.next_age += 1;
        self.generations.insert(id, (generation, self.next_age));
        if self.generations.len() <= MOST {
            return None;
        }
        let oldest = self.generations.iter().min_by_key(|(_, (_, age))| *age);
        let oldest = oldest.map(|(id, _)| *id)?;
        self.generations.remove(&oldest);
        Some(oldest)
    }
}

impl Tombstones {
    /// Those that the store holds, oldest first.
    pub fn new(store: Arc<Store>, found: Vec<Tombstone>) -> Self {
        let mut known = Known::default();
        for tombstone in found {
            if let Some(forgotten) = known.insert(tombstone.id, tombstone.generation) {
                // It stays on the disk until the next start then.
                let _ = store.lift(forgotten);
            }
        }
        Self {
            store,
            known: Mutex::new(known),
        }
    }

    /// The generation that deleted the instance.
    pub fn get(&self, id: ToolInstanceId) -> Option<u64> {
        let known = self.known.lock().ok()?;
        known
            .generations
            .get(&id)
            .map(|(generation, _)| *generation)
    }

    /// Durably remembers that the instance was deleted by `generation`, or by a later one.
    pub async fn bury(&self, id: ToolInstanceId, generation: u64) -> Result<(), CommandError> {
        if self.get(id).is_some_and(|known| known >= generation) {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let stored = tokio::task::spawn_blocking(move || store.bury(id, generation)).await;
        match stored {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(instance = %id, error = %crate::error_chain(&error), "could not store a deletion");
                return Err(CommandError::Store);
            }
            Err(_) => return Err(CommandError::Defect),
        }
        let forgotten = self
            .known
            .lock()
            .ok()
            .and_then(|mut known| known.insert(id, generation));
        if let Some(forgotten) = forgotten {
            self.remove(forgotten).await;
        }
        Ok(())
    }

    /// A later generation made the instance anew.
    pub async fn lift(&self, id: ToolInstanceId) {
        let known = self
            .known
            .lock()
            .is_ok_and(|mut known| known.generations.remove(&id).is_some());
        if known {
            self.remove(id).await;
        }
    }

    /// Best effort: one that stays is below the generations in use, so it refuses nothing that counts.
    async fn remove(&self, id: ToolInstanceId) {
        let store = Arc::clone(&self.store);
        let _ = tokio::task::spawn_blocking(move || store.lift(id)).await;
    }
}
