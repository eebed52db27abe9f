//! JSON that passes through as it is, read as far as it can be.
//!
//! What a server writes is passed on byte for byte, and clients are more lenient than our parser. Where the bridge itself
//! wants to know what a server says, it must not be stricter than that path.

use std::borrow::Cow;

use serde::de::DeserializeOwned;

/// The value of `json`. An escape of half a surrogate pair counts as U+FFFD. None if it cannot be read all the same, such as
/// a number beyond `f64`, or more than 128 levels.
pub fn read<T: DeserializeOwned>(json: &str) -> Option<T> {
    serde_json::from_str(json)
        .or_else(|_| serde_json::from_str(&with_whole_pairs(json)))
        .ok()
}

/// `json` with U+FFFD for each escape of half a surrogate pair.
fn with_whole_pairs(json: &str) -> Cow<'_, str> {
    const REPLACED: &[u8] = br"\ufffd";
    let mut out = Cow::Borrowed(json.as_bytes());
    let bytes = json.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        let start = at + found;
        let unit = escaped_unit(bytes, start);
        let low = unit
            .filter(|unit| (0xd800..0xdc00).contains(unit))
            .and_then(|_| escaped_unit(bytes, start + 6))
            .filter(|low| (0xdc00..0xe000).contains(low));
        at = match unit {
            Some(_) if low.is_some() => start + 12,
            Some(unit) => {
                if (0xd800..0xe000).contains(&unit)
                    && let Some(half) = out.to_mut().get_mut(start..start + REPLACED.len())
                {
                    half.copy_from_slice(REPLACED);
                }
                start + 6
            }
            // Another escape; a backslash that is escaped itself begins none.
            None => start + 2,
        };
    }
    match out {
        Cow::Borrowed(_) => Cow::Borrowed(json),
        Cow::Owned(changed) => Cow::Owned(String::from_utf8_lossy(&changed).into_owned()),
    }
}

/// The UTF-16 unit of an escape such as `\ud83d` at `start`.
fn escaped_unit(bytes: &[u8], start: usize) -> Option<u16> {
    let digits = bytes.get(start..start + 6)?.strip_prefix(br"\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_replaced_and_nothing_else_is() {
        for (json, wanted) in [
            (r#""\ud83d\ude00 \u00e4""#, "\u{1f600} ä"),
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\ude00b""#, "\u{fffd}b"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\ud83dx\ude00""#, "\u{fffd}x\u{fffd}"),
            (r#""\\ud83d \ud83d""#, "\\ud83d \u{fffd}"),
            (r#""\ud83d\\ude00""#, "\u{fffd}\\ude00"),
        ] {
            assert_eq!(read::<String>(json).as_deref(), Some(wanted), "{json}");
        }
        assert_eq!(read::<String>(r#""\ud83"#), None);
    }
}
