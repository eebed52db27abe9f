//! A user's request in an edge function: `toolbox-instances`.

use toolbox_domain::lifecycle::Request;

use crate::control;
use crate::rules::Rules;
use crate::state::{Answer, Broken, Command, Generation, Message, Report, Stage, State, Worker};

/// Where the worker of this operation is in the list.
pub fn find(state: &State, instance: usize, generation: Generation) -> Option<usize> {
    let is_it = |w: &Worker| w.instance == instance && w.generation == generation;
    state.workers.iter().position(is_it)
}

/// The message that carries a worker's command.
pub fn command(worker: &Worker) -> Message {
    let put = Command::Put {
        desired: control::desired_by(worker.action),
        spec: worker.spec,
        restart: worker.action == Request::Restart,
    };
    Message::Command {
        instance: worker.instance,
        generation: worker.generation,
        command: match worker.action {
            Request::Deploy | Request::Update => put,
            Request::Start | Request::Restart | Request::Stop if worker.redeploys => put,
            Request::Start => Command::Start,
            Request::Restart => Command::Restart,
            Request::Stop => Command::Stop,
            Request::Delete => Command::Delete,
        },
    }
}

/// A worker begins, or tries once more.
pub fn tell(state: &mut State, at: usize) {
    state.workers[at].stage = Stage::Telling;
    let message = command(&state.workers[at]);
    state.send(message);
}

/// A worker ends; an answer that is on its way finds nobody.
pub fn end(state: &mut State, at: usize) -> Worker {
    let worker = state.workers.remove(at);
    forget_answers(state, &worker);
    worker
}

/// The answer to an attempt that was given up is not waited for.
pub fn forget_answers(state: &mut State, worker: &Worker) {
    state.network.retain(|m| {
        !matches!(m, Message::Answer { instance, generation, .. }
            if *instance == worker.instance && *generation == worker.generation)
    });
}

/// An answer arrives: `settle.rs` and `dispatch.rs` of `toolbox-instances`.
pub fn answered(state: &mut State, rules: &Rules, at: usize, answer: Answer) {
    let worker = &mut state.workers[at];
    let is_poll = worker.stage == Stage::Polling;
    match answer {
        Answer::View(report) => {
            worker.accepted = worker.action == Request::Delete;
            if report.settled && report.generation >= worker.generation {
                conclude(state, rules, at, Some(report));
            } else {
                worker.stage = Stage::Polling;
            }
        }
        Answer::Removed => {
            conclude(state, rules, at, None);
        }
        Answer::Gap => {
            worker.redeploys = true;
            tell(state, at);
        }
        Answer::Unknown => unknown(state, rules, at, is_poll),
        Answer::Conflict | Answer::Refused => {
            let worker = end(state, at);
            control::record_nothing_happened(state, rules, &worker);
        }
    }
}

fn unknown(state: &mut State, rules: &Rules, at: usize, is_poll: bool) {
    let worker = &mut state.workers[at];
    match worker.action {
        Request::Delete if !worker.accepted && rules.removal_needs_the_deletion_confirmed => {
            tell(state, at);
        }
        Request::Delete | Request::Stop => conclude(state, rules, at, None),
        // A command that has not arrived yet may still arrive.
        _ if is_poll => {}
        Request::Start | Request::Restart if !worker.redeploys => {
            worker.redeploys = true;
            tell(state, at);
        }
        _ => {
            let worker = end(state, at);
            control::record_nothing_happened(state, rules, &worker);
        }
    }
}

/// The agent is done: it is recorded, and the user is told. None: nothing is left.
fn conclude(state: &mut State, rules: &Rules, at: usize, seen: Option<Report>) {
    let worker = end(state, at);
    control::record_end(state, rules, &worker, seen);
    let is_later = seen.is_some_and(|r| r.generation > worker.generation);
    let failed = seen.is_some_and(control::is_failure);
    let superseded = is_later && rules.success_needs_own_generation;
    if !failed && !superseded && !worker.seen {
        state.break_with(Broken::SuccessUnseen);
    }
}
