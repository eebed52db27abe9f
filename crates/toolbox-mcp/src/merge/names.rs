//! Names where several servers are one: `server__tool`, also of prompts, and `toolbox://server/` before the address of a resource.
//!
//! The server's part ends in digits of its id and holds neither `__` nor `/`, so that no two servers have the same one and a name
//! is split in one way only. A tool keeps its name where hosts take it; else the name is shortened and ends in digits of its
//! digest. A name that looks like a shortened one is shortened too, so that none can be taken for another's. An address stays
//! whole behind the server's part, so that one which a client makes of a template leads to the same server.

use std::borrow::Cow;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Longest name that hosts take, in characters.
pub const MAX: usize = 64;
/// Between the server's part and the tool's.
const BETWEEN: &str = "__";
/// Before the server's part of an address.
const SCHEME: &str = "toolbox://";
/// Longest readable beginning of a server's part.
const MAX_SLUG: usize = 16;
/// Digits of an id, or of a digest.
const DIGITS: usize = 8;
/// Longest part of a tool: what is left beside the longest part of a server.
const MAX_TOOL: usize = MAX - (MAX_SLUG + 1 + DIGITS) - BETWEEN.len();

/// The part of each server: a readable beginning and as many digits of its id as tell all of them apart.
pub fn servers<'a>(servers: impl IntoIterator<Item = (Uuid, &'a str)>) -> Vec<(Uuid, String)> {
    let servers: Vec<_> = servers
        .into_iter()
        .map(|(id, name)| (id, hex(id.as_bytes()), slug(name)))
        .collect();
    let part = |(id, digits, slug): &(Uuid, String, String)| {
        let shared = |length: usize| {
            let start = digits.get(..length);
            let same = |(other, theirs, _): &&(Uuid, String, String)| {
                other != id && theirs.get(..length) == start
            };
            servers.iter().any(|server| same(&server))
        };
        let mut length = DIGITS;
        while length < digits.len() && shared(length) {
            length += DIGITS;
        }
        let digits = digits.get(..length).unwrap_or(digits);
        (*id, format!("{slug}-{digits}"))
    };
    servers.iter().map(part).collect()
}

/// The name of a tool.
pub fn tool(server: &str, tool: &str) -> String {
    format!("{server}{BETWEEN}{}", part(tool))
}

/// The server's part of a name, and the tool's.
pub fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once(BETWEEN)
}

/// What stands before the addresses of a server's resources.
pub fn home(server: &str) -> String {
    format!("{SCHEME}{server}/")
}

/// The server's part of an address, and what it is there.
pub fn split_address(address: &str) -> Option<(&str, &str)> {
    address.strip_prefix(SCHEME)?.split_once('/')
}

/// How a tool is called in a name.
pub fn part(tool: &str) -> Cow<'_, str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !tool.is_empty() && tool.len() <= MAX_TOOL && tool.chars().all(legal) && !is_short(tool) {
        return Cow::Borrowed(tool);
    }
    let start = tool.chars().map(|c| if legal(c) { c } else { '_' });
    let start: String = start.take(MAX_TOOL - DIGITS - 1).collect();
    let digest = hex(&Sha256::digest(tool));
    let digits = digest.get(..DIGITS).unwrap_or(&digest);
    Cow::Owned(format!("{start}-{digits}"))
}

/// Whether a part looks like a shortened one.
pub fn is_short(part: &str) -> bool {
    part.rsplit_once('-').is_some_and(|(_, digits)| {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        digits.len() == DIGITS && digits.bytes().all(is_digit)
    })
}

/// The readable beginning of a server's part, of the letters and digits of its name.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if slug.len() == MAX_SLUG {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "server" } else { slug }.to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const ID: Uuid = Uuid::from_u128(0x1a2b_3c4d_0000_0000_0000_0000_0000_0001);
    const NEAR: Uuid = Uuid::from_u128(0x1a2b_3c4d_0000_0000_0000_0000_0000_0002);
    const FAR: Uuid = Uuid::from_u128(0x9a2b_3c4d_0000_0000_0000_0000_0000_0001);

    fn part_of(id: Uuid, of: &[(Uuid, &str)]) -> String {
        let parts = servers(of.iter().copied());
        parts.into_iter().find(|(of, _)| *of == id).unwrap().1
    }

    #[test]
    fn names_are_readable_legal_and_stay_as_they_are() {
        assert_eq!(
            part_of(ID, &[(ID, "Context7 MCP Server")]),
            "context7-mcp-ser-1a2b3c4d"
        );
        assert_eq!(part_of(ID, &[(ID, "__!")]), "server-1a2b3c4d");
        assert_eq!(part_of(ID, &[(ID, "a"), (FAR, "a")]), "a-1a2b3c4d");
        let both = [(ID, "a"), (NEAR, "a")];
        assert_eq!(part_of(ID, &both), "a-1a2b3c4d000000000000000000000001");
        assert_ne!(part_of(ID, &both), part_of(NEAR, &both));
        assert_eq!(tool("a-1a2b3c4d", "get__docs"), "a-1a2b3c4d__get__docs");
        assert_eq!(
            split("a-1a2b3c4d__get__docs"),
            Some(("a-1a2b3c4d", "get__docs"))
        );
        assert_eq!(split("echo"), None);
    }

    #[test]
    fn what_hosts_do_not_take_is_shortened_and_told_apart() {
        let long = "x".repeat(128);
        for name in [&*long, "a.b", "", "ü", "a b", "tool-0123abcd"] {
            let part = part(name);
            assert!(is_short(&part), "{name} {part}");
            assert_ne!(part, name);
        }
        assert_ne!(part("a.b"), part("a b"));
        assert_eq!(part("resolve-library-id"), "resolve-library-id");
    }

    proptest! {
        #[test]
        fn no_two_tools_have_one_name(
            ids in proptest::collection::hash_set(any::<u128>(), 1..6),
            slug in "\\PC{0,20}",
            tools in proptest::collection::hash_set("[a-c_.-]{0,3}(-[0-9a-f]{8})?", 1..20),
        ) {
            let parts = servers(ids.iter().map(|id| (Uuid::from_u128(*id), &*slug)));
            let mut names = HashSet::new();
            for (_, server) in &parts {
                for one in &tools {
                    let name = tool(server, one);
                    prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-'));
                    prop_assert!(name.len() <= MAX);
                    let split = split(&name);
                    prop_assert_eq!(split, Some((&**server, &*part(one))));
                    prop_assert!(names.insert(name));
                }
            }
        }

        #[test]
        fn an_address_leads_back(id: u128, slug in "\\PC{0,20}", address in "\\PC{0,30}") {
            let id = Uuid::from_u128(id);
            let server = part_of(id, &[(id, &slug)]);
            let outward = home(&server) + &address;
            prop_assert_eq!(split_address(&outward), Some((&*server, &*address)));
        }

        #[test]
        fn ids_that_begin_alike_are_told_apart(ids in proptest::collection::hash_set(0_u128..1000, 2..6)) {
            let parts = servers(ids.iter().map(|id| (Uuid::from_u128(*id), "a")));
            let names: HashSet<_> = parts.iter().map(|(_, part)| part).collect();
            prop_assert_eq!(names.len(), ids.len());
        }
    }
}
