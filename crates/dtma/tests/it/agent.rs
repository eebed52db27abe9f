//! An agent under test: the real program, its own toolbox, its own state.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use toolbox_domain::ids::ToolboxId;
use uuid::Uuid;

use crate::docker;

/// How many ports an agent gets: twelve for its containers, one to listen on, and the mark.
const BLOCK: u16 = 14;

/// Each agent gets ports of its own, so that tests running at once do not meet: those of its containers, and one to
/// listen on. The kernel hands them to nobody, so that they are still free after the agent was killed. This process listens on
/// the last one of the block as long as it lives, so another process that tries the same block finds it taken.
fn own_ports() -> ((u16, u16), u16) {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let block = NEXT.fetch_add(1, Ordering::Relaxed);
        let first = 11_000 + block * BLOCK;
        assert!(first < 20_000, "no block of ports is free");
        let mark = first + BLOCK - 1;
        let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, mark)) else {
            continue;
        };
        std::mem::forget(listener);
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        if (first..mark).all(is_free) {
            return ((first, first + 11), first + 12);
        }
    }
}

/// A port to listen on.
pub fn own_port() -> u16 {
    own_ports().1
}

/// A running (or stopped) agent.
pub struct Agent {
    pub toolbox: Uuid,
    pub key: String,
    pub ports: (u16, u16),
    pub folder: TempDir,
    pub state: PathBuf,
    pub docker_host: String,
    pub extra: Vec<String>,
    /// Where images may come from although it is not public: this machine, where tests have their registries.
    pub private_sources: &'static str,
    /// Give it the key file.
    pub key_file: bool,
    /// Let it speak TLS.
    pub tls: bool,
    /// Tell it where to listen.
    pub listen_flag: bool,
    /// The program, and arguments before it, that starts the agent's.
    pub wrapper: Vec<String>,
    listen: u16,
    child: Option<Child>,
    client: reqwest::Client,
}

/// An answer: status, headers, JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// Fails with the body when the status is another.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// Fails unless it is a problem of this code with this status.
    pub fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.headers["content-type"], "application/problem+json",
            "{}",
            self.body
        );
        let body = self.expect(status);
        assert_eq!(body["code"], code, "{body}");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("urn:toolbox:problem:{code}"));
        body
    }
}

impl Agent {
    /// An agent that is ready, with the test image in Docker.
    pub async fn new() -> Self {
        docker::ensure_image().await;
        let mut agent = Self::prepare();
        agent.start().await;
        agent
    }

    /// An agent that was not started yet.
    pub fn prepare() -> Self {
        // reqwest asks for one where another crate of the build turns its TLS on. It may be there already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let key = format!("tbk_{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
        let (ports, listen) = own_ports();
        let agent = Self {
            toolbox: Uuid::new_v4(),
            key: key.clone(),
            ports,
            state: folder.path().join("state"),
            folder,
            docker_host: "unix:///var/run/docker.sock".to_owned(),
            extra: Vec::new(),
            private_sources: "127.0.0.1",
            key_file: true,
            tls: false,
            listen_flag: true,
            wrapper: Vec::new(),
            listen,
            child: None,
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(70))
                .build()
                .unwrap(),
        };
        agent.write_keys(&[&key]);
        agent
    }

    /// Replaces the key file.
    pub fn write_keys(&self, keys: &[&str]) {
        let path = self.folder.path().join("key");
        docker::write(&path, format!("{}\n", keys.join("\n")).as_bytes());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Starts the program and waits until it answers.
    pub async fn start(&mut self) {
        self.spawn();
        for _ in 0..3_000 {
            // Over TLS, tests ask in their own way, and wait for the answer.
            let answers = if self.tls {
                std::net::TcpStream::connect(("127.0.0.1", self.listen)).is_ok()
            } else {
                self.client.get(self.url("/health")).send().await.is_ok()
            };
            if answers {
                return;
            }
            if let Some(ended) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("the agent ended with {ended}; its log: {}", self.log());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the agent does not answer; its log: {}", self.log());
    }

    /// Starts the program.
    pub fn spawn(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        #[allow(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = match self.wrapper.split_first() {
            None => Command::new(env!("CARGO_BIN_EXE_dtma")),
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(env!("CARGO_BIN_EXE_dtma"));
                command
            }
        };
        command.env_clear();
        if self.listen_flag {
            command.env("DTMA_LISTEN", format!("127.0.0.1:{}", self.listen));
        }
        if self.key_file {
            command.env("DTMA_KEY_FILE", self.folder.path().join("key"));
        }
        if !self.tls {
            command.env("DTMA_INSECURE_HTTP", "true");
        }
        let child = command
            .env("DTMA_TOOLBOX_ID", self.toolbox.to_string())
            .env("DTMA_STATE_DIR", &self.state)
            .env("DTMA_DOCKER_HOST", &self.docker_host)
            .env("DTMA_ALLOW_PRIVATE_SOURCES", self.private_sources)
            .env(
                "DTMA_PORT_RANGE",
                format!("{}-{}", self.ports.0, self.ports.1),
            )
            .env("DTMA_LOG", "dtma=debug,info")
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM; its exit code, and how long it took.
    pub async fn terminate(&mut self) -> (Option<i32>, Duration) {
        let mut child = self.child.take().unwrap();
        let begun = std::time::Instant::now();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return (status.code(), begun.elapsed());
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "the agent does not stop; its log: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits for the program to end by itself; its exit code.
    pub async fn wait(&mut self) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        for _ in 0..1_000 {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.kill().unwrap();
        panic!("the agent did not end");
    }

    /// Everything it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn toolbox_id(&self) -> ToolboxId {
        ToolboxId::new(self.toolbox)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    pub fn port(&self) -> u16 {
        self.listen
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.listen)
    }

    /// A request with the key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, self.url(path))
            .bearer_auth(&self.key)
    }

    /// A request without a key.
    pub fn bare_request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer {
            status,
            headers,
            body,
        }
    }

    /// A request, waiting 30 s for the end.
    pub async fn call(&self, method: Method, path: &str) -> Answer {
        self.send(self.request(method, path).header("prefer", "wait=30"))
            .await
    }

    /// Deploys, waiting 30 s for the end.
    pub async fn put(&self, tool: &Tool) -> Answer {
        let request = self.request(Method::PUT, &format!("/tools/{}", tool.id));
        self.send(request.header("prefer", "wait=30").json(&tool.body))
            .await
    }

    /// Deploys, waiting so many seconds for the end.
    pub async fn deploy_for(&self, tool: &Tool, seconds: u32) -> Answer {
        let request = self.request(Method::PUT, &format!("/tools/{}", tool.id));
        let request = request.header("prefer", format!("wait={seconds}"));
        self.send(request.json(&tool.body)).await
    }

    /// Deploys; it must end as desired.
    pub async fn deploy(&self, tool: &Tool) -> Value {
        let view = self.put(tool).await.expect(200);
        assert_eq!(view["phase"], tool.body["desired"], "{view}");
        view
    }

    /// `start`, `stop` or `restart`, waiting 30 s for the end.
    pub async fn command(&self, tool: &Tool, command: &str) -> Answer {
        self.call(Method::POST, &format!("/tools/{}/{command}", tool.id))
            .await
    }

    pub async fn delete(&self, tool: &Tool) -> Answer {
        self.call(Method::DELETE, &format!("/tools/{}", tool.id))
            .await
    }

    pub async fn view(&self, tool: &Tool) -> Answer {
        self.send(self.request(Method::GET, &format!("/tools/{}", tool.id)))
            .await
    }

    /// The view once it is settled.
    pub async fn settled(&self, tool: &Tool) -> Value {
        self.call(Method::GET, &format!("/tools/{}", tool.id))
            .await
            .expect(200)
    }

    /// Polls the view until it is as wanted.
    pub async fn until(
        &self,
        tool: &Tool,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let view = self.view(tool).await.body;
            if wanted(&view) {
                return view;
            }
            assert!(
                tokio::time::Instant::now() < end,
                "{what} within {limit:?}; got {view}; log: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// The containers Docker has of this instance.
    pub async fn containers(&self, tool: &Tool) -> Vec<bollard::models::ContainerInspectResponse> {
        docker::of_instance(self.toolbox, tool.id).await
    }

    /// The one container of this instance.
    pub async fn container(&self, tool: &Tool) -> bollard::models::ContainerInspectResponse {
        let mut found = self.containers(tool).await;
        assert_eq!(found.len(), 1, "exactly one container; log: {}", self.log());
        found.remove(0)
    }

    /// Whether a tool that runs `dialer 80` connects to a host, by name or address, and a port.
    pub async fn dials(&self, dialer: &Value, host: &str, port: u16) -> bool {
        let published = &dialer["ports"][0]["host_port"];
        let url = format!("http://127.0.0.1:{published}/{host}/{port}");
        let mut answer = String::new();
        for _ in 0..200 {
            if let Ok(response) = self.client.get(&url).send().await
                && let Ok(text) = response.text().await
            {
                answer = text;
                break;
            }
            // It does not listen yet.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        match answer.as_str() {
            "yes" => true,
            "no" => false,
            other => panic!("the dialer at {url} answered '{other}'"),
        }
    }

    /// The file with the instance's record.
    pub fn record(&self, tool: &Tool) -> PathBuf {
        Path::new(&self.state)
            .join("instances")
            .join(format!("{}.json", tool.id))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        // Where the rules could not be set there are none to remove.
        let _ = dtma::firewall::netlink::remove(&dtma::firewall::table(self.toolbox_id()));
        let toolbox = self.toolbox;
        // Drop cannot await, and the test's runtime must not be blocked.
        let wiped = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(docker::wipe(toolbox));
        })
        .join();
        assert!(
            wiped.is_ok() || std::thread::panicking(),
            "could not remove what the test left in Docker"
        );
    }
}

/// A tool to deploy.
#[derive(Clone)]
pub struct Tool {
    pub id: Uuid,
    pub body: Value,
}

impl Tool {
    /// A new instance of the test image, generation 1.
    pub fn new(command: &[&str]) -> Self {
        Self::named("Test tool", command)
    }

    /// The same with a name.
    pub fn named(name: &str, command: &[&str]) -> Self {
        let id = Uuid::new_v4();
        let short: String = id.simple().to_string().chars().take(8).collect();
        let body = json!({
            "generation": 1,
            "desired": "running",
            "name": name,
            "container_name": format!("dtma-test-{short}"),
            "spec": {"image": docker::IMAGE, "command": command, "resources": {"memory_bytes": 33_554_432}},
        });
        Self { id, body }
    }

    /// Changes the spec.
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.body["spec"][field] = value;
        self
    }

    /// The next generation.
    pub fn next(mut self) -> Self {
        let generation = self.body["generation"].as_u64().unwrap() + 1;
        self.body["generation"] = json!(generation);
        self
    }

    /// A deployment, which asks the registry again.
    pub fn refreshed(mut self) -> Self {
        self.body["refresh_image"] = json!(true);
        self
    }

    /// Desired to be stopped.
    pub fn stopped(mut self) -> Self {
        self.body["desired"] = json!("stopped");
        self
    }

    pub fn container_name(&self) -> &str {
        self.body["container_name"].as_str().unwrap()
    }
}

#[test]
fn the_ports_of_an_agent_are_marked_for_other_processes() {
    let blocks: Vec<_> = (0..3).map(|_| own_ports()).collect();
    for ((first, last), listen) in &blocks {
        assert_eq!((*last, *listen), (first + 11, first + 12));
        let mark = first + BLOCK - 1;
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, mark)).is_err());
    }
    assert!(blocks.is_sorted_by(|((one, _), _), ((other, _), _)| one + BLOCK <= *other));
}
