//! The clock that calls the route `clock/tick`, as `pg_cron` does in a hosted project.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::probe;
use crate::progress::say;

/// Between two ticks.
const EVERY: Duration = Duration::from_secs(5);

/// What the route answers, as far as it is of interest here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    jobs: Vec<Job>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Job {
    job: String,
    code: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
}

/// Posts to `url` with the project's secret key until the program ends. A function that
/// does not answer and a database that is away are not logged; a job that fails is, once for each new reason.
pub(crate) async fn run(url: String, secret_key: String) {
    let mut clock = interval(EVERY);
    // After a pause one call is enough: each goes on where the last one ended.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = BTreeMap::new();
    loop {
        clock.tick().await;
        let Ok(answer) = probe::post(&url, &secret_key, &json!({})).await else {
            continue;
        };
        let Some(failed) = failures(answer) else {
            continue;
        };
        for (job, code) in &failed {
            if told.get(job) != Some(code) {
                say(format_args!("the job {job} failed ({code}): see clock.log"));
            }
        }
        told = failed;
    }
}

/// The jobs that failed for a reason that does not pass by itself, with their codes; none when it was not the route
/// that answered.
fn failures(answer: Value) -> Option<BTreeMap<String, String>> {
    let answer: Answer = serde_json::from_value(answer).ok()?;
    if answer.jobs.is_empty() && answer.error.is_none() {
        return None;
    }
    let of_jobs = answer
        .jobs
        .into_iter()
        .filter_map(|job| Some((job.job, job.code?)));
    let of_all = answer
        .error
        .map(|refusal| ("clock/tick".to_owned(), refusal.code));
    let failed = of_jobs
        .chain(of_all)
        .filter(|(_, code)| !matches!(code.as_str(), "database_unreachable" | "database_timeout"));
    Some(failed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_but_not_that_the_database_is_away() {
        let answer = json!({"jobs": [
            {"job": "a", "outcome": "done", "count": 1},
            {"job": "b", "outcome": "failed", "code": "database_timeout"},
            {"job": "c", "outcome": "failed", "code": "not_configured"},
        ]});
        let failed: Vec<_> = failures(answer).unwrap().into_iter().collect();
        assert_eq!(failed, [("c".to_owned(), "not_configured".to_owned())]);
    }

    #[test]
    fn a_refusal_of_the_tick_itself_is_told() {
        let answer = json!({"error": {"code": "secret_key_required", "message": "x"}});
        let failed: Vec<_> = failures(answer).unwrap().into_iter().collect();
        let expected = ("clock/tick".to_owned(), "secret_key_required".to_owned());
        assert_eq!(failed, [expected]);
    }

    #[test]
    fn another_answer_is_none() {
        assert_eq!(
            failures(json!({"code": "BOOT_ERROR", "message": "x"})),
            None
        );
        assert_eq!(failures(json!("text")), None);
    }
}
