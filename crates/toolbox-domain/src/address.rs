//! Which addresses a user may name as a target: public ones only.
//!
//! Whatever a user names and a program of ours then calls (the registry of an image, the host of a Git source, the
//! target of a webhook) could be a service inside the machine's or the control plane's network. So a text is read into a
//! [`Target`] and judged by [`Target::check`]; where a name can be resolved, each of its addresses is judged by
//! [`Allowed::check_ip`] as well, because a public name may lead to an inner address.
//!
//! An operator may list what is allowed nevertheless ([`Allowed`]), such as a registry in the own network.

mod allowed;
mod ranges;
mod target;

pub use allowed::{Allowed, AllowedError};
pub use ranges::{Refusal, refused};
pub use target::{AddressError, Host, Target, https_url};
