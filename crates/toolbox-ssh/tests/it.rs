//! The client against servers that misbehave: each has its own error, within its deadline.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod servers;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use servers::Manner;
use toolbox_domain::machine_operation::MachineOperation;
use toolbox_ssh::authority::Authority;
use toolbox_ssh::client::{End, Limits, Source, randomness, run};
use toolbox_ssh::connect::connect;
use toolbox_ssh::error::{Phase, SshError};

const SEED: &str = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
const SHORT: Duration = Duration::from_millis(700);
const TOOLBOX: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

/// The phase in which `manner` stalls is short; a busy machine takes its time for the others.
fn limits(manner: Manner) -> Limits {
    let mut limits = Limits {
        key_exchange: Duration::from_secs(20),
        authentication: Duration::from_secs(20),
        ..Limits::default()
    };
    let short = match manner {
        Manner::StallsAtBanner => &mut limits.banner,
        Manner::StallsAtKeyExchange => &mut limits.key_exchange,
        Manner::StallsAtAuthentication => &mut limits.authentication,
        Manner::StallsAtChannel | Manner::StallsAtExec => &mut limits.channel,
        Manner::StallsAtOperation => &mut limits.operation,
        _ => return limits,
    };
    *short = SHORT;
    limits
}

/// Asks while this side's clock differs by so many seconds.
async fn ask_at(
    port: u16,
    host_key: &str,
    differs: i64,
    limits: &Limits,
) -> (Result<End, SshError>, Vec<u8>) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let now = now.checked_add_signed(differs).unwrap();
    let authority = Authority::parse(SEED).unwrap();
    let credentials = authority.issue(TOOLBOX.parse().unwrap(), now, &randomness().unwrap());
    let mut output = Vec::new();
    let ended = match connect("127.0.0.1", port, SHORT * 8).await {
        Ok(wire) => {
            let mut take = |source, bytes: &[u8]| {
                assert_eq!(source, Source::Stdout);
                output.extend_from_slice(bytes);
            };
            let (operation, host_key) = (MachineOperation::HostHealth, host_key.parse().unwrap());
            run(
                wire,
                &host_key,
                &credentials.unwrap(),
                &operation,
                limits,
                &mut take,
            )
            .await
        }
        Err(error) => Err(error),
    };
    (ended, output)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_misbehave_has_its_own_error_within_its_deadline() {
    for (manner, wanted) in [
        (Manner::StallsAtBanner, SshError::Deadline(Phase::Banner)),
        (Manner::IsNoSsh, SshError::NoBanner),
        (
            Manner::StallsAtKeyExchange,
            SshError::Deadline(Phase::KeyExchange),
        ),
        (
            Manner::StallsAtAuthentication,
            SshError::Deadline(Phase::Authentication),
        ),
        (Manner::Refuses, SshError::NotAdmitted),
        (Manner::StallsAtChannel, SshError::Deadline(Phase::Channel)),
        (Manner::RefusesChannel, SshError::ChannelRefused),
        (Manner::StallsAtExec, SshError::Deadline(Phase::Exec)),
        (Manner::RefusesExec, SshError::ExecRefused),
        (
            Manner::StallsAtOperation,
            SshError::Deadline(Phase::Operation),
        ),
        (Manner::Floods, SshError::OutputTooLarge(1024 * 1024)),
        (Manner::Cuts, SshError::Cut(Phase::Operation)),
    ] {
        let (port, host_key) = servers::start(manner).await;
        let begun = Instant::now();
        let (ended, output) = ask_at(port, &host_key, 0, &limits(manner)).await;
        assert_eq!(ended, Err(wanted), "{manner:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{manner:?}: {:?}",
            begun.elapsed()
        );
        assert!(output.len() <= 1024 * 1024);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_is_answered_and_another_host_key_is_not_talked_to() {
    let (port, host_key) = servers::start(Manner::Answers).await;
    let limits = limits(Manner::Answers);
    let (ended, output) = ask_at(port, &host_key, 0, &limits).await;
    assert_eq!(ended, Ok(End::Exited(0)));
    assert_eq!(output, b"{\"ok\":true,\"by\":\"machine\"}\n");
    let other = Authority::parse(SEED).unwrap().public_key();
    assert_eq!(
        ask_at(port, &other, 0, &limits).await.0,
        Err(SshError::HostKeyDiffers)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_told_apart_from_a_silent_address() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert_eq!(
        connect("127.0.0.1", port, SHORT).await.map(drop),
        Err(SshError::Refused)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_differs_is_named_whichever_way_it_differs() {
    let (port, host_key) = servers::start(Manner::Answers).await;
    for differs in [-30, 30] {
        assert_eq!(
            ask_at(port, &host_key, differs, &limits(Manner::Answers))
                .await
                .0,
            Ok(End::Exited(0))
        );
    }
    // It is this side that goes wrong here, so the machine seems to be behind when this side is ahead.
    for (differs, wanted) in [
        (90, SshError::ClockBehind),
        (86_400 * 365, SshError::ClockBehind),
        (-90, SshError::ClockAhead),
        (-86_400 * 365, SshError::ClockAhead),
    ] {
        assert_eq!(
            ask_at(port, &host_key, differs, &limits(Manner::Answers))
                .await
                .0,
            Err(wanted)
        );
    }
}
