//! Texts of a machine and of what runs on it. Nobody vouches for them, and they end in rows, in logs and on screens: none
//! has control characters or is long, whatever was sent. What may not stay becomes U+FFFD.

use serde::{Deserialize, Deserializer};

/// Longest line, in characters.
const MAX_LINE: usize = 1000;
/// Longest text of several lines, in characters.
const MAX_TEXT: usize = 4000;
/// Most lines of a list.
const MAX_LINES: usize = 200;

/// A text of one line.
pub(crate) fn line<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| clean(text, MAX_LINE, ""))
}

/// A text of one line, or null.
pub(crate) fn optional_line<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(|text| clean(text, MAX_LINE, "")))
}

/// Texts of one line each.
pub(crate) fn lines<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let mut texts = Vec::<String>::deserialize(deserializer)?;
    texts.truncate(MAX_LINES);
    let texts = texts.into_iter();
    Ok(texts.map(|text| clean(text, MAX_LINE, "")).collect())
}

/// A text that may have lines, such as the end of a log.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(|text| clean(text, MAX_TEXT, "\n\t"))
}

fn clean(text: String, most: usize, allowed: &str) -> String {
    let stays = |c: char| allowed.contains(c) || !is_invisible(c);
    if text.len() <= most && text.chars().all(stays) {
        return text;
    }
    let kept = text.chars().take(most);
    kept.map(|c| if stays(c) { c } else { '\u{fffd}' })
        .collect()
}

/// Controls of terminals, and those that change the direction or the lines of a text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::dtma::{Reason, ToolView};
    use crate::heartbeat::InstanceReport;
    use crate::mcp::McpHealth;
    use crate::problem::Problem;

    use super::*;

    const EVIL: &str = "a\u{0}b\u{1b}[31mc\u{9b}d\r\ne\tf\u{202e}g\u{61c}h";

    #[test]
    fn what_is_harmless_stays_as_it_is() {
        for text in ["", "Größe 3 × 4 – 日本語 🙂", "x-1_2.3"] {
            assert_eq!(clean(text.to_owned(), MAX_LINE, ""), text);
        }
        let long = clean("é".repeat(MAX_LINE + 1), MAX_LINE, "");
        assert_eq!(long.chars().count(), MAX_LINE);
        let kept = clean(EVIL.to_owned(), MAX_TEXT, "\n\t");
        assert_eq!(
            kept,
            "a\u{fffd}b\u{fffd}[31mc\u{fffd}d\u{fffd}\ne\tf\u{fffd}g\u{fffd}h"
        );
    }

    /// Every text in a JSON value.
    fn texts(value: &serde_json::Value) -> Vec<&str> {
        match value {
            serde_json::Value::String(text) => vec![text],
            serde_json::Value::Array(items) => items.iter().flat_map(texts).collect(),
            serde_json::Value::Object(fields) => fields.values().flat_map(texts).collect(),
            _ => Vec::new(),
        }
    }

    fn assert_clean<T: serde::de::DeserializeOwned + serde::Serialize>(sent: serde_json::Value) {
        let read: T = serde_json::from_value(sent).unwrap();
        let kept = serde_json::to_value(read).unwrap();
        for text in texts(&kept) {
            let is_clean = |c| c == '\n' || c == '\t' || !is_invisible(c);
            assert!(text.chars().all(is_clean), "{text:?} of {kept}");
            assert!(text.chars().count() <= MAX_TEXT);
        }
    }

    #[test]
    fn no_text_of_a_machine_keeps_control_characters_or_its_length() {
        let id = "22222222-2222-4222-8222-222222222222";
        let evil = format!("{EVIL}{}", "x".repeat(5000));
        let reason = json!({"code": evil, "message": evil});
        let ports = json!([{"container_port": 1, "host_ip": evil, "host_port": 2}]);
        let mcp = json!({
            "state": "healthy", "evidence": evil, "since": evil, "checked_at": evil, "last_success_at": evil,
            "protocol_version": evil, "server_name": evil, "server_version": evil, "tools_fingerprint": evil,
            "tools_changed": {"from_fingerprint": evil, "added": vec![&evil; 500], "removed": [evil], "changed": [evil]},
        });
        assert_clean::<Reason>(reason.clone());
        assert_clean::<McpHealth>(mcp.clone());
        assert_clean::<InstanceReport>(json!({
            "id": id, "generation": 1, "phase": "error", "settled": true, "reason": reason, "container_id": evil,
            "image_digest": evil, "registry_digest": evil, "ports": ports, "mcp": mcp, "observed_at": evil,
        }));
        assert_clean::<ToolView>(json!({
            "id": id, "name": evil, "container_name": evil, "generation": 1, "desired": "running", "phase": "error",
            "settled": true, "reason": reason, "progress": {"stage": evil, "current_bytes": null, "total_bytes": null,
            "layers_done": 0, "layers_total": 0}, "container_id": evil, "image": evil, "image_digest": evil,
            "registry_digest": evil, "ports": ports, "started_at": evil, "finished_at": evil, "updated_at": evil,
        }));
        assert_clean::<Problem>(json!({
            "type": evil, "title": evil, "status": 409, "detail": evil, "code": evil, "retryable": false,
            "errors": [{"field": evil, "code": evil, "message": evil}],
        }));
        let changed: crate::mcp::ToolsChanged =
            serde_json::from_value(mcp["tools_changed"].clone()).unwrap();
        assert_eq!(changed.added.len(), MAX_LINES);
    }
}
