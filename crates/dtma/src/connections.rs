//! Which connections there are, and which of them ends when there are too many.
//!
//! Whoever connects is a stranger until a request with an accepted key or token passed on the connection. A stranger makes
//! room for whoever comes next, so nobody without a key can keep others out: neither many connections of one address nor
//! many addresses. Connections that a key opened are never closed for others; those that an instance's token opened may
//! take all but some places, which stay for the control plane.
//!
//! [`Table`] decides, without a clock and without a socket; [`Connection`] is what a request knows of its connection.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Who speaks on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nobody knows yet.
    Stranger,
    /// An MCP client with the token of an instance.
    Client,
    /// Whoever has the toolbox's key.
    Control,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all. Bounds the memory and the file descriptors that callers can make the agent use.
    pub all: usize,
    /// Of strangers at one address.
    pub strangers_per_address: usize,
    /// Places that clients leave free.
    pub reserved: usize,
}

/// A connection's number; a later one is greater.
type Number = u64;

/// The connections there are.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    next: Number,
    open: HashMap<Number, (IpAddr, Role)>,
}

/// What comes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    pub number: Number,
    /// The one that ends for it.
    pub instead_of: Option<Number>,
}

impl Table {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            next: 0,
            open: HashMap::new(),
        }
    }

    /// A place for a connection from `peer`; none when each place belongs to somebody who is known.
    ///
    /// An address that has as many strangers as it may have loses the oldest of them. When every place is taken, the address
    /// with most strangers loses its oldest, so that one who has just come from elsewhere can show the key.
    pub fn admit(&mut self, peer: IpAddr) -> Option<Admitted> {
        let peer = address(peer);
        let mut strangers: HashMap<IpAddr, (usize, Number)> = HashMap::new();
        for (number, (of, role)) in &self.open {
            if *role == Role::Stranger {
                let (count, oldest) = strangers.entry(*of).or_insert((0, *number));
                *count += 1;
                *oldest = (*oldest).min(*number);
            }
        }
        let own = strangers.get(&peer).copied();
        let instead_of = match own {
            Some((count, oldest)) if count >= self.limits.strangers_per_address => Some(oldest),
            _ if self.open.len() < self.limits.all => None,
            _ => {
                let most = strangers.values().map(|(count, _)| *count).max()?;
                let of_most = strangers.values().filter(|(count, _)| *count == most);
                Some(of_most.map(|(_, oldest)| *oldest).min()?)
            }
        };
        if let Some(number) = instead_of {
            self.open.remove(&number);
        }
        let number = self.next;
        self.next += 1;
        self.open.insert(number, (peer, Role::Stranger));
        Some(Admitted { number, instead_of })
    }

    /// Whoever speaks on the connection has shown who it is; false when there are too many of its kind, or when the
    /// connection was closed for another. Nobody becomes less than before.
    pub fn recognise(&mut self, number: Number, role: Role) -> bool {
        let is_full =
            self.limits.all.saturating_sub(self.limits.reserved) <= self.count(Role::Client);
        let Some((_, held)) = self.open.get_mut(&number) else {
            return false;
        };
        match (*held, role) {
            (_, Role::Control) => *held = Role::Control,
            (Role::Stranger, Role::Client) if is_full => return false,
            (Role::Stranger, Role::Client) => *held = Role::Client,
            _ => {}
        }
        true
    }

    /// The connection has ended.
    pub fn remove(&mut self, number: Number) {
        self.open.remove(&number);
    }

    fn count(&self, role: Role) -> usize {
        self.open.values().filter(|(_, held)| *held == role).count()
    }
}

/// What counts as one address: whoever has an IPv6 address has the 2^64 beside it too.
fn address(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// The connection of a request, among the request's extensions. Its place is free once it is dropped.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Place>);

#[derive(Debug)]
struct Place {
    number: Number,
    table: Arc<Mutex<Table>>,
}

impl Connection {
    /// The place that was admitted in `table`.
    pub fn new(number: Number, table: Arc<Mutex<Table>>) -> Self {
        Self(Arc::new(Place { number, table }))
    }

    /// Its number in the table.
    pub fn number(&self) -> Number {
        self.0.number
    }

    /// See [`Table::recognise`].
    pub fn recognise(&self, role: Role) -> bool {
        // A leaf lock, never held across an await; nothing panics under it.
        let mut table = self.0.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.recognise(self.0.number, role)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.remove(self.number);
    }
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
