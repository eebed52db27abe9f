//! Enrolment: a single-use token becomes the toolbox's keys.
//!
//! The database checks the token, pins the certificate and says which epoch the keys have; the keys are derived here,
//! and their hash is stored before they are handed out. An agent whose answer was lost asks again with the same
//! certificate and gets the same keys.

use toolbox_api::error::ErrorCode;
use toolbox_api::heartbeat::{DEFAULT_INTERVAL_SECONDS, EnrolRequest, EnrolResponse};
use toolbox_clients::supabase::heartbeat::{EnrolToolbox, Enrolled, Refusal, Stored, ToolboxKey};
use toolbox_edge::{ApiError, Cx, Reply, reply};

use crate::certificate::fingerprint;
use crate::keys::Keys;
use crate::{presented, refused_field};

/// Enrols the toolbox and answers with its keys.
pub(crate) async fn enrol(cx: &Cx) -> Result<Reply, ApiError> {
    let toolbox_id = presented::toolbox(cx)?;
    let token_hash = presented::token_hash(cx)?;
    let request: EnrolRequest = cx.json()?;
    presented::check_version(&request.version)?;
    let certificate_sha256 = fingerprint(&request.certificate_pem)
        .map_err(|error| refused_field("certificate_pem", &error))?;

    let supabase = &cx.app.supabase;
    let enrolled = supabase
        .enrol(&EnrolToolbox {
            toolbox_id,
            token_hash: &token_hash,
            certificate_pem: &request.certificate_pem,
            certificate_sha256: &certificate_sha256,
            version: &request.version,
            api_version: request.api_version,
        })
        .await
        .map_err(crate::database_failed)?;
    let epoch = match enrolled {
        Enrolled::Enrolled { epoch } => epoch,
        Enrolled::Refused(refusal) => return Err(ApiError::new(code(refusal))),
    };
    let keys = Keys::derive(&cx.app, toolbox_id, epoch)?;
    let stored = supabase
        .set_key(&ToolboxKey {
            toolbox_id,
            key_id: &keys.id(),
            token_hash: &keys.hash(),
            boot: None,
            sequence: None,
        })
        .await
        .map_err(crate::database_failed)?;
    if stored == Stored::Superseded {
        return Err(ApiError::new(ErrorCode::EnrolmentTokenUsed));
    }
    reply::json(
        200,
        &EnrolResponse {
            keys: keys.reveal(),
            interval_seconds: DEFAULT_INTERVAL_SECONDS,
        },
    )
}

const fn code(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::Unknown => ErrorCode::EnrolmentTokenInvalid,
        Refusal::Expired => ErrorCode::EnrolmentTokenExpired,
        Refusal::Used => ErrorCode::EnrolmentTokenUsed,
    }
}
