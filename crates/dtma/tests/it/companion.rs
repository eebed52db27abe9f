//! The companion as a program: it keeps an agent running and replaces it, with programs that are good and programs that are
//! broken in each way there is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::routing::get;
use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use toolbox_api::dtma::API_VERSION;

use crate::agent::{Agent, Answer, Tool, own_port};
use crate::docker;
use crate::stub::Stub;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dtma");
/// The version that this build is, and another one of the same length.
const OLD: &str = env!("CARGO_PKG_VERSION");
const SOON: Duration = Duration::from_mins(1);

/// The program without what only debuggers read, which is most of it.
fn program() -> &'static [u8] {
    static PROGRAM_BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    PROGRAM_BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let stripped = folder.path().join("dtma");
        #[allow(clippy::disallowed_methods, reason = "tests make their own programs")]
        let mut command = Command::new("strip");
        let made = command.arg("-o").arg(&stripped).arg(PROGRAM).status();
        assert!(
            made.expect("these tests need strip (package binutils)")
                .success()
        );
        fs::read(stripped).unwrap()
    })
}

/// The same program under another version: its version's text is replaced wherever it is.
fn program_of(version: &str) -> Vec<u8> {
    assert_eq!(version.len(), OLD.len());
    let mut program = program().to_vec();
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&program[at..], OLD.as_bytes()) {
        at += found;
        program[at..at + OLD.len()].copy_from_slice(version.as_bytes());
    }
    program
}

/// A program that is broken as `define` says.
fn broken(folder: &Path, define: &str) -> Vec<u8> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/broken.c");
    let program = folder.join("broken");
    #[allow(clippy::disallowed_methods, reason = "tests build their own programs")]
    let built = Command::new("musl-gcc")
        .args(["-static", "-Os", "-D", define])
        .arg(format!("-DGOOD=\"{}\"", folder.join("good").display()))
        .arg("-o")
        .arg(&program)
        .arg(source)
        .status();
    assert!(
        built.expect("these tests need musl-gcc").success(),
        "{define}"
    );
    fs::read(program).unwrap()
}

type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

async fn serve(
    State(files): State<Files>,
    UrlPath(path): UrlPath<String>,
) -> Result<Vec<u8>, StatusCode> {
    let files = files.lock().unwrap();
    files.get(&path).cloned().ok_or(StatusCode::NOT_FOUND)
}

/// Where releases are: files by their path, served to whoever asks.
#[derive(Clone)]
struct Releases {
    files: Files,
    address: SocketAddr,
}

impl Releases {
    async fn new() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let files = Files::default();
        let router = Router::new()
            .route("/{*path}", get(serve))
            .with_state(Arc::clone(&files));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { files, address }
    }

    /// Adds a release, which becomes the latest.
    fn add(&self, version: &str, program: Vec<u8>) {
        let mut files = self.files.lock().unwrap();
        let name = format!("{version}/dtma-{}", std::env::consts::ARCH);
        let sum = Sha256::digest(&program)
            .iter()
            .fold(String::new(), |hex, b| format!("{hex}{b:02x}"));
        files.insert(
            format!("{name}.sha256"),
            format!("{sum}  dtma\n").into_bytes(),
        );
        files.insert(name, program);
        files.insert("latest".to_owned(), format!("{version}\n").into_bytes());
    }

    fn set(&self, path: &str, bytes: &[u8]) {
        self.files
            .lock()
            .unwrap()
            .insert(path.to_owned(), bytes.to_vec());
    }
}

/// A machine: its folders, an agent's settings, and the companion.
struct Machine {
    /// Not started by this process: the companion does that.
    agent: Agent,
    stub: Stub,
    releases: Releases,
    versions: PathBuf,
    port: u16,
    flags: Vec<String>,
    companion: Option<Child>,
}

impl Machine {
    /// A machine on which version [`OLD`] is installed, and whose companion keeps it running.
    async fn new() -> Self {
        docker::ensure_image().await;
        let mut machine = Self::prepare().await;
        machine.start();
        machine.healthy(OLD).await;
        machine.enrolled().await;
        machine
    }

    /// Waits until the agent has the keys that tests present.
    async fn enrolled(&self) {
        let end = Instant::now() + SOON;
        while self.agent.call(Method::GET, "/status").await.status != StatusCode::OK {
            assert!(Instant::now() < end, "it is not enrolled: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn prepare() -> Self {
        let (agent, stub, releases) = (Agent::prepare(), Stub::new().await, Releases::new().await);
        let folder = agent.folder.path();
        let versions = folder.join("versions");
        fs::create_dir_all(versions.join(OLD)).unwrap();
        fs::create_dir_all(&agent.state).unwrap();
        let installed = versions.join(OLD).join("dtma");
        fs::write(&installed, program()).unwrap();
        fs::set_permissions(installed, fs::Permissions::from_mode(0o755)).unwrap();
        symlink(OLD, versions.join("current")).unwrap();
        let token = folder.join("token");
        docker::write(&token, stub.plane().token.as_bytes());
        let settings = [
            ("DTMA_LISTEN", format!("127.0.0.1:{}", agent.port())),
            ("DTMA_TOOLBOX_ID", agent.toolbox.to_string()),
            ("DTMA_STATE_DIR", agent.state.display().to_string()),
            (
                "DTMA_PORT_RANGE",
                format!("{}-{}", agent.ports.0, agent.ports.1),
            ),
            ("DTMA_INSECURE_HTTP", "true".to_owned()),
            ("DTMA_CONTROL_URL", stub.url()),
            ("DTMA_ENROLMENT_TOKEN_FILE", token.display().to_string()),
            ("DTMA_LOG", "dtma=debug,info".to_owned()),
        ];
        let lines: Vec<String> = settings.iter().map(|(n, v)| format!("{n}={v}\n")).collect();
        let text = lines.concat();
        docker::write(&folder.join("dtma.env"), text.as_bytes());
        let mut agent = agent;
        agent.key.clone_from(&stub.plane().keys.control_to_agent);
        Self {
            agent,
            stub,
            releases,
            versions,
            port: own_port(),
            flags: vec!["--healthy-within=60".to_owned()],
            companion: None,
        }
    }

    /// Starts the companion.
    fn start(&mut self) {
        let folder = self.agent.folder.path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("companion.log"))
            .unwrap();
        #[allow(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = Command::new(PROGRAM);
        let child = command
            .env_clear()
            .args(["companion", "--supervision=process", "--insecure-http"])
            .arg(format!("--toolbox-id={}", self.agent.toolbox))
            .arg(format!("--state-dir={}", self.agent.state.display()))
            .arg(format!("--listen=127.0.0.1:{}", self.agent.port()))
            .arg(format!("--companion-port={}", self.port))
            .arg(format!("--versions-dir={}", self.versions.display()))
            .arg(format!(
                "--settings-file={}",
                folder.join("dtma.env").display()
            ))
            .arg(format!("--release-url=http://{}", self.releases.address))
            .arg("--log=dtma=debug,info")
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.companion = Some(child);
    }

    /// `kill -9`.
    fn kill_companion(&mut self) {
        let mut child = self.companion.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn agent_pid(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.agent.state.join("agent.pid")).ok()?;
        Pid::from_raw(text.split_whitespace().next()?.parse().ok()?)
    }

    async fn until_pid_is_not(&self, pid: Pid) {
        let end = Instant::now() + Duration::from_mins(2);
        while self.agent_pid() == Some(pid) {
            assert!(Instant::now() < end, "{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.agent.folder.path().join("companion.log"));
        let agent = fs::read_to_string(self.agent.state.join("agent.log"));
        format!(
            "{}\nagent: {}",
            log.unwrap_or_default(),
            agent.unwrap_or_default()
        )
    }

    /// Waits until the agent is healthy, as this version.
    async fn healthy(&self, version: &str) {
        let end = Instant::now() + SOON;
        loop {
            let answer = reqwest::get(self.agent.url("/health")).await;
            if let Ok(answer) = answer {
                let health: Value = answer.json().await.unwrap();
                if health["version"] == version && health["status"] == "healthy" {
                    return;
                }
            }
            assert!(
                Instant::now() < end,
                "version {version} is not healthy: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Calls the companion.
    async fn call(&self, method: Method, path: &str) -> Answer {
        self.send(method, path, None).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let request = reqwest::Client::new()
            .request(method, url)
            .bearer_auth(&self.agent.key);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        self.agent.send(request).await
    }

    async fn redeploy(&self, version: &str) -> Answer {
        let body = json!({"version": version});
        self.send(Method::POST, "/v1/machine/redeploy", Some(body))
            .await
    }

    /// The change of this id, once it has ended; waits for the companion, too.
    async fn ended(&self, id: &Value) -> Value {
        self.until_phase(id, |phase| {
            ["healthy", "rolled_back", "failed"].contains(&phase)
        })
        .await
    }

    async fn until_phase(&self, id: &Value, wanted: impl Fn(&str) -> bool) -> Value {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            let record = fs::read(self.agent.state.join("version-change.json")).unwrap_or_default();
            let change: Value = serde_json::from_slice(&record).unwrap_or_default();
            if &change["id"] == id && wanted(change["phase"].as_str().unwrap()) {
                return change;
            }
            assert!(
                Instant::now() < end,
                "the change does not go on: {change}; {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Redeploys and waits for the end.
    async fn redeployed(&self, version: &str) -> Value {
        let begun = self.redeploy(version).await.expect(202);
        let change = self.ended(&begun["id"]).await;
        let told = self
            .call(Method::GET, "/v1/machine/operation")
            .await
            .expect(200);
        assert_eq!(told["operation"], change);
        change
    }

    fn link(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.versions.join(name)).ok()?;
        Some(target.to_str().unwrap().to_owned())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if self.companion.is_some() {
            self.kill_companion();
        }
        if let Some(pid) = self.agent_pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[tokio::test]
async fn the_companion_brings_the_agent_up_and_answers_for_the_machine() {
    let machine = Machine::new().await;
    let first = machine.agent_pid().unwrap();
    kill_process(first, Signal::KILL).unwrap();
    machine.until_pid_is_not(first).await;
    machine.healthy(OLD).await;
    let second = machine.agent_pid().unwrap();
    assert_ne!(first, second);
    let status = machine
        .call(Method::GET, "/v1/machine/status")
        .await
        .expect(200);
    assert_eq!(
        (&status["agent"]["health"], &status["agent"]["version"]),
        (&json!("healthy"), &json!(OLD)),
        "{status}"
    );
    assert_eq!(status["docker"]["reachable"], true);

    // One that hangs is ended and started.
    kill_process(second, Signal::STOP).unwrap();
    let status = machine
        .call(Method::GET, "/v1/machine/status")
        .await
        .expect(200);
    assert_eq!(
        (&status["agent"]["health"], &status["served_by"]),
        (&json!("down"), &json!("companion")),
        "{status}"
    );
    machine.until_pid_is_not(second).await;
    machine.healthy(OLD).await;

    let restarted = machine
        .call(Method::POST, "/v1/machine/restart")
        .await
        .expect(202);
    assert_eq!(restarted["accepted"], true);
    let log = machine.call(Method::GET, "/v1/machine/logs?tail=200").await;
    assert_eq!(log.status, 200);
    assert!(
        log.body.as_str().unwrap().contains("listening"),
        "{}",
        log.body
    );
    machine
        .call(Method::GET, "/v1/machine/logs?tail=9999")
        .await
        .expect_problem(400, "invalid_body");
}

#[tokio::test]
async fn only_the_toolboxs_key_opens_the_companion_and_only_for_its_own_toolbox() {
    let mut machine = Machine::new().await;
    let own = format!(
        "/internal/agents/{}/ensure-tool-environment",
        machine.agent.toolbox
    );
    let other = format!(
        "/internal/agents/{}/ensure-tool-environment",
        uuid::Uuid::new_v4()
    );
    let pid = machine.agent_pid().unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let ready = machine.call(Method::POST, &own).await.expect(200);
    assert_eq!(
        (&ready["success"], &ready["data"]["status"]),
        (&json!(true), &json!("active")),
        "{ready}"
    );
    machine.healthy(OLD).await;
    let refused = machine.call(Method::POST, &other).await.expect(404);
    assert_eq!(
        (&refused["success"], &refused["code"]),
        (&json!(false), &json!("toolbox_unknown"))
    );
    // As callers of the old design present it.
    let url = format!("http://127.0.0.1:{}{own}", machine.port);
    let request = reqwest::Client::new()
        .post(url)
        .header("x-internal-api-secret", &machine.agent.key);
    machine.agent.send(request).await.expect(200);

    machine
        .call(Method::GET, "/tools")
        .await
        .expect_problem(404, "route_unknown");
    machine
        .call(Method::POST, "/v1/machine/rollback")
        .await
        .expect_problem(409, "no_previous_version");
    machine
        .redeploy("9.9.9")
        .await
        .expect_problem(404, "release_unknown");
    machine
        .redeploy("../x")
        .await
        .expect_problem(400, "invalid_body");
    machine.agent.key = format!("tbk_{}", "ab".repeat(32));
    for (method, path) in [
        (Method::GET, "/v1/machine/status"),
        (Method::GET, "/v1/machine/operation"),
        (Method::GET, "/v1/machine/logs"),
        (Method::POST, "/v1/machine/restart"),
        (Method::POST, "/v1/machine/redeploy"),
        (Method::POST, "/v1/machine/rollback"),
        (Method::POST, own.as_str()),
        (Method::GET, "/unknown"),
    ] {
        machine
            .call(method, path)
            .await
            .expect_problem(401, "unauthorized");
    }
    let health = machine.call(Method::GET, "/health").await.expect(200);
    assert_eq!(health["status"], "healthy");
}

#[tokio::test]
async fn a_redeployment_and_a_rollback_leave_containers_as_they_are() {
    let machine = Machine::new().await;
    let tool = Tool::new(&["sleep"]);
    machine.stub.want(&tool);
    let before = machine.agent.deploy(&tool).await;
    let keys = fs::read(machine.agent.state.join("keys.json")).unwrap();
    machine.releases.add("0.1.1", program_of("0.1.1"));
    // Without a version it is the latest.
    let begun = machine
        .call(Method::POST, "/v1/machine/redeploy")
        .await
        .expect(202);
    let change = machine.ended(&begun["id"]).await;
    assert_eq!(change["phase"], "healthy", "{change}; {}", machine.log());
    assert_eq!(
        (&change["from"], &change["to"]),
        (&json!(OLD), &json!("0.1.1"))
    );
    machine.healthy("0.1.1").await;
    let status = machine
        .call(Method::GET, "/v1/machine/status")
        .await
        .expect(200);
    assert_eq!(status["agent"]["previous_version"], OLD);

    let begun = machine
        .call(Method::POST, "/v1/machine/rollback")
        .await
        .expect(202);
    let change = machine.ended(&begun["id"]).await;
    assert_eq!(
        (&change["phase"], &change["kind"]),
        (&json!("healthy"), &json!("rollback")),
        "{change}"
    );
    machine.healthy(OLD).await;
    assert_eq!(
        (
            machine.link("current").as_deref(),
            machine.link("previous").as_deref()
        ),
        (Some(OLD), Some("0.1.1"))
    );
    let after = machine.agent.settled(&tool).await;
    for field in ["container_id", "started_at", "phase"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(
        fs::read(machine.agent.state.join("keys.json")).unwrap(),
        keys
    );
    assert_eq!(machine.stub.plane().enrolments, 1);

    // A third version takes the place of the one before the last.
    machine.releases.add("0.1.2", program_of("0.1.2"));
    assert_eq!(machine.redeployed("0.1.2").await["phase"], "healthy");
    assert!(!machine.versions.join("0.1.1").exists());
    assert!(machine.versions.join(OLD).exists());
    machine.agent.delete(&tool).await.expect(200);
}

#[tokio::test]
async fn a_version_that_cannot_serve_leaves_the_old_agent_as_it_is() {
    let machine = Machine::new().await;
    let pid = machine.agent_pid();
    let folder = machine.agent.folder.path().to_owned();
    let report = |api: u32, version: &str| {
        format!(
            r#"REPORT="{{\"version\":\"{version}\",\"api_version\":{api},\"address\":\"127.0.0.1:1\",\"faults\":[]}}""#
        )
    };
    let mut foreign = program_of("0.1.1");
    foreign[18] ^= 0xff;
    let cases = [
        ("candidate_ended", broken(&folder, "EXITS")),
        (
            "api_too_old",
            broken(&folder, &report(API_VERSION - 1, "0.2.1")),
        ),
        (
            "version_differs",
            broken(&folder, &report(API_VERSION, "9.9.9")),
        ),
        (
            "candidate_unhealthy",
            broken(&folder, &report(API_VERSION, "0.2.3")),
        ),
        ("candidate_malformed", broken(&folder, r#"REPORT="hello""#)),
        ("wrong_architecture", foreign),
        (
            "wrong_architecture",
            b"#!/bin/sh\nexec sleep 1000\n".to_vec(),
        ),
        ("candidate_silent", broken(&folder, "HANGS")),
    ];
    for (at, (code, program)) in cases.into_iter().enumerate() {
        let version = format!("0.2.{at}");
        machine.releases.add(&version, program);
        let change = machine.redeployed(&version).await;
        assert_eq!(
            (&change["phase"], &change["reason"]["code"]),
            (&json!("failed"), &json!(code)),
            "{change}"
        );
        assert_eq!(machine.agent_pid(), pid, "{code}");
    }
    // Another content than its checksum says.
    machine.releases.add("0.3.0", program_of("0.1.1"));
    machine
        .releases
        .set(&format!("0.3.0/dtma-{}", std::env::consts::ARCH), b"other");
    let change = machine.redeployed("0.3.0").await;
    assert_eq!(change["reason"]["code"], "checksum_differs", "{change}");
    // Another content under the name of the version that runs.
    machine.releases.add(OLD, program_of("0.1.1"));
    assert_eq!(
        machine.redeployed(OLD).await["reason"]["code"],
        "version_exists"
    );
    // What the new version could not do either.
    machine.releases.add("0.1.1", program_of("0.1.1"));
    machine.stub.plane().fault = crate::stub::Fault::Down;
    assert_eq!(
        machine.redeployed("0.1.1").await["reason"]["code"],
        "control_plane_unreachable"
    );
    machine.stub.plane().fault = crate::stub::Fault::None;
    fs::write(
        machine
            .agent
            .state
            .join("instances")
            .join(format!("{}.json", uuid::Uuid::new_v4())),
        b"{\"format\":99}",
    )
    .unwrap();
    assert_eq!(
        machine.redeployed("0.1.1").await["reason"]["code"],
        "state_unreadable"
    );
    assert_eq!(machine.agent_pid(), pid);
    machine.healthy(OLD).await;
    assert_eq!(machine.link("current").as_deref(), Some(OLD));
}

/// Where a program that is good as a candidate finds the good one.
fn put_good(machine: &Machine, version: &str) {
    let good = machine.agent.folder.path().join("good");
    fs::write(&good, program_of(version)).unwrap();
    fs::set_permissions(good, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn a_version_that_breaks_once_it_serves_gives_way_to_the_old_one() {
    let mut machine = Machine::prepare().await;
    docker::ensure_image().await;
    machine.flags = vec!["--healthy-within=10".to_owned()];
    machine.start();
    machine.healthy(OLD).await;
    let folder = machine.agent.folder.path().to_owned();
    for (version, define, code) in [
        ("0.1.1", "EXITS_LATER", "agent_ended"),
        ("0.1.2", "HANGS_LATER", "agent_not_healthy"),
    ] {
        put_good(&machine, version);
        machine.releases.add(version, broken(&folder, define));
        let change = machine.redeployed(version).await;
        assert_eq!(
            (&change["phase"], &change["reason"]["code"]),
            (&json!("rolled_back"), &json!(code)),
            "{change}; {}",
            machine.log()
        );
        machine.healthy(OLD).await;
        assert_eq!(machine.link("current").as_deref(), Some(OLD));
    }
}

#[tokio::test]
async fn a_companion_that_is_killed_in_the_middle_puts_the_machine_right_at_its_next_start() {
    let mut machine = Machine::new().await;
    let folder = machine.agent.folder.path().to_owned();
    let pid = machine.agent_pid();
    // While a candidate is tried, nothing has changed.
    machine.releases.add("0.2.0", broken(&folder, "HANGS"));
    let begun = machine.redeploy("0.2.0").await.expect(202);
    machine
        .until_phase(&begun["id"], |phase| phase == "candidate")
        .await;
    for path in ["restart", "redeploy", "rollback"] {
        let path = format!("/v1/machine/{path}");
        let busy = machine.call(Method::POST, &path).await;
        busy.expect_problem(409, "version_change_in_progress");
    }
    machine.kill_companion();
    machine.start();
    let change = machine.ended(&begun["id"]).await;
    assert_eq!(
        (&change["phase"], &change["reason"]["code"]),
        (&json!("failed"), &json!("companion_ended"))
    );
    assert_eq!(machine.agent_pid(), pid);

    // While the new one is waited for, the old one comes back.
    put_good(&machine, "0.1.1");
    machine
        .releases
        .add("0.1.1", broken(&folder, "HANGS_LATER"));
    let begun = machine.redeploy("0.1.1").await.expect(202);
    machine
        .until_phase(&begun["id"], |phase| phase == "starting")
        .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    machine.kill_companion();
    machine.start();
    let change = machine.ended(&begun["id"]).await;
    assert_eq!(
        (&change["phase"], &change["reason"]["code"]),
        (&json!("rolled_back"), &json!("companion_ended")),
        "{}",
        machine.log()
    );
    machine.healthy(OLD).await;

    // One that serves already has succeeded.
    machine.releases.add("0.1.2", program_of("0.1.2"));
    let begun = machine.redeploy("0.1.2").await.expect(202);
    machine
        .until_phase(&begun["id"], |phase| phase == "starting")
        .await;
    machine.kill_companion();
    machine.start();
    let change = machine.ended(&begun["id"]).await;
    let serves = if change["phase"] == "healthy" {
        "0.1.2"
    } else {
        OLD
    };
    machine.healthy(serves).await;
    assert_eq!(machine.link("current").as_deref(), Some(serves));
}

/// What a client of an MCP server met.
#[derive(Default)]
struct Met {
    answered: u32,
    /// Nobody listened, so nothing was sent.
    refused: u32,
    /// The agent said that it is stopping, or is not ready.
    unavailable: u32,
    /// The session was unknown to a new agent.
    sessions: u32,
    /// The connection broke after something may have been sent.
    broken: u32,
    longest_gap: Duration,
}

/// Calls until `calls` were answered and `done` is true; begins a new session when the last is gone, as the protocol wants.
async fn client(url: String, key: String, calls: u32, done: watch::Receiver<bool>) -> Met {
    // Each call has a connection of its own, so that it is known what became of it.
    let http = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .timeout(Duration::from_secs(30))
        .build()
        .unwrap();
    let (mut met, mut session, mut last) = (Met::default(), None::<String>, Instant::now());
    let end = Instant::now() + Duration::from_mins(3);
    while met.answered < calls || !*done.borrow() {
        assert!(
            Instant::now() < end,
            "{} of {calls} were answered",
            met.answered
        );
        let request = http
            .post(&url)
            .bearer_auth(&key)
            .header("accept", "application/json");
        let sent = match &session {
            None => request.json(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
                "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}})),
            Some(id) => request.header("mcp-session-id", id).json(
                &json!({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": {"name": "note"}})),
        };
        let answer = match sent.send().await {
            Ok(answer) => answer,
            Err(error) => {
                let count = if error.is_connect() {
                    &mut met.refused
                } else {
                    &mut met.broken
                };
                *count += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        match (answer.status().as_u16(), &session) {
            (200, None) => {
                session = Some(
                    answer.headers()["mcp-session-id"]
                        .to_str()
                        .unwrap()
                        .to_owned(),
                );
            }
            (200, Some(_)) => {
                let body: Value = answer.json().await.unwrap();
                if body["result"]["content"][0]["text"] == "over stdio" {
                    met.answered += 1;
                    met.longest_gap = met.longest_gap.max(last.elapsed());
                    last = Instant::now();
                } else {
                    // The server's pipe ended with the agent that held it: the answer says so, and is no success.
                    met.unavailable += 1;
                }
            }
            (404, Some(_)) => {
                met.sessions += 1;
                session = None;
            }
            (502..=504, _) => {
                met.unavailable += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (status, _) => panic!("{status}: {}", answer.text().await.unwrap()),
        }
    }
    met
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mcp_call_is_lost_while_the_agent_is_replaced() {
    const CLIENTS: u32 = 8;
    const CALLS: u32 = 1_000;
    let machine = Machine::new().await;
    let tool = Tool::new(&["mcp"]).with("transport", json!("stdio"));
    machine.stub.want(&tool);
    let before = machine.agent.deploy(&tool).await;
    machine.releases.add("0.1.1", program_of("0.1.1"));
    let url = machine.agent.url(&format!("/mcp/{}", tool.id));
    let (end, done) = watch::channel(false);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (key, calls) = (machine.agent.key.clone(), CALLS / CLIENTS);
            tokio::spawn(client(url.clone(), key, calls, done.clone()))
        })
        .collect();
    let change = machine.redeployed("0.1.1").await;
    assert_eq!(change["phase"], "healthy", "{change}; {}", machine.log());
    end.send_replace(true);
    let mut all = Met::default();
    for client in clients {
        let met = client.await.unwrap();
        all.answered += met.answered;
        all.refused += met.refused;
        all.unavailable += met.unavailable;
        all.sessions += met.sessions;
        all.broken += met.broken;
        all.longest_gap = all.longest_gap.max(met.longest_gap);
    }
    println!(
        "redeployment: {} MCP calls answered, {} tries refused, {} told to wait, {} new sessions, {} connections broken; the longest gap was {} ms",
        all.answered,
        all.refused,
        all.unavailable,
        all.sessions,
        all.broken,
        all.longest_gap.as_millis()
    );
    assert!(all.answered >= CALLS);
    assert!(all.sessions > 0, "the agent was replaced under the clients");
    machine.healthy("0.1.1").await;
    let after = machine.agent.settled(&tool).await;
    assert_eq!(
        (&after["container_id"], &after["started_at"]),
        (&before["container_id"], &before["started_at"])
    );
    machine.agent.delete(&tool).await.expect(200);
}
