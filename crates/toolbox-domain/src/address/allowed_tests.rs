//! What an operator's list allows, and what it does not.

use super::super::AddressError;
use super::*;

fn list(text: &str) -> Allowed {
    text.parse().unwrap()
}

fn is_allowed(list: &Allowed, target: &str) -> bool {
    target.parse::<Target>().unwrap().check(list).is_ok()
}

#[test]
fn an_empty_list_allows_nothing() {
    for text in ["", " ", ",", " , "] {
        assert_eq!(list(text), Allowed::default(), "{text:?}");
    }
    assert!(!is_allowed(&Allowed::default(), "127.0.0.1:5000"));
}

#[test]
fn an_entry_allows_what_it_names_and_nothing_beside_it() {
    for (entry, yes, no) in [
        ("127.0.0.1:5000", "127.0.0.1:5000", "127.0.0.1:5001"),
        ("127.0.0.1:5000", "[::ffff:127.0.0.1]:5000", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1:7", "127.0.0.2:7"),
        ("[::1]:5000", "[::1]:5000", "127.0.0.1:5000"),
        ("10.20.0.0/16", "10.20.255.1:443", "10.21.0.1"),
        ("10.20.7.7/16", "10.20.0.1", "10.21.0.1"),
        ("fd00::/8", "[fd12::1]", "[fc00::1]"),
        ("registry:5000", "registry:5000", "registry:5001"),
        ("registry.lan", "Registry.LAN:443", "other.lan"),
        ("localhost:5000", "localhost:5000", "localhost"),
        ("10.0.0.0/8", "10.0.0.1", "registry.internal"),
        ("0.0.0.0/0", "127.0.0.1", "[::1]"),
    ] {
        let list = list(entry);
        assert!(is_allowed(&list, yes), "{entry} {yes}");
        assert!(!is_allowed(&list, no), "{entry} {no}");
    }
}

#[test]
fn what_a_name_resolves_to_is_allowed_by_the_name_or_the_address() {
    let ip = "10.0.0.7".parse().unwrap();
    assert_eq!(list("10.0.0.0/8").check_ip(ip, None), Ok(()));
    assert_eq!(list("10.0.0.7:443").check_ip(ip, Some(443)), Ok(()));
    for refusing in ["", "10.0.0.8", "10.0.0.7:443", "registry.lan"] {
        assert_eq!(
            list(refusing).check_ip(ip, Some(80)),
            Err(Refusal::Private),
            "{refusing}"
        );
    }
    assert_eq!(list("").check_ip("8.8.8.8".parse().unwrap(), None), Ok(()));
    let named = "registry.lan:80".parse().unwrap();
    assert!(list("registry.lan").has_target(&named));
    assert!(!list("10.0.0.0/8").has_target(&named));
}

#[test]
fn a_list_that_cannot_be_read_says_which_entry() {
    for entry in ["10.0.0.0/33", "http://a", "a b", "127.1", "a:b", "*.lan"] {
        let text = format!("registry.lan, {entry}");
        assert_eq!(
            text.parse::<Allowed>(),
            Err(AllowedError::Entry(entry.to_owned()))
        );
    }
    let long = vec!["10.0.0.1"; MAX_ENTRIES + 1].join(",");
    assert_eq!(long.parse::<Allowed>(), Err(AllowedError::TooMany));
    assert_eq!(
        "127.1".parse::<Target>(),
        Err(AddressError::Number),
        "an entry is read as a target is"
    );
}
