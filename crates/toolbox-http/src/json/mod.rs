//! JSON for serde types, small in wasm.
//!
//! serde_json writes an error message for every way a value can miss its type, and instantiates
//! its parser twice per struct; in the edge functions that was a third of the wasm. This reader
//! tells where a document is wrong and no more, accepts objects for structs and nothing else, and
//! shares one non-generic core. Tests hold both halves against serde_json on generated documents.
//!
//! Left out because no wire type needs it: enums with data (other than newtype variants when
//! writing), byte strings, numbers beyond 64 bits, non-string keys.

mod read;
mod write;

pub use read::{ReadError, from_slice};
pub use write::{WriteError, to_string, to_vec};

/// How many bytes at the beginning stand for themselves in a JSON text: no quote, no backslash, no
/// control character. Eight at a time, because texts are most of what is read and written.
#[inline(never)]
fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // In each byte: the high bit when it is zero, or (with `less`) below `less`. A borrow can set it
    // wrongly above such a byte only, and the lowest is what counts.
    const fn below(word: u64, less: u64) -> u64 {
        word.wrapping_sub(ONES * less) & !word & HIGH
    }
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let special = below(word, 0x20)
            | below(word ^ (ONES * u64::from(b'"')), 1)
            | below(word ^ (ONES * u64::from(b'\\')), 1);
        if special != 0 {
            return index * 8 + (special.trailing_zeros() / 8) as usize;
        }
    }
    let special = |b: &u8| *b < 0x20 || matches!(b, b'"' | b'\\');
    words.len() * 8 + rest.iter().position(special).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
