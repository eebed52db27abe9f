//! Every name survives the way through a URL, and every container name is legal and the instance's own.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use toolbox_domain::ids::ToolInstanceId;
use toolbox_domain::names::{
    ContainerName, DisplayName, MAX_CONTAINER_NAME_CHARS, MAX_SLUG_CHARS, decode_segment,
    encode_segment, slug,
};
use url::Url;
use uuid::Uuid;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

/// What breaks URLs and shells, and what Unicode has to offer.
const PIECES: &[&str] = &[
    "/",
    "?",
    "#",
    "%",
    "&",
    "+",
    "=",
    ";",
    ":",
    "@",
    "\\",
    "|",
    "\"",
    "'",
    "`",
    "<",
    ">",
    "{",
    "}",
    "[",
    "]",
    "^",
    "~",
    "*",
    "$",
    "!",
    ",",
    "(",
    ")",
    "..",
    ".",
    "%2F",
    "%2e",
    "%2E%2E",
    "%00",
    "%25",
    "%",
    "%zz",
    " ",
    "  ",
    "404",
    "a",
    "Z",
    "-",
    "_",
    "é",
    "e\u{301}",
    "ß",
    "مرحبا",
    "שלום",
    "天気",
    "👩‍👩‍👧",
    "🇩🇪",
    "\u{a0}",
    "\u{200b}",
    "\u{feff}",
    "\u{1F600}",
    "\u{10FFFF}",
    "file:",
    "http://x/",
    "//",
    "/..",
    "/./",
    "start",
    "tools",
    "null",
    "undefined",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{1,40}",
        "\\PC{200,255}",
        "[.%2eE/\\\\]{1,8}",
        prop::collection::vec(prop::sample::select(PIECES), 1..12)
            .prop_map(|pieces| pieces.concat()),
        prop::collection::vec(
            prop_oneof![
                prop::sample::select(PIECES).prop_map(str::to_owned),
                any::<char>().prop_map(String::from)
            ],
            1..20
        )
        .prop_map(|pieces| pieces.concat()),
    ]
}

fn name() -> impl Strategy<Value = DisplayName> {
    text().prop_filter_map("no display name", |text| DisplayName::parse(&text).ok())
}

fn id() -> impl Strategy<Value = ToolInstanceId> {
    any::<u128>().prop_map(|id| ToolInstanceId::new(Uuid::from_u128(id)))
}

fn segments(url: &Url) -> Vec<String> {
    url.path_segments().unwrap().map(str::to_owned).collect()
}

fn is_host_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_legal_for_docker(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
    let rest = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    first && text.len() >= 2 && bytes.all(rest)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_name_arrives_unchanged_through_a_url(name in name(), toolbox in any::<u128>()) {
        let toolbox = Uuid::from_u128(toolbox).to_string();
        let segment = encode_segment(name.as_str());
        prop_assert!(segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));

        let base = "https://project.supabase.co/functions/v1/toolbox-tools";
        let url = Url::parse(&format!("{base}/{toolbox}/tools/{segment}/start?tail=1#x")).unwrap();
        let sent = ["functions", "v1", "toolbox-tools", toolbox.as_str(), "tools", &segment, "start"];
        prop_assert_eq!(segments(&url), sent, "no segment is added, collapsed or rewritten");
        // A proxy may read and write the URL again.
        let forwarded = Url::parse(url.as_str()).unwrap();
        prop_assert_eq!(segments(&forwarded), sent);
        let relative = Url::parse("http://127.0.0.1:30000/").unwrap().join(&format!("tools/{segment}")).unwrap();
        prop_assert_eq!(segments(&relative), ["tools", segment.as_str()]);

        let received = &segments(&forwarded)[5];
        prop_assert_eq!(decode_segment(received).unwrap(), name.as_str());
    }

    #[test]
    fn encoding_is_undone_exactly_once(text in text()) {
        let once = encode_segment(&text);
        let twice = encode_segment(&once);
        prop_assert_eq!(&decode_segment(&once).unwrap(), &text);
        prop_assert_eq!(&decode_segment(&twice).unwrap(), &once);
    }

    #[test]
    fn decoding_takes_any_text_without_panic(text in text()) {
        if let Ok(decoded) = decode_segment(&text) {
            prop_assert_eq!(decode_segment(&encode_segment(&decoded)).unwrap(), decoded);
        }
    }

    #[test]
    fn a_segment_is_an_id_or_a_name_but_never_both(text in text(), id in any::<u128>()) {
        let id = Uuid::from_u128(id);
        let spellings = [id.to_string(), id.simple().to_string(), id.braced().to_string(), id.urn().to_string()];
        for text in spellings.iter().chain([&text]) {
            prop_assert!(text.parse::<ToolInstanceId>().is_err() || DisplayName::parse(text).is_err());
        }
    }

    #[test]
    fn slugs_are_short_plain_and_stable(name in name()) {
        let slug = slug(&name);
        prop_assert!(is_host_label(&slug) && slug.len() <= MAX_SLUG_CHARS && !slug.contains("--"), "{slug}");
        if let Ok(again) = DisplayName::parse(&slug) {
            prop_assert_eq!(toolbox_domain::names::slug(&again), slug);
        }
    }

    #[test]
    fn container_names_are_legal(name in name(), id in id()) {
        for container in [ContainerName::derive(&name, id), ContainerName::derive_long(&name, id)] {
            let text = container.as_str();
            prop_assert!(is_legal_for_docker(text) && is_host_label(text) && !text.contains("--"), "{text}");
            prop_assert!(text.len() <= MAX_CONTAINER_NAME_CHARS);
            prop_assert_eq!(ContainerName::parse(text), Ok(container.clone()));
        }
    }

    #[test]
    fn container_names_belong_to_one_id(
        one in name(),
        other in name(),
        same_name in any::<bool>(),
        id in any::<u128>(),
        flip in 1..=u128::MAX,
    ) {
        let other = if same_name { one.clone() } else { other };
        let ids = [id, id ^ flip].map(|id| ToolInstanceId::new(Uuid::from_u128(id)));
        let short = [ContainerName::derive(&one, ids[0]), ContainerName::derive(&other, ids[1])];
        let long = [ContainerName::derive_long(&one, ids[0]), ContainerName::derive_long(&other, ids[1])];
        prop_assert_ne!(&long[0], &long[1]);
        prop_assert_ne!(&short[0], &long[1]);
        prop_assert_ne!(&long[0], &short[1]);
        if flip >> 96 != 0 {
            prop_assert_ne!(&short[0], &short[1]);
        }
    }
}

#[test]
fn dot_segments_would_be_lost_and_are_therefore_no_names() {
    // Why the rule exists: the parser removes them even when encoded.
    for dots in [".", "..", "%2e", "%2E%2e", ".%2e"] {
        let url = Url::parse(&format!("https://host/tools/{dots}/start")).unwrap();
        assert_ne!(segments(&url), ["tools", dots, "start"]);
    }
    // Names that merely contain those texts are safe.
    for name in ["%2e", "%2E%2e", ".%2e", "...a", "a/..", "..\\"] {
        let name = DisplayName::parse(name).unwrap();
        let segment = encode_segment(name.as_str());
        let url = Url::parse(&format!("https://host/tools/{segment}/start")).unwrap();
        assert_eq!(segments(&url), ["tools", segment.as_str(), "start"]);
    }
}
