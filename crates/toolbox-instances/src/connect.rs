//! What hosts of MCP clients are told of a server: commands, entries of files and links, as each host documents them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use toolbox_api::mcp_access::{McpHost, McpHostAuth, McpHostKind};
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

/// A name for all servers of a toolbox as one.
pub fn toolbox_name(toolbox: ToolboxId) -> String {
    let id = toolbox.to_string();
    format!("toolbox-{}", id.get(..8).unwrap_or(&id))
}

/// What to paste into which host for the server at `url`, for users who sign in. `name` is made of lower-case letters, digits and
/// hyphens.
pub fn oauth_hosts(name: &str, url: &str) -> Vec<McpHost> {
    let remote = json!({ "command": "npx", "args": ["mcp-remote", url] });
    let codex = format!("[mcp_servers.{name}]\nurl = \"{url}\"\n");
    let mut told = vec![
        ("claude", McpHostKind::Url, url.to_owned()),
        (
            "claude-code",
            McpHostKind::Command,
            format!("claude mcp add --transport http {name} {url}"),
        ),
        (
            "gemini-cli",
            McpHostKind::Command,
            format!("gemini mcp add --transport http {name} {url}"),
        ),
        ("codex", McpHostKind::File, codex),
    ];
    told.extend(in_json(name, url, None, &remote));
    all(McpHostAuth::Oauth, told)
}

/// The same with a token; where it is not known yet, its name stands in its place.
pub fn token_hosts(name: &str, url: &str, token: Option<&str>) -> Vec<McpHost> {
    let bearer = format!("Bearer {}", token.unwrap_or(UNKNOWN));
    let header = format!("--header \"Authorization: {bearer}\"");
    let remote = json!({
        "command": "npx",
        // Some hosts split arguments at spaces, so the value with one is in a variable.
        "args": ["mcp-remote", url, "--header", "Authorization:${TOOLBOX_MCP_AUTHORIZATION}"],
        "env": { "TOOLBOX_MCP_AUTHORIZATION": bearer }
    });
    let codex =
        format!("[mcp_servers.{name}]\nurl = \"{url}\"\nbearer_token_env_var = \"{UNKNOWN}\"\n");
    let mut told = vec![
        (
            "claude-code",
            McpHostKind::Command,
            format!("claude mcp add --transport http {name} {url} {header}"),
        ),
        (
            "gemini-cli",
            McpHostKind::Command,
            format!("gemini mcp add --transport http {header} {name} {url}"),
        ),
        ("codex", McpHostKind::File, codex),
    ];
    told.extend(in_json(name, url, Some(&bearer), &remote));
    all(McpHostAuth::Token, told)
}

type Told = (&'static str, McpHostKind, String);

/// The hosts that are told in JSON.
fn in_json(name: &str, url: &str, bearer: Option<&str>, remote: &Value) -> Vec<Told> {
    let with_headers = |mut server: Value| {
        if let Some(bearer) = bearer {
            server["headers"] = json!({ "Authorization": bearer });
        }
        server
    };
    let servers = |server: &Value| json!({ "mcpServers": { name: server } }).to_string();
    let claude = with_headers(json!({ "type": "http", "url": url }));
    let cursor = with_headers(json!({ "url": url }));
    let vscode = with_headers(json!({ "name": name, "type": "http", "url": url })).to_string();
    let config = encode_segment(&STANDARD.encode(cursor.to_string()));
    let cursor_link =
        format!("cursor://anysphere.cursor-deeplink/mcp/install?name={name}&config={config}");
    let vscode_link = format!("vscode:mcp/install?{}", encode_segment(&vscode));
    vec![
        ("claude-code", McpHostKind::File, servers(&claude)),
        ("cursor", McpHostKind::Link, cursor_link),
        ("cursor", McpHostKind::File, servers(&cursor)),
        ("vscode", McpHostKind::Link, vscode_link),
        (
            "vscode",
            McpHostKind::Command,
            format!("code --add-mcp '{vscode}'"),
        ),
        ("mcp-remote", McpHostKind::File, servers(remote)),
    ]
}

fn all(auth: McpHostAuth, told: Vec<Told>) -> Vec<McpHost> {
    let host = |(host, kind, text): Told| McpHost {
        host: host.to_owned(),
        kind,
        auth,
        text,
    };
    told.into_iter().map(host).collect()
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
        let by_token = token_hosts("notes-1", &url, Some("tbx_1"));
        let by_sign_in = oauth_hosts("notes-1", &url);
        for of in by_token.iter().chain(&by_sign_in) {
            let mut text = of.text.clone();
            if let Some((_, config)) = text.split_once("config=") {
                let config = toolbox_domain::names::decode_segment(config).unwrap();
                text = String::from_utf8(STANDARD.decode(config).unwrap()).unwrap();
            } else if of.kind == McpHostKind::Link {
                text = toolbox_domain::names::decode_segment(&text).unwrap();
            }
            assert!(text.contains(&url), "{text}");
            // Codex reads it from a variable.
            let has_token = of.auth == McpHostAuth::Token && of.host != "codex";
            assert_eq!(text.contains("tbx_1"), has_token, "{text}");
            assert!(
                of.auth == McpHostAuth::Token || !text.contains("Authorization"),
                "{text}"
            );
            if of.kind == McpHostKind::File && of.host != "codex" {
                assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text}");
            }
            assert!(!format!("{of:?}").contains("tbx_1"));
        }
        assert!(
            token_hosts("x", &url, None)[0]
                .text
                .contains("Bearer TOOLBOX_MCP_TOKEN")
        );
    }
}
