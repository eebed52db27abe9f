//! The way to the control plane, step by step: its name, the connection, its certificate and answer, and its clock.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Uri;
use time::format_description::well_known::Rfc2822;
use time::{OffsetDateTime, UtcOffset};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use toolbox_api::machine::{Check, Verdict};
use toolbox_domain::retry::Fault;

use super::Doctor;
use crate::control::client::{ControlClient, Seen};

/// How long each step may take.
const LIMIT: Duration = Duration::from_secs(5);
/// More than this between both clocks is worth a look. HTTP tells whole seconds.
const SKEW_NOTICED: i64 = 5;
/// More than this and certificates for SSH are refused: they count from a minute before they are made to a minute after.
const SKEW_HARMFUL: i64 = 60;

const NAMES: [&str; 4] = ["control_dns", "control_tcp", "control_tls", "clock"];

/// Its checks, in order.
pub(super) async fn checks(doctor: &Doctor) -> Vec<Check> {
    let Some(url) = &doctor.control_url else {
        return not_checked(
            0,
            "the agent is told of no control plane (DTMA_CONTROL_URL)",
        );
    };
    let mut done = Vec::with_capacity(NAMES.len());
    let addresses = match resolve(url).await {
        Ok((found, addresses)) => {
            done.push(found);
            addresses
        }
        Err(failed) => {
            done.push(failed);
            done.extend(not_checked(
                1,
                "the name of the control plane leads to no address",
            ));
            return done;
        }
    };
    let connected = connect(&addresses).await;
    let is_connected = connected.verdict == Verdict::Ok;
    done.push(connected);
    if !is_connected {
        done.extend(not_checked(
            2,
            "there is no connection to the control plane",
        ));
        return done;
    }
    let client = ControlClient::new(url, doctor.toolbox, doctor.control_ca_file.as_deref());
    let seen = match client {
        Ok(client) => client.look(LIMIT).await,
        Err(error) => {
            done.push(
                Check::new("control_tls", Verdict::Failed, crate::error_chain(&error))
                    .then("Correct DTMA_CONTROL_CA_FILE on the machine"),
            );
            done.extend(not_checked(3, "the control plane was not asked"));
            return done;
        }
    };
    match seen {
        Ok(seen) => {
            done.push(Check::new(
                "control_tls",
                Verdict::Ok,
                format!("the control plane answered {}", seen.status),
            ));
            done.push(clock(&seen));
        }
        Err(error) => {
            let action = if error.fault == Fault::Tls {
                "Let the machine trust the control plane's certificate: correct its clock or DTMA_CONTROL_CA_FILE, and let no proxy stand between"
            } else {
                "Look at the project: its functions do not answer"
            };
            done.push(Check::new("control_tls", Verdict::Failed, error.to_string()).then(action));
            done.extend(not_checked(3, "the control plane did not answer"));
        }
    }
    done
}

fn not_checked(from: usize, why: &str) -> Vec<Check> {
    let rest = NAMES.iter().skip(from);
    rest.map(|name| Check::new(name, Verdict::NotChecked, why))
        .collect()
}

async fn resolve(url: &Uri) -> Result<(Check, Vec<SocketAddr>), Check> {
    let host = url.host().unwrap_or_default();
    let plain = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_u16().unwrap_or(match url.scheme_str() {
        Some("http") => 80,
        _ => 443,
    });
    let action = "Correct the machine's name servers (/etc/resolv.conf), or DTMA_CONTROL_URL";
    let failed = |why: String| Check::new("control_dns", Verdict::Failed, why).then(action);
    let found = match timeout(LIMIT, lookup_host((plain, port))).await {
        Ok(Ok(found)) => found.collect::<Vec<_>>(),
        Ok(Err(error)) => return Err(failed(format!("'{plain}' was not found: {error}"))),
        Err(_) => {
            let seconds = LIMIT.as_secs();
            return Err(failed(format!(
                "'{plain}' was not found within {seconds} s"
            )));
        }
    };
    let Some(first) = found.first() else {
        return Err(failed(format!("'{plain}' has no address")));
    };
    let evidence = format!("'{plain}' is {}", first.ip());
    Ok((Check::new("control_dns", Verdict::Ok, evidence), found))
}

/// Connects to one of the addresses after the other, as HTTP does.
async fn connect(addresses: &[SocketAddr]) -> Check {
    let mut evidence = String::new();
    let begun = Instant::now();
    for address in addresses {
        let left = LIMIT.saturating_sub(begun.elapsed());
        match timeout(left, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                let took = begun.elapsed().as_millis();
                let evidence = format!("connected to {address} in {took} ms");
                return Check::new("control_tcp", Verdict::Ok, evidence);
            }
            Ok(Err(error)) => evidence = format!("no connection to {address}: {error}"),
            Err(_) => {
                let seconds = LIMIT.as_secs();
                evidence = format!("no connection to {address} within {seconds} s");
                break;
            }
        }
    }
    Check::new("control_tcp", Verdict::Failed, evidence)
        .then("Let the machine's firewall pass connections to the control plane")
}

fn clock(seen: &Seen) -> Check {
    let theirs = seen
        .date
        .as_deref()
        .and_then(|text| OffsetDateTime::parse(text, &Rfc2822).ok());
    let Some(theirs) = theirs else {
        return Check::new(
            "clock",
            Verdict::NotChecked,
            "the control plane's answer has no date",
        );
    };
    let ahead = (seen.at - theirs.to_offset(UtcOffset::UTC)).whole_seconds();
    let verdict = match ahead.abs() {
        0..=SKEW_NOTICED => Verdict::Ok,
        ..=SKEW_HARMFUL => Verdict::Warning,
        _ => Verdict::Failed,
    };
    let evidence = match ahead {
        0 => "the machine's clock agrees with the control plane's".to_owned(),
        1.. => format!("the machine's clock is {ahead} s ahead of the control plane's"),
        _ => format!(
            "the machine's clock is {} s behind the control plane's",
            -ahead
        ),
    };
    let found = Check::new("clock", verdict, evidence);
    if verdict == Verdict::Ok {
        return found;
    }
    found.then("Set the machine's clock and keep it set: timedatectl set-ntp true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_may_differ_by_seconds() {
        let at = OffsetDateTime::from_unix_timestamp(1_767_225_600).unwrap();
        for (date, verdict, evidence) in [
            ("Thu, 01 Jan 2026 00:00:00 GMT", Verdict::Ok, "agrees"),
            ("Wed, 31 Dec 2025 23:59:55 GMT", Verdict::Ok, "5 s ahead"),
            (
                "Thu, 01 Jan 2026 00:00:06 GMT",
                Verdict::Warning,
                "6 s behind",
            ),
            (
                "Wed, 31 Dec 2025 23:58:59 GMT",
                Verdict::Failed,
                "61 s ahead",
            ),
            (
                "Fri, 02 Jan 2026 00:00:00 GMT",
                Verdict::Failed,
                "86400 s behind",
            ),
            ("yesterday", Verdict::NotChecked, "no date"),
        ] {
            let found = clock(&Seen {
                status: 404,
                date: Some(date.to_owned()),
                at,
            });
            assert_eq!(found.verdict, verdict, "{date}");
            assert!(found.evidence.contains(evidence), "{}", found.evidence);
            let is_bad = matches!(verdict, Verdict::Warning | Verdict::Failed);
            assert_eq!(found.action.is_some(), is_bad);
        }
    }
}
