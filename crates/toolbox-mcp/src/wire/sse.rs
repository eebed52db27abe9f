//! Server-sent events: writing them, and reading those of other servers.

use bytes::{BufMut, Bytes, BytesMut};

/// Sent on a silent stream, so that a lost connection is noticed.
pub const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

/// One message as an event. Messages have no line breaks of their own.
pub fn event(message: &[u8]) -> Bytes {
    const START: &[u8] = b"event: message\ndata: ";
    let mut out = BytesMut::with_capacity(START.len() + message.len() + 2);
    out.put_slice(START);
    if memchr::memchr2(b'\n', b'\r', message).is_some() {
        out.extend(
            message
                .iter()
                .map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }),
        );
    } else {
        out.put_slice(message);
    }
    out.put_slice(b"\n\n");
    out.freeze()
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
        let written = event(b"{\"a\":\n1}");
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
