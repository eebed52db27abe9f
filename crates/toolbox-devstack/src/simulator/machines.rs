//! What a droplet of the simulator runs on.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU32, Ordering};

use ipnet::Ipv4Net;

use super::account::{Droplet, What};
use super::containers::Containers;
use crate::error::StackError;

/// What droplets are.
pub(crate) enum Machines {
    /// Addresses, and nothing that runs at them. A test may listen there: the usual network is part of this machine's loopback.
    Stubs(Addresses),
    /// Containers with an address, sshd and a Docker Engine of their own.
    Containers(Containers),
}

impl Machines {
    /// Makes and starts a machine; its address.
    pub(super) async fn make(&self, droplet: &Droplet) -> Result<Ipv4Addr, StackError> {
        match self {
            Self::Stubs(_) => Ok(self.free_address()),
            Self::Containers(containers) => containers.make(droplet).await,
        }
    }

    /// An address at which there is nothing.
    pub(super) fn free_address(&self) -> Ipv4Addr {
        match self {
            Self::Stubs(addresses) => addresses.next(),
            Self::Containers(containers) => containers.addresses.next(),
        }
    }

    /// Does to a machine what an action says.
    pub(super) async fn act(&self, id: u64, what: &What) -> Result<(), StackError> {
        match self {
            Self::Stubs(_) => Ok(()),
            Self::Containers(containers) => containers.act(id, what).await,
        }
    }

    /// Ends a machine and removes it.
    pub(super) async fn remove(&self, id: u64) {
        if let Self::Containers(containers) = self {
            containers.remove(id).await;
        }
    }
}

/// Addresses of a network, one after the other; after the last one, the first again.
pub(crate) struct Addresses {
    first: u32,
    count: u32,
    next: AtomicU32,
}

impl Addresses {
    /// Those of `network`, without the first `skipped` and the last one.
    pub(crate) fn new(network: Ipv4Net, skipped: u32) -> Self {
        let all = 1_u32.checked_shl(u32::from(32 - network.prefix_len()));
        let all = all.unwrap_or(u32::MAX);
        Self {
            first: u32::from(network.network()) + skipped,
            count: all.saturating_sub(skipped + 1).max(1),
            next: AtomicU32::new(0),
        }
    }

    pub(super) fn next(&self) -> Ipv4Addr {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.count;
        Ipv4Addr::from(self.first + at)
    }

    /// Goes on behind `address`.
    pub(super) fn skip_to(&self, address: Ipv4Addr) {
        let used = u32::from(address).saturating_sub(self.first) + 1;
        self.next.fetch_max(used, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_machines() {
        let addresses = Addresses::new("10.1.2.0/29".parse().unwrap(), 2);
        let given = [(); 6].map(|()| addresses.next().octets()[3]);
        assert_eq!(given, [2, 3, 4, 5, 6, 2]);
        addresses.skip_to([10, 1, 2, 5].into());
        assert_eq!(addresses.next().octets()[3], 3, "it is behind already");
        let addresses = Addresses::new("10.1.2.0/29".parse().unwrap(), 2);
        addresses.skip_to([10, 1, 2, 5].into());
        assert_eq!(addresses.next().octets()[3], 6);
    }
}
