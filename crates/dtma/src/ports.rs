//! Host ports: who has which, and which are free.
//!
//! A port is promised to an instance before its record is stored and stays promised until the record is gone, so a
//! container that is re-created gets the same ports. Free means: in the configured range, not reserved for
//! the machine, promised to nobody, and not bound by any program (checked by binding it for a moment).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use toolbox_api::dtma::{PortBinding, Protocol};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::spec::Port;
use toolbox_domain::spec::limits::RESERVED_HOST_PORTS;

/// A host port cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The port asked for is taken.
    #[error("host port {port}/{} is already in use by {by}", .protocol.as_str())]
    InUse {
        port: u16,
        protocol: Protocol,
        /// Who has it, in words.
        by: String,
    },
    /// No port of the range is free.
    #[error("every host port from {first} to {last} is in use")]
    Exhausted { first: u16, last: u16 },
}

type Key = (Protocol, u16);

/// The ports promised to all instances; clones share them.
#[derive(Clone, Debug)]
pub struct PortTable {
    range: RangeInclusive<u16>,
    // A leaf lock: no await and no other lock is taken while it is held.
    promised: Arc<Mutex<BTreeMap<Key, ToolInstanceId>>>,
}

impl PortTable {
    /// Hands out ports of `range`, except the agent's own `listen` port.
    pub fn new(range: RangeInclusive<u16>) -> Self {
        Self {
            range,
            promised: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, ToolInstanceId>> {
        // Every change is a single insert or retain, so a panic elsewhere leaves the map whole.
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises a port for each of `wanted`, or none at all. Ports in `kept` are the instance's already: a wish without a
    /// host port gets the same one again. `known` are those it had before it was lost: they are given again where they are
    /// free. `foreign` are ports published by containers of others.
    pub fn promise(
        &self,
        instance: ToolInstanceId,
        wanted: &[Port],
        kept: &[PortBinding],
        known: &[PortBinding],
        foreign: &[(Protocol, u16)],
    ) -> Result<Vec<PortBinding>, PortError> {
        let mut promised = self.lock();
        let mut granted: Vec<PortBinding> = Vec::with_capacity(wanted.len());
        // Wishes first, so that an allocation does not take a port that the same spec asks for.
        let mut order: Vec<&Port> = wanted.iter().collect();
        order.sort_by_key(|p| p.host_port.is_none());
        for port in order {
            let protocol = port.protocol;
            let is_own = |number: u16| {
                kept.iter()
                    .any(|k| k.protocol == protocol && k.host_port == number)
                    && promised
                        .get(&(protocol, number))
                        .is_none_or(|owner| *owner == instance)
            };
            let is_granted = |number: u16| {
                granted
                    .iter()
                    .any(|g| g.protocol == protocol && g.host_port == number)
            };
            let obstacle = |number: u16| -> Option<String> {
                match promised.get(&(protocol, number)) {
                    Some(owner) if *owner != instance => {
                        return Some(format!("tool instance {owner}"));
                    }
                    _ => {}
                }
                if is_granted(number) {
                    Some("another port of the same spec".to_owned())
                } else if is_own(number) {
                    None
                } else if foreign.contains(&(protocol, number)) {
                    Some("another container".to_owned())
                } else if !can_bind(protocol, port.host_ip, number) {
                    Some("a program on the machine".to_owned())
                } else {
                    None
                }
            };
            let host_port = if let Some(number) = port.host_port {
                if let Some(by) = obstacle(number) {
                    return Err(PortError::InUse {
                        port: number,
                        protocol,
                        by,
                    });
                }
                number
            } else {
                let of_port = |k: &&PortBinding| {
                    k.container_port == port.container_port && k.protocol == protocol
                };
                let again = known
                    .iter()
                    .filter(|k| !RESERVED_HOST_PORTS.contains(&k.host_port));
                let before = kept
                    .iter()
                    .find(of_port)
                    .or_else(|| again.clone().find(of_port));
                let before = before.map(|k| k.host_port);
                let is_free = |n: &u16| {
                    !RESERVED_HOST_PORTS.contains(n)
                        && !promised.contains_key(&(protocol, *n))
                        && obstacle(*n).is_none()
                };
                before
                    .filter(|n| obstacle(*n).is_none())
                    .or_else(|| self.range.clone().find(is_free))
                    .ok_or(PortError::Exhausted {
                        first: *self.range.start(),
                        last: *self.range.end(),
                    })?
            };
            granted.push(PortBinding {
                container_port: port.container_port,
                protocol,
                host_ip: port.host_ip.to_string(),
                host_port,
            });
        }
        for binding in &granted {
            promised.insert((binding.protocol, binding.host_port), instance);
        }
        granted.sort_by_key(|b| (b.container_port, b.protocol));
        Ok(granted)
    }

    /// Promises what a stored record already has.
    pub fn adopt(&self, instance: ToolInstanceId, ports: &[PortBinding]) {
        let mut promised = self.lock();
        for port in ports {
            promised
                .entry((port.protocol, port.host_port))
                .or_insert(instance);
        }
    }

    /// Takes back every port of `instance` that is not in `keep`.
    pub fn release_except<'a>(
        &self,
        instance: ToolInstanceId,
        keep: impl IntoIterator<Item = &'a PortBinding>,
    ) {
        let keep: Vec<Key> = keep
            .into_iter()
            .map(|b| (b.protocol, b.host_port))
            .collect();
        self.lock()
            .retain(|key, owner| *owner != instance || keep.contains(key));
    }
}

/// Nobody has the port on that address, nor on all addresses.
fn can_bind(protocol: Protocol, address: IpAddr, port: u16) -> bool {
    let probe = |ip: IpAddr| {
        let socket = SocketAddr::new(ip, port);
        match protocol {
            Protocol::Tcp => TcpListener::bind(socket).is_ok(),
            Protocol::Udp => UdpSocket::bind(socket).is_ok(),
        }
    };
    // Linux refuses the wildcard while any address has the port, and the other way round; an address the
    // machine does not have is Docker's to refuse.
    probe(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) && (address.is_ipv4() || probe(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(container_port: u16, host_port: Option<u16>) -> Port {
        Port {
            container_port,
            protocol: Protocol::Tcp,
            host_port,
            host_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        }
    }

    fn id(n: u128) -> ToolInstanceId {
        ToolInstanceId::new(uuid::Uuid::from_u128(n))
    }

    /// A range on which nothing listens, as far as a test can know.
    fn table(first: u16, count: u16) -> PortTable {
        PortTable::new(first..=first + count - 1)
    }

    #[test]
    fn instances_get_different_ports_and_keep_them() {
        let ports = table(29_100, 10);
        let a = ports
            .promise(id(1), &[port(80, None)], &[], &[], &[])
            .unwrap();
        let b = ports
            .promise(id(2), &[port(80, None)], &[], &[], &[])
            .unwrap();
        assert_ne!(a[0].host_port, b[0].host_port);
        let again = ports
            .promise(id(1), &[port(80, None), port(81, None)], &a, &[], &[])
            .unwrap();
        assert_eq!(again[0], a[0]);
        ports.release_except(id(1), []);
        let c = ports
            .promise(id(3), &[port(80, None)], &[], &[], &[])
            .unwrap();
        assert_eq!(c[0].host_port, a[0].host_port);
    }

    #[test]
    fn a_wish_that_is_taken_is_refused_and_promises_nothing() {
        let ports = table(29_120, 10);
        ports
            .promise(id(1), &[port(80, Some(29_125))], &[], &[], &[])
            .unwrap();
        let refused = ports.promise(
            id(2),
            &[port(81, Some(29_126)), port(80, Some(29_125))],
            &[],
            &[],
            &[],
        );
        assert!(matches!(
            refused,
            Err(PortError::InUse { port: 29_125, .. })
        ));
        assert!(
            ports
                .promise(id(3), &[port(80, Some(29_126))], &[], &[], &[])
                .is_ok()
        );
    }

    #[test]
    fn bound_foreign_and_reserved_ports_are_left_alone() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let bound = listener.local_addr().unwrap().port();
        let ports = PortTable::new(bound..=bound);
        assert!(matches!(
            ports.promise(id(1), &[port(80, None)], &[], &[], &[]),
            Err(PortError::Exhausted { .. })
        ));
        assert!(matches!(
            ports.promise(id(1), &[port(80, Some(bound))], &[], &[], &[]),
            Err(PortError::InUse { .. })
        ));
        let reserved = PortTable::new(3000..=3000);
        assert!(matches!(
            reserved.promise(id(1), &[port(80, None)], &[], &[], &[]),
            Err(PortError::Exhausted { .. })
        ));
        let ports = table(29_140, 2);
        let granted = ports
            .promise(
                id(1),
                &[port(80, None)],
                &[],
                &[],
                &[(Protocol::Tcp, 29_140)],
            )
            .unwrap();
        assert_eq!(granted[0].host_port, 29_141);
    }

    #[test]
    fn a_lost_instance_gets_the_ports_its_callers_know_where_they_are_free() {
        let known = |host_port| PortBinding {
            container_port: 80,
            protocol: Protocol::Tcp,
            host_ip: "127.0.0.1".into(),
            host_port,
        };
        let ports = table(29_160, 4);
        let promise = |instance, known: &[PortBinding]| {
            let wanted = [port(80, None)];
            let granted = ports.promise(id(instance), &wanted, &[], known, &[]);
            granted.unwrap()[0].host_port
        };
        assert_eq!(promise(1, &[known(29_162)]), 29_162);
        assert_eq!(promise(2, &[known(29_162)]), 29_160, "taken");
        assert_eq!(promise(3, &[known(3000)]), 29_161, "reserved");
    }

    #[test]
    fn an_exhausted_range_says_so() {
        let ports = table(29_150, 2);
        let refused = ports.promise(
            id(1),
            &[port(1, None), port(2, None), port(3, None)],
            &[],
            &[],
            &[],
        );
        assert_eq!(
            refused,
            Err(PortError::Exhausted {
                first: 29_150,
                last: 29_151
            })
        );
        assert!(
            ports
                .promise(id(2), &[port(1, None), port(2, None)], &[], &[], &[])
                .is_ok()
        );
    }
}
