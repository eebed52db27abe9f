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
            return Ok(Self {
                gateway: free()?,
                postgres: free()?,
                postgrest: free()?,
                postgrest_admin: free()?,
                dtma: args.dtma_port.map_or_else(free, Ok)?,
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

/// A random one, so that stacks that start at the same moment do not pick the same.
fn free() -> Result<u16, StackError> {
    for _ in 0..ATTEMPTS {
        let random = getrandom::u32().map_err(StackError::Random)?;
        let offset = u16::try_from(random % u32::from(TO - FROM)).unwrap_or_default();
        if is_free(FROM + offset) {
            return Ok(FROM + offset);
        }
    }
    Err(StackError::NoFreePort { from: FROM, to: TO })
}
