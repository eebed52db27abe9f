//! Numbers that others count: every JSON reader and the database must hold them exactly.

use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer};

/// Largest number that is exact in every JSON reader: 2^53 - 1.
pub const MAX_EXACT: u64 = (1 << 53) - 1;

/// A number up to [`MAX_EXACT`].
pub(crate) fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = u64::deserialize(deserializer)?;
    if number > MAX_EXACT {
        let expected = &"a whole number from 0 to 2^53 - 1";
        return Err(D::Error::invalid_value(
            Unexpected::Unsigned(number),
            expected,
        ));
    }
    Ok(number)
}

/// The same, or null.
pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Exact(#[serde(deserialize_with = "exact")] u64);
    Ok(Option::<Exact>::deserialize(deserializer)?.map(|Exact(number)| number))
}
