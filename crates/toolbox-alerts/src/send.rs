//! Sending: one attempt for each message that is due.

use std::time::Duration;

use futures_util::future::join_all;
use toolbox_api::alerts::{AlertData, AlertEvent};
use toolbox_api::moment;
use toolbox_clients::email::{Email, EmailProvider};
use toolbox_clients::supabase::alerts::{
    AlertChannel, AlertDelivery, AlertMessage, AlertMessageEvent, AlertOutcome,
};
use toolbox_clients::supabase::secrets::WebhookSecret;
use toolbox_clients::supabase::{DatabaseError, Supabase};
use toolbox_domain::address::{Allowed, Host, https_url};
use toolbox_domain::ids::AlertChannelId;
use toolbox_domain::retry::Fault;
use toolbox_domain::sealing::{Owner, Place, Roots, SealingKeys};
use toolbox_http::{Call, Clock, Request, Transport, TransportError};

use crate::sign::signature;
use crate::text;

/// Longest wait for the database, before and after sending.
const DATABASE_LIMIT: Duration = Duration::from_secs(4);
/// Longest wait for a receiver. With the database before and after it, 13 s: a third of what a tick's caller waits.
const RECEIVER_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for the addresses of a receiver.
const RESOLVE_LIMIT: Duration = Duration::from_secs(1);
const HTTPS_PORT: u16 = 443;

/// Sends messages.
pub struct Sender<'a> {
    /// The database.
    pub supabase: &'a Supabase,
    /// Calls out.
    pub transport: &'a dyn Transport,
    /// Time.
    pub clock: &'a dyn Clock,
    /// Which targets count although they are not public.
    pub allowed: &'a Allowed,
    /// Where mail is handed over; none where the operator set none.
    pub email: Option<&'a EmailProvider>,
    /// They open the secrets of webhooks.
    pub roots: Roots<'a>,
}

/// What became of one attempt.
struct Attempt {
    outcome: AlertOutcome,
    status: Option<u16>,
    code: Option<&'static str>,
}

impl Attempt {
    const fn failed(code: &'static str) -> Self {
        Self {
            outcome: AlertOutcome::Failed,
            status: None,
            code: Some(code),
        }
    }

    const fn retry(code: &'static str) -> Self {
        Self {
            outcome: AlertOutcome::Retry,
            status: None,
            code: Some(code),
        }
    }
}

/// A message as both kinds of channels need it.
struct Letter<'a> {
    id: &'a str,
    event: AlertEvent,
    text: String,
}

impl Sender<'_> {
    /// Sends what is due, each message once and all at the same time. How many there were.
    pub async fn deliver_due(&self) -> Result<u32, DatabaseError> {
        let messages = self.supabase.claim_alert_messages(DATABASE_LIMIT).await?;
        let ended = join_all(messages.iter().map(|message| self.deliver(message))).await;
        for recorded in ended {
            recorded?;
        }
        Ok(u32::try_from(messages.len()).unwrap_or(u32::MAX))
    }

    async fn deliver(&self, message: &AlertMessage) -> Result<(), DatabaseError> {
        let kind = match message.event {
            AlertMessageEvent::Opened => "alert.opened",
            AlertMessageEvent::Recovered => "alert.recovered",
            AlertMessageEvent::Test => "alert.test",
        };
        let alert = message.alert.as_ref();
        let letter = Letter {
            id: &message.id,
            event: AlertEvent {
                kind: kind.to_owned(),
                timestamp: moment::format(self.clock.now()),
                data: AlertData {
                    summary: text::summary(alert, message.event),
                    alert: alert.cloned(),
                },
            },
            text: text::mail(alert, message.event),
        };
        let attempt = self.send(&message.channel, &letter).await;
        let delivery = AlertDelivery {
            message_id: &message.id,
            attempt: message.attempt,
            outcome: attempt.outcome,
            status: attempt.status,
            code: attempt.code,
        };
        self.supabase
            .record_alert_delivery(&delivery, DATABASE_LIMIT)
            .await?;
        Ok(())
    }

    async fn send(&self, channel: &AlertChannel, letter: &Letter<'_>) -> Attempt {
        match channel {
            AlertChannel::Webhook {
                id,
                webhook_url,
                secret,
            } => match self.open(*id, secret) {
                Some(secret) => self.send_webhook(webhook_url, &secret, letter).await,
                None => Attempt::failed("webhook_secret_unreadable"),
            },
            AlertChannel::Email { email } => self.send_mail(email.as_deref(), letter).await,
        }
    }

    /// The secret of a channel; none when it does not open.
    fn open(&self, channel: AlertChannelId, secret: &WebhookSecret) -> Option<String> {
        let keys = SealingKeys::derive(self.roots, Owner::Channel(channel)).ok()?;
        keys.open(Place::WebhookSecret, &secret.envelope()).ok()
    }

    async fn send_webhook(&self, url: &str, secret: &str, letter: &Letter<'_>) -> Attempt {
        if let Err(attempt) = self.check_target(url).await {
            return attempt;
        }
        // Texts and numbers always serialize.
        let body = serde_json::to_vec(&letter.event).unwrap_or_default();
        let seconds = self.clock.now().as_secs();
        let Some(signature) = signature(secret, letter.id, seconds, &body) else {
            return Attempt::failed("webhook_secret_invalid");
        };
        let mut request = Request::new("POST", url);
        request.headers.set("content-type", "application/json");
        request.headers.set("webhook-id", letter.id);
        request
            .headers
            .set("webhook-timestamp", seconds.to_string());
        request.headers.set("webhook-signature", signature);
        request.body = body;
        // Redirects are not followed: they would lead past the check.
        let answer = self
            .transport
            .send(Call::new(request, RECEIVER_LIMIT))
            .await;
        outcome(answer.map(|answer| answer.status))
    }

    /// A user names the target, so it may lead into a network of ours. Where the host can resolve names each address
    /// counts; where it cannot, TLS alone keeps inner services out: none has a certificate for the user's name.
    async fn check_target(&self, url: &str) -> Result<(), Attempt> {
        let refused = || Attempt::failed("target_not_allowed");
        let target = https_url(url, self.allowed).map_err(|_| refused())?;
        let Host::Name(name) = &target.host else {
            return Ok(());
        };
        if self.allowed.has_target(&target) {
            return Ok(());
        }
        let port = Some(target.port.unwrap_or(HTTPS_PORT));
        match self.transport.resolve(name, RESOLVE_LIMIT).await {
            Ok(Some(addresses)) => {
                let mut addresses = addresses.into_iter();
                if addresses.any(|ip| self.allowed.check_ip(ip, port).is_err()) {
                    return Err(refused());
                }
                Ok(())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(outcome(Err(error))),
        }
    }

    async fn send_mail(&self, to: Option<&str>, letter: &Letter<'_>) -> Attempt {
        let Some(provider) = self.email else {
            return Attempt::failed("email_not_configured");
        };
        let Some(to) = to else {
            return Attempt::failed("email_not_confirmed");
        };
        let subject = text::subject(&letter.event.data.summary);
        let email = Email {
            id: letter.id,
            to,
            subject: &subject,
            text: &letter.text,
        };
        let answer = provider.send(self.transport, &email, RECEIVER_LIMIT).await;
        outcome(answer.map(|answer| answer.status))
    }
}

/// Every answer but success is tried again, as Standard Webhooks wants it; but a receiver that is gone for good is not.
fn outcome(answer: Result<u16, TransportError>) -> Attempt {
    match answer {
        Ok(status @ 200..=299) => Attempt {
            outcome: AlertOutcome::Delivered,
            status: Some(status),
            code: None,
        },
        Ok(410) => Attempt {
            status: Some(410),
            ..Attempt::failed("target_gone")
        },
        Ok(status) => Attempt {
            status: Some(status),
            ..Attempt::retry("target_refused")
        },
        Err(error) => Attempt::retry(match error.fault {
            Fault::Timeout => "target_timeout",
            Fault::Dns => "target_not_found",
            Fault::Tls | Fault::CannotPin => "target_tls_failed",
            Fault::BadBody => "target_answer_unreadable",
            Fault::Refused | Fault::Reset | Fault::Status(_) => "target_unreachable",
        }),
    }
}
