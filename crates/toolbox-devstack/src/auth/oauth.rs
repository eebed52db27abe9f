//! The OAuth 2.1 server beside the sign-in: `host/oauth.mjs`, a program of its own, because it is a library of Node.js.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderMap, HeaderValue};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::config::Paths;
use crate::error::StackError;
use crate::jwt::Keys;
use crate::process::Program;
use crate::secrets::random_hex;
use crate::unit::{Handle, Ready, Unit};

const SERVER: &str = include_str!("../../host/oauth.mjs");
/// Who signed in, as JSON in base64; believed with the secret only.
const USER: &str = "x-toolbox-user";
const SECRET: &str = "x-toolbox-secret";

/// The server, and how it knows the gateway.
#[derive(Clone)]
pub(crate) struct OAuthServer {
    worker: Handle,
    secret: HeaderValue,
}

/// Whose a route of the OAuth server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Clients have no key of the project.
    Clients,
    /// Users who signed in, with supabase-js.
    Users,
}

impl Route {
    /// The route of a path below `/auth/v1`, if the OAuth server has it.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/oauth/authorize"
            | "/oauth/token"
            | "/oauth/clients/register"
            | "/.well-known/openid-configuration"
            | "/.well-known/oauth-authorization-server" => Some(Self::Clients),
            "/user/oauth/grants" => Some(Self::Users),
            _ => path
                .starts_with("/oauth/authorizations/")
                .then_some(Self::Users),
        }
    }
}

impl OAuthServer {
    /// Makes the server; it starts when asked. `url` is the gateway's, `consent` the page on which users let clients in.
    pub(crate) fn new(
        paths: &Paths,
        data_dir: &Path,
        keys: &Keys,
        url: &str,
        consent: &str,
    ) -> Result<Self, StackError> {
        let host = data_dir.join("host");
        std::fs::create_dir_all(&host).map_err(StackError::file("create", &host))?;
        let script = host.join("oauth.mjs");
        std::fs::write(&script, SERVER).map_err(StackError::file("write", &script))?;
        let (marker, secret) = (
            format!("toolbox-oauth-{}", random_hex(16)?),
            random_hex(32)?,
        );
        let settings = json!({
            "issuer": format!("{url}/auth/v1"),
            "consent": consent,
            "key": keys.private(),
            "secret": secret,
            "library": paths.node_module("oidc-provider/lib/index.js")?,
            "file": data_dir.join("oauth.json"),
            "marker": marker,
        });
        let mut program = Program::new("oauth", "node", data_dir)
            .args([&script])
            .env("PATH", &paths.search)
            .env("TOOLBOX_OAUTH", settings.to_string());
        program.log = Some(data_dir.join("logs/oauth.log"));
        program.marker = Some(marker);
        let unit = Unit {
            program: Box::new(move || program.clone()),
            ready: Ready::Marker,
            ready_limit: Duration::from_secs(30),
            stop_signal: Signal::TERM,
            stop_grace: Duration::from_secs(2),
            restart: true,
        };
        Ok(Self {
            worker: Handle::new("oauth", unit),
            secret: HeaderValue::from_str(&secret).map_err(|_| StackError::Stopping)?,
        })
    }

    pub(crate) fn worker(&self) -> &Handle {
        &self.worker
    }

    /// Where it listens; none while it is down.
    pub(crate) fn address(&self) -> Option<String> {
        let state = self.worker.state();
        let port = state.message.filter(|_| state.ready)?;
        Some(format!("127.0.0.1:{port}"))
    }

    /// Says in a request to it who signed in, and lets nobody else say that.
    pub(crate) fn introduce(&self, headers: &mut HeaderMap, user: Option<&Value>) {
        headers.remove(USER);
        headers.remove(SECRET);
        let user = user.map(|user| BASE64.encode(user.to_string()));
        if let Some(user) = user.and_then(|user| HeaderValue::from_str(&user).ok()) {
            headers.insert(USER, user);
            headers.insert(SECRET, self.secret.clone());
        }
    }
}
