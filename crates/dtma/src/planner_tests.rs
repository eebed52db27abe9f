//! The planner against a modelled Docker that fails, crashes and is disturbed.

use proptest::prelude::*;

use super::*;

const NAME: &str = "tool-1";

/// A container as the model keeps it: made from `revision`.
#[derive(Clone, Debug)]
struct Box {
    id: u32,
    name: String,
    revision: u32,
    state: ContainerState,
    trial: Trial,
    confinement: Confinement,
    started: u32,
}

/// Docker, the durable record and the volatile memory of one instance.
#[derive(Clone, Debug)]
struct World {
    boxes: Vec<Box>,
    last_id: u32,
    clock: u32,
    // durable
    goal: Goal,
    current: u32,
    proven: bool,
    next: Option<u32>,
    restart_after: u32,
    gone: bool,
    // volatile
    images: Vec<u32>,
    failed: Vec<u32>,
    swept: bool,
    /// Revisions whose container ends during its trial.
    broken: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
enum Disturbance {
    Deploy(bool),
    SetGoal(u8),
    Restart,
    RemoveOne(usize),
    StopOne(usize),
    PauseOne(usize),
    RenameOne(usize),
    DuplicateOne(usize),
    LoosenOne(usize, bool),
    AgentKilled,
    StepLost,
    Steps(u8),
}

impl World {
    fn new() -> Self {
        Self {
            boxes: Vec::new(),
            last_id: 0,
            clock: 0,
            goal: Goal::Running,
            current: 1,
            proven: false,
            next: None,
            restart_after: 0,
            gone: false,
            images: Vec::new(),
            failed: Vec::new(),
            swept: false,
            broken: Vec::new(),
        }
    }

    fn seen(&self) -> Vec<Seen> {
        self.boxes
            .iter()
            .map(|b| Seen {
                id: ContainerId::new(b.id.to_string()),
                name: b.name.clone(),
                version: if b.revision == self.current {
                    Some(Version::Current)
                } else if Some(b.revision) == self.next {
                    Some(Version::Next)
                } else {
                    None
                },
                state: b.state,
                confinement: b.confinement,
                trial: b.trial,
                awaits_health: false,
                outdated: b.started < self.restart_after,
            })
            .collect()
    }

    fn facts(&self, revision: u32) -> VersionFacts {
        VersionFacts {
            has_image: self.images.contains(&revision),
            failed: self.failed.contains(&revision),
        }
    }

    fn plan(&self) -> Step {
        let seen = self.seen();
        let step = next(&Situation {
            goal: self.goal,
            name: NAME,
            proven: self.proven,
            current: self.facts(self.current),
            next: self.next.map(|r| self.facts(r)),
            may_start: true,
            swept: self.swept,
            containers: &seen,
        });
        if let Step::Start(_, id)
        | Step::Unpause(id)
        | Step::Try(_, id)
        | Step::Adjust(_, id)
        | Step::Stop(id)
        | Step::Remove(id)
        | Step::Rename(id, _) = &step
        {
            assert!(
                seen.iter().any(|s| s.id == *id),
                "{step:?} names a container it was not shown"
            );
        }
        step
    }

    fn revision(&self, version: Version) -> u32 {
        match version {
            Version::Current => self.current,
            Version::Next => self.next.unwrap(),
        }
    }

    fn find(&mut self, id: &ContainerId) -> &mut Box {
        self.boxes
            .iter_mut()
            .find(|b| b.id.to_string() == id.as_str())
            .unwrap()
    }

    fn name_is_free(&self, name: &str, except: Option<&ContainerId>) -> bool {
        !self
            .boxes
            .iter()
            .any(|b| b.name == name && except.is_none_or(|e| b.id.to_string() != e.as_str()))
    }

    fn apply(&mut self, step: Step) {
        self.clock += 1;
        let clock = self.clock;
        match step {
            Step::EnsureImage(v) => {
                let revision = self.revision(v);
                self.images.push(revision);
            }
            Step::Create(v, name) => {
                assert!(
                    self.name_is_free(&name, None),
                    "the model has no foreign containers"
                );
                self.last_id += 1;
                let revision = self.revision(v);
                self.boxes.push(Box {
                    id: self.last_id,
                    name,
                    revision,
                    state: ContainerState::Created,
                    trial: Trial::Untried,
                    confinement: Confinement::Held,
                    started: 0,
                });
            }
            Step::Start(v, id) => {
                assert_eq!(
                    self.find(&id).confinement,
                    Confinement::Held,
                    "nothing is started unconfined"
                );
                if v == Version::Next {
                    assert!(
                        !self
                            .boxes
                            .iter()
                            .any(|b| b.state == ContainerState::Running),
                        "two versions would run"
                    );
                }
                let revision = self.revision(v);
                // Half of the broken ones end before anybody looks, half during their trial.
                let ends = self.broken.contains(&revision) && revision.is_multiple_of(2);
                let b = self.find(&id);
                b.state = if ends {
                    ContainerState::Exited
                } else {
                    ContainerState::Running
                };
                b.trial = Trial::Begun;
                b.started = clock;
            }
            Step::Adjust(_, id) => {
                let b = self.find(&id);
                assert_eq!(b.confinement, Confinement::Adjustable);
                b.confinement = Confinement::Held;
            }
            Step::Unpause(id) => self.find(&id).state = ContainerState::Running,
            Step::Try(v, id) => {
                let revision = self.revision(v);
                let broken = self.broken.contains(&revision);
                let b = self.find(&id);
                b.trial = Trial::Untried;
                if broken || b.state == ContainerState::Exited {
                    b.state = ContainerState::Exited;
                    self.failed.push(revision);
                } else {
                    b.trial = Trial::Passed;
                }
            }
            Step::Reject(..) => unreachable!("the model confines"),
            Step::Commit(v) => {
                self.current = self.revision(v);
                self.proven = true;
                self.next = None;
            }
            Step::RollBack => self.next = None,
            Step::Stop(id) => self.find(&id).state = ContainerState::Exited,
            Step::Remove(id) => self.boxes.retain(|b| b.id.to_string() != id.as_str()),
            Step::Rename(id, name) => {
                assert!(self.name_is_free(&name, Some(&id)));
                self.find(&id).name = name;
            }
            Step::Hold => unreachable!("the model is never busy"),
            Step::Sweep => self.swept = true,
            Step::Forget => self.gone = true,
            Step::Done(_) => {}
        }
    }

    fn disturb(&mut self, disturbance: Disturbance) {
        let index = |i: usize, n: usize| (n > 0).then(|| i % n.max(1));
        let n = self.boxes.len();
        match disturbance {
            Disturbance::Deploy(broken) if self.goal != Goal::Absent => {
                self.last_id += 1;
                let revision = 1000 + self.last_id;
                if broken {
                    self.broken.push(revision);
                }
                if self.proven {
                    self.next = Some(revision);
                } else {
                    self.current = revision;
                }
                self.goal = Goal::Running;
                self.failed.clear();
            }
            Disturbance::SetGoal(g) if self.goal != Goal::Absent => {
                self.goal =
                    [Goal::Running, Goal::Stopped, Goal::Halted, Goal::Absent][usize::from(g % 4)];
                self.failed.clear();
            }
            Disturbance::Restart => self.restart_after = self.clock,
            Disturbance::RemoveOne(i) => {
                if let Some(i) = index(i, n) {
                    self.boxes.remove(i);
                }
            }
            Disturbance::StopOne(i) => {
                if let Some(i) = index(i, n) {
                    self.boxes[i].state = ContainerState::Exited;
                }
            }
            Disturbance::PauseOne(i) => {
                if let Some(i) = index(i, n)
                    && self.boxes[i].state == ContainerState::Running
                {
                    self.boxes[i].state = ContainerState::Paused;
                }
            }
            Disturbance::RenameOne(i) => {
                if let Some(i) = index(i, n) {
                    self.last_id += 1;
                    self.boxes[i].name = format!("other-{}", self.last_id);
                }
            }
            Disturbance::DuplicateOne(i) => {
                if let Some(i) = index(i, n) {
                    self.last_id += 1;
                    let mut copy = self.boxes[i].clone();
                    copy.id = self.last_id;
                    copy.name = format!("copy-{}", self.last_id);
                    copy.state = ContainerState::Exited;
                    self.boxes.push(copy);
                }
            }
            Disturbance::LoosenOne(i, can_be_put_back) => {
                if let Some(i) = index(i, n) {
                    self.boxes[i].confinement = if can_be_put_back {
                        Confinement::Adjustable
                    } else {
                        Confinement::Lost
                    };
                }
            }
            Disturbance::AgentKilled => {
                self.images.clear();
                self.failed.clear();
                self.swept = false;
                for b in &mut self.boxes {
                    b.trial = Trial::Untried;
                }
            }
            // Docker did it, the agent died before it heard so: the same as a kill after the step.
            Disturbance::StepLost => {
                let step = self.plan();
                self.apply(step);
                self.disturb(Disturbance::AgentKilled);
            }
            Disturbance::Steps(k) => {
                for _ in 0..k {
                    let step = self.plan();
                    self.apply(step);
                }
            }
            Disturbance::Deploy(_) | Disturbance::SetGoal(_) => {}
        }
    }

    /// Plans undisturbed until nothing is left to do.
    fn settle(&mut self) -> Step {
        for _ in 0..200 {
            let step = self.plan();
            match step {
                Step::Done(_) => return step,
                Step::Forget => {
                    self.apply(step.clone());
                    return step;
                }
                other => self.apply(other),
            }
        }
        panic!("does not converge: {self:?}");
    }
}

fn disturbance() -> impl Strategy<Value = Disturbance> {
    prop_oneof![
        any::<bool>().prop_map(Disturbance::Deploy),
        any::<u8>().prop_map(Disturbance::SetGoal),
        Just(Disturbance::Restart),
        any::<usize>().prop_map(Disturbance::RemoveOne),
        any::<usize>().prop_map(Disturbance::StopOne),
        any::<usize>().prop_map(Disturbance::PauseOne),
        any::<usize>().prop_map(Disturbance::RenameOne),
        any::<usize>().prop_map(Disturbance::DuplicateOne),
        (any::<usize>(), any::<bool>())
            .prop_map(|(i, can_be_put_back)| Disturbance::LoosenOne(i, can_be_put_back)),
        Just(Disturbance::AgentKilled),
        Just(Disturbance::StepLost),
        (0_u8..6).prop_map(Disturbance::Steps),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn converges_to_one_container_whatever_happened(disturbances in prop::collection::vec(disturbance(), 0..30)) {
        let mut world = World::new();
        for d in disturbances {
            if world.gone {
                break;
            }
            world.disturb(d);
        }
        if world.gone {
            prop_assert!(world.boxes.is_empty());
            return Ok(());
        }
        let end = world.settle();
        match (world.goal, end) {
            (Goal::Running, Step::Done(Settled::Running)) => {
                prop_assert_eq!(world.boxes.len(), 1);
                let only = &world.boxes[0];
                prop_assert_eq!(only.state, ContainerState::Running);
                prop_assert_eq!(only.confinement, Confinement::Held);
                prop_assert_eq!(only.name.as_str(), NAME);
                prop_assert_eq!(only.revision, world.current);
                prop_assert!(only.started >= world.restart_after);
                prop_assert!(world.next.is_none());
            }
            (Goal::Running, Step::Done(Settled::Failed)) => {
                prop_assert!(!world.proven, "a proven version must have been kept");
                prop_assert!(world.boxes.len() <= 1);
            }
            (Goal::Stopped, Step::Done(Settled::Stopped))
            | (Goal::Halted, Step::Done(Settled::Failed)) => {
                prop_assert!(world.boxes.iter().all(|b| b.state != ContainerState::Running && b.state != ContainerState::Paused));
                let kept = 1 + usize::from(world.next.is_some());
                prop_assert!(world.boxes.len() <= kept);
            }
            (Goal::Absent, Step::Forget) => prop_assert!(world.boxes.is_empty()),
            other => prop_assert!(false, "unexpected end {other:?}"),
        }
    }
}

#[test]
fn a_failed_update_runs_the_old_version_again() {
    let mut world = World::new();
    world.settle();
    let old = world.boxes[0].id;
    world.disturb(Disturbance::Deploy(true));
    assert_eq!(world.settle(), Step::Done(Settled::Running));
    assert_eq!(world.boxes.len(), 1);
    assert_eq!(world.boxes[0].id, old, "the old container itself is kept");
}

#[test]
fn a_good_update_replaces_the_container_under_the_same_name() {
    let mut world = World::new();
    world.settle();
    let old = world.boxes[0].id;
    world.disturb(Disturbance::Deploy(false));
    assert_eq!(world.settle(), Step::Done(Settled::Running));
    assert_ne!(world.boxes[0].id, old);
    assert_eq!(world.boxes[0].name, NAME);
}

#[test]
fn a_loosened_container_keeps_running_where_it_can_and_is_made_anew_where_it_cannot() {
    use Confinement as C;
    use ContainerState as S;
    let seen = |state, confinement| {
        [Seen {
            id: ContainerId::new("1"),
            name: NAME.into(),
            version: Some(Version::Current),
            state,
            confinement,
            trial: Trial::Passed,
            awaits_health: false,
            outdated: false,
        }]
    };
    let step = |state, confinement, has_image, failed| {
        next(&Situation {
            goal: Goal::Running,
            name: NAME,
            proven: true,
            current: VersionFacts { has_image, failed },
            next: None,
            may_start: true,
            swept: false,
            containers: &seen(state, confinement),
        })
    };
    let id = || ContainerId::new("1");
    let version = Version::Current;
    for (state, confinement, has_image, expected) in [
        (S::Running, C::Adjustable, true, Step::Adjust(version, id())),
        (S::Exited, C::Adjustable, true, Step::Adjust(version, id())),
        (S::Running, C::Lost, false, Step::EnsureImage(version)),
        (S::Running, C::Lost, true, Step::Stop(id())),
        (S::Exited, C::Lost, true, Step::Remove(id())),
        (S::Running, C::Impossible, true, Step::Reject(version, id())),
        (S::Created, C::Impossible, true, Step::Reject(version, id())),
        (S::Paused, C::Lost, true, Step::Unpause(id())),
    ] {
        assert_eq!(
            step(state, confinement, has_image, false),
            expected,
            "{state:?} {confinement:?}"
        );
    }
    // What was given up does not run unconfined, and goes on running where its limits can be put back.
    for confinement in [C::Impossible, C::Lost] {
        assert_eq!(step(S::Running, confinement, true, true), Step::Stop(id()));
    }
    let failed = |state, confinement| step(state, confinement, true, true);
    assert_eq!(
        failed(S::Running, C::Adjustable),
        Step::Adjust(version, id())
    );
    assert_eq!(failed(S::Paused, C::Adjustable), Step::Unpause(id()));
    for (state, confinement) in [(S::Running, C::Held), (S::Exited, C::Adjustable)] {
        assert_eq!(failed(state, confinement), Step::Done(Settled::Failed));
    }
}

#[test]
fn the_confined_one_of_two_is_kept() {
    let seen = |state| {
        [
            ("1", NAME, state, Confinement::Lost),
            ("2", "other", ContainerState::Exited, Confinement::Held),
        ]
        .map(|(id, name, state, confinement)| Seen {
            id: ContainerId::new(id),
            name: name.into(),
            version: Some(Version::Current),
            state,
            confinement,
            trial: Trial::Passed,
            awaits_health: false,
            outdated: false,
        })
    };
    let step = |state, goal| {
        next(&Situation {
            goal,
            name: NAME,
            proven: true,
            current: VersionFacts {
                has_image: true,
                failed: false,
            },
            next: None,
            may_start: true,
            swept: false,
            containers: &seen(state),
        })
    };
    let copy = || ContainerId::new("1");
    for goal in [Goal::Running, Goal::Stopped, Goal::Halted] {
        assert_eq!(step(ContainerState::Running, goal), Step::Stop(copy()));
        assert_eq!(step(ContainerState::Exited, goal), Step::Remove(copy()));
    }
}

/// It may be a copy that somebody made, and would pass for the tool's own under its name.
#[test]
fn a_container_to_be_made_anew_gets_no_name_but_its_own() {
    use Confinement as C;
    use ContainerState as S;
    let step = |name: &str, confinement, state, goal, next_facts: Option<VersionFacts>| {
        let seen = [Seen {
            id: ContainerId::new("1"),
            name: name.into(),
            version: Some(Version::Current),
            state,
            confinement,
            trial: Trial::Passed,
            awaits_health: false,
            outdated: false,
        }];
        let here = VersionFacts {
            has_image: true,
            failed: false,
        };
        next(&Situation {
            goal,
            name: NAME,
            proven: true,
            current: here,
            next: next_facts,
            may_start: true,
            swept: false,
            containers: &seen,
        })
    };
    let id = || ContainerId::new("1");
    let renamed = || Step::Rename(id(), NAME.to_owned());
    let next_name = format!("{NAME}{NEXT_SUFFIX}");
    let update = Some(VersionFacts {
        has_image: true,
        failed: false,
    });
    for (goal, update, state, foreign) in [
        (Goal::Running, None, S::Running, Step::Stop(id())),
        (Goal::Running, None, S::Exited, Step::Remove(id())),
        (Goal::Stopped, None, S::Exited, Step::Done(Settled::Stopped)),
        (Goal::Halted, None, S::Exited, Step::Done(Settled::Failed)),
        (
            Goal::Running,
            update,
            S::Running,
            Step::Create(Version::Next, next_name.clone()),
        ),
    ] {
        let step = |name, confinement| step(name, confinement, state, goal, update);
        assert_eq!(step("foreign", C::Lost), foreign, "{goal:?} {state:?}");
        assert_eq!(step("foreign", C::Held), renamed(), "{goal:?} {state:?}");
        // An update left it under this name.
        assert_eq!(step(&next_name, C::Lost), renamed(), "{goal:?} {state:?}");
    }
}

#[test]
fn what_has_a_health_check_runs_once_it_has_succeeded() {
    let step = |awaits_health| {
        let seen = [Seen {
            id: ContainerId::new("1"),
            name: NAME.into(),
            version: Some(Version::Current),
            state: ContainerState::Running,
            confinement: Confinement::Held,
            trial: Trial::Passed,
            awaits_health,
            outdated: false,
        }];
        next(&Situation {
            goal: Goal::Running,
            name: NAME,
            proven: true,
            current: VersionFacts::default(),
            next: None,
            may_start: true,
            swept: false,
            containers: &seen,
        })
    };
    assert_eq!(step(true), Step::Hold);
    assert_eq!(step(false), Step::Done(Settled::Running));
}

#[test]
fn a_back_off_holds_the_start() {
    let seen = [Seen {
        id: ContainerId::new("1"),
        name: NAME.into(),
        version: Some(Version::Current),
        state: ContainerState::Exited,
        confinement: Confinement::Held,
        trial: Trial::Passed,
        awaits_health: false,
        outdated: false,
    }];
    let situation = Situation {
        goal: Goal::Running,
        name: NAME,
        proven: true,
        current: VersionFacts::default(),
        next: None,
        may_start: false,
        swept: false,
        containers: &seen,
    };
    assert_eq!(next(&situation), Step::Hold);
}
