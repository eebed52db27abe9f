//! A container's output as lines.
//!
//! Docker sends entries of at most 16 KiB, each with its own time; an entry without a newline at its
//! end continues in the next one. What exceeds the limit of a line is dropped, and the line says so.

use std::collections::VecDeque;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as DockerError;
use bollard::query_parameters::LogsOptionsBuilder;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use toolbox_api::dtma::{LogLine, LogStream};

use super::ContainerId;
use super::types::LogQuery;

/// Longest line, in bytes.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Most bytes of lines that are held to find the last ones of one stream.
const MAX_HELD_BYTES: usize = 8 * 1024 * 1024;

/// The lines that `query` asks for.
pub(super) fn lines(
    client: Docker,
    container: ContainerId,
    query: LogQuery,
) -> BoxStream<'static, Result<LogLine, DockerError>> {
    if query.stream.is_none() {
        let tail = query.tail.to_string();
        return entries(&client, &container, query, &tail).boxed();
    }
    stream::once(of_one_stream(client, container, query))
        .flatten()
        .boxed()
}

/// Docker counts the last lines before it leaves out those of the other stream, so they are counted here.
async fn of_one_stream(
    client: Docker,
    container: ContainerId,
    query: LogQuery,
) -> BoxStream<'static, Result<LogLine, DockerError>> {
    let begun = OffsetDateTime::now_utc();
    let history = LogQuery {
        follow: false,
        ..query
    };
    let mut found = std::pin::pin!(entries(&client, &container, history, "all"));
    let (mut kept, mut bytes, mut newest) = (VecDeque::new(), 0, None);
    while let Some(line) = found.next().await {
        let line = match line {
            Ok(line) => line,
            Err(error) => return stream::iter([Err(error)]).boxed(),
        };
        newest = line.time.clone().or(newest);
        bytes += line.line.len();
        kept.push_back(line);
        while kept.len() > query.tail as usize || bytes > MAX_HELD_BYTES {
            let Some(LogLine { line, .. }) = kept.pop_front() else {
                break;
            };
            bytes -= line.len();
        }
    }
    let kept = stream::iter(kept.into_iter().map(Ok));
    if !query.follow {
        return kept.boxed();
    }
    let newest = newest.and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok());
    let rest = LogQuery {
        since: newest
            .map(|time| time + Duration::from_nanos(1))
            .or(query.since.max(Some(begun))),
        ..query
    };
    kept.chain(entries(&client, &container, rest, "all"))
        .boxed()
}

fn entries(
    client: &Docker,
    container: &ContainerId,
    query: LogQuery,
    tail: &str,
) -> impl Stream<Item = Result<LogLine, DockerError>> + Send + use<> {
    let since = query
        .since
        .map_or(0, |t| i32::try_from(t.unix_timestamp()).unwrap_or(0));
    let options = LogsOptionsBuilder::default()
        .stdout(query.stream != Some(LogStream::Stderr))
        .stderr(query.stream != Some(LogStream::Stdout))
        .timestamps(true)
        .follow(query.follow)
        .since(since)
        .tail(tail)
        .build();
    let mut joiner = Joiner::default();
    client
        .logs(container.as_str(), Some(options))
        .filter_map(move |entry| {
            let line = entry.map(|output| joiner.push(&output)).transpose();
            async move { line }
        })
        .filter(move |line| {
            // Docker's own filter knows whole seconds only.
            let wanted = match (line, query.since) {
                (Ok(line), Some(since)) => {
                    line.time.as_deref().is_none_or(|t| !is_before(t, since))
                }
                _ => true,
            };
            async move { wanted }
        })
}

fn is_before(time: &str, since: OffsetDateTime) -> bool {
    OffsetDateTime::parse(time, &Rfc3339).is_ok_and(|t| t < since)
}

/// Knows, per stream, whether the last line is still going on.
#[derive(Default)]
struct Joiner {
    continues: [bool; 2],
}

impl Joiner {
    /// A line, unless the entry is the rest of one that was cut.
    fn push(&mut self, output: &LogOutput) -> Option<LogLine> {
        let (stream, slot) = match output {
            LogOutput::StdErr { .. } => (LogStream::Stderr, 1),
            _ => (LogStream::Stdout, 0),
        };
        let bytes: &[u8] = output.as_ref();
        let ends = bytes.ends_with(b"\n");
        let was_continued = std::mem::replace(&mut self.continues[slot], !ends);
        if was_continued {
            return None;
        }
        let text = String::from_utf8_lossy(bytes);
        let (time, rest) = match text.split_once(' ') {
            Some((time, rest)) if OffsetDateTime::parse(time, &Rfc3339).is_ok() => {
                (Some(time.to_owned()), rest)
            }
            _ => (None, text.as_ref()),
        };
        let rest = rest.strip_suffix('\n').unwrap_or(rest);
        let rest = rest.strip_suffix('\r').unwrap_or(rest);
        let cut = rest.floor_char_boundary(MAX_LINE_BYTES);
        Some(LogLine {
            stream,
            time,
            line: rest[..cut].to_owned(),
            truncated: !ends || cut < rest.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut {
            message: text.as_bytes().to_vec().into(),
        }
    }

    #[test]
    fn time_and_text_are_parted() {
        let line = Joiner::default()
            .push(&out("2026-11-21T10:00:00.123456789Z hello world\r\n"))
            .unwrap();
        assert_eq!(line.time.as_deref(), Some("2026-11-21T10:00:00.123456789Z"));
        assert_eq!(line.line, "hello world");
        assert!(!line.truncated);
    }

    #[test]
    fn a_long_line_is_cut_once_and_says_so() {
        let mut joiner = Joiner::default();
        let part = format!("2026-11-21T10:00:00Z {}", "x".repeat(MAX_LINE_BYTES));
        let first = joiner.push(&out(&part)).unwrap();
        assert!(first.truncated);
        assert_eq!(first.line.len(), MAX_LINE_BYTES);
        assert!(joiner.push(&out(&part)).is_none());
        assert!(joiner.push(&out("2026-11-21T10:00:00Z end\n")).is_none());
        let next = joiner.push(&out("2026-11-21T10:00:01Z next\n")).unwrap();
        assert_eq!(next.line, "next");
    }

    #[test]
    fn bytes_that_are_no_text_do_not_end_the_stream() {
        let output = LogOutput::StdErr {
            message: vec![0xff, 0xfe, b'\n'].into(),
        };
        let line = Joiner::default().push(&output).unwrap();
        assert_eq!(line.stream, LogStream::Stderr);
        assert_eq!(line.line, "\u{fffd}\u{fffd}");
    }
}
