//! The end of the program's own log, for callers who cannot read the machine's journal. It holds the very lines that go to
//! standard error, so what those leave out is not here either.

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
