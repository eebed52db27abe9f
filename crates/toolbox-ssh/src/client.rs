//! One operation over one connection: banner, key exchange, host key, certificate, channel, the operation's text, output.
//!
//! Each phase has a deadline and its own error. Whatever way it ends, the channel is closed and the connection is cut:
//! sshd then closes the pipes of the forced command, which ends.

use core::time::Duration;
use std::borrow::Cow;
use std::io::Cursor;
use std::sync::Arc;

use russh::client::{self, AuthResult, Handle};
use russh::keys::{Algorithm, PublicKey};
use russh::{ChannelMsg, Disconnect, Preferred, Sig};
use tokio::io::{AsyncRead, AsyncReadExt};
use toolbox_domain::machine_operation::{MachineOperation, SSH_USER};

use crate::connect::Wire;
use crate::credentials::{Credentials, Randomness};
use crate::error::{Phase, SshError};
use crate::host_key::HostKey;
use crate::time::within;

/// Longest that a server may say before it says that it speaks SSH.
const MAX_BANNER_BYTES: usize = 1024;

/// How long each phase may take, and how much may come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// [`Phase::Banner`].
    pub banner: Duration,
    /// [`Phase::KeyExchange`].
    pub key_exchange: Duration,
    /// [`Phase::Authentication`].
    pub authentication: Duration,
    /// [`Phase::Channel`] and [`Phase::Exec`], each.
    pub channel: Duration,
    /// [`Phase::Operation`].
    pub operation: Duration,
    /// Bytes of standard output and standard error together.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            banner: Duration::from_secs(5),
            key_exchange: Duration::from_secs(5),
            authentication: Duration::from_secs(10),
            channel: Duration::from_secs(5),
            operation: Duration::from_secs(30),
            output_bytes: 1024 * 1024,
        }
    }
}

/// Where output comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code.
    Exited(u32),
    /// By a signal.
    Killed,
}

/// Random bytes for one connection, from the host.
pub fn randomness() -> Result<Randomness, SshError> {
    let mut random = Randomness {
        key: [0; 32],
        probe: [0; 32],
        nonce: [0; 32],
    };
    for bytes in [&mut random.key, &mut random.probe, &mut random.nonce] {
        getrandom::fill(bytes).map_err(|_| SshError::NoRandomness)?;
    }
    Ok(random)
}

/// Carries out `operation` on the machine whose sshd has `host_key`; `output` gets what comes back, as it comes.
pub async fn run(
    wire: Wire,
    host_key: &HostKey,
    credentials: &Credentials,
    operation: &MachineOperation,
    limits: &Limits,
    output: &mut dyn FnMut(Source, &[u8]),
) -> Result<End, SshError> {
    let Wire { mut stream, cut } = wire;
    let banner = within(limits.banner, banner(&mut stream)).await;
    let banner = banner.ok_or(SshError::Deadline(Phase::Banner))??;
    let (read, write) = tokio::io::split(stream);
    let stream = tokio::io::join(Cursor::new(banner).chain(read), write);

    let pinned = Pinned(host_key.public_key().clone());
    let connecting = client::connect_stream(Arc::new(config()), stream, pinned);
    let session = within(limits.key_exchange, connecting)
        .await
        .ok_or(SshError::Deadline(Phase::KeyExchange))?;
    let mut session = session.map_err(|error| refused_keys(&error))?;

    let ended = operate(&mut session, credentials, operation, limits, output).await;
    // Best effort: a machine that is told closes the session at once, and one that is not when the connection is cut.
    let _ = within(
        Duration::from_millis(100),
        session.disconnect(Disconnect::ByApplication, "", "en"),
    )
    .await;
    drop(session);
    cut.gently().await;
    ended
}

async fn operate(
    session: &mut Handle<Pinned>,
    credentials: &Credentials,
    operation: &MachineOperation,
    limits: &Limits,
    output: &mut dyn FnMut(Source, &[u8]),
) -> Result<End, SshError> {
    within(limits.authentication, authenticate(session, credentials))
        .await
        .ok_or(SshError::Deadline(Phase::Authentication))??;

    let opened = within(limits.channel, session.channel_open_session()).await;
    let mut channel =
        opened
            .ok_or(SshError::Deadline(Phase::Channel))?
            .map_err(|error| match error {
                russh::Error::ChannelOpenFailure(_) => SshError::ChannelRefused,
                _ => SshError::Cut(Phase::Channel),
            })?;

    let handed_over = async {
        channel
            .exec(true, operation.to_string())
            .await
            .map_err(|_| SshError::Cut(Phase::Exec))?;
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure) => return Err(SshError::ExecRefused),
                Some(_) => {}
                None => return Err(SshError::Cut(Phase::Exec)),
            }
        }
    };
    within(limits.channel, handed_over)
        .await
        .ok_or(SshError::Deadline(Phase::Exec))??;

    let mut left = limits.output_bytes;
    let mut end = None;
    let finished = async {
        while let Some(message) = channel.wait().await {
            let (source, data) = match message {
                ChannelMsg::Data { data } => (Source::Stdout, data),
                ChannelMsg::ExtendedData { data, .. } => (Source::Stderr, data),
                ChannelMsg::ExitStatus { exit_status } => {
                    end = Some(End::Exited(exit_status));
                    continue;
                }
                ChannelMsg::ExitSignal { .. } => {
                    end = Some(End::Killed);
                    continue;
                }
                ChannelMsg::Close => break,
                _ => continue,
            };
            left = left
                .checked_sub(data.len())
                .ok_or(SshError::OutputTooLarge(limits.output_bytes))?;
            output(source, &data);
        }
        end.ok_or(SshError::Cut(Phase::Operation))
    };
    let finished = within(limits.operation, finished)
        .await
        .unwrap_or(Err(SshError::Deadline(Phase::Operation)));
    if finished.is_err() {
        // sshd passes no signal on to a forced command; that its pipes are closed ends it. Another server may.
        let end = async {
            let _ = channel.signal(Sig::TERM).await;
            let _ = channel.close().await;
        };
        let _ = within(Duration::from_millis(100), end).await;
    }
    finished
}

/// What the server says until it says that it speaks SSH, for the client to read again.
async fn banner(stream: &mut (impl AsyncRead + Unpin)) -> Result<Vec<u8>, SshError> {
    let mut said = Vec::new();
    loop {
        let mut bytes = [0; 256];
        let count = stream.read(&mut bytes).await.unwrap_or(0);
        if count == 0 {
            return Err(if said.is_empty() {
                SshError::Cut(Phase::Banner)
            } else {
                SshError::NoBanner
            });
        }
        said.extend_from_slice(&bytes[..count]);
        let mut lines = said.split_inclusive(|byte| *byte == b'\n');
        if lines.any(|line| {
            line.ends_with(b"\n")
                && (line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-"))
        }) {
            return Ok(said);
        }
        if said.len() > MAX_BANNER_BYTES {
            return Err(SshError::NoBanner);
        }
    }
}

fn config() -> client::Config {
    client::Config {
        // Any other host key could not be the pinned one.
        preferred: Preferred {
            key: Cow::Borrowed(&[Algorithm::Ed25519]),
            ..Preferred::default()
        },
        // Deadlines are this module's: timers of the library do not exist in wasm.
        inactivity_timeout: None,
        keepalive_interval: None,
        ..client::Config::default()
    }
}

fn refused_keys(error: &russh::Error) -> SshError {
    match error {
        russh::Error::UnknownKey
        | russh::Error::NoCommonAlgo {
            kind: russh::AlgorithmKind::Key,
            ..
        } => SshError::HostKeyDiffers,
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::IO(_) => {
            SshError::Cut(Phase::KeyExchange)
        }
        error => SshError::KeyExchange(error.to_string()),
    }
}

async fn authenticate(
    session: &mut Handle<Pinned>,
    credentials: &Credentials,
) -> Result<(), SshError> {
    let (key, certificate) = (
        Arc::new(credentials.key.clone()),
        credentials.certificate.clone(),
    );
    let answer = session
        .authenticate_openssh_cert(SSH_USER, key, certificate)
        .await;
    if matches!(answer, Ok(AuthResult::Success)) {
        return Ok(());
    }
    // A machine that takes the same certificate for another time has another time.
    let mut nobody = Nobody;
    for (certificate, skew) in [
        (&credentials.probes.before, SshError::ClockBehind),
        (&credentials.probes.after, SshError::ClockAhead),
    ] {
        if session.is_closed() {
            return Err(SshError::Cut(Phase::Authentication));
        }
        let probing =
            session.authenticate_certificate_with(SSH_USER, certificate.clone(), None, &mut nobody);
        if let Err(Probed::Welcome) = probing.await {
            return Err(skew);
        }
    }
    if session.is_closed() {
        return Err(SshError::Cut(Phase::Authentication));
    }
    Err(SshError::NotAdmitted)
}

/// Has no key: that the server asks for a signature says that it takes the certificate, and is all that is wanted.
struct Nobody;

enum Probed {
    /// The server takes the certificate.
    Welcome,
    /// The connection is gone.
    Lost,
}

impl From<russh::SendError> for Probed {
    fn from(_: russh::SendError) -> Self {
        Self::Lost
    }
}

impl russh::Signer for Nobody {
    type Error = Probed;

    async fn auth_sign(
        &mut self,
        _: &russh::keys::agent::AgentIdentity,
        _: Option<russh::keys::HashAlg>,
        _: Vec<u8>,
    ) -> Result<Vec<u8>, Probed> {
        Err(Probed::Welcome)
    }
}

/// Knows one host key.
struct Pinned(PublicKey);

impl client::Handler for Pinned {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        server: &russh::keys::PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        // A certificate of a host key says nothing here: no authority is trusted for hosts.
        Ok(match server {
            russh::keys::PublicKeyOrCertificate::PublicKey { key, .. } => {
                key.key_data() == self.0.key_data()
            }
            russh::keys::PublicKeyOrCertificate::Certificate(_) => false,
        })
    }
}
