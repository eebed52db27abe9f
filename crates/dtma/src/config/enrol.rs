//! Flags and variables of an enrolment.

use std::path::PathBuf;

use clap::Args;

use super::{ControlConfig, MachineConfig};

/// What an enrolment needs.
#[derive(Clone, Debug, Args)]
pub struct EnrolConfig {
    #[command(flatten)]
    pub machine: MachineConfig,

    #[command(flatten)]
    pub control: ControlConfig,

    /// File with the single-use token (`tbe_...`); it is removed once it was used. Without it, the token is read from
    /// standard input. A command line can be seen by every user of the machine, so there is no flag for the token itself.
    #[arg(long, env = "DTMA_ENROLMENT_TOKEN_FILE", value_name = "FILE")]
    pub enrolment_token_file: Option<PathBuf>,
}
