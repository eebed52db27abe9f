//! What users see of a toolbox.

use std::time::Duration;

use toolbox_api::moment;
use toolbox_api::toolboxes::{ToolboxCost, ToolboxProgress, ToolboxView};
use toolbox_clients::supabase::toolboxes::ToolboxRow;
use toolbox_domain::provisioning::progress;

/// The toolbox as it is shown at this moment.
pub fn view(now: Duration, row: &ToolboxRow) -> ToolboxView {
    let age = |at: &str| Some(now.saturating_sub(moment::parse(at)?));
    let seconds = |at: &str| age(at).map(|age| age.as_secs());
    ToolboxView {
        id: row.toolbox.id,
        kind: row.kind,
        name: row.name.clone(),
        description: row.description.clone(),
        status: row.toolbox.status.clone(),
        status_changed_at: row.status_changed_at.clone(),
        status_age_seconds: seconds(&row.status_changed_at).unwrap_or_default(),
        progress: under_way(now, row),
        provisioning_error_message: row.provisioning_error_message.clone(),
        cost: cost(row, row.price_since.as_deref().and_then(age)),
        region_slug: row.region_slug.clone(),
        size_slug: row.size_slug.clone(),
        image_slug: row.image_slug.clone(),
        do_droplet_id: row.do_droplet_id,
        do_droplet_name: row.do_droplet_name.clone(),
        public_ip_address: row.toolbox.public_ip_address.clone(),
        dtma_last_known_version: row.toolbox.dtma_last_known_version.clone(),
        last_heartbeat_age_seconds: row.last_heartbeat_at.as_deref().and_then(seconds),
        last_heartbeat_at: row.last_heartbeat_at.clone(),
        created_at: row.created_at.clone(),
        updated_at: row.updated_at.clone(),
    }
}

/// How far the toolbox is; none when nothing is under way.
fn under_way(now: Duration, row: &ToolboxRow) -> Option<ToolboxProgress> {
    // A step that this version does not know is shown by the status alone.
    let step = row.provisioning_step.as_deref();
    let step = step.and_then(|step| step.parse().ok());
    let told = progress(row.toolbox.status.parse().ok()?, step);
    if told.percent == 100 {
        return None;
    }
    let since = match (step, &row.provisioning_step_since) {
        (Some(_), Some(since)) => since,
        _ => &row.status_changed_at,
    };
    let age = moment::parse(since).map(|since| now.saturating_sub(since));
    Some(ToolboxProgress {
        step: step.map_or_else(
            || row.toolbox.status.clone(),
            |step| step.as_str().to_owned(),
        ),
        message: told.now.to_owned(),
        percent: told.percent,
        since: since.clone(),
        age_seconds: age.unwrap_or_default().as_secs(),
        next: told.next.map(str::to_owned),
        problem: row.provisioning_problem.clone(),
    })
}

/// What the machine cost; `paid_for` is how long at the present price.
fn cost(row: &ToolboxRow, paid_for: Option<Duration>) -> Option<ToolboxCost> {
    let (per_hour_usd, per_month_usd) = (row.price_hourly_usd?, row.price_monthly_usd?);
    let hours = paid_for.unwrap_or_default().as_secs_f64() / 3600.0;
    let so_far = row.cost_before_usd + hours * per_hour_usd;
    Some(ToolboxCost {
        // In hundredths of a cent, as prices an hour are.
        so_far_usd: (so_far * 10_000.0).round() / 10_000.0,
        per_hour_usd,
        per_month_usd,
    })
}
