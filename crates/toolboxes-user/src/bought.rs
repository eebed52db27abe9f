//! Machines that are bought. A wish is written and begun before it is answered; whoever has time takes the steps after that: this
//! function in the background, a heartbeat, the clock, or a backend.

use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::toolboxes::{
    CreateToolboxRequest, RegionOption, ResizeToolboxRequest, SizeOption, ToolboxOptions,
};
use toolbox_clients::supabase::toolboxes::ToolboxRow;
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Reply, RequestContext, reply};
use toolbox_provisioning::{DropletOrder, Owned, Wish};

use crate::routes::{find, read, shown};

/// Names this worker in rows.
const HOLDER: &str = "toolboxes-user";
/// How long steps are taken after the answer, if the platform lets it: within the shortest life of a worker.
const BACKGROUND: Duration = Duration::from_secs(100);

/// Orders a machine. 202 while it is made.
pub(crate) async fn order(
    cx: &RequestContext,
    body: CreateToolboxRequest,
) -> Result<Reply, ApiError> {
    let wait = cx.wait()?.unwrap_or_default();
    let key = cx.idempotency_key()?.map(order_key).transpose()?;
    let provisioning = cx.state.provisioning()?;
    let order = DropletOrder {
        name: body.name,
        description: body.description,
        region: body.region_slug,
        size: body.size_slug,
        image: body.image_slug,
        key,
    };
    let user = cx.caller()?.user;
    let ordered = provisioning
        .get()
        .order(user, &order, Some(&cx.request_id))
        .await?;
    begin(cx, provisioning, ordered.id, wait).await?;
    let row = read(cx, ordered.id).await?;
    let is_ready = row.toolbox.status == "active";
    shown(cx, if is_ready { 201 } else { 202 }, &row)
}

/// A key of the user's is none of ours, such as those of agents; rows hold 200 characters.
fn order_key(key: &str) -> Result<String, ApiError> {
    if key.len() > 190 {
        return Err(ApiError::with_message(
            ErrorCode::InvalidRequest,
            "Give an Idempotency-Key of at most 190 characters",
        ));
    }
    Ok(format!("user-{key}"))
}

/// Asks for another size.
pub(crate) async fn resize(cx: &RequestContext) -> Result<Reply, ApiError> {
    let body: ResizeToolboxRequest = cx.json().await?;
    wish(cx, Wish::Resize(body.size_slug)).await
}

/// Writes the wish and begins it.
pub(crate) async fn wish(cx: &RequestContext, wish: Wish) -> Result<Reply, ApiError> {
    let row = find(cx).await?;
    ask(cx, &row, &wish).await?;
    shown(cx, 202, &*read(cx, row.toolbox.id).await?)
}

/// Asks for the end of a machine. 204 when it is gone already.
pub(crate) async fn remove(cx: &RequestContext, row: &ToolboxRow) -> Result<Reply, ApiError> {
    ask(cx, row, &Wish::Deprovision).await?;
    let token = &cx.caller()?.token;
    let supabase = &cx.state.supabase;
    match supabase.own_toolbox(token, row.toolbox.id).await? {
        Some(row) => shown(cx, 202, &row),
        None => Ok(Reply::new(204, reply::Body::Empty)),
    }
}

/// Writes what is wanted of a toolbox of the caller's, and takes the first step.
pub(crate) async fn ask(
    cx: &RequestContext,
    row: &ToolboxRow,
    wish: &Wish,
) -> Result<(), ApiError> {
    let provisioning = cx.state.provisioning()?;
    let owner = Some(cx.caller()?.user);
    let id = row.toolbox.id;
    let request_id = Some(&*cx.request_id);
    provisioning
        .get()
        .change(id, owner, wish, request_id)
        .await?;
    begin(cx, provisioning, id, Duration::ZERO).await
}

/// Sees whether the droplet is there, and how far what is under way is.
pub(crate) async fn look(cx: &RequestContext, row: &ToolboxRow) -> Result<(), ApiError> {
    let provisioning = cx.state.provisioning()?;
    let id = row.toolbox.id;
    let request_id = Some(&*cx.request_id);
    let shop = provisioning.get();
    shop.change(id, None, &Wish::Look, request_id).await?;
    shop.advance(id, HOLDER, Duration::ZERO).await?;
    Ok(())
}

/// Takes the steps that are due now or within `wait`, and goes on after the answer. What fails in a step is in the row.
async fn begin(
    cx: &RequestContext,
    provisioning: Owned,
    id: ToolboxId,
    wait: Duration,
) -> Result<(), ApiError> {
    // The wish is in the row: whatever fails from here on, somebody goes on with it.
    if let Err(error) = provisioning.get().follow(id, HOLDER, wait).await {
        cx.state.log(&cx.request_id, "begin", &error);
    }
    cx.state.host.background(Box::pin(async move {
        // What it could not write, others find: the row is due again when the lease ends.
        let _ = provisioning.get().advance(id, HOLDER, BACKGROUND).await;
    }));
    Ok(())
}

/// What can be bought now.
pub(crate) async fn options(cx: &RequestContext) -> Result<Reply, ApiError> {
    cx.caller()?;
    let provisioning = cx.state.provisioning()?;
    let shop = provisioning.get();
    let (regions, sizes) = futures_util::future::join(shop.regions(), shop.sizes()).await;
    let sizes = sizes?;
    let regions: Vec<RegionOption> = regions?
        .into_iter()
        .filter(|region| region.available)
        .map(|region| RegionOption {
            slug: region.slug,
            name: region.name,
        })
        .collect();
    let mut sizes: Vec<SizeOption> = sizes
        .into_iter()
        .filter(|size| provisioning.settings.may_buy(size) && !size.regions.is_empty())
        .map(|size| SizeOption {
            slug: size.slug,
            description: size.description,
            vcpus: size.vcpus,
            memory_mib: size.memory,
            disk_gib: size.disk,
            price_monthly_usd: size.price_monthly,
            price_hourly_usd: size.price_hourly,
            regions: size.regions,
        })
        .collect();
    sizes.sort_by(|a, b| a.price_monthly_usd.total_cmp(&b.price_monthly_usd));
    let settings = &provisioning.settings;
    let answer = ToolboxOptions {
        regions,
        sizes,
        default_region_slug: settings.default_region.clone(),
        default_size_slug: settings.default_size.clone(),
        default_image_slug: settings.default_image.clone(),
    };
    reply::json(200, &answer)
}
