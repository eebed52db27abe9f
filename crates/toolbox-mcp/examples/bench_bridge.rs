//! Measures bridges side by side: the same echo server behind each, the same callers, one after the other in one run.
//!
//! `bench/bridge` builds and starts it. Callers are written to cost little themselves: one connection each, one request
//! at a time, no HTTP library.
#![expect(
    clippy::disallowed_methods,
    reason = "it starts the programs that it measures"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a measurement that cannot be made ends the program"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The command line.
#[derive(Debug, Parser)]
struct Arguments {
    /// The echo server.
    #[arg(long)]
    server: PathBuf,
    /// Our bridge.
    #[arg(long)]
    bridge: PathBuf,
    /// The peer, mcp-proxy of crates.io.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Clients that vanish.
    #[arg(long, default_value_t = 1000)]
    vanish: usize,
}

/// What was measured of one way to the server.
#[derive(Debug, Default)]
struct Row {
    name: &'static str,
    single: Load,
    sixteen: Load,
    sessions: Load,
    idle_rss: u64,
    busy_rss: u64,
    left: Option<(usize, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Load {
    rps: f64,
    p50: Duration,
    p99: Duration,
}

/// A way to the server over HTTP.
struct Endpoint {
    address: String,
    path: &'static str,
    tool: &'static str,
    child: Child,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let mut rows = vec![direct(&arguments).await];
    rows.push(measure("this bridge", ours(&arguments), &arguments).await);
    if arguments.peer.is_some() {
        rows.push(measure("mcp-proxy 0.6.0", peer(&arguments), &arguments).await);
    }
    report(&rows);
}

fn ours(arguments: &Arguments) -> Endpoint {
    let port = free_port();
    let child = Command::new(&arguments.bridge)
        .args(["--listen", &format!("127.0.0.1:{port}"), "--"])
        .arg(&arguments.server)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the bridge starts");
    Endpoint {
        address: format!("127.0.0.1:{port}"),
        path: "/mcp",
        tool: "echo",
        child,
    }
}

fn peer(arguments: &Arguments) -> Endpoint {
    let port = free_port();
    let config = std::env::temp_dir().join(format!("bench-bridge-{port}.toml"));
    let text = format!(
        "[proxy]\nname = \"bench\"\nseparator = \"_\"\n[proxy.listen]\nhost = \"127.0.0.1\"\nport = {port}\n\
         [[backends]]\nname = \"b\"\ntransport = \"stdio\"\ncommand = {:?}\nargs = []\n",
        arguments.server.display().to_string()
    );
    std::fs::write(&config, text).unwrap();
    let child = Command::new(arguments.peer.as_ref().unwrap())
        .arg("--config")
        .arg(&config)
        .env("RUST_LOG", "error")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the peer starts");
    Endpoint {
        address: format!("127.0.0.1:{port}"),
        path: "/",
        tool: "b_echo",
        child,
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

async fn measure(name: &'static str, endpoint: Endpoint, arguments: &Arguments) -> Row {
    let pid = endpoint.child.id();
    let mut endpoint = endpoint;
    let session = first_session(&endpoint).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle_rss = resident(pid);
    let time = Duration::from_secs(arguments.seconds);
    let shared = |callers| vec![session.clone(); callers];
    // Warm both sides up.
    load(&endpoint, &shared(4), time / 5).await;
    let single = load(&endpoint, &shared(1), time).await;
    let sixteen = load(&endpoint, &shared(16), time).await;
    let mut own = Vec::new();
    for _ in 0..16 {
        own.push(open_session(&endpoint).await.expect("a session opens"));
    }
    let sessions = load(&endpoint, &own, time).await;
    let busy_rss = resident(pid);
    vanish(&endpoint, arguments.vanish).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // One server is what there has to be.
    let left = (children(pid).saturating_sub(1), resident(pid));
    endpoint.child.kill().unwrap();
    endpoint.child.wait().unwrap();
    Row {
        name,
        single,
        sixteen,
        sessions,
        idle_rss,
        busy_rss,
        left: Some(left),
    }
}

async fn first_session(endpoint: &Endpoint) -> String {
    for _ in 0..200 {
        if let Some(session) = open_session(endpoint).await {
            return session;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no session at {} within 10 s", endpoint.address);
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"0"}}}"#;

async fn open_session(endpoint: &Endpoint) -> Option<String> {
    let mut connection = Connection::open(endpoint).await.ok()?;
    connection.post(None, INITIALIZE).await.ok()?;
    let session = connection.session.clone()?;
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    connection.post(Some(&session), initialized).await.ok()?;
    Some(session)
}

/// One caller per session, each as fast as it is answered.
async fn load(endpoint: &Endpoint, sessions: &[String], time: Duration) -> Load {
    let until = Instant::now() + time;
    let mut callers = tokio::task::JoinSet::new();
    for session in sessions {
        let mut connection = Connection::open(endpoint).await.expect("it connects");
        let (session, tool) = (session.clone(), endpoint.tool);
        callers.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let number = times.len();
                let text = format!("m{number}.");
                let call = call(number, tool, &text);
                let begun = Instant::now();
                let answer = connection
                    .post(Some(&session), &call)
                    .await
                    .expect("a call is answered");
                times.push(begun.elapsed());
                assert!(
                    find(&answer, text.as_bytes()),
                    "{}",
                    String::from_utf8_lossy(&answer)
                );
            }
            times
        });
    }
    let begun = Instant::now();
    let mut all: Vec<Duration> = callers.join_all().await.concat();
    summary(&mut all, begun.elapsed())
}

fn call(number: usize, tool: &str, text: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"message":"{text}"}}}}}}"#
    )
}

fn summary(all: &mut [Duration], time: Duration) -> Load {
    all.sort_unstable();
    let at = |part: usize| all.get(all.len() * part / 100).copied().unwrap_or_default();
    Load {
        rps: all.len() as f64 / time.as_secs_f64(),
        p50: at(50),
        p99: at(99),
    }
}

/// Clients that open a session, call, listen, and are gone without a word.
async fn vanish(endpoint: &Endpoint, clients: usize) {
    for _ in 0..clients {
        let Some(session) = open_session(endpoint).await else {
            continue;
        };
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        if let Ok(mut connection) = Connection::open(endpoint).await {
            // Whether it arrives is the point of nothing here.
            let _ = connection.send(Some(&session), call).await;
        }
        if let Ok(mut listening) = Connection::open(endpoint).await {
            let _ = listening.listen(&session).await;
        }
    }
}

/// The server alone, over its pipes: one caller at a time, then 16 calls under way.
async fn direct(arguments: &Arguments) -> Row {
    let mut child = tokio::process::Command::new(&arguments.server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let pid = child.id().unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let time = Duration::from_secs(arguments.seconds);
    let mut loads = Vec::new();
    for depth in [1, 16] {
        let mut took = Vec::new();
        let begun = Instant::now();
        let mut line = String::new();
        while begun.elapsed() < time {
            let mut calls = String::new();
            for number in 0..depth {
                calls += &call(number, "echo", "m.");
                calls.push('\n');
            }
            let sent = Instant::now();
            input.write_all(calls.as_bytes()).await.unwrap();
            for _ in 0..depth {
                line.clear();
                output.read_line(&mut line).await.unwrap();
                took.push(sent.elapsed());
            }
        }
        loads.push(summary(&mut took, begun.elapsed()));
    }
    let row = Row {
        name: "direct stdio",
        single: loads[0].clone(),
        sixteen: loads[1].clone(),
        idle_rss: resident(pid),
        ..Row::default()
    };
    child.kill().await.unwrap();
    row
}

/// One HTTP connection.
struct Connection {
    stream: TcpStream,
    host: String,
    path: &'static str,
    session: Option<String>,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(endpoint: &Endpoint) -> std::io::Result<Self> {
        let stream = TcpStream::connect(&endpoint.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            host: endpoint.address.clone(),
            path: endpoint.path,
            session: None,
            buffer: Vec::with_capacity(4096),
        })
    }

    async fn send(&mut self, session: Option<&str>, body: &str) -> std::io::Result<()> {
        let session = session.map_or(String::new(), |s| {
            format!("mcp-session-id: {s}\r\nmcp-protocol-version: 2025-11-25\r\n")
        });
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n{session}content-length: {}\r\n\r\n{body}",
            self.path,
            self.host,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await
    }

    async fn listen(&mut self, session: &str) -> std::io::Result<()> {
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\naccept: text/event-stream\r\nmcp-session-id: {session}\r\n\r\n",
            self.path, self.host
        );
        self.stream.write_all(request.as_bytes()).await
    }

    async fn post(&mut self, session: Option<&str>, body: &str) -> std::io::Result<Vec<u8>> {
        self.send(session, body).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(end) = self.whole() {
                return Ok(self.buffer[..end].to_vec());
            }
        }
    }

    /// Where the answer ends, once it is whole.
    fn whole(&mut self) -> Option<usize> {
        let end = position(&self.buffer, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        let value = |name: &str| {
            head.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .map(str::trim)
        };
        if let Some(session) = value("mcp-session-id") {
            self.session = Some(session.to_owned());
        }
        if value("transfer-encoding") == Some("chunked") {
            return self.buffer[end..]
                .ends_with(b"0\r\n\r\n")
                .then_some(self.buffer.len());
        }
        let length: usize = value("content-length")
            .and_then(|l| l.parse().ok())
            .unwrap_or(0);
        (self.buffer.len() >= end + length).then_some(end + length)
    }
}

fn position(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

fn find(text: &[u8], part: &[u8]) -> bool {
    position(text, part).is_some()
}

/// Bytes of memory a process holds.
fn resident(pid: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    let pages: u64 = statm
        .split(' ')
        .nth(1)
        .and_then(|p| p.parse().ok())
        .unwrap_or(0);
    pages * 4096
}

/// Processes whose parent this is.
fn children(pid: u32) -> usize {
    let of_thread = |task: std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("children")).unwrap_or_default()
    };
    std::fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .map(of_thread)
        .map(|children| children.split_whitespace().count())
        .sum()
}

fn report(rows: &[Row]) {
    let mut out = std::io::stdout().lock();
    let line = "| way | 1 caller: p50, p99, rps | 16 callers, 1 session | 16 sessions | RSS idle, after load | left after the vanished |";
    writeln!(out, "{line}\n|---|---|---|---|---|---|").unwrap();
    let load = |l: &Load| {
        if l.rps == 0.0 {
            return "-".to_owned();
        }
        let ms = |d: Duration| format!("{:.3}", d.as_secs_f64() * 1e3);
        format!("{} ms, {} ms, {:.0}", ms(l.p50), ms(l.p99), l.rps)
    };
    let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
    for row in rows {
        let left = row.left.map_or("-".to_owned(), |(processes, rss)| {
            format!("{processes} processes, {} MB", mb(rss))
        });
        writeln!(
            out,
            "| {} | {} | {} | {} | {} MB, {} MB | {left} |",
            row.name,
            load(&row.single),
            load(&row.sixteen),
            load(&row.sessions),
            mb(row.idle_rss),
            mb(row.busy_rss),
        )
        .unwrap();
    }
    if let [_, ours, peer] = rows {
        writeln!(
            out,
            "\nthis bridge : mcp-proxy = p50 {:.2}, rps at 1 {:.2}, rps at 16 {:.2}, rps of 16 sessions {:.2}, RSS after load {:.2}",
            ours.single.p50.as_secs_f64() / peer.single.p50.as_secs_f64(),
            ours.single.rps / peer.single.rps,
            ours.sixteen.rps / peer.sixteen.rps,
            ours.sessions.rps / peer.sessions.rps,
            ours.busy_rss as f64 / peer.busy_rss as f64,
        )
        .unwrap();
    }
}
