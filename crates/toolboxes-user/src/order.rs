//! A toolbox is wanted, described anew, or not wanted any more: whichever kind it is.

use std::net::IpAddr;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::problem::FieldError;
use toolbox_api::toolboxes::{
    CreateToolboxRequest, MAX_DESCRIPTION_CHARS, ToolboxKind, UpdateToolboxRequest,
};
use toolbox_clients::supabase::toolboxes::UpdateOwnToolbox;
use toolbox_domain::names::DisplayName;
use toolbox_edge::reply::Body;
use toolbox_edge::{Reply, RequestContext};
use toolbox_provisioning::Wish;

use crate::routes::{find, read, shown};
use crate::{bought, own};

/// Makes a toolbox.
pub(crate) async fn create(cx: &RequestContext) -> Result<Reply, ApiError> {
    let body: CreateToolboxRequest = cx.json().await?;
    let mut errors = Vec::new();
    check_texts(Some(&body.name), body.description.as_deref(), &mut errors);
    let slugs = [&body.region_slug, &body.size_slug, &body.image_slug];
    let names_machine = slugs.iter().any(|slug| slug.is_some());
    let kind = body.kind.or(names_machine.then_some(ToolboxKind::Droplet));
    match kind {
        None => errors.push(field(
            "kind",
            "required",
            "give byo for a machine that you bring, or droplet for one that is bought",
        )),
        Some(ToolboxKind::Byo) if names_machine => errors.push(field(
            "kind",
            "invalid",
            "a machine that you bring has no region, size or image here",
        )),
        Some(ToolboxKind::Droplet) if body.address.is_some() => errors.push(field(
            "address",
            "invalid",
            "a bought machine gets its address from DigitalOcean",
        )),
        Some(_) => {}
    }
    check_address(cx, body.address, &mut errors)?;
    if !errors.is_empty() {
        return Err(ApiError::validation(errors));
    }
    match kind {
        Some(ToolboxKind::Droplet) => bought::order(cx, body).await,
        _ => own::create(cx, &body).await,
    }
}

/// Writes what the owner says of a toolbox.
pub(crate) async fn update(cx: &RequestContext) -> Result<Reply, ApiError> {
    let body: UpdateToolboxRequest = cx.json().await?;
    let mut errors = Vec::new();
    let description = body.description.as_ref().map(Option::as_deref);
    check_texts(body.name.as_deref(), description.flatten(), &mut errors);
    check_address(cx, body.address.flatten(), &mut errors)?;
    if !errors.is_empty() {
        return Err(ApiError::validation(errors));
    }
    let row = find(cx).await?;
    if body.address.is_some() {
        own::only_own(&row, "The address of a bought machine is DigitalOcean's")?;
    }
    let mut name = body.name.as_deref();
    if row.kind == ToolboxKind::Droplet
        && let Some(new) = name.take()
    {
        // Its machine has the name, too.
        bought::ask(cx, &row, &Wish::Rename(new.to_owned())).await?;
    }
    let id = row.toolbox.id;
    let said = UpdateOwnToolbox {
        toolbox_id: id,
        user_id: cx.caller()?.user,
        name,
        description,
        address: body.address,
    };
    if !cx.state.supabase.update_own_toolbox(&said).await? {
        return Err(ApiError::new(ErrorCode::ToolboxNotFound));
    }
    shown(cx, 200, &*read(cx, id).await?)
}

/// Removes a bought machine; forgets one that the user brought, which is told nothing any more, and whose tools run on until it
/// is uninstalled.
pub(crate) async fn remove(cx: &RequestContext) -> Result<Reply, ApiError> {
    let row = find(cx).await?;
    if row.kind == ToolboxKind::Droplet {
        return bought::remove(cx, &row).await;
    }
    let user = cx.caller()?.user;
    let supabase = &cx.state.supabase;
    if supabase.delete_own_toolbox(row.toolbox.id, user).await? {
        Ok(Reply::new(204, Body::Empty))
    } else {
        Err(ApiError::new(ErrorCode::ToolboxNotFound))
    }
}

fn check_texts(name: Option<&str>, description: Option<&str>, errors: &mut Vec<FieldError>) {
    if let Some(Err(error)) = name.map(DisplayName::parse) {
        errors.push(field("name", error.code(), &error.to_string()));
    }
    let is_text =
        |text: &str| text.chars().nth(MAX_DESCRIPTION_CHARS).is_none() && !text.contains('\0');
    if !description.is_none_or(is_text) {
        let rule = format!("expected at most {MAX_DESCRIPTION_CHARS} characters, none of them NUL");
        errors.push(field("description", "invalid", &rule));
    }
}

/// The functions call the address, so it must be a public one, or one that the operator lists.
fn check_address(
    cx: &RequestContext,
    address: Option<IpAddr>,
    errors: &mut Vec<FieldError>,
) -> Result<(), ApiError> {
    let allowed = cx.state.config.allowed_machines.as_ref()?;
    if let Some(Err(why)) = address.map(|address| allowed.check_ip(address, None)) {
        let rule = format!("expected a public address; this is {why}");
        errors.push(field("address", "address_not_public", &rule));
    }
    Ok(())
}

fn field(field: &str, code: &str, message: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        code: code.to_owned(),
        message: message.to_owned(),
    }
}
