//! Receipts: each ended operation becomes one, chained to the one before it and authenticated by a key that the database
//! does not have. Operations end in many places, some in the database alone, so a job of `clock/tick` seals them in
//! order soon after. What was deleted because its time is over is said by a checkpoint, which is a receipt itself.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Map, Value, json};
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::moment;
use toolbox_clients::supabase::Supabase;
use toolbox_clients::supabase::receipts::{NewReceipt, ReceiptChain, ReceiptRef, Seal};
use toolbox_domain::receipts::ReceiptKey;
use toolbox_http::Clock;

/// Longest wait for the database, twice.
const LIMIT: Duration = Duration::from_secs(4);

/// Seals what ended; how many receipts were written.
pub async fn seal_due(
    supabase: &Supabase,
    clock: &dyn Clock,
    key: &ReceiptKey,
) -> Result<u32, ApiError> {
    let chains = supabase.unsealed_operations(LIMIT).await?;
    let now = moment::format(clock.now());
    let sealed = join_all(chains.iter().map(|chain| seal(supabase, key, chain, &now))).await;
    let mut count = 0;
    for of_chain in sealed {
        count += of_chain?;
    }
    Ok(count)
}

async fn seal(
    supabase: &Supabase,
    key: &ReceiptKey,
    chain: &ReceiptChain,
    now: &str,
) -> Result<u32, ApiError> {
    let receipts = receipts(key, chain, now)
        .map_err(|error| ApiError::new(ErrorCode::NotConfigured).caused_by(&error))?;
    let seal = Seal {
        toolbox_id: chain.toolbox_id,
        user_id: chain.user_id,
        head_number: chain.head.as_ref().map(|head| head.number),
        head_mac: chain.head.as_ref().map(|head| head.mac.as_str()),
        receipts: &receipts,
        delete_through: chain.expired.as_ref().map(|expired| expired.number),
    };
    Ok(supabase.seal_operations(&seal, LIMIT).await?)
}

/// The receipts of a chain's operations, then the checkpoint where older ones go.
fn receipts(
    key: &ReceiptKey,
    chain: &ReceiptChain,
    now: &str,
) -> Result<Vec<NewReceipt>, toolbox_domain::keys::KeyError> {
    let mut head = chain.head.clone();
    let mut append = |operation_id: Option<String>, content: Map<String, Value>| {
        let number = head.as_ref().map_or(0, |head| head.number) + 1;
        let mut content = content;
        content.insert("v".to_owned(), 1.into());
        content.insert("toolbox_id".to_owned(), chain.toolbox_id.to_string().into());
        content.insert("number".to_owned(), number.into());
        content.insert(
            "previous".to_owned(),
            head.as_ref()
                .map_or(Value::Null, |head| head.mac.clone().into()),
        );
        content.insert("sealed_at".to_owned(), now.into());
        let content = Value::Object(content).to_string();
        let mac = key.mac(&content)?;
        head = Some(ReceiptRef {
            number,
            mac: mac.clone(),
        });
        Ok(NewReceipt {
            operation_id,
            content,
            key_id: key.id().to_owned(),
            mac,
        })
    };
    let mut receipts = Vec::with_capacity(chain.operations.len() + 1);
    for operation in &chain.operations {
        let id = operation.get("operation_id").and_then(Value::as_str);
        receipts.push(append(id.map(str::to_owned), operation.clone())?);
    }
    if let Some(expired) = &chain.expired {
        let content = json!({"kept_after": {"number": expired.number, "mac": expired.mac}});
        let content = content.as_object().cloned().unwrap_or_default();
        receipts.push(append(None, content)?);
    }
    Ok(receipts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(head: Option<u64>, operations: usize, expired: Option<u64>) -> ReceiptChain {
        let named = |number: u64| json!({"number": number, "mac": "ab"});
        let operations: Vec<_> = (0..operations)
            .map(
                |n| json!({"operation_id": format!("o{n}"), "action": "start", "result": "failed"}),
            )
            .collect();
        serde_json::from_value(json!({
            "toolbox_id": "6f9619ff-8b86-4d01-b42d-000000000001",
            "user_id": "6f9619ff-8b86-4d01-b42d-000000000002",
            "head": head.map(named), "expired": expired.map(named), "operations": operations,
        }))
        .unwrap()
    }

    #[test]
    fn each_receipt_names_the_one_before_it() {
        let key = ReceiptKey::derive(&[7; 32]).unwrap();
        for (head, first) in [(None, 1), (Some(41), 42)] {
            let made = receipts(&key, &chain(head, 3, Some(7)), "now").unwrap();
            assert_eq!(made.len(), 4);
            let mut previous = head.map(|_| "ab".to_owned());
            for (receipt, number) in made.iter().zip(first..) {
                let content: Value = serde_json::from_str(&receipt.content).unwrap();
                assert_eq!(content["number"], number);
                assert_eq!(content["previous"].as_str(), previous.as_deref());
                assert_eq!(
                    content["operation_id"].as_str(),
                    receipt.operation_id.as_deref()
                );
                assert_eq!(receipt.mac, key.mac(&receipt.content).unwrap());
                previous = Some(receipt.mac.clone());
            }
            let last: Value = serde_json::from_str(&made[3].content).unwrap();
            assert_eq!(last["kept_after"], json!({"number": 7, "mac": "ab"}));
        }
        assert_eq!(
            receipts(&key, &chain(Some(1), 1, None), "now")
                .unwrap()
                .len(),
            1
        );
    }
}
