//! What handlers work with: the function's state (one per wasm instance) and the request's own context.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use toolbox_api::edge::MAX_WAIT_SECONDS;
use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_api::moment::Moment;
use toolbox_clients::supabase::{ProjectKeys, Supabase};
use toolbox_domain::ids::UserId;
use toolbox_http::{Clock, Headers, Transport};

use crate::body::{Reads, RequestBody};
use crate::config::Config;
use crate::host::Host;
use crate::identity::Identity;
use crate::json;

/// Everything that lives as long as the instance.
pub struct FunctionState {
    /// Configuration.
    pub config: Config,
    /// Calls out.
    pub transport: Arc<dyn Transport>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// The rest of the host.
    pub host: Arc<dyn Host>,
    /// Who calls.
    pub identity: Identity,
    /// The database.
    pub supabase: Arc<Supabase>,
    /// The bodies that are being read.
    pub reads: Reads,
}

impl FunctionState {
    /// Puts the parts together.
    pub fn new(
        config: Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        host: Arc<dyn Host>,
    ) -> Self {
        let keys = ProjectKeys {
            publishable: config.publishable_key.clone(),
            secret: config.secret_key.clone(),
        };
        let supabase = Arc::new(Supabase::new(
            Arc::clone(&transport),
            Arc::clone(&clock),
            &config.supabase_url,
            keys,
            config.upstream_timeout,
        ));
        let identity = Identity::new(
            &config,
            Arc::clone(&transport),
            Arc::clone(&clock),
            Arc::clone(&host),
        );
        Self {
            config,
            transport,
            clock,
            host,
            identity,
            supabase,
            reads: Reads::default(),
        }
    }

    /// Now.
    pub fn moment(&self) -> Moment {
        Moment::at(self.clock.now())
    }

    /// Now, RFC 3339.
    pub fn timestamp(&self) -> String {
        self.moment().text
    }

    /// Logs a failure of work after an answer, or beside one.
    pub fn log(&self, request_id: &str, what: &str, error: &ApiError) {
        log_error(&*self.host, what, request_id, error);
    }
}

/// Writes a failure to the operator's log, as one line of JSON.
pub fn log_error(host: &dyn Host, what: &str, request_id: &str, error: &ApiError) {
    #[derive(serde::Serialize)]
    struct Line<'a> {
        level: &'a str,
        what: &'a str,
        request_id: &'a str,
        code: &'a str,
        cause: Option<&'a str>,
    }
    let line = Line {
        level: "error",
        what,
        request_id,
        code: error.code.as_str(),
        cause: error.cause.as_deref(),
    };
    host.log_error(&serde_json::to_string(&line).unwrap_or_default());
}

/// The user who calls.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    /// Their id.
    pub user: UserId,
    /// Their access token, verified.
    pub token: Arc<str>,
    /// The program that acts for them; none when they act themselves. Only one function lets programs in.
    pub client: Option<Arc<str>>,
    /// The project says of them that they look after the toolboxes of all users. One function asks for it.
    pub is_operator: bool,
}

/// One request on its way through a handler.
pub struct RequestContext {
    /// The state.
    pub state: Rc<FunctionState>,
    /// The request's id.
    pub request_id: Arc<str>,
    /// The user who calls, where the function is for users.
    pub caller: Option<Caller>,
    /// HTTP method.
    pub method: String,
    /// The function's own part of the path, still encoded, without slashes at its ends.
    pub path: String,
    /// The path has a slash at its end.
    pub has_trailing_slash: bool,
    /// Values of the route's `{name}` segments, decoded.
    pub params: Vec<String>,
    /// Query after `?`, still encoded.
    pub query: Option<String>,
    /// The headers the boundary reads.
    pub headers: Headers,
    /// The body, which is not read yet.
    pub body: RequestBody,
}

impl RequestContext {
    /// The user who calls; refused in a function that is not for users.
    pub fn caller(&self) -> Result<&Caller, ApiError> {
        self.caller
            .as_ref()
            .ok_or_else(|| ApiError::new(ErrorCode::AuthenticationRequired))
    }

    /// The value of the `index`th `{name}` segment.
    pub fn param(&self, index: usize) -> &str {
        self.params.get(index).map_or("", String::as_str)
    }

    /// The value of a query parameter, decoded; the first one when it is repeated.
    pub fn query_value(&self, name: &str) -> Result<Option<String>, ApiError> {
        let pairs = self.query.iter().flat_map(|q| q.split('&'));
        for pair in pairs {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            if key == name {
                let value = value.replace('+', " ");
                return toolbox_domain::names::decode_segment(&value)
                    .map(Some)
                    .map_err(|_| {
                        ApiError::with_message(
                            ErrorCode::InvalidRequest,
                            format!("The query parameter \"{name}\" is not percent-encoded UTF-8"),
                        )
                    });
            }
        }
        Ok(None)
    }

    /// Where the request came from, as the gateway in front of the function says. A caller may have written it, so it
    /// proves nothing.
    pub fn forwarded_for(&self) -> Option<IpAddr> {
        let addresses = self.headers.get("x-forwarded-for")?;
        addresses.split(',').next()?.trim().parse().ok()
    }

    /// The origin of the project as the caller addressed it: `SUPABASE_PUBLIC_URL` where it is set, or what the gateway in front
    /// says. A caller may have written that, so it is for answers to this caller only.
    pub fn public_origin(&self) -> String {
        let config = &self.state.config;
        let forwarded = (!config.has_public_url)
            .then(|| forwarded_origin(&self.headers))
            .flatten();
        forwarded.unwrap_or_else(|| config.public_url.clone())
    }

    /// The whole body, which is read the first time.
    pub async fn body(&self) -> Result<&[u8], ApiError> {
        self.body.bytes(&self.state.reads, &*self.state.clock).await
    }

    /// The body, which must be a JSON object of this shape. The message names the field that does not fit, and never
    /// repeats its value.
    pub async fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        let body = self.body().await?;
        if body.trim_ascii().is_empty() {
            return Err(ApiError::with_message(
                ErrorCode::InvalidJson,
                "The body is empty; send a JSON object, or use GET to read: the SDK's invoke sends POST unless it is told method: \"GET\"",
            ));
        }
        if !json::may_be_json(self.headers.get("content-type")) {
            return Err(ApiError::new(ErrorCode::UnsupportedMediaType));
        }
        json::parse(body)
    }

    /// How long the caller wants to wait for the end: `Prefer: wait=N`, at most a minute.
    pub fn wait(&self) -> Result<Option<Duration>, ApiError> {
        let texts = self
            .headers
            .get("prefer")
            .unwrap_or_default()
            .split([',', ';']);
        for preference in texts {
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            if name.trim().eq_ignore_ascii_case("wait") {
                let seconds: u32 = value.trim().trim_matches('"').parse().map_err(|_| {
                    ApiError::with_message(
                        ErrorCode::InvalidRequest,
                        "Give a whole number of seconds in the header Prefer: wait=N",
                    )
                })?;
                return Ok(Some(Duration::from_secs(
                    seconds.min(MAX_WAIT_SECONDS).into(),
                )));
            }
        }
        Ok(None)
    }

    /// The `Idempotency-Key`, 1 to 255 printable ASCII characters.
    pub fn idempotency_key(&self) -> Result<Option<&str>, ApiError> {
        let Some(value) = self.headers.get("idempotency-key") else {
            return Ok(None);
        };
        Some(value.trim())
            .filter(|key| (1..=255).contains(&key.len()))
            .filter(|key| key.bytes().all(|b| matches!(b, b' '..=b'~')))
            .map(Some)
            .ok_or_else(|| {
                ApiError::with_message(
                    ErrorCode::InvalidRequest,
                    "Give an Idempotency-Key of 1 to 255 printable ASCII characters",
                )
            })
    }
}

/// The origin that `X-Forwarded-Host`, `-Proto` and `-Port` name, of the first gateway.
fn forwarded_origin(headers: &Headers) -> Option<String> {
    let first = |name| {
        let value = headers.get(name)?.split(',').next()?.trim();
        (!value.is_empty()).then_some(value)
    };
    let host = first("x-forwarded-host")?;
    let scheme = first("x-forwarded-proto")?;
    let usual = match scheme {
        "http" => "80",
        "https" => "443",
        _ => return None,
    };
    let authority = match first("x-forwarded-port") {
        Some(port) if port != usual && has_no_port(host) => format!("{host}:{port}"),
        _ => host.to_owned(),
    };
    let read: http::Uri = format!("{scheme}://{authority}/").parse().ok()?;
    let is_plain = read.authority()?.as_str() == authority && !authority.contains('@');
    is_plain.then(|| format!("{scheme}://{authority}"))
}

/// A colon inside brackets is part of an IPv6 address.
fn has_no_port(host: &str) -> bool {
    let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
    !after.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(host: &str, proto: &str, port: Option<&str>) -> Option<String> {
        let mut headers = Headers::default();
        headers.set("x-forwarded-host", host);
        headers.set("x-forwarded-proto", proto);
        if let Some(port) = port {
            headers.set("x-forwarded-port", port);
        }
        forwarded_origin(&headers)
    }

    #[test]
    fn the_origin_is_as_the_gateway_says_or_unknown() {
        for (host, proto, port, expected) in [
            (
                "ref.supabase.co",
                "https",
                Some("443"),
                "https://ref.supabase.co",
            ),
            (
                "tools.example",
                "https, http",
                None,
                "https://tools.example",
            ),
            (
                "127.0.0.1:54321",
                "http",
                Some("54321"),
                "http://127.0.0.1:54321",
            ),
            (
                "box.example, inner",
                "http",
                Some("8080"),
                "http://box.example:8080",
            ),
            ("[::1]", "http", Some("81"), "http://[::1]:81"),
            ("[::1]:81", "http", Some("81"), "http://[::1]:81"),
        ] {
            assert_eq!(origin(host, proto, port).as_deref(), Some(expected));
        }
        for (host, proto, port) in [
            ("", "https", None),
            ("x", "ftp", None),
            ("x", "", None),
            ("user@x", "https", None),
            ("x/y", "https", None),
            ("x\"y", "https", None),
            ("x y", "https", None),
            ("x", "https", Some("1/2")),
        ] {
            assert_eq!(origin(host, proto, port), None, "{host} {proto}");
        }
        assert_eq!(forwarded_origin(&Headers::default()), None);
    }
}
