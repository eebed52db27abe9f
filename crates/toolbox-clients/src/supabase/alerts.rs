//! The outbox of alerts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toolbox_api::alerts::Alert;
use toolbox_domain::ids::AlertChannelId;

use super::secrets::WebhookSecret;
use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// How a channel is reached. Not `Debug`: it holds a secret.
#[derive(Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum AlertChannel {
    /// A signed POST.
    Webhook {
        /// The channel.
        id: AlertChannelId,
        /// Where to.
        webhook_url: String,
        /// `whsec_` and base64, as it lies in the database.
        #[serde(flatten)]
        secret: WebhookSecret,
    },
    /// Mail to the user's own address.
    Email {
        /// None while it is not confirmed.
        email: Option<String>,
    },
}

/// A message that is due. It is this caller's for a minute.
#[derive(Clone, Deserialize)]
pub struct AlertMessage {
    /// The same in each attempt.
    pub id: String,
    /// What it tells.
    pub event: AlertMessageEvent,
    /// The how manieth attempt this is.
    pub attempt: u32,
    /// Where it goes.
    pub channel: AlertChannel,
    /// What it is about; none in a test.
    pub alert: Option<Alert>,
}

/// What a message tells of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertMessageEvent {
    /// It began.
    Opened,
    /// It is over.
    Recovered,
    /// Nothing: its user wants to see that messages arrive.
    Test,
}

/// What became of one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertOutcome {
    /// The receiver took it.
    Delivered,
    /// It did not, and may later.
    Retry,
    /// It never will.
    Failed,
}

/// The same, for the database.
#[derive(Clone, Debug, Serialize)]
pub struct AlertDelivery<'a> {
    /// The message.
    pub message_id: &'a str,
    /// The attempt.
    pub attempt: u32,
    /// Its outcome.
    pub outcome: AlertOutcome,
    /// The receiver's HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'a str>,
}

#[derive(Deserialize)]
struct Claimed {
    messages: Vec<AlertMessage>,
}

#[derive(Deserialize)]
struct RecordedWire {
    outcome: String,
}

impl Supabase {
    /// Takes messages that are due, within `limit`. Never repeated: what was taken and not told of comes back by itself.
    pub async fn claim_alert_messages(
        &self,
        limit: Duration,
    ) -> Result<Vec<AlertMessage>, DatabaseError> {
        let answer = self
            .within(limit)
            .call_function("claim_alert_messages", br#"{"p":{}}"#)
            .await?;
        Ok(parse::<Claimed>(&answer)?.messages)
    }

    /// Writes what became of an attempt, within `limit`. Whether it still counted.
    pub async fn record_alert_delivery(
        &self,
        delivery: &AlertDelivery<'_>,
        limit: Duration,
    ) -> Result<bool, DatabaseError> {
        let body = argument(delivery);
        let hurried = self.within(limit);
        let answer = hurried.call_once("record_alert_delivery", &body).await?;
        match parse::<RecordedWire>(&answer)?.outcome.as_str() {
            "recorded" => Ok(true),
            "superseded" => Ok(false),
            _ => Err(unexpected(&answer)),
        }
    }
}
