//! JSON-RPC messages, read without copying and rewritten by splicing.
//!
//! Only the few fields that a bridge needs are read. Everything else passes through byte for byte.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// `_meta` key of the protocol revision a request speaks; only the stateless revisions have it.
pub const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// Codes of the bridge's own errors.
pub mod code {
    /// The text is no JSON.
    pub const PARSE: i32 = -32700;
    /// The JSON is no message.
    pub const INVALID_REQUEST: i32 = -32600;
    /// The server has no such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The parameters are not of the method's form.
    pub const INVALID_PARAMS: i32 = -32602;
    /// The server is not there, or went away during the call.
    pub const UNAVAILABLE: i32 = -32603;
    /// The session does not serve this request.
    pub const BAD_SESSION: i32 = -32000;
    /// The deadline passed, or the session is unknown; both are what SDKs use the code for.
    pub const TIMED_OUT: i32 = -32001;
    /// Headers and body contradict each other.
    pub const HEADER_MISMATCH: i32 = -32020;
    /// The client did not declare a capability the request needs.
    pub const MISSING_CAPABILITY: i32 = -32021;
    /// The server does not speak the revision.
    pub const UNSUPPORTED_VERSION: i32 = -32022;
}

/// Longest id or progress token, in bytes of JSON.
pub const MOST_OF_ID: usize = 1024;
/// Longest address of a resource that is subscribed to, in bytes of JSON.
pub const MOST_OF_URI: usize = 64 * 1024;
/// Most messages of one batch.
pub const MOST_IN_BATCH: usize = 100;
/// What some programs write before a text in UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Wants an answer.
    Request,
    /// Wants none.
    Notification,
    /// Is an answer.
    Response,
}

/// Why a text is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// No JSON.
    #[error("the message is no JSON")]
    NotJson,
    /// JSON after a byte order mark.
    #[error("the message begins with a byte order mark, which JSON does not have")]
    ByteOrderMark,
    /// An array of messages.
    #[error(
        "a batch is taken in a session of revision 2025-03-26 only; send one message per request"
    )]
    Batch,
    /// A batch without messages, or with too many.
    #[error("a batch has 1 to {MOST_IN_BATCH} messages")]
    BatchSize,
    /// An id that is neither a text nor a number.
    #[error("id must be a text or a number; a notification has none")]
    Id,
    /// An id or a progress token that is longer than is kept.
    #[error("an id or a progress token has at most {MOST_OF_ID} bytes")]
    LongId,
    /// The address of a resource to subscribe to that is longer than is kept.
    #[error("a uri to subscribe to has at most {MOST_OF_URI} bytes")]
    LongUri,
    /// JSON, but no JSON-RPC 2.0 message.
    #[error("the message is no JSON-RPC 2.0 message")]
    NotRpc,
    /// `params` is no object, or names a field twice.
    #[error("params must be an object that names each field once")]
    Params,
}

impl Malformed {
    /// The JSON-RPC code that says so.
    pub const fn code(self) -> i32 {
        match self {
            Self::NotJson | Self::ByteOrderMark => code::PARSE,
            Self::Batch | Self::BatchSize | Self::Id | Self::LongId | Self::NotRpc => {
                code::INVALID_REQUEST
            }
            Self::LongUri | Self::Params => code::INVALID_PARAMS,
        }
    }
}

/// Where a value stands in a message.
pub type Span = Range<usize>;

/// A message and where its parts stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    bytes: Bytes,
    /// What it is.
    pub kind: Kind,
    /// Its method; empty for a response.
    pub method: Box<str>,
    /// Its id; none for a notification and for an error without one.
    pub id: Option<Span>,
    /// It says `"id": null`, which some servers write in notifications.
    pub null_id: bool,
    /// Its parameters.
    pub params: Option<Span>,
    /// Its result.
    pub result: Option<Span>,
    /// Its error.
    pub error: Option<Span>,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// A value that is there, be it null.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    Deserialize::deserialize(from).map(Some)
}

/// Where the fields of `params` or `result` stand that a bridge may have to read or replace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// What `_meta` says.
    pub meta: Meta,
    /// Of a progress notification.
    pub progress_token: Option<Span>,
    /// Of a cancellation.
    pub request_id: Option<Span>,
    /// Of a tool or prompt.
    pub name: Option<Span>,
    /// Of a tool or prompt.
    pub arguments: Option<Span>,
    /// Of a resource.
    pub uri: Option<Span>,
    /// Of a log message.
    pub level: Option<Span>,
    /// Of a handshake.
    pub protocol_version: Option<Span>,
    /// Of a handshake.
    pub capabilities: Option<Span>,
}

/// Where the fields of `_meta` stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Of a request that wants to hear of its progress.
    pub progress_token: Option<Span>,
    /// Of a stateless request.
    pub version: Option<Span>,
    /// Of a stateless request's client.
    pub capabilities: Option<Span>,
    /// Of a stateless request that wants log messages.
    pub log_level: Option<Span>,
    /// Of what belongs to a subscription.
    pub subscription: Option<Span>,
}

/// [`Fields`] as values within the text, which tell where they stand.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FieldsWire<'a> {
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
    #[serde(borrow)]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    #[serde(borrow)]
    uri: Option<&'a RawValue>,
    #[serde(borrow)]
    level: Option<&'a RawValue>,
    #[serde(borrow)]
    protocol_version: Option<&'a RawValue>,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
}

/// [`Meta`] as values within the text.
#[derive(Default, Deserialize)]
struct MetaWire<'a> {
    #[serde(borrow, rename = "progressToken")]
    progress_token: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/logLevel")]
    log_level: Option<&'a RawValue>,
    #[serde(borrow, rename = "io.modelcontextprotocol/subscriptionId")]
    subscription: Option<&'a RawValue>,
}

impl Message {
    /// Reads one message.
    pub fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(&bytes).map_err(|_| Malformed::NotJson)?;
        let wire: Wire<'_> = match serde_json::from_str(text) {
            Ok(wire) => wire,
            Err(error) if error.is_data() && text.trim_start().starts_with('[') => {
                return Err(Malformed::Batch);
            }
            Err(error) if error.is_data() => return Err(Malformed::NotRpc),
            Err(_) if text.starts_with(BYTE_ORDER_MARK) => return Err(Malformed::ByteOrderMark),
            Err(_) => return Err(Malformed::NotJson),
        };
        if wire.jsonrpc.as_deref() != Some("2.0") {
            return Err(Malformed::NotRpc);
        }
        let (id, null) = match wire.id {
            Some(id) if id.get() == "null" => (None, true),
            id => (id, false),
        };
        let kind = match (
            &wire.method,
            id,
            wire.result.is_some() || wire.error.is_some(),
        ) {
            (Some(_), Some(_), false) => Kind::Request,
            (Some(_), None, false) => Kind::Notification,
            (None, Some(_), true) => Kind::Response,
            // An error that could not name its request.
            (None, None, true) if wire.error.is_some() => Kind::Response,
            _ => return Err(Malformed::NotRpc),
        };
        // Ids are texts or numbers; anything else could not be told apart from structure when it is replaced.
        if id.is_some_and(|id| {
            !id.get()
                .starts_with(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        }) {
            return Err(Malformed::Id);
        }
        if wire.params.is_some_and(|p| !p.get().starts_with('{')) {
            return Err(Malformed::Params);
        }
        let span = |value: Option<&RawValue>| value.map(|value| span_in(text, value));
        let (id, params) = (span(id), span(wire.params));
        let (result, error) = (span(wire.result), span(wire.error));
        let method = wire.method.unwrap_or_default().into_owned().into();
        Ok(Self {
            bytes,
            kind,
            method,
            id,
            null_id: null,
            params,
            result,
            error,
        })
    }

    /// The message as it came.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The JSON at `span`.
    pub fn raw(&self, span: &Span) -> &str {
        // Spans come from `parse` or `fields`, which saw valid UTF-8.
        self.bytes
            .get(span.clone())
            .and_then(|part| std::str::from_utf8(part).ok())
            .unwrap_or_default()
    }

    /// The JSON at `span`, kept beyond the message.
    pub fn keep(&self, span: &Span) -> Bytes {
        Bytes::copy_from_slice(self.raw(span).as_bytes())
    }

    /// The text at `span`, unless something other than a text stands there.
    pub fn text(&self, span: Option<&Span>) -> Option<String> {
        serde_json::from_str(self.raw(span?)).ok()
    }

    /// The number at `span`: ids and tokens that a bridge gave are numbers. Some peers give them back as a text or as a
    /// float, and SDKs take both.
    pub fn number(&self, span: Option<&Span>) -> Option<u32> {
        let raw = self.raw(span?);
        let raw = raw
            .strip_prefix('"')
            .and_then(|text| text.strip_suffix('"'))
            .unwrap_or(raw);
        raw.parse().ok().or_else(|| {
            let float: f64 = raw.parse().ok()?;
            // A whole number in the range of ids has one text in both forms.
            format!("{float:.0}")
                .parse()
                .ok()
                .filter(|number| f64::from(*number).to_bits() == float.to_bits())
        })
    }

    /// The known fields of the parameters.
    pub fn fields(&self) -> Result<Fields, Malformed> {
        self.fields_of(self.params.as_ref())
    }

    /// The known fields of the result.
    pub fn result_fields(&self) -> Result<Fields, Malformed> {
        self.fields_of(self.result.as_ref())
    }

    fn fields_of(&self, part: Option<&Span>) -> Result<Fields, Malformed> {
        let Some(part) = part else {
            return Ok(Fields::default());
        };
        let text = std::str::from_utf8(&self.bytes).map_err(|_| Malformed::NotJson)?;
        let wire: FieldsWire<'_> =
            serde_json::from_str(self.raw(part)).map_err(|_| Malformed::Params)?;
        let meta: MetaWire<'_> = match wire.meta {
            Some(meta) => serde_json::from_str(meta.get()).map_err(|_| Malformed::Params)?,
            None => MetaWire::default(),
        };
        let span = |value: Option<&RawValue>| value.map(|value| span_in(text, value));
        Ok(Fields {
            meta: Meta {
                progress_token: span(meta.progress_token),
                version: span(meta.version),
                capabilities: span(meta.capabilities),
                log_level: span(meta.log_level),
                subscription: span(meta.subscription),
            },
            progress_token: span(wire.progress_token),
            request_id: span(wire.request_id),
            name: span(wire.name),
            arguments: span(wire.arguments),
            uri: span(wire.uri),
            level: span(wire.level),
            protocol_version: span(wire.protocol_version),
            capabilities: span(wire.capabilities),
        })
    }

    /// The message with some values replaced. `edits` do not overlap.
    pub fn splice(&self, edits: &mut [(Span, &[u8])]) -> Bytes {
        let mut out = BytesMut::with_capacity(self.bytes.len() + 32 * edits.len());
        self.splice_into(edits, &mut out);
        out.freeze()
    }

    /// Appends the message with some values replaced.
    pub fn splice_into(&self, edits: &mut [(Span, &[u8])], out: &mut BytesMut) {
        edits.sort_unstable_by_key(|(span, _)| span.start);
        let mut at = 0;
        for (span, text) in edits.iter() {
            out.put_slice(self.bytes.get(at..span.start).unwrap_or_default());
            out.put_slice(text);
            at = span.end;
        }
        out.put_slice(self.bytes.get(at..).unwrap_or_default());
    }
}

/// The same without a byte order mark. Nothing needs one, but programs that read it pass over it.
pub fn without_mark(bytes: &Bytes) -> Bytes {
    let mut mark = [0; 4];
    let mark = BYTE_ORDER_MARK.encode_utf8(&mut mark).as_bytes();
    bytes.slice(
        if bytes.starts_with(mark) {
            mark.len()
        } else {
            0
        }..,
    )
}

/// The messages of a batch, as they stand in it.
pub fn batch(bytes: &Bytes) -> Result<Vec<Bytes>, Malformed> {
    let Parts(parts) = serde_json::from_slice(bytes).map_err(|error| {
        if error.is_data() {
            Malformed::BatchSize
        } else {
            Malformed::NotJson
        }
    })?;
    let part = |part: &&RawValue| bytes.slice_ref(part.get().as_bytes());
    Ok(parts.iter().map(part).collect())
}

/// The parts of a batch. More than may be are not even collected.
struct Parts<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for Parts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Parts<'de>;

            fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(text, "1 to {MOST_IN_BATCH} messages")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = seq.next_element()? {
                    if parts.len() == MOST_IN_BATCH {
                        return Err(A::Error::invalid_length(parts.len() + 1, &self));
                    }
                    parts.push(part);
                }
                if parts.is_empty() {
                    return Err(A::Error::invalid_length(0, &self));
                }
                Ok(Parts(parts))
            }
        }
        from.deserialize_seq(Bounded)
    }
}

/// Where `value`, which was read from `text`, stands in it.
pub(crate) fn span_in(text: &str, value: &RawValue) -> Span {
    let start = (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    start..start + value.get().len()
}

/// Appends one message as one line. Line breaks between values become spaces; within them JSON has none.
pub fn put_line(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    write(out);
    if let Some(written) = out.get_mut(start..)
        && memchr::memchr2(b'\n', b'\r', written).is_some()
    {
        for byte in written {
            if matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
    out.put_u8(b'\n');
}

/// An error response. `id` is JSON, `null` when the request's is not known.
pub fn error(id: &str, code: i32, message: &str, data: Option<serde_json::Value>) -> Bytes {
    let mut error = serde_json::json!({ "code": code, "message": message });
    if let (Some(data), Some(error)) = (data, error.as_object_mut()) {
        error.insert("data".to_owned(), data);
    }
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#).into()
}

/// A response with `result`, which is JSON.
pub fn result(id: &str, result: &str) -> Bytes {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn parse(text: &str) -> Result<Message, Malformed> {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn kinds_are_told_apart() {
        let kind = |text: &str| parse(text).map(|m| m.kind);
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#),
            Ok(Kind::Request)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","method":"a"}"#),
            Ok(Kind::Notification)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":"x","result":{}}"#),
            Ok(Kind::Response)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#),
            Ok(Kind::Response)
        );
        assert_eq!(kind("[]"), Err(Malformed::Batch));
        assert_eq!(kind("Listening on port 3000"), Err(Malformed::NotJson));
        for text in [
            "{}",
            r#"{"id":1,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"a","result":1}"#,
        ] {
            assert_eq!(kind(text), Err(Malformed::NotRpc), "{text}");
        }
        for id in ["{}", "[1]", "true"] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"a"}}"#);
            assert_eq!(kind(&text), Err(Malformed::Id), "{id}");
        }
        let marked = "\u{feff}{\"jsonrpc\":\"2.0\",\"method\":\"a\"}";
        assert_eq!(kind(marked), Err(Malformed::ByteOrderMark));
        let null = parse(r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#).unwrap();
        assert_eq!((null.kind, null.null_id), (Kind::Notification, true));
        // No MCP server should answer null, but the call ends with it.
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"result":null}"#),
            Ok(Kind::Response)
        );
        assert_eq!(
            kind(r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#),
            Err(Malformed::Params)
        );
    }

    #[test]
    fn fields_are_found_wherever_they_stand() {
        let message = parse(
            r#"{"params":{"arguments":{"progressToken":9},"_meta":{"progressToken":"t","io.modelcontextprotocol/protocolVersion":"2026-07-28"},"name":"e"},"method":"m","id":7,"jsonrpc":"2.0"}"#,
        )
        .unwrap();
        let fields = message.fields().unwrap();
        assert_eq!(
            message.raw(&fields.meta.progress_token.clone().unwrap()),
            "\"t\""
        );
        assert_eq!(
            message.text(fields.meta.version.as_ref()).as_deref(),
            Some("2026-07-28")
        );
        let spliced = message.splice(&mut [
            (message.id.clone().unwrap(), b"100"),
            (fields.meta.progress_token.unwrap(), b"100"),
        ]);
        let value: Value = serde_json::from_slice(&spliced).unwrap();
        assert_eq!(value["id"], 100);
        assert_eq!(value["params"]["_meta"]["progressToken"], 100);
        assert_eq!(value["params"]["arguments"]["progressToken"], 9);
    }

    #[test]
    fn a_number_is_found_in_each_form_that_peers_give_it_back() {
        let number = |id: &str| {
            let message =
                parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#)).unwrap();
            message.number(message.id.as_ref())
        };
        for id in ["7", "\"7\"", "7.0", "\"7.0\"", "7e0", "0.7e1"] {
            assert_eq!(number(id), Some(7), "{id}");
        }
        assert_eq!(number("2147483647.0"), Some(2_147_483_647));
        for id in [
            "7.5", "-7", "\"x\"", "\"\"", "\"inf\"", "\"nan\"", "1e99", "-0.0",
        ] {
            assert_eq!(number(id), None, "{id}");
        }
    }

    #[test]
    fn of_a_batch_that_is_too_long_the_rest_is_not_read() {
        let batch = |text: &str| batch(&Bytes::copy_from_slice(text.as_bytes()));
        assert_eq!(batch("[1, {}]").unwrap(), ["1", "{}"]);
        let most = format!("[{}", "1,".repeat(MOST_IN_BATCH));
        assert_eq!(batch(&format!("{most}1]")), Err(Malformed::BatchSize));
        assert_eq!(
            batch(&format!("{most}1, no JSON")),
            Err(Malformed::BatchSize)
        );
        assert_eq!(batch("[]"), Err(Malformed::BatchSize));
        assert_eq!(batch("[1, no JSON"), Err(Malformed::NotJson));
    }

    #[test]
    fn a_line_has_no_breaks_within() {
        let mut out = BytesMut::new();
        put_line(&mut out, |out| out.put_slice(b"{\r\n\"a\": \"b\\n\"\n}"));
        assert_eq!(&out[..], b"{  \"a\": \"b\\n\" }\n");
    }

    proptest! {
        #[test]
        fn replacing_an_id_changes_nothing_else(id in 0_u64..1_000_000, method in "\\PC{1,12}", text in "\\PC{0,40}") {
            let whole = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": {"x": text}});
            let message = parse(&serde_json::to_string_pretty(&whole).unwrap()).unwrap();
            let spliced = message.splice(&mut [(message.id.clone().unwrap(), b"\"other\"")]);
            let mut back: Value = serde_json::from_slice(&spliced).unwrap();
            prop_assert_eq!(back["id"].take(), json!("other"));
            back["id"] = json!(id);
            prop_assert_eq!(back, whole);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Message::parse(Bytes::from(bytes)).map(|m| m.fields());
        }
    }
}
