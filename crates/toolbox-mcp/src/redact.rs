//! A server's output as it may be shown: one short line, without the secrets that the server was given.

use serde_json::Value;

/// Longest text that is shown, in bytes.
const MAX_SHOWN: usize = 300;
/// Shorter values, such as `1` or `8080`, occur in ordinary text and are not hidden.
const MIN_SECRET: usize = 6;

/// Texts that must not be shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Redactor {
    // Longest first, so that no part of a long one stays when a short one is within it.
    secrets: Vec<String>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").finish_non_exhaustive()
    }
}

impl Redactor {
    /// Hides each of these texts, line by line.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut secrets: Vec<_> = secrets
            .into_iter()
            .flat_map(|secret| {
                secret
                    .as_ref()
                    .lines()
                    .map(|line| line.trim().to_owned())
                    .collect::<Vec<_>>()
            })
            .filter(|line| line.len() >= MIN_SECRET)
            .collect();
        secrets.sort_unstable_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// `text` on one line, cut, and without secrets.
    pub fn clean(&self, text: &str) -> String {
        let mut line: String = self
            .hide(text)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let cut = line.floor_char_boundary(MAX_SHOWN);
        if cut < line.len() {
            line.truncate(cut);
            line.push('…');
        }
        line.trim().to_owned()
    }

    /// Removes secrets from every text of a value.
    pub fn hide_in(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hide(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_in(item)),
            Value::Object(fields) => {
                let hidden = std::mem::take(fields).into_iter().map(|(name, mut field)| {
                    self.hide_in(&mut field);
                    (self.hide(&name), field)
                });
                *fields = hidden.collect();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), "[secret]");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays_on_one_line() {
        let redactor = Redactor::new(["abcdef", "abcdefghij", "1", "first line\nsecond line"]);
        assert_eq!(
            redactor.clean("1 abcdefghij\x1b[31m\nabcdef second line"),
            "1 [secret] [31m [secret] [secret]"
        );
        let long = redactor.clean(&"ä".repeat(400));
        assert!(long.len() <= MAX_SHOWN + 3 && long.ends_with('…'));
        assert!(!format!("{redactor:?}").contains("abc"));
    }

    #[test]
    fn secrets_go_from_every_part_of_a_value_the_names_of_fields_too() {
        let redactor = Redactor::new(["abcdef"]);
        let mut value =
            json!({"x-abcdef": [{"abcdef": "is abcdef"}, 1, null], "plain": {"deep": "abcdef"}});
        redactor.hide_in(&mut value);
        assert_eq!(
            value,
            json!({"x-[secret]": [{"[secret]": "is [secret]"}, 1, null], "plain": {"deep": "[secret]"}})
        );
    }
}
