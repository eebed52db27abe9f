//! The one way in which what agents show becomes rows. The domain decides of each row what to write. The database writes it
//! onto that row only, all of a batch in one call. What has moved meanwhile is decided again on the row as it is now.

use std::borrow::Cow;

use toolbox_api::dtma::ViewVersion;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::heartbeat::InstanceReport;
use toolbox_clients::supabase::rows::{
    BadRow, HeartbeatRef, InstanceRow, ObservedRow, OperationResult, ReadRow, RecordState,
    RecordStep, Recorded,
};
use toolbox_clients::supabase::{DatabaseError, Supabase};
use toolbox_domain::ids::{OperationId, ToolInstanceId};
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
    /// It cannot be decided, or the database refuses what was decided.
    Failed(DatabaseError),
}

impl Row {
    /// Why nothing was recorded of it.
    pub(crate) fn failure(self) -> Option<DatabaseError> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Written(_) | Self::Gone | Self::Untouched => None,
        }
    }
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Each row, in their order.
    pub(crate) rows: Vec<Row>,
    /// Digest of the desired state of the toolbox whose heartbeat it is, if anything was to be recorded.
    pub(crate) desired_digest: Option<String>,
    /// Rows kept changing, or a later heartbeat was recorded, and not all was recorded.
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

/// Records a batch, each row by itself. With `heartbeat_ref`, all of it must be of that toolbox.
pub(crate) async fn record(
    database: &Supabase,
    request_id: &str,
    heartbeat_ref: Option<HeartbeatRef>,
    mut entries: Vec<Entry<'_>>,
) -> Result<Batch, DatabaseError> {
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
            match entries[place].decide() {
                Ok(Some(item)) => {
                    places.push(place);
                    items.push(item);
                }
                Ok(None) => {}
                Err(BadRow) => batch.rows[place] = Row::Failed(DatabaseError::UnreadableRow),
            }
        }
        if items.is_empty() {
            break;
        }
        let recorded = database
            .record_states(request_id, heartbeat_ref, &items)
            .await?;
        batch.desired_digest = recorded.desired_digest;
        for (place, result) in places.into_iter().zip(recorded.results) {
            batch.rows[place] = match result {
                Recorded::Written(Some(ReadRow::Row(row))) => Row::Written(row),
                Recorded::Written(None) | Recorded::NotFound => Row::Gone,
                Recorded::Stale(ReadRow::Row(now)) => {
                    let entry = &mut entries[place];
                    match entry.is_to_decide_again(&now) {
                        Ok(true) => {
                            entry.row = Cow::Owned(*now);
                            open.push(place);
                            Row::Untouched
                        }
                        Ok(false) => Row::Untouched,
                        Err(BadRow) => Row::Failed(DatabaseError::UnreadableRow),
                    }
                }
                Recorded::Written(Some(ReadRow::Unreadable { .. }))
                | Recorded::Stale(ReadRow::Unreadable { .. }) => {
                    Row::Failed(DatabaseError::UnreadableRow)
                }
                Recorded::Refused { code } => Row::Failed(DatabaseError::RecordRefused { code }),
                Recorded::Superseded => {
                    batch.is_incomplete = true;
                    Row::Untouched
                }
            };
        }
    }
    batch.is_incomplete |= !open.is_empty();
    Ok(batch)
}

/// What became of the reports of a heartbeat.
#[derive(Debug)]
pub struct Reports {
    /// Digest of what is desired then; none when nothing was to be recorded.
    pub desired_digest: Option<String>,
    /// Instances whose rows were left as they are, and why. Only the operator can help there: the agent would tell the same again.
    pub failed: Vec<(ToolInstanceId, DatabaseError)>,
}

/// Records what a heartbeat tells of the rows that `record_heartbeat` answered: those with `news`, and those that are `missing`
/// from it. Fails with `state_changed` when rows changed too often to be decided, or when a later heartbeat was recorded
/// meanwhile, so that the agent reports again.
pub async fn record_reports(
    database: &Supabase,
    request_id: &str,
    heartbeat_ref: HeartbeatRef,
    reports: &[InstanceReport],
    news: Vec<ReadRow>,
    missing: Vec<ReadRow>,
) -> Result<Reports, ApiError> {
    let mut failed = Vec::new();
    let mut readable = |row| match row {
        ReadRow::Row(row) => Some(*row),
        ReadRow::Unreadable { id } => {
            failed.push((id, DatabaseError::UnreadableRow));
            None
        }
    };
    let news: Vec<_> = news.into_iter().filter_map(&mut readable).collect();
    let missing: Vec<_> = missing.into_iter().filter_map(&mut readable).collect();
    let of_news = news.into_iter().filter_map(|row| {
        let report = reports.iter().find(|report| report.id == row.id)?;
        Some(Entry::of_report(row, report))
    });
    let of_missing = missing.into_iter().map(Entry::of_missing);
    let entries: Vec<_> = of_news.chain(of_missing).collect();
    let ids: Vec<_> = entries.iter().map(|entry| entry.row.id).collect();
    let batch = record(database, request_id, Some(heartbeat_ref), entries).await?;
    if batch.is_incomplete {
        return Err(ApiError::new(ErrorCode::StateChanged));
    }
    let rows = ids.into_iter().zip(batch.rows);
    failed.extend(rows.filter_map(|(id, row)| Some((id, row.failure()?))));
    Ok(Reports {
        desired_digest: batch.desired_digest,
        failed,
    })
}
