//! What a droplet of the simulator runs on.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use ipnet::Ipv4Net;

/// Addresses of machines that do not run. A test may listen at them: the usual network is part of this machine's loopback.
pub(crate) struct Stubs {
    network: Ipv4Net,
    next: AtomicUsize,
}

impl Stubs {
    pub(crate) fn new(network: Ipv4Net) -> Self {
        Self {
            network,
            next: AtomicUsize::new(0),
        }
    }

    /// The next address; after the last one, the first again.
    pub(super) fn next(&self) -> Ipv4Addr {
        let hosts = 1_usize << (32 - self.network.prefix_len());
        let at = self.next.fetch_add(1, Ordering::Relaxed) % hosts.saturating_sub(2).max(1);
        let first = u32::from(self.network.network());
        Ipv4Addr::from(first + 1 + u32::try_from(at).unwrap_or_default())
    }
}
