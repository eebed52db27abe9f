//! The closed set of operations on a machine: one text form, one JSON form, nothing else gets in.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::machine_operation::{
    ALLOWED, InstanceAction, MAX_TEXT_BYTES, MachineOperation, OperationError, PredecessorCommand,
};
use uuid::Uuid;

const ID: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";

fn id() -> ToolInstanceId {
    ID.parse().unwrap()
}

fn any_operation() -> impl Strategy<Value = MachineOperation> {
    let id = any::<u128>().prop_map(|n| ToolInstanceId::new(Uuid::from_u128(n)));
    let tail = (1..=5000_u16).prop_map(|n| n.try_into().unwrap());
    let version = "[0-9][0-9A-Za-z.+-]{0,63}".prop_map(|text| text.parse().unwrap());
    prop_oneof![
        (prop::sample::select(&InstanceAction::ALL[..]), id.clone())
            .prop_map(|(action, id)| MachineOperation::Instance { action, id }),
        (id, tail.clone()).prop_map(|(id, tail)| MachineOperation::InstanceLogs { id, tail }),
        Just(MachineOperation::AgentStatus),
        Just(MachineOperation::AgentRestart),
        prop::option::of(version).prop_map(|version| MachineOperation::AgentRedeploy { version }),
        Just(MachineOperation::AgentRollback),
        tail.prop_map(|tail| MachineOperation::AgentLogs { tail }),
        Just(MachineOperation::HostHealth),
    ]
}

/// Texts near the set: forms of it and of the predecessor's commands with words replaced, joined and decorated by
/// what shells, parsers and option readers trip over.
fn any_text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        8 => prop::sample::select(vec![
            "start", "stop", "restart", "remove", "logs", "agent-status", "agent-restart", "agent-redeploy",
            "agent-rollback", "agent-logs", "host-health", "docker", "rm", "-f", "--tail", "50", "5000", ID,
            "web-6f9619ff", "sudo", "systemctl", "dtma", "1.2.3", "uptime", "df", "-h",
        ]).prop_map(str::to_owned),
        4 => prop::sample::select(vec![
            "--host", "--host=tcp://evil:2375", "-H", "--", "$(id)", "`id`", ";", "&&", "|", ">", "/tmp/x", "'", "\"",
            "\\", "$IFS", "${IFS}", "*", "~", "{a,b}", "0", "-1", "+5", "05", "5001", "65536", "../..", "%0a", "\0",
            "6F9619FF-8B86-4D01-B42D-00CF4FC964FF", "{6f9619ff-8b86-4d01-b42d-00cf4fc964ff}",
        ]).prop_map(str::to_owned),
        2 => any::<String>(),
    ];
    let gap = prop::sample::select(vec![
        " ", " ", " ", " ", " ", "", "  ", "\t", "\n", "\r\n", ";", "\u{a0}", "\u{2028}", "\\ ",
        "' '",
    ]);
    prop::collection::vec((word, gap), 0..6).prop_map(|parts| {
        let mut text = String::new();
        for (i, (word, gap)) in parts.iter().enumerate() {
            text.push_str(word);
            if i + 1 < parts.len() || gap.len() > 1 {
                text.push_str(gap);
            }
        }
        text
    })
}

fn is_plain(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-' | b'.' | b'+' | b'_'))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_operation_survives_its_text_and_its_json(operation in any_operation()) {
        let text = operation.to_string();
        prop_assert!(is_plain(&text));
        prop_assert_eq!(text.parse(), Ok(operation.clone()));
        prop_assert_eq!(text.parse(), Ok(PredecessorCommand::Operation(operation.clone())));
        let json = serde_json::to_string(&operation).unwrap();
        prop_assert_eq!(serde_json::from_str::<MachineOperation>(&json).unwrap(), operation);
    }

    #[test]
    fn no_text_gets_in_but_the_one_that_the_operation_writes(text in any_text()) {
        if let Ok(operation) = text.parse::<MachineOperation>() {
            prop_assert_eq!(operation.to_string(), text.clone());
        }
        if text.parse::<PredecessorCommand>().is_ok() {
            prop_assert!(is_plain(&text), "{:?}", text);
        }
    }

    #[test]
    fn no_text_at_all_gets_in_by_chance(text in any::<String>()) {
        if let Ok(operation) = text.parse::<MachineOperation>() {
            prop_assert_eq!(operation.to_string(), text);
        }
    }
}

#[test]
fn each_listed_form_is_one_and_there_are_no_others() {
    for form in ALLOWED {
        let text = form
            .replace("<instance id>", ID)
            .replace("<lines>", "50")
            .replace("[version]", "1.2.3");
        let operation: MachineOperation = text.parse().unwrap();
        assert_eq!(operation.to_string(), text);
    }
    let redeploy: MachineOperation = "agent-redeploy".parse().unwrap();
    assert_eq!(redeploy, MachineOperation::AgentRedeploy { version: None });
}

#[test]
fn what_is_nearly_one_is_refused_with_its_reason() {
    let cases: &[(&str, OperationError)] = &[
        ("", OperationError::Unknown),
        ("start", OperationError::Unknown),
        (" agent-status", OperationError::Unknown),
        ("agent-status ", OperationError::Unknown),
        ("agent-status\n", OperationError::Unknown),
        ("Agent-status", OperationError::Unknown),
        ("agent-status;id", OperationError::Unknown),
        ("host-health --host tcp://evil", OperationError::Unknown),
        (&format!("start  {ID}"), OperationError::Unknown),
        (&format!("start\t{ID}"), OperationError::Unknown),
        (&format!("start {ID} {ID}"), OperationError::Unknown),
        (&format!("start '{ID}'"), OperationError::Id),
        (&format!("start {}", ID.to_uppercase()), OperationError::Id),
        (
            &format!("start {}", ID.replace('-', "")),
            OperationError::Id,
        ),
        (&format!("start {{{ID}}}"), OperationError::Id),
        ("start --all", OperationError::Id),
        (&format!("logs {ID} 0"), OperationError::Tail),
        (&format!("logs {ID} 5001"), OperationError::Tail),
        (&format!("logs {ID} 050"), OperationError::Tail),
        (&format!("logs {ID} +50"), OperationError::Tail),
        (&format!("logs {ID} all"), OperationError::Tail),
        ("agent-redeploy latest", OperationError::Version),
        ("agent-redeploy 1/../2", OperationError::Version),
        ("agent-redeploy -1", OperationError::Version),
        (
            &format!("agent-redeploy 1{}", "0".repeat(64)),
            OperationError::Version,
        ),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<MachineOperation>(), Err(*error), "{text:?}");
    }
}

#[test]
fn commands_of_the_predecessor_become_operations() {
    let operation = |operation| PredecessorCommand::Operation(operation);
    let change = |action| operation(MachineOperation::Instance { action, id: id() });
    for (text, wanted) in [
        (format!("docker start {ID}"), change(InstanceAction::Start)),
        (format!("docker stop {ID}"), change(InstanceAction::Stop)),
        (
            format!("docker restart {ID}"),
            change(InstanceAction::Restart),
        ),
        (
            format!("docker logs --tail 50 {ID}"),
            operation(MachineOperation::InstanceLogs {
                id: id(),
                tail: 50.try_into().unwrap(),
            }),
        ),
        (
            "docker logs web-6f9619ff".to_owned(),
            PredecessorCommand::NamedLogs {
                name: toolbox_domain::names::ContainerName::parse("web-6f9619ff").unwrap(),
                tail: 100.try_into().unwrap(),
            },
        ),
        (
            "sudo systemctl restart dtma".to_owned(),
            operation(MachineOperation::AgentRestart),
        ),
        ("df -h".to_owned(), operation(MachineOperation::HostHealth)),
        (
            "agent-rollback".to_owned(),
            operation(MachineOperation::AgentRollback),
        ),
    ] {
        assert_eq!(text.parse(), Ok(wanted), "{text:?}");
    }
}

#[test]
fn other_commands_of_the_predecessor_are_refused() {
    for text in [
        "cd /opt/dtma",
        "git pull origin main",
        "npm install",
        "echo \"SSH health check\"",
        "docker ps",
        "docker start",
        "docker start a b",
        "docker start -a web",
        "docker start --help",
        "docker start web;reboot",
        "docker start $(reboot)",
        "docker logs -f web",
        "docker logs --tail all web",
        "docker logs --tail=50 web",
        "docker --host tcp://evil:2375 start web",
        "sudo docker start web",
        "sudo systemctl restart sshd",
        "sudo  systemctl restart dtma",
        "uptime; free -h; df -h",
    ] {
        assert!(text.parse::<PredecessorCommand>().is_err(), "{text:?}");
    }
}

#[test]
fn a_container_is_not_removed_by_a_command_that_kept_its_volumes() {
    for text in [
        format!("docker rm -f {ID}"),
        "docker rm -f web".to_owned(),
        "docker rm web".to_owned(),
        "docker rm -fv web".to_owned(),
        "docker rm -f".to_owned(),
    ] {
        let refused = text.parse::<PredecessorCommand>();
        assert_eq!(refused, Err(OperationError::KeptVolumes), "{text:?}");
    }
    let remove = MachineOperation::Instance {
        action: InstanceAction::Remove,
        id: id(),
    };
    let wanted = PredecessorCommand::Operation(remove);
    assert_eq!(format!("remove {ID}").parse(), Ok(wanted));
}

#[test]
fn json_has_one_form_and_no_field_too_many() {
    let wanted = serde_json::json!({"kind": "instance", "action": "start", "id": ID});
    let operation = MachineOperation::Instance {
        action: InstanceAction::Start,
        id: id(),
    };
    assert_eq!(serde_json::to_value(&operation).unwrap(), wanted);
    for bad in [
        serde_json::json!({"kind": "instance", "action": "start", "id": ID, "command": "id"}),
        serde_json::json!({"kind": "instance", "action": "exec", "id": ID}),
        serde_json::json!({"kind": "instance_logs", "id": ID, "tail": 5001}),
        serde_json::json!({"kind": "agent_redeploy", "version": "../x"}),
        serde_json::json!({"kind": "shell"}),
        serde_json::json!("agent_status"),
    ] {
        assert!(
            serde_json::from_value::<MachineOperation>(bad.clone()).is_err(),
            "{bad}"
        );
    }
}
