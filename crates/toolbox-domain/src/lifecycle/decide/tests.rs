//! What agents tell of instances, and what is to become of rows and operations.

use super::*;
use Desired as D;
use InstanceStatus as S;
use Observed as O;

fn reason(code: &str) -> Reason {
    Reason::new(code, "Something happened").unwrap()
}

/// A row at generation 4.
fn row(status: InstanceStatus, desired: Desired) -> Known {
    let reason = (status == S::Error).then(|| reason("exited"));
    Known {
        state: InstanceState::new(status, reason).unwrap(),
        desired,
        generation: 4,
    }
}

/// A settled view of generation 4.
fn view(observed: Observed) -> View {
    View {
        generation: 4,
        failure: match &observed {
            O::Failed(reason) => Some(reason.clone()),
            _ => None,
        },
        observed,
        settled: true,
        desired: Some(D::Running),
        rolled_back: false,
    }
}

fn working(observed: Observed) -> View {
    View {
        settled: false,
        ..view(observed)
    }
}

fn rolled_back(observed: Observed) -> View {
    View {
        failure: Some(reason("start_failed")),
        rolled_back: true,
        ..view(observed)
    }
}

fn decide(row: &Known, view: View) -> Decision {
    row.decide(&Seen::View(view)).unwrap()
}

fn statuses(decision: &Decision) -> Vec<S> {
    decision.steps.iter().map(InstanceState::status).collect()
}

const GONE: Seen = Seen::Gone { generation: 4 };

#[test]
fn a_settled_view_ends_the_operation_of_its_generation() {
    let decision = decide(&row(S::Starting, D::Running), view(O::Running));
    assert_eq!(
        decision,
        Decision {
            steps: vec![InstanceState::new(S::Running, None).unwrap()],
            row_gone: false,
            end: Some(Ok(())),
            restores_spec: false,
            only_idle: false,
        }
    );
    // Also when the row says the same already.
    let decision = decide(&row(S::Running, D::Running), view(O::Running));
    assert_eq!((decision.steps, decision.end), (vec![], Some(Ok(()))));
}

#[test]
fn progress_is_told_and_ends_nothing() {
    for (from, observed, to) in [
        (S::Stopping, O::Stopping, vec![]),
        (S::Starting, O::Preparing, vec![S::Deploying]),
        (S::Starting, O::Running, vec![S::Running]),
    ] {
        let decision = decide(&row(from, D::Running), working(observed));
        assert_eq!(statuses(&decision), to);
        assert_eq!((decision.end, decision.only_idle), (None, false));
    }
}

#[test]
fn a_failure_counts_for_the_operation_once_the_agent_gives_up() {
    let failed = O::Failed(reason("start_failed"));
    let decision = decide(&row(S::Starting, D::Running), working(failed.clone()));
    assert_eq!(
        (statuses(&decision), decision.end, decision.only_idle),
        (vec![S::Error], None, true)
    );
    let decision = decide(&row(S::Starting, D::Running), view(failed));
    assert_eq!(
        (statuses(&decision), decision.end, decision.only_idle),
        (vec![S::Error], Some(Err(reason("start_failed"))), false)
    );
}

#[test]
fn a_reason_without_an_error_is_a_failure_too() {
    // The same spec was deployed again and given up for what ran before: the tag names what does not start.
    let redeployed = View {
        failure: Some(reason("exited")),
        ..view(O::Running)
    };
    let decision = decide(&row(S::Deploying, D::Running), redeployed);
    assert_eq!(statuses(&decision), [S::Starting, S::Running]);
    assert_eq!(decision.end, Some(Err(reason("exited"))));
    assert!(!decision.restores_spec);
}

#[test]
fn a_roll_back_restores_the_spec_once_it_is_settled() {
    let decision = decide(&row(S::Deploying, D::Running), rolled_back(O::Running));
    assert_eq!(decision.end, Some(Err(reason("start_failed"))));
    assert!(decision.restores_spec && !decision.only_idle);
    let early = View {
        settled: false,
        ..rolled_back(O::Running)
    };
    let decision = decide(&row(S::Deploying, D::Running), early);
    assert_eq!(
        (decision.end, decision.restores_spec, decision.only_idle),
        (None, false, false),
        "while it is under way it is what it is"
    );
}

#[test]
fn the_latest_reason_of_an_error_counts() {
    let row = row(S::Error, D::Running);
    let same = decide(&row, view(O::Failed(reason("exited"))));
    assert_eq!(same.steps, []);
    assert_eq!(same.end, Some(Err(reason("exited"))));
    let other = decide(&row, view(O::Failed(reason("crash_loop"))));
    assert_eq!(other.steps, [InstanceState::error(reason("crash_loop"))]);
}

#[test]
fn a_deletion_ends_with_the_instance_or_with_a_failure() {
    let row = row(S::PendingDelete, D::Absent);
    let still_there = decide(&row, view(O::Running));
    assert_eq!((still_there.steps, still_there.end), (vec![], None));
    let removing = decide(&row, working(O::Removing));
    assert_eq!(
        (statuses(&removing), removing.end),
        (vec![S::Deleting], None)
    );
    let failed = decide(&row, view(O::Failed(reason("remove_failed"))));
    assert_eq!(statuses(&failed), [S::Error]);
    assert_eq!(failed.end, Some(Err(reason("remove_failed"))));
    let gone = row.decide(&GONE).unwrap();
    assert_eq!(statuses(&gone), [S::Deleting]);
    assert_eq!(
        (gone.end, gone.row_gone, gone.only_idle),
        (Some(Ok(())), true, false)
    );
}

#[test]
fn a_removal_that_failed_may_come_about_later() {
    let gone = row(S::Error, D::Absent).decide(&GONE).unwrap();
    assert_eq!(statuses(&gone), [S::PendingDelete, S::Deleting]);
    assert!(gone.row_gone);
}

#[test]
fn what_should_be_there_and_is_gone_is_an_error() {
    for (from, desired, steps, end) in [
        (
            S::Running,
            D::Running,
            vec![S::Error],
            Err(Reason::container_missing()),
        ),
        (
            S::Deploying,
            D::Stopped,
            vec![S::Error],
            Err(Reason::container_missing()),
        ),
        (S::Stopping, D::Stopped, vec![S::Stopped], Ok(())),
        (S::Stopped, D::Stopped, vec![], Ok(())),
        // It was an error before, and is one still.
        (S::Error, D::Running, vec![], Err(reason("exited"))),
    ] {
        let gone = row(from, desired).decide(&GONE).unwrap();
        assert_eq!((statuses(&gone), gone.end), (steps, Some(end)), "{from}");
        // What a command is to bring may still be on its way.
        assert!(gone.only_idle && !gone.row_gone, "{from}");
    }
}

#[test]
fn that_nothing_is_left_counts_from_its_generation_on() {
    let before = Seen::Gone { generation: 3 };
    assert_eq!(row(S::PendingDelete, D::Absent).decide(&before), None);
    assert_eq!(row(S::Running, D::Running).decide(&before), None);
    // The agent is ahead of a database that was restored from a backup.
    let ahead = Seen::Gone { generation: 9 };
    let decision = row(S::Running, D::Running).decide(&ahead).unwrap();
    assert_eq!(statuses(&decision), [S::Error]);
}

#[test]
fn what_is_missing_ends_neither_rows_nor_operations() {
    for (from, desired, steps) in [
        (S::Running, D::Running, vec![S::Error]),
        (S::Deploying, D::Running, vec![S::Error]),
        (S::Stopping, D::Stopped, vec![S::Stopped]),
    ] {
        let decision = row(from, desired).decide(&Seen::Missing).unwrap();
        assert_eq!(
            (statuses(&decision), decision.end, decision.only_idle),
            (steps, None, true),
            "{from}"
        );
    }
    for from in [S::PendingDelete, S::Deleting, S::Error] {
        assert_eq!(row(from, D::Absent).decide(&Seen::Missing), None, "{from}");
    }
}

#[test]
fn a_view_that_is_behind_ends_nothing_and_waits_for_those_at_work() {
    let behind = |observed| View {
        generation: 3,
        ..view(observed)
    };
    let decision = decide(&row(S::Running, D::Running), behind(O::Stopped));
    assert_eq!(statuses(&decision), [S::Stopped]);
    assert_eq!((decision.end, decision.only_idle), (None, true));
    // The agent was not told to stop it.
    let decision = decide(&row(S::Stopping, D::Stopped), behind(O::Running));
    assert_eq!(statuses(&decision), [S::Starting, S::Running]);
    for from in [S::PendingDelete, S::Deleting] {
        let decision = decide(&row(from, D::Absent), behind(O::Running));
        assert_eq!(
            decision.steps,
            [InstanceState::error(Reason::deletion_lost())],
            "{from}"
        );
        assert_eq!((decision.end, decision.only_idle), (None, true));
    }
    let early = View {
        settled: false,
        ..behind(O::Starting)
    };
    assert_eq!(row(S::Running, D::Running).decide(&Seen::View(early)), None);
}

#[test]
fn an_absence_is_not_decided_again_on_a_row_that_moved() {
    let running = row(S::Running, D::Running);
    let leaving = row(S::Deleting, D::Absent);
    for own in [false, true] {
        assert!(Seen::View(view(O::Running)).may_decide_again(&running, own));
        assert!(GONE.may_decide_again(&leaving, own));
        assert_eq!(GONE.may_decide_again(&running, own), own);
        assert!(!Seen::Missing.may_decide_again(&leaving, own));
    }
}

#[test]
fn only_a_view_of_an_agent_at_work_does_not_last() {
    assert!(!Seen::View(working(O::Starting)).is_settled());
    for seen in [Seen::View(view(O::Running)), GONE, Seen::Missing] {
        assert!(seen.is_settled(), "{seen:?}");
    }
}
