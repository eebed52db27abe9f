//! Machines that users bring.

use std::net::IpAddr;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::problem::FieldError;
use toolbox_api::toolboxes::{
    CreateToolboxRequest, ENROLMENT_SECONDS, Enrolment, MAX_DESCRIPTION_CHARS, ToolboxEnrolment,
    ToolboxKind, UpdateToolboxRequest,
};
use toolbox_clients::supabase::toolboxes::{CreateOwnToolbox, ToolboxRow, UpdateOwnToolbox};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::names::DisplayName;
use toolbox_edge::reply::Body;
use toolbox_edge::{Reply, RequestContext, reply};

use crate::routes::{find, read, shown};
use crate::view::view;

/// Makes the toolbox, and tells how its machine joins.
pub(crate) async fn create(cx: &RequestContext) -> Result<Reply, ApiError> {
    let body: CreateToolboxRequest = cx.json().await?;
    let mut errors = Vec::new();
    check_texts(Some(&body.name), body.description.as_deref(), &mut errors);
    if body.kind != Some(ToolboxKind::Byo) {
        errors.push(field(
            "kind",
            "not_offered",
            "Give byo: machines cannot be bought here",
        ));
    }
    check_address(cx, body.address, &mut errors)?;
    if !errors.is_empty() {
        return Err(ApiError::validation(errors));
    }
    // Before anything is made: without it nobody could join.
    release_url(cx)?;
    let quotas = cx.state.config.quotas.as_ref()?;
    let wanted = CreateOwnToolbox {
        user_id: cx.caller()?.user,
        name: &body.name,
        description: body.description.as_deref(),
        address: body.address,
        max_toolboxes: quotas.max_toolboxes,
    };
    let made = cx.state.supabase.create_own_toolbox(&wanted).await?;
    let id = made.ok_or_else(|| {
        let most = quotas.max_toolboxes;
        ApiError::with_message(
            ErrorCode::QuotaExceeded,
            format!("You have {most} toolboxes, which is as many as you may; remove one first"),
        )
    })?;
    join(cx, id).await
}

/// Tells anew how the machine joins.
pub(crate) async fn enrol(cx: &RequestContext) -> Result<Reply, ApiError> {
    let row = find(cx).await?;
    only_own(&row, "Only a machine that you bring joins by a command")?;
    join(cx, row.toolbox.id).await
}

async fn join(cx: &RequestContext, id: ToolboxId) -> Result<Reply, ApiError> {
    let release_url = release_url(cx)?;
    let created = cx
        .state
        .supabase
        .create_enrolment(id, ENROLMENT_SECONDS)
        .await?;
    let made = created.ok_or_else(|| ApiError::new(ErrorCode::ToolboxNotFound))?;
    let row = read(cx, id).await?;
    let control_url = format!("{}/functions/v1/heartbeat", cx.state.config.public_url);
    let answer = ToolboxEnrolment {
        toolbox: view(cx.state.clock.now(), &row),
        enrolment: Enrolment {
            command: command(&release_url, &made.token, id, &control_url),
            expires_at: made.expires_at,
        },
    };
    reply::json(201, &answer)
}

/// The command for a shell of root. The token is a variable of the installer, which other users of the machine cannot read;
/// an argument they could.
fn command(release_url: &str, token: &str, id: ToolboxId, control_url: &str) -> String {
    let installer = quoted(&format!("{release_url}/install.sh"));
    let (release_url, token, control_url) =
        (quoted(release_url), quoted(token), quoted(control_url));
    format!(
        "curl -fsSL {installer} | TOOLBOX_RELEASE_URL={release_url} TOOLBOX_ENROLMENT_TOKEN={token} \
         sh -s -- --toolbox {id} --control-url {control_url}"
    )
}

/// A text as one word of a shell's command.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
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
        only_own(&row, "The address of a bought machine is DigitalOcean's")?;
    }
    let id = row.toolbox.id;
    let said = UpdateOwnToolbox {
        toolbox_id: id,
        user_id: cx.caller()?.user,
        name: body.name.as_deref(),
        description,
        address: body.address,
    };
    if !cx.state.supabase.update_own_toolbox(&said).await? {
        return Err(ApiError::new(ErrorCode::ToolboxNotFound));
    }
    shown(cx, &*read(cx, id).await?)
}

/// Forgets the machine. It is told nothing any more, and its tools run on until it is uninstalled.
pub(crate) async fn remove(cx: &RequestContext) -> Result<Reply, ApiError> {
    let row = find(cx).await?;
    let user = cx.caller()?.user;
    let supabase = &cx.state.supabase;
    if supabase.delete_own_toolbox(row.toolbox.id, user).await? {
        Ok(Reply::new(204, Body::Empty))
    } else {
        Err(ApiError::new(ErrorCode::ToolboxNotFound))
    }
}

fn only_own(row: &ToolboxRow, why: &str) -> Result<(), ApiError> {
    match row.kind {
        ToolboxKind::Byo => Ok(()),
        ToolboxKind::Droplet => Err(ApiError::with_message(ErrorCode::IllegalState, why)),
    }
}

fn release_url(cx: &RequestContext) -> Result<String, ApiError> {
    cx.state.config.release_url.clone().map_err(|_| {
        ApiError::with_message(
            ErrorCode::NotConfigured,
            "The operator has not said where machines fetch the installer: set TOOLBOX_RELEASE_URL to https://...",
        )
    })
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
