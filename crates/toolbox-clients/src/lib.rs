//! Typed clients over [`toolbox_http::Transport`].
//!
//! - [`supabase`]: reads as the caller (row-level security decides), status writes with the secret key.
//! - [`digitalocean`]: droplets and what belongs to them.
//! - [`dtma`]: every route of the agent.
//! - [`email`]: mail through an HTTP provider.
//!
//! [`supabase`] and [`dtma`] turn whatever comes back into one typed error with one [`toolbox_api::error::ErrorCode`]. Errors are told
//! apart by status, media type and `code` members; never by the text of a message.

pub mod backend;
pub mod digitalocean;
pub mod dtma;
pub mod email;
pub mod supabase;
