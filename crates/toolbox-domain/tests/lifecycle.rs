//! No request and no observation leads off the table, into a dead end, or into an error without a reason.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use toolbox_domain::lifecycle::{
    Desired, InstanceState, InstanceStatus, Observed, Reason, Request, can_transition, observe,
    request,
};

use InstanceStatus as S;

// The table can be asked at compile time.
const _: () =
    assert!(can_transition(S::Stopped, S::Starting) && !can_transition(S::Deleting, S::Running));

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

fn state(status: InstanceStatus) -> InstanceState {
    let reason = (status == S::Error).then(Reason::unspecified);
    InstanceState::new(status, reason).unwrap()
}

/// An edge of the table, or an error whose reason is another one now.
fn is_legal(from: &InstanceState, to: &InstanceState) -> bool {
    let is_other_error = from.status() == S::Error && to.status() == S::Error && from != to;
    can_transition(from.status(), to.status()) || is_other_error
}

fn every_observed() -> Vec<Observed> {
    vec![
        Observed::Preparing,
        Observed::Starting,
        Observed::Running,
        Observed::Stopping,
        Observed::Stopped,
        Observed::Removing,
        Observed::Absent,
        Observed::Failed(Reason::new("exited", "The container exited with code 1").unwrap()),
    ]
}

/// Every status, observation and desire there is: small enough to try all of them.
fn everything() -> impl Iterator<Item = (InstanceStatus, Observed, Desired)> {
    S::ALL.iter().flat_map(|status| {
        every_observed().into_iter().flat_map(move |observed| {
            Desired::ALL
                .iter()
                .map(move |desired| (*status, observed.clone(), *desired))
        })
    })
}

#[test]
fn every_step_is_legal_and_errors_have_reasons() {
    for (from, observed, desired) in everything() {
        let seen = observe(&state(from), &observed, desired);
        let case = format!("{from}, {observed:?}, desired {desired}: {seen:?}");
        let mut at = state(from);
        for step in &seen.steps {
            assert!(is_legal(&at, step), "{case}");
            assert_eq!(step.reason().is_some(), step.status() == S::Error, "{case}");
            at = step.clone();
        }
        let at = at.status();
        assert!(seen.steps.len() <= 3, "{case}");
        if seen.row_gone {
            assert_eq!((at, &observed), (S::Deleting, &Observed::Absent), "{case}");
        }
    }
}

#[test]
fn an_observation_says_nothing_new_the_second_time() {
    for (from, observed, desired) in everything() {
        let seen = observe(&state(from), &observed, desired);
        let Some(last) = seen.steps.last() else {
            continue;
        };
        let again = observe(last, &observed, desired);
        assert!(
            again.steps.is_empty(),
            "{from}, {observed:?}, desired {desired}: {again:?}"
        );
        assert_eq!(again.row_gone, seen.row_gone);
    }
}

#[test]
fn only_what_runs_becomes_running() {
    for (from, observed, desired) in everything() {
        let seen = observe(&state(from), &observed, desired);
        if seen.steps.iter().any(|s| s.status() == S::Running) {
            assert_eq!(observed, Observed::Running, "{from}, desired {desired}");
            assert_ne!(desired, Desired::Absent, "{from}");
            assert!(!matches!(from, S::PendingDelete | S::Deleting), "{from}");
        }
    }
}

#[test]
fn what_is_as_desired_is_told_as_it_is() {
    for from in S::ALL
        .iter()
        .filter(|s| !matches!(s, S::PendingDelete | S::Deleting))
    {
        let end = |observed: &Observed, desired| {
            let seen = observe(&state(*from), observed, desired);
            (
                seen.steps.last().map_or(*from, InstanceState::status),
                seen.row_gone,
            )
        };
        assert_eq!(
            end(&Observed::Running, Desired::Running),
            (S::Running, false),
            "{from}"
        );
        assert_eq!(
            end(&Observed::Stopped, Desired::Stopped),
            (S::Stopped, false),
            "{from}"
        );
        assert_eq!(
            end(&Observed::Absent, Desired::Absent),
            (S::Deleting, true),
            "{from}"
        );
    }
}

#[test]
fn every_status_is_reached_and_left() {
    let reach = |start: InstanceStatus| {
        let mut seen = vec![start];
        let mut next = 0;
        while next < seen.len() {
            for to in seen[next].exits() {
                if !seen.contains(to) {
                    seen.push(*to);
                }
            }
            next += 1;
        }
        seen
    };
    assert_eq!(reach(S::PendingDeploy).len(), S::ALL.len());
    for status in S::ALL {
        assert!(
            !can_transition(*status, *status),
            "{status}: staying is no transition"
        );
        assert_eq!(
            *status == S::Error,
            !can_transition(*status, S::Error),
            "{status}"
        );
        // Nothing becomes new again.
        assert!(!can_transition(*status, S::PendingDeploy), "{status}");
        for goal in [S::Running, S::Stopped, S::Error, S::Deleting] {
            assert!(
                reach(*status).contains(&goal),
                "{status} never reaches {goal}"
            );
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Request(Request),
    Observe(Observed),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        prop::sample::select(Request::ALL).prop_map(Event::Request),
        prop::sample::select(every_observed()).prop_map(Event::Observe),
    ]
}

fn desire(request: Request) -> Desired {
    match request {
        Request::Deploy | Request::Start | Request::Restart | Request::Update => Desired::Running,
        Request::Stop => Desired::Stopped,
        Request::Delete => Desired::Absent,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_sequence_of_events_ends_without_an_exit(events in prop::collection::vec(event(), 1..60)) {
        let mut at = state(S::PendingDeploy);
        let mut desired = Desired::Running;
        for event in events {
            match event {
                Event::Request(command) => {
                    let Ok(to) = request(&at, command) else { continue };
                    prop_assert!(to == at.status() || can_transition(at.status(), to));
                    prop_assert_ne!(to, S::Error);
                    at = state(to);
                    desired = desire(command);
                }
                Event::Observe(observed) => {
                    let seen = observe(&at, &observed, desired);
                    for step in seen.steps {
                        prop_assert!(is_legal(&at, &step));
                        at = step;
                    }
                    if seen.row_gone {
                        prop_assert_eq!(desired, Desired::Absent, "only what the user deleted goes");
                        break;
                    }
                }
            }
            prop_assert_eq!(at.reason().is_some(), at.status() == S::Error);
            if desired == Desired::Absent {
                prop_assert!(matches!(at.status(), S::PendingDelete | S::Deleting | S::Error), "{at:?}");
            }
            // The exits: deleting is always possible and always ends; a failure is always told.
            let deleted = state(request(&at, Request::Delete).unwrap());
            let end = observe(&deleted, &Observed::Absent, Desired::Absent);
            prop_assert!(end.row_gone);
            let failed = observe(&at, &Observed::Failed(Reason::unspecified()), desired);
            let told = failed.steps.last().unwrap_or(&at);
            prop_assert_eq!(told.status(), S::Error);
            prop_assert!(request(told, Request::Start).is_ok());
            prop_assert!(request(told, Request::Deploy).is_ok());
        }
    }
}
