//! Which forms of an answer a client takes.

use axum::http::{HeaderMap, header};

use super::checks::{Refusal, not_acceptable};

/// What the `Accept` header allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// A single JSON object.
    pub json: bool,
    /// An event stream.
    pub events: bool,
}

impl Accepts {
    /// Reads the header. The protocol demands both forms. A client that names one gets that one; a client that names none
    /// gets either.
    pub fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut found = Self {
            json: false,
            events: false,
        };
        let mut any = false;
        for value in headers.get_all(header::ACCEPT) {
            any = true;
            for part in value.to_str().unwrap_or_default().split(',') {
                let kind = part.split(';').next().unwrap_or_default().trim();
                match kind.to_ascii_lowercase().as_str() {
                    "application/json" | "application/*" => found.json = true,
                    "text/event-stream" | "text/*" => found.events = true,
                    "*/*" => {
                        found = Self {
                            json: true,
                            events: true,
                        }
                    }
                    _ => {}
                }
            }
        }
        if !any {
            return Ok(Self {
                json: true,
                events: true,
            });
        }
        if found.json || found.events {
            Ok(found)
        } else {
            Err(not_acceptable("application/json and text/event-stream"))
        }
    }
}
