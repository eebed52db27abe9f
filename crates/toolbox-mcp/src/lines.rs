//! Cuts a byte stream into lines, with a bound.

use bytes::{Buf, Bytes, BytesMut};

use crate::wire::body::{Budget, Held, SMALL};

/// What is kept of each end of a line that is too long: enough to tell whose answer it is.
const KEPT: usize = 4 * 1024;
/// A line that goes on for so many times the bound is reported before its end.
const ENDLESS: usize = 4;

/// An item of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its end.
    Whole(Bytes),
    /// A line that was left out.
    Cut(Cut),
}

/// What is left of a line that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// How long it was.
    pub length: usize,
    /// How it began.
    pub head: Bytes,
    /// How it ended; empty if it had not ended yet.
    pub tail: Bytes,
    /// It was within the bound, but there was no memory for it.
    pub for_memory: bool,
}

/// Collects bytes until a line is whole. A line over the bound is dropped while it arrives.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    held: BytesMut,
    // Up to here no line end was found.
    searched: usize,
    // The line under way is being dropped.
    dropping: Option<Dropping>,
    memory: Option<(Budget, Held)>,
}

#[derive(Debug)]
struct Dropping {
    length: usize,
    head: BytesMut,
    tail: BytesMut,
    for_memory: bool,
    reported: bool,
}

impl Dropping {
    fn begin(line: &[u8], for_memory: bool) -> Self {
        let mut dropping = Self {
            length: 0,
            head: BytesMut::new(),
            tail: BytesMut::new(),
            for_memory,
            reported: false,
        };
        dropping.add(line);
        dropping
    }

    fn add(&mut self, bytes: &[u8]) {
        self.length += bytes.len();
        let missing = bytes.len().min(KEPT - self.head.len());
        self.head
            .extend_from_slice(bytes.get(..missing).unwrap_or_default());
        let end = bytes.len().saturating_sub(KEPT);
        self.tail
            .extend_from_slice(bytes.get(end..).unwrap_or_default());
        self.tail.advance(self.tail.len().saturating_sub(KEPT));
    }

    fn cut(self) -> Line {
        Line::Cut(Cut {
            length: self.length,
            head: self.head.freeze(),
            tail: self.tail.freeze(),
            for_memory: self.for_memory,
        })
    }
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: BytesMut::new(),
            searched: 0,
            dropping: None,
            memory: None,
        }
    }

    /// Long lines count in `budget`, from their first bytes until whoever takes them drops them.
    #[must_use]
    pub fn within(self, budget: &Budget) -> Self {
        Self {
            memory: Some((budget.clone(), budget.hold())),
            ..self
        }
    }

    /// Takes what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// The next line, until more bytes are needed. Empty lines are left out.
    pub fn next_line(&mut self) -> Option<Line> {
        loop {
            let Some(end) = memchr::memchr(b'\n', self.held.get(self.searched..)?) else {
                self.searched = self.held.len();
                return self.unfinished();
            };
            let end = self.searched + end;
            let mut line = self.held.split_to(end);
            self.held.advance(1);
            self.searched = 0;
            if let Some(mut dropping) = self.dropping.take() {
                if dropping.reported {
                    continue;
                }
                dropping.add(&line);
                return Some(dropping.cut());
            }
            if line.ends_with(b"\r") {
                line.truncate(line.len() - 1);
            }
            let fits = self.memory_for(line.len());
            if line.len() > self.limit || !fits {
                self.memory_for(0);
                return Some(Dropping::begin(&line, line.len() <= self.limit).cut());
            }
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Some(Line::Whole(self.counted(line.freeze())));
            }
        }
    }

    /// What has arrived of a line counts, and is dropped if it is too much.
    fn unfinished(&mut self) -> Option<Line> {
        if let Some(dropping) = &mut self.dropping {
            dropping.add(&self.held);
            self.held.clear();
            self.searched = 0;
            if dropping.reported || dropping.length < self.limit.saturating_mul(ENDLESS) {
                return None;
            }
            dropping.reported = true;
            return Some(Line::Cut(Cut {
                length: dropping.length,
                head: dropping.head.clone().freeze(),
                tail: Bytes::new(),
                for_memory: dropping.for_memory,
            }));
        }
        let fits = self.memory_for(self.held.len());
        if self.held.len() > self.limit || !fits {
            let for_memory = self.held.len() <= self.limit;
            self.dropping = Some(Dropping::begin(&self.held, for_memory));
            self.held = BytesMut::new();
            self.searched = 0;
            self.memory_for(0);
        }
        None
    }

    fn memory_for(&mut self, bytes: usize) -> bool {
        let counts = if bytes > SMALL { bytes } else { 0 };
        self.memory
            .as_mut()
            .is_none_or(|(_, held)| held.set(counts))
    }

    /// A long line takes its memory with it.
    fn counted(&mut self, line: Bytes) -> Bytes {
        let Some((budget, held)) = self.memory.as_mut().filter(|_| line.len() > SMALL) else {
            return line;
        };
        std::mem::replace(held, budget.hold()).carried_by(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(lines: &mut Lines) -> Vec<Line> {
        std::iter::from_fn(|| lines.next_line()).collect()
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_long_line_is_dropped_once_and_the_next_one_is_whole() {
        let mut lines = Lines::new(4);
        lines.push(b"abc\r\n\n12345");
        assert_eq!(all(&mut lines), [whole("abc")]);
        lines.push(b"678");
        assert_eq!(all(&mut lines), []);
        assert!(lines.held.is_empty());
        lines.push(b"end\nok\ntoolong\n");
        assert_eq!(
            all(&mut lines),
            [cut("12345678end"), whole("ok"), cut("toolong")]
        );
    }

    #[test]
    fn of_a_long_line_its_ends_stay_and_an_endless_one_is_told_once() {
        let mut lines = Lines::new(10_000);
        let long = format!("<{}>", "x".repeat(30_000));
        for piece in long.as_bytes().chunks(999) {
            lines.push(piece);
            assert_eq!(lines.next_line(), None);
        }
        lines.push(b"\n");
        let Some(Line::Cut(found)) = lines.next_line() else {
            panic!("the line was not cut");
        };
        assert_eq!(
            (found.length, found.head.len(), found.tail.len()),
            (30_002, KEPT, KEPT)
        );
        assert!(found.head.starts_with(b"<x") && found.tail.ends_with(b"x>"));

        let mut told = 0;
        for _ in 0..100 {
            lines.push(&[b'x'; 1000]);
            told += all(&mut lines).len();
        }
        lines.push(b"\nok\n");
        assert_eq!((told, all(&mut lines)), (1, vec![whole("ok")]));
    }

    #[test]
    fn long_lines_count_until_they_are_dropped() {
        let budget = Budget::new(1_000_000);
        let mut lines = Lines::new(1_000_000).within(&budget);
        let line = |length: usize| format!("{}\n", "x".repeat(length));
        lines.push(line(600_000).as_bytes());
        let taken = lines.next_line().unwrap();
        assert_eq!(budget.used(), 600_000);
        let mut other = Lines::new(1_000_000).within(&budget);
        other.push(line(500_000).as_bytes());
        let Some(Line::Cut(cut)) = other.next_line() else {
            panic!("there was no memory for it");
        };
        assert!(cut.for_memory);
        drop(taken);
        other.push(line(500_000).as_bytes());
        assert!(matches!(other.next_line(), Some(Line::Whole(_))));
        drop((lines, other));
        assert_eq!(budget.used(), 0);
    }

    fn cut(text: &str) -> Line {
        let text = Bytes::copy_from_slice(text.as_bytes());
        Line::Cut(Cut {
            length: text.len(),
            head: text.clone(),
            tail: text,
            for_memory: false,
        })
    }

    proptest! {
        #[test]
        fn how_bytes_arrive_does_not_matter(text in "[a-c\n]{0,60}", cut in 1_usize..7) {
            let mut at_once = Lines::new(6);
            at_once.push(text.as_bytes());
            let mut in_pieces = Lines::new(6);
            let mut found = Vec::new();
            for piece in text.as_bytes().chunks(cut) {
                in_pieces.push(piece);
                found.extend(all(&mut in_pieces));
            }
            prop_assert_eq!(all(&mut at_once), found);
        }
    }
}
