//! The agent over TLS: who trusts its certificate reaches it, and nobody else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use toolbox_domain::names::agent_host;
use toolbox_http::pinned::pinned_client_config;

use crate::agent::Agent;
use crate::docker;
use crate::stub::Stub;

/// `GET path` over TLS, trusting the certificate in `pem` only; the whole answer.
async fn get(agent: &Agent, pem: &str, name: &str, path: &str) -> io::Result<String> {
    ask(agent, connect(agent).await, trusting(pem), name, path).await
}

async fn connect(agent: &Agent) -> TcpStream {
    let address = ("127.0.0.1", agent.port());
    TcpStream::connect(address).await.unwrap()
}

/// A client to which `pem` is the only authority there is.
fn trusting(pem: &str) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// `GET path` over TLS on `stream`; the whole answer.
async fn ask(
    agent: &Agent,
    stream: TcpStream,
    config: ClientConfig,
    name: &str,
    path: &str,
) -> io::Result<String> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let key = &agent.key;
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

fn certificate(agent: &Agent) -> String {
    let pem = std::fs::read_to_string(agent.state.join("tls.pem")).unwrap();
    let begin = pem.find("-----BEGIN CERTIFICATE").unwrap();
    pem[begin..].to_owned()
}

async fn started() -> Agent {
    let mut agent = Agent::prepare();
    agent.tls = true;
    agent.start().await;
    agent
}

#[tokio::test]
async fn only_who_pins_the_certificate_gets_through() {
    let (mut agent, other) = (started().await, started().await);
    let pem = certificate(&agent);
    for name in ["127.0.0.1", "localhost"] {
        let answer = get(&agent, &pem, name, "/tools").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let other_pem = certificate(&other);
    assert!(
        get(&agent, &other_pem, "127.0.0.1", "/tools")
            .await
            .is_err()
    );
    assert!(get(&agent, &pem, "203.0.113.9", "/tools").await.is_err());
    // The certificate stays the same.
    agent.kill();
    agent.start().await;
    assert_eq!(certificate(&agent), pem);
    get(&agent, &pem, "127.0.0.1", "/health").await.unwrap();
}

#[tokio::test]
async fn a_tunnel_to_its_own_name_leads_to_the_agent() {
    let (agent, other) = (started().await, started().await);
    let pem = certificate(&agent);
    let host = agent_host(agent.toolbox.into());
    for config in [trusting(&pem), pinned_client_config(&pem).unwrap()] {
        let mut stream = connect(&agent).await;
        let head = format!("CONNECT {host}:443 HTTP/1.1\r\nhost: {host}:443\r\n\r\n");
        // In two pieces, as a network may deliver it.
        stream.write_all(&head.as_bytes()[..9]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(&head.as_bytes()[9..]).await.unwrap();
        let mut answer = [0; 19];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200 OK\r\n\r\n");
        let answer = ask(&agent, stream, config, &host, "/tools").await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    // A native client needs no tunnel, and another agent is none to it.
    let pinned = || pinned_client_config(&pem).unwrap();
    let answer = ask(&agent, connect(&agent).await, pinned(), &host, "/tools").await;
    assert!(answer.unwrap().starts_with("HTTP/1.1 200"));
    let refused = ask(&agent, connect(&other).await, pinned(), &host, "/tools").await;
    assert!(refused.unwrap_err().to_string().contains("certificate"));
}

#[tokio::test]
async fn nothing_else_can_be_reached_through_the_agent() {
    let agent = started().await;
    let host = agent_host(agent.toolbox.into());
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let there = elsewhere.local_addr().unwrap();
    let port = agent.port();
    let long = "x".repeat(4096);
    for (sent, status) in [
        (format!("CONNECT {there} HTTP/1.1\r\n\r\n"), 403),
        (format!("CONNECT {host} HTTP/1.1\r\n\r\n"), 403),
        (format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n"), 403),
        (format!("CONNECT {host}:+443 HTTP/1.1\r\n\r\n"), 403),
        (format!("CONNECT x.{host}:443 HTTP/1.1\r\n\r\n"), 403),
        (
            format!(
                "CONNECT {}:443 HTTP/1.1\r\n\r\n",
                agent_host(uuid::Uuid::nil().into())
            ),
            403,
        ),
        (format!("COPY {host}:443 HTTP/1.1\r\n\r\n"), 400),
        (
            format!("CONNECT {host}:443 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
            400,
        ),
        (
            format!("CONNECT {host}:443 HTTP/1.1\r\nx: {long}\r\n\r\n"),
            400,
        ),
        (
            format!(
                "CONNECT {host}:443 HTTP/1.1\r\n{}\r\n",
                "x: y\r\n".repeat(99)
            ),
            400,
        ),
        ("C\0\u{1}\u{ff}\r\n\r\n".to_owned(), 400),
    ] {
        let mut stream = connect(&agent).await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let end = stream.read_to_end(&mut answer);
        // What it did not read makes the kernel reset the connection; the answer has arrived all the same.
        let _ = tokio::time::timeout(Duration::from_secs(5), end)
            .await
            .unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{sent}: {answer}"
        );
    }
    let connected = tokio::time::timeout(Duration::from_millis(100), elsewhere.accept()).await;
    assert!(connected.is_err(), "the agent connects nowhere");
    get(&agent, &certificate(&agent), "127.0.0.1", "/health")
        .await
        .unwrap();
}

#[tokio::test]
async fn plain_http_is_not_answered_and_slow_handshakes_delay_nobody() {
    let agent = started().await;
    let url = format!("http://127.0.0.1:{}/health", agent.port());
    assert!(reqwest::get(&url).await.is_err());
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(
            TcpStream::connect(("127.0.0.1", agent.port()))
                .await
                .unwrap(),
        );
    }
    let pem = certificate(&agent);
    let begun = std::time::Instant::now();
    get(&agent, &pem, "127.0.0.1", "/health").await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn what_cannot_be_safe_does_not_start() {
    for (extra, words) in [
        (
            vec!["--insecure-http", "--listen=0.0.0.0:0"],
            "needs DTMA_LISTEN to be a loopback address",
        ),
        (vec!["--listen=0.0.0.0:0"], "there is no key"),
    ] {
        let mut agent = Agent::prepare();
        agent.tls = true;
        agent.key_file = extra.len() == 2;
        agent.listen_flag = false;
        agent.extra = extra.into_iter().map(str::to_owned).collect();
        agent.spawn();
        assert_eq!(agent.wait().await, Some(1));
        assert!(agent.log().contains(words), "{}", agent.log());
    }
}

#[tokio::test]
async fn the_certificate_is_reported_to_the_control_plane() {
    docker::ensure_image().await;
    let stub = Stub::new().await;
    let mut agent = Agent::prepare();
    agent.tls = true;
    agent.key_file = false;
    agent.key.clone_from(&stub.plane().keys.control_to_agent);
    let token = agent.folder.path().join("token");
    docker::write(&token, stub.plane().token.as_bytes());
    agent.extra = vec![
        format!("--control-url={}", stub.url()),
        format!("--enrolment-token-file={}", token.display()),
    ];
    agent.start().await;
    stub.until("a heartbeat", Duration::from_secs(15), |p| {
        !p.heard.is_empty()
    })
    .await;
    let pem = certificate(&agent);
    assert_eq!(stub.plane().enrolled_with.as_deref(), Some(pem.as_str()));
    let first = stub.plane().heard[0].1.clone();
    assert_eq!(first.certificate_pem.as_deref(), Some(pem.as_str()));
    assert_eq!(first.certificate_sha256.map(|s| s.len()), Some(64));
    let answer = get(&agent, &pem, "127.0.0.1", "/tools").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    // A certificate from before it carried the toolbox's name is replaced; the other one is refused until the toolbox
    // enrols again, and the log says so.
    agent.kill();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let before = params.self_signed(&key).unwrap().pem();
    let file = format!("{}{before}", key.serialize_pem());
    docker::write(&agent.state.join("tls.pem"), file.as_bytes());
    agent.start().await;
    let aside = std::fs::read_to_string(agent.state.join("tls.pem.unusable")).unwrap();
    assert!(aside.contains(&before));
    let words = "does not carry the toolbox's name; made another one, which the control plane refuses until the toolbox is enrolled again with a new token";
    assert!(agent.log().contains(words), "{}", agent.log());
    docker::eventually("it says so", Duration::from_secs(15), || async {
        agent.log().contains("certificate_changed") && agent.log().contains("enrol it again")
    })
    .await;
    let other = certificate(&agent);
    {
        let mut plane = stub.plane();
        plane.token = "tbe_new".into();
        plane.enrolled_with = None;
    }
    let before = stub.plane().heard.len();
    docker::write(&token, b"tbe_new");
    stub.until("it is heard again", Duration::from_secs(30), |p| {
        p.heard.len() > before
    })
    .await;
    assert_eq!(stub.plane().enrolled_with.as_deref(), Some(other.as_str()));
}
