//! Calls to the control plane's function `heartbeat`: over TLS, each with a deadline and a bounded answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use time::OffsetDateTime;
use toolbox_api::heartbeat::{
    DesiredInstance, EnrolRequest, EnrolResponse, HeartbeatNumbers, HeartbeatResponse,
};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_http::native::{Native, SetupError};
use toolbox_http::{Call, Request, Transport, TransportError};

/// How long a call may take, from the connection to the last byte.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Largest answer: the specs of a full toolbox.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// The control plane's certificates cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("could not read the certificates in '{path}'")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("could not use the certificates in '{path}'")]
    Unusable { path: PathBuf, source: SetupError },
    #[error("TLS cannot be set up")]
    Tls(#[from] SetupError),
}

/// A call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer: the network, TLS, or the time.
    #[error("no answer from the control plane")]
    NoAnswer(#[from] TransportError),
    /// An answer with a status that is no success.
    #[error("the control plane answered {status} {code}")]
    Refused {
        status: u16,
        /// The code of the error; empty when there is none.
        code: String,
        /// When it wants to be asked again.
        retry_after: Option<Duration>,
        /// The last heartbeat it accepted, where it says so.
        accepted: Option<HeartbeatNumbers>,
    },
    /// A success whose body is something else.
    #[error("the control plane's answer could not be understood")]
    BadAnswer,
}

impl CallError {
    /// The code the control plane gave.
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            _ => "",
        }
    }

    /// The last heartbeat the control plane accepted, where that is why it refuses another.
    pub const fn accepted(&self) -> Option<HeartbeatNumbers> {
        match self {
            Self::Refused { accepted, .. } => *accepted,
            _ => None,
        }
    }

    /// When the control plane wants to be asked again.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A client for calls over the network, which trusts the certificates in `ca_file` beside the public roots.
pub fn native(ca_file: Option<&Path>) -> Result<Native, ClientError> {
    let Some(file) = ca_file else {
        return Ok(Native::new()?);
    };
    let path = file.to_owned();
    match std::fs::read(file).map(|pem| Native::trusting(&pem)) {
        Ok(Ok(http)) => Ok(http),
        Ok(Err(source)) => Err(ClientError::Unusable { path, source }),
        Err(source) => Err(ClientError::Unreadable { path, source }),
    }
}

/// A client of the control plane.
pub struct ControlClient {
    http: Native,
    base: String,
}

/// What the control plane answers to a question without a key: it is there, and what time it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub status: u16,
    /// Its header `date`.
    pub date: Option<String>,
    /// The machine's time in the middle of the call.
    pub at: OffsetDateTime,
}

impl ControlClient {
    /// For the function at `url` and `toolbox`. `ca_file` holds certificates that are trusted beside the public roots.
    /// The configuration allows plain HTTP to this machine only.
    pub fn new(url: &Uri, toolbox: ToolboxId, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let http = native(ca_file)?;
        let base = url.to_string();
        Ok(Self {
            http,
            base: format!("{}/{toolbox}", base.trim_end_matches('/')),
        })
    }

    /// Enrols with a single-use token.
    pub async fn enrol(
        &self,
        token: &str,
        request: &EnrolRequest,
        request_id: &str,
    ) -> Result<EnrolResponse, CallError> {
        let body = serde_json::to_vec(request).map_err(|_| CallError::BadAnswer)?;
        self.call("POST", "/enrol", token, request_id, body).await
    }

    /// Sends a heartbeat, which is JSON already.
    pub async fn send_heartbeat(
        &self,
        key: &str,
        heartbeat: Vec<u8>,
        request_id: &str,
    ) -> Result<HeartbeatResponse, CallError> {
        self.call("POST", "", key, request_id, heartbeat).await
    }

    /// Fetches the desired state.
    pub async fn desired(&self, key: &str, request_id: &str) -> Result<ReadState, CallError> {
        self.call("GET", "/desired", key, request_id, Vec::new())
            .await
    }

    /// Asks for what does not exist, without a key. Any answer shows that the control plane can be reached.
    pub async fn look(&self, deadline: Duration) -> Result<Seen, TransportError> {
        let request = Request::new("GET", format!("{}/look", self.base));
        let begun = OffsetDateTime::now_utc();
        let answer = self.http.send(Call::new(request, deadline)).await?;
        let took = OffsetDateTime::now_utc() - begun;
        Ok(Seen {
            status: answer.status,
            date: answer.headers.get("date").map(str::to_owned),
            at: begun + took / 2,
        })
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        bearer: &str,
        request_id: &str,
        body: Vec<u8>,
    ) -> Result<T, CallError> {
        let mut request = Request::new(method, format!("{}{path}", self.base));
        let headers = &mut request.headers;
        headers.set("authorization", format!("Bearer {bearer}"));
        headers.set("accept", "application/json");
        headers.set("x-request-id", request_id);
        if method == "POST" {
            headers.set("content-type", "application/json");
        }
        request.body = body;
        let mut call = Call::new(request, CALL_LIMIT);
        call.max_answer = MAX_ANSWER_BYTES;
        let answer = self.http.send(call).await?;
        if answer.status != 200 {
            let retry_after = answer.headers.get("retry-after");
            let (code, accepted) = refusal(&answer.body);
            return Err(CallError::Refused {
                status: answer.status,
                code,
                retry_after: retry_after
                    .and_then(|text| text.parse().ok())
                    .map(Duration::from_secs),
                accepted,
            });
        }
        serde_json::from_slice(&answer.body).map_err(|_| CallError::BadAnswer)
    }
}

/// A [`toolbox_api::heartbeat::DesiredState`]. One instance that this agent cannot read keeps no other from being read.
#[derive(Deserialize)]
pub struct ReadState {
    pub instances: Vec<ReadInstance>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum ReadInstance {
    Instance(Box<DesiredInstance>),
    /// Made for a later agent.
    Unreadable {
        id: ToolInstanceId,
        generation: u64,
    },
}

/// The stable code of an error answer, and the numbers it names; whatever else the body says is not for our log.
fn refusal(body: &[u8]) -> (String, Option<HeartbeatNumbers>) {
    #[derive(Deserialize)]
    struct Envelope {
        error: Body,
    }
    #[derive(Deserialize)]
    struct Body {
        code: String,
        details: Option<Details>,
    }
    #[derive(Deserialize)]
    struct Details {
        accepted: Option<HeartbeatNumbers>,
    }
    let is_plain =
        |c: &str| c.len() <= 64 && c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    serde_json::from_slice::<Envelope>(body)
        .ok()
        .filter(|e| is_plain(&e.error.code))
        .map(|e| (e.error.code, e.error.details.and_then(|d| d.accepted)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_that_cannot_be_read_keeps_no_other_from_being_read() {
        let (one, other) = (
            "11111111-1111-4111-8111-111111111111",
            "22222222-2222-4222-8222-222222222222",
        );
        for spec in [
            r#"{"image":"x","of_tomorrow":true}"#,
            r#"["x"]"#,
            r#"{"image":"x","ports":[[8080]]}"#,
        ] {
            let instance = |id: &str, spec: &str| {
                format!(
                    r#"{{"id":"{id}","generation":7,"desired":"running","name":"n","container_name":"c","spec":{spec}}}"#
                )
            };
            let body = format!(
                r#"{{"digest":"d","instances":[{},{}]}}"#,
                instance(one, spec),
                instance(
                    other,
                    r#"{"image":"x","env":{"A":{"key_id":null,"value":"v"}}}"#
                )
            );
            let state: ReadState = serde_json::from_str(&body).unwrap();
            match &state.instances[..] {
                [
                    ReadInstance::Unreadable { id, generation: 7 },
                    ReadInstance::Instance(read),
                ] => {
                    assert_eq!(id.to_string(), one);
                    assert_eq!(read.id.to_string(), other);
                }
                _ => panic!("{spec}"),
            }
        }
    }

    #[test]
    fn only_plain_codes_and_numbers_are_taken_from_an_error() {
        let plain = br#"{"error":{"code":"certificate_changed","message":"m"}}"#;
        assert_eq!(refusal(plain), ("certificate_changed".to_owned(), None));
        let numbered = br#"{"error":{"code":"heartbeat_replayed","details":{"accepted":{"boot":7,"sequence":9}}}}"#;
        let accepted = HeartbeatNumbers {
            boot: 7,
            sequence: 9,
        };
        assert_eq!(
            refusal(numbered),
            ("heartbeat_replayed".to_owned(), Some(accepted))
        );
        assert_eq!(refusal(br#"{"error":{"code":"a\nb"}}"#).0, "");
        assert_eq!(refusal(b"<html>").0, "");
    }
}
