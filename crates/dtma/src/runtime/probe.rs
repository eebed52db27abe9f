//! Whether Docker answers, for everybody who wants to know it often.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{ContainerRuntime, EngineInfo};

/// How long a probe waits for Docker.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
/// How old an answer of Docker may be.
const PROBE_AGE: Duration = Duration::from_millis(500);

/// Asks Docker at most twice a second, for one caller at a time: anybody may call `GET /health`, and that must not
/// become a way to keep Docker busy.
pub struct EngineProbe {
    runtime: Arc<dyn ContainerRuntime>,
    last: Mutex<Option<(Instant, Option<EngineInfo>)>>,
}

impl EngineProbe {
    pub fn new(runtime: Arc<dyn ContainerRuntime>) -> Self {
        Self {
            runtime,
            last: Mutex::new(None),
        }
    }

    /// Docker's versions; none when it does not answer in time.
    pub async fn engine(&self) -> Option<EngineInfo> {
        let mut last = self.last.lock().await;
        match &*last {
            Some((asked, answer)) if asked.elapsed() < PROBE_AGE => answer.clone(),
            _ => {
                let answer = tokio::time::timeout(PROBE_LIMIT, self.runtime.info())
                    .await
                    .ok()
                    .and_then(Result::ok);
                last.insert((Instant::now(), answer)).1.clone()
            }
        }
    }
}
