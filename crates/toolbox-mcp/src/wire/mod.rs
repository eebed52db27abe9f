//! Streamable HTTP as clients see it: what they must send, and the forms of what they get.

pub mod accept;
pub mod body;
pub mod checks;
pub mod reply;
pub mod sse;
