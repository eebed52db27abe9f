//! The agent as the HTTP proxy of its own name.
//!
//! A client that can only verify the name in a URL, such as an edge runtime's `fetch`, calls the agent by the name in its
//! certificate and is told to reach that name through a proxy: the agent. The proxy's part is to agree: TLS then runs on
//! the same connection, and nothing is ever connected to anything else.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::sockopt::set_tcp_quickack;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

/// Largest head of a `CONNECT`, in bytes; Deno's is 200.
const MAX_HEAD: usize = 2048;
/// Most headers in it.
const MAX_HEADERS: usize = 16;
/// The port of the URL's name. Where the agent listens is the proxy's port, and may be another one behind a router.
const PORT: u16 = 443;

const AGREED: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
const FORBIDDEN: &[u8] =
    b"HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const BAD_REQUEST: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Takes a `CONNECT` to `host` off the stream and agrees to it, so that TLS comes next. A stream that begins with
/// anything but the letter C is left as it is: TLS begins with another byte. The caller bounds the time.
pub(crate) async fn open(stream: &mut TcpStream, host: &str) -> io::Result<()> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first != *b"C" {
        return Ok(());
    }
    let mut head = [0; MAX_HEAD];
    let mut length = 0;
    let target = loop {
        let read = stream.read(&mut head[length..]).await?;
        if read == 0 {
            break None;
        }
        length += read;
        match connect_target(&head[..length]) {
            Head::Partial if length < head.len() => {}
            Head::Partial | Head::Bad => break None,
            Head::Connect(target) => break Some(target),
        }
    };
    let (answer, refused) = match target {
        Some(target) if *target == format!("{host}:{PORT}") => (AGREED, None),
        Some(_) => (FORBIDDEN, Some("a tunnel to somewhere else was asked for")),
        None => (BAD_REQUEST, Some("not a CONNECT request")),
    };
    stream.write_all(answer).await?;
    refused.map_or(Ok(()), |why| {
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    })
}

enum Head<'a> {
    /// There is more to come.
    Partial,
    /// No head of a `CONNECT`, or more than that: the client has nothing to say before it is answered.
    Bad,
    /// What it asks to be connected to.
    Connect(&'a str),
}

fn connect_target(bytes: &[u8]) -> Head<'_> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => Head::Partial,
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {
            match (request.method, request.path) {
                (Some("CONNECT"), Some(target)) => Head::Connect(target),
                _ => Head::Bad,
            }
        }
        Ok(httparse::Status::Complete(_)) | Err(_) => Head::Bad,
    }
}

/// A connection whose every read is acknowledged at once during the handshake. A client that sends its part in two
/// small packets waits for the acknowledgement of the first, which the kernel would delay by 40 ms.
pub(crate) struct PromptAcks {
    stream: TcpStream,
    prompt: bool,
}

impl PromptAcks {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            prompt: true,
        }
    }

    /// Leaves acknowledgements to the kernel again.
    pub(crate) fn end(&mut self) {
        self.prompt = false;
    }
}

impl AsyncRead for PromptAcks {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.prompt {
            // The kernel forgets it with each packet. One that cannot do it is only slower.
            let _ = set_tcp_quickack(&self.stream, true);
        }
        read
    }
}

impl AsyncWrite for PromptAcks {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
