//! Both halves against serde_json.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{from_slice, to_string};

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (any::<i32>(), 0..10_i32).prop_map(|(m, e)| Value::from(f64::from(m) / 10_f64.powi(e))),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(".*", inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    First,
    SecondOne,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Outer {
    id: u64,
    signed: i64,
    port: u16,
    share: Option<f64>,
    on: bool,
    texts: Vec<String>,
    pairs: BTreeMap<String, String>,
    inner: Inner,
    more: Vec<Inner>,
}

fn inner() -> impl Strategy<Value = Inner> {
    (any::<bool>(), prop::option::of(".*")).prop_map(|(first, note)| Inner {
        kind: if first { Kind::First } else { Kind::SecondOne },
        note,
    })
}

fn outer() -> impl Strategy<Value = Outer> {
    (
        any::<u64>(),
        any::<i64>(),
        any::<u16>(),
        prop::option::of((0..64_000_u32).prop_map(|m| f64::from(m) / 1000.0)),
        any::<bool>(),
        prop::collection::vec(".*", 0..4),
        prop::collection::btree_map(".*", ".*", 0..4),
        inner(),
        prop::collection::vec(inner(), 0..3),
    )
        .prop_map(
            |(id, signed, port, share, on, texts, pairs, inner, more)| Outer {
                id,
                signed,
                port,
                share,
                on,
                texts,
                pairs,
                inner,
                more,
            },
        )
}

/// Equal, with floats equal to one part in 10^14.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-14 * a.abs().max(b.abs())
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #[test]
    fn documents_are_read_as_serde_json_reads_them(value in document(), pretty in any::<bool>()) {
        let text = if pretty {
            serde_json::to_string_pretty(&value).unwrap()
        } else {
            serde_json::to_string(&value).unwrap()
        };
        let read: Value = from_slice(text.as_bytes()).unwrap();
        prop_assert!(same(&read, &value), "{text}");
    }

    #[test]
    fn texts_that_serde_json_refuses_are_refused(text in "[\\[\\]{}\",:0-9a-z\\\\ .eE+-]{0,24}") {
        let ours = from_slice::<Value>(text.as_bytes());
        let theirs = serde_json::from_str::<Value>(&text);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{}", text);
    }

    #[test]
    fn bytes_never_panic_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = from_slice::<Value>(&bytes);
        let _ = from_slice::<Outer>(&bytes);
    }

    #[test]
    fn broken_documents_never_panic_the_reader(value in outer(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = from_slice::<Outer>(&bytes);
        let _ = from_slice::<Outer>(&bytes[..at]);
    }

    #[test]
    fn types_go_there_and_back(value in outer()) {
        let text = to_string(&value).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Outer>(&text).unwrap(), &value);
        prop_assert_eq!(&from_slice::<Outer>(text.as_bytes()).unwrap(), &value);
        if value.share.is_none() {
            prop_assert_eq!(text, serde_json::to_string(&value).unwrap());
        }
    }
}

#[test]
fn mistakes_are_told_by_their_place() {
    let shape = |text: &str| {
        let error = from_slice::<Inner>(text.as_bytes()).unwrap_err();
        (error.is_shape, error.line, error.column)
    };
    assert_eq!(shape("{\"kind\": \"first\",\n  oops}"), (false, 2, 3));
    assert_eq!(shape("{\"kind\": 7}"), (true, 1, 10));
    assert!(shape("{\"kind\": \"third\"}").0);
    assert!(shape("{}").0);
    assert!(shape("[]").0);
    assert!(!shape("").0);
    assert!(!shape("{\"kind\":\"first\"} x").0);
    assert!(shape("{\"kind\":\"first\",\"kind\":\"first\"}").0);
    let error = from_slice::<Inner>(b"{\"SECRET\": \"SECRET\"").unwrap_err();
    assert!(!error.to_string().contains("SECRET"));
}

#[test]
fn depth_is_bounded() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(from_slice::<Value>(deep(60).as_bytes()).is_ok());
    assert!(from_slice::<Value>(deep(100_000).as_bytes()).is_err());
    let ignored = format!("{{\"kind\":\"first\",\"x\":{}}}", deep(100_000));
    assert!(from_slice::<Inner>(ignored.as_bytes()).is_err());
}

#[test]
fn floats_are_short_and_exact_enough() {
    for (value, text) in [
        (0.25, "0.25"),
        (0.0, "0.0"),
        (2.0, "2.0"),
        (-1.5, "-1.5"),
        (0.000_000_001, "0.000000001"),
        (0.999_999_999_9, "1.0"),
        (1_763_718_645.5, "1763718645.5"),
    ] {
        assert_eq!(to_string(&value).unwrap(), text);
    }
    assert!(to_string(&f64::NAN).is_err());
    assert!(to_string(&f64::INFINITY).is_err());
    for text in [
        "0.1",
        "1e3",
        "2.5e-1",
        "123456789.125",
        "1763718645",
        "0.30000000000000004",
    ] {
        let read: f64 = from_slice(text.as_bytes()).unwrap();
        let exact: f64 = text.parse().unwrap();
        assert!((read - exact).abs() <= 1e-15 * exact, "{text}");
    }
    assert!(from_slice::<f64>(b"1e999").is_err());
}
