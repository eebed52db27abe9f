//! Whatever is seen of whatever row, a decision is legal and takes nothing back that is final.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use toolbox_domain::lifecycle::{
    Desired, InstanceState, InstanceStatus, Known, Observed, Reason, Seen, View, can_transition,
};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 4000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

fn reasons() -> impl Strategy<Value = Reason> {
    prop::sample::select(vec!["exited", "start_failed"])
        .prop_map(|code| Reason::new(code, "Something happened").unwrap())
}

fn desires() -> impl Strategy<Value = Desired> {
    prop::sample::select(Desired::ALL)
}

fn rows() -> impl Strategy<Value = Known> {
    let status = prop::sample::select(InstanceStatus::ALL);
    (status, reasons(), desires(), 2..5_u64).prop_map(|(status, reason, desired, generation)| {
        let reason = (status == InstanceStatus::Error).then_some(reason);
        Known {
            state: InstanceState::new(status, reason).unwrap(),
            desired,
            generation,
        }
    })
}

fn views() -> impl Strategy<Value = Seen> {
    let observed = prop_oneof![
        Just(Observed::Preparing),
        Just(Observed::Starting),
        Just(Observed::Running),
        Just(Observed::Stopping),
        Just(Observed::Stopped),
        Just(Observed::Removing),
        reasons().prop_map(Observed::Failed),
    ];
    let desired = prop::option::of(desires());
    let failure = prop::option::of(reasons());
    (1..6_u64, observed, any::<bool>(), desired, failure).prop_flat_map(
        |(generation, observed, settled, desired, failure)| {
            // Every failure has its reason.
            let failure = match &observed {
                Observed::Failed(reason) => Some(reason.clone()),
                _ => failure,
            };
            let rolled_back = if failure.is_some() {
                any::<bool>().boxed()
            } else {
                Just(false).boxed()
            };
            rolled_back.prop_map(move |rolled_back| {
                Seen::View(View {
                    generation,
                    observed: observed.clone(),
                    settled,
                    desired,
                    failure: failure.clone(),
                    rolled_back,
                })
            })
        },
    )
}

fn seen() -> impl Strategy<Value = Seen> {
    prop_oneof![
        6 => views(),
        1 => (1..6_u64).prop_map(|generation| Seen::Gone { generation }),
        1 => Just(Seen::Missing),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_decision_is_legal_and_ends_only_what_it_may(row in rows(), seen in seen()) {
        let Some(decision) = row.decide(&seen) else {
            return Ok(());
        };
        let mut at = row.state.clone();
        for step in &decision.steps {
            let is_other_reason = at.status() == InstanceStatus::Error && at != *step;
            prop_assert!(can_transition(at.status(), step.status()) || is_other_reason);
            prop_assert_eq!(step.reason().is_some(), step.status() == InstanceStatus::Error);
            at = step.clone();
        }
        if decision.row_gone {
            prop_assert_eq!(at.status(), InstanceStatus::Deleting);
            prop_assert!(row.is_being_deleted());
            let is_absence = matches!(seen, Seen::Gone { .. });
            prop_assert!(is_absence);
        }
        // No operation of a later generation ends with what is behind it, nor any that is still at work.
        if decision.end.is_some() {
            prop_assert!(seen.is_settled() && !seen.is_behind(row.generation));
        }
        if let Some(Ok(())) = decision.end {
            let is_absence = matches!(seen, Seen::Gone { .. });
            prop_assert!(!is_absence || at.status() != InstanceStatus::Error);
            prop_assert!(row.desired != Desired::Absent || decision.row_gone);
        }
        if decision.restores_spec {
            prop_assert!(matches!(decision.end, Some(Err(_))));
        }
    }

    #[test]
    fn what_was_recorded_is_no_news_the_second_time(row in rows(), seen in seen()) {
        let Some(decision) = row.decide(&seen) else {
            return Ok(());
        };
        let Some(last) = decision.steps.last() else {
            return Ok(());
        };
        // What is behind is compared with another state than the row's.
        prop_assume!(!matches!(seen, Seen::View(_)) || !seen.is_behind(row.generation));
        let after = Known { state: last.clone(), ..row };
        let again = after.observe(&seen);
        prop_assert!(again.steps.is_empty(), "{again:?}");
        prop_assert_eq!(again.row_gone, decision.row_gone);
    }

    #[test]
    fn what_is_being_deleted_never_comes_back(row in rows(), is_begun in any::<bool>(), view in views()) {
        let status = if is_begun { InstanceStatus::Deleting } else { InstanceStatus::PendingDelete };
        let row = Known { state: InstanceState::new(status, None).unwrap(), ..row };
        if let Some(decision) = row.decide(&view) {
            for step in decision.steps {
                let to = step.status();
                prop_assert!(to == InstanceStatus::Deleting || to == InstanceStatus::Error);
            }
        }
    }
}
