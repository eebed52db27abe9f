//! How MCP servers are used: calls by instance, tool, client and day. Never what was asked or answered.
//!
//! Counts grow for as long as the agent runs, and are reported so: one that is reported again says the same. A count whose day
//! is over goes once it was acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use toolbox_api::mcp_use::{LATENCY_BUCKETS, LATENCY_MS, McpUse, McpUseReport};
use toolbox_domain::ids::ToolInstanceId;
use toolbox_mcp::meter::Call;

/// Counts that are kept. Beyond them a call counts as one of [`OTHER`].
const MOST: usize = 2000;
/// Counts in one heartbeat.
const MOST_REPORTED: usize = 100;
/// Stands for tools that the server does not list, and for clients beyond [`MOST`].
const OTHER: &str = "(other)";
/// Longest name of a tool or a client, in bytes.
const MAX_NAME: usize = 64;

/// The counts. Clones share them.
#[derive(Clone)]
pub struct Usage {
    // A leaf lock, never held across an await.
    counts: Arc<Mutex<BTreeMap<Key, Count>>>,
    /// When this agent began to count; tells its counts from those of the start before.
    run: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// `YYYY-MM-DD`, in UTC.
    day: String,
    instance: ToolInstanceId,
    tool: String,
    client: String,
}

#[derive(Clone, Debug, Default)]
struct Count {
    calls: u64,
    errors: u64,
    bytes: u64,
    latency: [u64; LATENCY_BUCKETS],
    /// Calls that were acknowledged.
    acknowledged: u64,
}

impl Usage {
    /// Counts from now on.
    pub fn new(now: OffsetDateTime) -> Self {
        let run = now.unix_timestamp_nanos() / 1_000_000;
        Self {
            counts: Arc::default(),
            run: u64::try_from(run).unwrap_or_default(),
        }
    }

    /// Counts a call. `is_listed` says whether the server lists the tool.
    pub fn count(
        &self,
        now: OffsetDateTime,
        instance: ToolInstanceId,
        client: &str,
        call: &Call,
        is_listed: bool,
    ) {
        let mut key = Key {
            day: now.date().to_string(),
            instance,
            tool: if is_listed {
                short(&call.tool)
            } else {
                OTHER.to_owned()
            },
            client: short(client),
        };
        let mut counts = self.counts();
        if !counts.contains_key(&key) && counts.len() >= MOST {
            OTHER.clone_into(&mut key.tool);
            OTHER.clone_into(&mut key.client);
        }
        let count = counts.entry(key).or_default();
        count.calls += 1;
        count.errors += u64::from(call.failed);
        count.bytes += call.bytes;
        let took = u64::try_from(call.took.as_millis()).unwrap_or(u64::MAX);
        let bucket = LATENCY_MS.iter().position(|bound| took <= *bound);
        if let Some(bucket) = count.latency.get_mut(bucket.unwrap_or(LATENCY_BUCKETS - 1)) {
            *bucket += 1;
        }
    }

    /// What was not acknowledged yet, as much as one heartbeat takes; none if there is nothing.
    pub fn report(&self) -> Option<McpUseReport> {
        let counts = self.counts();
        let due = counts
            .iter()
            .filter(|(_, count)| count.calls > count.acknowledged);
        let report = due.take(MOST_REPORTED).map(|(key, count)| McpUse {
            day: key.day.clone(),
            instance_id: key.instance,
            tool: key.tool.clone(),
            client: key.client.clone(),
            calls: count.calls,
            errors: count.errors,
            bytes: count.bytes,
            latency: count.latency.to_vec(),
        });
        let counts: Vec<_> = report.collect();
        (!counts.is_empty()).then_some(McpUseReport {
            run: self.run,
            counts,
        })
    }

    /// The control plane has recorded this.
    pub fn acknowledge(&self, now: OffsetDateTime, report: &McpUseReport) {
        let mut counts = self.counts();
        for told in &report.counts {
            let key = Key {
                day: told.day.clone(),
                instance: told.instance_id,
                tool: told.tool.clone(),
                client: told.client.clone(),
            };
            if let Some(count) = counts.get_mut(&key) {
                count.acknowledged = count.acknowledged.max(told.calls);
            }
        }
        let today = now.date().to_string();
        counts.retain(|key, count| key.day >= today || count.calls > count.acknowledged);
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Key, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a program calls itself, without its version: the first word of a `User-Agent`.
pub fn product(agent: &str) -> &str {
    let end = agent.find(['/', ' ', '(']).unwrap_or(agent.len());
    agent.get(..end).unwrap_or_default()
}

fn short(name: &str) -> String {
    let legal: String = name.chars().filter(|c| !c.is_control()).collect();
    let legal = &legal[..legal.floor_char_boundary(MAX_NAME)];
    if legal.is_empty() { "(unnamed)" } else { legal }.to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ID: ToolInstanceId = ToolInstanceId::new(uuid::Uuid::from_u128(7));

    /// One minute before midnight.
    fn evening() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_796_083_140).unwrap()
    }

    fn call(tool: &str, milliseconds: u64, failed: bool) -> Call {
        Call {
            tool: tool.to_owned(),
            took: Duration::from_millis(milliseconds),
            bytes: 10,
            failed,
        }
    }

    #[test]
    fn counts_grow_and_are_reported_until_they_are_acknowledged() {
        let usage = Usage::new(evening());
        assert_eq!(usage.report(), None);
        usage.count(evening(), ID, "c", &call("a", 3, false), true);
        usage.count(evening(), ID, "c", &call("a", 600_000_000, true), true);
        usage.count(evening(), ID, "c", &call("no such tool", 3, true), false);
        let first = usage.report().unwrap();
        assert_eq!(usage.report().as_ref(), Some(&first), "it is told again");
        let told: Vec<_> = first
            .counts
            .iter()
            .map(|c| (&*c.tool, c.calls, c.errors, c.bytes))
            .collect();
        assert_eq!(told, [("(other)", 1, 1, 10), ("a", 2, 1, 20)]);
        assert_eq!(first.counts[1].latency.iter().sum::<u64>(), 2);
        usage.count(evening(), ID, "c", &call("a", 3, false), true);
        usage.acknowledge(evening(), &first);
        let second = usage.report().unwrap();
        assert_eq!(second.counts.len(), 1, "what came meanwhile");
        assert_eq!(second.counts[0].calls, 3, "in all");
        usage.acknowledge(evening(), &second);
        assert_eq!(usage.report(), None);
        let tomorrow = evening() + Duration::from_mins(2);
        usage.count(tomorrow, ID, "c", &call("a", 3, false), true);
        usage.acknowledge(tomorrow, &second);
        assert_eq!(usage.counts().len(), 1, "the day before is forgotten");
        assert_eq!(usage.report().unwrap().counts[0].calls, 1);
    }

    #[test]
    fn clients_that_come_and_go_do_not_take_all_memory() {
        let usage = Usage::new(evening());
        for n in 0..3 * MOST {
            usage.count(evening(), ID, &n.to_string(), &call("a", 3, false), true);
        }
        assert_eq!(usage.counts().len(), MOST + 1);
        let all: u64 = usage.counts().values().map(|count| count.calls).sum();
        assert_eq!(all, 3 * MOST as u64, "none is lost");
    }

    #[test]
    fn a_client_is_its_product() {
        for (agent, client) in [
            ("claude-code/1.0.2 (cli)", "claude-code"),
            ("node", "node"),
            ("python-httpx/0.27", "python-httpx"),
            ("", ""),
        ] {
            assert_eq!(product(agent), client);
        }
    }
}
