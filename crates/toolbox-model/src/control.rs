//! The control plane's database: what its functions do in one transaction each.

use toolbox_domain::lifecycle::{
    Desired, InstanceState, InstanceStatus, Known, Observed, Reason, Request, Seen, View,
    can_transition, request,
};

use crate::agent;
use crate::rules::Rules;
use crate::state::{
    Answer, Broken, Command, Generation, Message, Operation, PerInstance, Phase, Report, Row, Spec,
    Stage, State, Wanted, Worker,
};
use crate::views::{self, Version};

/// What a command makes of the desired state: `toolbox-instances/src/change.rs`.
pub const fn desired_by(action: Request) -> Desired {
    match action {
        Request::Deploy | Request::Update | Request::Start | Request::Restart => Desired::Running,
        Request::Stop => Desired::Stopped,
        Request::Delete => Desired::Absent,
    }
}

/// `begin_tool_instance_operation` and the request that calls it: false when it is refused.
pub fn begin(state: &mut State, instance: usize, action: Request) -> bool {
    let is_new = action == Request::Deploy;
    if is_new == state.history[instance].deployed {
        return false;
    }
    let fresh = Row {
        state: status(InstanceStatus::PendingDeploy),
        generation: 0,
        desired: Desired::Running,
        spec: 1,
        restart: 0,
        operation: None,
        kept: None,
        view: None,
    };
    let Some(row) = state.rows[instance].clone().or(is_new.then_some(fresh)) else {
        return false;
    };
    let gives_way = |o: Operation| action.preempts().contains(&o.action);
    if row.operation.is_some_and(|o| o.leased && !gives_way(o)) {
        return false;
    }
    let Ok(to) = request(&row.state, action) else {
        return false;
    };
    let previous = (!is_new).then(|| row.state.clone());
    let mut row = row;
    // `private.supersede_operation`.
    end_lease(&mut row, false);
    // `private.forget_ways_back`.
    row.kept = None;
    if row.state.status() != to && !can_transition(row.state.status(), to) {
        state.break_with(Broken::IllegalTransition);
    }
    let (previous_spec, previous_desired) = (row.spec, row.desired);
    row.state = status(to);
    row.generation += 1;
    row.desired = desired_by(action);
    if action == Request::Update {
        // A spec is named by the generation that brought it.
        row.spec = row.generation;
    }
    row.restart = if action == Request::Restart {
        row.generation
    } else {
        0
    };
    row.operation = Some(Operation {
        action,
        generation: row.generation,
        leased: true,
        previous_spec,
        seen: false,
    });
    state.workers.push(Worker {
        instance,
        generation: row.generation,
        action,
        spec: row.spec,
        begun: to,
        previous,
        previous_desired,
        stage: Stage::Telling,
        accepted: false,
        redeploys: false,
        seen: false,
    });
    state.history[instance].deployed = true;
    state.rows[instance] = Some(row);
    true
}

/// A status other than `error`.
fn status(status: InstanceStatus) -> InstanceState {
    // No status given here is `error`; that one always comes with its reason.
    InstanceState::new(status, None).unwrap_or_else(|_| InstanceState::error(Reason::unspecified()))
}

/// The lease of the row's operation runs out. Who looks next ends the operation; as time is left open, that may as well
/// be at once.
pub fn end_lease(row: &mut Row, lazily: bool) {
    if let Some(operation) = &mut row.operation {
        operation.leased = false;
    }
    if !lazily {
        abandon(row);
    }
}

/// `private.abandon_expired_operations`.
pub(crate) fn abandon(row: &mut Row) {
    let Some(operation) = row.operation.filter(|o| !o.leased) else {
        return;
    };
    row.operation = None;
    if operation.action == Request::Update {
        row.kept = Some((operation.generation, operation.previous_spec));
    }
}

/// What a report is to the lifecycle: `toolbox-instances/src/observation.rs`. None: nothing of the instance is shown.
pub(crate) fn seen_of(report: Option<Report>) -> Seen {
    let Some(report) = report else {
        return Seen::Missing;
    };
    let generation = report.generation.into();
    let Some(phase) = report.phase else {
        return Seen::Gone { generation };
    };
    let observed = match phase {
        Phase::Preparing => Observed::Preparing,
        Phase::Starting => Observed::Starting,
        Phase::Running => Observed::Running,
        Phase::Stopping => Observed::Stopping,
        Phase::Stopped => Observed::Stopped,
        Phase::Removing => Observed::Removing,
        Phase::Error => Observed::Failed(failure()),
    };
    Seen::View(View {
        generation,
        observed,
        settled: report.settled,
        desired: Some(report.desired),
        failure: is_failure(report).then(failure),
        rolled_back: report.rolled_back,
    })
}

/// What the domain needs to know of a row.
fn known(row: &Row) -> Known {
    Known {
        state: row.state.clone(),
        desired: row.desired,
        generation: row.generation.into(),
    }
}

fn failure() -> Reason {
    Reason::new("exited", "It ended at once").unwrap_or_else(|_| Reason::unspecified())
}

/// `private.apply_steps`, with the guard's check of each.
fn apply_steps(state: &mut State, instance: usize, steps: Vec<InstanceState>) {
    for step in steps {
        let Some(row) = &mut state.rows[instance] else {
            return;
        };
        // Another reason of an error is no transition.
        let stays = row.state.reason().is_some() && step.reason().is_some();
        let legal = stays || can_transition(row.state.status(), step.status());
        row.state = step;
        if !legal {
            state.break_with(Broken::IllegalTransition);
        }
    }
}

/// Whether a report may change the row: `private.compare_instance_reports`.
pub(crate) fn is_news(row: &Row, report: Report) -> bool {
    let is_rolled_back = report.rolled_back && report.settled;
    let shown = match report.phase {
        _ if is_rolled_back => InstanceStatus::Error,
        None | Some(Phase::Removing) => return true,
        Some(Phase::Preparing) => InstanceStatus::Deploying,
        Some(Phase::Starting) => InstanceStatus::Starting,
        Some(Phase::Running) => InstanceStatus::Running,
        Some(Phase::Stopping) => InstanceStatus::Stopping,
        Some(Phase::Stopped) => InstanceStatus::Stopped,
        Some(Phase::Error) => InstanceStatus::Error,
    };
    let may_go_back = row.kept.is_some();
    report.generation > row.generation
        || shown != row.state.status()
        || row.operation.is_some()
        || may_go_back && (report.rolled_back || report.phase != Some(Phase::Error))
}

/// A later view of the same run was applied: `private.is_overtaken`.
pub(crate) fn is_overtaken(row: &Row, rules: &Rules, version: Option<Version>) -> bool {
    let is_before = row.view.zip(version).is_some_and(|(l, v)| v.is_before(l));
    is_before && rules.overtaken_views_are_ignored
}

/// Steps that a view leads to, and its version: `private.apply_steps` and `apply_observation`. That there is no view is taken
/// as it comes.
fn apply_view(
    state: &mut State,
    instance: usize,
    version: Option<Version>,
    steps: Vec<InstanceState>,
) {
    let is_news = !steps.is_empty();
    apply_steps(state, instance, steps);
    let (Some(row), Some(version)) = (&mut state.rows[instance], version) else {
        return;
    };
    row.view = Some(version);
    let last = state.history[instance].last_view;
    if is_news && last.is_some_and(|last| version.is_before(last)) {
        state.break_with(Broken::TakenBack);
    }
    views::note_told(state, instance, version);
}

/// `private.close_operation`. A user reads a success in the operation.
fn close(state: &mut State, instance: usize, succeeded: bool) {
    let Some(row) = &mut state.rows[instance] else {
        return;
    };
    if let Some(operation) = row.operation.take()
        && succeeded
        && !operation.seen
    {
        state.break_with(Broken::SuccessUnseen);
    }
}

/// The row goes: nothing is left of the instance.
fn remove(state: &mut State, instance: usize) {
    // The guard: only a row in `deleting` can be removed.
    let is_deleting = |r: &Row| r.state.status() == InstanceStatus::Deleting;
    if !state.rows[instance].as_ref().is_some_and(is_deleting) {
        state.break_with(Broken::IllegalTransition);
    }
    state.rows[instance] = None;
    state.history[instance].removed = true;
}

/// What was seen of an instance, and the row that it was decided of.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// What was seen.
    pub seen: Seen,
    /// Which view it is.
    pub version: Option<Version>,
    /// Generation of the row.
    pub generation: Generation,
    /// Its status. None: what was seen is decided again on whatever the row is.
    pub status: Option<InstanceStatus>,
    /// Generation of the observer's own operation.
    pub own: Option<Generation>,
}

/// `toolbox-instances/src/record.rs` and `record_tool_instance_states`: decided by the domain, and written onto the row that it
/// was decided of. On a row that has moved it is decided again, where that is right.
pub(crate) fn record(state: &mut State, rules: &Rules, instance: usize, entry: Entry) {
    let Entry {
        seen,
        version,
        generation,
        status: basis,
        own,
    } = entry;
    let Some(row) = &mut state.rows[instance] else {
        return;
    };
    if row.generation != generation {
        return;
    }
    let mut of = known(row);
    if let Some(basis) = basis.filter(|basis| *basis != row.state.status()) {
        if !rules.records_compare_status {
            of.state = status(basis);
        } else if !seen.may_decide_again(&of, own.is_some()) {
            return;
        }
    }
    let Some(decision) = of.decide(&seen) else {
        return;
    };
    let is_at = |o: Operation| match &seen {
        Seen::View(view) => u64::from(o.generation) == view.generation.max(of.generation),
        Seen::Gone { generation } => u64::from(o.generation) == *generation,
        Seen::Missing => u64::from(o.generation) == of.generation,
    };
    let is_end = decision.end.is_some() && row.operation.is_some_and(is_at);
    let is_live = row.operation.is_some_and(|o| o.leased);
    // How an operation ended was seen, whatever came after; there is nothing else to an earlier view.
    let is_late = is_overtaken(row, rules, version);
    let is_stale = match (own, row.operation) {
        (Some(own), operation) => !operation.is_some_and(|o| o.generation == own && is_at(o)),
        (None, Some(operation)) => is_live && (decision.only_idle || !is_at(operation)),
        (None, None) => false,
    };
    if is_stale || is_late && !is_end {
        return;
    }
    let is_over = |o: Operation| !is_at(o) || seen.is_settled() && !is_end;
    if own.is_none() && row.operation.is_some_and(is_over) {
        abandon(row);
    }
    let mut steps = decision.steps;
    if decision.end.is_some() {
        // What an update could go back to that has ended, or ends now.
        if let Some(operation) = row.operation.filter(|o| o.action == Request::Update) {
            row.kept = Some((operation.generation, operation.previous_spec));
        }
    }
    let way_back = row
        .kept
        .filter(|(of, _)| decision.restores_spec && *of == generation);
    if let Some((_, spec)) = way_back {
        row.spec = spec;
        if rules.restoring_makes_a_generation {
            row.generation += 1;
        }
    } else if decision.restores_spec && rules.roll_back_without_a_way_back_is_an_error {
        steps = vec![InstanceState::error(failure())];
    }
    if !is_late {
        apply_view(state, instance, version, steps);
    }
    if let Some(end) = decision.end {
        close(state, instance, end.is_ok());
        if let Some(row) = &mut state.rows[instance] {
            // An error may pass, and the update be rolled back after all.
            let may_pass = way_back.is_none() && row.state.status() == InstanceStatus::Error;
            row.kept = row.kept.filter(|_| may_pass && end.is_err());
        }
    }
    if decision.row_gone {
        remove(state, instance);
    }
}

/// The end that a worker saw. None: nothing is left.
pub fn record_end(state: &mut State, rules: &Rules, worker: &Worker, seen: Option<Report>) {
    let generation = worker.generation;
    let gone = Seen::Gone {
        generation: generation.into(),
    };
    let entry = Entry {
        seen: seen.map_or(gone, |report| seen_of(Some(report))),
        version: seen.and_then(|r| r.version),
        generation,
        status: Some(worker.begun),
        own: Some(generation),
    };
    record(state, rules, worker.instance, entry);
}

/// It did not come to what was asked.
pub fn is_failure(report: Report) -> bool {
    report.phase == Some(Phase::Error) || report.rolled_back
}

/// The command certainly did not happen: `settle.rs::fail`.
pub fn record_nothing_happened(state: &mut State, rules: &Rules, worker: &Worker) {
    let instance = worker.instance;
    let Some(row) = &mut state.rows[instance] else {
        return;
    };
    let ours = row
        .operation
        .is_some_and(|o| o.generation == worker.generation);
    if !ours || row.generation != worker.generation || row.state.status() != worker.begun {
        return;
    }
    let now = row.state.status();
    let steps = match &worker.previous {
        Some(previous) if previous.status() == now => Vec::new(),
        Some(previous) if can_transition(now, previous.status()) => vec![previous.clone()],
        _ => vec![InstanceState::error(failure())],
    };
    let undone = match worker.action {
        Request::Deploy | Request::Delete => false,
        Request::Start | Request::Stop | Request::Restart | Request::Update => true,
    };
    if undone {
        row.desired = worker.previous_desired;
        if worker.action == Request::Update
            && let Some(operation) = row.operation
        {
            row.spec = operation.previous_spec;
        }
        if rules.restoring_makes_a_generation {
            row.generation += 1;
        }
    }
    apply_steps(state, instance, steps);
    close(state, instance, false);
}

/// A read of the list: what the agent shows will be recorded, without an operation (`Observation::is_drift`).
pub fn read(state: &mut State, instance: usize) {
    let seen = crate::heartbeat::view(state, instance);
    let Some(row) = &state.rows[instance] else {
        return;
    };
    // Whether a rolled-back update has a spec to return to, the database knows: the agent's report tells it.
    if seen.is_none_or(|r| r.settled && !r.rolled_back) {
        state.send(Message::Drift {
            instance,
            generation: row.generation,
            seen,
            absent_from: seen.is_none().then(|| row.state.status()),
        });
    }
}

/// What was read is recorded, after the answer to the reader.
pub fn record_drift(
    state: &mut State,
    rules: &Rules,
    instance: usize,
    generation: Generation,
    seen: Option<Report>,
    absent_from: Option<InstanceStatus>,
) {
    let Some(row) = &state.rows[instance] else {
        return;
    };
    let mut entry = Entry {
        seen: seen_of(seen),
        version: seen.and_then(|r| r.version),
        generation,
        status: absent_from,
        own: None,
    };
    if seen.is_none() && row.generation == generation && known(row).is_being_deleted() {
        // Only the answer to the deletion itself says that nothing comes back (`list.rs::confirm`).
        if rules.removal_needs_the_deletion_confirmed {
            let answer = agent::accept(state, rules, instance, generation, Command::Delete);
            if answer != Answer::Removed {
                return;
            }
        }
        entry.seen = Seen::Gone {
            generation: generation.into(),
        };
    }
    record(state, rules, instance, entry);
}

/// `get_desired_state`.
pub fn desired_state(state: &State, rules: &Rules) -> PerInstance<Option<Wanted>> {
    std::array::from_fn(|i| {
        state.rows[i].as_ref().map(|row| Wanted {
            generation: row.generation,
            desired: row.desired,
            spec: row.spec,
            restart: rules.desired_state_names_restarts
                && row.restart == row.generation
                && (row.operation.is_some() || rules.restarts_outlive_leases),
        })
    })
}

/// The spec that the row names now.
pub fn spec_of(state: &State, instance: usize) -> Option<Spec> {
    state.rows[instance].as_ref().map(|row| row.spec)
}
