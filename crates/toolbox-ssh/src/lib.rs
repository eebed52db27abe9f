//! SSH to the machine of a toolbox, as the last way when neither its agent nor its companion answers.
//!
//! - [`authority`]: the key that machines trust. `credentials`: a key and a certificate for one connection.
//! - [`host_key`]: the key that a machine handed over when it was enrolled.
//! - `client`: one operation over one connection, with a deadline for each phase. `connect` opens the connection.
//!
//! No private key is stored: each connection makes one, and a certificate that is good for two minutes, for one machine,
//! for the forced command only.

pub mod authority;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "client")]
pub mod connect;
#[cfg(feature = "client")]
pub mod credentials;
#[cfg(feature = "client")]
pub mod error;
pub mod host_key;
#[cfg(feature = "client")]
mod time;
