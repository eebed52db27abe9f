//! What Supabase's `pg_cron` does by the clock, done here where that extension is absent.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::db::Db;
use crate::progress::say;

/// Between two looks for toolboxes that fell silent.
const EVERY: Duration = Duration::from_secs(5);

/// True when there is something to call and nobody else calls it.
const OURS: &str = "select to_regproc('private.mark_silent_toolboxes') is not null
    and not exists (select from pg_extension where extname = 'pg_cron')";
const CALL: &str = "select private.mark_silent_toolboxes()";

/// Calls the scheduled functions until the program ends. Neither a database that is away nor a project without those
/// functions is worth a word; a function that fails is, once for each new reason.
pub(crate) async fn run(db: Db) {
    let mut clock = interval(EVERY);
    // After a pause one call is enough: it looks at the whole table.
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = String::new();
    loop {
        clock.tick().await;
        let ours = db.row("looking for scheduled functions", OURS, &[]).await;
        if !matches!(ours, Ok(Some(row)) if row.get(0)) {
            continue;
        }
        let called = db.rows("private.mark_silent_toolboxes()", CALL, &[]).await;
        let reason = called
            .err()
            .filter(crate::error::StackError::is_refusal)
            .map(|error| crate::error::chain(&error))
            .unwrap_or_default();
        if !reason.is_empty() && reason != told {
            say(&reason);
        }
        told = reason;
    }
}
