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

use super::lists::{COMPLETE, Entries, Entry, List};
use super::outward::Alias;
use super::{
    Asked, BUSY, LITTLE_PATIENCE, Listed, MOST_OF_LIST, MOST_OF_TEXT, Member, Merge, Object,
    PATIENCE, Servers,
};
use crate::hub::{LEGACY, STATELESS, read_discover, read_initialize, stateless_params};
use crate::lenient;
use crate::rpc::{META_VERSION, Message, code};
use crate::tools::Page;
use crate::wire::body::{self, BodyError, Held};
use crate::wire::checks;
use crate::wire::sse::{Part, Reader};

/// Most pages of one server's list.
const MAX_PAGES: usize = 100;
/// Most bytes that are kept of what a client says of itself.
const MOST_OF_CLIENT: usize = 16 * 1024;
const TOO_LONG: &str = "what it lists is too long";
/// What servers may have, of what is asked here.
const OFFERS: [&str; 4] = ["tools", "prompts", "resources", "completions"];
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

    /// The servers to which a session may be open.
    pub(super) fn opened(&self) -> Vec<Uuid> {
        self.cells().keys().copied().collect()
    }

    /// The session to a server, if it is open, or is once whoever looks after it has done so.
    pub(super) async fn link(&self, server: Uuid) -> Option<Link> {
        let cell = self.cells().get(&server).cloned()?;
        let link = tokio::time::timeout(PATIENCE, cell.lock()).await;
        link.ok().and_then(|link| link.clone())
    }

    /// Forgets the session to a server, unless another request has begun a new one meanwhile.
    pub(super) async fn forget(&self, server: Uuid, link: &Link) {
        let cell = self.cell(server);
        cell.lock().await.take_if(|now| now == link);
    }

    /// Ends the sessions within.
    pub(super) async fn end<S: Servers>(&self, servers: &S) {
        join_all(self.opened().into_iter().map(|id| {
            let ending = async move {
                if let Some(link) = self.link(id).await {
                    link.end(servers, id).await;
                }
            };
            // One that cannot be ended in time ends by itself.
            tokio::time::timeout(LITTLE_PATIENCE, ending)
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
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Link {
    era: Era,
    /// What the server says that it has, of [`OFFERS`].
    offers: Vec<&'static str>,
    /// The server's run in which it was opened.
    run: Option<String>,
    /// What the server tells models.
    pub(super) instructions: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
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

    pub(super) fn offers(&self, what: &str) -> bool {
        self.offers.contains(&what)
    }

    /// Whether the server has been started anew since. What it said of itself then may not hold.
    fn is_of_before(&self, member: &Member) -> bool {
        member.run.is_some() && self.run != member.run
    }

    /// Ends the session, if it has a name.
    async fn end<S: Servers>(&self, servers: &S, server: Uuid) {
        if matches!(self.era, Era::Session { id: Some(_), .. }) {
            let mut request = self.request(Bytes::new(), None);
            *request.method_mut() = Method::DELETE;
            servers.serve(server, request).await;
        }
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

    /// The client's request about the entry that the server calls `name`, as this server gets it, and what it is called there.
    pub(super) fn call<S>(
        &self,
        asked: &Asked<'_, S>,
        list: List,
        name: &str,
    ) -> Option<(Request<Body>, Alias)> {
        let (message, method) = (asked.message, &*asked.message.method);
        let named = serde_json::value::to_raw_value(name).ok()?;
        let reference;
        let params = message.raw(message.params.as_ref()?);
        let mut params: Object<'_> = serde_json::from_str(params).ok()?;
        if method == COMPLETE {
            let mut anew: Object<'_> = serde_json::from_str(params.get("ref")?.get()).ok()?;
            anew.insert(list.parameter().to_owned(), &named);
            reference = serde_json::value::to_raw_value(&anew).ok()?;
            params.insert("ref".to_owned(), &reference);
        } else {
            params.insert(list.parameter().to_owned(), &named);
        }
        let meta: BTreeMap<String, Value> = match params.get("_meta") {
            Some(meta) => serde_json::from_str(meta.get()).ok()?,
            None => BTreeMap::new(),
        };
        let mut meta = self.meta(meta, asked.session)?;
        let id = message.id.as_ref().map(|span| message.raw(span))?;
        let mut alias = Alias {
            id: id.to_owned(),
            sent: id.to_owned(),
            token: None,
        };
        if asked.session.is_stateless() && !self.is_stateless() {
            // Clients that know nothing of each other share a session there, which tells calls apart by their ids.
            let sent = Value::from(asked.session.fresh());
            alias.sent = sent.to_string();
            if let Some(token) = meta.get_mut("progressToken") {
                alias.token = Some(std::mem::replace(token, sent).to_string());
            }
        }
        let meta = serde_json::value::to_raw_value(&meta).ok()?;
        params.insert("_meta".to_owned(), &meta);
        let id = &alias.sent;
        let params = serde_json::to_string(&params).ok()?;
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        let name = if method == COMPLETE { "" } else { name };
        let mut request = self.request(text.into(), Some((method, name)));
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
        Some((request, alias))
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
    /// Its result, with memory for it and for what is read from it.
    Result(String, Held),
    /// An error, as its text reads.
    Error(String),
    /// It does not know the method.
    Unknown,
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
        match held.take() {
            Some(link) if link.is_of_before(member) => {
                let ending = link.end(servers, member.id);
                let _ = tokio::time::timeout(LITTLE_PATIENCE, ending).await;
            }
            Some(link) => return Ok(held.insert(link).clone()),
            None => {}
        }
        let mut link = if session.is_stateless() {
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
        link.run.clone_from(&member.run);
        Ok(held.insert(link).clone())
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
            Answered::Result(result, _) => result,
            Answered::Error(why) => return Err(why),
            Answered::Gone | Answered::Unknown => return Err("it refuses sessions".to_owned()),
        };
        let (version, ..) =
            read_initialize(&result).ok_or("it answered initialize with something else")?;
        let link = Link {
            era: Era::Session {
                id: session,
                version,
            },
            offers: offers(&result),
            run: None,
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
            offers: Vec::new(),
            run: None,
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
            Answered::Result(result, _) => {
                let value: Value = lenient::read(&result).unwrap_or_default();
                read_discover(&value).ok_or("it does not speak the stateless revision")?;
                link.offers = offers(&result);
                link.instructions = instructions(&result);
                Ok(link)
            }
            Answered::Error(why) => Err(why),
            Answered::Gone | Answered::Unknown => {
                Err("it does not speak the stateless revision".to_owned())
            }
        }
    }

    /// All entries of a server's list that the caller may see.
    pub(super) async fn entries<S: Servers>(
        &self,
        servers: &S,
        session: &Session,
        member: &Member,
        list: List,
    ) -> Listed {
        let mut entries = Entries {
            entries: Vec::new(),
            held: self.budget.hold(),
        };
        if member.is_idle && list != List::Tools {
            return Err("nobody uses it now; its next call starts it".to_owned());
        }
        // Without its tools nobody would call it.
        if member.is_idle
            && let Some(known) = servers.listed(member.id)
        {
            let known = known.iter();
            let raw = known.filter_map(|entry| serde_json::from_str(entry).ok());
            return self.take(&mut entries, list, raw).map(|()| entries);
        }
        self.pages(servers, session, member, list, |page| {
            self.take(&mut entries, list, page.entries.iter().copied())
        })
        .await?;
        Ok(entries)
    }

    /// Takes the pages of a server's list.
    pub(super) async fn pages<S: Servers>(
        &self,
        servers: &S,
        session: &Session,
        member: &Member,
        list: List,
        mut take: impl FnMut(&Page<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut link = self.open(servers, session, member).await?;
        let method = list.method();
        let mut cursor = None::<String>;
        let mut may_open = true;
        for _ in 0..MAX_PAGES {
            if !link.offers(list.capability()) {
                return Ok(());
            }
            let id = session.fresh();
            let params = match (link.is_stateless(), &cursor) {
                (true, cursor) => stateless_params(cursor.as_deref()),
                (false, Some(cursor)) => json!({ "cursor": cursor }),
                (false, None) => json!({}),
            };
            let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
            let request = link.request(message.to_string().into(), Some((method, "")));
            let response = servers.serve(member.id, request).await;
            let status = response.status();
            let answered = self.answered(response, &id).await;
            // Some servers with resources know no templates.
            if matches!(answered, Ok(Answered::Unknown)) && list != List::Tools {
                return Ok(());
            }
            if is_refused(status) && may_open && cursor.is_none() {
                may_open = false;
                session.forget(member.id, &link).await;
                link = self.open(servers, session, member).await?;
                continue;
            }
            let (result, _held) = match answered? {
                Answered::Result(result, held) => (result, held),
                Answered::Gone => return Err("its session ended".to_owned()),
                Answered::Unknown => return Err(format!("it does not know {method}")),
                Answered::Error(why) => return Err(why),
            };
            let page = list.page(&result)?;
            take(&page)?;
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(()),
            }
        }
        Err(format!("{method} has no end after {MAX_PAGES} pages"))
    }

    /// Adds entries of a list.
    fn take<'a>(
        &self,
        to: &mut Entries,
        list: List,
        entries: impl IntoIterator<Item = &'a RawValue>,
    ) -> Result<(), String> {
        let mut bytes: usize = to.entries.iter().map(Entry::bytes).sum();
        for entry in entries {
            let Some(entry) = Entry::read(list, entry) else {
                continue;
            };
            bytes += entry.bytes();
            if bytes > self.most_of_list() {
                return Err(TOO_LONG.to_owned());
            }
            to.entries.push(entry);
        }
        if to.held.set(bytes) {
            Ok(())
        } else {
            Err(BUSY.to_owned())
        }
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
            #[serde(default)]
            code: i64,
            message: String,
        }
        let status = response.status();
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_events = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let wanted = Value::from(id).to_string();
        let read = |text: &[u8]| -> Option<Result<String, Failure>> {
            let wire: Wire<'_> = serde_json::from_slice(text).ok()?;
            if let Some(result) = wire.result
                && wire.id.is_some_and(|id| id.get() == wanted)
            {
                return Some(Ok(result.get().to_owned()));
            }
            // An error may come without the id.
            lenient::read(wire.error?.get()).map(Err)
        };
        let mut held = self.budget.hold();
        let found = if is_events {
            self.read_events(response.into_body(), &mut held, read)
                .await?
        } else {
            let (bytes, of_body) =
                body::read(response.into_body(), self.most_of_list(), &self.budget)
                    .await
                    .map_err(|error| match error {
                        BodyError::TooLarge(_) => TOO_LONG.to_owned(),
                        other => other.to_string(),
                    })?;
            held = of_body;
            // It is copied.
            if !held.set(2 * bytes.len()) {
                return Err(BUSY.to_owned());
            }
            read(&bytes)
        };
        match found {
            Some(Ok(result)) => Ok(Answered::Result(result, held)),
            Some(Err(failure)) if failure.code == i64::from(code::METHOD_NOT_FOUND) => {
                Ok(Answered::Unknown)
            }
            _ if status == StatusCode::NOT_FOUND => Ok(Answered::Gone),
            Some(Err(Failure { message, .. })) => {
                let why = &message[..message.floor_char_boundary(300)];
                Ok(Answered::Error(why.to_owned()))
            }
            None => Err(format!(
                "it answered with HTTP {} and no message",
                status.as_u16()
            )),
        }
    }

    /// The first message of a stream that `read` takes.
    async fn read_events<T>(
        &self,
        body: Body,
        held: &mut Held,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, String> {
        use futures_util::StreamExt as _;
        let mut chunks = body.into_data_stream();
        let (mut reader, mut data, mut found) = (Reader::default(), Vec::new(), None);
        while let Some(Ok(chunk)) = chunks.next().await {
            reader.read(&chunk, |_, part| match part {
                Part::Data(more) => data.extend_from_slice(more),
                Part::End => {
                    found = found.take().or_else(|| read(&data));
                    data.clear();
                }
            });
            if found.is_some() {
                break;
            }
            if data.len() > self.most_of_list() {
                return Err(TOO_LONG.to_owned());
            }
            // It is copied.
            if !held.set(2 * data.len()) {
                return Err(BUSY.to_owned());
            }
        }
        Ok(found)
    }

    fn most_of_list(&self) -> usize {
        MOST_OF_LIST.min(self.limit)
    }
}

/// A server that does not know the session, or wants none, or another revision: it did not take the message.
pub(super) fn is_refused(status: StatusCode) -> bool {
    matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST)
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

/// What a server says that it has.
fn offers(result: &str) -> Vec<&'static str> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        capabilities: Object<'a>,
    }
    let read = serde_json::from_str::<Wire<'_>>(result);
    let said = read.map_or_else(|_| Object::new(), |wire| wire.capabilities);
    let has = |what: &&str| said.get(*what).is_some_and(|value| value.get() != "null");
    OFFERS.into_iter().filter(has).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_session_that_is_just_looked_after_is_waited_for() {
        let session = Session::stateless("a");
        let server = Uuid::from_u128(7);
        assert!(session.link(server).await.is_none(), "none was opened");
        let cell = session.cell(server);
        let mut held = cell.lock().await;
        let (found, ()) = tokio::join!(session.link(server), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            *held = Some(Link {
                era: Era::Stateless,
                offers: Vec::new(),
                run: None,
                instructions: None,
            });
            drop(held);
        });
        assert!(found.is_some());
    }
}
