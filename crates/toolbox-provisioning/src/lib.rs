//! What is done with toolboxes that have a droplet. There are no routes here and nothing of JavaScript: an edge function or a
//! server parses a request, calls one of the methods of [`Provisioning`], and turns the result into an answer.
//!
//! - [`order`](Provisioning::order): a row, and nothing else yet.
//! - [`advance`](Provisioning::advance) and [`advance_due`](Provisioning::advance_due): the steps. Who takes one holds the
//!   row's lease. `toolbox_domain::provisioning` says what the step is; here it is done: look, one action, write.
//! - [`change`](Provisioning::change): what a user wants of a toolbox is written; the steps do it.
//! - [`sizes`](Provisioning::sizes), [`regions`](Provisioning::regions) and [`images`](Provisioning::images): what can be bought.
//! - [`sweep`](Provisioning::sweep): are the droplets that are paid for those that rows name?
//! - [`agents`]: the toolbox that is made for a user's agent.
//! - [`view`]: what users see of a toolbox.
//! - [`user_data`]: what a machine does on its first start.

mod advance;
pub mod agents;
#[cfg(test)]
mod crash_tests;
mod offers;
mod order;
mod sweep;
#[cfg(test)]
mod test_world;
pub mod user_data;
pub mod view;

use std::sync::Arc;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::digitalocean::{DigitalOcean, DigitalOceanError, Size};
use toolbox_clients::supabase::Supabase;
use toolbox_http::Clock;

pub use advance::Advanced;
pub use order::{DropletOrder, Ordered, Wish};
pub use sweep::{Stray, SweepReport};

/// How machines are bought and what they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvisioningSettings {
    /// The region of an order that names none; none: an order has to.
    pub default_region: Option<String>,
    /// The size of an order that names none; none: an order has to.
    pub default_size: Option<String>,
    /// The image of an order that names none.
    pub default_image: String,
    /// Fingerprints of the account's SSH keys that the operator may log in with as root.
    pub ssh_keys: Vec<String>,
    /// Where machines fetch the installer and the agent, without a slash at the end.
    pub release_url: String,
    /// The function `heartbeat`, as machines reach it.
    pub control_url: String,
    /// How many toolboxes a user may have.
    pub max_toolboxes: u32,
    /// Most that all machines of a user may cost a month, in US dollars.
    pub max_user_price: u32,
    /// Most that one machine may cost a month, in US dollars.
    pub max_price: u32,
}

impl ProvisioningSettings {
    /// Whether machines may have this size.
    pub fn may_buy(&self, size: &Size) -> bool {
        size.available && size.price_monthly <= f64::from(self.max_price)
    }
}

/// The use cases, and what they need.
#[derive(Clone, Copy)]
pub struct Provisioning<'a> {
    /// The database.
    pub supabase: &'a Supabase,
    /// Where droplets are bought.
    pub digitalocean: &'a DigitalOcean,
    /// Time.
    pub clock: &'a dyn Clock,
    /// What the operator set.
    pub settings: &'a ProvisioningSettings,
}

/// What [`Provisioning`] borrows, for those who keep it.
pub struct Owned {
    /// The database.
    pub supabase: Arc<Supabase>,
    /// Where droplets are bought.
    pub digitalocean: DigitalOcean,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What the operator set.
    pub settings: ProvisioningSettings,
}

impl Owned {
    /// The use cases.
    pub fn get(&self) -> Provisioning<'_> {
        Provisioning {
            supabase: &self.supabase,
            digitalocean: &self.digitalocean,
            clock: &*self.clock,
            settings: &self.settings,
        }
    }
}

/// The error that callers see for one of DigitalOcean.
pub fn provider_error(error: &DigitalOceanError) -> ApiError {
    let api = match error {
        DigitalOceanError::Unauthorised => ApiError::with_message(
            ErrorCode::NotConfigured,
            "DigitalOcean refuses the token of this installation; its operator has to set DO_API_TOKEN",
        ),
        DigitalOceanError::RateLimited { .. } | DigitalOceanError::Unavailable(_) => {
            ApiError::new(ErrorCode::ProviderUnavailable)
        }
        DigitalOceanError::NotFound
        | DigitalOceanError::Refused { .. }
        | DigitalOceanError::Malformed { .. }
        | DigitalOceanError::TooMany => ApiError::new(ErrorCode::ProviderRefused),
    };
    api.caused_by(error)
}
