//! The agent of the toolbox "local", and what its containers are on this machine's Docker.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::keys::{Purpose, derive_agent_key};
use uuid::Uuid;

use crate::config::Paths;
use crate::error::StackError;
use crate::process::Program;
use crate::secrets::{Secrets, write_private};
use crate::unit::{Ready, Unit};

const DOCKER_LIMIT: Duration = Duration::from_secs(30);
/// Where in its state folder the agent keeps the keys it was given.
pub(crate) const KEPT_KEYS: &str = "keys.json";
/// The agent's state folder in the stack's data.
pub(crate) const STATE: &str = "dtma";

/// Between two full heartbeats. Changes are told at once besides; a dead agent is noticed after three of these.
const HEARTBEAT_SECONDS: u32 = 10;

/// How callers reach the agent, and whether it reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// As on a real machine: it enrols, speaks TLS and sends heartbeats to this function.
    Enrolled { control_url: String },
    /// Plain HTTP with a key file, and not a word to the control plane.
    Http,
}

/// Where the agent of a stack is.
#[derive(Clone, Debug)]
pub(crate) struct Agent {
    pub(crate) port: u16,
    pub(crate) way: Way,
    /// The key that the control plane presents, for tests; the agent reads it only in plain HTTP.
    pub(crate) key_file: PathBuf,
    /// The single-use token, for as long as it was not used.
    pub(crate) token_file: PathBuf,
    /// The agent's certificate as the row has it.
    pub(crate) certificate_file: PathBuf,
    pub(crate) state_dir: PathBuf,
}

impl Agent {
    pub(crate) fn new(data_dir: &Path, port: u16, way: Way) -> Self {
        Self {
            port,
            way,
            key_file: data_dir.join("dtma.key"),
            token_file: data_dir.join("dtma.enrolment"),
            certificate_file: data_dir.join("dtma.pem"),
            state_dir: data_dir.join(STATE),
        }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.way == Way::Http {
            "http"
        } else {
            "https"
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Writes the key of that epoch to the key file.
    pub(crate) fn write_key(&self, secrets: &Secrets, epoch: u32) -> Result<(), StackError> {
        let key = derive_agent_key(
            secrets.agent_root.as_bytes(),
            ToolboxId::new(secrets.toolbox_id),
            Purpose::ControlToAgent,
            epoch,
        )
        .map_err(StackError::AgentKey)?;
        write_private(&self.key_file, key.expose())
    }

    /// The agent's settings.
    pub(crate) fn settings(&self, secrets: &Secrets) -> Vec<(String, String)> {
        let path = |path: &Path| path.display().to_string();
        let mut settings = vec![
            ("DTMA_LISTEN", format!("127.0.0.1:{}", self.port)),
            ("DTMA_TOOLBOX_ID", secrets.toolbox_id.to_string()),
            ("DTMA_STATE_DIR", path(&self.state_dir)),
            // Registries and repositories of whoever develops and tests.
            ("DTMA_ALLOW_PRIVATE_SOURCES", "127.0.0.1".to_owned()),
        ];
        match &self.way {
            Way::Http => settings.extend([
                ("DTMA_INSECURE_HTTP", "true".to_owned()),
                ("DTMA_KEY_FILE", path(&self.key_file)),
            ]),
            Way::Enrolled { control_url } => settings.extend([
                ("DTMA_CONTROL_URL", control_url.clone()),
                ("DTMA_HEARTBEAT_INTERVAL", HEARTBEAT_SECONDS.to_string()),
                ("DTMA_ENROLMENT_TOKEN_FILE", path(&self.token_file)),
            ]),
        }
        settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// The program with its settings.
    fn program(&self, paths: &Paths, data_dir: &Path, secrets: &Secrets) -> Program {
        Program::new("dtma", &paths.dtma, data_dir).envs(self.settings(secrets))
    }

    /// The enrolment of this machine, as the installer does it on any other.
    pub(crate) fn enrolling(&self, paths: &Paths, data_dir: &Path, secrets: &Secrets) -> Program {
        self.program(paths, data_dir, secrets).args(["enrol"])
    }

    /// Makes its state folder, and sees to it that there is a program.
    pub(crate) fn prepare(&self, paths: &Paths) -> Result<(), StackError> {
        if !paths.dtma.is_file() {
            return Err(StackError::DtmaMissing(paths.dtma.clone()));
        }
        std::fs::create_dir_all(&self.state_dir)
            .map_err(StackError::file("create", &self.state_dir))
    }

    /// Says how to run the agent. `restart` is off where tests kill it on purpose.
    pub(crate) fn unit(
        &self,
        paths: &Paths,
        data_dir: &Path,
        secrets: &Secrets,
        env: &[(String, String)],
        restart: bool,
    ) -> Result<Unit, StackError> {
        if self.way == Way::Http {
            self.write_key(secrets, 0)?;
            // Keys of an enrolment would count more than the file.
            let _ = std::fs::remove_file(self.state_dir.join(KEPT_KEYS));
        }
        let mut program = self
            .program(paths, data_dir, secrets)
            .envs(env.iter().cloned());
        program.log = Some(data_dir.join("logs/dtma.log"));
        let port = self.port;
        Ok(Unit {
            program: Box::new(move || program.clone()),
            ready: Ready::Probe(Box::new(move || Box::pin(crate::probe::accepts(port)))),
            ready_limit: Duration::from_secs(30),
            stop_signal: Signal::TERM,
            stop_grace: Duration::from_secs(10),
            restart,
        })
    }
}

/// What becomes of a toolbox's containers when its stack ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Containers {
    /// Stopped; the agent starts them again with the next stack.
    Stop,
    /// Removed with their volumes and network: nothing will ever ask for them again.
    Remove,
}

/// Does that with every container of the toolbox. Docker being away is no error: then there are none.
pub(crate) async fn end_containers(search: &str, toolbox: Uuid, what: Containers) {
    let docker = |args: &[&str]| {
        Program::new("docker", "docker", "/")
            .args(args.iter().copied())
            .env("PATH", search)
            .env("HOME", "/nonexistent")
    };
    let label = format!("label=io.toolbox.toolbox_id={toolbox}");
    let listed = |output: Result<String, StackError>| -> Vec<String> {
        output
            .map(|text| text.split_whitespace().map(str::to_owned).collect())
            .unwrap_or_default()
    };
    let all: &[&str] = if what == Containers::Remove {
        &["ps", "-aq", "--filter"]
    } else {
        &["ps", "-q", "--filter"]
    };
    let containers = listed(
        docker(&[all, &[label.as_str()]].concat())
            .finish(DOCKER_LIMIT)
            .await,
    );
    if !containers.is_empty() {
        let verb: &[&str] = if what == Containers::Remove {
            &["rm", "-fv"]
        } else {
            &["stop", "-t", "3"]
        };
        let _ = docker(verb).args(containers).finish(DOCKER_LIMIT).await;
    }
    if what == Containers::Remove {
        // The agent's rules stay as long as its containers may. Without the program there is nobody to tell, and no harm.
        let table: String = toolbox.to_string().chars().take(8).collect();
        let _ = Program::new("nft", "nft", "/")
            .args(["delete", "table", "inet", &format!("toolbox_{table}")])
            .env("PATH", search)
            .finish(DOCKER_LIMIT)
            .await;
        for kind in ["network", "volume"] {
            let found = listed(
                docker(&[kind, "ls", "-q", "--filter", &label])
                    .finish(DOCKER_LIMIT)
                    .await,
            );
            if !found.is_empty() {
                let _ = docker(&[kind, "rm"]).args(found).finish(DOCKER_LIMIT).await;
            }
        }
    }
}
