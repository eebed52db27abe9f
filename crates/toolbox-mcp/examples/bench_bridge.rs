//! Measures bridges side by side: the same echo server behind each, the same callers, one after the other in one run.
//!
//! `scripts/bench --only bridge` builds and starts it, and reads the JSON it prints. Callers are written to cost little
//! themselves: one connection each, one request at a time, no HTTP library.
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

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
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
    /// Our bridge of another checkout.
    #[arg(long)]
    before: Option<PathBuf>,
    /// The peer, mcp-proxy of crates.io.
    #[arg(long)]
    peer: Option<PathBuf>,
    /// Seconds per load.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Rounds; in each, every way is loaded once, and the order turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Clients that vanish.
    #[arg(long, default_value_t = 1000)]
    vanish: usize,
}

/// A way to the server, and what was measured of it.
struct Way {
    name: &'static str,
    /// None for the server's own pipes.
    endpoint: Option<Endpoint>,
    rounds: Vec<Value>,
}

#[derive(Clone, Debug, Default)]
struct Load {
    rps: f64,
    p50: Duration,
    p99: Duration,
}

impl Load {
    fn json(&self) -> Value {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        json!({"rps": self.rps, "p50_us": micros(self.p50), "p99_us": micros(self.p99)})
    }
}

/// A way to the server over HTTP.
struct Endpoint {
    address: String,
    path: &'static str,
    tool: &'static str,
    child: Child,
    /// What it was started with; removed with this.
    _config: Option<tempfile::NamedTempFile>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let way = |name, endpoint| Way {
        name,
        endpoint,
        rounds: Vec::new(),
    };
    let mut ways = vec![
        way("direct", None),
        way("bridge", Some(ours(&arguments, &arguments.bridge))),
    ];
    if let Some(program) = &arguments.before {
        ways.push(way("before", Some(ours(&arguments, program))));
    }
    if let Some(program) = &arguments.peer {
        ways.push(way("peer", Some(peer(&arguments, program))));
    }
    let mut sessions = Vec::new();
    for way in &ways {
        sessions.push(match &way.endpoint {
            Some(endpoint) => first_session(endpoint).await,
            None => String::new(),
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle: Vec<_> = ways.iter().map(Way::resident).collect();
    for round in 0..arguments.rounds {
        let count = ways.len();
        for turn in 0..count {
            // Whoever comes first, and after whom, must not decide.
            let at = (turn + round) % count;
            let measured = ways[at].load(&arguments, &sessions[at]).await;
            ways[at].rounds.push(measured);
        }
    }
    let mut measured = Vec::new();
    for (way, idle) in ways.into_iter().zip(idle) {
        measured.push(way.end(&arguments, idle).await);
    }
    println!(
        "{}",
        json!({"vanished": arguments.vanish, "ways": measured})
    );
}

impl Way {
    fn resident(&self) -> Option<u64> {
        Some(resident(self.endpoint.as_ref()?.child.id()))
    }

    async fn load(&self, arguments: &Arguments, session: &str) -> Value {
        let time = Duration::from_secs(arguments.seconds);
        let Some(endpoint) = &self.endpoint else {
            return direct(arguments, time).await;
        };
        let shared = |callers| vec![session.to_owned(); callers];
        // Warm both sides up.
        load(endpoint, &shared(4), time / 5).await;
        let single = load(endpoint, &shared(1), time).await;
        let sixteen = load(endpoint, &shared(16), time).await;
        let mut own = Vec::new();
        for _ in 0..16 {
            own.push(open_session(endpoint).await.expect("a session opens"));
        }
        let sessions = load(endpoint, &own, time).await;
        json!({"single": single.json(), "sixteen": sixteen.json(), "sessions": sessions.json()})
    }

    /// What is left once all the clients have gone; ends it.
    async fn end(self, arguments: &Arguments, idle: Option<u64>) -> Value {
        let Some(mut endpoint) = self.endpoint else {
            return json!({"name": self.name, "rounds": self.rounds});
        };
        let pid = endpoint.child.id();
        let busy = resident(pid);
        let opened = vanish(&endpoint, arguments.vanish).await;
        assert_eq!(opened, arguments.vanish, "sessions of clients that vanish");
        tokio::time::sleep(Duration::from_secs(2)).await;
        // One server is what there has to be.
        let left = children(pid).saturating_sub(1);
        let after = resident(pid);
        let ended = endpoint.child.try_wait().unwrap();
        assert!(ended.is_none() && after > 0, "{} has ended", self.name);
        endpoint.child.kill().unwrap();
        endpoint.child.wait().unwrap();
        json!({
            "name": self.name, "rounds": self.rounds, "left": left,
            "rss": {"idle": idle, "busy": busy, "after": after},
        })
    }
}

fn ours(arguments: &Arguments, program: &Path) -> Endpoint {
    let port = free_port();
    let child = ending_with_this(program)
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
        _config: None,
    }
}

fn peer(arguments: &Arguments, program: &Path) -> Endpoint {
    let port = free_port();
    let config = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let text = format!(
        "[proxy]\nname = \"bench\"\nseparator = \"_\"\n[proxy.listen]\nhost = \"127.0.0.1\"\nport = {port}\n\
         [[backends]]\nname = \"b\"\ntransport = \"stdio\"\ncommand = {:?}\nargs = []\n",
        arguments.server.display().to_string()
    );
    std::fs::write(config.path(), text).unwrap();
    let child = ending_with_this(program)
        .arg("--config")
        .arg(config.path())
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
        _config: Some(config),
    }
}

/// The kernel ends it with this program, however this program ends.
fn ending_with_this(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
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

/// Clients that open a session, call, listen, and are gone without a word. How many of them had a session.
async fn vanish(endpoint: &Endpoint, clients: usize) -> usize {
    let mut opened = 0;
    for _ in 0..clients {
        let Some(session) = open_session(endpoint).await else {
            continue;
        };
        opened += 1;
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        if let Ok(mut connection) = Connection::open(endpoint).await {
            // Whether it arrives is the point of nothing here.
            let _ = connection.send(Some(&session), call).await;
        }
        if let Ok(mut listening) = Connection::open(endpoint).await {
            let _ = listening.listen(&session).await;
        }
    }
    opened
}

/// The server alone, over its pipes: one call at a time, then 16 calls under way.
async fn direct(arguments: &Arguments, time: Duration) -> Value {
    let mut child = tokio::process::Command::new(&arguments.server)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
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
    child.kill().await.unwrap();
    json!({"single": loads[0].json(), "sixteen": loads[1].json()})
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
