//! The control plane's database: what its functions do in one transaction each.

use toolbox_domain::lifecycle::{
    Desired, InstanceState, InstanceStatus, Observed, Reason, Request, can_transition, observe,
    request,
};

use crate::agent;
use crate::rules::Rules;
use crate::state::{
    Answer, Broken, Command, Generation, Message, Operation, PerInstance, Phase, Report, Row, Spec,
    Stage, State, Wanted, Worker,
};
use crate::views;

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
    if row.operation.is_some_and(|o| o.leased) {
        return false;
    }
    let Ok(to) = request(&row.state, action) else {
        return false;
    };
    let previous = (!is_new).then(|| row.state.clone());
    let mut row = row;
    abandon(&mut row);
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

/// What a report is to the lifecycle: `toolbox-instances/src/observation.rs`.
fn observed(report: Option<Report>) -> Observed {
    match report.and_then(|r| r.phase) {
        None => Observed::Absent,
        Some(Phase::Preparing) => Observed::Preparing,
        Some(Phase::Starting) => Observed::Starting,
        Some(Phase::Running) => Observed::Running,
        Some(Phase::Stopping) => Observed::Stopping,
        Some(Phase::Stopped) => Observed::Stopped,
        Some(Phase::Removing) => Observed::Removing,
        Some(Phase::Error) => Observed::Failed(failure()),
    }
}

fn failure() -> Reason {
    Reason::new("exited", "It ended at once").unwrap_or_else(|_| Reason::unspecified())
}

/// `private.apply_steps`, with the guard's check of each.
pub(crate) fn apply_steps(state: &mut State, instance: usize, steps: Vec<InstanceState>) {
    for step in steps {
        let Some(row) = &mut state.rows[instance] else {
            return;
        };
        let legal = can_transition(row.state.status(), step.status());
        row.state = step;
        if !legal {
            state.break_with(Broken::IllegalTransition);
        }
    }
}

/// Whether a report may change the row: the others are passed over (`apply_instance_reports`).
pub(crate) fn is_news(row: &Row, report: Report) -> bool {
    let is_reverted = report.rolled_back && report.settled;
    let shown = match report.phase {
        _ if is_reverted => InstanceStatus::Error,
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
pub(crate) fn is_overtaken(row: &Row, rules: &Rules, seen: Option<Report>) -> bool {
    let version = seen.and_then(|r| r.version);
    let is_before = row.view.zip(version).is_some_and(|(l, v)| v.is_before(l));
    is_before && rules.overtaken_views_are_ignored
}

/// Steps that a view leads to, and its version: `private.apply_observation`, `store_report` and `store_view_version`.
/// That there is no view is taken as it comes.
pub(crate) fn apply_view(
    state: &mut State,
    instance: usize,
    seen: Option<Report>,
    steps: Vec<InstanceState>,
) {
    let is_news = !steps.is_empty();
    apply_steps(state, instance, steps);
    let (Some(row), Some(version)) = (&mut state.rows[instance], seen.and_then(|r| r.version))
    else {
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
pub(crate) fn close(state: &mut State, instance: usize, succeeded: bool) {
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
pub(crate) fn remove(state: &mut State, instance: usize) {
    // The guard: only a row in `deleting` can be removed.
    let is_deleting = |r: &Row| r.state.status() == InstanceStatus::Deleting;
    if !state.rows[instance].as_ref().is_some_and(is_deleting) {
        state.break_with(Broken::IllegalTransition);
    }
    state.rows[instance] = None;
    state.history[instance].removed = true;
}

/// What a settled report says of the spec: an update that was rolled back is undone in the row too. What is put back is
/// a new generation (`private.store_report`, `record_tool_instance_state`). Returns what the report is to the lifecycle.
pub(crate) fn settle_spec(row: &mut Row, rules: &Rules, seen: Option<Report>) -> Observed {
    let Some(report) = seen.filter(|r| r.settled && r.phase.is_some()) else {
        return observed(seen);
    };
    let updating = row
        .operation
        .filter(|o| o.action == Request::Update && o.generation == report.generation)
        .map(|o| o.previous_spec);
    let kept = row.kept.filter(|(g, _)| *g == report.generation);
    let way_back = updating.or(kept.map(|(_, spec)| spec));
    // An error may pass, and the update be rolled back after all.
    if way_back.is_some() {
        let stays = report.phase == Some(Phase::Error) && !report.rolled_back;
        row.kept = way_back
            .filter(|_| stays)
            .map(|spec| (report.generation, spec));
    }
    match way_back.filter(|_| report.rolled_back) {
        Some(spec) => {
            row.spec = spec;
            if rules.restoring_makes_a_generation {
                row.generation += 1;
            }
            observed(seen)
        }
        None if report.rolled_back && rules.roll_back_without_a_way_back_is_an_error => {
            Observed::Failed(failure())
        }
        None => observed(seen),
    }
}

/// The end that a worker saw, as `record_tool_instance_state` with its operation takes it. None: nothing is left.
pub fn record_end(state: &mut State, rules: &Rules, worker: &Worker, seen: Option<Report>) {
    let instance = worker.instance;
    let Some(row) = &mut state.rows[instance] else {
        return;
    };
    let ours = row
        .operation
        .is_some_and(|o| o.generation == worker.generation);
    let later = seen.is_some_and(|r| r.generation > worker.generation);
    if !ours || later || row.generation != worker.generation {
        return;
    }
    // How an operation ended was seen, whatever came after; there is nothing else to an earlier view.
    let is_late = is_overtaken(row, rules, seen);
    // A record that meets a moved row is decided again (`RECORD_ATTEMPTS`), so it is decided on the row as it is.
    let basis = if rules.records_compare_status {
        row.state.clone()
    } else {
        status(worker.begun)
    };
    let shown = settle_spec(row, rules, seen);
    let observation = observe(&basis, &shown, row.desired);
    let failed = seen.is_some_and(is_failure)
        || seen.is_none() && observation.steps.iter().any(|s| s.reason().is_some());
    if !is_late {
        apply_view(state, instance, seen, observation.steps);
    }
    close(state, instance, !failed);
    if observation.row_gone {
        remove(state, instance);
    }
}

/// It did not come to what was asked.
pub fn is_failure(report: Report) -> bool {
    report.phase == Some(Phase::Error) || report.rolled_back
}

/// The command certainly did not happen: `conclude.rs::failed`.
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

/// A read of the list: what the agent shows will be recorded, without an operation (`observation.rs::record_of`).
pub fn read(state: &mut State, instance: usize) {
    let seen = crate::heartbeat::view(state, instance);
    let Some(row) = &state.rows[instance] else {
        return;
    };
    // Whether there is a way back from a roll-back, the database knows: the agent's report tells it.
    if seen.is_none_or(|r| r.settled && !r.rolled_back) {
        let generation = seen.map_or(row.generation, |r| r.generation.max(row.generation));
        state.send(Message::Sighting {
            instance,
            generation,
            seen,
            absent_from: seen.is_none().then(|| row.state.status()),
        });
    }
}

/// What was read is recorded, after the answer to the reader. If the row has moved meanwhile, a view is decided again on
/// what the row is now; an absence only for what is to go (`observation.rs::may_decide_again`).
pub fn record_observation(
    state: &mut State,
    rules: &Rules,
    instance: usize,
    generation: Generation,
    seen: Option<Report>,
    absent_from: Option<InstanceStatus>,
) {
    let Some(row) = &mut state.rows[instance] else {
        return;
    };
    let has_moved = absent_from.is_some_and(|from| from != row.state.status());
    if has_moved && row.desired != Desired::Absent {
        return;
    }
    let behind = seen.is_none_or(|r| r.generation < row.generation);
    let desired = seen
        .filter(|_| behind)
        .map_or(row.desired, |report| report.desired);
    let mut observation = observe(&row.state, &observed(seen), desired);
    let leaving = matches!(
        row.state.status(),
        InstanceStatus::PendingDelete | InstanceStatus::Deleting
    );
    if leaving && seen.is_some() && behind {
        observation.steps = vec![InstanceState::error(failure())];
    }
    if observation.row_gone && rules.removal_needs_the_deletion_confirmed {
        // Only the answer to the deletion itself says so (`routes/list.rs::heal_one`).
        let answer = agent::accept(state, rules, instance, generation, Command::Delete);
        if answer != Answer::Removed {
            return;
        }
    }
    let Some(row) = &mut state.rows[instance] else {
        return;
    };
    let result = match seen {
        Some(report) if !behind => Some(!is_failure(report)),
        None if observation.row_gone => Some(true),
        _ => None,
    };
    // `find_operation_to_record` without an operation's id.
    let ends_its_own =
        result.is_some() && row.operation.is_some_and(|o| o.generation == generation);
    if !ends_its_own {
        abandon(row);
    }
    let is_late = is_overtaken(row, rules, seen);
    let is_stale = generation < row.generation || row.operation.is_some() || is_late;
    if is_stale && !ends_its_own {
        return;
    }
    if seen.is_some() && !behind {
        let shown = settle_spec(row, rules, seen);
        observation = observe(&row.state, &shown, row.desired);
    }
    if !is_late {
        apply_view(state, instance, seen, observation.steps);
    }
    if let Some(succeeded) = result {
        close(state, instance, succeeded);
    }
    if observation.row_gone {
        remove(state, instance);
    }
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
