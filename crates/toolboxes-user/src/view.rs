//! What users see of a toolbox.

use toolbox_api::moment;
use toolbox_api::toolboxes::{ToolboxKind, ToolboxProgress, ToolboxView};
use toolbox_clients::supabase::toolboxes::ToolboxRow;
use toolbox_domain::lifecycle::EnvironmentStatus;
use toolbox_edge::FunctionState;

/// The toolbox as it is shown.
pub(crate) fn view(state: &FunctionState, row: &ToolboxRow) -> ToolboxView {
    ToolboxView {
        id: row.toolbox.id,
        kind: row.kind,
        name: row.name.clone(),
        description: row.description.clone(),
        status: row.toolbox.status.clone(),
        status_changed_at: row.status_changed_at.clone(),
        status_age_seconds: age(state, &row.status_changed_at).unwrap_or_default(),
        progress: match row.kind {
            ToolboxKind::Byo => joining(row),
            ToolboxKind::Droplet => None,
        },
        provisioning_error_message: row.provisioning_error_message.clone(),
        region_slug: row.region_slug.clone(),
        size_slug: row.size_slug.clone(),
        image_slug: row.image_slug.clone(),
        do_droplet_id: row.do_droplet_id,
        do_droplet_name: row.do_droplet_name.clone(),
        public_ip_address: row.toolbox.public_ip_address.clone(),
        dtma_last_known_version: row.toolbox.dtma_last_known_version.clone(),
        last_heartbeat_age_seconds: row
            .last_heartbeat_at
            .as_deref()
            .and_then(|at| age(state, at)),
        last_heartbeat_at: row.last_heartbeat_at.clone(),
        created_at: row.created_at.clone(),
        updated_at: row.updated_at.clone(),
    }
}

/// Seconds since a moment that a row holds.
fn age(state: &FunctionState, at: &str) -> Option<u64> {
    let at = moment::parse(at)?;
    Some(state.clock.now().saturating_sub(at).as_secs())
}

/// How far a machine is that its user brings.
fn joining(row: &ToolboxRow) -> Option<ToolboxProgress> {
    let (step, message, percent, next) = match row.toolbox.status.parse().ok()? {
        EnvironmentStatus::PendingProvision | EnvironmentStatus::Provisioning => (
            "run_the_installer",
            "Run the installer's command as root on your machine",
            0,
            "The machine enrols, and its agent reports",
        ),
        EnvironmentStatus::AwaitingHeartbeat => (
            "first_report",
            "The machine has enrolled; its agent is about to report",
            80,
            "The toolbox is active, and tools can be deployed",
        ),
        _ => return None,
    };
    Some(ToolboxProgress {
        step: step.to_owned(),
        message: message.to_owned(),
        percent,
        since: row.status_changed_at.clone(),
        next: next.to_owned(),
    })
}
