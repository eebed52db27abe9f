//! What the clock is answered: `POST /clock/tick` with a secret key of the project: → [`TickResponse`].

use serde::{Deserialize, Serialize};

use crate::error::ErrorCode;

/// Answer of `POST /clock/tick`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TickResponse {
    /// Every job.
    pub jobs: Vec<JobReport>,
}

/// What became of one job. The next tick runs it again in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JobReport {
    /// Its name.
    pub job: String,
    /// How it ended.
    pub outcome: JobOutcome,
    /// How many rows it dealt with; only when `done`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Why it failed; only when `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// It did what there was to do, or as much of it as one tick may.
    Done,
    /// It could not; `code` says why.
    Failed,
    /// It did not end within the tick. What it had begun is gone on with by the next.
    Unfinished,
}
