//! Which ports a stack takes.

use std::net::{Ipv4Addr, TcpListener};

use crate::config::UpArgs;
use crate::error::StackError;

const DTMA: u16 = 30000;
/// Where free ports are looked for: below what the kernel gives to outgoing connections, beside DTMA's own range.
const FROM: u16 = 20000;
const TO: u16 = 29999;
const ATTEMPTS: usize = 200;

/// Loopback ports of one stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) gateway: u16,
    pub(crate) postgres: u16,
    pub(crate) postgrest: u16,
    pub(crate) postgrest_admin: u16,
    pub(crate) dtma: u16,
}

impl Ports {
    /// The ports asked for, or free ones; an error names the first that is taken.
    pub(crate) fn choose(args: &UpArgs) -> Result<Self, StackError> {
        if args.ephemeral {
            let [gateway, postgres, postgrest, postgrest_admin, dtma] = free()?;
            return Ok(Self {
                gateway,
                postgres,
                postgrest,
                postgrest_admin,
                dtma: args.dtma_port.unwrap_or(dtma),
            });
        }
        let port = args.port;
        let dtma = args.dtma_port.unwrap_or(DTMA);
        let mut wanted = vec![
            (port, "the gateway", "--port"),
            (port + 1, "Postgres", "--port"),
            (port + 2, "PostgREST", "--port"),
            (port + 3, "PostgREST's health", "--port"),
        ];
        if !args.no_dtma {
            wanted.push((dtma, "DTMA", "--dtma-port"));
        }
        for (port, service, flag) in wanted {
            if !is_free(port) {
                return Err(StackError::PortInUse {
                    port,
                    service,
                    flag,
                });
            }
        }
        Ok(Self {
            gateway: port,
            postgres: port + 1,
            postgrest: port + 2,
            postgrest_admin: port + 3,
            dtma,
        })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Different ones, at random: stacks that start at the same moment must not pick the same.
fn free<const N: usize>() -> Result<[u16; N], StackError> {
    let mut chosen = Vec::with_capacity(N);
    for _ in 0..ATTEMPTS {
        let random = getrandom::u32().map_err(StackError::Random)?;
        let port = FROM + u16::try_from(random % u32::from(TO - FROM)).unwrap_or_default();
        if !chosen.contains(&port) && is_free(port) {
            chosen.push(port);
        }
        if chosen.len() == N {
            break;
        }
    }
    chosen
        .try_into()
        .map_err(|_| StackError::NoFreePort { from: FROM, to: TO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_ports_differ() {
        for _ in 0..20 {
            let ports: [u16; 50] = free().unwrap();
            let mut distinct = ports.to_vec();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), ports.len());
        }
    }
}
