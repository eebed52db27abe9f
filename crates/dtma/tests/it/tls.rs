//! The agent over TLS: who trusts its certificate reaches it, and nobody else.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::agent::Agent;
use crate::docker;
use crate::stub::Stub;

/// `GET path` over TLS, trusting the certificate in `pem` only; the whole answer.
async fn get(agent: &Agent, pem: &str, name: &str, path: &str) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", agent.port())).await?;
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
    assert!(begun.elapsed() < Duration::from_secs(1));
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

    // Another certificate is refused until the toolbox enrols again, and the log says so.
    agent.kill();
    std::fs::remove_file(agent.state.join("tls.pem")).unwrap();
    agent.start().await;
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
