//! Where two accounts of the same lines meet: Docker's log, and what came by an attachment.
//!
//! Docker stamps a line when it takes it for its log, the agent when it gets it, which on a busy machine is much later, or a
//! little earlier: Docker serves its log and its attachments side by side. So times alone leave lines out or tell them twice.
//! Both accounts have the lines in the same order, and that shows where they meet.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toolbox_api::dtma::LogLine;

/// How long a line may be on its way from Docker's log to the agent.
pub(super) const ON_ITS_WAY: Duration = Duration::from_secs(10);
/// How much later than the agent gets it Docker may stamp a line.
const STAMPED_LATE: Duration = Duration::from_secs(2);

/// Those of `logged`, from Docker's log since [`ON_ITS_WAY`] before the last of `kept`, that are not among `kept`.
pub(super) fn news(kept: &[LogLine], logged: Vec<LogLine>) -> Vec<LogLine> {
    let Some(last) = kept.iter().rev().find_map(time_of) else {
        return logged;
    };
    let begin = last - ON_ITS_WAY - STAMPED_LATE;
    let recent = kept.partition_point(|line| time_of(line) < Some(begin));
    let recent = kept.get(recent..).unwrap_or_default();
    let known = LATEST_STAMPS.into_iter().find_map(|late| {
        let meets = |at: &usize| are_same(&logged, recent.get(*at..).unwrap_or_default(), late);
        (0..recent.len()).find(meets).map(|at| recent.len() - at)
    });
    if let Some(known) = known {
        return logged.into_iter().skip(known).collect();
    }
    let is_new = |line: &LogLine| time_of(line) > Some(last);
    logged.into_iter().filter(is_new).collect()
}

/// How many of `logged`, from Docker's log, were written before the first of `got`, which came by an attachment that began at
/// `since`. None: it cannot be told.
pub(super) fn before(logged: &[LogLine], got: &[LogLine], since: OffsetDateTime) -> Option<usize> {
    let first = logged.partition_point(|line| time_of(line) < Some(since));
    LATEST_STAMPS.into_iter().find_map(|late| {
        let meets = |at: &usize| are_same(logged.get(*at..).unwrap_or_default(), got, late);
        (first..logged.len()).find(meets)
    })
}

/// Tried in this order: where the same words come again and again, the times tell which lines are the same.
const LATEST_STAMPS: [Duration; 2] = [Duration::ZERO, STAMPED_LATE];

/// Both have lines, and those at the same places are the same, as far as both go.
fn are_same(logged: &[LogLine], got: &[LogLine], late: Duration) -> bool {
    !logged.is_empty()
        && !got.is_empty()
        && logged.iter().zip(got).all(|(logged, got)| {
            logged.line == got.line && time_of(logged) <= time_of(got).map(|time| time + late)
        })
}

pub(super) fn time_of(line: &LogLine) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(line.time.as_deref()?, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use toolbox_api::dtma::LogStream;

    use super::*;

    fn at(ms: u64) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000) + Duration::from_millis(ms)
    }

    fn line(text: impl Into<String>, ms: u64) -> LogLine {
        LogLine {
            stream: LogStream::Stderr,
            time: at(ms).format(&Rfc3339).ok(),
            line: text.into(),
            truncated: false,
        }
    }

    fn texts(lines: &[LogLine]) -> Vec<&str> {
        lines.iter().map(|line| line.line.as_str()).collect()
    }

    #[test]
    fn the_same_words_again_are_other_lines() {
        let kept = [line("x", 1_100), line("x", 4_100)];
        let logged = vec![line("x", 1_000), line("x", 4_000), line("x", 7_000)];
        assert_eq!(news(&kept, logged).len(), 1);
        assert_eq!(news(&kept, vec![line("x", 7_000)]).len(), 1);
        assert_eq!(news(&kept, Vec::new()).len(), 0);
        assert_eq!(news(&[], vec![line("x", 1)]).len(), 1);
    }

    proptest! {
        /// A server writes lines; the agent got the first ones late, was away, and gets the last ones late.
        #[test]
        fn every_line_is_told_once_however_late_it_came(
            count in 1_usize..120,
            gap in 1_u64..100,
            (kept, attached, read) in (0_usize..120, 0_usize..120, 0_usize..120),
            delays in prop::collection::vec(0_u64..3_000, 120),
            stamps in prop::collection::vec(0_u64..1_500, 120),
        ) {
            let attached = attached.max(kept).min(count);
            let (kept, read) = (kept.min(count), read.max(attached).min(count));
            let written = |n: usize| n as u64 * gap;
            // What comes by one connection comes in order.
            let mut newest = 0;
            let got: Vec<_> = (0..count)
                .map(|n| {
                    newest = newest.max(written(n) + delays[n]);
                    line(n.to_string(), newest)
                })
                .collect();
            let mut newest = 0;
            let stamped: Vec<_> = (0..count)
                .map(|n| {
                    newest = newest.max(written(n) + stamps[n]);
                    newest
                })
                .collect();
            let since_last = kept.checked_sub(1).and_then(|n| time_of(&got[n]));
            let log: Vec<_> = (0..read)
                .map(|n| line(n.to_string(), stamped[n]))
                .filter(|l| since_last.is_none_or(|last| time_of(l) >= Some(last - ON_ITS_WAY)))
                .collect();
            let missing = news(&got[..kept], log);
            let known = kept.max(read) - kept;
            prop_assert_eq!(missing.len(), known, "after {} kept lines", kept);
            let held = &got[attached..];
            // Something of both accounts is there to compare.
            if attached < read {
                let first = before(&missing, held, at(written(attached)));
                prop_assert_eq!(first, Some(attached - kept));
            }
            let mut all = texts(&got[..kept]);
            all.extend(texts(&missing).into_iter().take(attached - kept));
            all.extend(texts(held));
            let wanted: Vec<_> = (0..count).map(|n| n.to_string()).collect();
            prop_assert_eq!(all, wanted);
        }
    }
}
