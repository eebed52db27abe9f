//! The one way in which what agents show becomes rows. The domain decides of each row what to write. The database writes it
//! onto that row only, all of a batch in one call. What has moved meanwhile is decided again on the row as it is now.

use std::borrow::Cow;

use toolbox_api::dtma::ViewVersion;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::heartbeat::InstanceReport;
use toolbox_clients::supabase::rows::{
    BadRow, InstanceRow, ObservedRow, OperationResult, RecordState, RecordStep, Recorded,
};
use toolbox_clients::supabase::{DatabaseError, Supabase};
use toolbox_domain::ids::{OperationId, ToolboxId};
use toolbox_domain::lifecycle::Seen;

use crate::observation::{self, Observation};

/// How often a decision is made.
const ATTEMPTS: usize = 3;

/// A row, and what was seen of it.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    row: Cow<'a, InstanceRow>,
    seen: Seen,
    /// What was seen beside the status.
    facts: Option<ObservedRow<'a>>,
    version: Option<ViewVersion>,
    /// The observer's own operation. Its end is recorded.
    operation: Option<OperationId>,
}

/// The row after a record.
#[derive(Debug)]
pub(crate) enum Row {
    /// It is as recorded.
    Written(Box<InstanceRow>),
    /// It is gone.
    Gone,
    /// Nothing was recorded: there was nothing to record, or the row has moved on.
    Untouched,
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Each row, in their order.
    pub(crate) rows: Vec<Row>,
    /// Digest of the desired state of the toolbox that was named, if anything was to be recorded.
    pub(crate) desired_digest: Option<String>,
    /// Rows kept changing, and not all was recorded.
    pub(crate) is_incomplete: bool,
}

impl<'a> Entry<'a> {
    pub(crate) fn of_answer(
        row: &'a InstanceRow,
        observation: &'a Observation,
        operation: Option<OperationId>,
    ) -> Self {
        let view = observation.view();
        Self {
            row: Cow::Borrowed(row),
            seen: observation.seen(row),
            facts: view.map(observation::facts_of_view),
            version: view.and_then(|view| view.version),
            operation,
        }
    }

    fn of_report(row: InstanceRow, report: &'a InstanceReport) -> Self {
        Self {
            row: Cow::Owned(row),
            seen: observation::of_report(report),
            facts: report.phase.map(|_| observation::facts_of_report(report)),
            version: report.phase.and(report.view_version),
            operation: None,
        }
    }

    fn of_missing(row: InstanceRow) -> Self {
        Self {
            row: Cow::Owned(row),
            seen: Seen::Missing,
            facts: None,
            version: None,
            operation: None,
        }
    }

    /// What is to be written; none when what was seen says nothing of the row.
    fn decide(&self) -> Result<Option<RecordState<'_>>, BadRow> {
        let row = &*self.row;
        let Some(decision) = row.known()?.decide(&self.seen) else {
            return Ok(None);
        };
        let generation = match &self.seen {
            Seen::View(view) => view.generation.max(row.generation),
            Seen::Gone { generation } => *generation,
            Seen::Missing => row.generation,
        };
        // What the agent is still at work on changes again.
        let lasts = self.seen.is_settled() || generation > row.generation;
        Ok(Some(RecordState {
            instance_id: row.id,
            generation,
            expected_generation: row.generation,
            expected_status: &row.status_on_toolbox,
            operation_id: self.operation,
            actor_kind: "agent",
            settled: self.seen.is_settled(),
            only_idle: decision.only_idle,
            steps: decision.steps.iter().map(RecordStep::from).collect(),
            view_version: self.version,
            observed: self.facts.filter(|_| lasts),
            operation_result: decision.end.map(|end| match end {
                Ok(()) => OperationResult::succeeded(),
                Err(reason) => OperationResult::failed(reason.code(), reason.message()),
            }),
            restore_previous_spec: decision.restores_spec,
            restore_previous_desired: false,
            remove_row: decision.row_gone,
        }))
    }

    /// The database refused the record, because the row is as `now`. Whether to decide again: another observer was quicker, and
    /// the same steps must not be written twice. What belongs to a later generation is not for this observer to say.
    fn is_to_decide_again(&self, now: &InstanceRow) -> Result<bool, BadRow> {
        Ok(now.generation == self.row.generation
            && now.status_on_toolbox != self.row.status_on_toolbox
            && self
                .seen
                .may_decide_again(&now.known()?, self.operation.is_some()))
    }
}

/// Records a batch. With `toolbox_id`, all of it must be of that toolbox.
pub(crate) async fn record(
    database: &Supabase,
    request_id: &str,
    toolbox_id: Option<ToolboxId>,
    mut entries: Vec<Entry<'_>>,
) -> Result<Batch, DatabaseError> {
    let bad_row = |_: BadRow| DatabaseError::BadResponse {
        status: 200,
        code: "bad_row".to_owned(),
    };
    let mut batch = Batch {
        rows: entries.iter().map(|_| Row::Untouched).collect(),
        desired_digest: None,
        is_incomplete: false,
    };
    let mut open: Vec<usize> = (0..entries.len()).collect();
    for _ in 0..ATTEMPTS {
        let mut places = Vec::with_capacity(open.len());
        let mut items = Vec::with_capacity(open.len());
        for place in open.drain(..) {
            if let Some(item) = entries[place].decide().map_err(bad_row)? {
                places.push(place);
                items.push(item);
            }
        }
        if items.is_empty() {
            break;
        }
        let recorded = database
            .record_states(request_id, toolbox_id, &items)
            .await?;
        batch.desired_digest = recorded.desired_digest;
        for (place, result) in places.into_iter().zip(recorded.results) {
            batch.rows[place] = match result {
                Recorded::Written(Some(row)) => Row::Written(row),
                Recorded::Written(None) | Recorded::NotFound => Row::Gone,
                Recorded::Stale(now) => {
                    let entry = &mut entries[place];
                    if entry.is_to_decide_again(&now).map_err(bad_row)? {
                        entry.row = Cow::Owned(*now);
                        open.push(place);
                    }
                    Row::Untouched
                }
            };
        }
    }
    batch.is_incomplete = !open.is_empty();
    Ok(batch)
}

/// Records what a heartbeat of `toolbox_id` tells of the rows that `record_heartbeat` answered: those with `news`, and those
/// that are `missing` from it. Answers the digest of what is desired then; none when nothing was to be recorded. Fails with
/// `state_changed` when rows changed too often to be decided, so that the agent reports again.
pub async fn record_reports(
    database: &Supabase,
    request_id: &str,
    toolbox_id: ToolboxId,
    reports: &[InstanceReport],
    news: Vec<InstanceRow>,
    missing: Vec<InstanceRow>,
) -> Result<Option<String>, ApiError> {
    let of_news = news.into_iter().filter_map(|row| {
        let report = reports.iter().find(|report| report.id == row.id)?;
        Some(Entry::of_report(row, report))
    });
    let of_missing = missing.into_iter().map(Entry::of_missing);
    let entries = of_news.chain(of_missing).collect();
    let batch = record(database, request_id, Some(toolbox_id), entries).await?;
    if batch.is_incomplete {
        return Err(ApiError::new(ErrorCode::StateChanged));
    }
    Ok(batch.desired_digest)
}
