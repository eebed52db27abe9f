//! The project's database through PostgREST.
//!
//! Reads carry the caller's own token beside the publishable key, so row-level security decides
//! what exists. The functions that write carry the secret key.

pub mod agents;
pub mod alerts;
mod error;
pub mod heartbeat;
pub mod jobs;
pub mod machines;
pub mod mcp_access;
pub mod mcp_pin;
pub mod operators;
pub mod provisioning;
pub mod receipts;
pub mod rollouts;
pub mod rows;
pub mod secrets;
pub mod ssh;
#[cfg(test)]
mod tests;
pub mod toolbox_events;
pub mod toolboxes;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toolbox_domain::ids::{CatalogToolId, ToolInstanceId, ToolboxId};
use toolbox_domain::names::encode_segment;
use toolbox_domain::retry::RetryPolicy;
use toolbox_http::retry::retry;
use toolbox_http::{Call, Clock, Request, Response, Transport};

pub use error::DatabaseError;
use rows::{
    BeginOperation, Begun, BegunWire, CatalogRow, EnvironmentRow, HeartbeatRef, RecordState,
    RecordStates, RecordedStates, RecordedStatesWire, SpecRow, VersionRow,
};

/// Reads, and writes that may be repeated, get over a restart of PostgREST but not more.
const RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    base: Duration::from_millis(50),
    cap: Duration::from_millis(500),
    budget: Duration::from_secs(2),
};

const ENVIRONMENT: &str = "id,status,public_ip_address,dtma_port,dtma_certificate_pem,dtma_key_id,\
    dtma_last_known_version,dtma_api_version,instances_confirmed_at,unresponsive_since";

const INSTANCE: &str = "account_tool_instances(id,tool_catalog_id,instance_name_on_toolbox,\
    container_name,docker_image_url,mcp_transport_type,mcp_endpoint_path,generation,\
    desired_status,status_on_toolbox,instance_error_code,instance_error_message,container_id,\
    image_digest,port_mapping_json,mcp_health,mcp_pinned_fingerprint,mcp_pin_due_at,last_observed_at,version,created_at,\
    updated_at)";

/// Which instances of a toolbox to read.
#[derive(Clone, Copy, Debug)]
pub enum Select<'a> {
    /// None; the toolbox alone.
    None,
    /// All, oldest first.
    All,
    /// The one with this id.
    Id(ToolInstanceId),
    /// The one with this display name.
    Name(&'a str),
}

/// The keys of the project.
#[derive(Clone)]
pub struct ProjectKeys {
    /// Sent with the caller's token.
    pub publishable: String,
    /// Sent with writes.
    pub secret: String,
}

/// PostgREST of one project.
pub struct Supabase {
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    base: String,
    keys: ProjectKeys,
    deadline: Duration,
}

impl Supabase {
    /// The project at `url` (no slash at the end).
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        url: &str,
        keys: ProjectKeys,
        deadline: Duration,
    ) -> Self {
        Self {
            transport,
            clock,
            base: format!("{url}/rest/v1"),
            keys,
            deadline,
        }
    }

    /// The same with calls that end within `limit`.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Self {
        Self {
            transport: Arc::clone(&self.transport),
            clock: Arc::clone(&self.clock),
            base: self.base.clone(),
            keys: self.keys.clone(),
            deadline: self.deadline.min(limit),
        }
    }

    /// The toolbox as the holder of `token` sees it; none when it does not exist for them.
    pub async fn toolbox(
        &self,
        token: &str,
        id: ToolboxId,
        select: Select<'_>,
    ) -> Result<Option<Box<EnvironmentRow>>, DatabaseError> {
        let mut query =
            format!("account_tool_environments?id=eq.{id}&limit=1&select={ENVIRONMENT}");
        if !matches!(select, Select::None) {
            query.push(',');
            query.push_str(INSTANCE);
        }
        let _ = match select {
            Select::None => Ok(()),
            Select::All => query.write_str("&account_tool_instances.order=created_at.asc,id.asc"),
            Select::Id(instance) => write!(query, "&account_tool_instances.id=eq.{instance}"),
            Select::Name(name) => {
                let name = encode_segment(name);
                write!(
                    query,
                    "&account_tool_instances.instance_name_on_toolbox=eq.{name}"
                )
            }
        };
        let rows: Vec<Box<EnvironmentRow>> = self.read(token, &query).await?;
        Ok(rows.into_iter().next())
    }

    /// An entry of the catalog as the holder of `token` sees it.
    pub async fn catalog_tool(
        &self,
        token: &str,
        id: CatalogToolId,
    ) -> Result<Option<Box<CatalogRow>>, DatabaseError> {
        let query = format!(
            "tool_catalog?id=eq.{id}&limit=1&select=id,default_spec,\
             required_config_schema,required_secrets_schema"
        );
        let rows: Vec<Box<CatalogRow>> = self.read(token, &query).await?;
        Ok(rows.into_iter().next())
    }

    /// What an instance runs. Read with the secret key, because no user may read it: the caller
    /// must have been shown to own the instance.
    pub async fn spec(&self, id: ToolInstanceId) -> Result<Option<Box<SpecRow>>, DatabaseError> {
        let query = format!("account_tool_instances?id=eq.{id}&limit=1&select=spec,generation");
        let answer = self.read_as_writer(&query).await?;
        Ok(parse::<Vec<Box<SpecRow>>>(&answer)?.into_iter().next())
    }

    /// The versions of an instance that are kept, newest first; with `generation`, that one. Read with the secret key, as
    /// [`Self::spec`] is.
    pub async fn versions(
        &self,
        id: ToolInstanceId,
        generation: Option<u64>,
    ) -> Result<Vec<VersionRow>, DatabaseError> {
        let only = generation.map_or_else(String::new, |it| format!("&generation=eq.{it}"));
        let query = format!(
            "account_tool_instance_versions?tool_instance_id=eq.{id}{only}&order=generation.desc&limit=10\
             &select=generation,spec,image_digest,registry_digest,ran_at,restores,actor_kind,actor_id,created_at"
        );
        parse(&self.read_as_writer(&query).await?)
    }

    /// Begins an operation. Repeated only when the first call certainly did not arrive: a second
    /// one would meet the operation of the first.
    pub async fn begin(&self, p: &BeginOperation<'_>) -> Result<Begun, DatabaseError> {
        let body = argument(p);
        let answer = self
            .call_once("begin_tool_instance_operation", &body)
            .await?;
        parse::<BegunWire>(&answer)?
            .read()
            .ok_or_else(|| unexpected(&answer))
    }

    /// Writes what was decided of instances, each onto the row it was decided of. Compare-and-set, so repeating it does no
    /// harm. Each item has its own outcome.
    pub async fn record_states(
        &self,
        request_id: &str,
        heartbeat_ref: Option<HeartbeatRef>,
        items: &[RecordState<'_>],
    ) -> Result<RecordedStates, DatabaseError> {
        let p = RecordStates {
            request_id,
            heartbeat_ref,
            items,
        };
        let body = argument(&p);
        let answer = self.call("record_tool_instance_states", &body).await?;
        parse::<RecordedStatesWire>(&answer)?
            .read(items.len())
            .ok_or_else(|| unexpected(&answer))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        token: &str,
        query: &str,
    ) -> Result<T, DatabaseError> {
        let answer = retry(&*self.clock, &RETRY, DatabaseError::transience, || {
            let mut request = self.request("GET", query, Vec::new());
            request
                .headers
                .set("apikey", self.keys.publishable.as_str());
            request
                .headers
                .set("authorization", format!("Bearer {token}"));
            self.send(request)
        })
        .await?;
        parse(&answer)
    }

    /// Reads with the secret key.
    async fn read_as_writer(&self, query: &str) -> Result<Response, DatabaseError> {
        retry(&*self.clock, &RETRY, DatabaseError::transience, || {
            self.send_as_writer(self.request("GET", query, Vec::new()))
        })
        .await
    }

    /// Calls a function that may be called twice.
    async fn call(&self, name: &str, body: &[u8]) -> Result<Response, DatabaseError> {
        retry(&*self.clock, &RETRY, DatabaseError::transience, || {
            self.call_function(name, body)
        })
        .await
    }

    /// Calls a function again only when the first call certainly did not arrive.
    async fn call_once(&self, name: &str, body: &[u8]) -> Result<Response, DatabaseError> {
        let arrived_not = |e: &DatabaseError| match e {
            DatabaseError::Unreachable(cause) if cause.never_arrived() => e.transience(),
            _ => None,
        };
        retry(&*self.clock, &RETRY, arrived_not, || {
            self.call_function(name, body)
        })
        .await
    }

    async fn call_function(&self, name: &str, body: &[u8]) -> Result<Response, DatabaseError> {
        let mut request = self.request("POST", &format!("rpc/{name}"), without_nul(body));
        request.headers.set("content-type", "application/json");
        self.send_as_writer(request).await
    }

    /// The keys of today are opaque and the gateway turns them into a role; the legacy ones are
    /// tokens themselves, which PostgREST reads.
    async fn send_as_writer(&self, mut request: Request) -> Result<Response, DatabaseError> {
        let secret = self.keys.secret.as_str();
        request.headers.set("apikey", secret);
        if !secret.starts_with("sb_") {
            request
                .headers
                .set("authorization", format!("Bearer {secret}"));
        }
        self.send(request).await.map_err(DatabaseError::of_writer)
    }

    /// Queries are made of constants, ids and encoded names.
    fn request(&self, method: &str, query: &str, body: Vec<u8>) -> Request {
        let mut request = Request::new(method, format!("{}/{query}", self.base));
        request.body = body;
        request
    }

    async fn send(&self, request: Request) -> Result<Response, DatabaseError> {
        let mut call = Call::new(request, self.deadline);
        // The project's own gateway; it announces no length, and checking would slow every read.
        call.max_answer = usize::MAX;
        let answer = self.transport.send(call).await?;
        if answer.is_success() {
            Ok(answer)
        } else {
            Err(DatabaseError::from_answer(&answer))
        }
    }
}

/// The body of a call to a function. Types of this crate's requests always serialize.
fn argument(p: &impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Argument<'a, T> {
        p: &'a T,
    }
    serde_json::to_vec(&Argument { p }).unwrap_or_default()
}

/// Postgres' JSON cannot hold NUL characters, and a server in a container may put one into what it says of itself:
/// such a character becomes the replacement character. `body` is JSON that was read, so a backslash stands in
/// strings only and begins an escape.
fn without_nul(body: &[u8]) -> Vec<u8> {
    let mut text = body.to_vec();
    let mut at = 0;
    let backslash = |b: &u8| *b == b'\\';
    while let Some(found) = text
        .get(at..)
        .and_then(|rest| rest.iter().position(backslash))
    {
        at += found;
        if text[at..].starts_with(br"\u0000") {
            text[at..at + 6].copy_from_slice(br"\ufffd");
        }
        at += 2;
    }
    text
}

fn unexpected(answer: &Response) -> DatabaseError {
    DatabaseError::BadResponse {
        status: answer.status,
        code: String::new(),
    }
}

fn parse<T: DeserializeOwned>(answer: &Response) -> Result<T, DatabaseError> {
    serde_json::from_slice(&answer.body).map_err(|_| unexpected(answer))
}
