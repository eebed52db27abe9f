//! The functions of the database behind enrolment and heartbeats. All carry the secret key: an agent is no user, and
//! what it presents is compared inside them.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use toolbox_api::heartbeat::HeartbeatNumbers;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_http::Response;

use super::rows::ReadRow;
use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// Argument of `enrol_toolbox`.
#[derive(Clone, Debug, Serialize)]
pub struct EnrolToolbox<'a> {
    /// The toolbox.
    pub toolbox_id: ToolboxId,
    /// Hash of the enrolment token.
    pub token_hash: &'a str,
    /// The certificate to pin.
    pub certificate_pem: &'a str,
    /// SHA-256 of its DER form, in hexadecimal.
    pub certificate_sha256: &'a str,
    /// Version of the agent's program.
    pub version: &'a str,
    /// Version of the agent's API.
    pub api_version: u32,
    /// SSH host key of the machine, as it is stored.
    pub ssh_host_key: Option<&'a str>,
    /// Port of its sshd; the usual one when absent.
    pub ssh_port: Option<u16>,
    /// Where the enrolment came from: the machine's address, unless one is known.
    pub address: Option<IpAddr>,
}

/// Answer of `enrol_toolbox`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enrolled {
    /// The token was good, or used before with this very certificate.
    Enrolled {
        /// Epoch of the keys to hand out.
        epoch: u32,
    },
    /// It was not; this is why.
    Refused(Refusal),
}

/// Why a token enrols nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token of this toolbox.
    Unknown,
    /// Its time is over.
    Expired,
    /// It was used with another certificate.
    Used,
}

#[derive(Deserialize)]
struct EnrolledWire {
    outcome: String,
    reason: Option<String>,
    epoch: Option<u32>,
}

impl EnrolledWire {
    fn read(self) -> Option<Enrolled> {
        Some(match (self.outcome.as_str(), self.reason.as_deref()) {
            ("enrolled", _) => Enrolled::Enrolled { epoch: self.epoch? },
            ("refused", Some("unknown")) => Enrolled::Refused(Refusal::Unknown),
            ("refused", Some("expired")) => Enrolled::Refused(Refusal::Expired),
            ("refused", Some("used")) => Enrolled::Refused(Refusal::Used),
            _ => return None,
        })
    }
}

/// Argument of `set_toolbox_key`, and with a heartbeat's number of `offer_toolbox_key`.
#[derive(Clone, Debug, Serialize)]
pub struct ToolboxKey<'a> {
    /// The toolbox.
    pub toolbox_id: ToolboxId,
    /// What the keys were derived from.
    pub key_id: &'a str,
    /// Hash of the key that the agent will present.
    pub token_hash: &'a str,
    /// Boot of the heartbeat the key is offered in answer to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<u64>,
    /// Its sequence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
}

/// Whether a key may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// Its hash is stored.
    Stored,
    /// Another enrolment or heartbeat came between: nobody must learn the key.
    Superseded,
}

/// What `record_heartbeat` takes beside the heartbeat itself.
#[derive(Clone, Debug)]
pub struct Sender<'a> {
    /// The toolbox it says it is.
    pub toolbox_id: ToolboxId,
    /// Hash of the key it presented.
    pub token_hash: &'a str,
    /// Fingerprint of the current root secret.
    pub root_id: &'a str,
    /// The request, for the event log.
    pub request_id: &'a str,
}

/// Answer of `record_heartbeat`.
#[derive(Clone, Debug)]
pub enum HeartbeatOutcome {
    /// Recorded.
    Recorded {
        /// Digest of the desired state.
        desired_digest: String,
        /// Instances of the heartbeat that are not the toolbox's.
        unknown: Vec<ToolInstanceId>,
        /// Rows of instances whose reports may change them.
        news: Vec<ReadRow>,
        /// Rows of instances that it should name and does not.
        missing: Vec<ReadRow>,
        /// The agent is to get the keys of this epoch.
        rotate_to_epoch: Option<u32>,
    },
    /// Unknown toolbox and wrong key alike.
    Unauthorized,
    /// This heartbeat or a later one was recorded before: the last that was.
    Replayed(HeartbeatNumbers),
    /// The certificate is not the enrolled one.
    CertificateChanged,
}

#[derive(Deserialize)]
struct HeartbeatWire {
    outcome: String,
    desired_digest: Option<String>,
    #[serde(default)]
    unknown: Vec<ToolInstanceId>,
    #[serde(default)]
    news: Vec<ReadRow>,
    #[serde(default)]
    missing: Vec<ReadRow>,
    rotate_to_epoch: Option<u32>,
    boot: Option<u64>,
    sequence: Option<u64>,
}

impl HeartbeatWire {
    fn read(self) -> Option<HeartbeatOutcome> {
        Some(match self.outcome.as_str() {
            "recorded" => HeartbeatOutcome::Recorded {
                desired_digest: self.desired_digest?,
                unknown: self.unknown,
                news: self.news,
                missing: self.missing,
                rotate_to_epoch: self.rotate_to_epoch,
            },
            "unauthorized" => HeartbeatOutcome::Unauthorized,
            "replayed" => HeartbeatOutcome::Replayed(HeartbeatNumbers {
                boot: self.boot?,
                sequence: self.sequence?,
            }),
            "certificate_changed" => HeartbeatOutcome::CertificateChanged,
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
struct Outcome {
    outcome: String,
}

impl Supabase {
    /// Enrols a toolbox by its token. Asking again with the same certificate gives the same answer.
    pub async fn enrol(&self, p: &EnrolToolbox<'_>) -> Result<Enrolled, DatabaseError> {
        let answer = self.call("enrol_toolbox", &argument(p)).await?;
        parse::<EnrolledWire>(&answer)?
            .read()
            .ok_or_else(|| unexpected(&answer))
    }

    /// Stores which key the agent will present from now on, after an enrolment.
    pub async fn set_key(&self, p: &ToolboxKey<'_>) -> Result<Stored, DatabaseError> {
        stored(&self.call("set_toolbox_key", &argument(p)).await?)
    }

    /// Stores which key the agent may present beside the one it has, for a rotation.
    pub async fn offer_key(&self, p: &ToolboxKey<'_>) -> Result<Stored, DatabaseError> {
        stored(&self.call("offer_toolbox_key", &argument(p)).await?)
    }

    /// Records a heartbeat, but not yet what its reports change of rows. Sent again only when it certainly did not arrive: a second one would
    /// be a replay. `heartbeat` is JSON that was read before.
    pub async fn record_heartbeat(
        &self,
        from: &Sender<'_>,
        heartbeat: &[u8],
    ) -> Result<HeartbeatOutcome, DatabaseError> {
        // Put together by hand, so that a long list of instances is not printed again. None of the texts can hold a
        // quote or a backslash: an id, hexadecimal digits, and a request id of the entry's alphabet.
        let head = format!(
            r#"{{"p":{{"toolbox_id":"{}","token_hash":"{}","root_id":"{}","request_id":"{}","heartbeat":"#,
            from.toolbox_id, from.token_hash, from.root_id, from.request_id
        );
        let body = [head.as_bytes(), heartbeat, b"}}"].concat();
        let answer = self.call_once("record_heartbeat", &body).await?;
        parse::<HeartbeatWire>(&answer)?
            .read()
            .ok_or_else(|| unexpected(&answer))
    }

    /// The desired state of a toolbox as the database prints it, which is the wire's form; none when the key is not
    /// the toolbox's. It holds the environment of every instance.
    pub async fn desired_state(
        &self,
        toolbox_id: ToolboxId,
        token_hash: &str,
    ) -> Result<Option<Vec<u8>>, DatabaseError> {
        #[derive(Serialize)]
        struct Argument<'a> {
            toolbox_id: ToolboxId,
            token_hash: &'a str,
        }
        let p = Argument {
            toolbox_id,
            token_hash,
        };
        let answer = self.call("get_desired_state", &argument(&p)).await?;
        match parse::<Outcome>(&answer)?.outcome.as_str() {
            "unauthorized" => Ok(None),
            "found" => Ok(Some(answer.body)),
            _ => Err(unexpected(&answer)),
        }
    }
}

fn stored(answer: &Response) -> Result<Stored, DatabaseError> {
    match parse::<Outcome>(answer)?.outcome.as_str() {
        "set" | "offered" => Ok(Stored::Stored),
        "superseded" => Ok(Stored::Superseded),
        _ => Err(unexpected(answer)),
    }
}
