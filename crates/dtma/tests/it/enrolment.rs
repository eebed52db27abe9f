//! Enrolment, keys and their rotation, the counters of heartbeats: against a stub of the control plane.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Instant;

use reqwest::Method;

use crate::agent::Agent;
use crate::control::{SOON, enrolled, enrolled_with, enrolling};
use crate::docker;
use crate::stub::{Fault, Stub, pair};

#[tokio::test]
async fn a_machine_enrols_once_and_keeps_its_keys() {
    let stub = Stub::new().await;
    let mut agent = enrolled(&stub).await;
    assert_eq!(stub.plane().enrolments, 1);
    assert!(!agent.folder.path().join("token").exists(), "used up");
    agent.call(Method::GET, "/tools").await.expect(200);
    agent.kill();
    let before = stub.plane().heard.len();
    agent.start().await;
    stub.until("another heartbeat", SOON, |p| p.heard.len() > before)
        .await;
    agent.call(Method::GET, "/tools").await.expect(200);
    assert_eq!(stub.plane().enrolments, 1);
    let status = agent.call(Method::GET, "/status").await.expect(200);
    assert_eq!(status["environment"]["hasApiBaseUrl"], true);
    let keys = agent.state.join("keys.json");
    let mode = std::fs::metadata(keys).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn an_enrolment_whose_answer_was_lost_is_repeated_and_a_wrong_token_gives_nothing() {
    let stub = Stub::new().await;
    stub.plane().fault = Fault::LostAnswers;
    let mut agent = enrolling(&stub);
    agent.start().await;
    stub.until("it tries to enrol", SOON, |p| p.enrolments > 0)
        .await;
    agent
        .send(agent.request(Method::GET, "/tools"))
        .await
        .expect_problem(401, "unauthorized");
    stub.plane().fault = Fault::None;
    stub.until("a heartbeat", SOON, |p| !p.heard.is_empty())
        .await;
    agent.call(Method::GET, "/tools").await.expect(200);

    let other = Stub::new().await;
    let mut stranger = enrolling(&other);
    other.plane().token = "tbe_another".into();
    stranger.start().await;
    docker::eventually("it is refused", SOON, || async {
        stranger.log().contains("enrolment_token_invalid")
    })
    .await;
    assert!(other.plane().heard.is_empty());
    assert!(!stranger.log().contains("tbe_"), "the token is not logged");
    // The right token in the same file is taken without a restart.
    let token = stranger.folder.path().join("token");
    docker::write(&token, b"tbe_another");
    other
        .until("a heartbeat", SOON, |p| !p.heard.is_empty())
        .await;
}

#[tokio::test]
async fn counters_grow_across_restarts_also_without_their_file() {
    let stub = Stub::new().await;
    let mut agent = enrolled(&stub).await;
    for lost in [false, true] {
        agent.kill();
        if lost {
            std::fs::remove_file(agent.state.join("boot")).unwrap();
        }
        let before = stub.plane().heard.len();
        agent.start().await;
        stub.until("it is heard again", SOON, |p| p.heard.len() > before)
            .await;
    }
    assert_eq!(stub.plane().replayed, 0);
    let numbers: Vec<_> = stub
        .plane()
        .heard
        .iter()
        .map(|(_, h)| (h.boot, h.sequence))
        .collect();
    assert!(numbers.windows(2).all(|w| w[0] < w[1]), "{numbers:?}");
    // The clock was a month ahead in an earlier life, and nothing remembers it.
    agent.kill();
    std::fs::remove_file(agent.state.join("boot")).unwrap();
    stub.plane().last.0 += 30 * 86_400_000;
    let before = stub.plane().heard.len();
    agent.extra.push("--heartbeat-interval=1".into());
    agent.start().await;
    stub.until("it goes on from them", SOON, |p| p.heard.len() > before)
        .await;
    assert_eq!(stub.plane().replayed, 1);
}

#[tokio::test]
async fn keys_are_replaced_under_load_and_no_call_is_refused() {
    let stub = Stub::new().await;
    let mut agent = enrolled_with(&stub, &["--heartbeat-interval=1"]).await;
    let old = stub.plane().keys.clone();
    let url = agent.url("/tools");
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    // The control plane goes on with the old key until it hears of the new one.
    let load = tokio::spawn({
        let (stub, url) = (stub.clone(), url.clone());
        async move {
            let client = reqwest::Client::new();
            let mut calls = 0;
            while !*stopped.borrow_and_update() {
                let key = {
                    let plane = stub.plane();
                    let pair = plane.previous.as_ref().unwrap_or(&plane.keys);
                    pair.control_to_agent.clone()
                };
                let answer = client.get(&url).bearer_auth(key);
                assert_eq!(answer.send().await.unwrap().status(), 200);
                calls += 1;
            }
            calls
        }
    });
    let new = pair();
    let before = {
        let mut plane = stub.plane();
        plane.previous = Some(old.clone());
        plane.keys = new.clone();
        plane.heard.len()
    };
    // The first brings the new key, which the agent tries and presents from then on.
    stub.until("four heartbeats", SOON, |p| p.heard.len() >= before + 4)
        .await;
    stop.send_replace(true);
    assert!(load.await.unwrap() > 5);
    // From now on only the new one counts at the control plane, and the agent presents it.
    stub.plane().previous = None;
    let before = stub.plane().heard.len();
    stub.until("a heartbeat with the new key", SOON, |p| {
        p.heard.len() > before
    })
    .await;
    for restart in [false, true] {
        if restart {
            agent.kill();
            agent.start().await;
        }
        for (key, status) in [
            (&new.control_to_agent, 200),
            (&old.control_to_agent, 200),
            (&new.agent_to_control, 401),
        ] {
            agent.key.clone_from(key);
            let answer = agent.call(Method::GET, "/tools").await;
            assert_eq!(answer.status.as_u16(), status);
        }
    }
    // An enrolment ends all keys before it.
    let last = pair();
    stub.plane().keys = last.clone();
    let token = agent.folder.path().join("token");
    docker::write(&token, stub.plane().token.clone().as_bytes());
    stub.until("another enrolment", SOON, |p| p.enrolments == 2)
        .await;
    let end = Instant::now() + SOON;
    agent.key = last.control_to_agent;
    while agent.call(Method::GET, "/tools").await.status != 200 {
        assert!(Instant::now() < end, "the newest key is accepted");
    }
    agent.key = new.control_to_agent;
    agent
        .call(Method::GET, "/tools")
        .await
        .expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn an_enrolment_tells_the_host_key_and_keeps_the_authority_that_sshd_is_to_trust() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";
    let stub = Stub::new().await;
    stub.plane().ssh_ca_public_key = Some("ssh-ed25519 AAAA".to_owned());
    let mut agent = enrolling(&stub);
    let file = agent.folder.path().join("host.pub");
    docker::write(&file, format!("{key} root@machine\n").as_bytes());
    agent
        .extra
        .push(format!("--ssh-host-key-file={}", file.display()));
    agent.extra.push("--ssh-port=2222".to_owned());
    agent.start().await;
    stub.until("a heartbeat", SOON, |p| !p.heard.is_empty())
        .await;
    assert_eq!(stub.plane().ssh_host, (Some(key.to_owned()), Some(2222)));
    let authority = std::fs::read_to_string(agent.state.join("ssh_ca.pub")).unwrap();
    assert_eq!(authority, "ssh-ed25519 AAAA\n");
}

/// `dtma enrol` for the agent's toolbox, with `token` on its standard input; whether it succeeded, and what it said.
fn enrol(agent: &Agent, stub: &Stub, token: &str) -> (bool, String) {
    #[allow(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_dtma"));
    let mut child = command
        .env_clear()
        .arg("enrol")
        .arg(format!("--toolbox-id={}", agent.toolbox))
        .arg(format!("--control-url={}", stub.url()))
        .arg(format!("--state-dir={}", agent.state.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(token.as_bytes()).unwrap();
    drop(input);
    let ended = child.wait_with_output().unwrap();
    let said = [ended.stdout, ended.stderr].concat();
    (ended.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_enrolled_without_an_agent_and_an_agent_goes_on_from_there() {
    let stub = Stub::new().await;
    let mut agent = Agent::prepare();
    agent.key_file = false;
    agent.key.clone_from(&stub.plane().keys.control_to_agent);
    agent.extra = vec![format!("--control-url={}", stub.url())];
    agent.tls = true;
    let (token, wrong) = (stub.plane().token.clone(), "tbe_wrong");
    let (done, said) = enrol(&agent, &stub, wrong);
    assert!(!done && said.contains("enrolment_token_invalid"), "{said}");
    assert!(
        said.contains("put a new token"),
        "it says what to do: {said}"
    );
    for nothing in ["", "\n", "SECRET"] {
        let (done, said) = enrol(&agent, &stub, nothing);
        assert!(!done && !said.contains("SECRET"), "{said}");
    }
    let (done, said) = enrol(&agent, &stub, &token);
    assert!(done, "{said}");
    assert!(
        said.contains("Enrolled this machine as toolbox") && !said.contains("tbe_"),
        "{said}"
    );
    // A lost answer is asked for again.
    assert!(enrol(&agent, &stub, &format!(" {token}\n")).0);
    assert_eq!(stub.plane().enrolments, 2);

    agent.start().await;
    stub.until("a heartbeat", SOON, |p| !p.heard.is_empty())
        .await;
    assert_eq!(stub.plane().enrolments, 2);
    let (done, said) = enrol(&agent, &stub, &token);
    assert!(!done && said.contains("another agent is using"), "{said}");
}
