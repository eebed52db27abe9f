//! Enrolment: a single-use token becomes the toolbox's keys.
//!
//! The database checks the token, pins the certificate and says which epoch the keys have; the keys are derived here,
//! and their hash is stored before they are handed out. An agent whose answer was lost asks again with the same
//! certificate and gets the same keys.

use std::net::IpAddr;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::heartbeat::{DEFAULT_INTERVAL_SECONDS, EnrolRequest, EnrolResponse};
use toolbox_clients::supabase::heartbeat::{EnrolToolbox, Enrolled, Refusal, Stored, ToolboxKey};
use toolbox_edge::{Reply, RequestContext, reply};
use toolbox_ssh::authority::Authority;
use toolbox_ssh::host_key::HostKey;

use crate::certificate::fingerprint;
use crate::keys::Keys;
use crate::{presented, refused_field};

/// Keys that were superseded before they were stored are derived anew this often.
const ATTEMPTS: usize = 3;

/// No server listens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a port from 1 to 65535")]
struct NotAPort;

/// Enrols the toolbox and answers with its keys.
pub(crate) async fn enrol(cx: &RequestContext) -> Result<Reply, ApiError> {
    let toolbox_id = presented::toolbox(cx)?;
    let token_hash = presented::token_hash(cx)?;
    let request: EnrolRequest = cx.json().await?;
    presented::check_version(&request.version)?;
    presented::check_api_version(request.api_version)?;
    let certificate_sha256 = fingerprint(&request.certificate_pem)
        .map_err(|error| refused_field("certificate_pem", &error))?;
    if let Some(key) = &request.ssh_host_key {
        key.parse::<HostKey>()
            .map_err(|error| refused_field("ssh_host_key", &error))?;
    }
    if request.ssh_port == Some(0) {
        return Err(refused_field("ssh_port", &NotAPort));
    }
    let ssh_ca_public_key = ssh_ca(cx)?.map(|authority| authority.public_key());

    let enrolment = EnrolToolbox {
        toolbox_id,
        token_hash: &token_hash,
        certificate_pem: &request.certificate_pem,
        certificate_sha256: &certificate_sha256,
        version: &request.version,
        api_version: request.api_version,
        ssh_host_key: request.ssh_host_key.as_deref(),
        ssh_port: request.ssh_port,
        address: came_from(cx)?,
    };
    for _ in 0..ATTEMPTS {
        if let Some(keys) = attempt(cx, &enrolment).await? {
            let answer = EnrolResponse {
                keys: keys.reveal(),
                interval_seconds: DEFAULT_INTERVAL_SECONDS,
                ssh_ca_public_key,
            };
            return reply::json(200, &answer);
        }
    }
    Err(ApiError::with_message(
        ErrorCode::StateChanged,
        "The toolbox's keys were changed meanwhile; enrol again",
    ))
}

/// The address that the enrolment came from, where machines may be there. The functions call it, so it must be a public one,
/// or one that the operator lists.
fn came_from(cx: &RequestContext) -> Result<Option<IpAddr>, ApiError> {
    let allowed = cx.state.config.allowed_machines.as_ref()?;
    let is_allowed = |address: &IpAddr| allowed.check_ip(*address, None).is_ok();
    Ok(cx.forwarded_for().filter(is_allowed))
}

/// The authority that machines trust, where there is one.
fn ssh_ca(cx: &RequestContext) -> Result<Option<Authority>, ApiError> {
    let Some(key) = &cx.state.config.ssh_ca_key else {
        return Ok(None);
    };
    Authority::parse(key)
        .map(Some)
        .map_err(|error| ApiError::new(ErrorCode::NotConfigured).caused_by(&error))
}

/// The keys, once their hash is stored. None when a rotation or another enrolment came between: asking again then
/// gives the newer epoch, or the reason why not.
async fn attempt(
    cx: &RequestContext,
    enrolment: &EnrolToolbox<'_>,
) -> Result<Option<Keys>, ApiError> {
    let supabase = &cx.state.supabase;
    let epoch = match supabase.enrol(enrolment).await? {
        Enrolled::Enrolled { epoch } => epoch,
        Enrolled::Refused(refusal) => return Err(ApiError::new(code(refusal))),
    };
    let keys = Keys::derive(&cx.state, enrolment.toolbox_id, epoch)?;
    let key = ToolboxKey {
        toolbox_id: enrolment.toolbox_id,
        key_id: &keys.id(),
        token_hash: &keys.hash(),
        boot: None,
        sequence: None,
    };
    let stored = supabase.set_key(&key).await?;
    Ok((stored == Stored::Stored).then_some(keys))
}

const fn code(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::Unknown => ErrorCode::EnrolmentTokenInvalid,
        Refusal::Expired => ErrorCode::EnrolmentTokenExpired,
        Refusal::Used => ErrorCode::EnrolmentTokenUsed,
    }
}
