//! Texts that name a target, and those that only look like one.

use proptest::prelude::*;

use super::AddressError as E;
use super::*;

fn judged(text: &str) -> Result<(), AddressError> {
    text.parse::<Target>()?.check(&Allowed::default())
}

#[test]
fn public_targets_are_accepted() {
    for text in [
        "ghcr.io",
        "registry.example.com:5000",
        "8.8.8.8",
        "8.8.8.8:443",
        "[2606:4700:4700::1111]:443",
        "[64:ff9b::8.8.8.8]",
        "xn--bcher-kva.example",
        "127.0.0.1.example.com",
        "localhost.example.com",
    ] {
        assert_eq!(judged(text), Ok(()), "{text}");
    }
}

#[test]
fn what_leads_into_a_network_is_refused() {
    let not_public = E::NotPublic;
    for (text, error) in [
        ("127.0.0.1:5000", not_public(Refusal::Loopback)),
        ("10.0.0.7", not_public(Refusal::Private)),
        ("169.254.169.254", not_public(Refusal::LinkLocal)),
        ("100.100.100.200", not_public(Refusal::Shared)),
        ("0.0.0.0:80", not_public(Refusal::Unspecified)),
        ("[::1]:5000", not_public(Refusal::Loopback)),
        ("[::127.0.0.1]", not_public(Refusal::Reserved)),
        ("[::ffff:127.0.0.1]", not_public(Refusal::Loopback)),
        ("[::ffff:7f00:1]", not_public(Refusal::Loopback)),
        ("[64:ff9b::127.0.0.1]:80", not_public(Refusal::Loopback)),
        ("[64:ff9b:1::7f00:1]", not_public(Refusal::Private)),
        ("[2002:7f00:1::]", not_public(Refusal::Loopback)),
        ("[fd00:ec2::254]", not_public(Refusal::Private)),
        ("[fe80::1]", not_public(Refusal::LinkLocal)),
        ("localhost", E::InnerName),
        ("LocalHost:5000", E::InnerName),
        ("a.localhost", E::InnerName),
        ("host.docker.internal", E::InnerName),
        ("metadata.google.internal", E::InnerName),
        ("printer.local", E::InnerName),
        ("router.home.arpa", E::InnerName),
        ("registry", E::InnerName),
        ("127.1", E::Number),
        ("2130706433", E::Number),
        ("0x7f000001", E::Number),
        ("0x7f.1", E::Number),
        ("0177.0.0.1", E::Number),
        ("1.2.3.256", E::Number),
        ("127.0.0.1.", E::Malformed),
        ("localhost.", E::Malformed),
        ("example.com.", E::Malformed),
        ("", E::Malformed),
        (":5000", E::Malformed),
        ("example..com", E::Malformed),
        ("-a.example", E::Malformed),
        ("a_b.example", E::Malformed),
        ("ex%61mple.com", E::Malformed),
        ("ⓛocalhost", E::Malformed),
        ("user@example.com", E::Malformed),
        ("example.com:0", E::Malformed),
        ("example.com:", E::Malformed),
        ("example.com:+80", E::Malformed),
        ("example.com:65536", E::Malformed),
        ("[fe80::1%25eth0]", E::Malformed),
        ("[::1", E::Malformed),
        ("[127.0.0.1]", E::Malformed),
        ("[::1]x", E::Malformed),
        ("::1", E::Malformed),
    ] {
        assert_eq!(judged(text), Err(error), "{text}");
    }
}

#[test]
fn a_url_is_https_with_a_public_host_and_nothing_hidden() {
    let check = |text: &str| https_url(text, &Allowed::default()).map(|t| t.to_string());
    for (text, target) in [
        ("https://example.com/hook?a=b@c", "example.com"),
        ("HTTPS://Example.com", "example.com"),
        ("https://example.com:8443/x", "example.com:8443"),
        ("https://example.com:443/x", "example.com:443"),
    ] {
        assert_eq!(check(text).as_deref(), Ok(target), "{text}");
    }
    for (text, error) in [
        ("http://example.com/", E::Url),
        ("ftp://example.com/", E::Url),
        ("example.com/hook", E::Url),
        ("https:/example.com", E::Url),
        ("https://example.com/#x", E::Url),
        ("https://example.com\\@127.0.0.1/", E::Url),
        ("https://exa\tmple.com/", E::Url),
        ("https://example.com/ x", E::Url),
        ("https://a:b@example.com/", E::Credentials),
        ("https://example.com@127.0.0.1/", E::Credentials),
        ("https://127.0.0.1/", E::NotPublic(Refusal::Loopback)),
        ("https://[::ffff:10.0.0.1]/", E::NotPublic(Refusal::Private)),
        ("https://localhost?x", E::InnerName),
        ("https://0x7f.0.0.1/", E::Number),
        ("https://%31%32%37.0.0.1/", E::Malformed),
        ("https:///x", E::Malformed),
        ("https://example.com:22/", E::Port),
        ("https://example.com:25/", E::Port),
    ] {
        assert_eq!(check(text), Err(error), "{text}");
    }
    let long = format!("https://example.com/{}", "a".repeat(MAX_URL_BYTES));
    assert_eq!(check(&long), Err(E::Url));
}

/// Pieces that authorities are made of, and what parsers treat in their own way.
fn near_authority() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("127.0.0.1".to_owned()),
        Just("localhost".to_owned()),
        Just("[::1]".to_owned()),
        Just("example.com".to_owned()),
        "[0-9]{1,10}",
        "0[xX][0-9a-f]{0,8}",
        "[.:@%/?\\\\#\\[\\]-]",
        "[a-zA-Z0-9]{1,4}",
        any::<IpAddr>().prop_map(|ip| match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        }),
        "\\PC",
    ];
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_printed_is_the_same_target(text in near_authority()) {
        let Ok(target) = text.parse::<Target>() else { return Ok(()) };
        prop_assert_eq!(target.to_string().parse::<Target>(), Ok(target));
    }

    /// The WHATWG parser, which `fetch` uses, sees the same public host.
    #[test]
    fn no_url_leads_elsewhere_than_it_was_judged_by(authority in near_authority(), path in "[/?a-z@:.]{0,6}") {
        let text = format!("https://{authority}{path}");
        let Ok(target) = https_url(&text, &Allowed::default()) else { return Ok(()) };
        let seen = url::Url::parse(&text).expect("what is accepted is a URL");
        match (seen.host().expect("it has a host"), &target.host) {
            (url::Host::Domain(domain), Host::Name(name)) => prop_assert_eq!(domain, name),
            (url::Host::Ipv4(ip), Host::Ip(own)) => {
                prop_assert_eq!(IpAddr::V4(ip), *own);
                prop_assert_eq!(super::super::refused(*own), None);
            }
            (url::Host::Ipv6(ip), Host::Ip(own)) => {
                prop_assert_eq!(IpAddr::V6(ip), *own);
                prop_assert_eq!(super::super::refused(*own), None);
            }
            (seen, own) => prop_assert!(false, "{text}: {seen:?} is not {own:?}"),
        }
        prop_assert_eq!(seen.port_or_known_default(), Some(target.port.unwrap_or(HTTPS_PORT)));
        prop_assert!(seen.username().is_empty() && seen.password().is_none());
    }
}
