//! What can go wrong on the way to a machine by SSH.

use core::fmt;

/// A step of a connection, each with a deadline of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// TCP.
    Connect,
    /// The server says that it speaks SSH.
    Banner,
    /// Keys are exchanged, and the host key is checked.
    KeyExchange,
    /// The certificate is presented.
    Authentication,
    /// A channel is opened.
    Channel,
    /// The operation is handed over.
    Exec,
    /// The operation runs.
    Operation,
}

impl Phase {
    /// The stable spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Banner => "banner",
            Self::KeyExchange => "key_exchange",
            Self::Authentication => "authentication",
            Self::Channel => "channel",
            Self::Exec => "exec",
            Self::Operation => "operation",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why an operation has no result. Whether it was carried out is unknown from [`Phase::Exec`] on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// Nothing listens at the port.
    #[error("the machine refused the connection")]
    Refused,
    /// There is no way to the machine.
    #[error("the machine cannot be reached: {0}")]
    Unreachable(String),
    /// A phase took longer than it may.
    #[error("the machine did not answer in time, in the phase {0}")]
    Deadline(Phase),
    /// What answers does not speak SSH.
    #[error("what answers does not speak SSH 2")]
    NoBanner,
    /// The exchange of keys failed before the host key was seen.
    #[error("the key exchange failed: {0}")]
    KeyExchange(String),
    /// Another machine answers, or sshd has a new host key.
    #[error("the host key is not the one that the machine was enrolled with")]
    HostKeyDiffers,
    /// The machine holds the certificate to be not valid yet.
    #[error("the machine's clock is behind by more than a minute")]
    ClockBehind,
    /// The machine holds the certificate to be expired.
    #[error("the machine's clock is ahead by more than a minute")]
    ClockAhead,
    /// The machine does not trust the authority, is another toolbox, or lets the user in for another reason not.
    #[error("the machine refused the certificate")]
    NotAdmitted,
    /// The machine opens no session.
    #[error("the machine refused to open a channel")]
    ChannelRefused,
    /// The machine does not run the forced command.
    #[error("the machine refused to run the operation")]
    ExecRefused,
    /// More output than may be.
    #[error("the output is larger than {0} bytes")]
    OutputTooLarge(usize),
    /// The connection ended before the operation did.
    #[error("the connection was cut in the phase {0}")]
    Cut(Phase),
    /// The host gives no randomness.
    #[error("there is no randomness")]
    NoRandomness,
}
