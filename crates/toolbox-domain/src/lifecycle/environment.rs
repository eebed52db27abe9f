//! The life of a toolbox, from its order to its removal.

use crate::string_enum::string_enum;

string_enum! {
    /// Where a toolbox is in its life: `account_tool_environment_status_enum`.
    pub enum EnvironmentStatus as "environment status" {
        /// Ordered; nothing was created yet.
        PendingProvision = "pending_provision",
        /// The machine is being created.
        Provisioning = "provisioning",
        /// The machine exists; its agent has not reported yet.
        AwaitingHeartbeat = "awaiting_heartbeat",
        /// The agent reports.
        Active = "active",
        /// The agent stopped reporting.
        Unresponsive = "unresponsive",
        /// The user asked to remove it.
        PendingDeprovision = "pending_deprovision",
        /// The machine is being removed.
        Deprovisioning = "deprovisioning",
        /// Nothing is left of the machine.
        Deprovisioned = "deprovisioned",
        /// Creating it failed.
        ErrorProvisioning = "error_provisioning",
        /// Removing it failed.
        ErrorDeprovisioning = "error_deprovisioning",
    }
}

impl EnvironmentStatus {
    /// The statuses that may follow this one. Staying is no transition; only `deprovisioned` is final.
    pub const fn exits(self) -> &'static [Self] {
        use EnvironmentStatus::{
            Active, AwaitingHeartbeat, Deprovisioned, Deprovisioning, ErrorDeprovisioning,
            ErrorProvisioning, PendingDeprovision, Provisioning, Unresponsive,
        };
        match self {
            Self::PendingProvision => &[Provisioning, ErrorProvisioning, PendingDeprovision],
            Self::Provisioning => &[AwaitingHeartbeat, ErrorProvisioning, PendingDeprovision],
            // Its machine was deleted at its provider.
            Self::Active => &[Unresponsive, ErrorProvisioning, PendingDeprovision],
            Self::AwaitingHeartbeat | Self::Unresponsive => {
                &[Active, ErrorProvisioning, PendingDeprovision]
            }
            Self::PendingDeprovision => &[Deprovisioning, ErrorDeprovisioning],
            Self::Deprovisioning => &[Deprovisioned, ErrorDeprovisioning],
            Self::Deprovisioned => &[],
            // A machine given up on may still report: then it is there.
            Self::ErrorProvisioning => &[Provisioning, Active, PendingDeprovision],
            Self::ErrorDeprovisioning => &[PendingDeprovision, Deprovisioning],
        }
    }
}

/// Whether a toolbox may go from `from` to `to` in one step. Staying is no transition.
pub const fn environment_can_transition(from: EnvironmentStatus, to: EnvironmentStatus) -> bool {
    let exits = from.exits();
    let mut i = 0;
    while i < exits.len() {
        if exits[i] as u8 == to as u8 {
            return true;
        }
        i += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use EnvironmentStatus as E;

    #[test]
    fn the_settled_path_is_legal_and_back_again() {
        let path = [
            E::PendingProvision,
            E::Provisioning,
            E::AwaitingHeartbeat,
            E::Active,
            E::Unresponsive,
            E::Active,
            E::PendingDeprovision,
            E::Deprovisioning,
            E::Deprovisioned,
        ];
        for step in path.windows(2) {
            assert!(
                environment_can_transition(step[0], step[1]),
                "{} -> {}",
                step[0],
                step[1]
            );
        }
    }

    #[test]
    fn every_toolbox_can_be_removed_and_none_comes_back_from_removal() {
        let leaving = [
            E::PendingDeprovision,
            E::Deprovisioning,
            E::Deprovisioned,
            E::ErrorDeprovisioning,
        ];
        for from in E::ALL {
            assert!(!environment_can_transition(*from, *from), "{from}");
            if leaving.contains(from) {
                assert!(from.exits().iter().all(|to| leaving.contains(to)), "{from}");
            } else {
                assert!(
                    environment_can_transition(*from, E::PendingDeprovision),
                    "{from}"
                );
            }
        }
    }
}
