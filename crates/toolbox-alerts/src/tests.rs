use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use toolbox_clients::email::EmailProvider;
use toolbox_clients::supabase::{ProjectKeys, Supabase};
use toolbox_domain::address::Allowed;
use toolbox_domain::retry::Fault;
use toolbox_domain::sealing::{Owner, Place, Roots, SealingKeys};
use toolbox_http::recorded::{JumpingClock, Recorded, run};
use toolbox_http::{Clock, Response, Transport, TransportError};

use crate::Sender;
use crate::sign::signature;

const NOW: u64 = 1_767_225_600; // 2026-01-01T00:00:00Z
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const CHANNEL: &str = "33333333-3333-4333-8333-333333333333";
const ROOTS: Roots<'_> = Roots {
    current: &[7; 32],
    previous: Some(&[6; 32]),
};
const HOOK: &str = "https://hooks.example.org/x?y=1";

type Answer = Result<Response, TransportError>;

#[allow(clippy::unnecessary_wraps, reason = "stands beside answers that fail")]
fn status(status: u16) -> Answer {
    Ok(Response::new(status, Vec::new()))
}

fn fault(fault: Fault) -> Answer {
    Err(TransportError::new(fault, "x"))
}

fn webhook(url: &str) -> Value {
    json!({"kind": "webhook", "id": CHANNEL, "webhook_url": url, "webhook_secret": SECRET, "email": null})
}

fn mail(address: Option<&str>) -> Value {
    json!({"kind": "email", "webhook_url": null, "webhook_secret": null, "email": address})
}

fn message(channel: &Value) -> Value {
    json!({
        "id": "11111111-1111-4111-8111-111111111111", "event": "opened", "attempt": 3, "channel": channel,
        "alert": {
            "id": "22222222-2222-4222-8222-222222222222", "kind": "instance_error", "toolbox_id": "t", "toolbox_name": "my\nbox",
            "instance_id": "i", "instance_name": "tool", "detail": {"reason_code": "exited", "reason": "Exit code 1"},
            "opened_at": "2026-01-01T00:00:00+00:00", "closed_at": null, "times": 1,
        },
    })
}

fn test_message(channel: &Value) -> Value {
    let mut message = message(channel);
    message["event"] = "test".into();
    message["alert"] = Value::Null;
    message
}

/// A database with one message that is due, and a receiver.
struct World {
    transport: Arc<Recorded>,
    clock: Arc<JumpingClock>,
    supabase: Supabase,
    allowed: Allowed,
    email: Option<EmailProvider>,
}

impl World {
    fn new(channel: &Value, receiver: Answer) -> Self {
        Self::with(&message(channel), receiver)
    }

    fn with(message: &Value, receiver: Answer) -> Self {
        let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
        let transport = Arc::new(Recorded::new());
        let public = "93.184.215.14".parse().unwrap();
        transport.on_name("hooks.example.org", Some(vec![public]));
        transport.on(move |_| Some(receiver.clone()));
        let due = json!({"outcome": "claimed", "messages": [message]});
        transport.on(move |request| {
            let function = request.url.strip_prefix("https://p/rest/v1/rpc/")?;
            let body = match function {
                "claim_alert_messages" => due.clone(),
                "record_alert_delivery" => json!({"outcome": "recorded", "state": "x"}),
                _ => return None,
            };
            Some(Ok(Response::new(200, body.to_string().into_bytes())))
        });
        let keys = ProjectKeys {
            publishable: "sb_publishable_x".to_owned(),
            secret: "sb_secret_x".to_owned(),
        };
        let supabase = Supabase::new(
            Arc::clone(&transport) as Arc<dyn Transport>,
            Arc::clone(&clock) as Arc<dyn Clock>,
            "https://p",
            keys,
            Duration::from_secs(10),
        );
        Self {
            transport,
            clock,
            supabase,
            allowed: Allowed::default(),
            email: Some(EmailProvider {
                url: "https://mail.example.org/emails".to_owned(),
                key: "re_KEY".to_owned(),
                from: "Toolbox <alerts@example.org>".to_owned(),
            }),
        }
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            supabase: &self.supabase,
            transport: &*self.transport,
            clock: &*self.clock,
            allowed: &self.allowed,
            email: self.email.as_ref(),
            roots: ROOTS,
        }
    }

    /// Delivers, and says what was recorded: outcome, status and code; and how many calls the receiver got.
    fn deliver(&self) -> (String, usize) {
        assert_eq!(run(self.sender().deliver_due()).unwrap(), 1);
        let sent = self.transport.sent();
        let (to_database, to_receiver): (Vec<_>, Vec<_>) = sent
            .iter()
            .partition(|call| call.request.url.starts_with("https://p/"));
        let record = to_database.last().unwrap();
        let record: Value = serde_json::from_slice(&record.request.body).unwrap();
        let p = &record["p"];
        assert_eq!(p["attempt"], 3);
        let text = |name: &str| match &p[name] {
            Value::Null => String::new(),
            Value::String(text) => format!(" {text}"),
            value => format!(" {value}"),
        };
        let told = format!(
            "{}{}{}",
            p["outcome"].as_str().unwrap(),
            text("status"),
            text("code")
        );
        (told, to_receiver.len())
    }
}

#[test]
fn a_webhook_is_signed_and_says_what_happened() {
    let world = World::new(&webhook(HOOK), status(204));
    assert_eq!(world.deliver(), ("delivered 204".to_owned(), 1));
    let sent = world.transport.sent();
    let call = sent.iter().find(|call| call.request.url == HOOK).unwrap();
    let (request, body) = (&call.request, &call.request.body);
    let id = "11111111-1111-4111-8111-111111111111";
    assert_eq!(request.headers.get("webhook-id"), Some(id));
    assert_eq!(request.headers.get("webhook-timestamp"), Some("1767225600"));
    assert_eq!(
        request.headers.get("webhook-signature"),
        signature(SECRET, id, NOW, body).as_deref()
    );
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(body["type"], "alert.opened");
    assert_eq!(body["timestamp"], "2026-01-01T00:00:00.000Z");
    assert_eq!(
        body["data"]["summary"],
        r#"Tool "tool" on toolbox "my box" is in error (exited): Exit code 1"#
    );
    assert_eq!(body["data"]["alert"]["instance_id"], "i");
    assert!(!body.to_string().contains("whsec_"));
    assert_eq!(call.deadline, Duration::from_secs(5));
}

#[test]
fn a_sealed_secret_signs_as_it_did_before() {
    let channel = |root: &[u8]| {
        let roots = Roots {
            current: root,
            previous: None,
        };
        let keys = SealingKeys::derive(roots, Owner::Channel(CHANNEL.parse().unwrap())).unwrap();
        let sealed = keys.seal(Place::WebhookSecret, SECRET, [9; 12]).unwrap();
        let mut channel = webhook(HOOK);
        channel["webhook_secret"] = sealed.value.into();
        channel["webhook_secret_key_id"] = sealed.key_id.into();
        channel
    };
    for root in [ROOTS.current, ROOTS.previous.unwrap()] {
        let world = World::new(&channel(root), status(204));
        assert_eq!(world.deliver(), ("delivered 204".to_owned(), 1));
        let sent = world.transport.sent();
        let request = &sent
            .iter()
            .find(|call| call.request.url == HOOK)
            .unwrap()
            .request;
        let id = "11111111-1111-4111-8111-111111111111";
        assert_eq!(
            request.headers.get("webhook-signature"),
            signature(SECRET, id, NOW, &request.body).as_deref()
        );
    }
    let world = World::new(&channel(&[5; 32]), status(204));
    assert_eq!(
        world.deliver(),
        ("failed webhook_secret_unreadable".to_owned(), 0)
    );
}

#[test]
fn each_answer_has_its_outcome() {
    for (answer, told) in [
        (status(200), "delivered 200"),
        (status(302), "retry 302 target_refused"),
        (status(400), "retry 400 target_refused"),
        (status(410), "failed 410 target_gone"),
        (status(503), "retry 503 target_refused"),
        (fault(Fault::Timeout), "retry target_timeout"),
        (fault(Fault::Refused), "retry target_unreachable"),
        (fault(Fault::Reset), "retry target_unreachable"),
        (fault(Fault::Tls), "retry target_tls_failed"),
        (fault(Fault::Dns), "retry target_not_found"),
        (fault(Fault::BadBody), "retry target_answer_unreadable"),
    ] {
        for channel in [webhook(HOOK), mail(Some("a@example.org"))] {
            let world = World::new(&channel, answer.clone());
            assert_eq!(world.deliver(), (told.to_owned(), 1), "{channel}");
        }
    }
}

#[test]
fn a_target_that_is_not_public_is_not_called() {
    for url in [
        "http://hooks.example.org/",
        "https://127.0.0.1/",
        "https://10.0.0.1:8443/",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://localhost/",
        "https://db.internal/",
        "https://0x7f000001/",
        "https://user:password@hooks.example.org/",
    ] {
        let world = World::new(&webhook(url), status(200));
        let told = ("failed target_not_allowed".to_owned(), 0);
        assert_eq!(world.deliver(), told, "{url}");
    }
}

#[test]
fn a_name_counts_by_its_addresses() {
    let public = "93.184.215.14".parse().unwrap();
    let inner = "10.0.0.7".parse().unwrap();
    for (addresses, told, calls) in [
        (Some(vec![public]), "delivered 200", 1),
        (Some(vec![public, inner]), "failed target_not_allowed", 0),
        (Some(vec![inner]), "failed target_not_allowed", 0),
        // A host that cannot ask leaves it to TLS.
        (None, "delivered 200", 1),
    ] {
        let world = World::new(&webhook(HOOK), status(200));
        world.transport.on_name("hooks.example.org", addresses);
        assert_eq!(world.deliver(), (told.to_owned(), calls));
    }
    let world = World::new(&webhook("https://nowhere.example.org/"), status(200));
    assert_eq!(world.deliver(), ("retry target_not_found".to_owned(), 0));
}

#[test]
fn the_operator_allows_what_is_not_public() {
    for (allowed, url) in [
        ("127.0.0.1:8443", "https://127.0.0.1:8443/"),
        ("10.0.0.0/8", "https://10.1.2.3/"),
        ("hooks.internal", "https://hooks.internal/"),
    ] {
        let mut world = World::new(&webhook(url), status(200));
        world.allowed = allowed.parse().unwrap();
        assert_eq!(world.deliver(), ("delivered 200".to_owned(), 1), "{url}");
    }
}

#[test]
fn mail_goes_to_the_provider_once_for_each_id() {
    let world = World::new(&mail(Some("owner@example.org")), status(200));
    assert_eq!(world.deliver(), ("delivered 200".to_owned(), 1));
    let sent = world.transport.sent();
    let call = sent
        .iter()
        .find(|call| call.request.url == "https://mail.example.org/emails")
        .unwrap();
    assert_eq!(
        call.request.headers.get("authorization"),
        Some("Bearer re_KEY")
    );
    assert_eq!(
        call.request.headers.get("idempotency-key"),
        Some("11111111-1111-4111-8111-111111111111")
    );
    let body: Value = serde_json::from_slice(&call.request.body).unwrap();
    assert_eq!(
        body,
        json!({
            "from": "Toolbox <alerts@example.org>", "to": ["owner@example.org"],
            "subject": r#"Toolbox: Tool "tool" on toolbox "my box" is in error (exited): Exit code 1"#,
            "text": "Tool \"tool\" on toolbox \"my box\" is in error (exited): Exit code 1.\n\nSince 2026-01-01T00:00:00+00:00.\n",
        })
    );
}

#[test]
fn mail_needs_a_provider_and_a_confirmed_address() {
    let world = World::new(&mail(None), status(200));
    assert_eq!(
        world.deliver(),
        ("failed email_not_confirmed".to_owned(), 0)
    );
    let mut world = World::new(&mail(Some("owner@example.org")), status(200));
    world.email = None;
    assert_eq!(
        world.deliver(),
        ("failed email_not_configured".to_owned(), 0)
    );
}

#[test]
fn a_test_says_that_nothing_has_happened() {
    let world = World::with(&test_message(&webhook(HOOK)), status(500));
    assert_eq!(world.deliver(), ("retry 500 target_refused".to_owned(), 1));
    let world = World::with(&test_message(&webhook(HOOK)), status(200));
    assert_eq!(world.deliver(), ("delivered 200".to_owned(), 1));
    let sent = world.transport.sent();
    let call = sent.iter().find(|call| call.request.url == HOOK).unwrap();
    let body: Value = serde_json::from_slice(&call.request.body).unwrap();
    assert_eq!(body["type"], "alert.test");
    assert_eq!(
        body["data"],
        json!({"summary": "This is a test of the alerts of Toolbox; nothing has happened"})
    );
}
