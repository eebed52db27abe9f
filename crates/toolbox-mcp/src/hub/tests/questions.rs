//! Whom the server's questions reach. None may reach a client whose call did not cause it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::world::{World, answer, json_of, message};
use crate::hub::Input;
use crate::hub::turns::{GIVEN_UP, HELD, SETTLED, UNKNOWN};
use crate::mailbox::{Mail, Receiver, mailbox};

const METHODS: [&str; 2] = ["sampling/createMessage", "elicitation/create"];

fn all() -> Value {
    json!({"sampling": {}, "elicitation": {}})
}

fn listen(world: &mut World, session: Uuid) -> Receiver {
    let (reply, mail) = mailbox(1 << 20);
    world.hub.input(world.now, Input::Listen { session, reply });
    mail
}

fn call(world: &mut World, session: Uuid, tool: &str) -> Receiver {
    let params = json!({"name": tool, "arguments": {}});
    world.post(
        Some(session),
        &json!({"id": 1, "method": "tools/call", "params": params}),
    )
}

/// The ids of the calls that reached the server since the last look.
fn reached(world: &mut World) -> Vec<Value> {
    let written = world.written().into_iter();
    written
        .filter(|m| m["method"] == "tools/call")
        .map(|mut m| m["id"].take())
        .collect()
}

fn ask(world: &mut World, method: &str) {
    world.server(&json!({"id": "q", "method": method, "params": {}}));
}

/// The error that the server got for its question.
fn declined(world: &mut World) -> Value {
    let mut found = world.written();
    let at = found.iter().position(|m| m["id"] == "q").unwrap();
    assert!(found[at]["error"]["message"].is_string(), "{}", found[at]);
    found.swap_remove(at)["error"].take()
}

fn done(world: &mut World, id: &Value) {
    world.server(&json!({"id": id, "result": {"content": []}}));
}

fn reply(world: &mut World, session: Uuid, asked: &Value, text: &str) {
    let answer = json!({"id": asked["id"], "result": {"text": text}});
    world.post(Some(session), &answer);
}

#[test]
fn a_caller_without_the_capability_gets_the_error_of_the_protocol_and_nobody_else_is_asked() {
    for method in METHODS {
        let mut world = World::ready();
        let idle = world.open(&all());
        let mut stream = listen(&mut world, idle);
        let caller = world.open(&json!({}));
        let mut mail = call(&mut world, caller, "a");
        reached(&mut world);
        ask(&mut world, method);
        assert_eq!(message(&mut stream), None, "{method} reached another");
        assert_eq!(message(&mut mail), None);
        assert_eq!(declined(&mut world)["code"], -32601);
    }
}

#[test]
fn a_question_whose_id_is_too_long_to_keep_is_declined() {
    let mut world = World::ready();
    let caller = world.open(&all());
    let mut mail = call(&mut world, caller, "a");
    reached(&mut world);
    let id = "q".repeat(2000);
    world.server(&json!({"id": id, "method": METHODS[0], "params": {}}));
    assert_eq!(message(&mut mail), None);
    let declined = world.written();
    assert_eq!(declined[0]["id"], id);
    assert!(
        declined[0]["error"]["message"]
            .to_string()
            .contains("too long")
    );
}

#[test]
fn without_a_call_nobody_is_asked() {
    let mut world = World::ready();
    let idle = world.open(&all());
    let mut stream = listen(&mut world, idle);
    for method in METHODS {
        ask(&mut world, method);
        assert!(
            declined(&mut world)["message"]
                .as_str()
                .unwrap()
                .contains("no client's call is under way")
        );
    }
    assert_eq!(message(&mut stream), None);
}

#[test]
fn two_clients_at_once_each_get_their_own() {
    let mut world = World::ready();
    let clients = [world.open(&all()), world.open(&all())];
    let mut mails = clients.map(|client| call(&mut world, client, "a"));
    for (turn, client) in clients.into_iter().enumerate() {
        let calls = reached(&mut world);
        assert_eq!(calls.len(), 1, "the other waits for its turn");
        for method in METHODS {
            ask(&mut world, method);
            let asked = message(&mut mails[turn]).unwrap();
            assert_eq!(asked["method"], method);
            reply(&mut world, client, &asked, "mine");
            assert_eq!(world.written()[0]["result"]["text"], "mine");
        }
        done(&mut world, &calls[0]);
        assert_eq!(json_of(&answer(&mut mails[turn]).unwrap())["id"], 1);
    }
}

#[test]
fn a_person_who_thinks_for_minutes_holds_back_only_who_may_ask_and_for_a_moment() {
    let mut world = World::ready();
    let (one, two, plain) = (
        world.open(&all()),
        world.open(&all()),
        world.open(&json!({})),
    );
    let mut mail_one = call(&mut world, one, "a");
    let first = reached(&mut world);
    ask(&mut world, METHODS[1]);
    let asked_one = message(&mut mail_one).unwrap();
    // What the same call asks together is still its own.
    let mut mail_two = call(&mut world, two, "a");
    let mut mail_plain = call(&mut world, plain, "b");
    assert_eq!(reached(&mut world), Vec::<Value>::new());
    world.pass(SETTLED + Duration::from_millis(300));
    let quick = reached(&mut world);
    assert_eq!(quick.len(), 1, "the client that cannot be asked");
    done(&mut world, &quick[0]);
    assert!(answer(&mut mail_plain).is_some());
    assert_eq!(reached(&mut world), Vec::<Value>::new());
    world.pass(HELD);
    let second = reached(&mut world);
    assert_eq!(second.len(), 1, "it has waited long enough");
    ask(&mut world, METHODS[1]);
    let why = declined(&mut world);
    assert!(why["message"].as_str().unwrap().contains("several clients"));
    assert_eq!(message(&mut mail_two), None);
    done(&mut world, &second[0]);
    assert!(answer(&mut mail_two).is_some());
    world.pass(Duration::from_secs(90));
    reply(&mut world, one, &asked_one, "one");
    let answered = world.written();
    assert_eq!(answered.last().unwrap()["result"]["text"], "one");
    done(&mut world, &first[0]);
    assert!(answer(&mut mail_one).is_some());
}

#[test]
fn a_question_that_is_answered_soon_lets_the_next_client_have_its_own() {
    let mut world = World::ready();
    let (one, two) = (world.open(&all()), world.open(&all()));
    let mut mail_one = call(&mut world, one, "a");
    let first = reached(&mut world);
    ask(&mut world, METHODS[1]);
    let asked = message(&mut mail_one).unwrap();
    let mut mail_two = call(&mut world, two, "a");
    world.pass(Duration::from_secs(5));
    reply(&mut world, one, &asked, "one");
    done(&mut world, &first[0]);
    assert_eq!(reached(&mut world).len(), 1);
    ask(&mut world, METHODS[1]);
    assert!(message(&mut mail_two).is_some());
}

/// A tool may ask while its first question is open: some stop waiting for an answer without a word.
#[test]
fn what_a_call_asks_while_it_waits_for_an_answer_reaches_no_other_client() {
    for together in [false, true] {
        let mut world = World::ready();
        let (one, two) = (world.open(&all()), world.open(&all()));
        let mut mail_one = call(&mut world, one, "a");
        for method in &METHODS[..=usize::from(together)] {
            ask(&mut world, method);
            assert!(message(&mut mail_one).is_some());
        }
        let mut mail_two = call(&mut world, two, "a");
        world.pass(Duration::from_mins(1));
        assert_eq!(reached(&mut world).len(), 2);
        ask(&mut world, METHODS[0]);
        assert_eq!(message(&mut mail_two), None);
        let why = declined(&mut world);
        assert!(why["message"].as_str().unwrap().contains("several clients"));
    }
}

#[test]
fn a_call_waits_for_its_turn_no_longer_than_is_promised() {
    let mut world = World::ready();
    let (slow, two) = (world.open(&json!({})), world.open(&all()));
    let mut mail_slow = call(&mut world, slow, "slow");
    assert_eq!(reached(&mut world).len(), 1);
    let mut mail_two = call(&mut world, two, "a");
    // Nothing is known of the tool at first. Then it is known to ask.
    for limit in [UNKNOWN, HELD] {
        world.pass(limit.saturating_sub(Duration::from_millis(1)));
        assert_eq!(reached(&mut world).len(), 0);
        world.pass(Duration::from_millis(300));
        let calls = reached(&mut world);
        assert_eq!(calls.len(), 1);
        ask(&mut world, METHODS[0]);
        let why = declined(&mut world);
        assert!(why["message"].as_str().unwrap().contains("several clients"));
        assert_eq!(message(&mut mail_slow), None);
        assert_eq!(message(&mut mail_two), None);
        done(&mut world, &calls[0]);
        mail_two = call(&mut world, two, "a");
    }
}

#[test]
fn a_slow_call_of_a_client_who_can_be_asked_holds_others_back_for_a_moment_only() {
    let mut world = World::ready();
    let (one, plain) = (world.open(&all()), world.open(&json!({})));
    call(&mut world, one, "slow");
    assert_eq!(reached(&mut world).len(), 1);
    call(&mut world, plain, "quick");
    world.pass(UNKNOWN + Duration::from_millis(300));
    assert_eq!(reached(&mut world).len(), 1);
}

#[test]
fn tools_that_ask_nothing_wait_for_nobody() {
    let mut world = World::ready();
    let (one, two) = (world.open(&all()), world.open(&all()));
    call(&mut world, one, "a");
    let first = reached(&mut world);
    done(&mut world, &first[0]);
    call(&mut world, one, "a");
    call(&mut world, two, "a");
    let both = reached(&mut world);
    assert_eq!(both.len(), 2);
    // It asks after all, so from now on its calls wait.
    ask(&mut world, METHODS[0]);
    declined(&mut world);
    for id in &both {
        done(&mut world, id);
    }
    call(&mut world, one, "a");
    call(&mut world, two, "a");
    assert_eq!(reached(&mut world).len(), 1);
}

#[test]
fn lists_and_pings_wait_for_nobody() {
    let mut world = World::ready();
    let (one, two) = (world.open(&all()), world.open(&all()));
    call(&mut world, one, "a");
    world.written();
    for method in ["tools/list", "prompts/list", "resources/list", "ping"] {
        world.post(Some(two), &json!({"id": 5, "method": method}));
        assert_eq!(world.written().len(), 1, "{method}");
    }
}

#[test]
fn what_a_call_asks_that_was_given_up_reaches_nobody() {
    for ends in [false, true] {
        let mut world = World::ready();
        let (one, two) = (world.open(&all()), world.open(&all()));
        call(&mut world, one, "a");
        if ends {
            let reply = mailbox(0).0;
            let session = one;
            world.hub.input(world.now, Input::End { session, reply });
        } else {
            let cancel = json!({"method": "notifications/cancelled", "params": {"requestId": 1}});
            world.post(Some(one), &cancel);
        }
        world.pass(Duration::from_mins(14));
        let mut mail = call(&mut world, two, "a");
        ask(&mut world, METHODS[0]);
        assert_eq!(message(&mut mail), None);
        declined(&mut world);
        // After that, it is taken to have ended.
        world.pass(Duration::from_mins(2));
        let mut mail = call(&mut world, two, "a");
        ask(&mut world, METHODS[0]);
        assert!(message(&mut mail).is_some());
    }
}

#[test]
fn elicitation_is_asked_in_the_modes_that_the_caller_takes() {
    for (offered, mode, code) in [
        (json!({}), None, None),
        (json!({}), Some("form"), None),
        (json!({}), Some("url"), Some(-32602)),
        (json!({"url": {}}), Some("url"), None),
        (json!({"url": {}}), None, Some(-32602)),
        (json!({"url": {}, "form": {}}), Some("form"), None),
    ] {
        let mut world = World::ready();
        let client = world.open(&json!({"elicitation": offered}));
        let mut mail = call(&mut world, client, "a");
        reached(&mut world);
        let mut params = json!({});
        if let Some(mode) = mode {
            params["mode"] = mode.into();
        }
        world.server(&json!({"id": "q", "method": "elicitation/create", "params": params}));
        match code {
            None => assert_eq!(message(&mut mail).unwrap()["method"], "elicitation/create"),
            Some(code) => assert_eq!(declined(&mut world)["code"], code),
        }
    }
}

#[test]
fn log_lines_of_a_call_reach_its_caller_alone() {
    let line =
        json!({"method": "notifications/message", "params": {"level": "info", "data": "private"}});
    let mut world = World::ready();
    let (idle, one, two) = (
        world.open(&json!({})),
        world.open(&json!({})),
        world.open(&json!({})),
    );
    let mut stream = listen(&mut world, idle);
    let mut mail_one = call(&mut world, one, "a");
    let first = reached(&mut world);
    world.server(&line);
    assert_eq!(message(&mut mail_one).unwrap()["params"]["data"], "private");
    let mut mail_two = call(&mut world, two, "a");
    world.server(&line);
    for mail in [&mut mail_one, &mut mail_two, &mut stream] {
        assert_eq!(message(mail), None);
    }
    let second = reached(&mut world);
    done(&mut world, &first[0]);
    done(&mut world, &second[0]);
    world.server(&line);
    assert!(message(&mut stream).is_some());
}

#[test]
fn the_roots_of_the_only_client_that_offers_them_are_told_and_changes_too() {
    let changed = |world: &mut World| {
        let written = world.written();
        let news = written
            .iter()
            .filter(|m| m["method"] == "notifications/roots/list_changed");
        news.count()
    };
    let mut world = World::ready();
    ask(&mut world, "roots/list");
    assert_eq!(declined(&mut world)["code"], -32601);
    // A client with roots begins: the server hears of it, and asks.
    let one = world.open(&json!({"roots": {}}));
    world.open(&json!({}));
    let mut stream = listen(&mut world, one);
    assert_eq!(changed(&mut world), 0);
    world.post(Some(one), &json!({"method": "notifications/initialized"}));
    assert_eq!(changed(&mut world), 1);
    ask(&mut world, "roots/list");
    let asked = message(&mut stream).unwrap();
    assert_eq!(asked["method"], "roots/list");
    reply(&mut world, one, &asked, "roots");
    assert_eq!(world.written()[0]["result"]["text"], "roots");
    let news = json!({"method": "notifications/roots/list_changed"});
    world.post(Some(one), &news);
    assert_eq!(changed(&mut world), 1);
    // A question in a call of another is for that one, and is asked again afterwards.
    let plain = world.open(&json!({}));
    call(&mut world, plain, "a");
    let calls = reached(&mut world);
    ask(&mut world, "roots/list");
    assert_eq!(declined(&mut world)["code"], -32601);
    assert_eq!(message(&mut stream), None);
    done(&mut world, &calls[0]);
    assert_eq!(changed(&mut world), 1);
    // Of two, neither is meant; when one leaves, the other is.
    let two = world.open(&json!({"roots": {}}));
    let _stream = listen(&mut world, two);
    world.post(Some(two), &json!({"method": "notifications/initialized"}));
    assert_eq!(changed(&mut world), 1);
    ask(&mut world, "roots/list");
    assert!(
        declined(&mut world)["message"]
            .as_str()
            .unwrap()
            .contains("several")
    );
    let (reply, session) = (mailbox(0).0, two);
    world.hub.input(world.now, Input::End { session, reply });
    assert_eq!(changed(&mut world), 1);
    ask(&mut world, "roots/list");
    assert_eq!(message(&mut stream).unwrap()["method"], "roots/list");
}

#[test]
fn a_session_that_was_left_behind_does_not_hide_the_roots_of_the_one_that_listens() {
    let mut world = World::ready();
    ask(&mut world, "roots/list");
    declined(&mut world);
    let left = world.open(&json!({"roots": {}}));
    drop(listen(&mut world, left));
    let one = world.open(&json!({"roots": {}}));
    world.post(Some(one), &json!({"method": "notifications/initialized"}));
    ask(&mut world, "roots/list");
    declined(&mut world);
    let mut stream = listen(&mut world, one);
    assert_eq!(
        world.written()[0]["method"],
        "notifications/roots/list_changed"
    );
    ask(&mut world, "roots/list");
    assert_eq!(message(&mut stream).unwrap()["method"], "roots/list");
}

/// Clients and a server that do all kinds of things in any order.
struct Play {
    world: World,
    clients: Vec<Client>,
    /// Calls that reached the server and were not answered.
    calls: Vec<ServerCall>,
    /// Question → whose call caused it.
    caused: HashMap<u64, u64>,
    names: u64,
}

struct Client {
    name: u64,
    session: Uuid,
    mails: Vec<Receiver>,
    /// What it was asked and has not answered.
    asked: Vec<Value>,
    calls: u64,
}

struct ServerCall {
    id: Value,
    caller: u64,
    open: Vec<u64>,
    given_up: Option<Instant>,
}

impl Play {
    fn new() -> Self {
        let mut play = Self {
            world: World::ready(),
            clients: Vec::new(),
            calls: Vec::new(),
            caused: HashMap::new(),
            names: 0,
        };
        for at in 0..4 {
            let client = play.join(at);
            play.clients.push(client);
        }
        play
    }

    fn join(&mut self, at: usize) -> Client {
        let offers = [
            all(),
            json!({"sampling": {}}),
            json!({"elicitation": {}, "roots": {}}),
            json!({}),
        ];
        let session = self.world.open(&offers[at % offers.len()]);
        let mails = vec![listen(&mut self.world, session)];
        self.names += 1;
        Client {
            name: self.names,
            session,
            mails,
            asked: Vec::new(),
            calls: 0,
        }
    }

    fn act(&mut self, (what, which, how): (u8, u8, u8)) {
        let (which, how) = (usize::from(which), usize::from(how));
        match what % 10 {
            0 | 1 => self.call(which, how),
            2..=4 => self.ask(which, how),
            5 => self.reply(which),
            6 => self.finish(which, how),
            7 => {
                // In steps, so that probes are answered.
                for _ in 0..how % 20 {
                    self.world.pass(Duration::from_millis(250));
                    self.look();
                }
            }
            8 => self.cancel(which),
            _ => self.leave(which, how),
        }
        self.look();
    }

    fn call(&mut self, which: usize, how: usize) {
        let at = which % self.clients.len();
        let client = &mut self.clients[at];
        client.calls += 1;
        let params = json!({"name": format!("t{}", how % 3), "arguments": {"caller": client.name}});
        let call = json!({"id": client.calls, "method": "tools/call", "params": params});
        let mail = self.world.post(Some(client.session), &call);
        client.mails.push(mail);
    }

    /// A call asks one or two things at any time, also while it waits for an answer, and after it was given up.
    fn ask(&mut self, which: usize, how: usize) {
        let now = self.world.now;
        let mut able: Vec<_> = self
            .calls
            .iter_mut()
            .filter(|c| c.given_up.is_none_or(|at| now < at + GIVEN_UP))
            .collect();
        if able.is_empty() {
            return;
        }
        let at = which % able.len();
        let call = able.swap_remove(at);
        let mut questions = Vec::new();
        for _ in 0..=usize::from(how.is_multiple_of(5)) {
            let number = self.caused.len() as u64;
            self.caused.insert(number, call.caller);
            call.open.push(number);
            questions.push(json!({"id": number, "method": METHODS[how % 2],
                "params": {"caller": call.caller}}));
        }
        for question in questions {
            self.world.server(&question);
        }
    }

    fn reply(&mut self, which: usize) {
        let at = which % self.clients.len();
        let client = &mut self.clients[at];
        if let Some(asked) = client.asked.pop() {
            reply(&mut self.world, client.session, &asked, "x");
        }
    }

    fn finish(&mut self, which: usize, how: usize) {
        if self.calls.is_empty() {
            return;
        }
        let call = self.calls.swap_remove(which % self.calls.len());
        for open in call.open {
            self.world.server(
                &json!({"method": "notifications/cancelled", "params": {"requestId": open}}),
            );
        }
        // A call that was cancelled need not be answered.
        if call.given_up.is_none() || how.is_multiple_of(2) {
            let result = json!({"caller": call.caller});
            self.world.server(&json!({"id": call.id, "result": result}));
        }
    }

    fn cancel(&mut self, which: usize) {
        let client = &self.clients[which % self.clients.len()];
        let cancel =
            json!({"method": "notifications/cancelled", "params": {"requestId": client.calls}});
        self.world.post(Some(client.session), &cancel);
    }

    fn leave(&mut self, which: usize, how: usize) {
        if !how.is_multiple_of(4) {
            return;
        }
        let at = which % self.clients.len();
        let (reply, session) = (mailbox(0).0, self.clients[at].session);
        let now = self.world.now;
        self.world.hub.input(now, Input::End { session, reply });
        self.look();
        self.clients[at] = self.join(at);
    }

    /// What reached the server, and what reached the clients.
    fn look(&mut self) {
        for mut message in self.world.written() {
            let id = message["id"].take();
            match message["method"].as_str() {
                Some("tools/call") => self.calls.push(ServerCall {
                    id,
                    caller: message["params"]["arguments"]["caller"].as_u64().unwrap(),
                    open: Vec::new(),
                    given_up: None,
                }),
                Some("notifications/cancelled") => {
                    let given_up = &message["params"]["requestId"];
                    for call in self.calls.iter_mut().filter(|c| c.id == *given_up) {
                        call.given_up.get_or_insert(self.world.now);
                    }
                }
                Some("tools/list") => self
                    .world
                    .server(&json!({"id": id, "result": {"tools": []}})),
                Some("ping") => self.world.server(&json!({"id": id, "result": {}})),
                Some(_) => {}
                None => {
                    let question = id.as_u64().unwrap();
                    for call in &mut self.calls {
                        call.open.retain(|open| *open != question);
                    }
                }
            }
        }
        for client in &mut self.clients {
            for mail in &mut client.mails {
                while let Some(mail) = mail.try_next() {
                    match mail {
                        Mail::Message(text) => {
                            let message: Value = serde_json::from_slice(&text).unwrap();
                            if METHODS.iter().any(|m| message["method"] == **m) {
                                assert_eq!(message["params"]["caller"], client.name);
                                client.asked.push(message);
                            } else {
                                assert_eq!(message["method"], "notifications/cancelled");
                            }
                        }
                        Mail::Answer(answer) => {
                            let answer = json_of(&answer);
                            let caller = &answer["result"]["caller"];
                            assert!(answer["error"].is_object() || *caller == client.name);
                        }
                    }
                }
            }
        }
    }
}

proptest! {
    /// Prints the steps and the seed of a failure.
    #[test]
    fn in_any_order_no_client_is_asked_what_the_call_of_another_caused(
        steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 1..120)
    ) {
        let mut play = Play::new();
        for step in steps {
            play.act(step);
        }
        // Everything that waits comes to an end.
        for _ in 0..40 {
            for client in 0..4 {
                play.reply(client);
                play.look();
            }
            if !play.calls.is_empty() {
                play.finish(0, 0);
            }
            play.world.pass(Duration::from_secs(1));
            play.look();
        }
        while !play.calls.is_empty() {
            play.finish(0, 0);
            play.look();
        }
        prop_assert_eq!(play.world.hub.load().0, 0);
    }
}
