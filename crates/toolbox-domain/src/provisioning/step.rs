//! The steps, and what users are told of them.

use core::time::Duration;

use crate::lifecycle::EnvironmentStatus;
use crate::string_enum::string_enum;

string_enum! {
    /// What is being done with a droplet: `account_tool_environments.provisioning_step`.
    pub enum Step as "provisioning step" {
        /// Its firewall is made, before there is a machine.
        Firewall = "firewall",
        /// The machine is ordered.
        Machine = "machine",
        /// The machine starts and gets its address.
        Boot = "boot",
        /// The machine installs the agent, which reports.
        Agent = "agent",
        /// What failed is removed: the machine.
        CleanMachine = "clean_machine",
        /// What failed is removed: the firewall.
        CleanFirewall = "clean_firewall",
        /// The user wants it gone: the machine.
        RemoveMachine = "remove_machine",
        /// The user wants it gone: the firewall, then the row.
        RemoveFirewall = "remove_firewall",
        /// It is switched off, to get another size.
        Stop = "stop",
        /// It gets another size.
        Resize = "resize",
        /// It is switched on again.
        Start = "start",
        /// It restarts.
        Reboot = "reboot",
    }
}

impl Step {
    /// How long the step may take before it has failed; none: it is tried until it succeeds, because a machine that is paid for
    /// may be there.
    pub const fn deadline(self) -> Option<Duration> {
        let minutes = match self {
            Self::Firewall | Self::Stop | Self::Reboot => 5,
            Self::Machine | Self::Boot | Self::Start => 10,
            Self::Agent | Self::Resize => 15,
            // Then users are told that it fails; it is tried on.
            Self::RemoveMachine | Self::RemoveFirewall => 30,
            Self::CleanMachine | Self::CleanFirewall => return None,
        };
        Some(Duration::from_mins(minutes))
    }
}

/// How far a toolbox is, for its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// From 0 to 100.
    pub percent: u8,
    /// What happens now, as a sentence.
    pub now: &'static str,
    /// What happens next, as a sentence; none: nothing by itself.
    pub next: Option<&'static str>,
}

/// How far a toolbox is in what is done with it. A toolbox of which nothing is done is at 100.
pub const fn progress(status: EnvironmentStatus, step: Option<Step>) -> Progress {
    let (percent, now, next) = match (status, step) {
        (_, Some(Step::Firewall)) => (
            5,
            "The firewall is being made",
            Some("The machine is ordered"),
        ),
        (_, Some(Step::Machine)) => (
            15,
            "The machine is being ordered",
            Some("The machine boots"),
        ),
        (_, Some(Step::Boot)) => (
            35,
            "The machine boots",
            Some("The machine installs the agent"),
        ),
        (_, Some(Step::Agent)) => (
            65,
            "The machine installs Docker and the agent",
            Some("The agent reports, and the toolbox is ready"),
        ),
        (_, Some(Step::CleanMachine)) => (
            50,
            "It failed, and the machine is being removed",
            Some("The firewall is removed; then it can be tried again"),
        ),
        (_, Some(Step::CleanFirewall)) => (
            80,
            "It failed, and the firewall is being removed",
            Some("It can be tried again"),
        ),
        (_, Some(Step::RemoveMachine)) => (
            30,
            "The machine is being removed",
            Some("The firewall is removed, then the toolbox is gone"),
        ),
        (_, Some(Step::RemoveFirewall)) => (
            80,
            "The firewall is being removed",
            Some("The toolbox is gone"),
        ),
        (_, Some(Step::Stop)) => (
            20,
            "The machine is being switched off",
            Some("The machine gets its new size"),
        ),
        (_, Some(Step::Resize)) => (
            50,
            "The machine gets its new size",
            Some("The machine is switched on"),
        ),
        (_, Some(Step::Start)) => (
            80,
            "The machine is being switched on",
            Some("The agent starts the tools again"),
        ),
        (_, Some(Step::Reboot)) => (
            50,
            "The machine restarts",
            Some("The agent starts the tools again"),
        ),
        (EnvironmentStatus::PendingProvision | EnvironmentStatus::Provisioning, None) => (
            0,
            "The machine has not joined yet",
            Some("The install command on the machine lets it join"),
        ),
        (EnvironmentStatus::AwaitingHeartbeat, None) => (
            80,
            "The machine has joined",
            Some("The agent reports, and the toolbox is ready"),
        ),
        (EnvironmentStatus::Active, None) => (100, "The toolbox is ready", None),
        (EnvironmentStatus::Unresponsive, None) => (
            100,
            "The agent does not report",
            Some("The toolbox is ready when the agent reports again"),
        ),
        (EnvironmentStatus::PendingDeprovision | EnvironmentStatus::Deprovisioning, None) => (
            0,
            "The toolbox is being removed",
            Some("The toolbox is gone"),
        ),
        (EnvironmentStatus::Deprovisioned, None) => (100, "Nothing is left of the machine", None),
        (EnvironmentStatus::ErrorProvisioning, None) => (
            100,
            "There is no machine: see the reason, then retry or remove the toolbox",
            None,
        ),
        (EnvironmentStatus::ErrorDeprovisioning, None) => (
            100,
            "The machine could not be removed: see the reason",
            None,
        ),
    };
    Progress { percent, now, next }
}
