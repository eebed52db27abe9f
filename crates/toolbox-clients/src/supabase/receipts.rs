//! Receipts of ended operations.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use toolbox_domain::ids::{ToolboxId, UserId};

use super::{DatabaseError, Supabase, argument, parse, unexpected};

/// The receipts of one toolbox, as far as there is something to do.
#[derive(Clone, Debug, Deserialize)]
pub struct ReceiptChain {
    /// The toolbox.
    pub toolbox_id: ToolboxId,
    /// Its owner.
    pub user_id: UserId,
    /// The last receipt; none before the first.
    pub head: Option<ReceiptRef>,
    /// The newest receipt of an operation whose time is over, where that of a later one stays.
    pub expired: Option<ReceiptRef>,
    /// Ended operations without a receipt, in the order of their ends.
    pub operations: Vec<Map<String, Value>>,
}

/// A receipt that is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptRef {
    /// Its place in the chain.
    pub number: u64,
    /// What authenticates it.
    pub mac: String,
}

/// A receipt to append.
#[derive(Clone, Debug, Serialize)]
pub struct NewReceipt {
    /// The operation; none in a checkpoint.
    pub operation_id: Option<String>,
    /// Its bytes.
    pub content: String,
    /// Names the key.
    pub key_id: String,
    /// What authenticates the content.
    pub mac: String,
}

/// Argument of `seal_operations`.
#[derive(Clone, Debug, Serialize)]
pub struct Seal<'a> {
    /// The toolbox.
    pub toolbox_id: ToolboxId,
    /// Its owner.
    pub user_id: UserId,
    /// The head that the receipts follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_number: Option<u64>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_mac: Option<&'a str>,
    /// The receipts, in order.
    pub receipts: &'a [NewReceipt],
    /// Receipts up to this one are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_through: Option<u64>,
}

#[derive(Deserialize)]
struct Found {
    chains: Vec<ReceiptChain>,
}

#[derive(Deserialize)]
struct SealedWire {
    outcome: String,
    count: Option<u32>,
}

impl Supabase {
    /// What there is to seal, within `limit`.
    pub async fn unsealed_operations(
        &self,
        limit: Duration,
    ) -> Result<Vec<ReceiptChain>, DatabaseError> {
        let hurried = self.within(limit);
        let answer = hurried
            .call_function("get_unsealed_operations", br#"{"p":{}}"#)
            .await?;
        Ok(parse::<Found>(&answer)?.chains)
    }

    /// Appends receipts, within `limit`; how many. None where another was faster. Never repeated: the next tick does that.
    pub async fn seal_operations(
        &self,
        seal: &Seal<'_>,
        limit: Duration,
    ) -> Result<u32, DatabaseError> {
        let body = argument(seal);
        let hurried = self.within(limit);
        let answer = hurried.call_function("seal_operations", &body).await?;
        let told: SealedWire = parse(&answer)?;
        match (told.outcome.as_str(), told.count) {
            ("sealed", Some(count)) => Ok(count),
            ("superseded", _) => Ok(0),
            _ => Err(unexpected(&answer)),
        }
    }
}
