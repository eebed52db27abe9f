//! Where the programs of a container listen, as the kernel shows it.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::ContainerId;

/// Most bytes that are read of a table.
const MAX_TABLE: u64 = 4 * 1024 * 1024;
/// The state of a socket that listens.
const LISTEN: &str = "0A";

/// The addresses at which something in the container listens over TCP; none if that cannot be seen from here. The agent's
/// own container, for one, does not show other processes. `pid` is the container's first process, as Docker names it.
pub async fn listening(pid: u32, container: &ContainerId) -> Option<Vec<SocketAddr>> {
    let container = container.clone();
    let reading = tokio::task::spawn_blocking(move || read(pid, &container));
    reading.await.ok()?.ok()
}

fn read(pid: u32, container: &ContainerId) -> io::Result<Vec<SocketAddr>> {
    let table = |name: &str| -> io::Result<String> {
        let mut text = String::new();
        let file = File::open(format!("/proc/{pid}/{name}"))?;
        file.take(MAX_TABLE).read_to_string(&mut text)?;
        Ok(text)
    };
    // Where Docker counts processes otherwise, the number belongs to somebody else.
    if !table("cgroup")?.contains(container.as_str()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut found: Vec<_> = table("net/tcp")?.lines().filter_map(listener).collect();
    // A kernel without IPv6 has no such table.
    let v6 = table("net/tcp6").unwrap_or_default();
    found.extend(v6.lines().filter_map(listener));
    Ok(found)
}

/// A line of the table, if it is a socket that listens.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut columns = line.split_whitespace().skip(1);
    let (local, state) = (columns.next()?, columns.nth(1)?);
    if state != LISTEN {
        return None;
    }
    let (ip, port) = local.split_once(':')?;
    // Each group of eight digits is a word in the machine's byte order.
    let words = (0..ip.len() / 8)
        .map(|i| u32::from_str_radix(ip.get(i * 8..i * 8 + 8)?, 16).ok())
        .map(|word| word.map(u32::to_ne_bytes))
        .collect::<Option<Vec<_>>>()?;
    let ip: IpAddr = match *words.as_flattened() {
        [a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        ref bytes => Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn lines_of_the_kernels_table_are_read() {
        for (line, address) in [
            (
                "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100",
                Some("127.0.0.1:8080"),
            ),
            ("   1: 00000000:0016 00000000:0000 0A 0", Some("0.0.0.0:22")),
            (
                "   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0",
                Some("[::1]:8080"),
            ),
            (
                "   1: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0",
                Some("[::]:8080"),
            ),
            // A connection, the heading, and what is no line of the table.
            ("   2: 0100007F:1F90 0100007F:0016 01 0", None),
            (
                "  sl  local_address rem_address   st tx_queue rx_queue",
                None,
            ),
            ("0: 01:1F90 0:0 0A", None),
            ("", None),
        ] {
            let expected = address.map(|text| text.parse().unwrap());
            assert_eq!(listener(line), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn another_process_is_not_taken_for_the_containers() {
        let own = std::process::id();
        let container = ContainerId::new("0123456789abcdef");
        assert_eq!(listening(own, &container).await, None);
    }
}
