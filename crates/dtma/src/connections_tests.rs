//! Any order of callers that come, show who they are, and go.

use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits {
    all: 12,
    strangers_per_address: 4,
    reserved: 3,
};

fn ip(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn admit(table: &mut Table, peer: IpAddr) -> Number {
    table.admit(peer).unwrap().number
}

#[test]
fn an_address_has_a_few_strangers_and_any_number_of_known_callers() {
    let mut table = Table::new(LIMITS);
    let first = admit(&mut table, ip(1));
    for _ in 0..3 {
        admit(&mut table, ip(1));
    }
    let fifth = table.admit(ip(1)).unwrap();
    assert_eq!(fifth.instead_of, Some(first), "the oldest ends");
    assert!(table.recognise(fifth.number, Role::Client));
    assert_eq!(table.admit(ip(1)).unwrap().instead_of, None);
    assert!(!table.recognise(first, Role::Control), "it was closed");
}

#[test]
fn the_address_with_most_strangers_makes_room() {
    let mut table = Table::new(LIMITS);
    let lone = admit(&mut table, ip(9));
    let crowd = admit(&mut table, ip(1));
    for last in [1, 1, 1, 2, 2, 2, 3, 3, 3, 4] {
        admit(&mut table, ip(last));
    }
    assert_eq!(table.admit(ip(5)).unwrap().instead_of, Some(crowd));
    assert!(table.recognise(lone, Role::Control));
}

#[test]
fn clients_leave_places_for_the_control_plane() {
    let mut table = Table::new(LIMITS);
    for last in 0..9 {
        let number = admit(&mut table, ip(last));
        assert!(table.recognise(number, Role::Client));
        assert!(table.recognise(number, Role::Client), "and again");
    }
    let tenth = admit(&mut table, ip(10));
    assert!(!table.recognise(tenth, Role::Client));
    assert!(table.recognise(tenth, Role::Control));
    for _ in 0..2 {
        let number = admit(&mut table, ip(11));
        assert!(table.recognise(number, Role::Control));
    }
    assert_eq!(table.admit(ip(12)), None, "everybody here is known");
    table.remove(tenth);
    assert!(table.admit(ip(12)).is_some());
}

#[test]
fn an_ipv6_network_is_one_address() {
    let same = |a: &str, b: &str| address(a.parse().unwrap()) == address(b.parse().unwrap());
    assert!(same("2001:db8::1", "2001:db8::ffff:1"));
    assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    assert!(same("::ffff:192.0.2.1", "192.0.2.1"));
    assert!(!same("192.0.2.1", "192.0.2.2"));
}

#[test]
fn a_place_is_free_once_its_connection_is_dropped() {
    let table = Arc::new(Mutex::new(Table::new(LIMITS)));
    let number = table.lock().unwrap().admit(ip(1)).unwrap().number;
    let connection = Connection::new(number, Arc::clone(&table));
    let of_request = connection.clone();
    assert!(of_request.recognise(Role::Control));
    drop(connection);
    assert_eq!(table.lock().unwrap().open.len(), 1);
    drop(of_request);
    assert!(table.lock().unwrap().open.is_empty());
}

#[derive(Clone, Debug)]
enum Event {
    Comes(u8),
    IsClient(prop::sample::Index),
    IsControl(prop::sample::Index),
    Goes(prop::sample::Index),
}

fn event() -> impl Strategy<Value = Event> {
    let any = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0u8..6).prop_map(Event::Comes),
        2 => any().prop_map(Event::IsClient),
        1 => any().prop_map(Event::IsControl),
        1 => any().prop_map(Event::Goes),
    ]
}

proptest! {
    #[test]
    fn strangers_make_room_and_nobody_else(events in prop::collection::vec(event(), 1..200)) {
        let mut table = Table::new(LIMITS);
        for event in events {
            let before = table.open.clone();
            let mut numbers: Vec<_> = before.keys().copied().collect();
            numbers.sort_unstable();
            let pick = |index: &prop::sample::Index| (!numbers.is_empty()).then(|| *index.get(&numbers));
            match &event {
                Event::Comes(last) => match table.admit(ip(*last)) {
                    Some(admitted) => {
                        prop_assert!(table.open.contains_key(&admitted.number));
                        if let Some(gone) = admitted.instead_of {
                            prop_assert_eq!(before[&gone].1, Role::Stranger);
                            prop_assert!(!table.open.contains_key(&gone));
                            let younger = before.iter().filter(|(_, held)| **held == before[&gone]);
                            prop_assert!(younger.clone().all(|(number, _)| *number >= gone));
                        }
                    }
                    None => prop_assert!(before.values().all(|(_, role)| *role != Role::Stranger)),
                },
                Event::IsClient(index) => {
                    if let Some(number) = pick(index) {
                        let stays = table.recognise(number, Role::Client);
                        prop_assert!(stays || before[&number].1 == Role::Stranger);
                    }
                }
                Event::IsControl(index) => {
                    if let Some(number) = pick(index) {
                        prop_assert!(table.recognise(number, Role::Control));
                    }
                }
                Event::Goes(index) => {
                    if let Some(number) = pick(index) {
                        table.remove(number);
                    }
                }
            }
            prop_assert!(table.open.len() <= LIMITS.all);
            prop_assert!(table.count(Role::Client) <= LIMITS.all - LIMITS.reserved);
            for last in 0..6 {
                let strangers = table.open.values().filter(|held| **held == (ip(last), Role::Stranger));
                prop_assert!(strangers.count() <= LIMITS.strangers_per_address);
            }
        }
    }
}
