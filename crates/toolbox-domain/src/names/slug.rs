//! Display name → slug.
//!
//! Written here rather than taken from a transliteration crate: those carry tables for every script (deunicode adds
//! 160 KB gzip to a wasm), and a slug only has to be recognised, never read back. Latin letters keep their base letter, everything
//! else separates words; a name in another script is shown as `tool-<id>`.

use super::{DisplayName, MAX_SLUG_CHARS};

/// What a name without a single Latin letter or digit is called.
const NAMELESS: &str = "tool";

/// Base letters of U+00C0..=U+017F; `?` where there are two.
const LATIN: &[u8; 0xC0] = b"aaaaaa?ceeeeiiiidnooooo-ouuuuy??aaaaaa?ceeeeiiiidnooooo-ouuuuy?yaaaaaaccccccccddddeeeeeeeee\
egggggggghhhhiiiiiiiiii??jjkkkllllllllllnnnnnnnnnoooooo??rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs";

/// Base letters of U+1E00..=U+1EFF; `?` where there are two.
const LATIN_ADDITIONAL: &[u8; 0x100] = b"aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooo\
pppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwyasss?daaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeeeee\
eeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy??vvyy";

/// Lower-case ASCII letters and digits with single `-` between words; 1 to 40 characters, `tool` when the name has
/// none of them. Different names may share a slug.
pub fn slug(name: &DisplayName) -> String {
    let mut slug = String::new();
    let mut gap = false;
    for c in name.as_str().chars().filter(|c| !is_combining_mark(*c)) {
        let (first, second) = base_letters(c);
        if first == b'-' {
            gap = !slug.is_empty();
            continue;
        }
        if gap {
            slug.push('-');
            gap = false;
        }
        slug.push(char::from(first));
        slug.extend(second.map(char::from));
        if slug.len() >= MAX_SLUG_CHARS {
            break;
        }
    }
    slug.truncate(MAX_SLUG_CHARS);
    if slug.ends_with('-') {
        slug.pop();
    }
    if slug.is_empty() {
        slug.push_str(NAMELESS);
    }
    slug
}

/// The marks of decomposed letters (`e` and an acute accent), which belong to the letter before them.
const fn is_combining_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36F}')
}

/// One or two lower-case ASCII letters or digits that stand for `c`; `-` when there are none.
fn base_letters(c: char) -> (u8, Option<u8>) {
    let base = match c {
        '\0'..='\x7F' => c as u8,
        'À'..='ſ' => LATIN[c as usize - 0xC0],
        '\u{1E00}'..='\u{1EFF}' => LATIN_ADDITIONAL[c as usize - 0x1E00],
        // Full-width forms are ASCII moved as a block.
        '！'..='～' => u8::try_from(c as u32 - 0xFEE0).unwrap_or(b'-'),
        _ => b'-',
    };
    if c.is_ascii() || base != b'?' {
        return if base.is_ascii_alphanumeric() {
            (base.to_ascii_lowercase(), None)
        } else {
            (b'-', None)
        };
    }
    match c {
        'Æ' | 'æ' => (b'a', Some(b'e')),
        'Œ' | 'œ' => (b'o', Some(b'e')),
        'Þ' | 'þ' => (b't', Some(b'h')),
        'Ĳ' | 'ĳ' => (b'i', Some(b'j')),
        'ß' | 'ẞ' => (b's', Some(b's')),
        'Ỻ' | 'ỻ' => (b'l', Some(b'l')),
        _ => (b'-', None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_read_like_their_names() {
        for (name, expected) in [
            (
                "Context7 MCP Server-1750278276605",
                "context7-mcp-server-1750278276605",
            ),
            ("404", "404"),
            ("--a__b..c--", "a-b-c"),
            ("a/b?c#d%e&f+g", "a-b-c-d-e-f-g"),
            ("Crème Brûlée", "creme-brulee"),
            ("Cre\u{300}me", "creme"),
            (
                "Straße Œuvre Þing Ærø Đà Nẵng",
                "strasse-oeuvre-thing-aero-da-nang",
            ),
            ("İstanbul Łódź Ĳssel", "istanbul-lodz-ijssel"),
            ("ＦＵＬＬ　ｗｉｄｔｈ？１２", "full-width-12"),
            ("2×3÷1", "2-3-1"),
            ("привет", "tool"),
            ("天気 v2", "v2"),
            ("🦀", "tool"),
            ("?", "tool"),
            ("!!!a", "a"),
        ] {
            let name = DisplayName::parse(name).unwrap();
            assert_eq!(slug(&name), expected, "{name}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters_and_never_end_in_a_dash() {
        for (name, expected) in [
            ("x".repeat(255), "x".repeat(40)),
            (format!("{} y", "x".repeat(39)), "x".repeat(39)),
            (
                format!("{}ß", "x".repeat(39)),
                format!("{}s", "x".repeat(39)),
            ),
        ] {
            assert_eq!(slug(&DisplayName::parse(&name).unwrap()), expected);
        }
    }
}
