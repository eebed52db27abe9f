//! A merged session, and the sessions to the servers within it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Asked, LITTLE_PATIENCE, Listed, MOST_OF_TEXT, Member, Merge, Object, Servers, Tool, outward,
};
use crate::hub::{LEGACY, STATELESS, read_discover, read_initialize, stateless_params};
use crate::lenient;
use crate::rpc::{META_VERSION, Message};
use crate::tools::Page;
use crate::wire::body;
use crate::wire::checks;
use crate::wire::sse::{Part, Reader};

/// Most pages of one server's list.
const MAX_PAGES: usize = 100;
/// Most bytes that are kept of what a client says of itself.
const MOST_OF_CLIENT: usize = 16 * 1024;
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What the stateless era says of a client in each request.
const META: [&str; 3] = [
    META_VERSION,
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
];

/// The session to one server, once it is open.
type Cell = Arc<tokio::sync::Mutex<Option<Link>>>;

/// A client's session with all servers.
pub(super) struct Session {
    pub(super) who: String,
    pub(super) version: &'static str,
    stateless: bool,
    /// What the client says of itself, as JSON.
    capabilities: String,
    client: String,
    /// The sessions within. Each has its own lock, so that one is opened once and none waits for another.
    links: Mutex<BTreeMap<Uuid, Cell>>,
    used: Mutex<Instant>,
    /// The last id of a request of our own.
    last: AtomicU64,
}

impl Session {
    pub(super) fn begin(who: &str, version: &'static str, message: &Message) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Params<'a> {
            #[serde(borrow)]
            capabilities: Option<&'a RawValue>,
            #[serde(borrow)]
            client_info: Option<&'a RawValue>,
        }
        let params = message.params.as_ref().map(|span| message.raw(span));
        let params: Params<'_> = params
            .and_then(|params| serde_json::from_str(params).ok())
            .unwrap_or_default();
        let text = |value: Option<&RawValue>, other: &str| {
            let value = value.filter(|value| value.get().len() <= MOST_OF_CLIENT);
            value.map_or_else(|| other.to_owned(), |value| value.get().to_owned())
        };
        Self {
            who: who.to_owned(),
            version,
            stateless: false,
            capabilities: text(params.capabilities, "{}"),
            client: text(params.client_info, &own_info().to_string()),
            links: Mutex::default(),
            used: Mutex::new(Instant::now()),
            last: AtomicU64::new(0),
        }
    }

    pub(super) fn stateless(who: &str) -> Self {
        Self {
            who: who.to_owned(),
            version: LEGACY.last().copied().unwrap_or_default(),
            stateless: true,
            // Nobody could answer a server that asks in its own session.
            capabilities: "{}".to_owned(),
            client: own_info().to_string(),
            links: Mutex::default(),
            used: Mutex::new(Instant::now()),
            last: AtomicU64::new(0),
        }
    }

    pub(super) const fn is_stateless(&self) -> bool {
        self.stateless
    }

    pub(super) fn used(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// The sessions that are open.
    pub(super) fn links(&self) -> BTreeMap<Uuid, Link> {
        let cells: Vec<_> = self
            .cells()
            .iter()
            .map(|(id, cell)| (*id, Arc::clone(cell)))
            .collect();
        let mut links = BTreeMap::new();
        for (id, cell) in cells {
            // One that is being opened is not open.
            let link = cell.try_lock().ok().and_then(|link| link.clone());
            links.extend(link.map(|link| (id, link)));
        }
        links
    }

    pub(super) async fn forget(&self, server: Uuid) {
        let cell = self.cell(server);
        *cell.lock().await = None;
    }

    /// Ends the sessions within.
    pub(super) async fn end<S: Servers>(&self, servers: &S) {
        let links = self.links();
        join_all(links.into_iter().map(|(id, link)| async move {
            if !link.has_session() {
                return;
            }
            let mut request = link.request(Bytes::new(), None);
            *request.method_mut() = Method::DELETE;
            // One that cannot be ended in time ends by itself.
            let _ = tokio::time::timeout(LITTLE_PATIENCE, servers.serve(id, request)).await;
        }))
        .await;
    }

    fn cell(&self, server: Uuid) -> Cell {
        Arc::clone(self.cells().entry(server).or_default())
    }

    fn cells(&self) -> MutexGuard<'_, BTreeMap<Uuid, Cell>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An id that no client gives.
    fn fresh(&self) -> String {
        format!("toolbox-{}", self.last.fetch_add(1, Ordering::Relaxed))
    }
}

/// How a server is spoken to.
#[derive(Clone, Debug)]
pub(super) struct Link {
    era: Era,
    has_tools: bool,
    /// What the server tells models.
    pub(super) instructions: Option<String>,
}

#[derive(Clone, Debug)]
enum Era {
    /// In a session, which some servers do not name.
    Session {
        id: Option<HeaderValue>,
        version: String,
    },
    Stateless,
}

impl Link {
    pub(super) const fn is_stateless(&self) -> bool {
        matches!(self.era, Era::Stateless)
    }

    pub(super) const fn has_session(&self) -> bool {
        matches!(self.era, Era::Session { id: Some(_), .. })
    }

    /// A message in the session; none where there is none.
    pub(super) fn pass(&self, message: Bytes) -> Option<Request<Body>> {
        (!self.is_stateless()).then(|| self.request(message, None))
    }

    /// A request to the server; `named` has its method and the name it is about, which the stateless era repeats.
    fn request(&self, message: Bytes, named: Option<(&str, &str)>) -> Request<Body> {
        let mut request = post(message);
        let headers = request.headers_mut();
        match &self.era {
            Era::Session { id, version } => {
                if let Some(id) = id {
                    headers.insert(checks::SESSION, id.clone());
                }
                if let Ok(version) = HeaderValue::from_str(version) {
                    headers.insert(checks::VERSION, version);
                }
            }
            Era::Stateless => {
                headers.insert(checks::VERSION, HeaderValue::from_static(STATELESS));
                if let Some((method, name)) = named {
                    if let Ok(method) = HeaderValue::from_str(method) {
                        headers.insert(METHOD, method);
                    }
                    if !name.is_empty() {
                        headers.insert(NAME, encoded(name));
                    }
                }
            }
        }
        request
    }

    /// The client's call as this server gets it.
    pub(super) fn call<S>(&self, asked: &Asked<'_, S>, tool: &str) -> Option<Request<Body>> {
        let message = asked.message;
        let params = message.raw(message.params.as_ref()?);
        let mut params: Object<'_> = serde_json::from_str(params).ok()?;
        let name = serde_json::value::to_raw_value(tool).ok()?;
        params.insert("name".to_owned(), &name);
        let meta: BTreeMap<String, Value> = match params.get("_meta") {
            Some(meta) => serde_json::from_str(meta.get()).ok()?,
            None => BTreeMap::new(),
        };
        let meta = self.meta(meta, asked.session);
        let meta = serde_json::value::to_raw_value(&meta?).ok()?;
        params.insert("_meta".to_owned(), &meta);
        let id = message.id.as_ref().map(|span| message.raw(span))?;
        let params = serde_json::to_string(&params).ok()?;
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#);
        let mut request = self.request(text.into(), Some(("tools/call", tool)));
        if let (Era::Stateless, true) = (&self.era, asked.session.is_stateless()) {
            for (name, value) in asked.headers {
                if name.as_str().starts_with(checks::PARAMETER) {
                    request.headers_mut().append(name, value.clone());
                }
            }
        }
        if let Some(accept) = asked.headers.get(header::ACCEPT) {
            request.headers_mut().insert(header::ACCEPT, accept.clone());
        }
        Some(request)
    }

    /// `_meta` of a client's request, in the server's era.
    fn meta(
        &self,
        mut meta: BTreeMap<String, Value>,
        session: &Session,
    ) -> Option<BTreeMap<String, Value>> {
        match (self.is_stateless(), session.stateless) {
            (true, false) => {
                let said = [
                    Value::from(STATELESS),
                    serde_json::from_str(&session.client).ok()?,
                    // What the client could be asked comes in another form there.
                    json!({}),
                ];
                meta.extend(META.iter().map(|name| (*name).to_owned()).zip(said));
            }
            (false, true) => meta.retain(|name, _| !name.starts_with("io.modelcontextprotocol/")),
            _ => {}
        }
        Some(meta)
    }
}

fn post(message: Bytes) -> Request<Body> {
    let mut request = Request::new(Body::from(message));
    *request.method_mut() = Method::POST;
    let headers = request.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    let both = HeaderValue::from_static("application/json, text/event-stream");
    headers.insert(header::ACCEPT, both);
    request
}

/// A name as a header has it.
fn encoded(name: &str) -> HeaderValue {
    let plain = name.bytes().all(|b| b.is_ascii_graphic()) && !name.starts_with("=?");
    let value = HeaderValue::from_str(name).ok().filter(|_| plain);
    value.unwrap_or_else(|| {
        let text = base64::engine::general_purpose::STANDARD.encode(name);
        HeaderValue::from_str(&format!("=?base64?{text}?="))
            .unwrap_or_else(|_| HeaderValue::from_static(""))
    })
}

fn own_info() -> Value {
    json!({ "name": "toolbox", "title": "Toolbox", "version": env!("CARGO_PKG_VERSION") })
}

/// What a server answered to a message of our own.
enum Answered {
    Result(String),
    /// An error, as its text reads.
    Error(String),
    /// The session is not known there.
    Gone,
}

impl Merge {
    /// How a server is spoken to in this session, after a handshake if there was none.
    pub(super) async fn open<S: Servers>(
        &self,
        servers: &S,
        session: &Session,
        member: &Member,
    ) -> Result<Link, String> {
        let cell = session.cell(member.id);
        let mut held = cell.lock().await;
        if let Some(link) = &*held {
            return Ok(link.clone());
        }
        let link = if session.is_stateless() {
            match self.discover(servers, session, member.id).await {
                Ok(link) => link,
                Err(_) => self.initialize(servers, session, member.id).await?,
            }
        } else {
            match self.initialize(servers, session, member.id).await {
                Ok(link) => link,
                Err(why) => {
                    let discovered = self.discover(servers, session, member.id).await;
                    discovered.map_err(|_| why)?
                }
            }
        };
        *held = Some(link.clone());
        Ok(link)
    }

    async fn initialize<S: Servers>(
        &self,
        servers: &S,
        session: &Session,
        server: Uuid,
    ) -> Result<Link, String> {
        let id = session.fresh();
        let (version, capabilities, client) =
            (session.version, &session.capabilities, &session.client);
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":"{id}","method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{capabilities},"clientInfo":{client}}}}}"#
        );
        let response = servers.serve(server, post(message.into())).await;
        let session = response.headers().get(checks::SESSION).cloned();
        let result = match self.answered(response, &id).await? {
            Answered::Result(result) => result,
            Answered::Error(why) => return Err(why),
            Answered::Gone => return Err("it refuses sessions".to_owned()),
        };
        let (version, _, has_tools) =
            read_initialize(&result).ok_or("it answered initialize with something else")?;
        let link = Link {
            era: Era::Session {
                id: session,
                version,
            },
            has_tools,
            instructions: instructions(&result),
        };
        let ready =
            Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
        let _ = servers.serve(server, link.request(ready, None)).await;
        Ok(link)
    }

    async fn discover<S: Servers>(
        &self,
        servers: &S,
        session: &Session,
        server: Uuid,
    ) -> Result<Link, String> {
        let mut link = Link {
            era: Era::Stateless,
            has_tools: false,
            instructions: None,
        };
        let id = session.fresh();
        let params = stateless_params(None);
        let message =
            json!({ "jsonrpc": "2.0", "id": id, "method": "server/discover", "params": params });
        let request = link.request(message.to_string().into(), Some(("server/discover", "")));
        match self
            .answered(servers.serve(server, request).await, &id)
            .await?
        {
            Answered::Result(result) => {
                let value: Value = lenient::read(&result).unwrap_or_default();
                let (_, has_tools) =
                    read_discover(&value).ok_or("it does not speak the stateless revision")?;
                link.has_tools = has_tools;
                link.instructions = instructions(&result);
                Ok(link)
            }
            Answered::Error(why) => Err(why),
            Answered::Gone => Err("it does not speak the stateless revision".to_owned()),
        }
    }

    /// All tools of a server that the caller may see.
    pub(super) async fn tools<S: Servers>(
        &self,
        servers: &S,
        session: &Session,
        member: &Member,
    ) -> Listed {
        let mut link = self.open(servers, session, member).await?;
        let (mut tools, mut cursor, mut bytes) = (Vec::new(), None::<String>, 0);
        let mut may_open = true;
        for _ in 0..MAX_PAGES {
            if !link.has_tools {
                return Ok(tools);
            }
            let id = session.fresh();
            let params = match (link.is_stateless(), &cursor) {
                (true, cursor) => stateless_params(cursor.as_deref()),
                (false, Some(cursor)) => json!({ "cursor": cursor }),
                (false, None) => json!({}),
            };
            let message =
                json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list", "params": params });
            let request = link.request(message.to_string().into(), Some(("tools/list", "")));
            let response = servers.serve(member.id, request).await;
            let result = match self.answered(response, &id).await? {
                Answered::Result(result) => result,
                Answered::Gone if may_open && cursor.is_none() => {
                    may_open = false;
                    session.forget(member.id).await;
                    link = self.open(servers, session, member).await?;
                    continue;
                }
                Answered::Gone => return Err("its session ended".to_owned()),
                Answered::Error(why) => return Err(why),
            };
            bytes += result.len();
            if bytes > self.limit {
                return Err("the list of its tools is too long".to_owned());
            }
            let page = Page::read(&result).map_err(|error| error.to_string())?;
            tools.extend(page.tools.iter().filter_map(|tool| read_tool(tool)));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(tools),
            }
        }
        Err(format!(
            "its list of tools has no end after {MAX_PAGES} pages"
        ))
    }

    /// The answer to the message of this id.
    async fn answered(&self, response: Response<Body>, id: &str) -> Result<Answered, String> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            #[serde(borrow)]
            id: Option<&'a RawValue>,
            #[serde(borrow)]
            result: Option<&'a RawValue>,
            #[serde(borrow)]
            error: Option<&'a RawValue>,
        }
        #[derive(Deserialize)]
        struct Failure {
            message: String,
        }
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(Answered::Gone);
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let wanted = Value::from(id).to_string();
        let read = |text: &[u8]| -> Option<Answered> {
            let wire: Wire<'_> = serde_json::from_slice(text).ok()?;
            if let Some(result) = wire.result
                && wire.id.is_some_and(|id| id.get() == wanted)
            {
                return Some(Answered::Result(result.get().to_owned()));
            }
            // An error may come without the id.
            let failure: Failure = lenient::read(wire.error?.get())?;
            let text = &failure.message[..failure.message.floor_char_boundary(300)];
            Some(Answered::Error(text.to_owned()))
        };
        let found = if is_events {
            self.read_events(response.into_body(), read).await
        } else {
            let (bytes, _held) = body::read(response.into_body(), self.limit, &self.budget)
                .await
                .map_err(|error| error.to_string())?;
            read(&bytes)
        };
        found.ok_or_else(|| format!("it answered with HTTP {} and no message", status.as_u16()))
    }

    /// The first message of a stream that `read` takes.
    async fn read_events(
        &self,
        body: Body,
        read: impl Fn(&[u8]) -> Option<Answered>,
    ) -> Option<Answered> {
        use futures_util::StreamExt as _;
        let mut chunks = body.into_data_stream();
        let (mut reader, mut data, mut found) = (Reader::default(), Vec::new(), None);
        let mut held = self.budget.hold();
        while let Some(Ok(chunk)) = chunks.next().await {
            reader.read(&chunk, |_, part| match part {
                Part::Data(more) => data.extend_from_slice(more),
                Part::End => {
                    found = found.take().or_else(|| read(&data));
                    data.clear();
                }
            });
            if found.is_some() || data.len() > self.limit || !held.set(data.len()) {
                return found;
            }
        }
        found
    }
}

/// What a server tells models.
fn instructions(result: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Wire {
        instructions: Option<String>,
    }
    let text = lenient::read::<Wire>(result)?.instructions?;
    let text = text[..text.floor_char_boundary(MOST_OF_TEXT)]
        .trim()
        .to_owned();
    (!text.is_empty()).then_some(text)
}

/// A tool, and its entry around its name. What has no name, or several, is left out.
fn read_tool(tool: &RawValue) -> Option<Tool> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        name: &'a RawValue,
    }
    let text = tool.get();
    let named: Named<'_> = serde_json::from_str(text).ok()?;
    let (before, after) = outward::around(text, named.name);
    Some(Tool {
        name: lenient::read(named.name.get())?,
        before: before.to_owned(),
        after: after.to_owned(),
    })
}
