//! Cuts a byte stream into lines, with a bound.

use bytes::{Buf, Bytes, BytesMut};

/// An item of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its end.
    Whole(Bytes),
    /// A line over the bound was left out; its length so far.
    TooLong(usize),
}

/// Collects bytes until a line is whole. A line over the bound is dropped while it arrives.
#[derive(Debug)]
pub struct Lines {
    limit: usize,
    held: BytesMut,
    // Up to here no line end was found.
    searched: usize,
    // The line under way is being dropped.
    dropping: bool,
    keep_empty: bool,
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            held: BytesMut::new(),
            searched: 0,
            dropping: false,
            keep_empty: false,
        }
    }

    /// The same, but empty lines count: they separate events.
    pub fn with_empty(limit: usize) -> Self {
        Self {
            keep_empty: true,
            ..Self::new(limit)
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
                if self.dropping {
                    self.held.clear();
                    self.searched = 0;
                } else if self.held.len() > self.limit {
                    let length = self.held.len();
                    self.held = BytesMut::new();
                    self.searched = 0;
                    self.dropping = true;
                    return Some(Line::TooLong(length));
                }
                return None;
            };
            let end = self.searched + end;
            let mut line = self.held.split_to(end);
            self.held.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.dropping) {
                continue;
            }
            if line.ends_with(b"\r") {
                line.truncate(line.len() - 1);
            }
            if line.len() > self.limit {
                return Some(Line::TooLong(line.len()));
            }
            if self.keep_empty || !line.iter().all(u8::is_ascii_whitespace) {
                return Some(Line::Whole(line.freeze()));
            }
        }
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
        assert_eq!(all(&mut lines), [whole("abc"), Line::TooLong(5)]);
        lines.push(&[b'x'; 1000]);
        assert_eq!(all(&mut lines), []);
        assert!(lines.held.is_empty());
        lines.push(b"end\nok\ntoolong\n");
        assert_eq!(all(&mut lines), [whole("ok"), Line::TooLong(7)]);
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
            let lengths_aside = |lines: Vec<Line>| lines.into_iter().map(|l| match l {
                Line::TooLong(_) => Line::TooLong(0),
                Line::Whole(line) => Line::Whole(line),
            }).collect::<Vec<_>>();
            prop_assert_eq!(lengths_aside(all(&mut at_once)), lengths_aside(found));
        }
    }
}
