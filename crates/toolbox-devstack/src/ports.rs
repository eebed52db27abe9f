//! Which ports a stack takes.

use std::net::{Ipv4Addr, TcpListener};

use crate::config::UpArgs;
use crate::error::StackError;

const DTMA: u16 = 30000;
const COMPANION: u16 = 3101;
const BACKEND: u16 = 3100;
/// `site_url` of supabase/config.toml. The companion has another port here, because it would have this one.
const WEB: u16 = 3000;
/// Where free ports are looked for: below what the kernel gives to outgoing connections, beside DTMA's own range.
const FROM: u16 = 20000;
const TO: u16 = 29999;
/// Ports that an ephemeral stack takes for itself, in a row. It listens on the last of them for as long as it lives, so
/// that no stack starting meanwhile takes one that is not bound yet, or that a test holds down.
const BLOCK: u16 = 10;
const ATTEMPTS: usize = 200;

/// Loopback ports of one stack.
#[derive(Debug)]
pub(crate) struct Ports {
    pub(crate) gateway: u16,
    pub(crate) postgres: u16,
    pub(crate) postgrest: u16,
    pub(crate) postgrest_admin: u16,
    pub(crate) dtma: u16,
    pub(crate) companion: u16,
    pub(crate) digitalocean: u16,
    pub(crate) backend: u16,
    pub(crate) web: u16,
    _mark: Option<TcpListener>,
}

impl Ports {
    /// The ports asked for, or free ones; an error names the first that is taken.
    pub(crate) fn choose(args: &UpArgs) -> Result<Self, StackError> {
        if args.ephemeral {
            let (first, mark) = free_block()?;
            return Ok(Self {
                gateway: first,
                postgres: first + 1,
                postgrest: first + 2,
                postgrest_admin: first + 3,
                dtma: args.dtma_port.unwrap_or(first + 4),
                companion: args.companion_port.unwrap_or(first + 5),
                digitalocean: first + 6,
                backend: args.backend_port.unwrap_or(first + 7),
                web: args.web_port.unwrap_or(first + 8),
                _mark: Some(mark),
            });
        }
        let port = args.port;
        let dtma = args.dtma_port.unwrap_or(DTMA);
        let companion = args.companion_port.unwrap_or(COMPANION);
        let backend = args.backend_port.unwrap_or(BACKEND);
        let web = args.web_port.unwrap_or(WEB);
        let mut wanted = vec![
            (port, "the gateway", "--port"),
            (port + 1, "Postgres", "--port"),
            (port + 2, "PostgREST", "--port"),
            (port + 3, "PostgREST's health", "--port"),
        ];
        if args.droplets {
            wanted.push((port + 4, "the simulator of DigitalOcean", "--port"));
        }
        if args.backend {
            wanted.push((backend, "toolbox-backend", "--backend-port"));
        }
        if args.web.is_some() {
            wanted.push((web, "the web console", "--web-port"));
        }
        if !args.no_dtma {
            wanted.push((dtma, "DTMA", "--dtma-port"));
        }
        if args.has_companion() {
            wanted.push((companion, "DTMA's companion", "--companion-port"));
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
            companion,
            digitalocean: port + 4,
            backend,
            web,
            _mark: None,
        })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// The first port of a block that nobody uses, and the mark that it is taken.
fn free_block() -> Result<(u16, TcpListener), StackError> {
    for _ in 0..ATTEMPTS {
        let random = getrandom::u32().map_err(StackError::Random)?;
        let blocks = u32::from((TO - FROM + 1) / BLOCK);
        let block = u16::try_from(random % blocks).unwrap_or_default();
        let first = FROM + block * BLOCK;
        let last = first + BLOCK - 1;
        let Ok(mark) = TcpListener::bind((Ipv4Addr::LOCALHOST, last)) else {
            continue;
        };
        if (first..last).all(is_free) {
            return Ok((first, mark));
        }
    }
    Err(StackError::NoFreePort { from: FROM, to: TO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_stacks_share_a_block_while_both_live() {
        let taken: Vec<_> = (0..100).map(|_| free_block().unwrap()).collect();
        let mut firsts: Vec<_> = taken.iter().map(|(first, _)| *first).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts.len(), taken.len());
        assert!(firsts.iter().all(|first| (FROM..TO).contains(first)));
    }
}
