//! How toolboxes are provisioned, as the operator configured it: for edge functions, and for servers with the same variables.

use std::sync::Arc;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::digitalocean::DigitalOcean;
use toolbox_clients::supabase::Supabase;
use toolbox_http::{Clock, Transport};
use toolbox_provisioning::{Owned, ProvisioningSettings};

use crate::config::{Config, ConfigError};
use crate::context::FunctionState;

impl Config {
    /// What provisions toolboxes; refused, naming the variables, where it is not configured.
    pub fn provisioning_with(
        &self,
        supabase: Arc<Supabase>,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Owned, ApiError> {
        let shop = self.provisioning.as_ref().map_err(named)?;
        let settings = ProvisioningSettings {
            default_region: shop.default_region.clone(),
            default_size: shop.default_size.clone(),
            default_image: shop.default_image.clone(),
            ssh_keys: shop.ssh_keys.clone(),
            release_url: self.release_url.as_ref().map_err(named)?.clone(),
            control_url: self.control_url.as_ref().map_err(named)?.clone(),
            max_toolboxes: self.quotas.as_ref().map_err(named)?.max_toolboxes,
            max_user_price: self.quotas.as_ref().map_err(named)?.max_user_price,
            max_price: self.quotas.as_ref().map_err(named)?.max_price,
        };
        let digitalocean = DigitalOcean::new(
            transport,
            Arc::clone(&clock),
            &shop.digitalocean_url,
            &shop.digitalocean_token,
            self.upstream_timeout,
        );
        Ok(Owned {
            supabase,
            digitalocean,
            clock,
            settings,
        })
    }
}

impl FunctionState {
    /// The same for this function.
    pub fn provisioning(&self) -> Result<Owned, ApiError> {
        self.config.provisioning_with(
            Arc::clone(&self.supabase),
            Arc::clone(&self.transport),
            Arc::clone(&self.clock),
        )
    }
}

/// Operators read answers of a project that is being set up, so what they must set is in the message.
fn named(error: &ConfigError) -> ApiError {
    let names = error.0.join(", ");
    ApiError::with_message(
        ErrorCode::NotConfigured,
        format!("Machines cannot be bought here: the operator has to set {names}"),
    )
}
