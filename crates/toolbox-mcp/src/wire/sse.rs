//! Server-sent events: writing them, and reading those of other servers.

use bytes::{BufMut, Bytes, BytesMut};

use super::body::SMALL;

/// Sent on a silent stream, so that a lost connection is noticed.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

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

/// Reads the data of events, line by line.
#[derive(Debug, Default)]
pub struct Events {
    data: Vec<u8>,
}

impl Events {
    /// Takes a line without its end; an empty one ends the event and gives its data, if it has any.
    pub fn line(&mut self, line: &[u8]) -> Option<Bytes> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| data.into());
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data
                .extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        }
        None
    }

    /// Bytes held.
    pub const fn held(&self) -> usize {
        self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut events = Events::default();
        let written = event(Bytes::from_static(b"{\"a\":\n1}")).concat();
        let found: Vec<_> = written
            .split(|b| *b == b'\n')
            .filter_map(|line| events.line(line))
            .collect();
        assert_eq!(found, [Bytes::from_static(b"{\"a\": 1}")]);
        assert_eq!(events.line(b"id: 5"), None);
        assert_eq!(events.line(b"data: "), None);
        assert_eq!(events.line(b""), None);
    }
}
