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

#[cfg(test)]
mod tests;
