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
    /// The era of the protocol that it speaks.
    #[serde(default)]
    pub era: KnownEra,
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
        let era = KnownEra {
            image: Some("sha256:1".to_owned()),
            only: Some(Only::Sessions),
        };
        for tools in [None, before.tools] {
            let memory = Memory {
                tools,
                era: era.clone(),
            };
            let text = serde_json::to_string(&memory).unwrap();
            assert_eq!(serde_json::from_str::<Memory>(&text).unwrap(), memory);
        }
    }
}
