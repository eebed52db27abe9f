//! The server against callers that say nothing, too many of them, and ones that may vanish.

use std::net::SocketAddr;

use axum::Extension;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::*;
use crate::connections::Role;

const SOON: Duration = Duration::from_secs(5);

/// Few places.
const fn few(all: usize, strangers_per_address: usize) -> Limits {
    Limits {
        all,
        strangers_per_address,
        reserved: 1,
    }
}

/// Serves `hi` over plain HTTP, until the sender is dropped.
async fn started_plain(limits: Limits) -> (SocketAddr, watch::Sender<bool>) {
    started(Transport::Plain, limits).await
}

/// Serves `hi`, and knows callers of `/key` and `/token`, until the sender is dropped.
async fn started(transport: Transport, limits: Limits) -> (SocketAddr, watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let know = |role: Role| {
        move |Extension(own): Extension<Connection>| async move {
            if own.recognise(role) { "hi" } else { "no" }
        }
    };
    let router = Router::new()
        .route("/", get(|| async { "hi" }))
        .route("/key", get(know(Role::Control)))
        .route("/token", get(know(Role::Client)));
    let (sender, shutdown) = watch::channel(false);
    let drain = Duration::from_secs(1);
    tokio::spawn(async move {
        serve_at_most(limits, listener, transport, router, shutdown, drain).await;
    });
    (address, sender)
}

/// Asks over an open connection and leaves it open.
async fn ask(stream: &mut TcpStream) {
    assert_eq!(told(stream, "/").await.as_deref(), Some("hi"));
}

/// The two letters that it answers, if it does.
async fn told(stream: &mut TcpStream, path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = Vec::new();
    loop {
        match stream.read_buf(&mut text).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&text);
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && body.len() == 2
        {
            return Some(body.to_owned());
        }
    }
}

/// Waits until the other side closes it.
async fn closed(stream: &mut TcpStream) {
    // An end in order or a reset: both are ends.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_send_a_request_is_closed_later_than_clients_would_close() {
    for half in ["", "GET / HTTP/1.1\r\nhost:", "whole"] {
        let (address, _stop) = started_plain(LIMITS).await;
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
            took >= Duration::from_secs(119) && took <= Duration::from_secs(121),
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
    started(tls, LIMITS).await
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

/// Connects from one of the machine's loopback addresses.
async fn connect_from(last: u8, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket
        .bind(SocketAddr::from(([127, 0, 0, last], 0)))
        .unwrap();
    socket.connect(to).await.unwrap()
}

#[tokio::test]
async fn strangers_make_room_also_when_they_ask_and_known_callers_stay() {
    let (address, _stop) = started_plain(few(8, 4)).await;
    let mut known = connect_from(1, address).await;
    assert_eq!(told(&mut known, "/key").await.as_deref(), Some("hi"));
    let mut strangers = Vec::new();
    for count in 0..60 {
        let mut stream = connect_from(2 + count % 6, address).await;
        let _ = told(&mut stream, "/").await;
        strangers.push(stream);
        let served = async {
            ask(&mut known).await;
            let mut late = connect_from(1, address).await;
            assert_eq!(told(&mut late, "/key").await.as_deref(), Some("hi"));
        };
        tokio::time::timeout(SOON, served).await.unwrap();
    }
    tokio::time::timeout(SOON, closed(&mut strangers[0]))
        .await
        .unwrap();
}

#[tokio::test]
async fn one_address_loses_its_oldest_stranger_only() {
    let (address, _stop) = started_plain(few(100, 4)).await;
    let mut other = connect_from(2, address).await;
    ask(&mut other).await;
    let mut crowd = Vec::new();
    for _ in 0..5 {
        let mut stream = connect_from(1, address).await;
        ask(&mut stream).await;
        crowd.push(stream);
    }
    let gone = tokio::time::timeout(SOON, closed(&mut crowd[0]));
    gone.await.unwrap();
    for stream in &mut crowd[1..] {
        ask(stream).await;
    }
    ask(&mut other).await;
}

#[tokio::test]
async fn beyond_the_bound_a_connection_is_closed_when_all_others_are_known() {
    let (address, _stop) = started_plain(few(2, 4)).await;
    let mut known = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(told(&mut stream, "/key").await.as_deref(), Some("hi"));
        known.push(stream);
    }
    let mut third = TcpStream::connect(address).await.unwrap();
    tokio::time::timeout(SOON, closed(&mut third))
        .await
        .unwrap();
    ask(&mut known[0]).await;
    // One that ends leaves its place.
    drop(known.pop());
    let served = async {
        loop {
            let mut stream = TcpStream::connect(address).await.unwrap();
            if told(&mut stream, "/").await.as_deref() == Some("hi") {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, served).await.unwrap();
}

#[tokio::test]
async fn clients_with_a_token_leave_a_place_for_the_key() {
    let (address, _stop) = started_plain(few(3, 4)).await;
    let mut clients = Vec::new();
    for answer in ["hi", "hi", "no"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(told(&mut stream, "/token").await.as_deref(), Some(answer));
        clients.push(stream);
    }
    let mut control = TcpStream::connect(address).await.unwrap();
    assert_eq!(told(&mut control, "/key").await.as_deref(), Some("hi"));
}

#[tokio::test]
async fn the_kernel_watches_over_every_connection() {
    let (address, _stop) = started_plain(LIMITS).await;
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
