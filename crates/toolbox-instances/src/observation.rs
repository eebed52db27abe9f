//! What agents show of instances, in the words of the domain: their answers, and the reports of their heartbeats.

use toolbox_api::dtma::{self, Phase, ToolView};
use toolbox_api::heartbeat::InstanceReport;
use toolbox_clients::dtma::AgentError;
use toolbox_clients::supabase::rows::{BadRow, InstanceRow, ObservedRow};
use toolbox_domain::lifecycle::{Desired, Observed, Reason, Seen, View};

/// What an agent that answered shows of an instance.
#[derive(Clone, Debug)]
pub(crate) enum Observation {
    /// The instance.
    View(Box<ToolView>),
    /// Nothing of it is left, and that is the end of the command.
    Gone,
    /// The agent shows nothing of it.
    Missing,
    /// No agent answers; Docker shows this.
    Docker(Observed),
}

impl Observation {
    /// Reads the answer to a look at one instance.
    pub(crate) fn of_look(answer: Result<Box<ToolView>, AgentError>) -> Result<Self, AgentError> {
        match answer {
            Ok(view) => Ok(Self::View(view)),
            Err(error) if error.is_instance_unknown() => Ok(Self::Missing),
            Err(error) => Err(error),
        }
    }

    /// The agent is done with this generation.
    pub(crate) fn is_settled(&self, generation: u64) -> bool {
        match self {
            // What Docker shows was looked at after the command of this generation.
            Self::Gone | Self::Docker(_) => true,
            Self::Missing => false,
            Self::View(view) => view.settled && view.generation >= generation,
        }
    }

    pub(crate) fn view(&self) -> Option<&ToolView> {
        match self {
            Self::View(view) => Some(view),
            Self::Gone | Self::Missing | Self::Docker(_) => None,
        }
    }

    /// The same in the words of the domain. What is gone is gone at the generation of `row`.
    pub(crate) fn seen(&self, row: &InstanceRow) -> Seen {
        match self {
            Self::View(view) => Seen::View(of_view(view)),
            Self::Gone => Seen::Gone {
                generation: row.generation,
            },
            Self::Missing => Seen::Missing,
            Self::Docker(observed) => Seen::View(View {
                generation: row.generation,
                observed: observed.clone(),
                settled: true,
                desired: row.desired().ok(),
                failure: None,
                rolled_back: false,
            }),
        }
    }

    /// A reader is to have the row changed to what the agent shows. What is not settled is told by the agent's heartbeats, step
    /// by step. So is a roll-back: only the database knows whether there is an earlier spec to go back to.
    pub(crate) fn is_drift(&self, row: &InstanceRow) -> Result<bool, BadRow> {
        let known = row.known()?;
        let Some(view) = self.view() else {
            // The deletion is to be confirmed.
            let decision = known.decide(&self.seen(row));
            return Ok(decision.map_or(known.is_being_deleted(), |d| !d.steps.is_empty()));
        };
        let is_behind = view.generation < row.generation;
        if !view.settled || view.rolled_back && !is_behind {
            return Ok(false);
        }
        let differs = view.container_id != row.container_id
            || view.image_digest != row.image_digest
            || view.ports != row.port_mapping_json;
        let decision = known.decide(&self.seen(row));
        Ok(decision.is_some_and(|d| differs || !d.steps.is_empty()))
    }
}

impl From<Box<ToolView>> for Observation {
    fn from(view: Box<ToolView>) -> Self {
        Self::View(view)
    }
}

impl From<ToolView> for Observation {
    fn from(view: ToolView) -> Self {
        Self::View(Box::new(view))
    }
}

/// What an answer shows beside the status.
pub(crate) fn facts_of_view(view: &ToolView) -> ObservedRow<'_> {
    ObservedRow {
        container_id: view.container_id.as_deref(),
        image_digest: view.image_digest.as_deref(),
        registry_digest: view.registry_digest.as_deref(),
        ports: &view.ports,
    }
}

/// What a heartbeat tells beside the status.
pub(crate) fn facts_of_report(report: &InstanceReport) -> ObservedRow<'_> {
    ObservedRow {
        container_id: report.container_id.as_deref(),
        image_digest: report.image_digest.as_deref(),
        registry_digest: report.registry_digest.as_deref(),
        ports: &report.ports,
    }
}

fn of_view(view: &ToolView) -> View {
    View {
        generation: view.generation,
        observed: observed(view.phase, view.reason.as_ref()),
        settled: view.settled,
        desired: Some(match view.desired {
            dtma::Desired::Running => Desired::Running,
            dtma::Desired::Stopped => Desired::Stopped,
            dtma::Desired::Absent => Desired::Absent,
        }),
        failure: failure_of(view),
        rolled_back: view.rolled_back,
    }
}

/// A report says that nothing is left only when the agent refuses what was sent before.
pub(crate) fn of_report(report: &InstanceReport) -> Seen {
    let Some(phase) = report.phase else {
        return Seen::Gone {
            generation: report.generation,
        };
    };
    Seen::View(View {
        generation: report.generation,
        observed: observed(phase, report.reason.as_ref()),
        settled: report.settled,
        desired: None,
        failure: failure(phase, report.rolled_back, report.reason.as_ref()),
        rolled_back: report.rolled_back,
    })
}

/// Why a view is not what was asked for; none when it is.
pub(crate) fn failure_of(view: &ToolView) -> Option<Reason> {
    let is_given_up = view.update_failed || view.rolled_back;
    failure(view.phase, is_given_up, view.reason.as_ref())
}

/// A reason without an error also means a failure: the same spec was deployed again and did not start, and the container before it
/// runs on.
fn failure(phase: Phase, is_given_up: bool, reason: Option<&dtma::Reason>) -> Option<Reason> {
    let is_failure = phase == Phase::Error || is_given_up || reason.is_some();
    is_failure.then(|| reason_of(reason))
}

fn observed(phase: Phase, reason: Option<&dtma::Reason>) -> Observed {
    match phase {
        Phase::Pending | Phase::Pulling | Phase::Building | Phase::Creating => Observed::Preparing,
        Phase::Starting => Observed::Starting,
        Phase::Running => Observed::Running,
        Phase::Stopping => Observed::Stopping,
        Phase::Stopped => Observed::Stopped,
        Phase::Removing => Observed::Removing,
        Phase::Error => Observed::Failed(reason_of(reason)),
    }
}

/// Longest message that the database keeps, in characters.
const LONGEST_MESSAGE: usize = 4000;

/// The reason in the form that the database keeps. A machine that sends another form must not block the record.
fn reason_of(reason: Option<&dtma::Reason>) -> Reason {
    reason
        .filter(|reason| is_code(&reason.code))
        .and_then(|reason| {
            // Postgres cannot hold NUL characters, and what a container writes may have them.
            let message = reason.message.chars().take(LONGEST_MESSAGE);
            let message: String = message
                .map(|c| if c == '\0' { '\u{FFFD}' } else { c })
                .collect();
            Reason::new(reason.code.as_str(), message).ok()
        })
        .unwrap_or_else(Reason::unspecified)
}

fn is_code(code: &str) -> bool {
    code.len() <= 64
        && code.starts_with(|c: char| c.is_ascii_lowercase())
        && code
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(code: &str, message: &str) -> dtma::Reason {
        dtma::Reason {
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    #[test]
    fn a_reason_that_the_database_cannot_keep_is_no_obstacle() {
        let long = "x".repeat(64);
        for code in ["", "Not A Code", "9_lives", "a-b", &"x".repeat(65)] {
            let kept = reason_of(Some(&reason(code, "x")));
            assert_eq!(kept, Reason::unspecified(), "{code}");
        }
        for message in ["", " \n"] {
            let kept = reason_of(Some(&reason("exited", message)));
            assert_eq!(kept, Reason::unspecified());
        }
        assert_eq!(reason_of(None), Reason::unspecified());
        assert_eq!(reason_of(Some(&reason(&long, "x"))).code(), long);
        let kept = reason_of(Some(&reason("exited", &format!("a\0{}", "é".repeat(5000)))));
        assert_eq!(kept.message().chars().count(), 4000);
        assert!(kept.message().starts_with("a\u{FFFD}é"));
    }

    #[test]
    fn a_reason_without_an_error_is_a_failure() {
        let why = reason("exited", "x");
        let kept = Reason::new("exited", "x").unwrap();
        assert_eq!(failure(Phase::Running, false, None), None);
        assert_eq!(failure(Phase::Running, false, Some(&why)), Some(kept));
        for (phase, rolled_back) in [(Phase::Error, false), (Phase::Running, true)] {
            assert_eq!(
                failure(phase, rolled_back, None),
                Some(Reason::unspecified())
            );
        }
    }
}
