//! Names: what a user calls an instance, what its container is called, and how a name travels in a URL.
//!
//! An instance is identified by its id. Its display name is text to show, kept byte for byte; its container name is
//! derived from both once. A name in a URL path is encoded exactly once ([`encode_segment`]) and decoded exactly
//! once ([`decode_segment`]); every name that [`DisplayName::parse`] accepts survives that unchanged.

mod slug;

use core::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use uuid::Uuid;

use crate::ids::{ToolInstanceId, ToolboxId};

pub use slug::slug;

/// Most characters (Unicode scalar values) of a display name.
pub const MAX_NAME_CHARS: usize = 255;

/// Most characters of a slug.
pub const MAX_SLUG_CHARS: usize = 40;

/// Most characters of a container name: a container name is a host name in its network as well.
pub const MAX_CONTAINER_NAME_CHARS: usize = 63;

/// The DNS name in the certificate of a toolbox's agent, by which the control plane verifies it. No public authority
/// may certify a name under `.invalid`, and no resolver knows one, so nobody else can answer to it.
pub fn agent_host(toolbox: ToolboxId) -> String {
    format!("{toolbox}.toolbox.invalid")
}

/// Why a text cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("give the tool a name")]
    Empty,
    /// More than [`MAX_NAME_CHARS`] characters.
    #[error("shorten the name to {MAX_NAME_CHARS} characters")]
    TooLong,
    /// Whitespace at the start or the end.
    #[error("remove the whitespace around the name")]
    OuterWhitespace,
    /// A control character, a line or a paragraph separator.
    #[error("remove control characters such as line breaks and tabs from the name")]
    ControlCharacters,
    /// A character that reorders the text around it, so that it reads as something else.
    #[error("remove bidirectional overrides and isolates from the name")]
    BidiControls,
    /// Only characters that show nothing.
    #[error("use at least one visible character in the name")]
    Invisible,
    /// Only dots: `.` and `..` are removed from URLs even when encoded.
    #[error("use at least one character that is not a dot in the name")]
    DotSegment,
    /// It reads as an id.
    #[error("choose a name that is not a UUID")]
    Uuid,
}

impl NameError {
    /// Stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "name_empty",
            Self::TooLong => "name_too_long",
            Self::OuterWhitespace => "name_has_outer_whitespace",
            Self::ControlCharacters => "name_has_control_characters",
            Self::BidiControls => "name_has_bidi_controls",
            Self::Invisible => "name_is_invisible",
            Self::DotSegment => "name_is_dot_segment",
            Self::Uuid => "name_is_uuid",
        }
    }
}

/// What a user calls an instance: 1 to 255 characters of any script, on one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DisplayName(String);

impl DisplayName {
    /// Takes the text as it is, without normalising it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.chars().nth(MAX_NAME_CHARS).is_some() {
            return Err(NameError::TooLong);
        }
        // Before whitespace: a trailing line break is better named as one.
        if text.contains(is_control) {
            return Err(NameError::ControlCharacters);
        }
        if text.contains(is_bidi_control) {
            return Err(NameError::BidiControls);
        }
        if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
            return Err(NameError::OuterWhitespace);
        }
        if text.chars().all(is_invisible) {
            return Err(NameError::Invisible);
        }
        if text.bytes().all(|b| b == b'.') {
            return Err(NameError::DotSegment);
        }
        if Uuid::try_parse(text).is_ok() {
            return Err(NameError::Uuid);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

const fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Characters that show nothing by themselves: spaces within, and Unicode's Default_Ignorable_Code_Point.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{206F}' | '\u{2800}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
            | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// The name of a container in Docker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName(String);

/// The text cannot be a container name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a container name: 2 to {MAX_CONTAINER_NAME_CHARS} of A-Z a-z 0-9 _ . -, the first a letter or digit"
)]
pub struct ContainerNameError;

impl ContainerName {
    /// `{slug}-{first 8 hex digits of the id}`: readable in `docker ps`, and distinct for ids that differ there.
    pub fn derive(name: &DisplayName, id: ToolInstanceId) -> Self {
        Self::join(name, &hex(id)[..8])
    }

    /// `{slug}-{all 32 hex digits of the id}`: distinct for all ids. For when Docker says that the short one belongs
    /// to another instance.
    pub fn derive_long(name: &DisplayName, id: ToolInstanceId) -> Self {
        Self::join(name, &hex(id))
    }

    /// A name that Docker accepts and that is no longer than a host name's label.
    pub fn parse(text: &str) -> Result<Self, ContainerNameError> {
        let rest = text.strip_prefix(|c: char| c.is_ascii_alphanumeric());
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match rest {
            Some(rest)
                if !rest.is_empty()
                    && text.len() <= MAX_CONTAINER_NAME_CHARS
                    && rest.chars().all(legal) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(ContainerNameError),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn join(name: &DisplayName, id: &str) -> Self {
        let mut text = slug(name);
        text.truncate(MAX_CONTAINER_NAME_CHARS - 1 - id.len());
        let slug = text.trim_end_matches('-').len();
        text.truncate(slug);
        text.push('-');
        text.push_str(id);
        Self(text)
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn hex(id: ToolInstanceId) -> String {
    id.as_uuid().as_simple().to_string()
}

/// Everything but RFC 3986's unreserved characters.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Encodes one path segment of a URL. Encode a name exactly once; what is encoded must not be encoded again.
///
/// A text of `.` or `..` only cannot be protected this way (URL parsers remove `%2e` segments too); display names
/// and ids are never that.
pub fn encode_segment(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The segment was not encoded properly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A `%` without two hexadecimal digits after it.
    #[error("encode \"%\" as \"%25\" in the path")]
    Percent,
    /// The bytes are not UTF-8.
    #[error("encode the path as UTF-8")]
    NotUtf8,
}

/// Decodes one path segment of a URL, exactly once: `%252F` is the text `%2F`. `+` is a plus sign.
pub fn decode_segment(segment: &str) -> Result<String, DecodeError> {
    let well_formed = segment.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    });
    if !well_formed {
        return Err(DecodeError::Percent);
    }
    match percent_decode_str(segment).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(DecodeError::NotUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_as_they_are() {
        let longest = "ü".repeat(255);
        for text in [
            "Context7 MCP Server-1750278276605",
            "404",
            "a/b?c#d%e&f+g..%2F",
            "...x",
            "it's \"quoted\"",
            "مرحبا بالعالم",
            "👩‍👩‍👧 family",
            "e\u{301}",
            &longest,
        ] {
            assert_eq!(DisplayName::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_code() {
        let too_long = "x".repeat(256);
        for (text, code) in [
            ("", "name_empty"),
            (too_long.as_str(), "name_too_long"),
            (" x", "name_has_outer_whitespace"),
            ("x\u{3000}", "name_has_outer_whitespace"),
            ("\u{a0}", "name_has_outer_whitespace"),
            ("a\nb", "name_has_control_characters"),
            ("a\n", "name_has_control_characters"),
            ("a\tb", "name_has_control_characters"),
            ("a\0b", "name_has_control_characters"),
            ("a\u{85}b", "name_has_control_characters"),
            ("a\u{2028}b", "name_has_control_characters"),
            ("a\u{202e}b", "name_has_bidi_controls"),
            ("a\u{2069}b", "name_has_bidi_controls"),
            ("\u{200b}\u{feff}", "name_is_invisible"),
            (".", "name_is_dot_segment"),
            ("..", "name_is_dot_segment"),
            ("....", "name_is_dot_segment"),
            ("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "name_is_uuid"),
            ("6F9619FF8B864D01B42D00CF4FC964FF", "name_is_uuid"),
            ("{6f9619ff-8b86-4d01-b42d-00cf4fc964ff}", "name_is_uuid"),
            (
                "urn:uuid:6f9619ff-8b86-4d01-b42d-00cf4fc964ff",
                "name_is_uuid",
            ),
        ] {
            assert_eq!(
                DisplayName::parse(text).unwrap_err().code(),
                code,
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_reported_name_becomes_a_legal_container_name() {
        let name = DisplayName::parse("Context7 MCP Server-1750278276605").unwrap();
        let id = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".parse().unwrap();
        let short = ContainerName::derive(&name, id);
        assert_eq!(short.as_str(), "context7-mcp-server-1750278276605-6f9619ff");
        let long = ContainerName::derive_long(&name, id);
        assert_eq!(
            long.as_str(),
            "context7-mcp-server-1750278276-6f9619ff8b864d01b42d00cf4fc964ff"
        );
        assert_eq!(long.as_str().len(), MAX_CONTAINER_NAME_CHARS);
    }

    #[test]
    fn container_names_parse_as_docker_reads_them() {
        for good in ["a1", "A_b.c-d", &"x".repeat(63)] {
            assert_eq!(ContainerName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a",
            "-a",
            "_a",
            ".a",
            "a b",
            "a/b",
            "ä1",
            "aä",
            "a\n",
            &"x".repeat(64),
        ] {
            assert_eq!(
                ContainerName::parse(bad),
                Err(ContainerNameError),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn segments_are_decoded_once_and_strictly() {
        assert_eq!(encode_segment("a b/c%2F~.é"), "a%20b%2Fc%252F~.%C3%A9");
        assert_eq!(decode_segment("a%20b%2Fc%252F+").unwrap(), "a b/c%2F+");
        for bad in ["%", "%2", "%zz", "a%2", "%+1", "%%32", "x%4"] {
            assert_eq!(decode_segment(bad), Err(DecodeError::Percent), "{bad:?}");
        }
        for bad in ["%ff", "%C3", "%ED%A0%80", "%C0%AF"] {
            assert_eq!(decode_segment(bad), Err(DecodeError::NotUtf8), "{bad:?}");
        }
    }

    #[test]
    fn an_agent_has_a_name_that_nobody_can_be_certified_for() {
        let toolbox = ToolboxId::new(Uuid::from_u128(7));
        assert_eq!(
            agent_host(toolbox),
            "00000000-0000-0000-0000-000000000007.toolbox.invalid"
        );
    }
}
