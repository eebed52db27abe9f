//! The client of DigitalOcean against DigitalOcean's published contract.
//!
//! Every documented answer to what it asks is read here. What it asks is kept in `tests/digitalocean/requests.json`;
//! `tests/digitalocean/` validates these requests against the contract.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_clients::digitalocean::{
    ActionId, Attempt, DigitalOcean, DigitalOceanError, DropletAction, DropletId, FirewallId,
    FirewallRule, NewDroplet, NewFirewall, Protocol, SshKeyId,
};
use toolbox_http::recorded::{JumpingClock, Recorded, lock, run};
use toolbox_http::{Request, Response, Transport};

const CONTRACT: &str = include_str!("../../../tests/digitalocean/openapi.json");
const REQUESTS: &str = include_str!("../../../tests/digitalocean/requests.json");
const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8dX6XVYHmnZxB1f2q1yQ8kSjJ3JbqK0p2t0T6iF3bM operator";

fn client(answer: impl FnMut(&Request) -> Value + Send + 'static) -> (DigitalOcean, Arc<Recorded>) {
    let transport = Arc::new(Recorded::new());
    let mut answer = answer;
    transport.on(move |request| Some(Ok(Response::new(200, answer(request).to_string().into()))));
    let shared: Arc<dyn Transport> = transport.clone();
    let clock = Arc::new(JumpingClock::new(Duration::from_secs(1_700_000_000)));
    let url = "https://api.digitalocean.com";
    let client = DigitalOcean::new(shared, clock, url, "token", Duration::from_secs(10));
    (client, transport)
}

fn new_droplet() -> NewDroplet {
    NewDroplet {
        name: "toolbox-6f9619ff".to_owned(),
        tag: "toolbox:6f9619ff".to_owned(),
        tags: vec!["toolbox".to_owned()],
        region: "nyc3".to_owned(),
        size: "s-1vcpu-1gb".to_owned(),
        image: "ubuntu-24-04-x64".to_owned(),
        ssh_keys: vec!["3b:16:e4:bf:8b:00:8b:b8:59:8c:a9:d3:f0:19:fa:45".to_owned()],
        user_data: "#cloud-config\nruncmd:\n  - [true]\n".to_owned(),
    }
}

fn new_firewall() -> NewFirewall {
    let anywhere = || vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let rule = |protocol, ports: &str| FirewallRule {
        protocol,
        ports: ports.to_owned(),
        addresses: anywhere(),
    };
    NewFirewall {
        name: "toolbox".to_owned(),
        tag: "toolbox".to_owned(),
        inbound: vec![rule(Protocol::Tcp, "22"), rule(Protocol::Icmp, "0")],
        outbound: vec![rule(Protocol::Tcp, "0"), rule(Protocol::Udp, "8000-9000")],
    }
}

/// Everything that the client can ask, against an account in which there is nothing but one firewall.
fn ask_everything() -> Vec<Value> {
    let firewall = json!({ "id": "bb4b2611-3d72-467b-8602-280330ecd65c", "name": "other" });
    let (client, transport) = client(move |request| match request.path() {
        "/v2/firewalls" => json!({ "firewalls": [firewall] }),
        _ => json!({
            "droplets": [], "sizes": [], "regions": [], "images": [], "ssh_keys": [],
            "account": { "droplet_limit": 1, "status": "active" },
        }),
    });
    let id = DropletId(3_164_444);
    // Makings fail, because the answers lack what was made: here it counts only what is asked.
    let _ = run(client.ensure_droplet(&new_droplet(), Attempt::First));
    let _ = run(client.ensure_firewall(&new_firewall()));
    let other = NewFirewall {
        name: "other".to_owned(),
        ..new_firewall()
    };
    let _ = run(client.ensure_firewall(&other));
    let _ = run(client.ensure_ssh_key("operator", KEY));
    let _ = run(client.droplet(id));
    for what in [
        DropletAction::Reboot,
        DropletAction::Shutdown,
        DropletAction::PowerOff,
        DropletAction::PowerOn,
        DropletAction::PowerCycle,
        DropletAction::Resize {
            size: "s-2vcpu-2gb".to_owned(),
            disk: false,
        },
        DropletAction::Rename {
            name: "toolbox-new".to_owned(),
        },
    ] {
        let _ = run(client.act(id, &what));
    }
    let _ = run(client.action(ActionId(36_804_636)));
    run(client.delete_droplet(id)).unwrap();
    let firewall = FirewallId("bb4b2611-3d72-467b-8602-280330ecd65c".to_owned());
    run(client.delete_firewall(&firewall)).unwrap();
    run(client.delete_tag("toolbox:6f9619ff")).unwrap();
    run(client.delete_ssh_key(SshKeyId(289_794))).unwrap();
    run(client.account()).unwrap();
    run(client.sizes()).unwrap();
    run(client.regions()).unwrap();
    run(client.images()).unwrap();
    let mut asked: Vec<Value> = Vec::new();
    for call in transport.sent() {
        let Request {
            method, url, body, ..
        } = call.request;
        let path = url.trim_start_matches("https://api.digitalocean.com");
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let request = json!({ "method": method, "path": path, "body": body });
        if !asked.contains(&request) {
            asked.push(request);
        }
    }
    asked
}

#[test]
fn what_it_asks_is_what_is_validated() {
    let asked = Value::from(ask_everything());
    let kept: Value = serde_json::from_str(REQUESTS).unwrap();
    let new = Path::new(env!("CARGO_TARGET_TMPDIR")).join("requests.json");
    let text = serde_json::to_string_pretty(&asked).unwrap();
    std::fs::write(&new, text + "\n").unwrap();
    assert!(
        asked == kept,
        "copy {} to tests/digitalocean/requests.json, and run tests/digitalocean",
        new.display()
    );
}

/// What a reference leads to.
fn resolve<'a>(contract: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(path) => contract.pointer(path.trim_start_matches('#')).unwrap(),
        None => value,
    }
}

/// The documented successful answers of an operation. Where there is none as a whole, its parts' examples make one.
fn examples(contract: &Value, method: &str, path: &str) -> Vec<Value> {
    let responses = contract["paths"][path][method]["responses"].as_object();
    let responses = responses.unwrap().iter();
    let successes = responses.filter(|(status, _)| status.starts_with('2'));
    let mut found = Vec::new();
    for (_, response) in successes {
        let content = &resolve(contract, response)["content"]["application/json"];
        let whole = content["examples"].as_object().into_iter().flatten();
        let whole = whole.map(|(_, example)| resolve(contract, example)["value"].clone());
        found.extend(whole.chain(content.get("example").cloned()));
        if found.is_empty() {
            found.push(sample(contract, &content["schema"]));
        }
    }
    found
}

/// A value of a schema, made of the examples in it.
fn sample(contract: &Value, schema: &Value) -> Value {
    let schema = resolve(contract, schema);
    if let Some(example) = schema.get("example") {
        return example.clone();
    }
    let mut made = serde_json::Map::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        match sample(contract, part) {
            Value::Object(part) => made.extend(part),
            Value::Null => {}
            whole => return whole,
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        made.insert(name.clone(), sample(contract, property));
    }
    if made.is_empty() {
        Value::Null
    } else {
        Value::Object(made)
    }
}

#[test]
fn every_documented_answer_is_read() {
    type Ask = fn(&DigitalOcean) -> Result<usize, DigitalOceanError>;
    let operations: [(&str, &str, Ask); 13] = [
        ("get", "/v2/account", |c| run(c.account()).map(|_| 1)),
        ("get", "/v2/account/keys", |c| {
            run(c.ssh_keys()).map(|all| all.len())
        }),
        ("get", "/v2/actions/{action_id}", |c| {
            run(c.action(ActionId(1))).map(|found| found.iter().count())
        }),
        ("get", "/v2/droplets", |c| {
            run(c.droplets_by_tag("t")).map(|all| all.len())
        }),
        ("post", "/v2/droplets", |c| {
            let made = run(c.ensure_droplet(&new_droplet(), Attempt::First));
            made.map(|_| 1)
        }),
        ("get", "/v2/droplets/{droplet_id}", |c| {
            run(c.droplet(DropletId(1))).map(|found| found.iter().count())
        }),
        ("post", "/v2/droplets/{droplet_id}/actions", |c| {
            run(c.act(DropletId(1), &DropletAction::Reboot)).map(|_| 1)
        }),
        ("get", "/v2/firewalls", |c| {
            run(c.firewall_by_name("firewall")).map(|found| found.iter().count())
        }),
        ("post", "/v2/firewalls", |c| {
            run(c.ensure_firewall(&new_firewall())).map(|_| 1)
        }),
        ("get", "/v2/images", |c| {
            run(c.images()).map(|all| all.len())
        }),
        ("get", "/v2/regions", |c| {
            run(c.regions()).map(|all| all.len())
        }),
        ("get", "/v2/sizes", |c| run(c.sizes()).map(|all| all.len())),
        ("post", "/v2/account/keys", |c| {
            run(c.ensure_ssh_key("operator", KEY)).map(|_| 1)
        }),
    ];
    let contract: Value = serde_json::from_str(CONTRACT).unwrap();
    for (method, path, ask) in operations {
        let examples = examples(&contract, method, path);
        assert!(!examples.is_empty(), "{method} {path}");
        for example in examples {
            // The client orders one droplet at a time.
            if method == "post" && example.get("droplets").is_some() {
                continue;
            }
            let asked = Mutex::new(0);
            let told = example.clone();
            let (client, _) = client(move |request| {
                let is_asked = request.method.to_lowercase() == method;
                *lock(&asked) += 1;
                match (is_asked, *lock(&asked)) {
                    // Examples of pages go on for ever.
                    (true, 2..) if method == "get" => json!({
                        "droplets": [], "firewalls": [], "images": [], "regions": [], "sizes": [], "ssh_keys": [],
                    }),
                    (true, _) => told.clone(),
                    (false, _) => json!({ "droplets": [], "firewalls": [], "ssh_keys": [] }),
                }
            });
            let read = ask(&client);
            assert!(
                matches!(read, Ok(1..)),
                "{method} {path}: {read:?} of {example}"
            );
        }
    }
}
