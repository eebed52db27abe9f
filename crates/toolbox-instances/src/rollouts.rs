//! Rollouts: the agents of many toolboxes replaced in waves. A job of `clock/tick` goes on with each, one step a tick: it
//! looks at the toolboxes that are under way, or, when there are none, asks those of the next wave. So the next wave begins when
//! every toolbox of the one before is healthy, and none begins after a failure. A machine that is silent when it is its turn is
//! not asked and holds up nobody. One that is silent after it was asked has perhaps taken the version: that is a failure.
//!
//! A toolbox is replaced as one that its owner asks for is, by the agent or the companion beside it. Not by SSH: that needs
//! the owner's token.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, json};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::machine::{VersionChange, VersionChangePhase};
use toolbox_api::moment;
use toolbox_api::rollout::{
    Rollout, RolloutReason, RolloutState, RolloutToolbox, RolloutToolboxState as State,
};
use toolbox_clients::dtma::Agent;
use toolbox_clients::supabase::rollouts::ClaimedRollout;
use toolbox_clients::supabase::rows::EnvironmentRow;
use toolbox_clients::supabase::toolbox_events::ToolboxEvent;
use toolbox_clients::supabase::{DatabaseError, Supabase};
use toolbox_domain::machine_operation::AgentVersion;
use toolbox_http::Clock;

use crate::reach::HttpsAgents;
use crate::ways::{Programs, Refusal, Unreached, change_detail, sentence};

/// Longest wait for each call to the database.
pub const DATABASE_LIMIT: Duration = Duration::from_secs(2);
/// Longest wait for each of the two programs of a machine when it is asked how a change goes.
pub const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// Longest wait for each of them when it is asked for a change: it answers when it has fetched the release's checksum.
pub const ASK_LIMIT: Duration = Duration::from_secs(10);
/// Longest that a step takes: a claim, which is not repeated; the event, its end and the record, which begin again within two
/// seconds where the database cannot be reached; and between them both programs of a machine, one after the other. Toolboxes
/// of a wave and rollouts go on at the same time.
pub const STEP_LIMIT: Duration = DATABASE_LIMIT
    .saturating_mul(1 + 3 * 2)
    .saturating_add(ASK_LIMIT.saturating_mul(2));
/// How long a machine may take to be healthy: to fetch the version, to let its tools' calls end, and to try it.
const HEALTHY_WITHIN: Duration = Duration::from_mins(20);

/// Goes on with rollouts.
pub struct Rollouts<'a> {
    /// The database.
    pub supabase: &'a Supabase,
    /// Time.
    pub clock: &'a dyn Clock,
    /// How machines are asked how a change goes, each call within [`LOOK_LIMIT`].
    pub looks: HttpsAgents,
    /// How they are asked for a change, each call within [`ASK_LIMIT`].
    pub asks: HttpsAgents,
    /// Where companions listen.
    pub companion_port: u16,
    /// Who runs the job.
    pub request_id: Arc<str>,
    /// Logs a failure that is no failure of the job.
    pub log: &'a dyn Fn(&str, &ApiError),
}

impl Rollouts<'_> {
    /// Takes a step with each rollout that has something to do. How many there were.
    pub async fn advance_due(&self) -> Result<u32, DatabaseError> {
        let supabase = self.supabase.within(DATABASE_LIMIT);
        let claimed = supabase.claim_rollouts().await?;
        let ended = join_all(claimed.iter().map(|one| self.advance(&supabase, one))).await;
        for recorded in ended {
            recorded?;
        }
        Ok(u32::try_from(claimed.len()).unwrap_or(u32::MAX))
    }

    async fn advance(
        &self,
        supabase: &Supabase,
        claimed: &ClaimedRollout,
    ) -> Result<(), DatabaseError> {
        let mut rollout = claimed.rollout.clone();
        let step = next(&rollout);
        let (of, which) = (&rollout, &step);
        let seen = join_all(which.toolboxes().iter().map(|at| async move {
            let toolbox = of.toolboxes[*at].clone();
            let row = claimed.rows.iter().find(|row| row.id == toolbox.id);
            match which {
                Step::Look(_) => self.look(of, toolbox, row).await,
                Step::Ask(_) => self.ask(supabase, claimed, toolbox, row).await,
            }
        }))
        .await;
        for (at, toolbox) in step.toolboxes().iter().zip(seen) {
            rollout.toolboxes[*at] = toolbox;
        }
        conclude(&mut rollout);
        // Where another tick has it by now, that one has seen what this one saw, or will.
        supabase.record_rollout(&rollout, claimed.step).await?;
        Ok(())
    }

    fn programs<'b>(
        &'b self,
        agents: &'b HttpsAgents,
        toolbox: &'b EnvironmentRow,
    ) -> Programs<'b> {
        Programs {
            agents,
            toolbox,
            companion_port: self.companion_port,
            request_id: &self.request_id,
            clock: self.clock,
        }
    }

    async fn look(
        &self,
        rollout: &Rollout,
        toolbox: RolloutToolbox,
        row: Option<&EnvironmentRow>,
    ) -> RolloutToolbox {
        let Some(row) = row else {
            return ended(toolbox, State::Removed, self.clock.now());
        };
        let told = self
            .programs(&self.looks, row)
            .reach(async |program: &Agent| program.version_change().await)
            .await;
        let told = match &told {
            Ok(reached) => Ok(reached.value.operation.as_ref()),
            Err(Refusal::ForNow(unreached) | Refusal::Final(unreached)) => Err(&unreached.error),
        };
        after_look(toolbox, &rollout.version, row, told, self.clock.now())
    }

    async fn ask(
        &self,
        supabase: &Supabase,
        claimed: &ClaimedRollout,
        toolbox: RolloutToolbox,
        row: Option<&EnvironmentRow>,
    ) -> RolloutToolbox {
        let now = self.clock.now();
        let version = &claimed.rollout.version;
        let Some(row) = row else {
            return ended(toolbox, State::Removed, now);
        };
        if runs(row, version) {
            return ended(toolbox, State::Healthy, now);
        }
        if row.status == "unresponsive" && toolbox.asked_at.is_none() {
            return ended(toolbox, State::Silent, now);
        }
        let begins = Map::from_iter([
            ("version".to_owned(), json!(version)),
            ("rollout".to_owned(), json!(claimed.rollout.id)),
        ]);
        let begun = supabase
            .begin_toolbox_event(&ToolboxEvent {
                toolbox: row.id,
                user: claimed.user_id,
                as_operator: claimed.is_fleet,
                kind: "agent_redeploy",
                detail: &begins,
                request_id: claimed.request_id.as_deref(),
            })
            .await;
        let event = match begun {
            Ok(Some(event)) => event,
            Ok(None) => return ended(toolbox, State::Removed, now),
            // What cannot be written is not done; a later tick asks.
            Err(error) => {
                (self.log)("record the event", &error.into());
                return toolbox;
            }
        };
        let asked = self
            .programs(&self.asks, row)
            .reach(async |program: &Agent| program.redeploy_agent(version).await)
            .await
            .map_err(Unreached::from);
        let (reached, attempts, result) = match &asked {
            Ok(reached) => {
                let id = reached.value.id.as_str();
                (Some((reached.way, Some(id))), &reached.attempts, "accepted")
            }
            Err(unreached) => (None, &unreached.attempts, unreached.error.code.as_str()),
        };
        let detail = change_detail(reached, attempts);
        // What the machine did counts; that its history lacks the end is for the operator.
        if let Err(error) = supabase.end_toolbox_event(event, result, &detail).await {
            (self.log)("record the end of the event", &error.into());
        }
        after_asking(toolbox, asked.map(|reached| reached.value.id), now)
    }
}

/// What a rollout does next, with which of its toolboxes.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Look(Vec<usize>),
    Ask(Vec<usize>),
}

impl Step {
    fn toolboxes(&self) -> &[usize] {
        match self {
            Self::Look(toolboxes) | Self::Ask(toolboxes) => toolboxes,
        }
    }
}

fn next(rollout: &Rollout) -> Step {
    let of = |state: State| {
        let toolboxes = rollout.toolboxes.iter().enumerate();
        toolboxes
            .filter(move |(_, toolbox)| toolbox.state == state)
            .map(|(at, _)| at)
    };
    let under_way: Vec<_> = of(State::Asked).collect();
    if !under_way.is_empty() || rollout.state != RolloutState::Running {
        return Step::Look(under_way);
    }
    let wave = usize::try_from(rollout.wave_size).unwrap_or(1);
    Step::Ask(of(State::Waiting).take(wave).collect())
}

/// The agent has reported, with this version, and does still.
fn runs(row: &EnvironmentRow, version: &AgentVersion) -> bool {
    row.status == "active" && row.dtma_last_known_version.as_deref() == Some(version.as_str())
}

fn ended(toolbox: RolloutToolbox, state: State, now: Duration) -> RolloutToolbox {
    RolloutToolbox {
        state,
        ended_at: Some(moment::format(now)),
        ..toolbox
    }
}

fn failed(toolbox: RolloutToolbox, code: &str, message: String, now: Duration) -> RolloutToolbox {
    RolloutToolbox {
        code: Some(code.to_owned()),
        message: Some(message),
        ..ended(toolbox, State::Failed, now)
    }
}

fn after_asking(
    toolbox: RolloutToolbox,
    answer: Result<String, Unreached>,
    now: Duration,
) -> RolloutToolbox {
    let toolbox = RolloutToolbox {
        // One that is asked again has its time from the first asking.
        asked_at: toolbox.asked_at.or_else(|| Some(moment::format(now))),
        ..toolbox
    };
    match answer {
        // Its time runs from here: what came before may have waited for others of the wave.
        Ok(id) => RolloutToolbox {
            state: State::Asked,
            asked_at: Some(moment::format(now)),
            looked_at: None,
            operation_id: Some(id),
            code: None,
            message: None,
            ..toolbox
        },
        // It may have begun, now or by a tick that died: a look at the machine will tell.
        Err(Unreached {
            error, is_doubtful, ..
        }) if is_doubtful || error.code == ErrorCode::VersionChangeInProgress => RolloutToolbox {
            state: State::Asked,
            code: Some(error.code.as_str().to_owned()),
            message: Some(sentence(&error)),
            ..toolbox
        },
        Err(Unreached { error, .. }) => failed(toolbox, error.code.as_str(), sentence(&error), now),
    }
}

/// `told` is the last change of the agent's version that the machine knows, or why it does not tell.
fn after_look(
    toolbox: RolloutToolbox,
    version: &AgentVersion,
    row: &EnvironmentRow,
    told: Result<Option<&VersionChange>, &ApiError>,
    now: Duration,
) -> RolloutToolbox {
    let asked_at = toolbox.asked_at.as_deref().and_then(moment::parse);
    let asked_at = asked_at.unwrap_or_default();
    let has_id = toolbox.operation_id.is_some();
    // What had ended when it was asked is not what it was asked for.
    let is_earlier = |change: &VersionChange| {
        let finished_at = change.finished_at.as_deref().and_then(moment::parse);
        !has_id && finished_at.is_some_and(|finished_at| finished_at < asked_at)
    };
    let is_ours = |change: &VersionChange| match &toolbox.operation_id {
        Some(id) => change.id == *id,
        None => change.to == version.as_str(),
    };
    let told = told.map(|change| change.filter(|change| !is_earlier(change)));
    if let Ok(Some(change)) = told
        && !is_ours(change)
    {
        let message = format!(
            "The machine's last change is another one, to version {}",
            change.to
        );
        return failed(toolbox, "version_changed_otherwise", message, now);
    }
    let seen = match told {
        Ok(Some(change)) => match change.phase {
            // Both count: that the machine found it healthy, and that it has found its way back here.
            VersionChangePhase::Healthy if runs(row, version) => {
                return RolloutToolbox {
                    code: None,
                    message: None,
                    ..ended(toolbox, State::Healthy, now)
                };
            }
            VersionChangePhase::RolledBack | VersionChangePhase::Failed => {
                let (code, message) = change.reason.as_ref().map_or_else(
                    || {
                        let code = ErrorCode::RedeployFailed;
                        (code.as_str(), code.title())
                    },
                    |reason| (reason.code.as_str(), reason.message.as_str()),
                );
                return failed(toolbox, code, message.to_owned(), now);
            }
            VersionChangePhase::Healthy => {
                "The machine says that the version is healthy, and no heartbeat came from it"
                    .to_owned()
            }
            _ => "The machine is still at it".to_owned(),
        },
        Ok(None) => "The machine answers, and knows of no such change".to_owned(),
        // An agent that is being replaced does not answer for a while.
        Err(error) => format!("The machine does not say how it goes ({})", sentence(error)),
    };
    let is_late = now.saturating_sub(asked_at) >= HEALTHY_WITHIN;
    // Where nobody looked for long, nobody knows: the first look is not the last.
    if is_late && toolbox.looked_at.is_some() {
        let asked = toolbox.message.as_ref();
        let asked = asked.map(|told| format!(". When it was asked: {told}"));
        let message = format!(
            "{seen} after {} minutes{}",
            HEALTHY_WITHIN.as_secs() / 60,
            asked.unwrap_or_default()
        );
        return failed(toolbox, "rollout_timeout", message, now);
    }
    // The call that nobody answered did not arrive: the next tick asks again.
    if matches!(told, Ok(None)) && !has_id && !is_late {
        return RolloutToolbox {
            state: State::Waiting,
            looked_at: None,
            ..toolbox
        };
    }
    RolloutToolbox {
        looked_at: toolbox.looked_at.or_else(|| Some(moment::format(now))),
        ..toolbox
    }
}

/// Ends a rollout that runs, where a toolbox failed or all are done.
fn conclude(rollout: &mut Rollout) {
    if rollout.state != RolloutState::Running {
        return;
    }
    let mut toolboxes = rollout.toolboxes.iter();
    if let Some(failed) = toolboxes.find(|toolbox| toolbox.state == State::Failed) {
        let message = failed.message.as_deref().unwrap_or_default();
        rollout.state = RolloutState::Stopped;
        rollout.reason = Some(RolloutReason {
            code: failed.code.clone().unwrap_or_default(),
            message: format!(
                "Toolbox \"{}\": {message}. No further toolbox is asked. Mend this one (GET /{}/diagnose tells its owner how), and begin again: those that run the version are passed by",
                failed.name, failed.id
            ),
            toolbox_id: Some(failed.id),
        });
        return;
    }
    let is_over = |toolbox: &RolloutToolbox| {
        matches!(
            toolbox.state,
            State::Healthy | State::Silent | State::Removed
        )
    };
    if rollout.toolboxes.iter().all(is_over) {
        rollout.state = RolloutState::Finished;
    }
}

#[cfg(test)]
mod tests {
    use toolbox_api::dtma::Reason;

    use super::*;

    const NOW: Duration = Duration::from_hours(490_896); // 2026-01-01T00:00:00Z
    const VERSION: &str = "2.0.0";

    fn version() -> AgentVersion {
        VERSION.parse().unwrap()
    }

    fn toolbox(n: usize, state: State) -> RolloutToolbox {
        RolloutToolbox {
            id: format!("6f9619ff-8b86-4d01-b42d-{n:012}").parse().unwrap(),
            name: format!("box {n}"),
            state,
            operation_id: None,
            code: None,
            message: None,
            asked_at: None,
            looked_at: None,
            ended_at: None,
        }
    }

    fn rollout(wave_size: u32, states: &[State]) -> Rollout {
        let toolboxes = states.iter().enumerate();
        Rollout {
            id: "6f9619ff-8b86-4d01-b42d-00000000000a".parse().unwrap(),
            version: version(),
            wave_size,
            state: RolloutState::Running,
            reason: None,
            toolboxes: toolboxes.map(|(n, state)| toolbox(n, *state)).collect(),
            created_at: "2026-01-01T00:00:00Z".to_owned(),
            ended_at: None,
        }
    }

    fn row(status: &str, version: &str) -> EnvironmentRow {
        serde_json::from_value(json!({
            "id": toolbox(0, State::Waiting).id, "status": status, "public_ip_address": "127.0.0.1", "dtma_port": 30000,
            "dtma_certificate_pem": null, "dtma_key_id": null, "instances_confirmed_at": null, "unresponsive_since": null,
            "dtma_api_version": 2, "dtma_last_known_version": version,
        }))
        .unwrap()
    }

    fn change(id: &str, to: &str, phase: VersionChangePhase) -> VersionChange {
        serde_json::from_value(json!({
            "id": id, "kind": "redeploy", "from": "1.0.0", "to": to, "phase": phase, "reason": null,
            "started_at": "2026-01-01T00:00:00Z", "finished_at": null,
        }))
        .unwrap()
    }

    fn asked() -> RolloutToolbox {
        after_asking(toolbox(0, State::Waiting), Ok("c1".to_owned()), NOW)
    }

    fn refused(code: ErrorCode, is_doubtful: bool) -> Unreached {
        Unreached {
            error: ApiError::new(code),
            attempts: Vec::new(),
            is_doubtful,
        }
    }

    /// Asked, and nobody knows whether that arrived.
    fn perhaps_asked() -> RolloutToolbox {
        let answer = refused(ErrorCode::AgentTimeout, true);
        after_asking(toolbox(0, State::Waiting), Err(answer), NOW)
    }

    #[test]
    fn a_wave_begins_when_each_toolbox_of_the_one_before_is_healthy() {
        use State::{Asked, Failed, Healthy, Removed, Waiting};
        for (states, step) in [
            (vec![Waiting, Waiting, Waiting], Step::Ask(vec![0, 1])),
            (vec![Asked, Asked, Waiting], Step::Look(vec![0, 1])),
            (vec![Healthy, Asked, Waiting], Step::Look(vec![1])),
            (vec![Healthy, Removed, Waiting], Step::Ask(vec![2])),
            (vec![Healthy, Healthy, Asked], Step::Look(vec![2])),
        ] {
            assert_eq!(next(&rollout(2, &states)), step, "{states:?}");
        }
        let mut stopped = rollout(2, &[Failed, Asked, Waiting]);
        conclude(&mut stopped);
        assert_eq!(stopped.state, RolloutState::Stopped);
        assert_eq!(next(&stopped), Step::Look(vec![1]));
        stopped.toolboxes[1].state = Healthy;
        assert_eq!(next(&stopped), Step::Look(vec![]), "none is asked any more");
    }

    #[test]
    fn it_ends_with_the_first_failure_or_with_the_last_toolbox() {
        use State::{Asked, Failed, Healthy, Removed, Silent, Waiting};
        for (states, state) in [
            (vec![Healthy, Waiting], RolloutState::Running),
            (vec![Healthy, Asked], RolloutState::Running),
            (vec![Healthy, Removed], RolloutState::Finished),
            (vec![Silent, Waiting], RolloutState::Running),
            (vec![Silent, Healthy], RolloutState::Finished),
            (vec![Silent, Failed], RolloutState::Stopped),
            (vec![Healthy, Failed], RolloutState::Stopped),
            (vec![Asked, Failed, Waiting], RolloutState::Stopped),
        ] {
            let mut of = rollout(2, &states);
            conclude(&mut of);
            assert_eq!(of.state, state, "{states:?}");
            assert_eq!(of.reason.is_some(), state == RolloutState::Stopped);
        }
        let mut of = rollout(1, &[Healthy, Failed]);
        of.toolboxes[1].code = Some("not_healthy".to_owned());
        of.toolboxes[1].message = Some("No answer in 60 s".to_owned());
        conclude(&mut of);
        let reason = of.reason.unwrap();
        assert_eq!(reason.code, "not_healthy");
        assert_eq!(reason.toolbox_id, Some(of.toolboxes[1].id));
        assert!(
            reason
                .message
                .starts_with("Toolbox \"box 1\": No answer in 60 s. No further")
        );
    }

    #[test]
    fn what_a_machine_answers_decides_whether_it_is_under_way() {
        let answered = |code, is_doubtful| {
            let answer = refused(code, is_doubtful);
            after_asking(toolbox(0, State::Waiting), Err(answer), NOW)
        };
        let accepted = asked();
        assert_eq!(
            (accepted.state, accepted.operation_id.as_deref()),
            (State::Asked, Some("c1"))
        );
        for (code, is_doubtful, state) in [
            // The call may have arrived, now or in a tick that died.
            (ErrorCode::AgentTimeout, true, State::Asked),
            (ErrorCode::AgentUnreachable, true, State::Asked),
            (ErrorCode::VersionChangeInProgress, false, State::Asked),
            (ErrorCode::AgentUnreachable, false, State::Failed),
            (ErrorCode::ReleaseUnknown, false, State::Failed),
            (ErrorCode::AgentNotEnrolled, false, State::Failed),
        ] {
            let after = answered(code, is_doubtful);
            assert_eq!(after.state, state, "{code:?}");
            assert_eq!(after.code.as_deref(), Some(code.as_str()));
            assert_eq!(after.ended_at.is_some(), state == State::Failed);
        }
    }

    #[test]
    fn a_toolbox_is_healthy_when_its_machine_says_so_and_its_agent_reports_so() {
        use VersionChangePhase::{Draining, Failed, Healthy, RolledBack};
        let later = NOW + Duration::from_mins(1);
        let look = |row: &EnvironmentRow, told: Result<Option<&VersionChange>, &ApiError>| {
            after_look(asked(), &version(), row, told, later).state
        };
        let (new, old) = (row("active", VERSION), row("active", "1.0.0"));
        for (row, phase, state) in [
            (&new, Healthy, State::Healthy),
            (&old, Healthy, State::Asked),
            (&row("unresponsive", VERSION), Healthy, State::Asked),
            (&new, Draining, State::Asked),
            (&old, RolledBack, State::Failed),
            (&new, Failed, State::Failed),
        ] {
            let change = change("c1", VERSION, phase);
            assert_eq!(look(row, Ok(Some(&change))), state, "{row:?} {phase:?}");
        }
        assert_eq!(
            look(&new, Err(&ApiError::new(ErrorCode::AgentUnreachable))),
            State::Asked,
            "it may be between two agents"
        );
    }

    #[test]
    fn a_failure_says_what_the_machine_said() {
        let mut back = change("c1", VERSION, VersionChangePhase::RolledBack);
        let told = |change: &VersionChange| {
            let after = after_look(
                asked(),
                &version(),
                &row("active", "1.0.0"),
                Ok(Some(change)),
                NOW,
            );
            format!("{} {}", after.code.unwrap(), after.message.unwrap())
        };
        assert!(told(&back).starts_with("redeploy_failed The agent could not be replaced"));
        back.reason = Some(Reason {
            code: "not_healthy".to_owned(),
            message: "No answer in 60 s".to_owned(),
        });
        assert_eq!(told(&back), "not_healthy No answer in 60 s");
    }

    #[test]
    fn what_was_perhaps_begun_is_recognised_by_its_version() {
        let perhaps = || {
            let answer = refused(ErrorCode::VersionChangeInProgress, false);
            after_asking(toolbox(0, State::Waiting), Err(answer), NOW)
        };
        let look = |toolbox, change: &VersionChange| {
            let row = row("active", VERSION);
            after_look(toolbox, &version(), &row, Ok(Some(change)), NOW)
        };
        let of_dead_tick = |to, phase| change("of a tick that died", to, phase);
        let change_of = of_dead_tick(VERSION, VersionChangePhase::Healthy);
        let healthy = look(perhaps(), &change_of);
        assert_eq!((healthy.state, healthy.code), (State::Healthy, None));
        // One whose id is known is another one, even to the same version.
        for (toolbox, change) in [
            (
                perhaps(),
                of_dead_tick("1.9.0", VersionChangePhase::Draining),
            ),
            (asked(), change("c2", VERSION, VersionChangePhase::Healthy)),
        ] {
            let other = look(toolbox, &change);
            assert_eq!(other.state, State::Failed);
            assert_eq!(other.code.as_deref(), Some("version_changed_otherwise"));
        }
    }

    #[test]
    fn what_did_not_arrive_is_asked_again_and_an_earlier_change_is_not_taken_for_it() {
        let row = row("active", "1.0.0");
        let at = |seconds, told: Option<&VersionChange>| {
            let now = NOW + Duration::from_secs(seconds);
            after_look(perhaps_asked(), &version(), &row, Ok(told), now)
        };
        let finished = |to: &str, phase, at: Duration| VersionChange {
            finished_at: Some(moment::format(at)),
            ..change("before", to, phase)
        };
        let before = NOW.saturating_sub(Duration::from_secs(1));
        for told in [
            None,
            Some(finished(VERSION, VersionChangePhase::RolledBack, before)),
            Some(finished(VERSION, VersionChangePhase::Healthy, before)),
            Some(finished("1.0.0", VersionChangePhase::Healthy, before)),
        ] {
            let after = at(30, told.as_ref());
            assert_eq!(after.state, State::Waiting, "{told:?}");
            assert_eq!(after.code.as_deref(), Some("agent_timeout"));
            // What came before it was accepted takes nothing of its time.
            let accepted = NOW + Duration::from_mins(19);
            let again = after_asking(after, Ok("c9".to_owned()), accepted);
            assert_eq!(again.asked_at, Some(moment::format(accepted)));
            assert_eq!((again.state, again.code), (State::Asked, None));
        }
        let since = finished(VERSION, VersionChangePhase::RolledBack, NOW);
        assert_eq!(at(30, Some(&since)).state, State::Failed);
        let under_way = change("since", VERSION, VersionChangePhase::Draining);
        assert_eq!(at(30, Some(&under_way)).state, State::Asked);
    }

    #[test]
    fn who_is_silent_after_the_asking_has_perhaps_taken_the_version() {
        let silent = ApiError::new(ErrorCode::AgentUnreachable);
        let row = row("unresponsive", "1.0.0");
        for toolbox in [perhaps_asked(), asked()] {
            let first = after_look(toolbox, &version(), &row, Err(&silent), NOW);
            assert_eq!(first.state, State::Asked);
            let late = NOW + HEALTHY_WITHIN;
            let last = after_look(first, &version(), &row, Err(&silent), late);
            assert_eq!(last.state, State::Failed, "it stops the rollout");
        }
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let row = row("active", "1.0.0");
        let healthy = change("c1", VERSION, VersionChangePhase::Healthy);
        let silent = ApiError::new(ErrorCode::AgentUnreachable);
        let look = |toolbox, seconds, told| {
            let now = NOW + Duration::from_secs(seconds);
            after_look(toolbox, &version(), &row, told, now)
        };
        let looked = |toolbox| RolloutToolbox {
            looked_at: Some(moment::format(NOW)),
            ..toolbox
        };
        let first = look(asked(), 1199, Err(&silent));
        assert_eq!(
            (first.state, first.looked_at.is_some()),
            (State::Asked, true)
        );
        for (toolbox, told, text) in [
            (
                asked(),
                Err(&silent),
                "does not say how it goes (The agent cannot be reached) after 20 minutes",
            ),
            (
                asked(),
                Ok(None),
                "answers, and knows of no such change after 20",
            ),
            (
                perhaps_asked(),
                Ok(None),
                "knows of no such change after 20 minutes. When it was asked: ",
            ),
            (asked(), Ok(Some(&healthy)), "no heartbeat came"),
        ] {
            // Ticks may have been away since it was asked.
            let once = look(toolbox.clone(), 1200, told);
            assert_eq!(once.state, State::Asked, "{text}");
            for toolbox in [once, looked(toolbox)] {
                let after = look(toolbox, 1200, told);
                assert_eq!(after.code.as_deref(), Some("rollout_timeout"));
                let message = after.message.unwrap();
                assert!(message.contains(text), "{message}");
            }
        }
    }
}
