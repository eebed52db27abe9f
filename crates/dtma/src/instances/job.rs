//! The one thing that the task of an instance has under way.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use toolbox_api::dtma::{Desired, Phase};
use toolbox_domain::ids::ToolInstanceId;

use super::Shared;
use super::steps::{self, StepEnd};
use crate::planner::Step;
use crate::record::Record;
use crate::runtime::{Container, RuntimeError};

/// What is under way.
pub(super) enum Job {
    /// Docker was asked for the containers.
    Look(BoxFuture<'static, Result<Vec<Container>, RuntimeError>>),
    /// A step is carried out.
    Step(Step, steps::Job),
}

/// What came of it.
pub(super) enum Outcome {
    Looked(Result<Vec<Container>, RuntimeError>),
    Stepped(Step, Result<StepEnd, RuntimeError>),
}

impl Job {
    /// Asks for the containers of an instance.
    pub(super) fn look(shared: &Arc<Shared>, id: ToolInstanceId) -> Self {
        let shared = Arc::clone(shared);
        Self::Look(Box::pin(async move { shared.runtime.observe(id).await }))
    }

    pub(super) async fn end(&mut self) -> Outcome {
        match self {
            Self::Look(look) => Outcome::Looked(look.await),
            Self::Step(step, job) => {
                let end = job.await;
                Outcome::Stepped(step.clone(), end)
            }
        }
    }

    /// It can be dropped without leaving a change to Docker unfinished.
    pub(super) const fn can_be_dropped(&self) -> bool {
        matches!(
            self,
            Self::Look(_) | Self::Step(Step::EnsureImage(_) | Step::Try(..), _)
        )
    }
}

/// The end of the job, or never when there is none.
pub(super) async fn end_of(job: &mut Option<Job>) -> Outcome {
    match job {
        Some(job) => job.end().await,
        None => std::future::pending().await,
    }
}

/// What the user sees of a step.
pub(super) fn phase_of(step: &Step, record: &Record) -> Phase {
    match (record.desired, step) {
        (Desired::Absent, _) => Phase::Removing,
        (Desired::Stopped, _) => Phase::Stopping,
        (Desired::Running, Step::EnsureImage(version)) => {
            match steps::release(record, *version).map(|r| r.image_request(record.id)) {
                Some(crate::runtime::ImageRequest::Build { .. }) => Phase::Building,
                _ => Phase::Pulling,
            }
        }
        (Desired::Running, Step::Create(..)) => Phase::Creating,
        (Desired::Running, Step::Stop(_)) if record.next.is_none() => Phase::Stopping,
        (Desired::Running, _) => Phase::Starting,
    }
}
