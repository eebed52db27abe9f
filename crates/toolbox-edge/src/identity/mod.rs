//! Who calls: the user of a verified access token, or nobody.
//!
//! A token counts when its signature is that of one of the project's keys, under the algorithm
//! that belongs to the key's type, and its claims say: not expired, for `authenticated`, from this
//! project's sign-in, of a user with a UUID. An API key is not a user, even where it is a token. An anonymous user is one
//! unless the operator refuses them. How a user signed in (the claim `aal`) is not looked at. A token with `client_id` was given
//! to a program that acts for a user, and counts in one function only. Who is an operator is a claim too (`app_metadata.toolbox_role`), which only the project's service
//! can set; it holds until the token expires.

mod jwt;
mod keys;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use toolbox_api::error::{ApiError, ErrorCode};
use toolbox_domain::ids::UserId;
use toolbox_http::{Clock, Headers, LocalFuture, Transport};

use crate::config::{Config, Issuers};
use crate::context::Caller;
use crate::host::{Algorithm, Host};
use jwt::{Claims, Token};
use keys::KeyStore;

/// Clocks may differ by this much, in seconds.
const LEEWAY: f64 = 30.0;
/// A verified token is believed for this long without checking its signature again.
const REMEMBER: Duration = Duration::from_mins(1);
/// Places for verified tokens; two tokens that end alike take turns.
const REMEMBERED: usize = 256;

const AUDIENCE: &str = "authenticated";
const ROLE: &str = "authenticated";

/// For functions whose callers are users.
pub fn user<'a>(
    identity: &'a Identity,
    headers: &'a Headers,
) -> LocalFuture<'a, Result<Caller, ApiError>> {
    Box::pin(identity.authenticate(headers))
}

/// For the function that also lets in programs that act for users.
pub fn user_or_program<'a>(
    identity: &'a Identity,
    headers: &'a Headers,
) -> LocalFuture<'a, Result<Caller, ApiError>> {
    Box::pin(identity.authenticate_any(headers))
}

/// For the function whose callers are operators.
pub fn operator<'a>(
    identity: &'a Identity,
    headers: &'a Headers,
) -> LocalFuture<'a, Result<Caller, ApiError>> {
    Box::pin(async move {
        let caller = identity.authenticate(headers).await?;
        if caller.is_operator {
            Ok(caller)
        } else {
            Err(Refusal::NoOperator.into())
        }
    })
}

/// Checks callers.
pub struct Identity {
    issuers: Issuers,
    refuse_anonymous: bool,
    api_keys: Vec<String>,
    keys: Rc<KeyStore>,
    clock: Arc<dyn Clock>,
    host: Arc<dyn Host>,
    /// By the end of the token, which is the end of its signature.
    verified: RefCell<Vec<Option<Verified>>>,
}

#[derive(Clone)]
struct Verified {
    token: Arc<str>,
    user: UserId,
    client: Option<Arc<str>>,
    is_operator: bool,
    expires: f64,
    at: Duration,
}

/// Where a token is remembered.
fn place(token: &str) -> usize {
    let end = token.bytes().rev().take(4);
    end.fold(0, |all, byte| (all * 31 + usize::from(byte)) % REMEMBERED)
}

/// Compares in a time that tells nothing about where two texts of one length differ.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |all, (a, b)| all | (a ^ b))
            == 0
}

/// Why a caller is nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// No bearer token.
    Missing,
    /// An API key.
    ApiKey,
    /// A user without an account, where such users are refused.
    Anonymous,
    /// A program that acts for a user, where only users are let in.
    Program,
    /// A user who is no operator, where only operators are let in.
    NoOperator,
    /// A token that does not count; the sentence may be told.
    Invalid(&'static str),
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => Self::new(ErrorCode::AuthenticationRequired),
            Refusal::ApiKey => Self::new(ErrorCode::UserTokenRequired),
            Refusal::Anonymous => Self::new(ErrorCode::AnonymousRefused),
            Refusal::Program => Self::with_message(
                ErrorCode::Forbidden,
                "This access token was given to a program, such as a chat application; it opens MCP servers through the function mcp and nothing else",
            ),
            Refusal::NoOperator => Self::with_message(
                ErrorCode::Forbidden,
                "Only operators may do this; the access token does not say that you are one",
            ),
            Refusal::Invalid(why) => Self::with_message(ErrorCode::InvalidToken, why),
        }
    }
}

impl Identity {
    /// Checks callers of the configured project.
    pub fn new(
        config: &Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
        host: Arc<dyn Host>,
    ) -> Self {
        let url = format!("{}/auth/v1/.well-known/jwks.json", config.supabase_url);
        let keys = KeyStore::new(
            url,
            config.jwks.clone(),
            config.jwt_secret.clone(),
            transport,
            Arc::clone(&clock),
            Arc::clone(&host),
        );
        Self {
            issuers: config.issuers.clone(),
            refuse_anonymous: config.refuse_anonymous,
            api_keys: config.api_keys.clone(),
            keys,
            clock,
            host,
            verified: RefCell::new(vec![None; REMEMBERED]),
        }
    }

    /// The user who sent these headers. A token that was given to a program is refused.
    pub async fn authenticate(&self, headers: &Headers) -> Result<Caller, ApiError> {
        let caller = self.authenticate_any(headers).await?;
        match caller.client {
            None => Ok(caller),
            Some(_) => Err(Refusal::Program.into()),
        }
    }

    /// The user who sent these headers, or whose program did.
    pub async fn authenticate_any(&self, headers: &Headers) -> Result<Caller, ApiError> {
        let token = self.bearer(headers)?;
        let now = self.clock.now();
        if let Some(caller) = self.remembered(token, now)? {
            return Ok(caller);
        }
        let parsed =
            Token::parse(token).map_err(|_| Refusal::Invalid("The access token is malformed"))?;
        self.check_signature(&parsed).await?;
        let (user, expires) = self.check_claims(&parsed.claims, now)?;
        let token: Arc<str> = token.into();
        let client: Option<Arc<str>> = parsed.claims.client_id.as_deref().map(Into::into);
        let known = Verified {
            token: Arc::clone(&token),
            user,
            client: client.clone(),
            is_operator: parsed.claims.is_operator(),
            expires,
            at: now,
        };
        self.verified.borrow_mut()[place(&token)] = Some(known);
        Ok(Caller {
            user,
            token,
            client,
            is_operator: parsed.claims.is_operator(),
        })
    }

    fn bearer<'a>(&self, headers: &'a Headers) -> Result<&'a str, Refusal> {
        let Some(authorization) = headers.get("authorization") else {
            let has_key = headers.get("apikey").is_some();
            return Err(if has_key {
                Refusal::ApiKey
            } else {
                Refusal::Missing
            });
        };
        let (scheme, token) = authorization.split_once(' ').ok_or(Refusal::Missing)?;
        let token = token.trim();
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return Err(Refusal::Missing);
        }
        if token.starts_with("sb_") || self.api_keys.iter().any(|key| key == token) {
            return Err(Refusal::ApiKey);
        }
        Ok(token)
    }

    fn remembered(&self, token: &str, now: Duration) -> Result<Option<Caller>, Refusal> {
        let verified = self.verified.borrow();
        let found = verified[place(token)].as_ref();
        let found = found.filter(|known| now.saturating_sub(known.at) <= REMEMBER);
        let Some(found) = found.filter(|known| same(&known.token, token)) else {
            return Ok(None);
        };
        check_expiry(Some(found.expires), now)?;
        Ok(Some(Caller {
            user: found.user,
            token: Arc::clone(&found.token),
            client: found.client.clone(),
            is_operator: found.is_operator,
        }))
    }

    async fn check_signature(&self, token: &Token<'_>) -> Result<(), ApiError> {
        let algorithm = match token.header.alg.as_str() {
            "ES256" => Algorithm::Es256,
            "RS256" => Algorithm::Rs256,
            "HS256" => Algorithm::Hs256,
            _ => {
                return Err(
                    Refusal::Invalid("The access token's algorithm is not accepted").into(),
                );
            }
        };
        let kid = token.header.kid.as_deref();
        let candidates = self
            .keys
            .candidates(algorithm, kid)
            .await
            .map_err(|error| ApiError::new(ErrorCode::AuthUnreachable).caused_by(&error))?;
        for key in &candidates {
            if self
                .host
                .verify(algorithm, key, token.message, &token.signature)
                .await
            {
                return Ok(());
            }
        }
        Err(Refusal::Invalid(if candidates.is_empty() {
            "The access token's key is not one of this project's"
        } else {
            "The access token's signature does not match"
        })
        .into())
    }

    fn check_claims(&self, claims: &Claims, now: Duration) -> Result<(UserId, f64), Refusal> {
        let expires = check_expiry(claims.exp, now)?;
        if claims
            .nbf
            .is_some_and(|nbf| nbf > now.as_secs_f64() + LEEWAY)
        {
            return Err(Refusal::Invalid("The access token is not valid yet"));
        }
        match claims.role.as_deref() {
            Some(ROLE) => {}
            // Legacy API keys are tokens of these roles.
            Some("anon" | "service_role") => return Err(Refusal::ApiKey),
            _ => {
                return Err(Refusal::Invalid(
                    "The access token's role is not \"authenticated\"",
                ));
            }
        }
        if !claims
            .iss
            .as_ref()
            .is_some_and(|iss| self.issuers.contains(iss))
        {
            return Err(Refusal::Invalid(
                "The access token's issuer is not this project",
            ));
        }
        if !claims
            .aud
            .as_ref()
            .is_some_and(|aud| aud.contains(AUDIENCE))
        {
            return Err(Refusal::Invalid(
                "The access token's audience is not \"authenticated\"",
            ));
        }
        if self.refuse_anonymous && claims.is_anonymous == Some(true) {
            return Err(Refusal::Anonymous);
        }
        claims
            .sub
            .as_deref()
            .and_then(|sub| sub.parse().ok())
            .map(|user| (user, expires))
            .ok_or(Refusal::Invalid(
                "The access token's subject is not a user id",
            ))
    }
}

fn check_expiry(exp: Option<f64>, now: Duration) -> Result<f64, Refusal> {
    let exp = exp.ok_or(Refusal::Invalid("The access token has no expiry"))?;
    // Written so that a NaN is refused.
    if now.as_secs_f64() < exp + LEEWAY {
        Ok(exp)
    } else {
        Err(Refusal::Invalid("The access token has expired"))
    }
}
