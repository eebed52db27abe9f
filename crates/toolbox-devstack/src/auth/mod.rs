//! Sign-in: stands in for Supabase Auth on this machine only.
//!
//! What supabase-js needs for password accounts: sign up, sign in, refresh with rotation and reuse detection, the
//! user, sign out, the public keys, a new password by a link in a mail. Mail lies in a folder, one file each. Accounts are confirmed at once, as with `enable_confirmations = false`.

mod error;
mod oauth;
mod recovery;
mod store;

use std::collections::HashMap;
use std::path::PathBuf;

use axum::Json;
use axum::body::Body;
use axum::extract::Query;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::Db;
use crate::error::StackError;
use crate::jwt::Keys;
use crate::now;
use crate::progress::say;

use crate::secrets::{random_hex, write_private};

use error::AuthError;
pub(crate) use oauth::{OAuthServer, Route as OAuthRoute};
use recovery::{Asked, Recoveries};
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
    /// Where links in mails may lead.
    site: String,
    /// Where mail is put.
    inbox: PathBuf,
    recoveries: Recoveries,
}

#[derive(Deserialize)]
struct Forgotten {
    #[serde(default)]
    email: String,
    #[serde(default)]
    code_challenge: String,
    #[serde(default)]
    code_challenge_method: String,
}

#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    auth_code: String,
    #[serde(default)]
    code_verifier: String,
}

#[derive(Deserialize)]
struct Change {
    #[serde(default)]
    password: String,
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
    pub(crate) fn new(db: Db, keys: Keys, url: &str, site: String, inbox: PathBuf) -> Self {
        Self {
            store: Store::new(db),
            keys,
            issuer: format!("{url}/auth/v1"),
            site,
            inbox,
            recoveries: Recoveries::default(),
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
                Some("pkce") => self.redeem(request).await,
                _ => Err(AuthError::UnsupportedGrant),
            },
            (Method::GET, "/user") => {
                let headers = request.into_parts().0.headers;
                let (user, _) = self.bearer(&headers).await?;
                Ok(Json(self.user(user).await?).into_response())
            }
            (Method::PUT, "/user") => self.change(request).await,
            (Method::POST, "/recover") => self.recover(request).await,
            (Method::GET, "/verify") => self.verify(&request),
            (Method::POST, "/logout") => self.sign_out(request).await,
            (Method::GET, "/.well-known/jwks.json") => {
                Ok(Json(self.keys.public_set()).into_response())
            }
            (Method::GET, "/health") => Ok(Json(health()).into_response()),
            (Method::GET, "/settings") => Ok(Json(settings()).into_response()),
            (
                _,
                "/signup" | "/token" | "/user" | "/recover" | "/verify" | "/logout" | "/health"
                | "/settings",
            ) => Err(AuthError::Method),
            _ => Err(AuthError::NotHere),
        }
    }

    async fn sign_up(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let agent = user_agent(&request);
        let given: Credentials = body(request).await?;
        let email = checked_email(&given.email)?;
        checked_password(&given.password)?;
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

    /// Sends a link to whoever forgot a password. Nobody learns by it which addresses have accounts.
    async fn recover(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let wanted = query(&request, "redirect_to");
        let given: Forgotten = body(request).await?;
        let email = checked_email(&given.email)?;
        if given.code_challenge.is_empty()
            || !given.code_challenge_method.eq_ignore_ascii_case("s256")
        {
            return Err(AuthError::Invalid(
                "The local sign-in sends links for PKCE with S256 only",
            ));
        }
        if let Some(user) = self.store.user_of(&email).await? {
            let secret = random_hex(32)?;
            let redirect = wanted.filter(|url| leads_to(url, &self.site));
            let asked = Asked {
                user,
                challenge: given.code_challenge,
                redirect: redirect.unwrap_or_else(|| self.site.clone()),
            };
            self.recoveries.ask(secret.clone(), asked, now());
            let link = format!("{}/verify?token={secret}&type=recovery", self.issuer);
            let text = format!(
                "To: {email}\nSubject: Reset your password\n\nChoose a new password: {link}\n"
            );
            self.send(&text).await?;
        }
        Ok(Json(json!({})).into_response())
    }

    /// Puts a mail into the inbox, for its reader's eyes only.
    async fn send(&self, text: &str) -> Result<(), AuthError> {
        let file = self.inbox.join(format!("{}.txt", Uuid::new_v4()));
        tokio::fs::create_dir_all(&self.inbox)
            .await
            .map_err(StackError::file("make", &self.inbox))?;
        write_private(&file, text)?;
        say(format_args!("[auth] a mail is in {}", file.display()));
        Ok(())
    }

    /// The link of a mail was opened.
    fn verify(&self, request: &Request<Body>) -> Result<Response, AuthError> {
        let code = random_hex(32)?;
        let secret = query(request, "token").unwrap_or_default();
        let target = match self.recoveries.open(&secret, code.clone(), now()) {
            Some(redirect) => format!("{redirect}?code={code}"),
            None => format!(
                "{}/new-password?error=access_denied&error_code=otp_expired",
                self.site
            ),
        };
        let location = HeaderValue::from_str(&target)
            .map_err(|_| AuthError::Invalid("redirect_to is no URL"))?;
        Ok((StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response())
    }

    async fn redeem(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let agent = user_agent(&request);
        let given: Code = body(request).await?;
        let user = self
            .recoveries
            .redeem(&given.auth_code, &given.code_verifier, now())
            .ok_or(AuthError::NoFlow)?;
        let session = self.store.create_session(user, agent.as_deref()).await?;
        self.tokens(session).await
    }

    /// A new password, for whoever is signed in. Their other sessions end.
    async fn change(&self, request: Request<Body>) -> Result<Response, AuthError> {
        let (user, session) = self.bearer(request.headers()).await?;
        let given: Change = body(request).await?;
        checked_password(&given.password)?;
        if !self.store.set_password(user, &given.password).await? {
            return Err(AuthError::SamePassword);
        }
        self.store.end_sessions(user, Some(session)).await?;
        Ok(Json(self.user(user).await?).into_response())
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
    let Query(mut values) = Query::<HashMap<String, String>>::try_from_uri(request.uri()).ok()?;
    values.remove(name)
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

fn checked_password(password: &str) -> Result<(), AuthError> {
    if password.is_empty() {
        return Err(AuthError::Invalid("Signup requires a valid password"));
    }
    if password.len() > LONGEST_PASSWORD {
        return Err(AuthError::Invalid(
            "Password cannot be longer than 72 characters",
        ));
    }
    if password.chars().count() < SHORTEST_PASSWORD {
        return Err(AuthError::WeakPassword);
    }
    Ok(())
}

/// Whether a link may lead there: to a page of the site, and to nothing that only begins like it.
fn leads_to(url: &str, site: &str) -> bool {
    url.strip_prefix(site)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') && !rest.contains(['?', '#']))
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
