//! A server over standard streams, of rmcp 0.2 and nothing else: `echo` sends its text back, `large` sends eight million characters.

use std::sync::Arc;

use rmcp::model::{
    CallToolRequestParam, CallToolResult, Content, ListToolsResult, PaginatedRequestParam,
    ServerCapabilities, ServerInfo, Tool,
};
use rmcp::service::RequestContext;
use rmcp::{Error, RoleServer, ServerHandler, ServiceExt};
use serde_json::{Map, Value, json};

struct Echo;

impl ServerHandler for Echo {
    fn get_info(&self) -> ServerInfo {
        ServerInfo {
            capabilities: ServerCapabilities::builder().enable_tools().build(),
            ..ServerInfo::default()
        }
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParam>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, Error> {
        let tool = |name, properties: Value| {
            let mut schema = Map::new();
            schema.insert("type".to_owned(), json!("object"));
            schema.insert("properties".to_owned(), properties);
            Tool::new(name, name, Arc::new(schema))
        };
        let tools = vec![
            tool("echo", json!({"text": {"type": "string"}})),
            tool("large", json!({})),
        ];
        Ok(ListToolsResult {
            tools,
            next_cursor: None,
        })
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParam,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResult, Error> {
        let text = match &*request.name {
            "echo" => {
                let given = request.arguments.unwrap_or_default();
                format!("Echo: {}", given.get("text").and_then(Value::as_str).unwrap_or_default())
            }
            "large" => "x".repeat(8_000_000),
            _ => return Err(Error::invalid_params("no such tool", None)),
        };
        Ok(CallToolResult::success(vec![Content::text(text)]))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    Echo.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}
