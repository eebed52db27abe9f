use std::sync::{Arc, Mutex};

use serde_json::json;
use toolbox_domain::retry::Fault;
use toolbox_http::TransportError;
use toolbox_http::recorded::{JumpingClock, Recorded, lock, run};

use super::*;

const NOW: Duration = Duration::from_secs(1_700_000_000);

/// The account at DigitalOcean as the client sees it: lists show a droplet only after `hidden` looks.
#[derive(Default)]
struct Account {
    droplets: Vec<Value>,
    hidden: usize,
    orders: usize,
}

struct World {
    transport: Arc<Recorded>,
    client: DigitalOcean,
    account: Arc<Mutex<Account>>,
}

impl World {
    /// An account whose answer to an order, once it is carried out, is `order`.
    fn new(order: Option<Answer>, carried_out: bool, hidden: usize) -> Self {
        let clock = Arc::new(JumpingClock::new(NOW));
        let transport = Arc::new(Recorded::new().with_clock(Arc::clone(&clock)));
        let account = Arc::new(Mutex::new(Account::default()));
        let there = Arc::clone(&account);
        transport.on(move |request| {
            let mut there = lock(&there);
            if request.method == "POST" {
                there.orders += 1;
                let droplet = droplet(7, "toolbox-1", &["toolbox", "toolbox-1"]);
                if carried_out {
                    there.droplets.push(droplet.clone());
                    there.hidden = hidden;
                }
                let made = ok(202, &json!({"droplet": droplet, "links": {}}));
                return Some(order.clone().unwrap_or(made));
            }
            let query = request.query()?;
            let shown = if there.hidden == 0 {
                there.droplets.clone()
            } else {
                // One look asks by tag, then by name.
                there.hidden -=
                    usize::from(query.contains("name=toolbox-1") && !query.contains("tag_name"));
                Vec::new()
            };
            Some(ok(
                200,
                &json!({"droplets": shown, "links": {}, "meta": {"total": 0}}),
            ))
        });
        Self {
            client: client(&transport, clock),
            transport,
            account,
        }
    }

    fn ensure(&self, attempt: Attempt) -> Result<Droplet, DigitalOceanError> {
        run(self.client.ensure_droplet(&new_droplet(), attempt))
    }

    fn orders(&self) -> usize {
        lock(&self.account).orders
    }
}

type Answer = Result<Response, TransportError>;

fn client(transport: &Arc<Recorded>, clock: Arc<JumpingClock>) -> DigitalOcean {
    let transport: Arc<dyn Transport> = transport.clone();
    let deadline = Duration::from_secs(10);
    DigitalOcean::new(transport, clock, "https://do.invalid", "SECRET", deadline)
}

/// A client that is told `answers` in this order.
fn told(answers: impl IntoIterator<Item = Answer>) -> (Arc<Recorded>, DigitalOcean) {
    let transport = Arc::new(Recorded::new());
    let mut answers: Vec<_> = answers.into_iter().collect();
    answers.reverse();
    transport.on(move |_| answers.pop());
    let client = client(&transport, Arc::new(JumpingClock::new(NOW)));
    (transport, client)
}

#[allow(clippy::unnecessary_wraps, reason = "stands beside answers that fail")]
fn ok(status: u16, body: &Value) -> Answer {
    Ok(Response::new(status, body.to_string().into_bytes()))
}

fn refused(status: u16, message: &str) -> Answer {
    ok(status, &json!({"id": "some_id", "message": message}))
}

fn lost(fault: Fault) -> Answer {
    Err(TransportError::new(fault, "recorded"))
}

fn droplet(id: u64, name: &str, tags: &[&str]) -> Value {
    json!({
        "id": id, "name": name, "status": "new", "locked": true, "size_slug": "s-1vcpu-1gb", "tags": tags,
        "created_at": "2023-11-14T22:13:20Z", "region": {"slug": "nyc3"}, "networks": {"v4": [
            {"ip_address": "10.1.2.3", "type": "private"}, {"ip_address": "203.0.113.7", "type": "public"},
        ]},
    })
}

fn new_droplet() -> NewDroplet {
    NewDroplet {
        name: "toolbox-1".to_owned(),
        tag: "toolbox-1".to_owned(),
        tags: vec!["toolbox".to_owned()],
        region: "nyc3".to_owned(),
        size: "s-1vcpu-1gb".to_owned(),
        image: "ubuntu-24-04-x64".to_owned(),
        ssh_keys: Vec::new(),
        user_data: "#cloud-config SECRET".to_owned(),
    }
}

fn urls(transport: &Recorded) -> Vec<String> {
    let sent = transport.sent().into_iter();
    sent.map(|call| {
        let Request { method, url, .. } = call.request;
        format!(
            "{method} {}",
            url.trim_start_matches("https://do.invalid/v2/")
        )
    })
    .collect()
}

#[test]
fn a_droplet_is_read() {
    let (transport, client) = told([
        ok(200, &json!({"droplet": droplet(7, "n", &["a"])})),
        refused(404, ""),
    ]);
    let read = run(client.droplet(DropletId(7))).unwrap().unwrap();
    assert_eq!(read.public_ipv4, Some([203, 0, 113, 7].into()));
    assert_eq!(
        (read.region.as_str(), read.size.as_str()),
        ("nyc3", "s-1vcpu-1gb")
    );
    assert_eq!(
        (read.status, read.created_at),
        (DropletStatus::New, Some(NOW))
    );
    assert_eq!(run(client.droplet(DropletId(8))), Ok(None));
    assert_eq!(urls(&transport), ["GET droplets/7", "GET droplets/8"]);
    let sent = &transport.sent()[0].request;
    assert_eq!(sent.headers.get("authorization"), Some("Bearer SECRET"));
}

#[test]
fn lists_are_read_to_their_end() {
    let page = |id, next: Option<&str>| {
        let droplets = [droplet(id, "n", &[])];
        ok(
            200,
            &json!({"droplets": droplets, "links": {"pages": {"next": next}}, "meta": {"total": 2}}),
        )
    };
    let (transport, client) = told([page(9, Some("https://elsewhere.invalid/")), page(4, None)]);
    let ids = run(client.droplets_by_tag("a b:c")).unwrap();
    let ids: Vec<_> = ids.iter().map(|droplet| droplet.id.0).collect();
    assert_eq!(ids, [4, 9], "oldest first");
    let path = "GET droplets?tag_name=a%20b%3Ac";
    assert_eq!(
        urls(&transport),
        [
            format!("{path}&page=1&per_page=200"),
            format!("{path}&page=2&per_page=200")
        ]
    );
}

#[test]
fn a_list_without_end_is_given_up() {
    let transport = Arc::new(Recorded::new());
    let endless = json!({"regions": [], "links": {"pages": {"next": "x"}}});
    transport.on(move |_| Some(ok(200, &endless)));
    let client = client(&transport, Arc::new(JumpingClock::new(NOW)));
    assert_eq!(run(client.regions()), Err(DigitalOceanError::TooMany));
    assert_eq!(transport.sent().len(), MAX_PAGES);
}

/// However an order ends, it is sent once, and what it made is found.
#[test]
fn a_droplet_is_ordered_once() {
    let endings = [
        None,
        Some(lost(Fault::Timeout)),
        Some(lost(Fault::Reset)),
        Some(lost(Fault::BadBody)),
        Some(refused(429, "")),
        Some(refused(500, "")),
        Some(refused(503, "")),
        Some(ok(202, &json!({"unknown": 1}))),
        Some(refused(301, "")),
    ];
    for ending in endings {
        for hidden in 0..=LOOKS.len() {
            let world = World::new(ending.clone(), true, hidden);
            let made = world.ensure(Attempt::First).unwrap();
            assert_eq!((made.id.0, world.orders()), (7, 1), "{ending:?} {hidden}");
        }
        let Some(ending) = ending else { continue };
        for (carried_out, hidden) in [(true, 99), (false, 0)] {
            let world = World::new(Some(ending.clone()), carried_out, hidden);
            let error = world.ensure(Attempt::First).unwrap_err();
            assert!(error.may_have_happened(), "{error:?}");
            assert_eq!(world.orders(), 1);
        }
    }
}

#[test]
fn an_order_that_may_have_got_through_is_looked_for_longer() {
    let world = World::new(None, true, 0);
    lock(&world.account).droplets = vec![droplet(3, "toolbox-1", &["toolbox-1"])];
    lock(&world.account).hidden = LOOKS.len();
    assert_eq!(world.ensure(Attempt::Again).unwrap().id.0, 3);
    assert_eq!(world.orders(), 0);

    let world = World::new(None, true, 0);
    assert_eq!(world.ensure(Attempt::Again).unwrap().id.0, 7);
    assert_eq!(world.orders(), 1);
}

#[test]
fn only_its_own_droplet_is_taken() {
    let none = || ok(200, &json!({"droplets": []}));
    let named = |tags: &[&str]| ok(200, &json!({"droplets": [droplet(1, "toolbox-1", tags)]}));
    let ensure = |client: DigitalOcean| run(client.ensure_droplet(&new_droplet(), Attempt::First));

    // Its tags come later.
    let (_, client) = told([none(), named(&[])]);
    assert_eq!(ensure(client).unwrap().id.0, 1);

    // Somebody else gave theirs the same name.
    let made = ok(202, &json!({"droplet": droplet(2, "toolbox-1", &[])}));
    let (_, client) = told([none(), named(&["somebody-else"]), made]);
    assert_eq!(ensure(client).unwrap().id.0, 2);
}

#[test]
fn what_certainly_did_not_happen_is_not_looked_for() {
    for (ending, expected) in [
        (refused(401, ""), DigitalOceanError::Unauthorised),
        (
            refused(422, "Size is not available\nin this region"),
            DigitalOceanError::Refused {
                status: 422,
                id: "some_id".to_owned(),
                message: "Size is not available in this region".to_owned(),
            },
        ),
    ] {
        let world = World::new(Some(ending), false, 0);
        let error = world.ensure(Attempt::First).unwrap_err();
        assert_eq!(error, expected);
        assert!(!error.may_have_happened());
    }
    let world = World::new(Some(lost(Fault::Refused)), false, 0);
    let error = world.ensure(Attempt::First).unwrap_err();
    assert!(!error.may_have_happened() && error.is_passing());
    assert_eq!(
        world.transport.sent().len(),
        3,
        "by tag, by name, the order"
    );
}

#[test]
fn reads_and_deletions_are_repeated() {
    let gone = || refused(404, "");
    let (transport, client) = told([
        lost(Fault::Timeout),
        refused(503, ""),
        lost(Fault::Reset),
        gone(),
    ]);
    assert_eq!(run(client.delete_droplet(DropletId(1))), Ok(()));
    assert_eq!(transport.sent().len(), 4);
    let (transport, client) = told([lost(Fault::Tls)]);
    assert!(run(client.droplet(DropletId(1))).is_err());
    assert_eq!(transport.sent().len(), 1);
}

#[test]
fn the_wish_to_wait_is_kept() {
    let limited = |name: &'static str, value: u64| {
        let mut answer = refused(429, "");
        if let Ok(answer) = &mut answer {
            answer.headers.set(name, value.to_string());
        }
        answer
    };
    let seconds = |s| Some(Duration::from_secs(s));
    for (answer, expected) in [
        (limited("retry-after", 40), seconds(40)),
        (limited("ratelimit-reset", NOW.as_secs() + 90), seconds(90)),
    ] {
        let (transport, client) = told([answer]);
        let error = run(client.account()).unwrap_err();
        assert_eq!(
            error,
            DigitalOceanError::RateLimited {
                retry_after: expected
            }
        );
        assert_eq!(transport.sent().len(), 1);
    }
    // A short wish is waited for.
    let account = json!({"account": {"droplet_limit": 25, "status": "active", "email": "a@b"}});
    let (_, client) = told([limited("retry-after", 2), ok(200, &account)]);
    assert_eq!(run(client.account()).unwrap().droplet_limit, 25);
}

#[test]
fn actions_are_asked_for_once() {
    for (what, body) in [
        (DropletAction::Reboot, json!({"type": "reboot"})),
        (DropletAction::PowerOff, json!({"type": "power_off"})),
        (
            DropletAction::Resize {
                size: "s".to_owned(),
                disk: false,
            },
            json!({"type": "resize", "size": "s", "disk": false}),
        ),
        (
            DropletAction::Rename {
                name: "n".to_owned(),
            },
            json!({"type": "rename", "name": "n"}),
        ),
    ] {
        let (transport, client) = told([refused(503, "")]);
        let error = run(client.act(DropletId(5), &what)).unwrap_err();
        assert!(error.may_have_happened());
        let sent = transport.sent();
        assert_eq!(urls(&transport), ["POST droplets/5/actions"]);
        assert_eq!(
            serde_json::from_slice::<Value>(&sent[0].request.body).unwrap(),
            body
        );
    }
    let action = json!({"id": 8, "status": "in-progress", "type": "reboot", "resource_id": 5});
    let (_, client) = told([ok(201, &json!({"action": action})), refused(404, "")]);
    let begun = run(client.act(DropletId(5), &DropletAction::Reboot)).unwrap();
    assert_eq!((begun.id.0, begun.status), (8, ActionStatus::InProgress));
    assert_eq!(run(client.action(ActionId(8))), Ok(None));
}

fn new_firewall() -> NewFirewall {
    let rule = |ports: &str, addresses: [&str; 2]| FirewallRule {
        protocol: Protocol::Tcp,
        ports: ports.to_owned(),
        addresses: addresses.map(str::to_owned).to_vec(),
    };
    NewFirewall {
        name: "toolbox".to_owned(),
        tag: "toolbox".to_owned(),
        inbound: vec![
            rule("22", ["0.0.0.0/0", "::/0"]),
            rule("30000", ["0.0.0.0/0", "::/0"]),
        ],
        outbound: vec![rule("0", ["0.0.0.0/0", "::/0"])],
    }
}

fn firewall(ports: [&str; 2]) -> Value {
    let inbound = ports.map(|ports| {
        json!({"protocol": "tcp", "ports": ports, "sources": {"addresses": ["::/0", "0.0.0.0/0"]}})
    });
    json!({
        "id": "f-1", "name": "toolbox", "status": "succeeded", "tags": ["toolbox"], "droplet_ids": [7],
        "inbound_rules": inbound, "outbound_rules": [
            {"protocol": "tcp", "ports": "0", "destinations": {"addresses": ["0.0.0.0/0", "::/0"]}},
        ],
    })
}

#[test]
fn a_firewall_is_made_once_and_put_right() {
    let list = |all: &[Value]| ok(200, &json!({"firewalls": all, "links": {}}));
    let tag = || ok(201, &json!({"tag": {}}));
    let right = firewall(["30000", "22"]);
    let page = "GET firewalls?page=1&per_page=200";
    let made = || ok(202, &json!({"firewall": right}));

    // There is none: its tag first, and no look at all the others.
    let (transport, client) = told([tag(), made()]);
    assert_eq!(
        run(client.ensure_firewall(&new_firewall())).unwrap().id.0,
        "f-1"
    );
    assert_eq!(urls(&transport), ["POST tags", "POST firewalls"]);

    // It is there as it shall be, in another order.
    let there = || refused(409, "duplicate name");
    let (transport, client) = told([tag(), there(), list(std::slice::from_ref(&right))]);
    run(client.ensure_firewall(&new_firewall())).unwrap();
    assert_eq!(urls(&transport), ["POST tags", "POST firewalls", page]);

    // It lets something else through.
    let wrong = firewall(["22", "2375"]);
    let (transport, client) = told([tag(), there(), list(&[wrong]), made()]);
    run(client.ensure_firewall(&new_firewall())).unwrap();
    assert_eq!(
        urls(&transport),
        ["POST tags", "POST firewalls", page, "PUT firewalls/f-1"]
    );
    let sent: Value = serde_json::from_slice(&transport.sent()[3].request.body).unwrap();
    assert_eq!(
        sent["droplet_ids"],
        json!([7]),
        "who is behind it stays behind it"
    );

    // It was made, and the answer was lost.
    let (transport, client) = told([tag(), refused(500, "x"), list(std::slice::from_ref(&right))]);
    run(client.ensure_firewall(&new_firewall())).unwrap();
    assert_eq!(urls(&transport), ["POST tags", "POST firewalls", page]);

    // It is there, and nobody could see it: it may be this toolbox' own.
    let (_, client) = told([tag(), there(), refused(403, "x")]);
    let unseen = run(client.ensure_firewall(&new_firewall())).unwrap_err();
    assert!(unseen.may_have_happened(), "{unseen}");

    // What DigitalOcean does not want is no firewall that is there already.
    let (_, client) = told([tag(), refused(422, "bad ports"), list(&[])]);
    let refusal = run(client.ensure_firewall(&new_firewall())).unwrap_err();
    assert!(refusal.to_string().contains("bad ports"), "{refusal}");
}

#[test]
fn a_key_is_known_by_itself_not_by_its_comment() {
    let key =
        json!({"id": 5, "fingerprint": "aa:bb", "public_key": "ssh-ed25519 AAAA old", "name": "n"});
    let (transport, client) = told([ok(200, &json!({"ssh_keys": [key], "links": {}}))]);
    let found = run(client.ensure_ssh_key("other", "ssh-ed25519 AAAA new")).unwrap();
    assert_eq!((found.id.0, transport.sent().len()), (5, 1));
}

#[test]
fn no_secret_is_printed() {
    let (_, client) = told([refused(422, &"x".repeat(1000))]);
    let error = run(client.act(DropletId(1), &DropletAction::Reboot)).unwrap_err();
    let printed = format!("{client:?} {:?} {error:?} {error}", new_droplet());
    assert!(!printed.contains("SECRET"), "{printed}");
    assert!(error.to_string().len() < 400);
}
