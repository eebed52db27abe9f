//! Accounts, sessions and refresh tokens in `auth.*`. Each step is one statement, hence atomic.

use serde_json::Value;
use uuid::Uuid;

use crate::db::Db;
use crate::error::StackError;
use crate::secrets::random_hex;

/// A refresh token may be used again this long after it was, in seconds: two tabs may refresh at once.
const REUSE_INTERVAL: f64 = 10.0;

const CREATE_USER: &str = "
with fresh as (select gen_random_uuid() as id, now() as at),
made as (
  insert into auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
    raw_app_meta_data, raw_user_meta_data, created_at, updated_at, confirmation_token, recovery_token,
    email_change_token_new, email_change)
  select '00000000-0000-0000-0000-000000000000', id, 'authenticated', 'authenticated', $1::text,
    extensions.crypt($2::text, extensions.gen_salt('bf')), at,
    '{\"provider\": \"email\", \"providers\": [\"email\"]}',
    $3::jsonb || jsonb_build_object('sub', id, 'email', $1::text, 'email_verified', true, 'phone_verified', false),
    at, at, '', '', '', ''
  from fresh
  on conflict (email) where (is_sso_user = false) do nothing
  returning id, created_at
),
identity as (
  insert into auth.identities (provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
  select id::text, id,
    jsonb_build_object('sub', id, 'email', $1::text, 'email_verified', false, 'phone_verified', false),
    'email', created_at, created_at, created_at
  from made
)
select id from made";

const CHECK_PASSWORD: &str = "
select id from auth.users
where email = lower($1::text) and not is_sso_user and deleted_at is null
  and encrypted_password = extensions.crypt($2::text, encrypted_password)";

const SET_PASSWORD: &str = "
update auth.users set encrypted_password = extensions.crypt($2::text, extensions.gen_salt('bf')), updated_at = now()
where id = $1::uuid and deleted_at is null and encrypted_password <> extensions.crypt($2::text, encrypted_password)
returning id";

const CREATE_SESSION: &str = "
with session as (
  insert into auth.sessions (id, user_id, created_at, updated_at, aal, user_agent, ip)
  values (gen_random_uuid(), $1::uuid, now(), now(), 'aal1', $3::text, '127.0.0.1')
  returning id, created_at
),
token as (
  insert into auth.refresh_tokens (instance_id, token, user_id, revoked, created_at, updated_at, session_id)
  select '00000000-0000-0000-0000-000000000000', $2::text, $1::uuid::text, false, now(), now(), id from session
),
seen as (update auth.users set last_sign_in_at = now(), updated_at = now() where id = $1::uuid)
select id, extract(epoch from created_at)::bigint from session";

const ROTATE: &str = "
with spent as (
  update auth.refresh_tokens set revoked = true, updated_at = now()
  where token = $1::text and not revoked
  returning user_id, session_id
),
fresh as (
  insert into auth.refresh_tokens (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
  select '00000000-0000-0000-0000-000000000000', $2::text, user_id, false, now(), now(), $1::text, session_id from spent
),
touched as (
  update auth.sessions set refreshed_at = now(), updated_at = now() where id = (select session_id from spent)
)
select spent.session_id, spent.user_id::uuid, extract(epoch from sessions.created_at)::bigint
from spent join auth.sessions on sessions.id = spent.session_id";

/// What became of a spent token: its live successor if it has one, and whether it may still be used.
const SPENT: &str = "
select spent.session_id, spent.user_id::uuid, extract(epoch from sessions.created_at)::bigint,
  (select token from auth.refresh_tokens child where child.parent = spent.token and not child.revoked limit 1),
  spent.updated_at > now() - make_interval(secs => $2::float8)
from auth.refresh_tokens spent join auth.sessions on sessions.id = spent.session_id
where spent.token = $1::text";

const GRANT: &str = "
insert into auth.refresh_tokens (instance_id, token, user_id, revoked, created_at, updated_at, parent, session_id)
values ('00000000-0000-0000-0000-000000000000', $2::text, $3::uuid::text, false, now(), now(), $1::text, $4::uuid)";

const USER: &str = "
select jsonb_build_object(
  'id', u.id, 'aud', u.aud, 'role', u.role, 'email', u.email, 'phone', coalesce(u.phone, ''),
  'email_confirmed_at', u.email_confirmed_at, 'confirmed_at', u.confirmed_at, 'last_sign_in_at', u.last_sign_in_at,
  'app_metadata', u.raw_app_meta_data, 'user_metadata', u.raw_user_meta_data,
  'identities', coalesce((
    select jsonb_agg(jsonb_build_object(
      'identity_id', i.id, 'id', i.provider_id, 'user_id', i.user_id, 'identity_data', i.identity_data,
      'provider', i.provider, 'last_sign_in_at', i.last_sign_in_at, 'created_at', i.created_at,
      'updated_at', i.updated_at, 'email', i.email))
    from auth.identities i where i.user_id = u.id), '[]'),
  'created_at', u.created_at, 'updated_at', u.updated_at, 'is_anonymous', u.is_anonymous)
from auth.users u where u.id = $1::uuid and u.deleted_at is null";

/// Access to the tables of sign-in.
pub(crate) struct Store {
    db: Db,
}

/// Somebody signed in, with the token for the next refresh.
pub(super) struct Session {
    pub(super) id: Uuid,
    pub(super) user: Uuid,
    /// When it began, Unix seconds.
    pub(super) began: i64,
    pub(super) refresh_token: String,
}

/// What a refresh token was good for.
pub(super) enum Spent {
    Rotated(Session),
    Unknown,
    /// Used again after its successor was: possibly stolen, so the session has been ended.
    Reused,
}

impl Store {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// The new user's id; `None` when the address is taken.
    pub(crate) async fn create_user(
        &self,
        email: &str,
        password: &str,
        data: &Value,
    ) -> Result<Option<Uuid>, StackError> {
        let row = self
            .db
            .row("creating a user", CREATE_USER, &[&email, &password, data])
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// The user with that address and password.
    pub(crate) async fn check_password(
        &self,
        email: &str,
        password: &str,
    ) -> Result<Option<Uuid>, StackError> {
        let row = self
            .db
            .row("checking a password", CHECK_PASSWORD, &[&email, &password])
            .await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// The user with that address.
    pub(super) async fn user_of(&self, email: &str) -> Result<Option<Uuid>, StackError> {
        let sql = "select id from auth.users where email = $1::text and not is_sso_user and deleted_at is null";
        let row = self.db.row("finding a user", sql, &[&email]).await?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Replaces a password; false when it was this one already.
    pub(super) async fn set_password(
        &self,
        user: Uuid,
        password: &str,
    ) -> Result<bool, StackError> {
        let what = "changing a password";
        let row = self.db.row(what, SET_PASSWORD, &[&user, &password]).await?;
        Ok(row.is_some())
    }

    pub(super) async fn create_session(
        &self,
        user: Uuid,
        agent: Option<&str>,
    ) -> Result<Session, StackError> {
        let token = random_hex(16)?;
        let rows = self
            .db
            .rows(
                "creating a session",
                CREATE_SESSION,
                &[&user, &token, &agent],
            )
            .await?;
        let row = rows.first().ok_or(StackError::Stopping)?;
        Ok(Session {
            id: row.get(0),
            user,
            began: row.get(1),
            refresh_token: token,
        })
    }

    /// Exchanges a refresh token for the next one.
    pub(super) async fn spend(&self, token: &str) -> Result<Spent, StackError> {
        let next = random_hex(16)?;
        let what = "refreshing a session";
        if let Some(row) = self.db.row(what, ROTATE, &[&token, &next]).await? {
            return Ok(Spent::Rotated(Session {
                id: row.get(0),
                user: row.get(1),
                began: row.get(2),
                refresh_token: next,
            }));
        }
        let Some(row) = self.db.row(what, SPENT, &[&token, &REUSE_INTERVAL]).await? else {
            return Ok(Spent::Unknown);
        };
        let (id, user, began): (Uuid, Uuid, i64) = (row.get(0), row.get(1), row.get(2));
        // The client never received the successor: it gets that one again.
        if let Some(successor) = row.get::<_, Option<String>>(3) {
            return Ok(Spent::Rotated(Session {
                id,
                user,
                began,
                refresh_token: successor,
            }));
        }
        if row.get(4) {
            self.db
                .rows(what, GRANT, &[&token, &next, &user, &id])
                .await?;
            return Ok(Spent::Rotated(Session {
                id,
                user,
                began,
                refresh_token: next,
            }));
        }
        self.end_session(id).await?;
        Ok(Spent::Reused)
    }

    pub(super) async fn session_exists(
        &self,
        session: Uuid,
        user: Uuid,
    ) -> Result<bool, StackError> {
        let sql = "select from auth.sessions where id = $1::uuid and user_id = $2::uuid";
        Ok(self
            .db
            .row("reading a session", sql, &[&session, &user])
            .await?
            .is_some())
    }

    pub(super) async fn end_session(&self, session: Uuid) -> Result<(), StackError> {
        self.db
            .rows(
                "ending a session",
                "delete from auth.sessions where id = $1::uuid",
                &[&session],
            )
            .await
            .map(drop)
    }

    /// Ends all of a user's sessions but `except`.
    pub(super) async fn end_sessions(
        &self,
        user: Uuid,
        except: Option<Uuid>,
    ) -> Result<(), StackError> {
        let sql =
            "delete from auth.sessions where user_id = $1::uuid and id is distinct from $2::uuid";
        self.db
            .rows("ending sessions", sql, &[&user, &except])
            .await
            .map(drop)
    }

    /// The user as the API shows it.
    pub(super) async fn user(&self, id: Uuid) -> Result<Option<Value>, StackError> {
        Ok(self
            .db
            .row("reading a user", USER, &[&id])
            .await?
            .map(|row| row.get(0)))
    }
}
