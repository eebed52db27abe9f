//! Several servers as one, for clients of either era: their tools, prompts and resources under names of their own ([`names`]).
//!
//! A merged session holds one to each server, opened when it is needed; a server is spoken to in its own era. Answers pass
//! with what belongs to a call: progress, log messages, and questions, whose ids lead back to the server that asked. Of what a
//! server says beside a call only that its tools changed is passed on, from what is known of them. One that does not answer
//! hides no other: its absence is in the instructions and is a tool of the list. Nobody subscribes to a resource here.

mod link;
mod lists;
pub mod names;
mod outward;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolbox_api::mcp_pin::{MAX_DEFINITIONS, McpTools};
use uuid::Uuid;

use self::link::Session;
use self::lists::{Entries, List};
use crate::hub::{BATCHES, LEGACY, STATELESS};
use crate::lenient;
use crate::rpc::{self, Fields, Kind, Malformed, Message, code};
use crate::tools::{Toolset, definition};
use crate::wire::accept::Accepts;
use crate::wire::body::{self, Budget};
use crate::wire::checks::{self, Era, Refusal};
use crate::wire::{reply, rewrite, sse};

/// Sessions held at once, of all callers and of one; beyond it the one that was silent longest ends.
const MOST: usize = 1024;
const MOST_OF_ONE: usize = 64;
/// How long a session may be silent.
const IDLE: Duration = Duration::from_mins(30);
/// How long a server may take until it is absent from a list: one that is well, and one that is not.
const PATIENCE: Duration = Duration::from_secs(10);
const LITTLE_PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether the tools of any server changed.
const LOOK: Duration = Duration::from_secs(1);
/// The tool by which a model learns which servers are absent. No server's part is without digits.
const ABSENT_TOOL: &str = "toolbox__unavailable_servers";
/// Longest list of one server, and of all, in bytes. No model takes more.
const MOST_OF_LIST: usize = 2 * 1024 * 1024;
const MOST_OF_LISTS: usize = 4 * 1024 * 1024;
const BUSY: &str = "too many long lists are being read; try again";
/// Longest text of a server that is repeated in the instructions, in bytes.
const MOST_OF_TEXT: usize = 2000;

/// A server among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: Uuid,
    /// What people call it; its part of names begins like it.
    pub name: String,
    /// Why it is not asked now, such as that it is stopped.
    pub absent: Option<String>,
    /// It was well when it was probed last.
    pub is_well: bool,
    /// It was stopped because nobody used it; a call starts it, and for lists it is left alone.
    pub is_idle: bool,
    /// Another when its tools are others.
    pub version: Option<String>,
    /// Another when it was started anew; none while that is not known.
    pub run: Option<String>,
    /// How long a call waits for it to be ready.
    pub ready: Duration,
}

/// The servers that one caller may use.
pub trait Servers: Clone + Send + Sync + 'static {
    /// Which they are now.
    fn members(&self) -> Vec<Member>;

    /// The entries of the tools that one of them listed last, of those that the caller may see; none if they were not kept.
    fn listed(&self, id: Uuid) -> Option<Vec<String>>;

    /// Passes a request to one of them.
    fn serve(
        &self,
        id: Uuid,
        request: Request<Body>,
    ) -> impl Future<Output = Response<Body>> + Send;
}

/// Whose session it is, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Begun(Uuid),
    /// What a caller of the stateless era needs towards servers that begin with a handshake.
    Stateless(String),
}

/// The merged sessions. Clones share them.
#[derive(Clone)]
pub struct Merge {
    // A leaf lock, never held across an await.
    sessions: Arc<Mutex<HashMap<Key, Arc<Session>>>>,
    /// Longest message in bytes, in either direction.
    limit: usize,
    budget: Budget,
}

/// A request on its way.
struct Asked<'a, S> {
    servers: S,
    session: &'a Session,
    headers: &'a HeaderMap,
    message: &'a Message,
    fields: &'a Fields,
    accepts: Accepts,
}

/// A server's list, or why it is not there.
type Listed = Result<Entries, String>;

impl Merge {
    /// Without sessions. A message may have `limit` bytes.
    pub fn new(limit: usize, budget: Budget) -> Self {
        Self {
            sessions: Arc::default(),
            limit,
            budget,
        }
    }

    /// Answers a request of `who`, who may use these servers.
    pub async fn serve<S: Servers>(
        &self,
        servers: S,
        who: &str,
        request: Request<Body>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        match head.method {
            Method::POST => self.post(servers, who, &head.headers, body).await,
            Method::GET | Method::DELETE if checks::is_stateless(&head.headers) => {
                reply::status(StatusCode::METHOD_NOT_ALLOWED, "POST")
            }
            Method::GET => match self.named(&head.headers, who) {
                Ok(_) => listening(news(servers, NEWS.to_vec(), Value::Null)),
                Err(refusal) => refusal.into_response(),
            },
            Method::DELETE => match self.named(&head.headers, who) {
                Ok((key, session)) => {
                    self.sessions().remove(&key);
                    session.end(&servers).await;
                    reply::status(StatusCode::NO_CONTENT, "")
                }
                Err(refusal) => refusal.into_response(),
            },
            _ => reply::status(StatusCode::METHOD_NOT_ALLOWED, "GET, POST, DELETE"),
        }
    }

    /// The definitions of the tools that the only server of `servers` lists now, asked in a session of its own; or why they are
    /// not known.
    pub async fn definitions<S: Servers>(&self, servers: S) -> Result<McpTools, String> {
        let member = servers.members().pop().ok_or("it is no MCP server")?;
        let session = Session::stateless("");
        let (mut known, mut tools, mut bytes) = (Toolset::default(), Vec::new(), 0);
        let listing = self.pages(&servers, &session, &member, List::Tools, |page| {
            known.add(page).map_err(|error| error.to_string())?;
            for tool in &page.entries {
                let tool = definition(tool.get()).ok_or("one of its tools cannot be read")?;
                bytes += serde_json::to_string(&tool).map_or(0, |text| text.len());
                tools.push(tool);
            }
            if bytes > MAX_DEFINITIONS {
                return Err(format!(
                    "the definitions of its tools are longer than {} KiB",
                    MAX_DEFINITIONS / 1024
                ));
            }
            Ok(())
        });
        let begun = tokio::time::Instant::now();
        let mut listed = within(&member, PATIENCE, listing).await;
        if let Err(why) = &mut listed
            && begun.elapsed() >= PATIENCE
        {
            why.push_str(
                "; it may still be starting, and goes on with that: try again in a minute",
            );
        }
        session.end(&servers).await;
        listed.map(|()| McpTools {
            fingerprint: known.fingerprint().to_owned(),
            first_fingerprint: None,
            tools,
        })
    }

    async fn post<S: Servers>(
        &self,
        servers: S,
        who: &str,
        headers: &HeaderMap,
        body: Body,
    ) -> Response<Body> {
        let accepts = match Accepts::read(headers) {
            Ok(accepts) => accepts,
            Err(refusal) => return refusal.into_response(),
        };
        if let Err(refusal) = checks::content_type(headers) {
            return refusal.into_response();
        }
        let bytes = match body::read(body, self.limit, &self.budget).await {
            Ok((bytes, held)) => held.carried_by(bytes),
            Err(error) => return crate::bridge::too_much(error),
        };
        let (message, fields) = match crate::bridge::parse(bytes) {
            Ok(read) => read,
            Err(error) => return malformed(error),
        };
        let stateless = match checks::era(headers, &message, &fields) {
            Ok(Era::Sessions) => false,
            Ok(Era::Stateless) => true,
            Ok(Era::Unsupported(version)) => {
                let data = json!({ "supported": [STATELESS], "requested": version });
                let text = "Unsupported protocol version";
                let body = rpc::error(id_of(&message), code::UNSUPPORTED_VERSION, text, Some(data));
                return reply::json(StatusCode::BAD_REQUEST, body);
            }
            Err(refusal) => return refusal.into_response(),
        };
        let begins =
            !stateless && &*message.method == "initialize" && message.kind == Kind::Request;
        let (key, session) = if stateless {
            let key = Key::Stateless(who.to_owned());
            let session = self.keep(key.clone(), || Session::stateless(who));
            (key, session)
        } else if begins {
            let key = Key::Begun(Uuid::new_v4());
            let session = Session::begin(who, version(&message, &fields), &message);
            (key.clone(), self.keep(key, || session))
        } else {
            match self.named(headers, who) {
                Ok(found) => found,
                Err(refusal) => return refusal.into_response(),
            }
        };
        let asked = Asked {
            servers,
            session: &session,
            headers,
            message: &message,
            fields: &fields,
            accepts,
        };
        let mut response = match message.kind {
            Kind::Request => self.request(asked).await,
            Kind::Notification => self.notify(asked).await,
            Kind::Response => self.respond(asked).await,
        };
        if let (true, Key::Begun(id)) = (begins, key)
            && let Ok(id) = HeaderValue::from_str(&id.to_string())
        {
            response.headers_mut().insert(checks::SESSION, id);
        }
        response
    }

    async fn request<S: Servers>(&self, asked: Asked<'_, S>) -> Response<Body> {
        match &*asked.message.method {
            "initialize" => {
                let result = json!({
                    "protocolVersion": asked.session.version,
                    "capabilities": capabilities(),
                    "serverInfo": server_info(),
                    "instructions": self.instructions(&asked).await,
                });
                asked.result(&result.to_string())
            }
            "server/discover" => {
                let result = json!({
                    "resultType": "complete",
                    "supportedVersions": [STATELESS],
                    "capabilities": capabilities(),
                    "serverInfo": server_info(),
                    "_meta": { "io.modelcontextprotocol/serverInfo": server_info() },
                    "instructions": self.instructions(&asked).await,
                    "ttlMs": 0,
                    "cacheScope": "private",
                });
                asked.result(&result.to_string())
            }
            "ping" => asked.result("{}"),
            "tools/list" => self.list(&asked, List::Tools).await,
            "prompts/list" => self.list(&asked, List::Prompts).await,
            "resources/list" => self.list(&asked, List::Resources).await,
            "resources/templates/list" => self.list(&asked, List::Templates).await,
            "tools/call" | "prompts/get" | "resources/read" | lists::COMPLETE => {
                self.call(asked).await
            }
            "subscriptions/listen" if asked.session.is_stateless() => {
                let id = serde_json::from_str(id_of(asked.message)).unwrap_or_default();
                let wanted = wanted(asked.message);
                listening(news(asked.servers, wanted, id))
            }
            _ => {
                let text = "Method not found: this URL has the tools, prompts and resources of several servers; what else a server has is at its own URL";
                let body = rpc::error(id_of(asked.message), code::METHOD_NOT_FOUND, text, None);
                let status = if asked.session.is_stateless() {
                    StatusCode::NOT_FOUND
                } else {
                    StatusCode::OK
                };
                asked.answer(status, body)
            }
        }
    }

    /// What a model is told of the servers.
    async fn instructions<S: Servers>(&self, asked: &Asked<'_, S>) -> String {
        let members = asked.servers.members();
        let parts = parts(&members);
        let opened = join_all(members.iter().map(|member| async {
            let opening = async {
                // What it tells models is not worth its start.
                let link = if member.is_idle {
                    asked.session.link(member.id).await
                } else {
                    Some(self.open(&asked.servers, asked.session, member).await?)
                };
                Ok(link.and_then(|link| link.instructions))
            };
            within(member, patience(member), opening).await
        }));
        let mut there = Vec::new();
        let mut absent = Vec::new();
        let mut own = String::new();
        for (member, opened) in members.iter().zip(opened.await) {
            let part = part_of(&parts, member.id);
            match opened {
                Ok(instructions) => {
                    there.push(part.to_owned());
                    if let Some(text) = instructions {
                        let _ = write!(own, "\n\n{part}: {text}");
                    }
                }
                Err(why) => absent.push((part.to_owned(), why)),
            }
        }
        let mut text = "The tools of several servers; each is named server__tool, as prompts are. Resources are at toolbox://server/.".to_owned();
        if !there.is_empty() {
            let _ = write!(text, " Servers: {}.", there.join(", "));
        }
        if !absent.is_empty() {
            let _ = write!(text, " {}", absence(&absent));
        }
        text + &own
    }

    /// This list of each server, or why it is not there.
    async fn lists<S: Servers>(
        &self,
        asked: &Asked<'_, S>,
        members: &[Member],
        list: List,
    ) -> Vec<Listed> {
        join_all(members.iter().map(|member| async move {
            let listing = self.entries(&asked.servers, asked.session, member, list);
            within(member, patience(member), listing).await
        }))
        .await
    }

    async fn list<S: Servers>(&self, asked: &Asked<'_, S>, list: List) -> Response<Body> {
        let members = asked.servers.members();
        let parts = parts(&members);
        let (mut absent, mut names) = (Vec::new(), HashSet::new());
        let mut entries = String::new();
        let mut held = self.budget.hold();
        let lists = self.lists(asked, &members, list).await;
        for (member, listed) in members.iter().zip(lists) {
            let part = part_of(&parts, member.id);
            let before = entries.len();
            let listed = listed.and_then(|listed| {
                for entry in &listed.entries {
                    let name = list.outward(part, &entry.name);
                    let entry = entry.named(&name);
                    if names.insert(name) {
                        let _ = write!(entries, "{entry},");
                    }
                }
                // The answer is a copy.
                if entries.len() > MOST_OF_LISTS.min(self.limit) {
                    Err("what it lists is too long beside the lists of the others".to_owned())
                } else if held.set(2 * entries.len()) {
                    Ok(())
                } else {
                    Err(BUSY.to_owned())
                }
            });
            if let Err(why) = listed {
                entries.truncate(before);
                absent.push((part.to_owned(), why));
            }
        }
        if list == List::Tools && !absent.is_empty() {
            let tool = json!({
                "name": ABSENT_TOOL,
                "title": "Unavailable servers",
                "description": format!("{} Call this to look again.", absence(&absent)),
                "inputSchema": { "type": "object", "properties": {} },
                "annotations": { "readOnlyHint": true },
            });
            let _ = write!(entries, "{tool},");
        }
        let meta = json!({ "toolbox/unavailable": absent.iter()
            .map(|(server, reason)| json!({ "server": server, "reason": reason }))
            .collect::<Vec<_>>() });
        let entries = entries.trim_end_matches(',');
        let more = if asked.session.is_stateless() {
            format!(",{}", outward::STALE)
        } else {
            String::new()
        };
        let (id, field) = (id_of(asked.message), list.field());
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{{"{field}":[{entries}],"_meta":{meta}{more}}}}}"#
        );
        held.set(text.len());
        asked.answer(StatusCode::OK, held.carried_by(text.into()))
    }

    /// Passes a request about one entry of a list to the server that has it.
    async fn call<S: Servers>(&self, asked: Asked<'_, S>) -> Response<Body> {
        let Some((list, name)) = lists::asked(asked.message, asked.fields) else {
            let text = "params must name what is asked for: a tool or a prompt in name, a resource in uri, either in ref for completion/complete";
            return asked.refused(code::INVALID_PARAMS, text);
        };
        if list == List::Tools && name == ABSENT_TOOL {
            return self.look_again(&asked).await;
        }
        let members = asked.servers.members();
        let parts = parts(&members);
        let found = list.split(&name).and_then(|(server, own)| {
            let (id, _) = parts.iter().find(|(_, part)| part == server)?;
            let member = members.iter().find(|member| member.id == *id)?;
            Some((member, server, own))
        });
        let Some((member, server, own)) = found else {
            return asked.unknown(list, &name);
        };
        // By its own URL it would be waited for as long.
        let ready = member.ready;
        let own = match within(member, ready, self.original(&asked, member, list, own)).await {
            Ok(Some(own)) => own,
            Ok(None) => return asked.unknown(list, &name),
            Err(why) => return asked.failed(&format!("{server} is not available: {why}")),
        };
        for is_last in [false, true] {
            let opening = self.open(&asked.servers, asked.session, member);
            let link = match within(member, ready, opening).await {
                Ok(link) => link,
                Err(why) => return asked.failed(&format!("{server} is not available: {why}")),
            };
            let is_completion = &*asked.message.method == lists::COMPLETE;
            // Some servers end when they are asked for what they do not have.
            if is_completion && !link.offers("completions") {
                return asked.complete(json!({ "completion": { "values": [] } }));
            }
            if list != List::Tools && !link.offers(list.capability()) {
                return asked.unknown(list, &name);
            }
            let Some((request, call)) = link.call(&asked, list, &own) else {
                return malformed(Malformed::Params);
            };
            let response = asked.servers.serve(member.id, request).await;
            // What was agreed with it may not hold any more.
            if link::is_refused(response.status()) && !is_last {
                asked.session.forget(member.id, &link).await;
                continue;
            }
            let completes = if list == List::Resources {
                outward::STALE
            } else {
                outward::COMPLETE
            };
            let is_older = asked.session.is_stateless() && !link.is_stateless();
            let outward = outward::Outward {
                server: member.id,
                list: (!is_completion).then_some(list),
                home: names::home(server),
                completes: is_older.then_some(completes),
                call,
                is_answered: AtomicBool::new(false),
            };
            let response = outward::head(response);
            return rewrite::response(outward, response, self.limit, &self.budget).await;
        }
        asked.failed(&format!("{server} does not keep its session"))
    }

    /// What the server itself calls an entry; none if there is no such one.
    async fn original<S: Servers>(
        &self,
        asked: &Asked<'_, S>,
        member: &Member,
        list: List,
        part: &str,
    ) -> Result<Option<String>, String> {
        if list.parameter() != "name" || !names::is_short(part) {
            return Ok(Some(part.to_owned()));
        }
        // The call starts it all the same.
        let member = Member {
            is_idle: false,
            ..member.clone()
        };
        let listed = self.entries(&asked.servers, asked.session, &member, list);
        let mut names = listed.await?.entries.into_iter().map(|entry| entry.name);
        Ok(names.find(|name| names::part(name) == part))
    }

    /// Which servers are absent now, as the result of a tool.
    async fn look_again<S: Servers>(&self, asked: &Asked<'_, S>) -> Response<Body> {
        let members = asked.servers.members();
        let parts = parts(&members);
        let mut absent = Vec::new();
        let lists = self.lists(asked, &members, List::Tools).await;
        for (member, listed) in members.iter().zip(lists) {
            if let Err(why) = listed {
                absent.push((part_of(&parts, member.id).to_owned(), why));
            }
        }
        let text = if absent.is_empty() {
            "All servers are available; list the tools again.".to_owned()
        } else {
            absence(&absent)
        };
        asked.said(&text, false)
    }

    async fn notify<S: Servers>(&self, asked: Asked<'_, S>) -> Response<Body> {
        // Each server had its own handshake. A call of the stateless era ends with its connection.
        if &*asked.message.method != "notifications/initialized" && !asked.session.is_stateless() {
            let (session, servers) = (asked.session, &asked.servers);
            join_all(session.opened().into_iter().map(|id| {
                let passing = async move {
                    let link = session.link(id).await?;
                    let request = link.pass(asked.message.bytes().clone())?;
                    Some(servers.serve(id, request).await)
                };
                // Who does not take it in time does without.
                tokio::time::timeout(LITTLE_PATIENCE, passing)
            }))
            .await;
        }
        reply::status(StatusCode::ACCEPTED, "")
    }

    /// Passes an answer of the client to the server that asked.
    async fn respond<S: Servers>(&self, asked: Asked<'_, S>) -> Response<Body> {
        let message = asked.message;
        let to = message.id.as_ref().and_then(|span| {
            let (server, id) = outward::inward(message.raw(span))?;
            Some((server, message.splice(&mut [(span.clone(), id.as_bytes())])))
        });
        let Some((server, message)) = to else {
            return reply::status(StatusCode::ACCEPTED, "");
        };
        let link = asked.session.link(server).await;
        match link.and_then(|link| link.pass(message)) {
            Some(request) => outward::head(asked.servers.serve(server, request).await),
            None => reply::status(StatusCode::ACCEPTED, ""),
        }
    }

    /// The session that a request names, which is this caller's.
    fn named(&self, headers: &HeaderMap, who: &str) -> Result<(Key, Arc<Session>), Refusal> {
        let id = checks::session(headers)?.ok_or_else(checks::session_missing)?;
        let key = Key::Begun(id);
        let session = self.sessions().get(&key).cloned();
        let session = session
            .filter(|session| session.who == who)
            .ok_or_else(checks::session_unknown)?;
        session.touch();
        Ok((key, session))
    }

    /// The session of this key, made if it is not there.
    fn keep(&self, key: Key, make: impl FnOnce() -> Session) -> Arc<Session> {
        let mut sessions = self.sessions();
        if let Some(session) = sessions.get(&key) {
            session.touch();
            return Arc::clone(session);
        }
        let session = Arc::new(make());
        let now = Instant::now();
        sessions.retain(|_, session| now.saturating_duration_since(session.used()) < IDLE);
        let of_one = |other: &&Arc<Session>| other.who == session.who;
        if sessions.values().filter(of_one).count() >= MOST_OF_ONE {
            remove_oldest(&mut sessions, |other| other.who == session.who);
        } else if sessions.len() >= MOST {
            remove_oldest(&mut sessions, |_| true);
        }
        sessions.insert(key, Arc::clone(&session));
        session
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Key, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove_oldest(sessions: &mut HashMap<Key, Arc<Session>>, of: impl Fn(&Session) -> bool) {
    let those = sessions.iter().filter(|(_, session)| of(session));
    let oldest = those.min_by_key(|(_, session)| session.used());
    if let Some(key) = oldest.map(|(key, _)| key.clone()) {
        sessions.remove(&key);
    }
}

impl<S> Asked<'_, S> {
    /// A message in a form that the client takes.
    fn answer(&self, status: StatusCode, body: Bytes) -> Response<Body> {
        if self.accepts.json {
            return reply::json(status, body);
        }
        let pieces = sse::event(body).into_iter().map(Ok::<_, Infallible>);
        let mut response = Response::new(Body::from_stream(stream::iter(pieces)));
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }

    fn result(&self, result: &str) -> Response<Body> {
        self.answer(StatusCode::OK, rpc::result(id_of(self.message), result))
    }

    /// The result of a tool that is a text.
    fn said(&self, text: &str, is_error: bool) -> Response<Body> {
        self.complete(json!({ "content": [{ "type": "text", "text": text }], "isError": is_error }))
    }

    fn complete(&self, mut result: Value) -> Response<Body> {
        if self.session.is_stateless() {
            result["resultType"] = "complete".into();
        }
        self.result(&result.to_string())
    }

    /// A failure of a server: of a tool, one that a model reads.
    fn failed(&self, text: &str) -> Response<Body> {
        if &*self.message.method == "tools/call" {
            return self.said(text, true);
        }
        self.refused(code::UNAVAILABLE, text)
    }

    fn refused(&self, code: i32, text: &str) -> Response<Body> {
        self.answer(
            StatusCode::OK,
            rpc::error(id_of(self.message), code, text, None),
        )
    }

    fn unknown(&self, list: List, name: &str) -> Response<Body> {
        let (noun, name) = (list.noun(), checks::short(name));
        let text = format!("Unknown {noun}: {name}; {} names them", list.method());
        self.refused(code::INVALID_PARAMS, &text)
    }
}

/// How long a server is waited for where it stands beside others.
const fn patience(member: &Member) -> Duration {
    if member.is_well {
        PATIENCE
    } else {
        LITTLE_PATIENCE
    }
}

/// What becomes of a server that takes too long.
async fn within<T>(
    member: &Member,
    patience: Duration,
    doing: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    if let Some(why) = &member.absent {
        return Err(why.clone());
    }
    match tokio::time::timeout(patience, doing).await {
        Ok(done) => done,
        Err(_) => Err(format!("it did not answer within {} s", patience.as_secs())),
    }
}

fn parts(members: &[Member]) -> Vec<(Uuid, String)> {
    names::servers(members.iter().map(|member| (member.id, &*member.name)))
}

fn part_of(parts: &[(Uuid, String)], id: Uuid) -> &str {
    let part = parts.iter().find(|(of, _)| *of == id);
    part.map_or("", |(_, part)| part)
}

fn absence(absent: &[(String, String)]) -> String {
    let each: Vec<_> = absent
        .iter()
        .map(|(server, why)| format!("{server} ({})", &why[..why.floor_char_boundary(300)]))
        .collect();
    format!(
        "Not available now, so that what they have is missing: {}.",
        each.join("; ")
    )
}

fn capabilities() -> Value {
    let changes = json!({ "listChanged": true });
    json!({ "tools": changes, "prompts": changes, "resources": changes, "completions": {} })
}

fn server_info() -> Value {
    json!({ "name": "toolbox", "title": "Toolbox", "version": env!("CARGO_PKG_VERSION") })
}

/// The revision that a client gets: what it wants, of those without batches.
fn version(message: &Message, fields: &Fields) -> &'static str {
    let wanted = message.text(fields.protocol_version.as_ref());
    let offered = LEGACY
        .into_iter()
        .rev()
        .filter(|version| *version != BATCHES);
    let newest = LEGACY.last().copied().unwrap_or_default();
    let mut offered = offered.filter(|version| wanted.as_deref() == Some(version));
    offered.next().unwrap_or(newest)
}

fn id_of(message: &Message) -> &str {
    message.id.as_ref().map_or("null", |id| message.raw(id))
}

fn malformed(error: Malformed) -> Response<Body> {
    let body = rpc::error("null", error.code(), &error.to_string(), None);
    reply::json(StatusCode::BAD_REQUEST, body)
}

/// Of which lists a client may want to hear that they are others.
const NEWS: [List; 3] = [List::Tools, List::Prompts, List::Resources];

/// The lists of which the request of a subscription wants to hear.
fn wanted(message: &Message) -> Vec<List> {
    #[derive(Deserialize)]
    struct Params {
        notifications: BTreeMap<String, Value>,
    }
    let params = message.params.as_ref().map(|span| message.raw(span));
    let params = params.and_then(lenient::read::<Params>);
    let asked = params.map_or_else(BTreeMap::new, |params| params.notifications);
    let is_wanted = |list: &List| asked.get(&wish(*list)) == Some(&Value::Bool(true));
    NEWS.into_iter().filter(is_wanted).collect()
}

/// How a subscription names a list.
fn wish(list: List) -> String {
    format!("{}ListChanged", list.capability())
}

/// What lists depend on, of one server.
#[derive(PartialEq, Eq)]
struct Offered {
    /// The server, whether it is there, and which tools it has.
    tools: (Uuid, bool, Option<String>),
    /// Its run: after a start its prompts and resources may be others.
    run: Option<String>,
}

fn offered(members: &[Member]) -> Vec<Offered> {
    let offered = |member: &Member| {
        let is_there = member.absent.is_none() && member.is_well;
        Offered {
            tools: (member.id, is_there, member.version.clone()),
            run: member.run.clone(),
        }
    };
    members.iter().map(offered).collect()
}

/// Says when lists are others. `subscription` is the id of a request of the stateless era, which is acknowledged first.
fn news<S: Servers>(
    servers: S,
    lists: Vec<List>,
    subscription: Value,
) -> impl stream::Stream<Item = Bytes> + Send {
    let is_subscribed = !subscription.is_null();
    let message = move |method: &str, mut params: Value| {
        if is_subscribed {
            params["_meta"] = json!({ "io.modelcontextprotocol/subscriptionId": subscription });
        }
        let message = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        Bytes::from(message.to_string())
    };
    let first = is_subscribed.then(|| {
        let heard: BTreeMap<_, _> = lists.iter().map(|list| (wish(*list), true)).collect();
        let params = json!({ "notifications": heard });
        message("notifications/subscriptions/acknowledged", params)
    });
    let before = offered(&servers.members());
    let changes = stream::unfold((servers, before), |(servers, before)| async move {
        loop {
            tokio::time::sleep(LOOK).await;
            let now = offered(&servers.members());
            if now != before {
                let of_tools =
                    |all: &[Offered]| all.iter().map(|one| one.tools.clone()).collect::<Vec<_>>();
                let are_tools_others = of_tools(&now) != of_tools(&before);
                return Some((are_tools_others, (servers, now)));
            }
        }
    });
    let changes = changes.flat_map(move |are_tools_others| {
        let others = lists
            .iter()
            .filter(|list| are_tools_others || **list != List::Tools);
        let told = others.map(|list| {
            let method = format!("notifications/{}/list_changed", list.capability());
            message(&method, json!({}))
        });
        stream::iter(told.collect::<Vec<_>>())
    });
    stream::iter(first).chain(changes)
}

/// Messages as an event stream.
fn listening(messages: impl stream::Stream<Item = Bytes> + Send + 'static) -> Response<Body> {
    // The head goes out with the first bytes.
    let begin = stream::iter([Ok::<_, Infallible>(Bytes::from_static(sse::KEEP_ALIVE))]);
    let pieces = messages.flat_map(|message| stream::iter(sse::event(message).into_iter().map(Ok)));
    let mut response = Response::new(Body::from_stream(begin.chain(pieces)));
    let headers = response.headers_mut();
    let kind = HeaderValue::from_static("text/event-stream");
    headers.insert(header::CONTENT_TYPE, kind);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The fields of an object as they stand there.
type Object<'a> = BTreeMap<String, &'a RawValue>;
