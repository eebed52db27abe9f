//! Sign-in: stands in for Supabase Auth on this machine only.
//!
//! What supabase-js needs for password accounts: sign up, sign in, refresh with rotation and reuse detection, the
//! user, sign out, the public keys. Accounts are confirmed at once, as with `enable_confirmations = false`.

mod error;
mod oauth;
mod store;

use axum::Json;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::Db;
use crate::jwt::Keys;
use crate::now;

use error::AuthError;
pub(crate) use oauth::{OAuthServer, Route as OAuthRoute};
pub(crate) use store::Store;
use store::{Session, Spent};

/// Life of an access token in seconds.
const LIFE: i64 = 3600;
const BODY_LIMIT: usize = 64 * 1024;
const SHORTEST_PASSWORD: usize = 6;
/// bcrypt reads no further.
const LONGEST_PASSWORD: usize = 72;

/// The sign-in service.
pub(crate) struct Auth {
    store: Store,
    keys: Keys,
    issuer: String,
}

#[derive(Deserialize)]
struct Credentials {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    data: Option<Value>,
}

#[derive(Deserialize)]
struct RefreshToken {
    #[serde(default)]
    refresh_token: String,
}

impl Auth {
    /// `url` is the gateway's: tokens name `{url}/auth/v1` as their issuer.
    pub(crate) fn new(db: Db, keys: Keys, url: &str) -> Self {
        Self {
            store: Store::new(db),
            keys,
            issuer: format!("{url}/auth/v1"),
        }
    }

    /// Answers a request below `/auth/v1`.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response {
        let version = request.headers().get("x-supabase-api-version").cloned();
        let answer = self
            .route(request)
            .await
            .unwrap_or_else(|error| error.respond(version.as_ref()));
        uncached(answer)
    }

    /// The user whose token a request brings, or the refusal.
    pub(crate) async fn signed_in(&self, headers: &HeaderMap) -> Result<Value, Response> {
        let found = match self.bearer(headers).await {
            Ok((user, _)) => self.user(user).await,
            Err(error) => Err(error),
        };
        let version = headers.get("x-supabase-api-version");
        found.map_err(|error| uncached(error.respond(version)))
    }

    async fn route(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let method = request.method().clone();
        let path = request
            .uri()
            .path()
            .strip_prefix("/auth/v1")
            .unwrap_or_default()
            .to_owned();
        match (method, path.as_str()) {
            (Method::POST, "/signup") => self.sign_up(request).await,
            (Method::POST, "/token") => match query(&request, "grant_type").as_deref() {
                Some("password") => self.sign_in(request).await,
                Some("refresh_token") => self.refresh(request).await,
                _ => Err(AuthError::UnsupportedGrant),
            },
            (Method::GET, "/user") => {
                let headers = request.into_parts().0.headers;
                let (user, _) = self.bearer(&headers).await?;
                Ok(Json(self.user(user).await?).into_response())
            }
            (Method::POST, "/logout") => self.sign_out(request).await,
            (Method::GET, "/.well-known/jwks.json") => {
                Ok(Json(self.keys.public_set()).into_response())
            }
            (Method::GET, "/health") => Ok(Json(health()).into_response()),
            (Method::GET, "/settings") => Ok(Json(settings()).into_response()),
            (_, "/signup" | "/token" | "/user" | "/logout" | "/health" | "/settings") => {
                Err(AuthError::Method)
            }
            _ => Err(AuthError::NotHere),
        }
    }

    async fn sign_up(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let agent = user_agent(&request);
        let given: Credentials = body(request).await?;
        let email = checked_email(&given.email)?;
        if given.password.is_empty() {
            return Err(AuthError::Invalid("Signup requires a valid password"));
        }
        if given.password.len() > LONGEST_PASSWORD {
            return Err(AuthError::Invalid(
                "Password cannot be longer than 72 characters",
            ));
        }
        if given.password.chars().count() < SHORTEST_PASSWORD {
            return Err(AuthError::WeakPassword);
        }
        let data = match given.data {
            Some(Value::Object(data)) => Value::Object(data),
            Some(Value::Null) | None => json!({}),
            Some(_) => return Err(AuthError::Invalid("data must be an object")),
        };
        let user = self
            .store
            .create_user(&email, &given.password, &data)
            .await?
            .ok_or(AuthError::UserExists)?;
        let session = self.store.create_session(user, agent.as_deref()).await?;
        self.tokens(session).await
    }

    async fn sign_in(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let agent = user_agent(&request);
        let given: Credentials = body(request).await?;
        if given.email.is_empty() {
            return Err(AuthError::Invalid("missing email or phone"));
        }
        let user = self
            .store
            .check_password(&given.email, &given.password)
            .await?
            .ok_or(AuthError::Credentials)?;
        let session = self.store.create_session(user, agent.as_deref()).await?;
        self.tokens(session).await
    }

    async fn refresh(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let given: RefreshToken = body(request).await?;
        if given.refresh_token.len() < 12 {
            return Err(AuthError::Invalid("Refresh token is not valid"));
        }
        let session = match self.store.spend(&given.refresh_token).await? {
            Spent::Rotated(session) => session,
            Spent::Unknown => return Err(AuthError::RefreshUnknown),
            Spent::Reused => return Err(AuthError::RefreshReused),
        };
        self.tokens(session).await
    }

    async fn sign_out(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let scope = query(&request, "scope");
        let headers = request.into_parts().0.headers;
        let (user, session) = self.bearer(&headers).await?;
        match scope.as_deref() {
            None | Some("global") => self.store.end_sessions(user, None).await?,
            Some("local") => self.store.end_session(session).await?,
            Some("others") => self.store.end_sessions(user, Some(session)).await?,
            Some(_) => return Err(AuthError::Invalid("Unsupported logout scope")),
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// User and session of the token in Authorization; the session must still exist.
    async fn bearer(&self, headers: &HeaderMap) -> Result<(Uuid, Uuid), AuthError> {
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = given
            .and_then(|text| text.strip_prefix("Bearer "))
            .ok_or(AuthError::NoToken)?;
        let claims = self
            .keys
            .verify(token, now())
            .map_err(AuthError::BadToken)?;
        let id = |name: &str| {
            claims[name]
                .as_str()
                .and_then(|text| Uuid::parse_str(text).ok())
        };
        let user = id("sub").ok_or(AuthError::NoSubject)?;
        let session = id("session_id").ok_or(AuthError::NoSession)?;
        if self.store.session_exists(session, user).await? {
            Ok((user, session))
        } else {
            Err(AuthError::NoSession)
        }
    }

    async fn user(&self, id: Uuid) -> Result<Value, AuthError> {
        self.store.user(id).await?.ok_or(AuthError::NoUser)
    }

    async fn tokens(&self, session: Session) -> Result<Response, AuthError> {
        let user = self.user(session.user).await?;
        let issued = now();
        let claims = json!({
            "iss": self.issuer,
            "sub": session.user,
            "aud": "authenticated",
            "exp": issued + LIFE,
            "iat": issued,
            "email": user["email"],
            "phone": "",
            "app_metadata": user["app_metadata"],
            "user_metadata": user["user_metadata"],
            "role": "authenticated",
            "aal": "aal1",
            "amr": [{ "method": "password", "timestamp": session.began }],
            "session_id": session.id,
            "is_anonymous": false,
        });
        Ok(Json(json!({
            "access_token": self.keys.sign(&claims),
            "token_type": "bearer",
            "expires_in": LIFE,
            "expires_at": issued + LIFE,
            "refresh_token": session.refresh_token,
            "user": user,
        }))
        .into_response())
    }
}

async fn body<T: DeserializeOwned>(request: Request<Body>) -> Result<T, AuthError> {
    let read = Limited::new(request.into_body(), BODY_LIMIT)
        .collect()
        .await
        .map_err(|_| AuthError::BadBody)?;
    serde_json::from_slice(&read.to_bytes()).map_err(|_| AuthError::BadBody)
}

fn query(request: &Request<Body>, name: &str) -> Option<String> {
    let pairs = request.uri().query()?.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

fn user_agent(request: &Request<Body>) -> Option<String> {
    request
        .headers()
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned)
}

fn checked_email(text: &str) -> Result<String, AuthError> {
    let refused = AuthError::Invalid("Unable to validate email address: invalid format");
    let email = text.trim().to_lowercase();
    let plain =
        !email.contains(|c: char| c.is_whitespace() || c.is_control()) && email.len() <= 255;
    match email.split_once('@') {
        Some((name, domain))
            if plain && !name.is_empty() && domain.contains('.') && !domain.contains('@') =>
        {
            Ok(email)
        }
        _ => Err(refused),
    }
}

fn uncached(mut answer: Response) -> Response {
    answer
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn health() -> Value {
    json!({ "version": env!("CARGO_PKG_VERSION"), "name": "GoTrue", "description": "toolbox-devstack's stand-in for Supabase Auth" })
}

fn settings() -> Value {
    json!({
        "external": { "email": true, "phone": false, "anonymous_users": false },
        "disable_signup": false, "mailer_autoconfirm": true, "phone_autoconfirm": false,
        "sms_provider": "", "saml_enabled": false,
    })
}
