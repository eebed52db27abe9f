//! Machines that users bring.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::toolboxes::{
    CreateToolboxRequest, ENROLMENT_SECONDS, Enrolment, ToolboxEnrolment, ToolboxKind,
};
use toolbox_clients::supabase::toolboxes::{CreateOwnToolbox, Created, ToolboxRow};
use toolbox_domain::ids::ToolboxId;
use toolbox_edge::{Reply, RequestContext, reply};
use toolbox_provisioning::view::view;

use crate::routes::{find, read};

/// Makes the toolbox, and tells how its machine joins.
pub(crate) async fn create(
    cx: &RequestContext,
    body: &CreateToolboxRequest,
) -> Result<Reply, ApiError> {
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
    match made {
        Created::Created(id) => join(cx, id).await,
        Created::TooMany(most) => Err(ApiError::with_message(
            ErrorCode::QuotaExceeded,
            format!("You have {most} toolboxes, which is as many as you may; remove one first"),
        )),
    }
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
    let control_url = cx.state.config.control_url.as_ref()?;
    let answer = ToolboxEnrolment {
        toolbox: view(cx.state.clock.now(), &row),
        enrolment: Enrolment {
            command: command(&release_url, &made.token, id, control_url),
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

pub(crate) fn only_own(row: &ToolboxRow, why: &str) -> Result<(), ApiError> {
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
