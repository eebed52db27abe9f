//! Streamable HTTP as clients see it: checks of their requests, and the forms of answers.

pub mod accept;
pub mod alive;
pub mod body;
pub mod checks;
pub mod cors;
pub mod reply;
pub(crate) mod rewrite;
pub mod sse;
