//! What tests/edge cannot show without waiting: clocks and caches. The matrix of tokens is there.

use std::sync::Mutex;

use toolbox_http::recorded::{JumpingClock, Recorded, lock, run};
use toolbox_http::{Response, TransportError};

use super::*;
use crate::recorded::RecordedHost;

const NOW: u64 = 1_767_225_600;

struct World {
    identity: Identity,
    transport: Arc<Recorded>,
    clock: Arc<JumpingClock>,
    host: Arc<RecordedHost>,
    published: Arc<Mutex<&'static str>>,
}

fn world() -> World {
    let clock = Arc::new(JumpingClock::new(Duration::from_secs(NOW)));
    let transport = Arc::new(Recorded::new());
    let published = Arc::new(Mutex::new(KEY_A));
    let keys = Arc::clone(&published);
    transport.on(move |_| {
        Some(match *lock(&keys) {
            "" => Err(TransportError::new(
                toolbox_domain::retry::Fault::Refused,
                "x",
            )),
            text => Ok(Response::new(200, text.as_bytes().to_vec())),
        })
    });
    let host = Arc::new(RecordedHost::default());
    let config = Config::read(|name| {
        let value = match name {
            "SUPABASE_URL" => "http://s",
            "SUPABASE_ANON_KEY" => "anon",
            "SUPABASE_SERVICE_ROLE_KEY" => "service",
            "BACKEND_TO_DTMA_API_KEY" => "0123456789abcdef0123456789abcdef",
            _ => return None,
        };
        Some(value.to_owned())
    });
    let identity = Identity::new(
        &config.unwrap(),
        transport.clone(),
        clock.clone(),
        host.clone(),
    );
    World {
        identity,
        transport,
        clock,
        host,
        published,
    }
}

const KEY_A: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"a","x":"x","y":"y"}]}"#;
const KEY_B: &str = r#"[{"kty":"EC","crv":"P-256","kid":"b","x":"x","y":"y"},{"kty":"OKP"}]"#;

/// A token of user 3…, signed by `kid`, that ends `seconds` after the beginning.
fn token(kid: &str, seconds: u64) -> String {
    let encode = |text: &str| {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bits = 0_u32;
        let (mut count, mut out) = (0, String::new());
        for byte in text.bytes().chain([0, 0]) {
            bits = (bits << 8) | u32::from(byte);
            count += 8;
            while count >= 6 {
                count -= 6;
                out.push(char::from(DIGITS[(bits >> count) as usize & 63]));
            }
        }
        out.truncate((text.len() * 8).div_ceil(6));
        out
    };
    let claims = format!(
        r#"{{"iss":"http://s/auth/v1","aud":["authenticated"],"role":"authenticated","sub":"33333333-3333-4333-8333-333333333333","exp":{}}}"#,
        NOW + seconds
    );
    let header = format!(r#"{{"alg":"ES256","kid":"{kid}"}}"#);
    format!(
        "{}.{}.{}",
        encode(&header),
        encode(&claims),
        encode("signed-es256")
    )
}

impl World {
    fn ask(&self, token: &str) -> Result<String, ErrorCode> {
        let mut headers = Headers::default();
        headers.set("authorization", format!("Bearer {token}"));
        let caller = run(self.identity.authenticate(&headers));
        caller
            .map(|caller| caller.user.to_string())
            .map_err(|error| error.code)
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

#[test]
fn a_verified_token_is_remembered_for_a_minute_and_never_beyond_its_end() {
    let world = world();
    let long = token("a", 3600);
    assert_eq!(
        world.ask(&long).unwrap(),
        "33333333-3333-4333-8333-333333333333"
    );
    assert!(world.ask(&long).is_ok());
    assert_eq!(world.host.checks(), 1);
    world.pass(61);
    assert!(world.ask(&long).is_ok());
    assert_eq!(world.host.checks(), 2);
    let short = token("a", 70);
    assert!(world.ask(&short).is_ok());
    world.pass(50);
    assert_eq!(world.ask(&short), Err(ErrorCode::InvalidToken));
    assert_eq!(world.host.checks(), 3, "not even looked at");
}

#[test]
fn keys_are_fetched_again_when_they_are_old_or_unknown_and_not_more_often() {
    let world = world();
    assert!(world.ask(&token("a", 9000)).is_ok());
    *lock(&world.published) = KEY_B;
    // The fetch for "a" was for an unknown key as well.
    assert_eq!(world.ask(&token("b", 9000)), Err(ErrorCode::InvalidToken));
    assert_eq!(world.transport.sent().len(), 1);
    world.pass(31);
    assert!(world.ask(&token("b", 9001)).is_ok());
    assert_eq!(
        world.ask(&token("a", 9001)),
        Err(ErrorCode::InvalidToken),
        "rotated out"
    );
    assert_eq!(world.transport.sent().len(), 2);
    world.pass(601);
    assert!(world.ask(&token("b", 9002)).is_ok());
    assert_eq!(world.transport.sent().len(), 3);
}

#[test]
fn keys_that_cannot_be_read_are_no_fault_of_the_caller() {
    let world = world();
    for unreadable in ["", "<html>", "{}"] {
        *lock(&world.published) = unreadable;
        assert_eq!(
            world.ask(&token("a", 9000)),
            Err(ErrorCode::AuthUnreachable)
        );
    }
    *lock(&world.published) = KEY_A;
    assert!(world.ask(&token("a", 9000)).is_ok());
    *lock(&world.published) = "";
    world.pass(31);
    assert_eq!(
        world.ask(&token("b", 9000)),
        Err(ErrorCode::AuthUnreachable)
    );
    assert_eq!(
        world.ask(&token("b", 9001)),
        Err(ErrorCode::AuthUnreachable),
        "still not known"
    );
}
