//! A container of the toolbox that tries to reach the machine.
//!
//! Its program is the agent's own: `dtma probe ADDRESS...` connects to each address, and its exit code has a bit for each
//! that answered. One address is an exception to the rules: where even that is not reached, the attempt shows nothing.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener;
use toolbox_api::dtma::{FirewallState, Protocol};
use toolbox_domain::spec::HostAccess;

use super::Firewall;
use super::rules::Exceptions;
use crate::runtime::{ContainerRuntime, networks};

/// The word that makes the agent's program a probe.
pub const COMMAND: &str = "probe";
/// How long a connection may take; on one machine it takes less than a millisecond.
const CONNECT: Duration = Duration::from_secs(2);
/// Most addresses: bits of an exit code, of which those over 125 mean something else in Docker.
const MAX_TARGETS: usize = 6;
/// Where clouds keep what a machine may know of itself.
const METADATA: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(169, 254, 169, 254), 80);

/// Connects to each address; a bit for each that answered, the first the lowest.
pub fn attempt(targets: impl Iterator<Item = String>) -> u8 {
    let attempts: Vec<_> = targets
        .take(MAX_TARGETS)
        .map(|target| {
            std::thread::spawn(move || {
                let address: Option<SocketAddr> = target.parse().ok();
                address.is_some_and(|a| TcpStream::connect_timeout(&a, CONNECT).is_ok())
            })
        })
        .collect();
    attempts
        .into_iter()
        .enumerate()
        .map(|(bit, attempt)| u8::from(attempt.join().unwrap_or_default()) << bit)
        .sum()
}

/// What a probe container is asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeRequest {
    /// The agent's own program.
    pub program: PathBuf,
    pub targets: Vec<SocketAddr>,
}

impl Firewall {
    /// What a container of the toolbox reaches of the machine; why it could not be tried otherwise.
    pub(super) async fn probe(
        &self,
        runtime: &dyn ContainerRuntime,
    ) -> Result<(FirewallState, Option<String>), String> {
        let text = |error: io::Error| error.to_string();
        let program = own_program().map_err(text)?;
        // Before that is known, nothing is claimed.
        let former = self.find_former(runtime).await;
        former.map_err(|e| e.to_string())?;
        let gateway = runtime.begin_probe().await.map_err(|e| e.to_string())?;
        // The kernel accepts connections for them; nothing needs to be said.
        let listen = || TcpListener::bind((gateway, 0));
        let outcome = async {
            let (open, closed) = (listen().await.map_err(text)?, listen().await.map_err(text)?);
            let open = open.local_addr().map_err(text)?;
            let closed_at = closed.local_addr().map_err(text)?;
            let access = HostAccess {
                port: open.port(),
                protocol: Protocol::Tcp,
            };
            self.except_probe(Some(access)).await.map_err(text)?;
            let own = SocketAddr::from((gateway, self.own_port));
            let targets = vec![open, closed_at, own, METADATA.into()];
            let request = ProbeRequest { program, targets };
            let code = runtime.run_probe(&request).await.map_err(|e| e.to_string());
            drop(closed);
            judge(code?)
        }
        .await;
        if let Err(error) = self.except_probe(None).await {
            tracing::debug!(%error, "the probe's exception stays until the rules are written again");
        }
        if let Err(error) = runtime.end_probe().await {
            tracing::debug!(%error, "something of the probe stays until the next one");
        }
        outcome
    }

    async fn except_probe(&self, access: Option<HostAccess>) -> io::Result<()> {
        let mut wanted = self.wanted.lock().await;
        wanted.of_probe = access.map(|access| Exceptions {
            bridge: networks::bridge(self.toolbox, &networks::of_probe(self.toolbox)),
            access: BTreeSet::from([access]),
        });
        self.write(&mut wanted).await
    }
}

/// What the exit code of a probe means.
fn judge(code: i64) -> Result<(FirewallState, Option<String>), String> {
    const NAMES: [&str; 3] = [
        "a port of the machine",
        "the agent's port",
        "169.254.169.254",
    ];
    if !(0..1 << 4).contains(&code) {
        return Err(format!("the probe ended with exit code {code}"));
    }
    let reached: Vec<_> = NAMES
        .iter()
        .enumerate()
        .filter(|(bit, _)| code & (2 << bit) != 0)
        .map(|(_, name)| *name)
        .collect();
    if !reached.is_empty() {
        let detail = format!(
            "the rules are set, but a container reached {}",
            reached.join(", ")
        );
        return Ok((FirewallState::Ineffective, Some(detail)));
    }
    if code & 1 == 0 {
        return Err("it reached nothing, not even what the rules allow; another firewall of the machine may refuse it".to_owned());
    }
    Ok((FirewallState::Verified, None))
}

/// The agent's program, if it runs in an image that holds nothing else.
fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let mut head = vec![0; 4096];
    let length = std::fs::File::open(&path)?.read(&mut head)?;
    head.truncate(length);
    if is_static(&head) {
        // Also where the file was replaced since the start.
        return Ok(Path::new("/proc/self/exe").to_owned());
    }
    Err(io::Error::other(
        "this build of the agent needs a C library, which an empty image does not have",
    ))
}

/// The head of a program of 64 bits that names no interpreter.
fn is_static(head: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    let word = |at: usize| Some(u16::from_le_bytes(*head.get(at..)?.first_chunk()?));
    let program_headers = || {
        let start = u64::from_le_bytes(*head.get(32..)?.first_chunk()?);
        let (size, count) = (word(54)?, word(56)?);
        (0..usize::from(count))
            .map(|n| {
                usize::try_from(start)
                    .ok()?
                    .checked_add(n * usize::from(size))
            })
            .map(|at| Some(u32::from_le_bytes(*head.get(at?..)?.first_chunk()?)))
            .collect::<Option<Vec<_>>>()
    };
    head.starts_with(b"\x7fELF\x02")
        && program_headers().is_some_and(|kinds| !kinds.is_empty() && !kinds.contains(&INTERPRETER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_probe_that_reached_what_it_may_and_nothing_else_verifies() {
        assert_eq!(judge(0b0001), Ok((FirewallState::Verified, None)));
        for code in [0b0010, 0b0011, 0b0101, 0b1001, 0b1110] {
            let (state, detail) = judge(code).unwrap();
            assert_eq!(state, FirewallState::Ineffective, "{code:b}");
            assert!(detail.unwrap().contains("reached"));
        }
        for code in [0, 16, 125, 127, 137, -1] {
            assert!(judge(code).is_err(), "{code}");
        }
    }

    #[test]
    fn an_attempt_tells_who_answered() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = free.local_addr().unwrap().to_string();
        drop(free);
        let code = attempt([nobody, here, "no address".to_owned()].into_iter());
        assert_eq!(code, 0b010);
    }

    #[test]
    fn a_program_that_names_an_interpreter_is_not_static() {
        let mut elf = vec![0; 64 + 2 * 56];
        elf[..5].copy_from_slice(b"\x7fELF\x02");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 2;
        elf[64] = 1;
        elf[64 + 56] = 2;
        assert!(is_static(&elf));
        elf[64 + 56] = 3;
        assert!(!is_static(&elf));
        assert!(!is_static(b"#!/bin/sh"));
        assert!(!is_static(&elf[..64]));
    }
}
