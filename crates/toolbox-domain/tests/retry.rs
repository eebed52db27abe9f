//! Attempts are bounded in number and in time, whatever the answers.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use toolbox_domain::recovery::{GiveUp, Outcome, StartRecovery, Step};
use toolbox_domain::retry::{Fault, RetryPolicy};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 4,
    base: ms(200),
    cap: ms(2000),
    budget: ms(10_000),
};

fn policy() -> impl Strategy<Value = RetryPolicy> {
    let duration = || {
        prop_oneof![
            Just(Duration::ZERO),
            (0..20_000_u64).prop_map(ms),
            Just(Duration::MAX)
        ]
    };
    (0..12_u32, duration(), duration(), duration()).prop_map(|(max_attempts, base, cap, budget)| {
        RetryPolicy {
            max_attempts,
            base,
            cap,
            budget,
        }
    })
}

/// Includes what a random source must not deliver.
fn unit_random() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..1.0_f64, any::<f64>(), Just(f64::NAN)]
}

fn retry_after() -> impl Strategy<Value = Option<Duration>> {
    prop::option::weighted(0.3, (0..10_000_u64).prop_map(ms))
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Refused),
        Just(Fault::Reset),
        Just(Fault::Timeout),
        prop::sample::select(vec![429, 502, 503, 504]).prop_map(Fault::Status),
    ]
}

fn outcome() -> impl Strategy<Value = Option<Outcome>> {
    prop_oneof![
        2 => Just(Some(Outcome::Started)),
        4 => Just(Some(Outcome::InstanceUnknown)),
        6 => (fault(), retry_after()).prop_map(|(fault, after)| Some(Outcome::Transient(fault, after))),
        1 => Just(Some(Outcome::Permanent)),
        // A caller that loses the outcome.
        1 => Just(None),
    ]
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn delays_stay_within_the_policy(
        policy in policy(),
        answers in prop::collection::vec((unit_random(), retry_after(), 0..3000_u64), 20),
    ) {
        let mut elapsed = Duration::ZERO;
        let mut attempts = 0_u32;
        for (random, after, took) in answers {
            attempts += 1;
            prop_assert!(attempts <= policy.max_attempts.max(1));
            elapsed += ms(took);
            let Some(delay) = policy.next_delay(attempts, elapsed, random, after) else { return Ok(()) };
            prop_assert!(delay <= policy.cap);
            prop_assert!(after.is_none_or(|after| delay >= after), "the server's wish is kept");
            elapsed += delay;
            prop_assert!(elapsed < policy.budget);
        }
        prop_assert!(false, "20 attempts although the policy allows {}", policy.max_attempts);
    }

    #[test]
    fn recovery_ends_and_redeploys_at_most_once(
        policy in policy(),
        outcomes in prop::collection::vec((outcome(), unit_random(), 0..2000_u64), 1..30),
    ) {
        let mut recovery = StartRecovery::new(policy);
        let mut elapsed = Duration::ZERO;
        let mut last = None;
        let mut accepted_redeploys = 0;
        let mut commands = 0;
        let mut turns = outcomes.iter().cycle();
        for _ in 0..100 {
            let (outcome, random, took) = turns.next().unwrap();
            let step = recovery.next(elapsed, *random, last);
            match step {
                Step::Start | Step::Redeploy => {
                    commands += 1;
                    elapsed += ms(*took);
                    last = *outcome;
                    let accepted = step == Step::Redeploy && last == Some(Outcome::Started);
                    accepted_redeploys += u32::from(accepted);
                }
                Step::Wait(delay) => {
                    prop_assert!(delay <= policy.cap);
                    elapsed += delay;
                    prop_assert!(elapsed < policy.budget);
                    last = None;
                }
                Step::Done | Step::GiveUp(_) => {
                    prop_assert_eq!(recovery.next(elapsed, *random, *outcome), step, "the end is final");
                    prop_assert!(step != Step::Done || last == Some(Outcome::Started));
                    prop_assert!(accepted_redeploys <= 1);
                    prop_assert!(commands <= policy.max_attempts.max(1) + 2);
                    return Ok(());
                }
            }
        }
        prop_assert!(false, "no end after 100 steps");
    }
}

/// Runs a recovery against these outcomes, one for each command, and returns its steps.
fn steps(policy: RetryPolicy, outcomes: &[Outcome]) -> Vec<Step> {
    let mut recovery = StartRecovery::new(policy);
    let mut outcomes = outcomes.iter();
    let mut elapsed = Duration::ZERO;
    let mut last = None;
    let mut steps = Vec::new();
    loop {
        let step = recovery.next(elapsed, 0.5, last);
        steps.push(step);
        match step {
            Step::Start | Step::Redeploy => last = Some(*outcomes.next().unwrap()),
            Step::Wait(delay) => {
                elapsed += delay;
                last = None;
            }
            Step::Done | Step::GiveUp(_) => return steps,
        }
    }
}

const UNREACHABLE: Outcome = Outcome::Transient(Fault::Refused, None);

#[test]
fn a_known_instance_just_starts() {
    assert_eq!(
        steps(POLICY, &[Outcome::Started]),
        [Step::Start, Step::Done]
    );
}

#[test]
fn a_lost_instance_is_redeployed_then_started() {
    let outcomes = [Outcome::InstanceUnknown, Outcome::Started, Outcome::Started];
    assert_eq!(
        steps(POLICY, &outcomes),
        [Step::Start, Step::Redeploy, Step::Start, Step::Done]
    );
}

#[test]
fn a_redeploy_that_is_not_kept_ends_it() {
    let outcomes = [
        Outcome::InstanceUnknown,
        Outcome::Started,
        Outcome::InstanceUnknown,
    ];
    let end = Step::GiveUp(GiveUp::StillUnknown);
    assert_eq!(
        steps(POLICY, &outcomes),
        [Step::Start, Step::Redeploy, Step::Start, end]
    );
}

#[test]
fn faults_in_between_are_retried_from_the_same_command() {
    let outcomes = [
        UNREACHABLE,
        Outcome::InstanceUnknown,
        UNREACHABLE,
        Outcome::Started,
        Outcome::Started,
    ];
    let wait = [Step::Wait(ms(100)), Step::Wait(ms(200))];
    let expected = [
        Step::Start,
        wait[0],
        Step::Start,
        Step::Redeploy,
        wait[1],
        Step::Redeploy,
        Step::Start,
        Step::Done,
    ];
    assert_eq!(steps(POLICY, &outcomes), expected);
}

#[test]
fn an_agent_that_stays_away_exhausts_the_attempts() {
    let taken = steps(POLICY, &[UNREACHABLE; 4]);
    assert_eq!(taken.iter().filter(|s| **s == Step::Start).count(), 4);
    assert_eq!(
        taken.last(),
        Some(&Step::GiveUp(GiveUp::Exhausted(Fault::Refused)))
    );
}

#[test]
fn a_refusal_is_final() {
    let end = Step::GiveUp(GiveUp::Permanent);
    assert_eq!(steps(POLICY, &[Outcome::Permanent]), [Step::Start, end]);
}

#[test]
fn nothing_new_is_begun_after_the_budget() {
    let mut recovery = StartRecovery::new(POLICY);
    assert_eq!(recovery.next(Duration::ZERO, 0.5, None), Step::Start);
    let late = recovery.next(POLICY.budget, 0.5, Some(Outcome::InstanceUnknown));
    assert_eq!(late, Step::GiveUp(GiveUp::OutOfTime));
}

#[test]
fn backoff_doubles_up_to_the_cap() {
    let delays: Vec<_> = (1..=3)
        .map(|attempt| POLICY.next_delay(attempt, ms(0), 1.0, None))
        .collect();
    assert_eq!(delays, [Some(ms(200)), Some(ms(400)), Some(ms(800))]);
    assert_eq!(
        POLICY.next_delay(4, ms(0), 1.0, None),
        None,
        "four attempts were made"
    );
    let patient = RetryPolicy {
        max_attempts: u32::MAX,
        budget: Duration::MAX,
        ..POLICY
    };
    assert_eq!(
        patient.next_delay(1_000_000, ms(0), 1.0, None),
        Some(POLICY.cap)
    );
    assert_eq!(patient.next_delay(1_000_000, ms(0), 0.0, None), Some(ms(0)));
}

#[test]
fn a_wish_of_the_server_is_kept_or_ends_it() {
    assert_eq!(
        POLICY.next_delay(1, ms(0), 0.5, Some(ms(1500))),
        Some(ms(1500))
    );
    assert_eq!(POLICY.next_delay(1, ms(0), 0.5, Some(ms(1))), Some(ms(100)));
    assert_eq!(
        POLICY.next_delay(1, ms(0), 0.5, Some(ms(2001))),
        None,
        "beyond the cap"
    );
    assert_eq!(
        POLICY.next_delay(1, ms(9000), 0.5, Some(ms(1500))),
        None,
        "beyond the budget"
    );
}

#[test]
fn only_passing_faults_are_transient() {
    for fault in [Fault::Refused, Fault::Reset, Fault::Timeout] {
        assert!(fault.is_transient(), "{fault:?}");
    }
    for fault in [Fault::BadBody, Fault::Tls, Fault::Dns] {
        assert!(!fault.is_transient(), "{fault:?}");
    }
    let transient: Vec<u16> = (100..600)
        .filter(|s| Fault::Status(*s).is_transient())
        .collect();
    assert_eq!(transient, [429, 502, 503, 504]);
}
