use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Redirect;
use axum::routing::get;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use toolbox_domain::retry::Fault;

use crate::message::Request;
use crate::native::Native;
use crate::transport::{Call, Pin, Transport};

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Answers each connection with `answer`, after its request, and closes it.
async fn serve_raw(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

fn call(url: String) -> Call {
    Call::new(Request::new("GET", url), Duration::from_secs(5))
}

/// A body of one chunk each 20 ms that never ends.
fn endless() -> Body {
    Body::from_stream(unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>("x\n"), ()))
    }))
}

async fn fault(native: &Native, call: Call) -> Fault {
    native.send(call).await.unwrap_err().fault
}

#[tokio::test]
async fn requests_arrive_and_the_headers_that_count_are_kept() {
    let echo = |headers: axum::http::HeaderMap, body: String| async move {
        let token = headers["authorization"].to_str().unwrap().to_owned();
        ([("content-type", "text/plain")], format!("{token} {body}"))
    };
    let busy = || async {
        (
            StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", "7")],
            "busy",
        )
    };
    let router = Router::new()
        .route("/echo", get(echo).post(echo))
        .route("/busy", get(busy));
    let base = format!("http://{}", serve(router).await);
    let native = Native::new().unwrap();

    let mut echoed = call(format!("{base}/echo"));
    echoed.request.method = "POST".to_owned();
    echoed.request.headers.set("authorization", "Bearer t");
    echoed.request.body = b"body".to_vec();
    let answer = native.send(echoed.clone()).await.unwrap();
    assert_eq!(
        (answer.status, answer.body.as_slice()),
        (200, &b"Bearer t body"[..])
    );
    assert_eq!(answer.headers.iter().count(), 0);
    echoed.keep_type = true;
    let answer = native.send(echoed).await.unwrap();
    assert_eq!(answer.headers.get("content-type"), Some("text/plain"));
    let refusal = native.send(call(format!("{base}/busy"))).await.unwrap();
    assert_eq!(
        (refusal.status, refusal.headers.get("retry-after")),
        (429, Some("7"))
    );
}

#[tokio::test]
async fn redirects_are_answers() {
    let router = Router::new()
        .route("/moved", get(|| async { Redirect::temporary("/here") }))
        .route("/here", get(|| async { "followed" }));
    let url = format!("http://{}/moved", serve(router).await);
    let answer = Native::new().unwrap().send(call(url)).await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (307, 0));
}

#[tokio::test]
async fn each_failure_has_its_fault() {
    let router = Router::new()
        .route("/silent", get(std::future::pending::<()>))
        .route("/endless", get(|| async { endless() }))
        .route("/large", get(|| async { "x".repeat(101) }));
    let base = format!("http://{}", serve(router).await);
    let native = Native::new().unwrap();

    for path in ["silent", "endless"] {
        let mut slow = call(format!("{base}/{path}"));
        slow.deadline = Duration::from_millis(100);
        let asked = Instant::now();
        assert_eq!(fault(&native, slow).await, Fault::Timeout, "{path}");
        assert!(asked.elapsed() < Duration::from_secs(2), "{path}");
    }
    let mut large = call(format!("{base}/large"));
    large.max_answer = 101;
    assert!(native.send(large.clone()).await.is_ok());
    large.max_answer = 100;
    assert_eq!(fault(&native, large).await, Fault::BadBody);

    let unused = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = unused.local_addr().unwrap();
    drop(unused);
    let refused = native
        .send(call(format!("http://{address}/SECRET")))
        .await
        .unwrap_err();
    assert_eq!(refused.fault, Fault::Refused, "{refused}");
    assert!(!refused.to_string().contains("SECRET"), "{refused}");
    for (answer, expected) in [
        ("", Fault::Reset),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort",
            Fault::Reset,
        ),
        ("nonsense\r\n\r\n", Fault::BadBody),
    ] {
        let url = format!("http://{}/", serve_raw(answer).await);
        assert_eq!(fault(&native, call(url)).await, expected, "{answer:?}");
    }
}

#[tokio::test]
async fn streams_end_with_their_time_and_fail_with_their_connection() {
    let router = Router::new().route("/", get(|| async { endless() }));
    let endless = format!("http://{}/", serve(router).await);
    let native = Native::new().unwrap();
    let asked = Instant::now();
    let answer = native
        .open(call(endless), Duration::from_secs(1))
        .await
        .unwrap();
    let chunks: Vec<_> = answer.body.into_chunks().collect().await;
    assert!(
        chunks.len() > 2 && chunks.iter().all(Result::is_ok),
        "{chunks:?}"
    );
    assert!(asked.elapsed() < Duration::from_secs(10));

    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nshort";
    let url = format!("http://{}/", serve_raw(cut).await);
    let answer = native
        .open(call(url), Duration::from_secs(5))
        .await
        .unwrap();
    let chunks: Vec<_> = answer.body.into_chunks().collect().await;
    assert_eq!(chunks[0].as_deref(), Ok(&b"short"[..]));
    assert_eq!(
        chunks.last().unwrap().as_ref().unwrap_err().fault,
        Fault::Reset
    );
}

/// Tells that the server has dropped it.
struct Dropped(tokio::sync::mpsc::UnboundedSender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_lets_its_connection_go_all_the_same() {
    let (sender, mut dropped) = tokio::sync::mpsc::unbounded_channel();
    let body = move || {
        let dropped = Dropped(sender.clone());
        async move {
            Body::from_stream(unfold(dropped, |dropped| async {
                tokio::time::sleep(Duration::from_millis(20)).await;
                Some((Ok::<_, std::io::Error>("x\n"), dropped))
            }))
        }
    };
    let url = format!(
        "http://{}/",
        serve(Router::new().route("/", get(body))).await
    );
    let native = Native::new().unwrap();
    let limit = Duration::from_secs(10);

    // At the end of its time.
    let longest = Duration::from_millis(200);
    let unread = native.open(call(url.clone()), longest).await.unwrap();
    let ended = tokio::time::timeout(limit, dropped.recv()).await;
    assert_eq!(ended, Ok(Some(())), "the server still sends");
    let rest: Vec<_> = unread.body.into_chunks().collect().await;
    assert!(rest.iter().all(Result::is_ok), "{rest:?}");

    // And at once when it is dropped.
    let unwanted = native.open(call(url), limit * 60).await.unwrap();
    drop(unwanted);
    let ended = tokio::time::timeout(limit, dropped.recv()).await;
    assert_eq!(ended, Ok(Some(())), "the server still sends");
}

/// A server with a certificate of its own, which is also the proxy to itself, as an agent is; and that certificate.
async fn serve_tls() -> (SocketAddr, Arc<str>) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if stream.peek(&mut head[..1]).await.unwrap() == 1 && head[0] == b'C' {
                let _ = stream.read(&mut head).await;
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            }
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nmine";
            stream.write_all(answer).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    (address, made.cert.pem().into())
}

#[tokio::test]
async fn a_certificate_of_its_own_is_the_only_one_trusted() {
    let (address, certificate) = serve_tls().await;
    let (_, another) = serve_tls().await;
    let pin = |certificate: &str| Pin {
        certificate: certificate.into(),
        proxy: format!("http://{address}").into(),
    };
    let native = Native::new().unwrap();
    for _ in 0..2 {
        let mut own = call("https://agent.toolbox.invalid/".to_owned());
        own.pin = Some(pin(&certificate));
        assert_eq!(native.send(own).await.unwrap().body, b"mine");
    }
    for (pinned, what) in [
        (None, "the public roots"),
        (Some(pin(&another)), "another certificate"),
        (Some(pin("no certificate")), "no certificate"),
    ] {
        let mut refused = call(format!("https://{address}/"));
        refused.pin = pinned;
        assert_eq!(fault(&native, refused).await, Fault::Tls, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_awaits_calls_in_its_handlers() {
    let upstream = Router::new().route("/", get(|| async { "from upstream" }));
    let url: Arc<str> = format!("http://{}/", serve(upstream).await).into();
    let native: Arc<dyn Transport> = Arc::new(Native::new().unwrap());
    let passed_on = |State((native, url)): State<(Arc<dyn Transport>, Arc<str>)>| async move {
        let answer = native.send(call(url.to_string())).await.unwrap();
        String::from_utf8(answer.body).unwrap()
    };
    let server = Router::new()
        .route("/", get(passed_on))
        .with_state((Arc::clone(&native), url));
    let url = format!("http://{}/", serve(server).await);
    assert_eq!(native.send(call(url)).await.unwrap().body, b"from upstream");
}

#[tokio::test]
async fn a_pinned_call_is_not_sent_over_plain_http() {
    let router = Router::new().route("/", get(|| async { "sent" }));
    let address = serve(router).await;
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let mut pinned = call(format!("http://{address}/"));
    pinned.pin = Some(Pin {
        certificate: made.cert.pem().into(),
        proxy: format!("http://{address}").into(),
    });
    let native = Native::new().unwrap();
    assert_eq!(fault(&native, pinned.clone()).await, Fault::CannotPin);
    let streamed = native.open(pinned, Duration::from_secs(1)).await;
    assert_eq!(streamed.unwrap_err().fault, Fault::CannotPin);
}
