//! The server against callers that say nothing, too many of them, and ones that may vanish.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;

const SOON: Duration = Duration::from_secs(5);

/// Serves `hi` over plain HTTP, until the sender is dropped.
async fn started_plain(most: usize) -> (SocketAddr, watch::Sender<bool>) {
    started(Transport::Plain, most).await
}

/// Serves `hi`, until the sender is dropped.
async fn started(transport: Transport, most: usize) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", axum::routing::get(|| async { "hi" }));
    let (sender, shutdown) = watch::channel(false);
    let drain = Duration::from_secs(1);
    tokio::spawn(async move {
        serve_at_most(most, listener, transport, router, shutdown, drain).await;
    });
    (address, sender)
}

/// Asks over an open connection and leaves it open.
async fn ask(stream: &mut TcpStream) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\nhi") {
        let read = stream.read_buf(&mut text).await.unwrap();
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&text));
    }
}

/// Waits until the other side closes it.
async fn closed(stream: &mut TcpStream) {
    // An end in order or a reset: both are ends.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_send_a_request_is_closed_after_ten_seconds() {
    for half in ["", "GET / HTTP/1.1\r\nhost:", "whole"] {
        let (address, _stop) = started_plain(MAX_CONNECTIONS).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begun = Instant::now();
        if half == "whole" {
            ask(&mut stream).await;
        } else {
            stream.write_all(half.as_bytes()).await.unwrap();
        }
        closed(&mut stream).await;
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_secs(9) && took <= Duration::from_secs(11),
            "'{half}': {took:?}"
        );
    }
}

/// A server whose certificate is for `agent.invalid`.
async fn started_with_tls() -> (SocketAddr, watch::Sender<bool>) {
    let folder = tempfile::tempdir().unwrap();
    let toolbox = toolbox_domain::ids::ToolboxId::new(uuid::Uuid::nil());
    let identity = crate::tls::Identity::load_or_make(folder.path(), toolbox, &[]).unwrap();
    let tls = Transport::Tls(Tls {
        config: identity.server_config().unwrap(),
        host: "agent.invalid".into(),
    });
    started(tls, MAX_CONNECTIONS).await
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_finish_the_handshake_is_closed_after_ten_seconds() {
    let tunnel = "CONNECT agent.invalid:443 HTTP/1.1\r\n\r\n";
    for begin in ["", "C", &tunnel[..20], tunnel] {
        let (address, _stop) = started_with_tls().await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        let begun = Instant::now();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let agreed = if begin == tunnel {
            "HTTP/1.1 200 OK\r\n\r\n"
        } else {
            ""
        };
        assert_eq!(String::from_utf8_lossy(&answer), agreed);
        let took = begun.elapsed();
        assert!(
            took >= Duration::from_secs(9) && took <= Duration::from_secs(11),
            "'{begin}': {took:?}"
        );
    }
}

#[tokio::test]
async fn silent_connections_make_room_and_used_ones_stay() {
    let (address, _stop) = started_plain(4).await;
    let mut used = TcpStream::connect(address).await.unwrap();
    ask(&mut used).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let served = async {
        let mut late = TcpStream::connect(address).await.unwrap();
        ask(&mut late).await;
        ask(&mut used).await;
        closed(&mut silent[0]).await;
        late
    };
    let _late = tokio::time::timeout(SOON, served).await.unwrap();
}

#[tokio::test]
async fn beyond_the_bound_a_connection_is_closed_when_all_others_are_used() {
    let (address, _stop) = started_plain(2).await;
    let mut used = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await;
        used.push(stream);
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    tokio::time::timeout(SOON, closed(&mut third))
        .await
        .unwrap();
    ask(&mut used[0]).await;
    // One that ends leaves its place.
    drop(used.pop());
    let served = async {
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
            let mut text = Vec::new();
            if stream.read_to_end(&mut text).await.is_ok() && text.ends_with(b"hi") {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, served).await.unwrap();
}

#[tokio::test]
async fn the_kernel_watches_over_every_connection() {
    let (address, _stop) = started_plain(4).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream).await;
    let end = |port: u16| format!("0100007F:{port:04X}");
    let (ours, theirs) = (
        end(address.port()),
        end(stream.local_addr().unwrap().port()),
    );
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let socket: Vec<_> = sockets
        .lines()
        .map(|l| l.split_whitespace().collect::<Vec<_>>())
        .find(|l| l[1] == ours && l[2] == theirs)
        .unwrap();
    // The kernel's kind of timer 2 is keep-alive.
    assert!(socket[5].starts_with("02:"), "{socket:?}");
}
