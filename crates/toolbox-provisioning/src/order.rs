//! A toolbox is ordered, and what is wanted of it later.

use toolbox_api::error::{ApiError, ErrorCode, ErrorDetails};
use toolbox_api::problem::FieldError;
use toolbox_clients::digitalocean::Size;
use toolbox_clients::supabase::provisioning::{
    Asked, OrderToolbox, Ordered as OrderedRow, TooDear, ToolboxChange,
};
use toolbox_domain::ids::{ToolboxId, UserId};

use crate::Provisioning;

/// A toolbox that is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropletOrder {
    /// What its owner calls it, from 1 to 255 characters without control characters.
    pub name: String,
    /// What its owner says of it.
    pub description: Option<String>,
    /// Slug of the region; the operator's default without one.
    pub region: Option<String>,
    /// Slug of the size; the operator's default without one.
    pub size: Option<String>,
    /// Slug of the image; the operator's default without one.
    pub image: Option<String>,
    /// Ordering again with the same key, by the same user, makes no second toolbox. Of 200 characters at most.
    pub key: Option<String>,
}

/// There is a row for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The toolbox.
    pub id: ToolboxId,
    /// It was made now; otherwise an earlier order had the same key.
    pub is_new: bool,
}

/// What is wanted of a toolbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That it goes, with its droplet.
    Deprovision,
    /// That what failed is tried again.
    Retry,
    /// Another size.
    Resize(String),
    /// A restart of the machine.
    Reboot,
    /// Another name.
    Rename(String),
    /// That somebody sees now whether its droplet is there.
    Look,
}

impl Provisioning<'_> {
    /// Writes that `owner` wants a toolbox. The steps make it.
    pub async fn order(
        &self,
        owner: UserId,
        order: &DropletOrder,
        request_id: Option<&str>,
    ) -> Result<Ordered, ApiError> {
        let settings = self.settings;
        let given = |asked: &Option<String>, default: &Option<String>, field: &str| {
            let value = asked.as_ref().or(default.as_ref());
            value
                .cloned()
                .ok_or_else(|| invalid(field, "required", "name one", Vec::new()))
        };
        let region = given(&order.region, &settings.default_region, "regionSlug")?;
        let size = given(&order.size, &settings.default_size, "sizeSlug")?;
        let image = order.image.as_ref().unwrap_or(&settings.default_image);
        let size = self.size(&size, &region).await?;
        self.check_image(image).await?;
        let row = OrderToolbox {
            user_id: owner,
            name: &order.name,
            description: order.description.as_deref(),
            order_key: order.key.as_deref(),
            max_toolboxes: settings.max_toolboxes,
            max_monthly_usd: settings.max_user_price,
            request_id,
            region_slug: &region,
            size_slug: &size.slug,
            image_slug: image,
            price_hourly_usd: size.price_hourly,
            price_monthly_usd: size.price_monthly,
        };
        match self.supabase.order_toolbox(&row).await? {
            OrderedRow::Ordered { id, is_new } => Ok(Ordered { id, is_new }),
            OrderedRow::TooMany(most) => Err(ApiError::with_message(
                ErrorCode::QuotaExceeded,
                format!("You have {most} toolboxes, which is as many as you may; remove one first"),
            )),
            OrderedRow::TooDear(told) => Err(too_dear(told)),
            OrderedRow::TooOften(most) => Err(ApiError::with_message(
                ErrorCode::QuotaExceeded,
                format!(
                    "You ordered {most} toolboxes in the last hour, which is as many as you may; wait, and order again"
                ),
            )),
            OrderedRow::NoUser => Err(ApiError::new(ErrorCode::Forbidden)),
        }
    }

    /// Writes what is wanted of a toolbox; of `owner`'s only where one is given. [`Provisioning::advance`] does it. Answers
    /// whether there is anything to do.
    pub async fn change(
        &self,
        toolbox: ToolboxId,
        owner: Option<UserId>,
        wish: &Wish,
        request_id: Option<&str>,
    ) -> Result<bool, ApiError> {
        let change = match wish {
            Wish::Deprovision => ToolboxChange::Deprovision,
            Wish::Retry => ToolboxChange::Retry,
            Wish::Reboot => ToolboxChange::Reboot,
            Wish::Rename(name) => ToolboxChange::Rename { name: name.clone() },
            Wish::Look => ToolboxChange::Look,
            Wish::Resize(slug) => {
                let row = self.supabase.any_toolbox(toolbox).await?;
                let region = row.and_then(|row| row.region_slug);
                let region = region.ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))?;
                let size = self.size(slug, &region).await?;
                ToolboxChange::Resize {
                    size_slug: size.slug,
                    price_hourly_usd: size.price_hourly,
                    price_monthly_usd: size.price_monthly,
                    max_monthly_usd: self.settings.max_user_price,
                }
            }
        };
        match self
            .supabase
            .ask_toolbox(toolbox, owner, &change, request_id)
            .await?
        {
            Asked::Accepted => Ok(true),
            Asked::Unchanged => Ok(false),
            Asked::NotFound => Err(ApiError::new(ErrorCode::ToolboxNotFound)),
            Asked::Byo => Err(ApiError::with_message(
                ErrorCode::IllegalState,
                "This is a machine that you brought; do this on the machine itself",
            )),
            Asked::Refused(status) => Err(ApiError::with_message(
                ErrorCode::IllegalState,
                format!("The toolbox is {status}, which does not allow this"),
            )),
            Asked::TooDear(told) => Err(too_dear(told)),
            Asked::TooOften(most) => Err(ApiError::with_message(
                ErrorCode::QuotaExceeded,
                format!(
                    "You asked for {most} changes of your machines in the last ten minutes, which is as many as you may; wait, and try again"
                ),
            )),
            Asked::InProgress => Err(ApiError::with_message(
                ErrorCode::OperationInProgress,
                "Another change of this toolbox is in progress; wait for its end",
            )),
        }
    }

    /// An image that anybody may have. The account's own ones, such as its snapshots, are nobody else's.
    async fn check_image(&self, slug: &str) -> Result<(), ApiError> {
        if slug == self.settings.default_image {
            return Ok(());
        }
        let images = self.images().await?;
        let mut slugs: Vec<String> = images.into_iter().filter_map(|image| image.slug).collect();
        if slugs.iter().any(|offered| offered == slug) {
            return Ok(());
        }
        slugs.sort();
        Err(invalid(
            "imageSlug",
            "unavailable",
            "is no distribution that machines can start from",
            slugs,
        ))
    }

    /// A size that machines in this region can have.
    async fn size(&self, slug: &str, region: &str) -> Result<Size, ApiError> {
        let sizes = self.sizes().await?;
        let offered =
            |size: &Size| self.settings.may_buy(size) && size.regions.iter().any(|r| r == region);
        let has_region = sizes.iter().any(offered);
        let mut offers: Vec<Size> = sizes.into_iter().filter(offered).collect();
        if !has_region {
            return Err(invalid(
                "regionSlug",
                "unavailable",
                "is no region where machines can be had now",
                Vec::new(),
            ));
        }
        match offers.iter().position(|size| size.slug == slug) {
            Some(at) => Ok(offers.swap_remove(at)),
            None => Err(invalid(
                "sizeSlug",
                "unavailable",
                "is no size that machines in this region can have now",
                offers.into_iter().map(|size| size.slug).collect(),
            )),
        }
    }
}

fn too_dear(TooDear { monthly, most }: TooDear) -> ApiError {
    ApiError::with_message(
        ErrorCode::QuotaExceeded,
        format!(
            "Your machines would cost {monthly:.2} US dollars a month, and may cost {most}; choose a smaller size, or remove one first"
        ),
    )
}

fn invalid(field: &str, code: &str, message: &str, allowed: Vec<String>) -> ApiError {
    ApiError {
        details: Some(Box::new(ErrorDetails {
            errors: vec![FieldError {
                field: field.to_owned(),
                code: code.to_owned(),
                message: message.to_owned(),
            }],
            allowed,
            ..ErrorDetails::default()
        })),
        ..ApiError::new(ErrorCode::ValidationFailed)
    }
}
