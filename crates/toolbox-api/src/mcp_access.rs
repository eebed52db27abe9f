//! Access to MCP servers from anywhere: what owners give, and what the function `mcp` tells the agent of a caller.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId, UserId};
use toolbox_domain::names::{decode_segment, encode_segment};
use uuid::Uuid;

/// Most tools that one access names.
pub const MAX_TOOLS: usize = 100;
/// Longest name of a tool there, in bytes.
pub const MAX_TOOL_NAME: usize = 128;
/// Most bytes of all names of tools of one access.
pub const MAX_TOOL_NAMES: usize = 8192;
/// Longest time that an access may be given for, in seconds: ten years.
pub const MAX_TTL_SECONDS: u64 = 10 * 365 * 24 * 3600;
/// Requests of one user or token to one machine in a minute; an access may allow fewer.
pub const REQUESTS_A_MINUTE: u32 = 600;
/// Requests of one user or token to one machine under way at once, streams too; an access may allow fewer.
pub const REQUESTS_AT_ONCE: u32 = 64;

/// Body of `POST /{toolboxId}/mcp-access`: who may use the MCP servers of a toolbox. Without `userId` and `clientId` it makes a token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantMcpAccessRequest {
    /// A name by which you know it again.
    pub name: String,
    /// The one instance that it opens, by id; every MCP server of the toolbox without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub instance_id: Option<ToolInstanceId>,
    /// The user of this project to share with; they sign in as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub user_id: Option<UserId>,
    /// The application to let in for yourself, by the client id that sign-in gave it; to a server of yours or one shared with you.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The tools that may be used, 100 at most; all without a list. Resources and prompts of the servers are not limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// Only tools that their server calls read-only (`readOnlyHint`) may be used.
    #[serde(default)]
    pub read_only: bool,
    /// After so many seconds it ends; without it, when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// So many requests a minute, 1 to 600; 600 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// So many requests at once, 1 to 64; 64 without it. A stream on which a client listens is one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u32>,
}

/// An access to MCP servers. Times are RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpAccessView {
    /// Names it when it is revoked.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub id: Uuid,
    /// The toolbox.
    #[serde(rename(deserialize = "account_tool_environment_id"))]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: ToolboxId,
    /// The one instance; every MCP server of the toolbox without one.
    #[serde(rename(deserialize = "account_tool_instance_id"))]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub instance_id: Option<ToolInstanceId>,
    /// Its name.
    pub name: String,
    /// The user it is shared with; none for a token.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = "uuid"))]
    pub user_id: Option<UserId>,
    /// The application that acts for that user; none for the user.
    pub client_id: Option<String>,
    /// The tools that may be used; all without a list.
    pub allowed_tools: Option<Vec<String>>,
    /// Only tools that their server calls read-only may be used.
    pub read_only: bool,
    /// Requests that may be made in a minute; as many as of anybody without it.
    pub requests_per_minute: Option<u32>,
    /// Requests that may be under way at once; as many as of anybody without it.
    pub concurrent_requests: Option<u32>,
    /// When it ends.
    pub expires_at: Option<String>,
    /// When it was revoked; from then on it opens nothing.
    pub revoked_at: Option<String>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<String>,
    /// What the client that used it then calls itself.
    pub last_client: Option<String>,
    /// When it was given.
    pub created_at: String,
}

/// Answer of `POST /{toolboxId}/mcp-access`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GrantMcpAccessResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// What was given.
    pub access: McpAccessView,
    /// The token, a secret, shown this once; none for a user or an application.
    pub token: Option<String>,
    /// The public URL of the one instance, or of the whole toolbox; each instance of a toolbox has one of its own, too.
    pub url: Option<String>,
    /// What to paste into which host, with the token.
    pub hosts: Vec<McpHost>,
    /// The request.
    pub request_id: String,
}

impl std::fmt::Debug for GrantMcpAccessResponse {
    /// Leaves out the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrantMcpAccessResponse")
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}

/// Answer of `GET /{toolboxId}/mcp`: what MCP clients need to use every MCP server of a toolbox by one URL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpToolboxResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// The URL, for clients anywhere; `POST /{toolboxId}/mcp-access` gives tokens for it.
    pub public_url: String,
    /// What to paste into which host for that URL, with sign-in and with a token. `TOOLBOX_MCP_TOKEN` stands where the token belongs.
    pub hosts: Vec<McpHost>,
    /// The request.
    pub request_id: String,
}

/// Answer of `GET /{toolboxId}/mcp-access`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListMcpAccessResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// Newest first, also what is over; 1000 at most.
    pub access: Vec<McpAccessView>,
    /// The request.
    pub request_id: String,
}

/// An MCP server that a user may use, and may let applications use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpServerView {
    /// The toolbox.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub toolbox_id: ToolboxId,
    /// Its name.
    pub toolbox: String,
    /// The instance.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub instance_id: ToolInstanceId,
    /// Its name.
    pub name: String,
    /// The public URL.
    #[serde(default)]
    pub url: String,
    /// The toolbox is the caller's; otherwise the server is shared with them.
    pub is_own: bool,
    /// The tools that are shared; all without a list.
    pub allowed_tools: Option<Vec<String>>,
    /// Only tools that the server calls read-only are shared.
    pub read_only: bool,
    /// When the share ends.
    pub expires_at: Option<String>,
}

/// Answer of `GET /mcp-servers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListMcpServersResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// Those of the caller's toolboxes, then those shared with them.
    pub servers: Vec<McpServerView>,
    /// The request.
    pub request_id: String,
}

/// Answer of `DELETE /mcp-clients/{clientId}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevokeMcpClientResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// How many accesses of the application open nothing any more.
    pub ended: u32,
    /// The request.
    pub request_id: String,
}

/// Answer of `DELETE /{toolboxId}/mcp-access/{accessId}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevokeMcpAccessResponse {
    /// Always true; errors have the envelope.
    pub success: bool,
    /// What opens nothing any more.
    pub access: McpAccessView,
    /// The request.
    pub request_id: String,
}

/// How one host of MCP clients is told of a server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct McpHost {
    /// The host, such as `claude-code`.
    pub host: String,
    /// What `text` is.
    pub kind: McpHostKind,
    /// How the client proves who it acts for.
    pub auth: McpHostAuth,
    /// What to run, to paste, or to open. Where no token is known it says `TOOLBOX_MCP_TOKEN`.
    pub text: String,
}

impl std::fmt::Debug for McpHost {
    /// Leaves out the text, which may hold a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("McpHost")
            .field("host", &self.host)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// How a client proves who it acts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum McpHostAuth {
    /// Its user signs in in a browser and lets it in.
    Oauth,
    /// By a token that it is given.
    Token,
}

/// What a host is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum McpHostKind {
    /// A command of a shell.
    Command,
    /// An entry of the file that the host reads.
    File,
    /// A link that the host opens.
    Link,
    /// A URL to paste where the host asks for one.
    Url,
}

/// The header by which the function `mcp` tells an agent who calls and what they may do.
pub const CALLER_HEADER: &str = "x-toolbox-mcp-caller";

/// The header by which it tells after how many seconds a stream of events has to end. A call that takes longer goes on in a
/// stream that the client asks for then. Without the header the agent ends nothing; an agent that does not know it refuses what
/// [`McpCaller`] says today.
pub const STREAM_HEADER: &str = "x-toolbox-mcp-stream-seconds";

/// Who calls an MCP server through the control plane, and which tools they may use. Each field holds callers to something, so an
/// agent refuses what it does not know, and the control plane says then that the agent is too old. A field that came later is left
/// out where it says nothing: earlier agents go on with all callers that it is not about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpCaller {
    /// Who is counted: `access:` and the id of a token; or `user:` and the id of a user, with `:` and its client id for an
    /// application of theirs.
    pub who: String,
    /// The tools that may be used; all without a list.
    pub tools: Option<Vec<String>>,
    /// Only tools that the server calls read-only may be used.
    pub read_only: bool,
    /// What the client calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// On the URL of a whole toolbox: the servers, each once, and what may be used of them. `tools` and `read_only` say nothing
    /// there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<McpGrant>,
    /// Limits of what they were given. Each counts by itself, beside those that hold for anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<McpLimit>,
    /// The fingerprints of the tools that owners accepted, by server. One that lists others is held back. An agent of before,
    /// which would not, does not know the field, and refuses the caller.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<ToolInstanceId, String>,
}

/// How much may be asked by way of one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpLimit {
    /// The access.
    pub access: Uuid,
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Requests under way at once.
    pub concurrent_requests: Option<u32>,
}

/// What a caller may use of some servers of a toolbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct McpGrant {
    /// The servers.
    pub instances: Vec<ToolInstanceId>,
    /// The tools of each that may be used; all without a list.
    pub tools: Option<Vec<String>>,
    /// Only tools that their server calls read-only may be used.
    pub read_only: bool,
}

impl McpCaller {
    /// The token or the user that is counted: all applications of a user together.
    pub fn counted(&self) -> &str {
        let user = |rest: &str| rest.split_once(':').map(|(id, _)| "user:".len() + id.len());
        let end = self.who.strip_prefix("user:").and_then(user);
        end.and_then(|end| self.who.get(..end)).unwrap_or(&self.who)
    }

    /// As the value of [`CALLER_HEADER`]: JSON, percent-encoded.
    pub fn to_header(&self) -> String {
        encode_segment(&serde_json::to_string(self).unwrap_or_default())
    }

    /// Reads such a value. Nothing is let in by one that cannot be read.
    pub fn from_header(value: &str) -> Option<Self> {
        serde_json::from_str(&decode_segment(value).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "22222222-2222-4222-8222-222222222222";

    #[test]
    fn a_caller_passes_a_header_whatever_tools_are_called() {
        for tools in [
            None,
            Some(vec![]),
            Some(vec!["a".to_owned(), "ü\n\"%41\u{1F600}".to_owned()]),
        ] {
            let caller = McpCaller {
                who: "user:1".to_owned(),
                tools: tools.clone(),
                read_only: true,
                client: Some("claude-code/2 (cli)".to_owned()),
                grants: vec![McpGrant {
                    instances: vec![ID.parse().unwrap()],
                    tools,
                    read_only: false,
                }],
                limits: vec![McpLimit {
                    access: Uuid::nil(),
                    requests_per_minute: Some(3),
                    concurrent_requests: None,
                }],
                pins: BTreeMap::from([(ID.parse().unwrap(), "ab".repeat(32))]),
            };
            let header = caller.to_header();
            assert!(header.bytes().all(|b| b.is_ascii_graphic()), "{header}");
            assert_eq!(McpCaller::from_header(&header), Some(caller));
        }
        for value in ["", "{}", "%", "null", "%7B%22who%22%3A%22x%22%7D"] {
            assert_eq!(McpCaller::from_header(value), None, "{value}");
        }
    }

    /// What the first agents that take callers know.
    const FIRST: &str = r#"{"who":"user:1","tools":["a"],"read_only":false,"client":"x/1"}"#;

    #[test]
    fn earlier_control_planes_are_understood_and_earlier_agents_are_told_nothing_new_unasked() {
        let header = encode_segment(FIRST);
        let caller = McpCaller::from_header(&header).unwrap();
        assert_eq!(caller.to_header(), header);
        let later = encode_segment(&FIRST.replace('{', r#"{"later":1,"#));
        assert_eq!(McpCaller::from_header(&later), None, "it may be a bound");
    }

    #[test]
    fn the_applications_of_a_user_are_counted_together() {
        for (who, counted) in [
            ("access:1", "access:1"),
            ("user:1", "user:1"),
            ("user:1:chat", "user:1"),
            ("user:1:a:b", "user:1"),
        ] {
            let caller = McpCaller {
                who: who.to_owned(),
                ..McpCaller::from_header(&encode_segment(FIRST)).unwrap()
            };
            assert_eq!(caller.counted(), counted, "{who}");
        }
    }
}
