//! What is worth remembering of a server when the program starts again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::tools::Toolset;

/// What was learned of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Its tools, as it listed them last.
    #[serde(flatten)]
    pub tools: Option<Arc<Toolset>>,
    /// Fingerprint of the tools that it listed first of all. None before that, and where an agent heard them that kept no such
    /// thing: nobody knows then which were first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// The era of the protocol that it speaks.
    #[serde(default)]
    pub era: KnownEra,
}

impl Memory {
    /// Takes note of the tools that it lists now.
    pub fn heard(&mut self, tools: Option<&Arc<Toolset>>) {
        if self.tools.is_none() && self.first.is_none() {
            self.first = tools.map(|tools| tools.fingerprint().to_owned());
        }
        self.tools = tools.cloned();
    }
}

/// What was learned of the era of the protocol that an image speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownEra {
    /// Digest of the image; none if the server is no image.
    pub image: Option<String>,
    /// The only era it speaks; none if it speaks both, or it is not known.
    pub only: Option<Only>,
}

/// The only era that a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Only {
    /// The one that begins with `initialize`.
    Sessions,
    /// The one of stateless requests.
    Stateless,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_written_is_read_and_so_is_what_an_agent_of_before_wrote() {
        let before: Memory = serde_json::from_value(json!({"tools": {"a": "digest"}})).unwrap();
        assert_eq!(before.tools.as_ref().map(|tools| tools.len()), Some(1));
        assert_eq!(before.era, KnownEra::default());
        let mut later = before.clone();
        later.heard(Some(&Arc::default()));
        assert_eq!(later.first, None, "it may have been the second list");
        let era = KnownEra {
            image: Some("sha256:1".to_owned()),
            only: Some(Only::Sessions),
        };
        for tools in [None, before.tools] {
            let memory = Memory {
                first: tools.as_ref().map(|tools| tools.fingerprint().to_owned()),
                tools,
                era: era.clone(),
            };
            let text = serde_json::to_string(&memory).unwrap();
            assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
        }
    }

    #[test]
    fn what_was_listed_first_stays_whatever_is_listed_then() {
        let one: Arc<Toolset> = serde_json::from_value(json!({"tools": {"a": "digest"}})).unwrap();
        let mut memory = Memory::default();
        memory.heard(None);
        assert_eq!(memory.first, None);
        memory.heard(Some(&one));
        memory.heard(Some(&Arc::default()));
        assert_eq!(memory.first.as_deref(), Some(one.fingerprint()));
        assert_eq!(memory.tools, Some(Arc::default()));
    }
}
