//! Mail through an HTTP provider that takes what Resend takes: `{from, to, subject, text}` with a bearer token.

use std::time::Duration;

use serde::Serialize;
use toolbox_http::{Call, Request, Response, Transport, TransportError};

/// Where mail is handed over, and as whom. Not `Debug`: it holds a key.
#[derive(Clone, PartialEq, Eq)]
pub struct EmailProvider {
    /// `https://…/emails`.
    pub url: String,
    /// Its API key.
    pub key: String,
    /// `Name <address>` of the sender.
    pub from: String,
}

/// One mail.
#[derive(Clone, Debug)]
pub struct Email<'a> {
    /// The same in each attempt, so that the provider sends it once.
    pub id: &'a str,
    /// The receiver.
    pub to: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// Its text.
    pub text: &'a str,
}

#[derive(Serialize)]
struct Wire<'a> {
    from: &'a str,
    to: [&'a str; 1],
    subject: &'a str,
    text: &'a str,
}

impl EmailProvider {
    /// Hands one mail over. Any status is an answer.
    pub async fn send(
        &self,
        transport: &dyn Transport,
        email: &Email<'_>,
        deadline: Duration,
    ) -> Result<Response, TransportError> {
        let mut request = Request::new("POST", self.url.as_str());
        request.headers.set("content-type", "application/json");
        request
            .headers
            .set("authorization", format!("Bearer {}", self.key));
        request.headers.set("idempotency-key", email.id);
        // Texts always serialize.
        request.body = serde_json::to_vec(&Wire {
            from: &self.from,
            to: [email.to],
            subject: email.subject,
            text: email.text,
        })
        .unwrap_or_default();
        transport.send(Call::new(request, deadline)).await
    }
}
