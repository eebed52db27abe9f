//! How this machine becomes the toolbox "local": once by a single-use token, made and used as for any other machine,
//! afterwards by what the agent and the row have kept of each other.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use toolbox_domain::keys::KeyId;
use uuid::Uuid;

use crate::db::Db;
use crate::dtma::KEPT_KEYS;
use crate::error::StackError;

/// Life of a token: the agent starts right after it is made.
const TOKEN_SECONDS: u32 = 600;
/// The agent's first heartbeat makes the toolbox active; it is sent as soon as Docker was looked at.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What the row knows of an agent whose heartbeat has come.
pub(crate) struct Enrolled {
    pub(crate) certificate_pem: String,
    pub(crate) key_epoch: u32,
}

/// Whether row and machine know each other already. Either may have been thrown away alone.
pub(crate) async fn is_done(db: &Db, toolbox: Uuid, state_dir: &Path) -> Result<bool, StackError> {
    let sql = "select dtma_certificate_pem is not null and dtma_token_hash is not null
        from public.account_tool_environments where id = $1::uuid";
    let row = db.row("reading the toolbox", sql, &[&toolbox]).await?;
    Ok(row.is_some_and(|row| row.get(0)) && state_dir.join(KEPT_KEYS).is_file())
}

/// Makes a token as an operator does: through PostgREST, with the secret key.
pub(crate) async fn token(
    url: &str,
    secret_key: &str,
    toolbox: Uuid,
) -> Result<String, StackError> {
    let failed = |output: String| StackError::Failed {
        name: "making an enrolment token".to_owned(),
        status: "no token".to_owned(),
        output,
    };
    let rpc = format!("{url}/rest/v1/rpc/create_toolbox_enrolment");
    let p = json!({ "p": { "toolbox_id": toolbox, "ttl_seconds": TOKEN_SECONDS } });
    let told = crate::probe::post(&rpc, secret_key, &p)
        .await
        .map_err(failed)?;
    // Everything but the token may be printed.
    match told["token"].as_str() {
        Some(token) => Ok(token.to_owned()),
        None => Err(failed(told.to_string())),
    }
}

/// The database's clock, to tell a new heartbeat from an old one.
pub(crate) async fn moment(db: &Db) -> Result<std::time::SystemTime, StackError> {
    let row = db
        .row("reading the clock", "select clock_timestamp()", &[])
        .await?;
    row.map(|row| row.get(0)).ok_or(StackError::Stopping)
}

/// Waits for a heartbeat after `since` that leaves the toolbox active.
pub(crate) async fn active(
    db: &Db,
    toolbox: Uuid,
    since: std::time::SystemTime,
) -> Result<Enrolled, StackError> {
    let sql = "select status::text, coalesce(last_heartbeat_at > $2::timestamptz, false), dtma_certificate_pem,
        dtma_key_id from public.account_tool_environments where id = $1::uuid";
    let limit = Instant::now() + HEARTBEAT_LIMIT;
    loop {
        let row = db
            .row("waiting for a heartbeat", sql, &[&toolbox, &since])
            .await?;
        let Some(row) = row else {
            return Err(StackError::Stopping);
        };
        let status: String = row.get(0);
        if let ("active", true, Some(certificate_pem)) = (&*status, row.get(1), row.get(2)) {
            let key_id: Option<String> = row.get(3);
            let key_epoch = key_id
                .and_then(|id| id.parse::<KeyId>().ok())
                .map_or(0, |id| id.epoch);
            return Ok(Enrolled {
                certificate_pem,
                key_epoch,
            });
        }
        if Instant::now() > limit {
            return Err(StackError::NoHeartbeat {
                status,
                limit: HEARTBEAT_LIMIT,
            });
        }
        sleep(LOOK_EVERY).await;
    }
}
