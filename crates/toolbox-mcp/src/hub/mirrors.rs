//! Parameters of tools that also stand in headers of a stateless call (`x-mcp-header` in a tool's schema), so that others
//! can route by them. Header and body must agree; who speaks HTTP to the client has to see to that.
//!
//! What a server's tools mirror is learned from the lists that the prober reads. A tool that was not listed yet is not
//! judged.

use std::collections::HashMap;

use serde_json::Value;

use crate::wire::checks::{decoded, short};

/// Most mirrored parameters of one server.
const MOST: usize = 1024;
/// How deep in a schema they are looked for.
const DEPTH: usize = 8;

/// A header of a call: its name after `Mcp-Param-` in lower case, and its value.
pub type Parameter = (String, String);

/// The mirrored parameters of a server's tools, by name of the tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mirrors {
    tools: HashMap<String, Vec<Mirror>>,
    count: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    /// After `Mcp-Param-`, as the schema writes it.
    header: String,
    /// The parameter within the arguments.
    path: Vec<String>,
}

impl Mirrors {
    /// Reads a page of a `tools/list` result.
    pub(super) fn add(&mut self, result: &Value) {
        for tool in result
            .get("tools")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let (Some(name), Some(schema)) = (
                tool.get("name").and_then(Value::as_str),
                tool.get("inputSchema"),
            ) else {
                continue;
            };
            let mut found = Vec::new();
            find(schema, &mut Vec::new(), &mut found);
            found.truncate(MOST - self.count);
            self.count += found.len();
            if !found.is_empty() {
                self.tools.insert(name.to_owned(), found);
            }
        }
    }

    /// Whether any parameter of this tool is mirrored.
    pub(super) fn any(&self, tool: &str) -> bool {
        self.tools.contains_key(tool)
    }

    /// Compares a call's headers with its arguments; why they do not agree.
    pub(super) fn check(
        &self,
        tool: &str,
        arguments: &Value,
        headers: &[Parameter],
    ) -> Result<(), String> {
        for mirror in self.tools.get(tool).into_iter().flatten() {
            let value = mirror
                .path
                .iter()
                .try_fold(arguments, |at, name| at.get(name));
            let mut given = headers
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(&mirror.header))
                .map(|(_, value)| value.as_str());
            let problem = match (value, given.next(), given.next()) {
                (_, Some(_), Some(_)) => "is there more than once",
                (None | Some(Value::Null), None, _) => continue,
                (None | Some(Value::Null), Some(_), _) => "has no value in the body",
                (Some(_), None, _) => "is missing",
                (Some(value), Some(given), _) => match decoded(given) {
                    None => "is malformed",
                    Some(text) if same(value, &text) => continue,
                    Some(_) => "does not match the body value",
                },
            };
            let name = short(&mirror.header);
            return Err(format!("Header mismatch: Mcp-Param-{name} {problem}"));
        }
        Ok(())
    }
}

/// Finds annotated parameters. Only those reached through `properties` alone count: for others, no client can say where
/// their value stands.
fn find(schema: &Value, path: &mut Vec<String>, found: &mut Vec<Mirror>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        path.push(name.clone());
        let header = property.get("x-mcp-header").and_then(Value::as_str);
        let kind = property.get("type").and_then(Value::as_str);
        let primitive = matches!(kind, Some("string" | "integer" | "number" | "boolean"));
        if let Some(header) = header.filter(|header| primitive && !header.is_empty()) {
            found.push(Mirror {
                header: header.to_owned(),
                path: path.clone(),
            });
        } else if path.len() < DEPTH {
            find(property, path, found);
        }
        path.pop();
    }
}

fn same(value: &Value, text: &str) -> bool {
    match value {
        Value::String(wanted) => wanted == text,
        Value::Bool(wanted) => text == if *wanted { "true" } else { "false" },
        // Numbers may be written in several ways.
        Value::Number(wanted) => {
            wanted.to_string() == text
                || wanted
                    .as_f64()
                    .is_some_and(|wanted| text.parse() == Ok(wanted))
        }
        // The server says itself that this does not fit its schema.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mirrors() -> Mirrors {
        let mut mirrors = Mirrors::default();
        mirrors.add(&json!({"tools": [
            {"name": "plain", "inputSchema": {"type": "object", "properties": {"a": {"type": "string"}}}},
            {"name": "query", "inputSchema": {"type": "object", "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "limit": {"type": "integer", "x-mcp-header": "Limit"},
                "dry": {"type": "boolean", "x-mcp-header": "Dry"},
                "list": {"type": "array", "x-mcp-header": "List", "items": {"type": "string", "x-mcp-header": "Item"}},
                "where": {"type": "object", "properties": {"tenant": {"type": "string", "x-mcp-header": "Tenant"}}},
            }}},
            {"no": "name"},
        ]}));
        mirrors
    }

    #[test]
    fn headers_and_body_must_agree() {
        let check = |arguments: Value, headers: &[(&str, &str)]| {
            let headers: Vec<Parameter> = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            mirrors().check("query", &arguments, &headers)
        };
        assert_eq!(check(json!({}), &[("other", "x")]), Ok(()));
        assert_eq!(check(json!({"region": null}), &[]), Ok(()));
        let all =
            json!({"region": "eu", "limit": 5, "dry": false, "where": {"tenant": "=?base64?x"}});
        let headers = [
            ("region", "=?base64?ZXU=?="),
            ("limit", "5"),
            ("dry", "false"),
            ("tenant", "=?base64?x"),
        ];
        assert_eq!(check(all, &headers), Ok(()));
        for (arguments, headers, problem) in [
            (json!({"region": "eu"}), &[][..], "Region is missing"),
            (
                json!({"region": "eu"}),
                &[("region", "EU")],
                "does not match",
            ),
            (
                json!({"region": "eu"}),
                &[("region", "=?base64?ZXU?=")],
                "is malformed",
            ),
            (
                json!({"region": "eu"}),
                &[("region", "=?base64?Z!U=?=")],
                "is malformed",
            ),
            (json!({}), &[("region", "eu")], "has no value in the body"),
            (
                json!({"region": "eu"}),
                &[("region", "eu"), ("region", "us")],
                "more than once",
            ),
            (json!({"limit": 5}), &[("limit", "6")], "does not match"),
            (
                json!({"where": {"tenant": "a"}}),
                &[("tenant", "b")],
                "does not match",
            ),
        ] {
            let refused = check(arguments, headers).unwrap_err();
            assert!(refused.contains(problem), "{refused}");
        }
    }

    #[test]
    fn what_is_not_mirrored_or_not_known_is_not_judged() {
        let mirrors = mirrors();
        assert!(mirrors.any("query") && !mirrors.any("plain") && !mirrors.any("later"));
        for tool in ["plain", "later"] {
            let odd = [("a".to_owned(), "b".to_owned())];
            assert_eq!(mirrors.check(tool, &json!({"a": "c"}), &odd), Ok(()));
        }
        let item = [("item".to_owned(), "x".to_owned())];
        assert_eq!(
            mirrors.check("query", &json!({"list": ["y"]}), &item),
            Ok(())
        );
    }

    #[test]
    fn a_server_cannot_make_it_grow_without_end() {
        let properties: serde_json::Map<_, _> = (0..2 * MOST)
            .map(|n| {
                (
                    n.to_string(),
                    json!({"type": "string", "x-mcp-header": n.to_string()}),
                )
            })
            .collect();
        let mut mirrors = Mirrors::default();
        for name in ["a", "b"] {
            mirrors.add(
                &json!({"tools": [{"name": name, "inputSchema": {"properties": properties}}]}),
            );
        }
        assert_eq!(mirrors.count, MOST);
    }
}
