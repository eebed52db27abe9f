//! Secrets at rest: what was sealed opens where it belongs and nowhere else.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;
use serde_json::json;
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::sealing::{Nonce, OpenError, Owner, Place, Roots, SealingKeys};
use toolbox_domain::spec::{SecretValue, ToolSpec};

const ROOT: &[u8] = b"a root secret of thirty-two bytes";
const NEXT: &[u8] = b"the root secret after that one...";

fn toolbox(last: u8) -> Owner {
    let id = format!("6f9619ff-8b86-4d01-b42d-0000000000{last:02x}");
    Owner::Toolbox(id.parse::<ToolboxId>().unwrap())
}

fn instance(last: u8) -> ToolInstanceId {
    format!("22222222-2222-4222-8222-2222222222{last:02x}")
        .parse()
        .unwrap()
}

fn keys(current: &[u8], previous: Option<&[u8]>, owner: Owner) -> SealingKeys {
    SealingKeys::derive(Roots { current, previous }, owner).unwrap()
}

/// As chance would: no nonce twice.
fn nonces() -> impl FnMut() -> Nonce {
    let mut count = 0_u64;
    move || {
        count += 1;
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&count.to_be_bytes());
        nonce
    }
}

#[test]
fn it_is_what_other_programs_compute() {
    // Computed with Node's hkdfSync and createCipheriv.
    let channel = "6f9619ff-8b86-4d01-b42d-000000000001".parse().unwrap();
    for (owner, place, sealed) in [
        (
            toolbox(1),
            Place::Env(instance(0), "TOKEN"),
            "AAECAwQFBgcICQoL3BucKqR+YDfXWvctwunvwdIxweMhIN/vDQU",
        ),
        (
            toolbox(1),
            Place::Header(instance(0), "x-api-key"),
            "AAECAwQFBgcICQoL3BucKqR+YDfXWl0vVxP6aeKATECK88tOL/o",
        ),
        (
            Owner::Channel(channel),
            Place::WebhookSecret,
            "AAECAwQFBgcICQoLxbGpIpLxhXNRurnxOwJ2F6b6Bw00yQYNalQ",
        ),
    ] {
        let nonce = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
        let keys = keys(ROOT, None, owner);
        let value = keys.seal(place, "geheim €", nonce).unwrap();
        assert_eq!(value.key_id.as_deref(), Some("283ff17a"));
        assert_eq!(value.value, sealed);
        assert_eq!(keys.open(place, &value).as_deref(), Ok("geheim €"));
    }
}

#[test]
fn what_is_not_sealed_is_itself() {
    let plain = SecretValue::plain("x");
    let place = Place::Env(instance(0), "A");
    let opened = keys(ROOT, None, toolbox(1)).open(place, &plain);
    assert_eq!(opened.as_deref(), Ok("x"));
}

#[test]
fn short_roots_are_refused() {
    let short: &[u8] = &[7; 31];
    for (current, previous) in [(short, None), (ROOT, Some(short))] {
        assert!(SealingKeys::derive(Roots { current, previous }, toolbox(1)).is_err());
    }
}

proptest! {
    #[test]
    fn a_value_opens_in_its_place_and_in_no_other(
        text in ".*", name in "[A-Z_]{1,20}", other in "[A-Z_]{1,20}", nonce: Nonce,
    ) {
        let mine = keys(ROOT, None, toolbox(1));
        let place = Place::Env(instance(0), &name);
        let sealed = mine.seal(place, &text, nonce).unwrap();
        prop_assert_eq!(mine.open(place, &sealed), Ok(text.clone()));
        let long_enough = text.len() > 3;
        prop_assert!(!long_enough || !sealed.value.contains(&text));

        let elsewhere = [
            Place::Env(instance(1), &name),
            Place::Header(instance(0), &name),
            Place::WebhookSecret,
        ];
        for place in elsewhere {
            prop_assert_eq!(mine.open(place, &sealed), Err(OpenError::Unreadable));
        }
        if other != name {
            let place = Place::Env(instance(0), &other);
            prop_assert_eq!(mine.open(place, &sealed), Err(OpenError::Unreadable));
        }
        // Another toolbox, and a key of another root.
        let theirs = keys(ROOT, None, toolbox(2));
        prop_assert_eq!(theirs.open(place, &sealed), Err(OpenError::Unreadable));
        let later = keys(NEXT, None, toolbox(1));
        prop_assert_eq!(later.open(place, &sealed), Err(OpenError::KeyUnknown));
        let renamed = SecretValue { key_id: later.seal(place, "", nonce).unwrap().key_id, ..sealed };
        prop_assert_eq!(later.open(place, &renamed), Err(OpenError::Unreadable));
    }

    #[test]
    fn a_value_that_was_changed_or_cut_off_does_not_open(
        text in ".{0,60}", nonce: Nonce, at: prop::sample::Index, bit in 0..7_u8, cut: prop::sample::Index,
    ) {
        let keys = keys(ROOT, None, toolbox(1));
        let place = Place::Env(instance(0), "A");
        let sealed = keys.seal(place, &text, nonce).unwrap();
        let digits = sealed.value.clone().into_bytes();
        let mut changed = digits.clone();
        changed[at.index(digits.len())] ^= 1 << bit;
        let shorter = digits[..cut.index(digits.len())].to_vec();
        let longer = [&digits[..], b"AAAA"].concat();
        for bytes in [changed, shorter, longer] {
            let value = SecretValue { value: String::from_utf8(bytes).unwrap(), ..sealed.clone() };
            prop_assert_eq!(keys.open(place, &value), Err(OpenError::Unreadable));
        }
    }

    #[test]
    fn every_secret_of_a_spec_is_sealed_and_opens_again_after_a_rotation(
        env in prop::collection::btree_map("[A-Z]{1,8}", ".{1,40}", 0..12),
        headers in prop::collection::btree_map("[a-z]{1,8}", "[ -~]{1,40}", 0..6),
    ) {
        let plain = |values: BTreeMap<String, String>| -> BTreeMap<_, _> {
            values.into_iter().map(|(name, value)| (name, SecretValue::plain(value))).collect()
        };
        let spec = ToolSpec { image: "x".to_owned(), env: plain(env), mcp_headers: plain(headers), ..ToolSpec::default() };
        let before = keys(ROOT, None, toolbox(1));
        let mut nonce = nonces();
        let mut stored = spec.clone();
        before.seal_spec(instance(0), stored.secrets(), &mut nonce).unwrap();
        let values = |spec: &ToolSpec| -> Vec<SecretValue> { spec.env.values().chain(spec.mcp_headers.values()).cloned().collect() };
        for value in values(&stored) {
            prop_assert_eq!(value.key_id.as_deref(), Some("283ff17a"));
        }
        // What is sealed is not sealed again.
        let again = stored.clone();
        before.seal_spec(instance(0), stored.secrets(), &mut nonce).unwrap();
        prop_assert!(stored == again);

        let rotating = keys(NEXT, Some(ROOT), toolbox(1));
        prop_assert!(rotating.open_spec(instance(0), stored.secrets()).is_empty());
        prop_assert!(stored == spec);
        rotating.seal_spec(instance(0), stored.secrets(), &mut nonce).unwrap();
        let sealed = values(&stored);
        let used: HashSet<_> = sealed.iter().chain(&values(&again)).map(|value| value.value[..16].to_owned()).collect();
        prop_assert_eq!(used.len(), 2 * sealed.len());

        let mut lost = stored.clone();
        prop_assert_eq!(before.open_spec(instance(0), lost.secrets()).len(), sealed.len());
        prop_assert!(lost == stored);
        prop_assert!(keys(NEXT, None, toolbox(1)).open_spec(instance(0), stored.secrets()).is_empty());
        prop_assert!(stored == spec);
    }
}

#[test]
fn what_does_not_open_is_named_and_stays_sealed() {
    let keys = keys(ROOT, None, toolbox(1));
    let good = keys
        .seal(Place::Env(instance(0), "GOOD"), "SECRET", [1; 12])
        .unwrap();
    let mut spec: ToolSpec = serde_json::from_value(json!({
        "image": "x",
        "env": {"GOOD": good, "MOVED": good, "OLD": "plain"},
        "mcp_headers": {"x-key": {"key_id": "00000000", "value": "SECRET"}},
    }))
    .unwrap();
    let moved = spec.env["MOVED"].clone();
    let errors = keys.open_spec(instance(0), spec.secrets());
    let told: Vec<_> = errors.iter().map(|e| (e.field.as_str(), e.code)).collect();
    assert_eq!(
        told,
        [
            ("env.MOVED", "secret_unreadable"),
            ("mcp_headers.x-key", "secret_key_unknown")
        ]
    );
    assert!(errors.iter().all(|e| !e.message.contains("SECRET")));
    assert_eq!(spec.env["GOOD"].reveal(), Some("SECRET"));
    assert_eq!(spec.env["OLD"].reveal(), Some("plain"));
    assert_eq!(spec.env["MOVED"], moved);
}
