//! What can be bought. DigitalOcean is asked now and then, and its answers are kept in rows: its account has so many requests an
//! hour, and however often users ask, theirs are none of them.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::digitalocean::{DigitalOceanError, Image, Region, Size};
use toolbox_clients::supabase::provisioning::ProviderList;

use crate::{Provisioning, provider_error};

/// So long a list is taken for what can be bought. An order of what cannot be had any more is refused by DigitalOcean itself.
const MAX_AGE_SECONDS: u64 = 300;
/// So long one caller may take to ask for it. When that fails, the next one asks after this.
const CLAIM_SECONDS: u64 = 30;
/// Between two looks for a list that somebody else asks for, where there is none yet, and how many.
const PAUSE: Duration = Duration::from_millis(500);
const LOOKS: u32 = 20;

impl Provisioning<'_> {
    /// What machines can be, and what they cost.
    pub async fn sizes(&self) -> Result<Vec<Size>, ApiError> {
        self.offered("sizes", || self.digitalocean.sizes()).await
    }

    /// Where machines can be.
    pub async fn regions(&self) -> Result<Vec<Region>, ApiError> {
        self.offered("regions", || self.digitalocean.regions())
            .await
    }

    /// The systems that machines can start from.
    pub async fn images(&self) -> Result<Vec<Image>, ApiError> {
        self.offered("images", || self.digitalocean.images()).await
    }

    async fn offered<T, F>(&self, name: &str, ask: impl Fn() -> F) -> Result<T, ApiError>
    where
        T: Serialize + DeserializeOwned,
        F: Future<Output = Result<T, DigitalOceanError>>,
    {
        for _ in 0..LOOKS {
            let list = self
                .supabase
                .provider_list(name, MAX_AGE_SECONDS, CLAIM_SECONDS);
            match list.await? {
                ProviderList::Kept(list) => return Ok(list),
                ProviderList::Due => {
                    let list = ask().await.map_err(|error| provider_error(&error))?;
                    self.supabase.keep_provider_list(name, &list).await?;
                    return Ok(list);
                }
                ProviderList::Awaited => self.clock.sleep(PAUSE).await,
            }
        }
        Err(ApiError::new(ErrorCode::ProviderUnavailable))
    }
}
