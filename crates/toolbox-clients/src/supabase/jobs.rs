//! The jobs of the clock that are the database's own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DatabaseError, Supabase, argument, parse, unexpected};

#[derive(Serialize)]
struct RunJob<'a> {
    job: &'a str,
}

#[derive(Deserialize)]
struct Ran {
    outcome: String,
    count: Option<u32>,
}

impl Supabase {
    /// Runs a bounded part of a job within `limit`; how many rows it dealt with. Never repeated: the next tick does that.
    pub async fn run_job(&self, job: &str, limit: Duration) -> Result<u32, DatabaseError> {
        let body = argument(&RunJob { job });
        let answer = self.within(limit).call_function("run_job", &body).await?;
        let ran: Ran = parse(&answer)?;
        ran.count
            .filter(|_| ran.outcome == "done")
            .ok_or_else(|| unexpected(&answer))
    }
}
