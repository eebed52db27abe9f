//! The report of one instance in a heartbeat.

use std::hash::{DefaultHasher, Hash, Hasher};

use time::OffsetDateTime;
use toolbox_api::dtma::{Phase, Reason, ToolView};
use toolbox_api::heartbeat::InstanceReport;
use toolbox_api::mcp::McpHealth;
use toolbox_domain::ids::ToolInstanceId;

use crate::instances::Published;
use crate::instances::view::text;

/// The view, once its task has decided. Before that it only shows that the agent was started or that a command came,
/// and an instance that runs all the time would be reported as being deployed.
pub(super) fn decided(published: &Published) -> Option<&ToolView> {
    published
        .view
        .as_deref()
        .filter(|view| published.decided && (view.phase != Phase::Pending || view.settled))
}

/// The report of a view.
pub(super) fn of_view(view: &ToolView, mcp: Option<McpHealth>) -> InstanceReport {
    InstanceReport {
        id: view.id,
        generation: view.generation,
        phase: Some(view.phase),
        settled: view.settled,
        reason: view.reason.clone(),
        container_id: view.container_id.clone(),
        image_digest: view.image_digest.clone(),
        registry_digest: view.registry_digest.clone(),
        ports: view.ports.clone(),
        rolled_back: view.rolled_back,
        mcp,
        observed_at: text(OffsetDateTime::now_utc()),
        view_version: view.version,
    }
}

/// `generation` deleted the instance, and nothing of it is left.
pub(super) fn of_absent(id: ToolInstanceId, generation: u64) -> InstanceReport {
    InstanceReport {
        phase: None,
        ..nothing(id, generation)
    }
}

/// The agent does not hold the instance, and cannot take `generation` of it.
pub(super) fn of_rejected(id: ToolInstanceId, generation: u64, why: &Reason) -> InstanceReport {
    InstanceReport {
        phase: Some(Phase::Error),
        reason: Some(why.clone()),
        ..nothing(id, generation)
    }
}

/// The agent cannot take `generation` of the instance, and keeps what it held before.
pub(super) fn of_kept(view: &ToolView, generation: u64, why: &Reason) -> InstanceReport {
    InstanceReport {
        generation,
        settled: true,
        rolled_back: true,
        reason: Some(why.clone()),
        ..of_view(view, None)
    }
}

fn nothing(id: ToolInstanceId, generation: u64) -> InstanceReport {
    InstanceReport {
        id,
        generation,
        phase: None,
        settled: true,
        reason: None,
        container_id: None,
        image_digest: None,
        registry_digest: None,
        ports: Vec::new(),
        rolled_back: false,
        mcp: None,
        observed_at: text(OffsetDateTime::now_utc()),
        view_version: None,
    }
}

/// A report's size as JSON, and a hash of the parts whose change is reported at once: not times, versions or
/// measurements.
pub(super) fn measure(report: &InstanceReport) -> (usize, u64) {
    let mut lasting = report.clone();
    lasting.observed_at = String::new();
    lasting.view_version = None;
    if let Some(mcp) = &mut lasting.mcp {
        mcp.checked_at = String::new();
        mcp.last_success_at = None;
        mcp.latency_ms = None;
        mcp.evidence = String::new();
    }
    // Reports hold strings and numbers only, so they always serialise.
    let size = serde_json::to_vec(report).map_or(0, |json| json.len());
    let mut hasher = DefaultHasher::new();
    serde_json::to_vec(&lasting)
        .unwrap_or_default()
        .hash(&mut hasher);
    (size, hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_not_worth_a_push() {
        let id = ToolInstanceId::new(uuid::Uuid::from_u128(7));
        let first = of_absent(id, 3);
        let later = InstanceReport {
            observed_at: "later".into(),
            ..first.clone()
        };
        assert_eq!(measure(&first).1, measure(&later).1);
        let other = of_absent(id, 4);
        assert_ne!(measure(&first).1, measure(&other).1);
    }
}
