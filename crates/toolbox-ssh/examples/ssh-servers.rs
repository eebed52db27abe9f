//! Starts every server that misbehaves, prints where they are as one line of JSON, and serves until standard input ends.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "../tests/servers/mod.rs"]
mod servers;

use std::io::{Read, Write};

use servers::Manner;

const ALL: [(&str, Manner); 13] = [
    ("answers", Manner::Answers),
    ("stalls_at_banner", Manner::StallsAtBanner),
    ("is_no_ssh", Manner::IsNoSsh),
    ("stalls_at_key_exchange", Manner::StallsAtKeyExchange),
    ("stalls_at_authentication", Manner::StallsAtAuthentication),
    ("refuses", Manner::Refuses),
    ("stalls_at_channel", Manner::StallsAtChannel),
    ("refuses_channel", Manner::RefusesChannel),
    ("stalls_at_exec", Manner::StallsAtExec),
    ("refuses_exec", Manner::RefusesExec),
    ("stalls_at_operation", Manner::StallsAtOperation),
    ("floods", Manner::Floods),
    ("cuts", Manner::Cuts),
];

#[tokio::main]
async fn main() {
    let mut all = serde_json::Map::new();
    for (name, manner) in ALL {
        let (port, host_key) = servers::start(manner).await;
        all.insert(
            name.to_owned(),
            serde_json::json!({ "port": port, "host_key": host_key }),
        );
    }
    println!("{}", serde_json::Value::Object(all));
    std::io::stdout().flush().unwrap();
    let waiting = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _ = waiting.await;
}
