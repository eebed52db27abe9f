//! Tombstones: which generation deleted an instance, so that a late command does not bring it back.
//!
//! A command may be delayed and arrive after a later deletion, even after a restart of the agent. So each accepted
//! deletion leaves a durable tombstone, also for an instance that the agent does not hold. Only a higher generation
//! makes the instance anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use toolbox_domain::ids::ToolInstanceId;

use super::CommandError;
use crate::store::{Store, Tombstone};

/// Most tombstones that are kept. No command is delayed by more than a thousand deletions.
const MOST: usize = 1024;

/// All tombstones, in memory and on disk.
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
    /// Adds a tombstone. Returns the oldest one, if it had to go for it.
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
                let _ = store.clear_tombstone(forgotten);
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
    pub async fn add(&self, id: ToolInstanceId, generation: u64) -> Result<(), CommandError> {
        if self.get(id).is_some_and(|known| known >= generation) {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let stored = tokio::task::spawn_blocking(move || store.add_tombstone(id, generation)).await;
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
    pub async fn clear(&self, id: ToolInstanceId) {
        let known = self
            .known
            .lock()
            .is_ok_and(|mut known| known.generations.remove(&id).is_some());
        if known {
            self.remove(id).await;
        }
    }

    /// Best effort: a tombstone that stays is below the generations in use, so it refuses no current command.
    async fn remove(&self, id: ToolInstanceId) {
        let store = Arc::clone(&self.store);
        let _ = tokio::task::spawn_blocking(move || store.clear_tombstone(id)).await;
    }
}
