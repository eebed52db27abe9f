use proptest::prelude::*;
use serde_json::Value;
use toolbox_domain::ids::ToolboxId;

use super::{MAX_BYTES, user_data};
use crate::ProvisioningSettings;

const TOOLBOX: &str = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
const TOKEN: &str = "tbe_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// `scripts/test` lets cloud-init itself check this file where cloud-init is.
const SAMPLE: &str = include_str!("../tests/user-data.yaml");

fn settings(release_url: &str, control_url: &str) -> ProvisioningSettings {
    ProvisioningSettings {
        default_region: None,
        default_size: None,
        default_image: "ubuntu-24-04-x64".to_owned(),
        ssh_keys: Vec::new(),
        release_url: release_url.to_owned(),
        control_url: control_url.to_owned(),
        max_price: 50,
        max_toolboxes: 5,
        max_user_price: 200,
    }
}

fn id() -> ToolboxId {
    TOOLBOX.parse().unwrap()
}

/// What YAML reads: everything but the first line is JSON as well.
fn read(text: &str) -> Value {
    let (first, rest) = text.split_once('\n').unwrap();
    assert_eq!(first, "#cloud-config");
    serde_json::from_str(rest).unwrap()
}

#[test]
fn the_sample_is_what_is_made() {
    let made = user_data(
        id(),
        TOKEN,
        &settings(
            "https://releases.example",
            "https://project.example/functions/v1/heartbeat",
        ),
    );
    assert_eq!(made, SAMPLE, "write the left side to tests/user-data.yaml");
}

#[test]
fn it_is_small_and_holds_the_token_once_in_a_file_of_root() {
    assert!(SAMPLE.len() <= MAX_BYTES, "{} bytes", SAMPLE.len());
    assert_eq!(SAMPLE.matches("tbe_").count(), 1);
    let config = read(SAMPLE);
    let file = &config["write_files"][0];
    assert_eq!(
        (&file["content"], &file["permissions"], &file["owner"]),
        (&TOKEN.into(), &"0600".into(), &"root:root".into())
    );
}

fn value() -> impl Strategy<Value = String> {
    let hostile = proptest::sample::select(vec![
        "'",
        "\"",
        "\\",
        "\n",
        "\r",
        "\t",
        "\0",
        "#",
        ": ",
        "- ",
        "$(id)",
        "`id`",
        "; id",
        "{{ }}",
        "${x}",
        "\u{7f}",
        "\u{85}",
        "\u{2028}",
        "\u{feff}",
        "\u{fffe}",
        "é",
        "😀",
        "\n#cloud-config\n",
        "runcmd:\n- id",
        "%",
        "!!python",
        "&a",
        "*a",
        "|",
        ">",
    ]);
    let part = prop_oneof![hostile.prop_map(str::to_owned), any::<String>()];
    proptest::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    /// No value becomes anything but itself: not another key, not another word of a command.
    #[test]
    fn no_value_leaves_its_quotes(token in value(), release in value(), control in value()) {
        let made = user_data(id(), &token, &settings(&release, &control));
        // Characters that YAML takes as they are.
        let is_plain = made.chars().all(|c| matches!(c, '\n' | ' '..='~' | '\u{10000}'..));
        prop_assert!(is_plain);
        let config = read(&made);
        let sample = read(SAMPLE);
        let mut expected = sample.clone();
        expected["write_files"][0]["content"] = token.into();
        expected["runcmd"][1][1] = release.into();
        expected["runcmd"][1][3] = control.into();
        prop_assert_eq!(config, expected);
    }
}
