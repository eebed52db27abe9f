//! A server of the older HTTP transport (2024-11-05): a stream of events carries its messages, and the first event names
//! the path that takes those to it. Lines in and lines out, it looks like a server over standard streams, so the hub
//! serves it as it serves those.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::body;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::time::Instant;

use super::send::{self, Outgoing, Unsent};
use super::{HttpClient, Locate, Target};
use crate::limits::Limits;
use crate::lines::{Line, Lines};
use crate::process::{Absence, Connection, Ended, NotRunning, Opening, Output, ServerProcess};
use crate::rpc::{self, Kind, Message, code};
use crate::wire::body::Budget;
use crate::wire::sse::{Part, Reader};

/// How long a server that does not answer yet is waited for until the hub is told why.
const TURN: Duration = Duration::from_secs(1);
/// Pause between looks at a server that does not answer yet.
const LOOK: Duration = Duration::from_millis(250);
/// How long a server may take to begin its stream and to name its endpoint.
const BEGIN: Duration = Duration::from_secs(5);
/// Bytes that may wait between the hub and the posts.
const PIPE: usize = 64 * 1024;
/// A message is sent once the one before it was accepted, so that they arrive in their order. Some servers accept a
/// call only when it is done, so that is waited for no longer than this.
const IN_ORDER: Duration = Duration::from_millis(250);
/// Posts under way at once.
const AT_ONCE: usize = 64;
/// Longest endpoint that is read, in bytes.
const MAX_ENDPOINT: usize = 64 * 1024;
/// Bytes that are read of the answer to a post.
const ANSWER_BYTES: usize = 64 * 1024;

/// A server that speaks HTTP with events.
pub struct EventServer {
    client: HttpClient,
    place: Arc<dyn Locate>,
    limits: Limits,
    budget: Budget,
    /// Which version of the server does not answer, and since when.
    since: Mutex<Option<(u64, Instant)>>,
}

/// Why a connection was not made.
struct Failed {
    reason: NotRunning,
    /// The version of the server that does not answer, though its place is known.
    unanswered: Option<u64>,
}

impl Failed {
    fn for_good(reason: String) -> Self {
        Self {
            reason: NotRunning {
                reason,
                absence: Absence::Fault,
            },
            unanswered: None,
        }
    }
}

impl ServerProcess for EventServer {
    fn open(&self) -> Opening<'_> {
        self.connect().boxed()
    }
}

impl EventServer {
    /// The server at `place`. Long messages count in `budget` until the server has accepted them.
    pub fn new(place: Arc<dyn Locate>, limits: Limits, budget: Budget) -> Self {
        Self {
            client: super::client(),
            place,
            limits,
            budget,
            since: Mutex::new(None),
        }
    }

    async fn connect(&self) -> Result<Connection, NotRunning> {
        let until = Instant::now() + TURN;
        loop {
            let mut failed = match self.attempt().await {
                Ok(connection) => {
                    self.may_be_starting(None);
                    return Ok(connection);
                }
                Err(failed) => failed,
            };
            if let Some(revision) = failed.unanswered
                && self.may_be_starting(Some(revision))
            {
                failed.reason.absence = Absence::Starting;
            }
            if failed.reason.absence == Absence::Starting && Instant::now() < until {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            if failed.unanswered.is_some()
                && let Some(why) = self.place.explain().await
            {
                failed.reason.reason += "; ";
                failed.reason.reason += &why.words;
                if why.lasts {
                    failed.reason.absence = Absence::Fault;
                }
            }
            return Err(failed.reason);
        }
    }

    /// Whether a version of the server that does not answer may still be starting. Without one, that begins anew.
    fn may_be_starting(&self, revision: Option<u64>) -> bool {
        let mut since = match self.since.lock() {
            Ok(since) => since,
            Err(poisoned) => poisoned.into_inner(),
        };
        let Some(revision) = revision else {
            *since = None;
            return true;
        };
        let (of, begun) = since.unwrap_or((revision, Instant::now()));
        let begun = if of == revision {
            begun
        } else {
            Instant::now()
        };
        *since = Some((revision, begun));
        begun.elapsed() < self.limits.starting
    }

    async fn attempt(&self) -> Result<Connection, Failed> {
        let target = self.place.locate().map_err(|reason| {
            self.may_be_starting(None);
            Failed {
                reason,
                unanswered: None,
            }
        })?;
        let unanswered = |reason| Failed {
            unanswered: Some(target.revision),
            ..Failed::for_good(reason)
        };
        let response = tokio::time::timeout(BEGIN, get(&self.client, &target, &target.path))
            .await
            .unwrap_or(Err(Unsent::Broken))
            .map_err(|unsent| unanswered(unsent_words(unsent, &target)))?;
        if let Some(words) = refusal(&response, &target) {
            let words = target.private.redactor.clean(&words);
            // One that is starting may answer with an error of its own.
            return Err(if response.status().is_server_error() {
                unanswered(words)
            } else {
                Failed::for_good(words)
            });
        }
        let mut incoming = Incoming::new(response);
        let named = tokio::time::timeout(BEGIN, incoming.endpoint()).await;
        let Ok(Some(given)) = named else {
            let words = format!(
                "GET {} began a stream of events that names no endpoint; if the server speaks streamable HTTP, set transport to streamable-http",
                target.path
            );
            return Err(Failed::for_good(words));
        };
        let Some(endpoint) = send::own_path(&given, &target) else {
            let words =
                format!("it names an endpoint on another host, which is not called: {given}");
            return Err(Failed::for_good(target.private.redactor.clean(&words)));
        };
        let (input, pipe) = tokio::io::duplex(PIPE);
        let posts = Posts {
            client: self.client.clone(),
            endpoint: endpoint.into(),
            patience: self.limits.call,
            budget: self.budget.clone(),
            pipe,
            buffer: BytesMut::new(),
            // The hub has bounded them already, so none is cut.
            lines: Lines::new(usize::MAX),
            under_way: FuturesUnordered::new(),
            begun: 0,
            in_order: None,
            target: target.clone(),
        };
        let posts = stream::unfold(posts, Posts::next);
        Ok(Connection {
            input: Box::pin(input),
            output: Box::pin(stream::select(incoming.output(), posts)),
            revision: target.revision,
            image: None,
            redactor: Some(target.private.redactor.clone()),
        })
    }
}

/// Begins the stream of events.
async fn get(
    client: &HttpClient,
    target: &Target,
    path: &str,
) -> Result<Response<body::Incoming>, Unsent> {
    let headers = [
        (header::ACCEPT, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    let outgoing = Outgoing {
        method: Method::GET,
        path,
        headers: headers_of(headers),
        body: Bytes::new(),
    };
    send::send(client, outgoing, target).await
}

fn headers_of<const N: usize>(headers: [(HeaderName, &'static str); N]) -> HeaderMap {
    headers
        .into_iter()
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
        .collect()
}

fn unsent_words(unsent: Unsent, target: &Target) -> String {
    match unsent {
        Unsent::Refused => format!("nothing listens at port {}", target.address.port()),
        Unsent::Broken => format!("the connection broke during GET {}", target.path),
        Unsent::Malformed => format!("no request can be made for the path {}", target.path),
    }
}

/// Why an answer is no stream of events; none if it is one.
fn refusal(response: &Response<body::Incoming>, target: &Target) -> Option<String> {
    let status = response.status();
    let asked = format!("GET {} was answered with", target.path);
    if let Some(elsewhere) = send::elsewhere(response, target) {
        return Some(format!("{asked} {elsewhere}"));
    }
    if is_events(response) {
        return None;
    }
    let status = status.as_u16();
    Some(match response.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("{asked} HTTP {status}: it wants credentials; give them with upstreamHeaders")
        }
        found if found.is_server_error() => format!("{asked} HTTP {status}: it fails"),
        _ => format!(
            "{asked} HTTP {status} and no stream of events; if its endpoint has another path, set endpointPath, and if it speaks streamable HTTP, set transport to streamable-http"
        ),
    })
}

/// Whether `path` begins a stream of events that names an endpoint.
pub(super) async fn is_endpoint(client: &HttpClient, target: &Target, path: &str) -> bool {
    match get(client, target, path).await {
        Ok(response) if is_events(&response) => Incoming::new(response).endpoint().await.is_some(),
        _ => false,
    }
}

fn is_events(response: &Response<body::Incoming>) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    response.status().is_success() && kind.starts_with("text/event-stream")
}

/// The stream of events.
struct Incoming {
    body: body::Incoming,
    reader: Reader,
    /// Lines that arrived with the endpoint.
    early: Vec<u8>,
}

impl Incoming {
    fn new(response: Response<body::Incoming>) -> Self {
        Self {
            body: response.into_body(),
            reader: Reader::default(),
            early: Vec::new(),
        }
    }

    /// The endpoint that the first event of that type names.
    async fn endpoint(&mut self) -> Option<String> {
        let (mut given, mut endpoint) = (Vec::new(), None);
        loop {
            let bytes = self.bytes().await.ok()?;
            let early = &mut self.early;
            self.reader.read(&bytes, |name, part| match (name, part) {
                (b"endpoint", Part::Data(more)) if endpoint.is_none() => {
                    given.extend_from_slice(more);
                }
                (b"endpoint", Part::End) if endpoint.is_none() => {
                    endpoint = Some(String::from_utf8_lossy(&given).trim().to_owned());
                }
                (name, part) => line(name, part, early),
            });
            if endpoint.is_some() {
                return endpoint;
            }
            if given.len() > MAX_ENDPOINT || self.early.len() > MAX_ENDPOINT {
                return None;
            }
        }
    }

    /// The next bytes; otherwise why there are none.
    async fn bytes(&mut self) -> Result<Bytes, &'static str> {
        loop {
            match self.body.frame().await {
                None => return Err("its stream of events ended"),
                Some(Err(_)) => return Err("its stream of events broke off"),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(bytes);
                    }
                }
            }
        }
    }

    /// Each message as a line, and the end.
    fn output(self) -> impl Stream<Item = Output> + Send {
        stream::unfold(Some(self), |incoming| async {
            let mut incoming = incoming?;
            let mut lines = std::mem::take(&mut incoming.early);
            while lines.is_empty() {
                let bytes = match incoming.bytes().await {
                    Ok(bytes) => bytes,
                    Err(why) => return Some((ended(why), None)),
                };
                let reader = &mut incoming.reader;
                reader.read(&bytes, |name, part| line(name, part, &mut lines));
            }
            Some((Output::Stdout(lines.into()), Some(incoming)))
        })
    }
}

/// Adds a part of a message to `lines`; the bridge's own bound for lines holds for it.
fn line(name: &[u8], part: Part<'_>, lines: &mut Vec<u8>) {
    match part {
        _ if !matches!(name, b"" | b"message") => {}
        Part::Data(data) => lines.extend_from_slice(data),
        Part::End => lines.push(b'\n'),
    }
}

fn ended(why: impl Into<String>) -> Output {
    Output::Ended(Ended {
        detail: Some(why.into()),
        ..Ended::default()
    })
}

/// Takes the lines for the server and posts each.
struct Posts {
    client: HttpClient,
    target: Target,
    /// Path of the endpoint.
    endpoint: Arc<str>,
    /// How long a server may take to accept a message.
    patience: Duration,
    budget: Budget,
    pipe: DuplexStream,
    buffer: BytesMut,
    lines: Lines,
    under_way: FuturesUnordered<Post>,
    /// How many were begun.
    begun: u64,
    /// Until when the next one waits for the newest to be accepted.
    in_order: Option<Instant>,
}

/// A post under way: its number, and what the hub must know of its end.
type Post = std::pin::Pin<Box<dyn Future<Output = (u64, Option<Output>)> + Send>>;

impl Posts {
    /// Posts until there is something that the hub must know.
    async fn next(mut self) -> Option<(Output, Self)> {
        loop {
            while self.may_begin()
                && let Some(line) = self.lines.next_line()
            {
                if let Line::Whole(line) = line {
                    self.begin(line);
                }
            }
            let may_read = self.may_begin();
            let until = self.in_order;
            tokio::select! {
                Some((number, output)) = self.under_way.next(), if !self.under_way.is_empty() => {
                    if number == self.begun {
                        self.in_order = None;
                    }
                    if let Some(output) = output {
                        return Some((output, self));
                    }
                }
                () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {
                    self.in_order = None;
                }
                read = self.pipe.read_buf(&mut self.buffer), if may_read => {
                    if !read.is_ok_and(|read| read > 0) {
                        return None;
                    }
                    let bytes = self.buffer.split();
                    self.lines.push(&bytes);
                }
            }
        }
    }

    fn may_begin(&self) -> bool {
        self.in_order.is_none() && self.under_way.len() < AT_ONCE
    }

    fn begin(&mut self, message: Bytes) {
        let message = self.budget.count(message);
        self.begun += 1;
        self.in_order = Some(Instant::now() + IN_ORDER);
        let (number, patience) = (self.begun, self.patience);
        let (client, target) = (self.client.clone(), self.target.clone());
        let endpoint = Arc::clone(&self.endpoint);
        self.under_way.push(Box::pin(async move {
            let posted = post(&client, &target, &endpoint, message.clone());
            // The hub gives up a call on its own, later if the call makes progress.
            let refused = tokio::time::timeout(patience, posted).await;
            let refused = refused.ok().and_then(Result::err);
            (number, refused.and_then(|refused| refused.output(message)))
        }));
    }
}

/// Why a message did not arrive.
enum Refused {
    /// The server no longer knows the stream.
    Gone(String),
    /// For a reason of this message's own.
    Other(String),
}

impl Refused {
    /// The stream's end, or the answer to a request that did not arrive.
    fn output(self, message: Bytes) -> Option<Output> {
        let words = match self {
            Self::Gone(words) => return Some(ended(words)),
            Self::Other(words) => words,
        };
        tracing::debug!(words, "a message did not reach a server");
        let message = Message::parse(message).ok()?;
        let id = message
            .id
            .as_ref()
            .filter(|_| message.kind == Kind::Request)?;
        let answer = rpc::error(message.raw(id), code::UNAVAILABLE, &words, None);
        Some(Output::Message(answer))
    }
}

async fn post(
    client: &HttpClient,
    target: &Target,
    endpoint: &str,
    message: Bytes,
) -> Result<(), Refused> {
    let outgoing = Outgoing {
        method: Method::POST,
        path: endpoint,
        headers: headers_of([(header::CONTENT_TYPE, "application/json")]),
        body: message,
    };
    let response = send::send(client, outgoing, target).await.map_err(|_| {
        Refused::Other(
            "the connection to the server broke; the call may have had its effect".to_owned(),
        )
    })?;
    let status = response.status();
    if let Some(elsewhere) = send::elsewhere(&response, target) {
        let words = format!("the server answered a message with {elsewhere}");
        return Err(Refused::Other(target.private.redactor.clean(&words)));
    }
    // Read whole, so that the connection serves the next message too.
    let read = Limited::new(response.into_body(), ANSWER_BYTES)
        .collect()
        .await;
    if status.is_success() {
        return Ok(());
    }
    let text = read.map(Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let words = format!(
        "the server answered a message with HTTP {}: {text}",
        status.as_u16()
    );
    let words = target.private.redactor.clean(&words);
    Err(match status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Refused::Gone(words),
        _ => Refused::Other(words),
    })
}
