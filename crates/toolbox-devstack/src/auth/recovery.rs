//! Forgotten passwords: a link in a mail, then a code for whoever asked, then a session (PKCE).
//!
//! Kept in memory: a stack that starts anew has forgotten them, and one asks again.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// How long a link is good, and then its code; in seconds.
const LINK: i64 = 3600;
const CODE: i64 = 300;
/// Links and codes that are kept at once.
const MOST: usize = 1000;

/// Who asked, and where the link leads.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) user: Uuid,
    /// SHA-256 of what only the asking browser knows, in base64url.
    pub(super) challenge: String,
    pub(super) redirect: String,
}

#[derive(Default)]
pub(super) struct Recoveries {
    /// By the secret in the link, and by the code: until when, in Unix seconds.
    links: Mutex<HashMap<String, (Asked, i64)>>,
    codes: Mutex<HashMap<String, (Asked, i64)>>,
}

impl Recoveries {
    pub(super) fn ask(&self, secret: String, asked: Asked, now: i64) {
        put(&self.links, secret, asked, now, LINK);
    }

    /// Opens a link, once: `code` is then good for whoever asked.
    pub(super) fn open(&self, secret: &str, code: String, now: i64) -> Option<String> {
        let asked = take(&self.links, secret, now)?;
        let redirect = asked.redirect.clone();
        put(&self.codes, code, asked, now, CODE);
        Some(redirect)
    }

    /// The user whose code this is, once; none where another browser asked.
    pub(super) fn redeem(&self, code: &str, verifier: &str, now: i64) -> Option<Uuid> {
        let asked = take(&self.codes, code, now)?;
        let seen = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
        (seen == asked.challenge).then_some(asked.user)
    }
}

type Kept = Mutex<HashMap<String, (Asked, i64)>>;

fn put(kept: &Kept, key: String, asked: Asked, now: i64, life: i64) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    kept.retain(|_, (_, until)| *until > now);
    if kept.len() < MOST {
        kept.insert(key, (asked, now + life));
    }
}

fn take(kept: &Kept, key: &str, now: i64) -> Option<Asked> {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    let (asked, until) = kept.remove(key)?;
    (until > now).then_some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(verifier: &str) -> Asked {
        Asked {
            user: Uuid::nil(),
            challenge: URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)),
            redirect: "http://127.0.0.1:3000/new-password".to_owned(),
        }
    }

    #[test]
    fn a_link_and_its_code_are_good_once_and_for_the_browser_that_asked() {
        let all = Recoveries::default();
        all.ask("link".to_owned(), asked("verifier"), 0);
        assert!(all.open("other", "code".to_owned(), 1).is_none());
        assert!(all.open("link", "code".to_owned(), 1).is_some());
        assert!(all.open("link", "code".to_owned(), 1).is_none());
        assert_eq!(all.redeem("code", "verifier", 2), Some(Uuid::nil()));
        assert_eq!(all.redeem("code", "verifier", 2), None);

        all.ask("link".to_owned(), asked("verifier"), 0);
        all.open("link", "code".to_owned(), 1);
        assert_eq!(all.redeem("code", "another", 2), None);
    }

    #[test]
    fn what_is_too_old_is_good_for_nothing() {
        let all = Recoveries::default();
        all.ask("link".to_owned(), asked("verifier"), 0);
        assert!(all.open("link", "code".to_owned(), LINK + 1).is_none());
        all.ask("link".to_owned(), asked("verifier"), 0);
        all.open("link", "code".to_owned(), 0);
        assert_eq!(all.redeem("code", "verifier", CODE + 1), None);
    }
}
