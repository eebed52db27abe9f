//! The programs on a machine that can be asked about it: the agent, else the companion beside it. The first that works answers;
//! what failed before it is told too.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use toolbox_api::console::{Attempt, Way};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_clients::dtma::{Agent, AgentError};
use toolbox_clients::supabase::rows::EnvironmentRow;
use toolbox_http::Clock;

use crate::reach::HttpsAgents;

/// A way that worked, and those that did not.
pub struct Reached<T> {
    /// The way.
    pub way: Way,
    /// What was answered.
    pub value: T,
    /// How long this way took.
    pub ms: u64,
    /// What failed before.
    pub attempts: Vec<Attempt>,
}

/// No way worked, or one refused for good.
pub struct Unreached {
    /// The refusal, else why the first way did not work: it is the one to mend.
    pub error: ApiError,
    /// What failed.
    pub attempts: Vec<Attempt>,
    /// One of the attempts may have arrived: what was asked may have been done, or may yet be.
    pub is_doubtful: bool,
}

/// One way did not work.
pub struct Failed {
    /// Why.
    pub error: ApiError,
    /// No other way may work.
    pub is_final: bool,
    /// What was asked may have been done, or may yet be.
    pub is_doubtful: bool,
}

impl Failed {
    /// Nothing was done; another way may work.
    pub const fn for_now(error: ApiError) -> Self {
        Self {
            error,
            is_final: false,
            is_doubtful: false,
        }
    }
}

/// Neither agent nor companion did what was asked.
pub enum Refusal {
    /// Another way may do it.
    ForNow(Unreached),
    /// One of them refused it for good.
    Final(Unreached),
}

impl From<Refusal> for Unreached {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ForNow(unreached) | Refusal::Final(unreached) => unreached,
        }
    }
}

/// The programs of one machine.
pub struct Programs<'a> {
    /// How they are called.
    pub agents: &'a HttpsAgents,
    /// The machine.
    pub toolbox: &'a EnvironmentRow,
    /// Where its companion listens.
    pub companion_port: u16,
    /// The request that asks.
    pub request_id: &'a Arc<str>,
    /// Time.
    pub clock: &'a dyn Clock,
}

impl Programs<'_> {
    /// The program that is called so.
    pub fn program(&self, way: Way) -> Result<Agent, ApiError> {
        let port = match way {
            Way::Companion => self.companion_port,
            _ => self.toolbox.dtma_port,
        };
        self.agents.program_at(self.toolbox, port, self.request_id)
    }

    /// Asks the agent, else the companion.
    pub async fn reach<T>(
        &self,
        ask: impl AsyncFn(&Agent) -> Result<T, AgentError>,
    ) -> Result<Reached<T>, Refusal> {
        let mut attempts = Vec::new();
        let mut first = None;
        let mut is_doubtful = false;
        for way in [Way::DtmaEndpoint, Way::Companion] {
            let begun = self.clock.now();
            let answer = match self.program(way) {
                Ok(program) => ask(&program).await.map_err(|error| failed(way, error)),
                Err(error) => Err(Failed::for_now(error)),
            };
            let ms = milliseconds(self.clock.now().saturating_sub(begun));
            match answer {
                Ok(value) => {
                    return Ok(Reached {
                        way,
                        value,
                        ms,
                        attempts,
                    });
                }
                Err(failed) => {
                    attempts.push(attempt(way, &failed, ms));
                    is_doubtful |= failed.is_doubtful;
                    if failed.is_final {
                        return Err(Refusal::Final(Unreached {
                            error: failed.error,
                            attempts,
                            is_doubtful,
                        }));
                    }
                    first.get_or_insert(failed.error);
                }
            }
        }
        let error = first.unwrap_or_else(|| ApiError::new(ErrorCode::AgentUnreachable));
        Err(Refusal::ForNow(Unreached {
            error,
            attempts,
            is_doubtful,
        }))
    }
}

fn failed(way: Way, error: AgentError) -> Failed {
    let is_final = !error.may_work_otherwise();
    // A success that cannot be read is one that may have been.
    let is_doubtful = !error.nothing_happened()
        || matches!(error, AgentError::BadResponse { status } if matches!(status, 0 | 200..300));
    let mut error = ApiError::from(error);
    // The codes of a way are those of the agent; that the companion is away is another fact.
    if way == Way::Companion
        && matches!(
            error.code,
            ErrorCode::AgentUnreachable | ErrorCode::AgentTimeout
        )
    {
        error.code = ErrorCode::CompanionUnreachable;
    }
    Failed {
        error,
        is_final,
        is_doubtful,
    }
}

/// A way that failed, as callers see it.
pub fn attempt(way: Way, failed: &Failed, ms: u64) -> Attempt {
    Attempt {
        way,
        code: failed.error.code.as_str().to_owned(),
        message: sentence(&failed.error),
        ms,
    }
}

/// What went wrong, with the machine's reason where it gave one.
pub fn sentence(error: &ApiError) -> String {
    let reason = error.details.as_ref().and_then(|d| d.reason.as_ref());
    match reason {
        Some(reason) => format!("{}: {}", error.message(), reason.message),
        None => error.message().to_owned(),
    }
}

/// What the history of a toolbox holds of the end of a change of its agent: by which way, with which id of the machine, and
/// what failed before.
pub fn change_detail(
    reached: Option<(Way, Option<&str>)>,
    attempts: &[Attempt],
) -> Map<String, Value> {
    let mut detail = Map::new();
    if let Some((way, id)) = reached {
        detail.insert("method".to_owned(), json!(way));
        detail.insert("id".to_owned(), json!(id));
    }
    let failed = |a: &Attempt| json!({"way": a.way, "code": a.code});
    detail.insert("attempts".to_owned(), attempts.iter().map(failed).collect());
    detail
}

/// Whole milliseconds.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
