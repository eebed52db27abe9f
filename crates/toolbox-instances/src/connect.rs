//! What hosts of MCP clients are told of a server: commands, entries of files and links, as each host documents them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use toolbox_api::mcp_access::{McpHost, McpHostKind};
use toolbox_domain::ids::{ToolInstanceId, ToolboxId};
use toolbox_domain::names::encode_segment;

/// Stands where the token belongs, as long as it is not known; also the variable that holds it.
const UNKNOWN: &str = "TOOLBOX_MCP_TOKEN";

/// The public URL of an instance's server, in the project at `public_url`.
pub fn mcp_url(public_url: &str, instance: ToolInstanceId) -> String {
    format!("{public_url}/functions/v1/mcp/{instance}")
}

/// The public URL of all servers of a toolbox as one.
pub fn mcp_toolbox_url(public_url: &str, toolbox: ToolboxId) -> String {
    format!("{public_url}/functions/v1/mcp/toolbox/{toolbox}")
}

/// What to paste into which host for the server at `url`. `name` is made of lower-case letters, digits and hyphens.
pub fn hosts(name: &str, url: &str, token: Option<&str>) -> Vec<McpHost> {
    let token = token.unwrap_or(UNKNOWN);
    let bearer = format!("Bearer {token}");
    let headers = json!({ "Authorization": bearer });
    let host = |host: &str, kind, text: String| McpHost {
        host: host.to_owned(),
        kind,
        text,
    };
    let servers = |server: &Value| json!({ "mcpServers": { name: server } }).to_string();
    let vscode = json!({ "name": name, "type": "http", "url": url, "headers": headers });
    let cursor = json!({ "url": url, "headers": headers });
    let remote = json!({
        "command": "npx",
        // Some hosts split arguments at spaces, so the value with one is in a variable.
        "args": ["mcp-remote", url, "--header", "Authorization:${TOOLBOX_MCP_AUTHORIZATION}"],
        "env": { "TOOLBOX_MCP_AUTHORIZATION": bearer }
    });
    vec![
        host(
            "claude-code",
            McpHostKind::Command,
            format!(
                "claude mcp add --transport http {name} {url} --header \"Authorization: {bearer}\""
            ),
        ),
        host(
            "claude-code",
            McpHostKind::File,
            servers(&json!({ "type": "http", "url": url, "headers": headers })),
        ),
        host(
            "cursor",
            McpHostKind::Link,
            format!(
                "cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={}",
                encode_segment(&STANDARD.encode(cursor.to_string()))
            ),
        ),
        host("cursor", McpHostKind::File, servers(&cursor)),
        host(
            "vscode",
            McpHostKind::Link,
            format!("vscode:mcp/install?{}", encode_segment(&vscode.to_string())),
        ),
        host(
            "vscode",
            McpHostKind::Command,
            format!("code --add-mcp '{vscode}'"),
        ),
        host(
            "gemini-cli",
            McpHostKind::Command,
            format!(
                "gemini mcp add --transport http --header \"Authorization: {bearer}\" {name} {url}"
            ),
        ),
        host(
            "codex",
            McpHostKind::File,
            format!(
                "[mcp_servers.{name}]\nurl = \"{url}\"\nbearer_token_env_var = \"{UNKNOWN}\"\n"
            ),
        ),
        host("mcp-remote", McpHostKind::File, servers(&remote)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_is_told_the_url_and_the_token() {
        let id = "22222222-2222-4222-8222-222222222222".parse().unwrap();
        let url = mcp_url("https://ref.supabase.co", id);
        assert_eq!(
            url,
            "https://ref.supabase.co/functions/v1/mcp/22222222-2222-4222-8222-222222222222"
        );
        let told = hosts("notes-1", &url, Some("tbx_1"));
        for of in &told {
            let mut text = of.text.clone();
            if let Some((_, config)) = text.split_once("config=") {
                let config = toolbox_domain::names::decode_segment(config).unwrap();
                text = String::from_utf8(STANDARD.decode(config).unwrap()).unwrap();
            } else if of.kind == McpHostKind::Link {
                text = toolbox_domain::names::decode_segment(&text).unwrap();
            }
            assert!(text.contains(&url), "{text}");
            // Codex reads it from a variable.
            assert_eq!(text.contains("tbx_1"), of.host != "codex", "{text}");
            if of.kind == McpHostKind::File && of.host != "codex" {
                assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
            }
            assert!(!format!("{of:?}").contains("tbx_1"));
        }
        assert!(
            hosts("x", &url, None)[0]
                .text
                .contains("Bearer TOOLBOX_MCP_TOKEN")
        );
    }
}
