//! The end of the program's own log, for callers who cannot read the machine's journal. It holds the lines that go to
//! standard error, but those with Docker's own words: they are for whoever runs the machine, and not for users of its tools.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use toolbox_api::machine::MAX_LOG_LINES;
use tracing_subscriber::fmt::MakeWriter;

/// Most bytes that are kept.
const MAX_BYTES: usize = 1024 * 1024;
/// Longest line that is kept, in bytes.
const MAX_LINE: usize = 16 * 1024;
/// Lines that a slow follower may be behind before it loses some.
const BEHIND: usize = 1000;

/// The last lines.
#[derive(Debug)]
pub struct LogRing {
    lines: Mutex<Lines>,
}

#[derive(Debug)]
struct Lines {
    kept: VecDeque<Bytes>,
    bytes: usize,
    new: broadcast::Sender<Bytes>,
}

impl Default for LogRing {
    fn default() -> Self {
        Self {
            lines: Mutex::new(Lines {
                kept: VecDeque::new(),
                bytes: 0,
                new: broadcast::Sender::new(BEHIND),
            }),
        }
    }
}

impl LogRing {
    fn push(&self, line: &[u8]) {
        if !is_for_callers(line) {
            return;
        }
        let line = Bytes::from(bounded(line));
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.bytes += line.len();
        // Nobody follows, usually.
        let _ = lines.new.send(line.clone());
        lines.kept.push_back(line);
        while lines.bytes > MAX_BYTES || lines.kept.len() > MAX_LOG_LINES as usize {
            let Some(oldest) = lines.kept.pop_front() else {
                break;
            };
            lines.bytes -= oldest.len();
        }
    }

    /// The last `tail` lines, each with its end of line.
    pub fn tail(&self, tail: usize) -> Vec<Bytes> {
        self.tail_and_new(tail).0
    }

    /// The last `tail` lines and then each new one. A follower that is too slow is told how many lines it lost.
    pub fn follow(&self, tail: usize) -> impl Stream<Item = Bytes> + Send + use<> {
        let (kept, new) = self.tail_and_new(tail);
        let new = stream::unfold(new, |mut new| async move {
            match new.recv().await {
                Ok(line) => Some((line, new)),
                Err(RecvError::Lagged(lost)) => Some((lost_lines(lost), new)),
                Err(RecvError::Closed) => None,
            }
        });
        stream::iter(kept).chain(new)
    }

    /// Both at one moment, so that no line is missing or twice.
    fn tail_and_new(&self, tail: usize) -> (Vec<Bytes>, broadcast::Receiver<Bytes>) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = lines.kept.len().saturating_sub(tail);
        let kept = lines.kept.iter().skip(skipped).cloned().collect();
        (kept, lines.new.subscribe())
    }
}

/// The line of a log has no words of Docker, which may quote what only the machine can reach.
pub fn is_for_callers(line: &[u8]) -> bool {
    // Within a text of the line, quotes are escaped.
    const TARGETS: [&str; 2] = [r#""target":"dtma::engine""#, r#""target":"bollard"#];
    let line = String::from_utf8_lossy(line);
    !TARGETS.iter().any(|target| line.contains(target))
}

/// The lines of a log that callers may read, out of its parts as they come.
pub fn for_callers<S>(parts: S) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    S: Stream<Item = io::Result<Bytes>> + Send + Unpin,
{
    stream::unfold(Some((parts, Vec::new())), |state| async {
        let (mut parts, mut rest) = state?;
        let (lines, next) = match parts.next().await {
            Some(Ok(part)) => {
                rest.extend_from_slice(&part);
                let end = rest.iter().rposition(|byte| *byte == b'\n');
                let unfinished = rest.split_off(end.map_or(0, |at| at + 1));
                if unfinished.len() > MAX_BYTES {
                    let error = io::Error::other("a line of the log is too long");
                    return Some((Err(error), None));
                }
                (rest, Some((parts, unfinished)))
            }
            Some(Err(error)) => return Some((Err(error), None)),
            None => (rest, None),
        };
        let lines = lines.split_inclusive(|byte| *byte == b'\n');
        let lines: Vec<_> = lines.filter(|line| is_for_callers(line)).collect();
        Some((Ok(Bytes::from(lines.concat())), next))
    })
}

fn lost_lines(lost: u64) -> Bytes {
    let line = serde_json::json!({"level": "WARN", "message": "the reader was too slow", "lost_lines": lost});
    Bytes::from(format!("{line}\n"))
}

/// One line with its end, not longer than may be.
fn bounded(line: &[u8]) -> Vec<u8> {
    let mut line = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
    if line.len() > MAX_LINE {
        // A cut in the middle of a character is read as U+FFFD.
        line.truncate(MAX_LINE);
        line.extend_from_slice(" (cut)".as_bytes());
    }
    line.push(b'\n');
    line
}

/// Writes each line of the log to standard error, and keeps it. The subscriber writes one line at a time.
#[derive(Clone, Debug)]
pub struct Tee(pub Arc<LogRing>);

impl Write for Tee {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        io::stderr().write_all(line)?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for Tee {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: &[Bytes]) -> Vec<&str> {
        let text = |line: &Bytes| std::str::from_utf8(line).map(str::len).unwrap_or_default();
        assert!(lines.iter().all(|line| text(line) > 0));
        lines
            .iter()
            .map(|line| std::str::from_utf8(line).unwrap().trim_end())
            .collect()
    }

    #[test]
    fn the_last_lines_are_kept_within_both_bounds() {
        let ring = LogRing::default();
        for number in 0..MAX_LOG_LINES + 10 {
            ring.push(format!("line {number}\n").as_bytes());
        }
        let last = format!("line {}", MAX_LOG_LINES + 9);
        assert_eq!(texts(&ring.tail(1)), [last.as_str()]);
        assert_eq!(ring.tail(usize::MAX).len(), MAX_LOG_LINES as usize);
        assert!(ring.tail(0).is_empty());
        for _ in 0..100 {
            ring.push(&vec![b'x'; 10 * MAX_LINE]);
        }
        let kept = ring.tail(usize::MAX);
        assert!(kept.iter().map(Bytes::len).sum::<usize>() <= MAX_BYTES);
        assert!(kept.last().unwrap().ends_with(b"x (cut)\n"));
    }

    #[test]
    fn words_of_docker_are_kept_for_nobody() {
        let ring = Arc::new(LogRing::default());
        let lines = tracing_subscriber::fmt().json().flatten_event(true);
        let log = lines.with_max_level(tracing::Level::DEBUG);
        let log = log.with_writer(Tee(Arc::clone(&ring))).finish();
        tracing::subscriber::with_default(log, || {
            tracing::debug!(target: crate::runtime::error::LOG, said = "SECRET", "Docker refused");
            tracing::warn!(target: "bollard::docker", "SECRET");
            tracing::info!(said = r#""target":"dtma::engine""#, "something else");
        });
        let kept = ring.tail(usize::MAX);
        let [line] = texts(&kept)[..] else {
            panic!("{kept:?}")
        };
        assert!(line.contains("something else"), "{line}");
    }

    #[tokio::test]
    async fn words_of_docker_are_left_out_wherever_the_parts_end() {
        let log = concat!(
            "{\"target\":\"dtma::agent\"}\n",
            "{\"target\":\"dtma::engine\",\"said\":\"SECRET\"}\n",
            "no JSON\n",
            "{\"target\":\"dtma::engine\",\"said\":\"SECRET",
        );
        for size in [1, 7, 20, 1000] {
            let parts = log.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let shown = for_callers(stream::iter(parts.map(Ok)));
            let shown: Vec<_> = shown.map(Result::unwrap).collect().await;
            let expected = "{\"target\":\"dtma::agent\"}\nno JSON\n";
            assert_eq!(shown.concat(), expected.as_bytes(), "{size}");
        }
    }

    #[tokio::test]
    async fn a_follower_gets_what_is_kept_and_then_what_is_new() {
        let ring = LogRing::default();
        ring.push(b"one\n");
        ring.push(b"two\n");
        let mut lines = Box::pin(ring.follow(1));
        ring.push(b"three\n");
        assert_eq!(lines.next().await.unwrap(), "two\n");
        assert_eq!(lines.next().await.unwrap(), "three\n");
        for _ in 0..BEHIND + 500 {
            ring.push(b"many\n");
        }
        let told = lines.next().await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        assert!(told["lost_lines"].as_u64().unwrap() >= 476, "{told}");
        assert_eq!(lines.next().await.unwrap(), "many\n");
    }
}
