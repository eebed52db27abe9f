//! What each failure of SSH is to the caller.

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_ssh::error::{Phase, SshError};

/// The error of the answer.
pub(crate) fn failure(error: &SshError) -> ApiError {
    let code = match error {
        SshError::Refused => ErrorCode::SshRefused,
        SshError::Unreachable(_) => ErrorCode::SshUnreachable,
        SshError::Deadline(_) => ErrorCode::SshTimeout,
        SshError::NoBanner => ErrorCode::SshNoServer,
        SshError::KeyExchange(_) => ErrorCode::SshKeyExchangeFailed,
        SshError::HostKeyDiffers => ErrorCode::SshHostKeyChanged,
        SshError::ClockBehind | SshError::ClockAhead => ErrorCode::SshClockSkew,
        SshError::NotAdmitted => ErrorCode::SshNotAdmitted,
        SshError::ChannelRefused => ErrorCode::SshChannelRefused,
        SshError::ExecRefused => ErrorCode::SshCommandRefused,
        SshError::OutputTooLarge(_) => ErrorCode::SshOutputTooLarge,
        SshError::Cut(_) => ErrorCode::SshConnectionLost,
        SshError::NoRandomness => ErrorCode::Internal,
    };
    let message = match error {
        SshError::Deadline(phase) => Some(format!(
            "The machine did not answer SSH in time, in the phase {phase}{}",
            unknown(*phase)
        )),
        SshError::Cut(phase) => Some(format!("The SSH connection was cut in the phase {phase}{}", unknown(*phase))),
        SshError::ClockBehind => {
            Some("The machine's clock is behind by more than a minute; set it, for instance with timedatectl".to_owned())
        }
        SshError::ClockAhead => {
            Some("The machine's clock is ahead by more than a minute; set it, for instance with timedatectl".to_owned())
        }
        _ => None,
    };
    ApiError {
        message,
        ..ApiError::new(code)
    }
    .caused_by(error)
}

/// From the handing over on nobody knows what the machine did.
const fn unknown(phase: Phase) -> &'static str {
    match phase {
        Phase::Exec | Phase::Operation => "; whether the operation was carried out is unknown",
        _ => "; nothing was done",
    }
}
