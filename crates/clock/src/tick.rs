//! What is due without anybody asking for it: `POST /clock/tick`, called by a schedule.
//!
//! Each job does a bounded part of its work on rows that nobody holds, so two ticks at once share the work, and the
//! next tick goes on where this one ended. The jobs of a tick run at the same time: one that fails or takes long is told with
//! its code and keeps no other from running.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use toolbox_alerts::Sender;
use toolbox_api::clock::{JobOutcome, JobReport, TickResponse};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_edge::config::ConfigError;
use toolbox_edge::{Reply, RequestContext, reply};
use toolbox_http::{LocalFuture, within};
use toolbox_instances::mcp_pin::FirstTools;
use toolbox_instances::reach::HttpsAgents;
use toolbox_instances::receipts::seal_due;
use toolbox_instances::rollouts::{ASK_LIMIT, LOOK_LIMIT, Rollouts};
use toolbox_instances::secrets::Resealing;

/// A piece of work that comes back; how many rows it dealt with.
struct Job {
    name: &'static str,
    run: for<'a> fn(&'a RequestContext, &'static str) -> LocalFuture<'a, Result<u32, ApiError>>,
}

const JOBS: &[Job] = &[
    Job {
        name: "mark_silent_toolboxes",
        run: in_database,
    },
    Job {
        name: "end_expired_leases",
        run: in_database,
    },
    Job {
        name: "seal_receipts",
        run: seal_receipts,
    },
    Job {
        name: "seal_secrets",
        run: seal_secrets,
    },
    Job {
        name: "settle_alerts",
        run: in_database,
    },
    Job {
        name: "deliver_alerts",
        run: deliver_alerts,
    },
    Job {
        name: "advance_rollouts",
        run: advance_rollouts,
    },
    Job {
        name: "pin_first_tools",
        run: pin_first_tools,
    },
    Job {
        name: "advance_provisioning",
        run: advance_provisioning,
    },
    Job {
        name: "sweep_droplets",
        run: sweep_droplets,
    },
    Job {
        name: "delete_old_events",
        run: in_database,
    },
    Job {
        name: "delete_old_toolbox_events",
        run: in_database,
    },
    Job {
        name: "delete_old_alerts",
        run: in_database,
    },
    Job {
        name: "delete_old_operations",
        run: in_database,
    },
];

/// Longest that a tick takes. Its caller waits a minute. A job that has not ended by then is cut off, which is to it as if its worker
/// died: another goes on when the lease of what it had taken ends.
pub(crate) const TICK_LIMIT: Duration = Duration::from_secs(50);
/// Longest that one job of the database may take. Those that send alerts, go on with rollouts, pin tools, seal receipts, seal secrets,
/// provision and sweep have bounds of their own: 13 s, 34 s, 34 s, 8 s, 8 s, 40 s and 30 s, and what they write may take longer than usual.
const JOB_LIMIT: Duration = Duration::from_secs(4);

/// Toolboxes that one tick takes steps of, at the same time.
const PROVISIONED_AT_ONCE: u32 = 25;
/// No step begins later than this in a tick; one may take 35 s.
const PROVISIONING_BUDGET: Duration = Duration::from_secs(5);
/// Between two sweeps, in seconds.
const SWEEP_EVERY: u64 = 300;
const SWEEP_LIMIT: Duration = Duration::from_secs(30);

/// Runs every job once and answers what became of each.
pub(crate) async fn tick(cx: &RequestContext) -> Result<Reply, ApiError> {
    check_key(cx)?;
    let jobs = join_all(JOBS.iter().map(|job| run(cx, job))).await;
    reply::json(200, &TickResponse { jobs })
}

async fn run(cx: &RequestContext, job: &Job) -> JobReport {
    let work = (job.run)(cx, job.name);
    let (outcome, count, code) = match within(&*cx.state.clock, TICK_LIMIT, work).await {
        None => (JobOutcome::Unfinished, None, None),
        Some(Ok(count)) => (JobOutcome::Done, Some(count), None),
        Some(Err(error)) => {
            cx.state.log(&cx.request_id, job.name, &error);
            (JobOutcome::Failed, None, Some(error.code))
        }
    };
    JobReport {
        job: job.name.to_owned(),
        outcome,
        count,
        code,
    }
}

/// Runs the function of the database that has the job's name.
fn in_database<'a>(
    cx: &'a RequestContext,
    name: &'static str,
) -> LocalFuture<'a, Result<u32, ApiError>> {
    Box::pin(async move { Ok(cx.state.supabase.run_job(name, JOB_LIMIT).await?) })
}

/// Writes receipts of operations that ended.
fn seal_receipts<'a>(
    cx: &'a RequestContext,
    _name: &'static str,
) -> LocalFuture<'a, Result<u32, ApiError>> {
    Box::pin(async move {
        let key = cx.state.config.receipt_key.as_ref()?;
        seal_due(&cx.state.supabase, &*cx.state.clock, key).await
    })
}

/// Seals secrets that are in plain text, or sealed with a key of the root secret before.
fn seal_secrets<'a>(
    cx: &'a RequestContext,
    name: &'static str,
) -> LocalFuture<'a, Result<u32, ApiError>> {
    Box::pin(async move {
        let resealing = Resealing {
            supabase: &cx.state.supabase,
            roots: cx.state.config.agents.as_ref()?.roots(),
            random: &|| cx.state.host.random_bytes(),
            log: &|what, error| {
                let what = format!("{name}: {what}");
                cx.state.log(&cx.request_id, &what, error);
            },
        };
        resealing.reseal_due().await
    })
}

/// Sends the messages of alerts that are due.
fn deliver_alerts<'a>(
    cx: &'a RequestContext,
    _name: &'static str,
) -> LocalFuture<'a, Result<u32, ApiError>> {
    Box::pin(async move {
        let config = cx.state.config.alerts.as_ref()?;
        let sender = Sender {
            supabase: &cx.state.supabase,
            transport: &*cx.state.transport,
            clock: &*cx.state.clock,
            allowed: &config.allowed,
            email: config.email.as_ref(),
            roots: cx.state.config.agents.as_ref()?.roots(),
        };
        Ok(sender.deliver_due().await?)
    })
}

/// Takes a step with each rollout.
fn advance_rollouts<'a>(
    cx: &'a RequestContext,
    _name: &'static str,
) -> LocalFuture<'a, Result<u32, ApiError>> {
    Box::pin(async move {
        let config = &cx.state.config;
        let secrets = config.agents.as_ref()?;
        let agents = |deadline| HttpsAgents {
            transport: Arc::clone(&cx.state.transport),
            deadline,
            root_secret: secrets.root_secret.clone(),
            previous_root_secret: secrets.previous_root_secret.clone(),
        };
        let rollouts = Rollouts {
            supabase: &cx.state.supabase,
            clock: &*cx.state.clock,
            looks: agents(LOOK_LIMIT),
            asks: agents(ASK_LIMIT),
            companion_port: config.machines.as_ref()?.companion_port,
            request_id: Arc::clone(&cx.request_id),
            log: &|what, error| cx.state.log(&cx.request_id, what, error),
        };
        Ok(rollouts.advance_due().await?)
    })
}

/// Pins the tools that MCP servers listed first, where their deployments asked for it.
fn pin_first_tools<'a>(
    cx: &'a RequestContext,
    name: &'static str,
) -> LocalFuture<'a, Result<u32, ApiError>> {
    Box::pin(async move {
        let secrets = cx.state.config.agents.as_ref()?;
        let first = FirstTools {
            supabase: &cx.state.supabase,
            agents: HttpsAgents {
                transport: Arc::clone(&cx.state.transport),
                deadline: cx.state.config.upstream_timeout,
                root_secret: secrets.root_secret.clone(),
                previous_root_secret: secrets.previous_root_secret.clone(),
            },
            request_id: Arc::clone(&cx.request_id),
            log: &|what, error| {
                let what = format!("{name}: {what}");
                cx.state.log(&cx.request_id, &what, error);
            },
        };
        first.pin_due().await
    })
}

/// Takes the steps of toolboxes with droplets that are due.
fn advance_provisioning<'a>(
    cx: &'a RequestContext,
    _name: &'static str,
) -> LocalFuture<'a, Result<u32, ApiError>> {
    Box::pin(async move {
        if !buys_machines(cx) {
            return Ok(0);
        }
        let provisioning = cx.state.provisioning()?;
        let (worker, budget) = ("clock/tick", PROVISIONING_BUDGET);
        provisioning
            .get()
            .advance_due(worker, PROVISIONED_AT_ONCE, budget)
            .await
    })
}

/// Compares the droplets that are paid for with the rows, now and then; how many differences there were. Each is logged.
fn sweep_droplets<'a>(
    cx: &'a RequestContext,
    name: &'static str,
) -> LocalFuture<'a, Result<u32, ApiError>> {
    Box::pin(async move {
        if !buys_machines(cx) || !cx.state.supabase.begin_rare_job(name, SWEEP_EVERY).await? {
            return Ok(0);
        }
        let provisioning = cx.state.provisioning()?;
        let report = provisioning.get().sweep(SWEEP_LIMIT).await?;
        let found = report.sentences();
        for sentence in &found {
            let told = ApiError {
                cause: Some(sentence.clone()),
                ..ApiError::new(ErrorCode::StateChanged)
            };
            cx.state.log(&cx.request_id, name, &told);
        }
        Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
    })
}

/// Whether the operator gave a token of DigitalOcean. Without one there is nothing to provision; what else is wrong with the
/// configuration is a failure.
fn buys_machines(cx: &RequestContext) -> bool {
    let missing = |error: &ConfigError| error.0.contains(&"DO_API_TOKEN");
    !cx.state.config.provisioning.as_ref().is_err_and(missing)
}

/// The caller must hold a secret key of the project. Opaque keys come in `apikey`; the legacy one is a JWT and comes as
/// the bearer token. Digests are compared, all of them and in constant time, so the time this takes tells nothing.
fn check_key(cx: &RequestContext) -> Result<(), ApiError> {
    let bearer = cx
        .headers
        .get("authorization")
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key.trim());
    let presented = bearer.or_else(|| cx.headers.get("apikey")).unwrap_or("");
    let digest = Sha256::digest(presented);
    let keys = cx.state.config.secret_keys.iter();
    let known = keys.fold(Choice::from(0), |known, key| {
        known | Sha256::digest(key).ct_eq(&digest)
    });
    if known.into() {
        Ok(())
    } else {
        Err(ApiError::new(ErrorCode::SecretKeyRequired))
    }
}
