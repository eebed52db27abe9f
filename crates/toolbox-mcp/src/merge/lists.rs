//! What servers list, and which entry of a list a request is about.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{names, outward};
use crate::lenient;
use crate::rpc::{Fields, Message};
use crate::tools::Page;
use crate::wire::body::Held;

/// The method by which a client asks what may stand in an argument.
pub(super) const COMPLETE: &str = "completion/complete";

/// A list that each server has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Tools.
    Tools,
    /// Prompts.
    Prompts,
    /// Resources.
    Resources,
    /// Templates of addresses of resources.
    Templates,
}

impl List {
    /// The method that answers it.
    pub(super) const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The field of the answer with its entries.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// Finds the entries in an answer.
    pub(super) fn page(self, result: &str) -> Result<Page<'_>, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wire<'a> {
            #[serde(borrow)]
            tools: Option<&'a RawValue>,
            #[serde(borrow)]
            prompts: Option<&'a RawValue>,
            #[serde(borrow)]
            resources: Option<&'a RawValue>,
            #[serde(borrow)]
            resource_templates: Option<&'a RawValue>,
            #[serde(borrow)]
            next_cursor: Option<&'a RawValue>,
        }
        let wire: Option<Wire<'_>> = serde_json::from_str(result).ok();
        let page = wire.and_then(|wire| {
            let entries = match self {
                Self::Tools => wire.tools,
                Self::Prompts => wire.prompts,
                Self::Resources => wire.resources,
                Self::Templates => wire.resource_templates,
            };
            Some(Page {
                entries: serde_json::from_str(entries?.get()).ok()?,
                next: wire.next_cursor.and_then(|next| lenient::read(next.get())),
            })
        });
        page.ok_or_else(|| format!("it answered {} with something else", self.method()))
    }

    /// What servers that have it say of themselves.
    pub(super) const fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }

    /// What an entry is.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Prompts => "prompt",
            Self::Resources | Self::Templates => "resource",
        }
    }

    /// The parameter that names an entry.
    pub(super) const fn parameter(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources | Self::Templates => "uri",
        }
    }

    /// How an entry is called beside those of other servers.
    pub(super) fn outward(self, server: &str, name: &str) -> String {
        match self {
            Self::Tools | Self::Prompts => names::tool(server, name),
            Self::Resources | Self::Templates => names::home(server) + name,
        }
    }

    /// The server's part of such a name, and the entry's.
    pub(super) fn split(self, name: &str) -> Option<(&str, &str)> {
        match self {
            Self::Tools | Self::Prompts => names::split(name),
            Self::Resources | Self::Templates => names::split_address(name),
        }
    }
}

/// Entries of one server's list.
pub(super) struct Entries {
    pub(super) entries: Vec<Entry>,
    /// Memory for them.
    pub(super) held: Held,
}

/// An entry around what it is called by.
pub(super) struct Entry {
    pub(super) name: String,
    before: String,
    after: String,
}

impl Entry {
    /// What has no name, or several, is left out.
    pub(super) fn read(list: List, entry: &RawValue) -> Option<Self> {
        #[derive(Deserialize)]
        struct Named<'a> {
            #[serde(borrow)]
            name: &'a RawValue,
        }
        #[derive(Deserialize)]
        struct Placed<'a> {
            #[serde(borrow)]
            uri: &'a RawValue,
        }
        #[derive(Deserialize)]
        struct Patterned<'a> {
            #[serde(borrow, rename = "uriTemplate")]
            uri: &'a RawValue,
        }
        let text = entry.get();
        let name = match list {
            List::Tools | List::Prompts => serde_json::from_str::<Named<'_>>(text).ok()?.name,
            List::Resources => serde_json::from_str::<Placed<'_>>(text).ok()?.uri,
            List::Templates => serde_json::from_str::<Patterned<'_>>(text).ok()?.uri,
        };
        let (before, after) = outward::around(text, name);
        Some(Self {
            name: lenient::read(name.get())?,
            before: in_one_line(before),
            after: in_one_line(after),
        })
    }

    /// The entry with another name.
    pub(super) fn named(&self, name: &str) -> String {
        format!("{}{}{}", self.before, Value::from(name), self.after)
    }

    /// What it takes in memory, nearly.
    pub(super) const fn bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.before.len() + self.after.len()
    }
}

/// The list of the entry that a request is about, and how the client calls it.
pub(super) fn asked(message: &Message, fields: &Fields) -> Option<(List, String)> {
    #[derive(Deserialize)]
    struct Params {
        #[serde(rename = "ref")]
        reference: Reference,
    }
    #[derive(Deserialize)]
    #[serde(tag = "type")]
    enum Reference {
        #[serde(rename = "ref/prompt")]
        Prompt { name: String },
        #[serde(rename = "ref/resource")]
        Resource { uri: String },
    }
    match &*message.method {
        "tools/call" => Some((List::Tools, message.text(fields.name.as_ref())?)),
        "prompts/get" => Some((List::Prompts, message.text(fields.name.as_ref())?)),
        "resources/read" => Some((List::Resources, message.text(fields.uri.as_ref())?)),
        COMPLETE => {
            let params: Params = lenient::read(message.raw(message.params.as_ref()?))?;
            Some(match params.reference {
                Reference::Prompt { name } => (List::Prompts, name),
                Reference::Resource { uri } => (List::Templates, uri),
            })
        }
        _ => None,
    }
}

/// JSON without line breaks, which stand between values only: events have none.
fn in_one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}
