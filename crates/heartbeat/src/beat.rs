//! One heartbeat: checked here and recorded by the database in one round trip. Where it brings news, what to write of them is
//! decided here and recorded in a second one.

use serde::Deserialize as _;
use serde_json::Value;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::heartbeat::{
    Heartbeat, HeartbeatNumbers, HeartbeatResponse, InstanceReport, KeyPair, MAX_INSTANCES,
};
use toolbox_api::numbers::MAX_EXACT;
use toolbox_clients::supabase::heartbeat::{HeartbeatOutcome, Sender, Stored, ToolboxKey};
use toolbox_clients::supabase::rows::HeartbeatRef;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_edge::{Reply, RequestContext, reply};
use toolbox_instances::record_reports;

use crate::certificate::fingerprint;
use crate::keys::{self, Keys};
use crate::{presented, refused_field};

/// Records what the agent tells and answers with the digest of what should be.
pub(crate) async fn beat(cx: &RequestContext) -> Result<Reply, ApiError> {
    let toolbox_id = presented::toolbox(cx)?;
    let token_hash = presented::key_hash(cx)?;
    let heartbeat = read(cx).await?;
    check(&heartbeat)?;
    // What was read, and not what was sent: its texts are harmless.
    let body = serde_json::to_vec(&heartbeat).map_err(|error| ApiError::internal(&error))?;
    let recorded = cx
        .state
        .supabase
        .record_heartbeat(
            &Sender {
                toolbox_id,
                token_hash: &token_hash,
                root_id: &keys::root_id(&cx.state.config)?.to_string(),
                request_id: &cx.request_id,
            },
            &body,
        )
        .await?;
    let (mut desired_digest, unknown, news, missing, rotate_to_epoch) = match recorded {
        HeartbeatOutcome::Recorded {
            desired_digest,
            unknown,
            news,
            missing,
            rotate_to_epoch,
        } => (desired_digest, unknown, news, missing, rotate_to_epoch),
        HeartbeatOutcome::Unauthorized => {
            return Err(ApiError::new(ErrorCode::HeartbeatKeyInvalid));
        }
        HeartbeatOutcome::Replayed(accepted) => {
            let mut error = ApiError::new(ErrorCode::HeartbeatReplayed);
            error.details.get_or_insert_default().accepted = Some(accepted);
            return Err(error);
        }
        HeartbeatOutcome::CertificateChanged => {
            return Err(ApiError::new(ErrorCode::CertificateChanged));
        }
    };
    // When this fails, so does the heartbeat: the agent tells everything again with the next one.
    let heartbeat_ref = HeartbeatRef {
        toolbox_id,
        heartbeat: HeartbeatNumbers {
            boot: heartbeat.boot,
            sequence: heartbeat.sequence,
        },
    };
    let recorded = record_reports(
        &cx.state.supabase,
        &cx.request_id,
        heartbeat_ref,
        &heartbeat.instances,
        news,
        missing,
    )
    .await?;
    let failed: Vec<_> = recorded.failed.iter().map(|(id, _)| *id).collect();
    if let Some((_, first)) = recorded.failed.into_iter().next() {
        log_instances(cx, "record instance", &failed, &first.into());
    }
    if let Some(digest) = recorded.desired_digest {
        desired_digest = digest;
    }
    let new_keys = match rotate_to_epoch {
        None => None,
        // The heartbeat is recorded whatever becomes of the rotation; the next one asks for it again.
        Some(epoch) => match offer(cx, toolbox_id, epoch, &heartbeat).await {
            Ok(keys) => keys,
            Err(error) => {
                cx.state.log(&cx.request_id, "rotate keys", &error);
                None
            }
        },
    };
    reply::json(
        200,
        &HeartbeatResponse {
            desired_digest,
            unknown,
            new_keys,
        },
    )
}

/// The keys of `epoch`, which the database accepts beside the present ones once this is done. None when a later
/// heartbeat came between: its answer has them.
async fn offer(
    cx: &RequestContext,
    toolbox_id: ToolboxId,
    epoch: u32,
    heartbeat: &Heartbeat,
) -> Result<Option<KeyPair>, ApiError> {
    let keys = Keys::derive(&cx.state, toolbox_id, epoch)?;
    let stored = cx
        .state
        .supabase
        .offer_key(&ToolboxKey {
            toolbox_id,
            key_id: &keys.id(),
            token_hash: &keys.hash(),
            boot: Some(heartbeat.boot),
            sequence: Some(heartbeat.sequence),
        })
        .await?;
    Ok((stored == Stored::Stored).then(|| keys.reveal()))
}

/// The heartbeat. A report that cannot be read is logged and left out, so that it keeps those of
/// other instances from nothing. What is left is not `full`: an instance that it does not name may exist.
async fn read(cx: &RequestContext) -> Result<Heartbeat, ApiError> {
    let mut error: ApiError = match cx.json().await {
        Ok(heartbeat) => return Ok(heartbeat),
        Err(error) => error,
    };
    let Ok(Ok(Value::Object(mut body))) = cx.body().await.map(serde_json::from_slice) else {
        return Err(error);
    };
    let Some(Value::Array(reports)) = body.get_mut("instances") else {
        return Err(error);
    };
    let before = reports.len();
    let mut unreadable: Vec<ToolInstanceId> = Vec::new();
    reports.retain(|report| {
        let is_readable = InstanceReport::deserialize(report).is_ok();
        if !is_readable {
            let id = report.get("id").and_then(Value::as_str);
            unreadable.extend(id.and_then(|id| id.parse::<ToolInstanceId>().ok()));
        }
        is_readable
    });
    if reports.len() == before {
        return Err(error);
    }
    body.insert("full".to_owned(), false.into());
    let Ok(heartbeat) = Heartbeat::deserialize(Value::Object(body)) else {
        return Err(error);
    };
    error.cause = Some(error.message().to_owned());
    log_instances(cx, "read the report of instance", &unreadable, &error);
    Ok(heartbeat)
}

/// Logs what failed for these instances in one line, with the cause of the first. A machine may repeat it with every heartbeat.
fn log_instances(cx: &RequestContext, what: &str, ids: &[ToolInstanceId], first: &ApiError) {
    let ids = ids.iter().take(MAX_INSTANCES).map(ToString::to_string);
    let ids: Vec<_> = ids.collect();
    let what = format!("{what} {}", ids.join(", "));
    cx.state.log(&cx.request_id, what.trim_end(), first);
}

/// What the database would stumble over; one bad report must not hide why.
fn check(heartbeat: &Heartbeat) -> Result<(), ApiError> {
    presented::check_version(&heartbeat.version)?;
    presented::check_api_version(heartbeat.api_version)?;
    if heartbeat.instances.len() > MAX_INSTANCES {
        return Err(refused_field("instances", &Rule::TooManyInstances));
    }
    let mut ids: Vec<_> = heartbeat.instances.iter().map(|report| report.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refused_field("instances", &Rule::RepeatedInstance));
    }
    for (field, number) in [("boot", heartbeat.boot), ("sequence", heartbeat.sequence)] {
        if !(1..=MAX_EXACT).contains(&number) {
            return Err(refused_field(field, &Rule::NumberOutOfRange));
        }
    }
    if let Some(given) = &heartbeat.certificate_sha256
        && !(given.len() == 64
            && given
                .bytes()
                .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
    {
        return Err(refused_field("certificate_sha256", &Rule::NotAFingerprint));
    }
    if let Some(pem) = &heartbeat.certificate_pem {
        let computed =
            fingerprint(pem).map_err(|error| refused_field("certificate_pem", &error))?;
        if heartbeat.certificate_sha256.as_ref() != Some(&computed) {
            return Err(refused_field("certificate_sha256", &Rule::OtherFingerprint));
        }
    }
    Ok(())
}

/// A rule a heartbeat breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Rule {
    #[error("send at most {MAX_INSTANCES} instances in one heartbeat")]
    TooManyInstances,
    #[error("name each instance once")]
    RepeatedInstance,
    #[error("send numbers from 1 to 2^53 - 1")]
    NumberOutOfRange,
    #[error("expected 64 lower-case hexadecimal digits")]
    NotAFingerprint,
    #[error("expected the SHA-256 of certificate_pem")]
    OtherFingerprint,
}
