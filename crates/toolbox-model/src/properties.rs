//! What is asserted of every state.

use stateright::Property;
use toolbox_domain::lifecycle::{EnvironmentStatus, InstanceState, InstanceStatus, Request};

use crate::heal;
use crate::model::Toolbox;
use crate::state::{Broken, Fetch, State};

/// Invariant.
pub const NO_ILLEGAL_TRANSITION: &str = "no illegal transition of an instance or the toolbox";
/// Invariant.
pub const ONE_CONTAINER: &str = "at most one running container per instance";
/// Invariant.
pub const ERROR_HAS_A_REASON: &str = "error has a reason, nothing else does";
/// Invariant.
pub const NOTHING_COMES_BACK: &str = "a deleted instance never comes back";
/// Invariant.
pub const GENERATIONS_GROW: &str = "generations never go back";
/// Invariant.
pub const REPLAYS_CHANGE_NOTHING: &str = "a replayed heartbeat changes nothing";
/// Invariant.
pub const SUCCESS_WAS_SEEN: &str = "a success told to a user was observed";
/// Invariant.
pub const REPORTS_ARE_TRUE: &str = "a report was true when it was made";
/// Invariant, as long as nothing of another run, which nobody can compare, comes between.
pub const VIEWS_STAY_IN_ORDER: &str =
    "what is recorded of a run is never taken back to an earlier view of it";
/// Invariant, from every state: no operation stays in progress, and desired = observed = row.
pub const EVERYTHING_HEALS: &str = "once faults stop, every operation ends and desired = observed = row with one container, and stays so";

/// The properties of a model: what always holds, and what must be reached, so that it holds of something.
pub(crate) fn of(model: &Toolbox) -> Vec<Property<Toolbox>> {
    let mut properties = vec![
        Property::always(NO_ILLEGAL_TRANSITION, |_, s: &State| {
            s.broken != Some(Broken::IllegalTransition)
                && s.broken != Some(Broken::IllegalToolboxTransition)
        }),
        Property::always(ONE_CONTAINER, |_, s: &State| has_one_container(s)),
        Property::always(ERROR_HAS_A_REASON, |_, s: &State| errors_have_reasons(s)),
        Property::always(NOTHING_COMES_BACK, |_, s: &State| {
            s.broken != Some(Broken::CameBack)
        }),
        Property::always(GENERATIONS_GROW, |_, s: &State| {
            s.broken != Some(Broken::GenerationWentBack)
        }),
        Property::always(REPLAYS_CHANGE_NOTHING, |_, s: &State| {
            s.broken != Some(Broken::ReplayChanged)
        }),
        Property::always(SUCCESS_WAS_SEEN, |_, s: &State| {
            s.broken != Some(Broken::SuccessUnseen)
        }),
        Property::always(REPORTS_ARE_TRUE, |_, s: &State| {
            s.broken != Some(Broken::FalseReport)
        }),
        Property::always(VIEWS_STAY_IN_ORDER, |_, s: &State| {
            s.broken != Some(Broken::TakenBack)
        }),
        Property::always(EVERYTHING_HEALS, heal::heals),
        Property::sometimes("an instance runs", |_, s: &State| {
            has_status(s, InstanceStatus::Running)
        }),
        Property::sometimes(
            "the desired state is fetched and applied",
            |_, s: &State| {
                s.agent.pulse.fetch != Fetch::Idle && s.agent.disk.iter().any(Option::is_some)
            },
        ),
        Property::sometimes("a view on its way is overtaken", |_, s: &State| {
            s.rows.iter().flatten().any(|r| r.view.is_some())
        }),
    ];
    let has = |action| model.bounds.commands > 1 && model.bounds.actions.contains(&action);
    if has(Request::Delete) {
        properties.push(Property::sometimes(
            "an instance is deleted",
            |_, s: &State| s.history.iter().any(|h| h.removed),
        ));
    }
    if has(Request::Stop) {
        properties.push(Property::sometimes(
            "an instance is stopped",
            |_, s: &State| has_status(s, InstanceStatus::Stopped),
        ));
    }
    if has(Request::Update) && model.bounds.failures > 0 {
        properties.push(Property::sometimes(
            "an update is rolled back",
            |_, s: &State| s.agent.disk.iter().flatten().any(|r| r.rolled_back),
        ));
    }
    if model.bounds.failures > 0 {
        properties.push(Property::sometimes(
            "an instance is in error",
            |_, s: &State| has_status(s, InstanceStatus::Error),
        ));
    }
    if model.bounds.silences > 0 {
        properties.push(Property::sometimes(
            "the toolbox is silent",
            |_, s: &State| s.toolbox == EnvironmentStatus::Unresponsive,
        ));
    }
    properties
}

/// Once all is settled there is one at all: [`heal::is_healed`] wants that. Before that the agent may not have seen one
/// that Docker was late to make; it does not run.
fn has_one_container(state: &State) -> bool {
    state.docker.iter().all(|docker| docker.running() <= 1)
}

fn errors_have_reasons(state: &State) -> bool {
    state.broken != Some(Broken::ReasonMissing)
        && state
            .rows
            .iter()
            .flatten()
            .all(|row| InstanceState::new(row.state.status(), row.state.reason().cloned()).is_ok())
}

fn has_status(state: &State, status: InstanceStatus) -> bool {
    let rows = state.rows.iter().flatten();
    rows.into_iter().any(|r| r.state.status() == status)
}
