//! The demo user and the toolbox "local" that this machine is.

use serde_json::json;
use uuid::Uuid;

use crate::auth::Store;
use crate::db::Db;
use crate::error::StackError;

pub(crate) const EMAIL: &str = "demo@toolbox.local";

/// Makes the demo user unless there is one; its id.
pub(crate) async fn user(db: &Db, password: &str) -> Result<Uuid, StackError> {
    let store = Store::new(db.clone());
    if let Some(made) = store
        .create_user(EMAIL, password, &json!({ "name": "Demo" }))
        .await?
    {
        return Ok(made);
    }
    let sql = "select id from auth.users where email = $1::text";
    let row = db.row("reading the demo user", sql, &[&EMAIL]).await?;
    row.map(|row| row.get(0)).ok_or(StackError::Stopping)
}

/// How far the toolbox's row is led; the rest is the agent's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The machine exists; an agent that enrols goes on from here.
    Provisioned,
    /// All the way, for an agent that neither enrols nor sends heartbeats.
    Active,
}

/// Makes the toolbox's row and leads it along legal transitions. False when there is no such table: the project's
/// migrations do not make one.
pub(crate) async fn toolbox(
    db: &Db,
    id: Uuid,
    owner: Uuid,
    port: u16,
    until: Until,
) -> Result<bool, StackError> {
    let what = "registering the toolbox";
    let exists = "select to_regclass('public.account_tool_environments') is not null";
    if !db
        .row(what, exists, &[])
        .await?
        .is_some_and(|row| row.get(0))
    {
        return Ok(false);
    }
    let insert =
        "insert into public.account_tool_environments (id, user_id, name, description, public_ip_address, dtma_port)
        values ($1::uuid, $2::uuid, 'local', 'This machine', '127.0.0.1', $3::int)
        on conflict (id) do update set public_ip_address = excluded.public_ip_address, dtma_port = excluded.dtma_port";
    db.rows(what, insert, &[&id, &owner, &i32::from(port)])
        .await?;
    if until == Until::Active {
        // It proves itself by the key alone, and speaks plain HTTP.
        let forget = "update public.account_tool_environments set dtma_certificate_pem = null, dtma_key_id = null
            where id = $1::uuid and (dtma_certificate_pem is not null or dtma_key_id is not null)";
        db.rows(what, forget, &[&id]).await?;
    }
    let steps = [
        ("pending_provision", "provisioning"),
        ("provisioning", "awaiting_heartbeat"),
        ("awaiting_heartbeat", "active"),
        ("unresponsive", "active"),
    ];
    for (from, to) in &steps[..if until == Until::Active { 4 } else { 1 }] {
        let step =
            "update public.account_tool_environments set status = $3::text::public.account_tool_environment_status_enum
            where id = $1::uuid and status = $2::text::public.account_tool_environment_status_enum";
        db.rows(what, step, &[&id, from, to]).await?;
    }
    Ok(true)
}

/// Signs the demo user in through the front door, which proves that it is open; the access token.
pub(crate) async fn sign_in(url: &str, key: &str, password: &str) -> Result<String, StackError> {
    let failed = |output: String| StackError::Failed {
        name: "sign-in".to_owned(),
        status: "no token".to_owned(),
        output,
    };
    let door = format!("{url}/auth/v1/token?grant_type=password");
    let told = crate::probe::post(&door, key, &json!({ "email": EMAIL, "password": password }))
        .await
        .map_err(failed)?;
    match told["access_token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => Err(failed(told.to_string())),
    }
}
