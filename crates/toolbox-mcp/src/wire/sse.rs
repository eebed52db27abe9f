//! Server-sent events: writing them, and reading those of other servers. The libraries that read them hold whole events,
//! without a bound.

use axum::http::{Response, header};
use bytes::{BufMut, Bytes, BytesMut};

use super::body::SMALL;

/// Sent on a silent stream, so that a lost connection is noticed.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// Whether an answer is a stream of events.
pub fn is<B>(response: &Response<B>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// One message as an event, in pieces that are sent one after the other. A long message is not copied.
pub fn event(message: Bytes) -> Vec<Bytes> {
    const START: &[u8] = b"event: message\ndata: ";
    const END: &[u8] = b"\n\n";
    let breaks = memchr::memchr2(b'\n', b'\r', &message).is_some();
    if message.len() > SMALL && !breaks {
        return vec![Bytes::from_static(START), message, Bytes::from_static(END)];
    }
    let mut out = BytesMut::with_capacity(START.len() + message.len() + END.len());
    out.put_slice(START);
    if breaks {
        // Messages have no line breaks of their own: between values they are spaces.
        out.extend(
            message
                .iter()
                .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }),
        );
    } else {
        out.put_slice(&message);
    }
    out.put_slice(END);
    vec![out.freeze()]
}

/// A part of an event of another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Some of its data. A line break within the data is given as a space.
    Data(&'a [u8]),
    /// The event is whole.
    End,
}

/// Reads events as they arrive. It holds nothing of their data.
#[derive(Debug, Default)]
pub struct Reader {
    place: Place,
    field: Vec<u8>,
    name: Vec<u8>,
    has_data: bool,
    /// The last byte was a CR, so an LF belongs to it.
    after_cr: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Place {
    /// In the name of a field, which a colon or the line's end ends.
    #[default]
    Field,
    /// In a value; its first character may be a space that does not count.
    Value { kind: Kind, first: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Data,
    Name,
    Other,
}

/// Longest names of fields and of events that are told apart, in bytes.
const MAX_NAME: usize = 64;

impl Reader {
    /// Takes what arrived and gives each part with the type of its event so far, which is empty for a plain message.
    pub fn read(&mut self, mut bytes: &[u8], mut take: impl FnMut(&[u8], Part<'_>)) {
        while let Some(first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && *first == b'\n' {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let end = match self.place {
                Place::Field => memchr::memchr3(b':', b'\n', b'\r', bytes),
                Place::Value { .. } => memchr::memchr2(b'\n', b'\r', bytes),
            };
            let (piece, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            self.piece(piece, &mut take);
            let Some((end, rest)) = rest.split_first() else {
                return;
            };
            bytes = rest;
            if *end == b':' && matches!(self.place, Place::Field) {
                self.begin_value(&mut take);
            } else {
                self.end_line(&mut take);
                self.after_cr = *end == b'\r';
            }
        }
    }

    fn piece(&mut self, piece: &[u8], take: &mut impl FnMut(&[u8], Part<'_>)) {
        match &mut self.place {
            Place::Field => append(&mut self.field, piece),
            Place::Value { kind, first } => {
                let without = piece.strip_prefix(b" ").filter(|_| *first);
                let value = without.unwrap_or(piece);
                *first &= piece.is_empty();
                match kind {
                    Kind::Data if !value.is_empty() => take(&self.name, Part::Data(value)),
                    Kind::Name => append(&mut self.name, value),
                    Kind::Data | Kind::Other => {}
                }
            }
        }
    }

    fn begin_value(&mut self, take: &mut impl FnMut(&[u8], Part<'_>)) {
        let field = &*self.field;
        // A stream may begin with a byte order mark.
        let field = field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field);
        let kind = match field {
            b"data" => Kind::Data,
            b"event" => Kind::Name,
            _ => Kind::Other,
        };
        match kind {
            Kind::Data if self.has_data => take(&self.name, Part::Data(b" ")),
            Kind::Data => self.has_data = true,
            Kind::Name => self.name.clear(),
            Kind::Other => {}
        }
        self.field.clear();
        self.place = Place::Value { kind, first: true };
    }

    fn end_line(&mut self, take: &mut impl FnMut(&[u8], Part<'_>)) {
        if matches!(self.place, Place::Field) && self.field.is_empty() {
            if std::mem::take(&mut self.has_data) {
                take(&self.name, Part::End);
            }
            self.name.clear();
        }
        self.field.clear();
        self.place = Place::Field;
    }
}

fn append(name: &mut Vec<u8>, piece: &[u8]) {
    let room = MAX_NAME.saturating_sub(name.len()).min(piece.len());
    name.extend_from_slice(piece.get(..room).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The events of a stream that arrives in pieces of so many bytes: type and data.
    fn read(stream: &[u8], piece: usize) -> Vec<(String, String)> {
        let (mut reader, mut found, mut data) = (Reader::default(), Vec::new(), Vec::new());
        for piece in stream.chunks(piece) {
            reader.read(piece, |name, part| match part {
                Part::Data(more) => data.extend_from_slice(more),
                Part::End => {
                    let data = String::from_utf8(std::mem::take(&mut data)).unwrap();
                    found.push((String::from_utf8_lossy(name).into_owned(), data));
                }
            });
        }
        found
    }

    fn events(list: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, data): &(&str, &str)| ((*name).to_owned(), (*data).to_owned());
        list.iter().map(own).collect()
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = event(Bytes::from_static(b"{\"a\":\n1}")).concat();
        assert_eq!(read(&written, 100), events(&[("message", "{\"a\": 1}")]));
    }

    #[test]
    fn any_line_end_any_order_and_comments_are_read() {
        let stream = b"\xef\xbb\xbfevent: endpoint\r\ndata: /m?s=1\r\n\r\n: ping\n\ndata:1\rdata: 2\rid: 7\r\rretry: 5\n\nevent:x\n\ndata:  3\ndatax: 4\ndata\n\ndata: unfinished";
        for piece in 1..stream.len() {
            assert_eq!(
                read(stream, piece),
                events(&[("endpoint", "/m?s=1"), ("", "1 2"), ("", " 3")]),
                "{piece}"
            );
        }
    }

    proptest! {
        #[test]
        fn how_bytes_arrive_does_not_matter(stream in "(data|event|x)?[:d \r\n]{0,40}", piece in 1_usize..7) {
            prop_assert_eq!(read(stream.as_bytes(), piece), read(stream.as_bytes(), 1000));
        }
    }
}
