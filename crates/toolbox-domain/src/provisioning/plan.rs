//! The rules: what is read, what follows, what is written.

use core::time::Duration;

use super::{
    Act, ActionState, CHECK, Change, Done, Failure, GRACE, Look, Machine, Next, Power, Record,
    Seen, Set, Step, Toolbox, Write, droplet_name,
};
use crate::lifecycle::EnvironmentStatus as Status;

/// Between two looks at something that DigitalOcean works on.
const SOON: Duration = Duration::from_secs(5);
/// Between two looks at a machine whose agent is waited for. The heartbeat itself ends the wait.
const AGENT_LOOK: Duration = Duration::from_secs(20);
/// An agent that reported so lately is on a machine that is there, whatever DigitalOcean shows.
const ALIVE: Duration = Duration::from_secs(150);
/// A machine that shuts down may take so long before it loses its power.
const SHUTDOWN: Duration = Duration::from_mins(1);
/// Longest pause between two tries of a step.
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// Longest pause between two tries to remove what may be paid for.
const MAX_REMOVAL_PAUSE: Duration = Duration::from_mins(10);

/// What is to be read of DigitalOcean before [`next`].
pub fn look(toolbox: &Toolbox) -> Look {
    match toolbox.step {
        Some(Step::Machine) if toolbox.machine_asked_age.is_none() => Look::Nothing,
        Some(Step::Machine | Step::CleanMachine | Step::RemoveMachine) => Look::All,
        Some(Step::Boot | Step::Agent | Step::Stop | Step::Resize | Step::Start | Step::Reboot) => {
            Look::Own
        }
        None if is_checked(toolbox) => Look::Own,
        Some(Step::Firewall | Step::CleanFirewall | Step::RemoveFirewall) | None => Look::Nothing,
    }
}

/// What follows from the row and from what was seen.
pub fn next(toolbox: &Toolbox, seen: &Seen) -> Next {
    let machine = seen.machines.first();
    match toolbox.step {
        Some(Step::Firewall) if is_overdue(toolbox) => {
            write(given_up(toolbox, "The firewall could not be made", true))
        }
        Some(Step::Firewall) => Next::Act(Act::EnsureFirewall),
        Some(Step::Machine) => order(toolbox, machine),
        Some(Step::Boot) => boot(toolbox, machine),
        Some(Step::Agent) => agent(toolbox, machine),
        Some(Step::CleanMachine | Step::RemoveMachine) => remove(toolbox, machine),
        Some(Step::CleanFirewall | Step::RemoveFirewall) => Next::Act(Act::DeleteFirewall),
        Some(Step::Stop) => stop(toolbox, machine),
        Some(Step::Resize) => resize(toolbox, machine, seen.action),
        Some(Step::Start) => start(toolbox, machine),
        Some(Step::Reboot) => reboot(toolbox, machine, seen.action),
        None if is_checked(toolbox) => check(toolbox, machine),
        None => write(Record::default()),
    }
}

/// What is written after an action.
pub fn after(toolbox: &Toolbox, act: &Act, end: Result<Done, Failure>) -> Write {
    let failure = match end {
        Ok(done) => return after_success(toolbox, act, done),
        Err(failure) => failure,
    };
    Write::Record(match act {
        Act::EnsureFirewall => try_again_or(toolbox, &failure, |t, words| {
            given_up(t, words, failure.may_have_happened)
        }),
        Act::CreateMachine { again } => {
            // Only the first order can be known to have made nothing: an earlier one may still come to life.
            let is_nothing = !again && !failure.may_have_happened;
            // An order whose end is not known is looked for, however it failed.
            let mut record = if failure.may_have_happened {
                try_again(toolbox, &failure)
            } else {
                try_again_or(toolbox, &failure, |t, words| given_up(t, words, true))
            };
            record.set.machine_not_asked = is_nothing;
            record
        }
        Act::DeleteMachine(_) | Act::DeleteFirewall => removal_failed(toolbox, &failure),
        Act::Change(_, change) => match change {
            Change::Shutdown | Change::PowerOff | Change::Resize(_) => {
                try_again_or(toolbox, &failure, size_kept)
            }
            Change::PowerOn => try_again(toolbox, &failure),
            Change::Reboot => try_again_or(toolbox, &failure, |t, words| finished(t, Some(words))),
            Change::Rename(_) => Record {
                due: Some(CHECK),
                problem: Some(failure.words),
                ..same(toolbox)
            },
        },
    })
}

/// What is written when DigitalOcean could not be read.
pub fn look_failed(toolbox: &Toolbox, failure: &Failure) -> Write {
    Write::Record(match toolbox.step {
        Some(
            Step::CleanMachine | Step::CleanFirewall | Step::RemoveMachine | Step::RemoveFirewall,
        ) => removal_failed(toolbox, failure),
        Some(Step::Firewall | Step::Machine | Step::Boot | Step::Agent) if is_overdue(toolbox) => {
            given_up(toolbox, &failure.words, true)
        }
        Some(Step::Stop | Step::Resize) if is_overdue(toolbox) => {
            size_kept(toolbox, &failure.words)
        }
        Some(Step::Start | Step::Reboot) if is_overdue(toolbox) => {
            finished(toolbox, Some(&failure.words))
        }
        Some(_) => try_again(toolbox, failure),
        // Of a toolbox in use nothing is said that was not seen.
        None => Record {
            due: Some(pause(toolbox, failure, MAX_PAUSE).max(GRACE)),
            problem: toolbox.problem.clone(),
            ..same(toolbox)
        },
    })
}

fn after_success(toolbox: &Toolbox, act: &Act, done: Done) -> Write {
    Write::Record(match (act, done) {
        (Act::EnsureFirewall, done) => Record {
            step: Some(Step::Machine),
            status: Some(Status::Provisioning),
            due: Some(Duration::ZERO),
            set: Set {
                firewall: match done {
                    Done::Firewall(id) => Some(Some(id)),
                    _ => None,
                },
                ..Set::default()
            },
            ..Record::default()
        },
        (Act::CreateMachine { .. }, Done::Machine(machine)) => booting(&machine),
        // The next look finds it by its tag.
        (Act::CreateMachine { .. }, _) => waiting(toolbox, SOON),
        // What is left shows itself at the next look.
        (Act::DeleteMachine(id), _) => Record {
            set: Set {
                droplet: (toolbox.droplet == Some(*id)).then_some(None),
                ..Set::default()
            },
            ..waiting(toolbox, Duration::from_secs(1))
        },
        (Act::DeleteFirewall, _) if toolbox.step == Some(Step::RemoveFirewall) => {
            return Write::RemoveRow;
        }
        (Act::DeleteFirewall, _) => Record {
            status: Some(Status::ErrorProvisioning),
            problem: toolbox.problem.clone(),
            set: Set {
                firewall: Some(None),
                ..Set::default()
            },
            ..Record::default()
        },
        (Act::Change(id, Change::Rename(name)), _) => Record {
            // What was asked for; the next check writes the name that the droplet has then.
            due: Some(GRACE),
            set: Set {
                droplet: Some(Some((*id, name.clone()))),
                ..Set::default()
            },
            ..same(toolbox)
        },
        (Act::Change(..), done) => Record {
            set: Set {
                action: match done {
                    Done::Action(id) => Some(Some(id)),
                    _ => None,
                },
                ..Set::default()
            },
            ..waiting(toolbox, SOON)
        },
    })
}

/// An active droplet is looked at now and then.
fn is_checked(toolbox: &Toolbox) -> bool {
    matches!(toolbox.status, Status::Active | Status::Unresponsive) && toolbox.droplet.is_some()
}

fn order(toolbox: &Toolbox, machine: Option<&Machine>) -> Next {
    if let Some(machine) = machine {
        return write(booting(machine));
    }
    if is_overdue(toolbox) {
        return write(given_up(toolbox, "DigitalOcean made no machine", true));
    }
    match toolbox.machine_asked_age {
        Some(age) if age < GRACE => write(waiting(toolbox, SOON.min(GRACE.saturating_sub(age)))),
        asked => Next::Act(Act::CreateMachine {
            again: asked.is_some(),
        }),
    }
}

fn boot(toolbox: &Toolbox, machine: Option<&Machine>) -> Next {
    match machine {
        Some(Machine {
            address: Some(address),
            power: Power::On,
            id,
            name,
            ..
        }) => write(Record {
            step: Some(Step::Agent),
            status: Some(Status::AwaitingHeartbeat),
            due: Some(AGENT_LOOK),
            set: Set {
                droplet: Some(Some((*id, name.clone()))),
                address: Some(Some(*address)),
                ..Set::default()
            },
            ..Record::default()
        }),
        None if toolbox.step_age >= GRACE => write(given_up(toolbox, GONE_EARLY, true)),
        _ if is_overdue(toolbox) => write(given_up(
            toolbox,
            "The machine did not start within 10 minutes",
            true,
        )),
        _ => write(waiting(toolbox, SOON)),
    }
}

const GONE_EARLY: &str = "The machine was removed at DigitalOcean before it was ready";

fn agent(toolbox: &Toolbox, machine: Option<&Machine>) -> Next {
    let Some(machine) = machine else {
        // A machine that was just seen may be missing in one answer.
        return if toolbox.tries == 0 {
            write(Record {
                failed: true,
                ..waiting(toolbox, AGENT_LOOK)
            })
        } else {
            write(given_up(toolbox, GONE_EARLY, true))
        };
    };
    if is_overdue(toolbox) {
        let words = "The agent did not report within 15 minutes: the machine could not install it, \
                     or cannot reach the control plane";
        return write(given_up(toolbox, words, true));
    }
    write(Record {
        set: moved(toolbox, machine),
        ..waiting(toolbox, AGENT_LOOK)
    })
}

fn remove(toolbox: &Toolbox, machine: Option<&Machine>) -> Next {
    let is_removal = toolbox.step == Some(Step::RemoveMachine);
    if is_removal && toolbox.status == Status::PendingDeprovision {
        return write(Record {
            status: Some(Status::Deprovisioning),
            ..waiting(toolbox, Duration::ZERO)
        });
    }
    if let Some(machine) = machine {
        return Next::Act(Act::DeleteMachine(machine.id));
    }
    // One that was there, and that nobody is known to have deleted, may be missing in one answer.
    if toolbox.droplet.is_some() && toolbox.tries == 0 {
        return write(Record {
            failed: true,
            ..waiting(toolbox, GRACE)
        });
    }
    // One that was asked for a moment ago may not show itself yet.
    if let Some(left) = toolbox
        .machine_asked_age
        .and_then(|age| GRACE.checked_sub(age))
        .filter(|left| !left.is_zero())
    {
        return write(waiting(toolbox, left));
    }
    write(Record {
        step: Some(if is_removal {
            Step::RemoveFirewall
        } else {
            Step::CleanFirewall
        }),
        status: is_removal.then_some(Status::Deprovisioning),
        due: Some(Duration::ZERO),
        problem: toolbox.problem.clone(),
        set: no_machine(),
        ..Record::default()
    })
}

fn stop(toolbox: &Toolbox, machine: Option<&Machine>) -> Next {
    let Some(machine) = machine else {
        return write(looked_at_again(toolbox));
    };
    if is_overdue(toolbox) {
        return write(size_kept(toolbox, "The machine could not be switched off"));
    }
    match machine.power {
        _ if machine.is_locked => write(waiting(toolbox, SOON)),
        Power::Off => write(Record {
            step: Some(Step::Resize),
            due: Some(Duration::ZERO),
            set: no_action(),
            ..Record::default()
        }),
        _ if toolbox.action.is_none() => Next::Act(Act::Change(machine.id, Change::Shutdown)),
        _ if toolbox.step_age >= SHUTDOWN => Next::Act(Act::Change(machine.id, Change::PowerOff)),
        _ => write(waiting(toolbox, SOON)),
    }
}

fn resize(toolbox: &Toolbox, machine: Option<&Machine>, action: Option<ActionState>) -> Next {
    let (Some(machine), Some(wanted)) = (machine, &toolbox.wanted_size) else {
        return write(looked_at_again(toolbox));
    };
    // A large disk takes long, and DigitalOcean goes on whatever is written here.
    if machine.is_locked || action == Some(ActionState::Working) {
        return write(waiting(toolbox, SOON));
    }
    if machine.size == *wanted {
        return write(Record {
            step: Some(Step::Start),
            due: Some(Duration::ZERO),
            set: Set {
                size: Some(wanted.clone()),
                no_wanted_size: true,
                ..no_action()
            },
            ..Record::default()
        });
    }
    match action {
        _ if is_overdue(toolbox) => write(size_kept(
            toolbox,
            "The machine did not get its new size within 15 minutes",
        )),
        Some(ActionState::Failed) => write(size_kept(
            toolbox,
            "DigitalOcean could not give the machine its new size",
        )),
        // Done, and the size is the old one in this answer still.
        Some(_) => write(waiting(toolbox, SOON)),
        None => Next::Act(Act::Change(machine.id, Change::Resize(wanted.clone()))),
    }
}

fn start(toolbox: &Toolbox, machine: Option<&Machine>) -> Next {
    let Some(machine) = machine else {
        return write(looked_at_again(toolbox));
    };
    if machine.power == Power::On && !machine.is_locked {
        return write(Record {
            set: Set {
                // It may have got the size although the answer said otherwise.
                size: (machine.size != toolbox.size).then(|| machine.size.clone()),
                no_wanted_size: true,
                ..moved(toolbox, machine)
            },
            ..finished(toolbox, toolbox.problem.as_deref())
        });
    }
    if is_overdue(toolbox) {
        return write(finished(
            toolbox,
            Some(
                "The machine could not be switched on; reboot it, or switch it on at DigitalOcean",
            ),
        ));
    }
    if machine.is_locked || machine.power != Power::Off {
        return write(waiting(toolbox, SOON));
    }
    Next::Act(Act::Change(machine.id, Change::PowerOn))
}

fn reboot(toolbox: &Toolbox, machine: Option<&Machine>, action: Option<ActionState>) -> Next {
    let Some(machine) = machine else {
        return write(looked_at_again(toolbox));
    };
    match action {
        Some(ActionState::Done) => write(finished(toolbox, None)),
        Some(ActionState::Failed) => write(finished(
            toolbox,
            Some("DigitalOcean could not restart the machine"),
        )),
        _ if is_overdue(toolbox) => write(finished(
            toolbox,
            Some("The machine did not restart within 5 minutes"),
        )),
        Some(ActionState::Working) => write(waiting(toolbox, SOON)),
        None if machine.is_locked => write(waiting(toolbox, SOON)),
        // A machine that is off has nothing that could restart.
        None if machine.power == Power::Off => Next::Act(Act::Change(machine.id, Change::PowerOn)),
        None => Next::Act(Act::Change(machine.id, Change::Reboot)),
    }
}

const SWITCHED_OFF: &str = "The machine is switched off";
const NOT_RENAMED: &str = "DigitalOcean has not given the machine its new name";

/// A toolbox in use: is its droplet there, where it was, and named as it is?
fn check(toolbox: &Toolbox, machine: Option<&Machine>) -> Next {
    let Some(machine) = machine else {
        return write(missing(toolbox));
    };
    let name = droplet_name(&toolbox.name, toolbox.id);
    let is_named = machine.name == name;
    if !is_named && machine.is_locked {
        // What is done to it may be the renaming.
        return write(waiting(toolbox, GRACE));
    }
    // A name that was asked for and not given is asked for again by the next check but one, and not for ever in a row.
    if !is_named && toolbox.droplet_name.as_ref() != Some(&name) {
        return Next::Act(Act::Change(machine.id, Change::Rename(name)));
    }
    let off = (machine.power == Power::Off).then(|| SWITCHED_OFF.to_owned());
    let other = (!is_named).then(|| NOT_RENAMED.to_owned());
    // How the last change ended is told until the next one.
    let kept = toolbox.problem.clone().filter(|problem| {
        toolbox.tries == 0 && ![SWITCHED_OFF, NOT_RENAMED].contains(&problem.as_str())
    });
    write(Record {
        due: Some(CHECK),
        problem: off.or(other).or(kept),
        set: moved(toolbox, machine),
        ..same(toolbox)
    })
}

/// A droplet that is not shown is gone only when it is not shown twice, and its agent is silent.
fn missing(toolbox: &Toolbox) -> Record {
    if toolbox.heartbeat_age.is_some_and(|age| age < ALIVE) {
        return Record {
            due: Some(ALIVE),
            problem: toolbox.problem.clone(),
            ..same(toolbox)
        };
    }
    if toolbox.tries == 0 {
        return Record {
            failed: true,
            due: Some(GRACE),
            problem: Some("DigitalOcean does not show the machine".to_owned()),
            ..same(toolbox)
        };
    }
    Record {
        step: Some(Step::CleanFirewall),
        problem: Some("The machine was deleted at DigitalOcean".to_owned()),
        due: Some(Duration::ZERO),
        set: no_machine(),
        ..Record::default()
    }
}

/// It failed for good: what there is is removed, then the reason is told. Where there can be nothing, it is told at once.
fn given_up(toolbox: &Toolbox, words: &str, may_be_something: bool) -> Record {
    let problem = match &toolbox.problem {
        // Why the tries before the deadline failed is the better reason.
        Some(last) if is_overdue(toolbox) => Some(format!("{words}: {last}")),
        _ => Some(words.to_owned()),
    };
    let is_clean = !may_be_something
        && toolbox.machine_asked_age.is_none()
        && toolbox.droplet.is_none()
        && toolbox.firewall.is_none()
        && toolbox.tries == 0;
    if is_clean {
        Record {
            status: Some(Status::ErrorProvisioning),
            problem,
            ..Record::default()
        }
    } else {
        Record {
            step: Some(Step::CleanMachine),
            due: Some(Duration::ZERO),
            problem,
            ..Record::default()
        }
    }
}

fn booting(machine: &Machine) -> Record {
    Record {
        step: Some(Step::Boot),
        due: Some(SOON),
        set: Set {
            droplet: Some(Some((machine.id, machine.name.clone()))),
            ..Set::default()
        },
        ..Record::default()
    }
}

/// A change has ended.
fn finished(_: &Toolbox, problem: Option<&str>) -> Record {
    Record {
        due: Some(CHECK),
        problem: problem.map(str::to_owned),
        set: Set {
            no_wanted_size: true,
            ..no_action()
        },
        ..Record::default()
    }
}

/// The machine keeps the size it has, and is switched on again.
fn size_kept(_: &Toolbox, words: &str) -> Record {
    Record {
        step: Some(Step::Start),
        due: Some(Duration::ZERO),
        problem: Some(words.to_owned()),
        set: no_action(),
        ..Record::default()
    }
}

/// A change of a machine that is not shown ends; whether the machine is gone is seen by the check.
fn looked_at_again(toolbox: &Toolbox) -> Record {
    Record {
        due: Some(Duration::ZERO),
        ..finished(
            toolbox,
            Some("DigitalOcean did not show the machine, so it was not changed"),
        )
    }
}

fn removal_failed(toolbox: &Toolbox, failure: &Failure) -> Record {
    let is_cleaning = matches!(toolbox.step, Some(Step::CleanMachine | Step::CleanFirewall));
    let told = match toolbox.status {
        Status::Deprovisioning if is_overdue(toolbox) => Some(Status::ErrorDeprovisioning),
        _ => None,
    };
    Record {
        status: told,
        // Why it is cleaned up stays the reason.
        problem: if is_cleaning {
            toolbox.problem.clone()
        } else {
            Some(failure.words.clone())
        },
        failed: true,
        due: Some(pause(toolbox, failure, MAX_REMOVAL_PAUSE)),
        ..same(toolbox)
    }
}

fn try_again_or(
    toolbox: &Toolbox,
    failure: &Failure,
    otherwise: impl Fn(&Toolbox, &str) -> Record,
) -> Record {
    if failure.is_passing {
        try_again(toolbox, failure)
    } else {
        otherwise(toolbox, &failure.words)
    }
}

fn try_again(toolbox: &Toolbox, failure: &Failure) -> Record {
    Record {
        failed: true,
        problem: Some(failure.words.clone()),
        due: Some(pause(toolbox, failure, MAX_PAUSE)),
        ..same(toolbox)
    }
}

/// Doubles with every try.
fn pause(toolbox: &Toolbox, failure: &Failure, longest: Duration) -> Duration {
    let grown = Duration::from_secs(2 << toolbox.tries.min(10));
    grown.min(longest).max(
        failure
            .retry_after
            .unwrap_or_default()
            .min(MAX_REMOVAL_PAUSE),
    )
}

fn waiting(toolbox: &Toolbox, due: Duration) -> Record {
    Record {
        due: Some(due),
        problem: toolbox.problem.clone(),
        ..same(toolbox)
    }
}

fn same(toolbox: &Toolbox) -> Record {
    Record {
        step: toolbox.step,
        ..Record::default()
    }
}

/// Where the machine is now, and how it is named.
fn moved(toolbox: &Toolbox, machine: &Machine) -> Set {
    let is_new =
        toolbox.droplet != Some(machine.id) || toolbox.droplet_name.as_ref() != Some(&machine.name);
    Set {
        droplet: is_new.then(|| Some((machine.id, machine.name.clone()))),
        address: machine
            .address
            .filter(|address| toolbox.address != Some(*address))
            .map(Some),
        ..Set::default()
    }
}

fn no_machine() -> Set {
    Set {
        droplet: Some(None),
        address: Some(None),
        machine_not_asked: true,
        ..no_action()
    }
}

fn no_action() -> Set {
    Set {
        action: Some(None),
        ..Set::default()
    }
}

fn is_overdue(toolbox: &Toolbox) -> bool {
    let deadline = toolbox.step.and_then(Step::deadline);
    deadline.is_some_and(|deadline| toolbox.step_age >= deadline)
}

fn write(record: Record) -> Next {
    Next::Write(Write::Record(record))
}
