//! Whatever is cut off wherever: one droplet a toolbox at the end, none leaked, and the row says what there is.

use std::time::Duration;

use proptest::prelude::*;
use toolbox_domain::ids::ToolboxId;

use crate::Wish;
use crate::test_world::{LATE, Manners, STRIKES, Strike, World};

/// Ticks until whatever is done is done: longer than every deadline.
const TO_REST: u32 = 120;

fn ordered(world: &World) -> ToolboxId {
    world
        .order()
        .or_else(|| world.order())
        .unwrap_or_else(|| panic!("the order fails twice: {:?}", world.trace()))
}

/// Orders, and lets workers work until it rests.
fn provision(world: &World) -> ToolboxId {
    let id = ordered(world);
    world.ticks(TO_REST, 1);
    id
}

#[test]
fn a_toolbox_is_made_and_goes() {
    let world = World::new(Manners::default(), 1);
    let id = provision(&world);
    assert_eq!(world.check(id, "made"), "active");
    assert_eq!(world.state().ever_made, 1);
    assert_eq!(world.sweep(), Some(crate::SweepReport::default()));

    assert_eq!(
        world.wish(id, &Wish::Deprovision).map(Result::unwrap),
        Some(true)
    );
    world.ticks(10, 1);
    assert_eq!(world.check(id, "removed"), "gone");
}

/// The worker dies when the firewall is made, and the next one is told that there is one and cannot see it.
#[test]
fn a_firewall_that_cannot_be_seen_is_not_left_behind() {
    let at = |world: &World, call: &str| world.trace().iter().position(|c| c == call).unwrap();
    let world = World::new(Manners::default(), 1);
    provision(&world);
    let made = at(&world, "POST /v2/firewalls");
    let killed = || {
        let world = World::new(Manners::default(), 1);
        world.with_strike(made, Strike::KillAfter);
        world
    };
    let world = killed();
    provision(&world);
    let seen = at(&world, "GET /v2/firewalls");
    let refusals = [Strike::Refused, Strike::Unauthorised];
    for strike in STRIKES.into_iter().chain(refusals) {
        let world = killed();
        world.with_strike(seen, strike);
        let id = provision(&world);
        let told = format!("{strike:?}");
        assert_eq!(world.check(id, &told), "active", "{told}");
    }
}

/// Every call of a whole provisioning, struck in every way, with lists that are behind more or less.
#[test]
fn every_call_of_a_provisioning_may_be_cut_off() {
    for lag in [0, 2, 25] {
        let manners = Manners {
            lag: Duration::from_secs(lag),
            ..Manners::default()
        };
        let work = |strike: Option<(usize, Strike)>| {
            let world = World::new(manners, 1);
            if let Some((at, strike)) = strike {
                world.with_strike(at, strike);
            }
            let id = ordered(&world);
            world.quick_ticks(80, 1);
            let told = format!("lag {lag}, {strike:?}");
            assert_eq!(world.check(id, &told), "active", "{told}");
            assert_eq!(world.state().ever_made, 1, "{told}");
            world.trace()
        };
        let whole = work(None);
        assert!(whole.len() > 15, "{whole:?}");
        for at in 0..whole.len().min(60) {
            for strike in STRIKES {
                work(Some((at, strike)));
            }
        }
    }
}

#[test]
fn every_call_of_a_removal_may_be_cut_off() {
    let count = |strike: Option<(usize, Strike)>| {
        let world = World::new(Manners::default(), 1);
        let id = provision(&world);
        let before = world.calls();
        if let Some((at, strike)) = strike {
            world.with_strike(before + at, strike);
        }
        if world
            .wish(id, &Wish::Deprovision)
            .and_then(Result::ok)
            .is_none()
        {
            // Nobody was told that it is wanted; it is asked again.
            world.wish(id, &Wish::Deprovision);
        }
        world.ticks(TO_REST, 1);
        assert_eq!(world.check(id, &format!("{strike:?}")), "gone");
        world.calls() - before
    };
    for at in 0..count(None).min(40) {
        for strike in STRIKES {
            count(Some((at, strike)));
        }
    }
}

/// A user who is deleted at every moment of a provisioning, also in the middle of a step whose end is not known.
#[test]
fn a_removal_may_come_at_any_moment() {
    let manners = Manners {
        latency: Duration::from_secs(1),
        lag: Duration::from_secs(20),
        ..Manners::default()
    };
    let whole = World::new(manners, 1);
    provision(&whole);
    let is_order = |call: &String| call == "POST /v2/droplets";
    let order = whole.trace().iter().position(is_order).unwrap();
    for strike in [None].into_iter().chain(STRIKES.map(Some)) {
        for after in (0..120).step_by(2) {
            let world = World::new(manners, 1);
            let id = ordered(&world);
            if let Some(strike) = strike {
                world.with_strike(order, strike);
            }
            world.ticks_with_deletion(10, Duration::from_secs(after));
            world.ticks(TO_REST, 2);
            let told = format!("{strike:?}, deleted after {after} s");
            assert_eq!(world.check(id, &told), "gone", "{told}");
        }
    }
}

#[test]
fn two_workers_share_the_work() {
    for seed in 0..100 {
        let manners = Manners {
            latency: Duration::from_secs(4),
            ..Manners::default()
        };
        let world = World::new(manners, seed);
        let id = ordered(&world);
        world.ticks(TO_REST, 3);
        assert_eq!(world.check(id, &format!("seed {seed}")), "active");
        assert_eq!(world.state().ever_made, 1);
    }
}

#[test]
fn a_machine_that_never_boots_is_removed_and_can_be_tried_again() {
    let world = World::new(
        Manners {
            never_boots: true,
            ..Manners::default()
        },
        1,
    );
    let id = provision(&world);
    assert_eq!(world.check(id, "never boots"), "error_provisioning");
    assert!(
        world
            .summary(id)
            .contains("did not start within 10 minutes"),
        "{}",
        world.summary(id)
    );

    world.state().behave(Manners::default());
    assert_eq!(world.wish(id, &Wish::Retry).map(Result::unwrap), Some(true));
    world.ticks(TO_REST, 1);
    assert_eq!(world.check(id, "retried"), "active");
    assert_eq!(world.state().ever_made, 2);
}

#[test]
fn what_digitalocean_does_not_want_is_told_in_its_words_and_leaves_nothing() {
    let whole = World::new(Manners::default(), 1);
    provision(&whole);
    let at = |call: &str| whole.trace().iter().position(|c| c == call).unwrap();
    for (call, strike, words) in [
        (
            "POST /v2/droplets",
            Strike::Refused,
            "Size is not available",
        ),
        ("POST /v2/tags", Strike::Unauthorised, "refused the token"),
        (
            "POST /v2/droplets",
            Strike::Unauthorised,
            "refused the token",
        ),
    ] {
        let world = World::new(Manners::default(), 1);
        world.with_strike(at(call), strike);
        let id = provision(&world);
        assert_eq!(world.check(id, call), "error_provisioning");
        assert!(world.summary(id).contains(words), "{}", world.summary(id));
        world.wish(id, &Wish::Retry);
        world.ticks(TO_REST, 1);
        assert_eq!(world.check(id, "retried"), "active");
    }
}

#[test]
fn an_agent_that_never_reports_ends_its_machine() {
    let world = World::new(
        Manners {
            never_reports: true,
            ..Manners::default()
        },
        1,
    );
    let id = provision(&world);
    assert_eq!(world.check(id, "never reports"), "error_provisioning");
    assert!(
        world.summary(id).contains("did not report"),
        "{}",
        world.summary(id)
    );
}

#[test]
fn an_address_that_changes_is_written() {
    let world = World::new(Manners::default(), 1);
    let id = provision(&world);
    world.state().machines[0].address = "198.51.100.200".to_owned();
    assert_eq!(world.sweep().unwrap().moved, [id]);
    world.ticks(TO_REST, 1);
    assert_eq!(world.check(id, "moved"), "active");
}

#[test]
fn a_droplet_that_is_deleted_by_hand_is_told_of() {
    let world = World::new(Manners::default(), 1);
    let id = provision(&world);
    world.state().machines.clear();
    world.sweep();
    world.ticks(TO_REST, 1);
    assert_eq!(world.check(id, "deleted by hand"), "error_provisioning");
    assert!(
        world.summary(id).contains("deleted at DigitalOcean"),
        "{}",
        world.summary(id)
    );
    // A new machine takes its place.
    world.wish(id, &Wish::Retry);
    world.ticks(TO_REST, 1);
    assert_eq!(world.check(id, "retried"), "active");
}

#[test]
fn one_answer_without_a_droplet_whose_agent_reports_ends_nothing() {
    let world = World::new(Manners::default(), 1);
    let id = provision(&world);
    let hidden = std::mem::take(&mut world.state().machines);
    world.wish(id, &Wish::Look);
    world.ticks(1, 1);
    world.state().machines = hidden;
    world.ticks(TO_REST, 1);
    assert_eq!(world.check(id, "hidden for a moment"), "active");
}

#[test]
fn what_was_left_behind_is_found_by_the_sweep() {
    let world = World::new(Manners::default(), 1);
    let id = provision(&world);
    let twin = world.state().machines[0].clone();
    // One more of this toolbox, one of a toolbox that was removed, and one of nobody.
    let other = |number: u64, tag: &str| {
        let mut machine = twin.clone();
        machine.id = number;
        machine.tags = vec!["toolbox".to_owned(), tag.to_owned()];
        machine
    };
    let removed = "0000000a-0000-4000-8000-000000000000";
    world.state().removed.insert(removed.to_owned());
    let own = format!("toolbox-{id}");
    for machine in [
        other(5001, &own),
        other(5002, &format!("toolbox-{removed}")),
        other(5003, "toolbox-x"),
    ] {
        world.state().machines.push(machine);
    }
    let report = world.sweep().unwrap();
    let seen: Vec<_> = report
        .droplets_without_row
        .iter()
        .map(|s| (s.droplet, s.why.as_str(), s.is_removed))
        .collect();
    assert_eq!(
        seen,
        [
            (5001, "second", true),
            (5002, "removed", true),
            (5003, "unknown", false)
        ]
    );
    world.state().machines.retain(|machine| machine.id != 5003);
    assert_eq!(world.check(id, "swept"), "active");
}

#[test]
fn of_two_droplets_the_one_that_enrolled_stays() {
    let world = World::new(
        Manners {
            never_reports: true,
            ..Manners::default()
        },
        1,
    );
    let id = ordered(&world);
    world.quick_ticks(20, 1);
    // A second one of the same order, which is up first and takes the keys.
    let mut second = world.state().machines[0].clone();
    second.id = 9001;
    second.address = "198.51.100.91".to_owned();
    world.state().machines.insert(0, second);
    world.state().behave(Manners::default());
    world.pass(Duration::from_mins(1));
    let report = world.sweep().unwrap();
    assert_eq!(report.adopted, [id]);
    let gone: Vec<_> = report.droplets_without_row.iter().collect();
    assert_eq!((gone.len(), gone[0].is_removed), (1, true), "{report:?}");
    assert_ne!(gone[0].droplet, 9001);
    world.ticks(TO_REST, 1);
    assert_eq!(world.check(id, "adopted"), "active");
    assert_eq!(world.state().machines[0].id, 9001);
}

#[test]
fn a_sweep_that_takes_too_long_tells_what_it_found() {
    let world = World::new(Manners::default(), 1);
    let id = provision(&world);
    let twin = world.state().machines[0].clone();
    for number in 5001..5021 {
        let mut machine = twin.clone();
        machine.id = number;
        world.state().machines.push(machine);
    }
    world.state().behave(Manners {
        latency: Duration::from_secs(6),
        ..Manners::default()
    });
    let strays = world.sweep().unwrap().droplets_without_row;
    let removed = strays.iter().filter(|stray| stray.is_removed).count();
    assert_eq!(strays.len(), 20, "all are told of");
    assert!((1..20).contains(&removed), "{removed}");
    // The next sweeps remove the others.
    for _ in 0..40 {
        world.sweep();
    }
    world.ticks(1, 1);
    assert_eq!(world.check(id, "swept"), "active");
}

#[test]
fn a_name_that_digitalocean_never_gives_is_not_asked_for_again_and_again() {
    let world = World::new(Manners::default(), 1);
    let id = provision(&world);
    world.state().behave(Manners {
        never_renames: true,
        ..Manners::default()
    });
    world.wish(id, &Wish::Rename("Another name".to_owned()));
    let before = world.calls();
    world.ticks(TO_REST, 1);
    let trace = world.trace().split_off(before);
    let asked = trace.iter().filter(|call| call.ends_with("/actions"));
    assert_eq!(asked.count(), 1, "in an hour: {trace:?}");
    assert!(
        world.summary(id).contains("new name"),
        "{}",
        world.summary(id)
    );

    // When it does, what was told of it ends.
    world.state().behave(Manners::default());
    for _ in 0..2 {
        world.wish(id, &Wish::Look);
        world.ticks(5, 1);
    }
    assert!(world.state().machines[0].name.starts_with("another-name-"));
    assert!(
        !world.summary(id).contains("new name"),
        "{}",
        world.summary(id)
    );
}

#[test]
fn a_toolbox_is_active_when_its_address_is_known() {
    let world = World::new(Manners::default(), 1);
    let id = ordered(&world);
    while world.state().machines.is_empty() {
        world.quick_ticks(1, 1);
    }
    // Its agent reports, and nobody has looked where it is.
    world.pass(Duration::from_mins(3));
    let row = world.state().rows[&id.to_string()].clone();
    assert_eq!(row["status"], "awaiting_heartbeat", "{row:?}");
    assert!(row["heartbeat_at"].is_number() && row["public_ip_address"].is_null());
    world.quick_ticks(1, 1);
    assert_eq!(world.check(id, "looked at"), "active");
}

#[test]
fn a_machine_gets_another_size_restarts_and_is_renamed() {
    let world = World::new(Manners::default(), 1);
    let id = provision(&world);
    assert_eq!(
        world
            .wish(id, &Wish::Resize("s-2vcpu-2gb".to_owned()))
            .map(Result::unwrap),
        Some(true)
    );
    assert!(
        world.wish(id, &Wish::Reboot).unwrap().is_err(),
        "one change at a time"
    );
    world.ticks(20, 1);
    assert_eq!(world.check(id, "resized"), "active");
    assert_eq!(world.state().machines[0].size, "s-2vcpu-2gb");
    assert!(!world.state().machines[0].is_off);

    world.wish(id, &Wish::Reboot);
    world.ticks(10, 1);
    assert_eq!(world.check(id, "restarted"), "active");

    world.wish(id, &Wish::Rename("Another name".to_owned()));
    world.ticks(5, 1);
    assert!(
        world.state().machines[0].name.starts_with("another-name-"),
        "{:?}",
        world.state().machines
    );
    assert_eq!(world.check(id, "renamed"), "active");
    assert!(
        world
            .wish(id, &Wish::Resize("no-such-size".to_owned()))
            .unwrap()
            .is_err()
    );
}

#[test]
fn every_call_of_a_resize_may_be_cut_off() {
    let resize = |strike: Option<(usize, Strike)>| {
        let world = World::new(Manners::default(), 1);
        let id = provision(&world);
        world.wish(id, &Wish::Resize("s-2vcpu-2gb".to_owned()));
        let before = world.calls();
        if let Some((at, strike)) = strike {
            world.with_strike(before + at, strike);
        }
        world.ticks(TO_REST, 1);
        let told = format!("{strike:?}: {}", world.summary(id));
        assert_eq!(world.check(id, &told), "active");
        assert_eq!(world.state().machines[0].size, "s-2vcpu-2gb", "{told}");
        assert!(!world.state().machines[0].is_off, "{told}");
        world.calls() - before
    };
    for at in 0..resize(None).min(40) {
        for strike in STRIKES {
            resize(Some((at, strike)));
        }
    }
}

fn strikes() -> impl Strategy<Value = Vec<(usize, Strike)>> {
    proptest::collection::vec(
        (0_usize..80, proptest::sample::select(STRIKES.to_vec())),
        0..12,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any sequence of faults ends at rest, and what is paid for is what the row says.
    #[test]
    fn any_faults_end_at_rest(
        faults in strikes(), seed in any::<u64>(), workers in 1_usize..4, latency in 0_u64..6000, lag in 0_u64..30,
        end in 0_u32..4, after in 0_u32..60,
    ) {
        let world = World::new(
            Manners { latency: Duration::from_millis(latency), lag: Duration::from_secs(lag), ..Manners::default() },
            seed,
        );
        for (at, strike) in &faults {
            world.with_strike(*at, *strike);
        }
        let id = (0..20).find_map(|_| world.order());
        let id = id.unwrap();
        // A late order that finds its toolbox removed is another order, and no matter of this test.
        world.pass(LATE);
        world.quick_ticks(after, workers);
        match end {
            0 => { world.wish(id, &Wish::Deprovision); }
            1 => world.state().delete_user(),
            2 => { world.wish(id, &Wish::Reboot); }
            _ => {}
        }
        world.ticks(TO_REST, workers);
        // No list was behind for longer than is waited for, so none was made twice.
        prop_assert!(world.state().ever_made <= 1, "{:?}", world.trace());
        world.check(id, &format!("{:?}", world.trace()));
    }
}
