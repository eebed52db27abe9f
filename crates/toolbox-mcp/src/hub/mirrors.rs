//! Parameters of tools that also stand in headers of a stateless call (`x-mcp-header` in a tool's schema), so that others
//! can route by them. Header and body must agree, and the bridge has to check that, because it serves the HTTP side.
//!
//! The mirrored parameters come from the lists that the prober reads, within bounds. A tool that is not listed yet, and a
//! parameter beyond the bounds, is not checked.

use std::collections::HashMap;
use std::ops::ControlFlow;

use serde_json::{Number, Value};

use crate::wire::checks::{decoded, short};

/// Most mirrored parameters of one server.
const MOST: usize = 1024;
/// Most bytes they take up in all.
const MOST_BYTES: usize = 512 * 1024;
/// Longest name of a tool, a property or a header, in bytes; longer ones are passed over.
const LONGEST: usize = 128;
/// How deep in a schema they are looked for.
const DEPTH: usize = 8;

/// A header of a call: its name after `Mcp-Param-` in lower case, and its value.
pub type Parameter = (String, String);

/// The mirrored parameters of a server's tools, by name of the tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mirrors {
    tools: HashMap<String, Vec<Mirror>>,
    taken: Taken,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    /// After `Mcp-Param-`, as the schema writes it.
    header: String,
    /// The parameter within the arguments.
    path: Vec<String>,
}

/// How much of the bounds is used up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    mirrors: usize,
    bytes: usize,
}

impl Taken {
    /// Reserves room for one mirror; breaks if there is none.
    fn take(&mut self, tool: &str, header: &str, path: &[&str]) -> ControlFlow<()> {
        let text = |text: &str| text.len() + size_of::<String>();
        let path: usize = path.iter().map(|name| text(name)).sum();
        let bytes = self.bytes + size_of::<Mirror>() + text(tool) + header.len() + path;
        if self.mirrors == MOST || bytes > MOST_BYTES {
            return ControlFlow::Break(());
        }
        self.mirrors += 1;
        self.bytes = bytes;
        ControlFlow::Continue(())
    }
}

impl Mirrors {
    /// Reads a page of a `tools/list` result, as far as there is room.
    pub(super) fn add(&mut self, result: &Value) {
        for tool in result
            .get("tools")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let (Some(name), Some(schema)) = (
                tool.get("name").and_then(Value::as_str).filter(fits),
                tool.get("inputSchema"),
            ) else {
                continue;
            };
            let mut search = Search {
                tool: name,
                path: Vec::new(),
                found: Vec::new(),
                taken: &mut self.taken,
            };
            let end = search.look(schema);
            let found = search.found;
            if !found.is_empty() {
                self.tools.insert(name.to_owned(), found);
            }
            if end.is_break() {
                return;
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

/// A walk through the schema of one tool.
struct Search<'a> {
    tool: &'a str,
    path: Vec<&'a str>,
    found: Vec<Mirror>,
    taken: &'a mut Taken,
}

impl<'a> Search<'a> {
    /// Finds annotated parameters. Only those reached through `properties` alone count: for others, no client can say
    /// where their value stands. Breaks when there is no room for more.
    fn look(&mut self, schema: &'a Value) -> ControlFlow<()> {
        let properties = schema.get("properties").and_then(Value::as_object);
        for (name, property) in properties.into_iter().flatten() {
            let header = property.get("x-mcp-header").and_then(Value::as_str);
            let kind = property.get("type").and_then(Value::as_str);
            let primitive = matches!(kind, Some("string" | "integer" | "number" | "boolean"));
            let header = header.filter(|header| primitive && !header.is_empty());
            if !fits(&name.as_str()) || !header.as_ref().is_none_or(fits) {
                continue;
            }
            self.path.push(name);
            if let Some(header) = header {
                self.taken.take(self.tool, header, &self.path)?;
                self.found.push(Mirror {
                    header: header.to_owned(),
                    path: self.path.iter().map(|&name| name.to_owned()).collect(),
                });
            } else if self.path.len() < DEPTH {
                self.look(property)?;
            }
            self.path.pop();
        }
        ControlFlow::Continue(())
    }
}

fn fits(text: &&str) -> bool {
    text.len() <= LONGEST
}

fn same(value: &Value, text: &str) -> bool {
    match value {
        Value::String(wanted) => wanted == text,
        Value::Bool(wanted) => text == if *wanted { "true" } else { "false" },
        Value::Number(wanted) => serde_json::from_str(text)
            .is_ok_and(|given: Number| written_out(&given) == written_out(wanted)),
        // The server itself refuses what does not fit its schema.
        _ => true,
    }
}

/// A number in a form that does not depend on how it was written. Whole numbers keep all their digits, because large
/// neighbours are equal as floating point.
fn written_out(number: &Number) -> String {
    match number.as_f64().filter(|_| number.is_f64()) {
        Some(whole) if whole.fract() == 0.0 => format!("{whole:.0}"),
        _ => number.to_string(),
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
    fn numbers_agree_however_they_are_written_and_only_with_themselves() {
        for (body, header) in [
            ("5", "5.0"),
            ("5.0", "5"),
            ("-1.5", "-1.50"),
            ("1e3", "1000"),
            ("100000000000000000000", "1e20"),
            ("9007199254740993", "9007199254740993"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
        ] {
            let value = serde_json::from_str(body).unwrap();
            assert!(same(&value, header), "{body} {header}");
        }
        for (body, header) in [
            ("9007199254740993", "9007199254740992"),
            ("9007199254740993", "9007199254740992.0"),
            ("9007199254740992.0", "9007199254740993"),
            ("18446744073709551615", "18446744073709551614"),
            ("-9223372036854775807", "-9223372036854775808"),
            ("1", "-1"),
            ("1.5", "1"),
            ("1", ""),
            ("1", "NaN"),
            ("1", "1 2"),
        ] {
            let value = serde_json::from_str(body).unwrap();
            assert!(!same(&value, header), "{body} {header}");
        }
    }

    fn properties(
        count: usize,
        property: impl Fn(usize) -> (String, Value),
    ) -> serde_json::Map<String, Value> {
        (0..count).map(property).collect()
    }

    fn tool(name: &str, properties: &serde_json::Map<String, Value>) -> Value {
        json!({"name": name, "inputSchema": {"properties": properties}})
    }

    /// Names, headers and paths that are held, counted by themselves.
    fn held(mirrors: &Mirrors) -> (usize, usize) {
        let found = mirrors.tools.values().flatten();
        let text = |mirror: &Mirror| {
            mirror.header.capacity() + mirror.path.iter().map(String::capacity).sum::<usize>()
        };
        let names: usize = mirrors.tools.keys().map(String::capacity).sum();
        (
            found.clone().count(),
            names + found.map(text).sum::<usize>(),
        )
    }

    #[test]
    fn a_server_cannot_make_it_grow_without_end() {
        let header = |text: String| json!({"type": "string", "x-mcp-header": text});
        let many = properties(2 * MOST, |n| (n.to_string(), header(n.to_string())));
        let mut mirrors = Mirrors::default();
        mirrors.add(&json!({"tools": [tool("a", &many), tool("b", &many)]}));
        assert_eq!(held(&mirrors).0, MOST);
        mirrors.add(&json!({"tools": [tool("c", &many)]}));
        assert_eq!(held(&mirrors).0, MOST);

        // Each name is as long as may be, and stands in the path of all below it.
        let long = |n: usize| format!("{n:0>LONGEST$}");
        let mut deep = Value::Object(properties(MOST, |n| (long(n), header(long(n)))));
        for n in 1..DEPTH {
            deep = json!({ long(n): { "properties": deep } });
        }
        let mut mirrors = Mirrors::default();
        mirrors.add(&json!({"tools": [{"name": long(0), "inputSchema": {"properties": deep}}]}));
        let (count, bytes) = held(&mirrors);
        assert!(count > 100 && bytes <= MOST_BYTES, "{count}, {bytes} bytes");
    }

    #[test]
    fn what_is_too_long_or_too_deep_is_passed_over_and_the_rest_is_not() {
        let header = |text: &str| json!({"type": "string", "x-mcp-header": text});
        // Were it copied for each that stands below, this would take a quarter of a gigabyte.
        let huge = "n".repeat(1024 * 1024);
        let below = properties(256, |n| (n.to_string(), header(&n.to_string())));
        let mut deep = json!({"properties": {"deep": header("Deep")}});
        for _ in 0..DEPTH {
            deep = json!({"properties": {"d": deep}});
        }
        let schema = json!({"properties": {
            "a": header(&huge),
            "d": deep,
            huge.as_str(): {"properties": below},
            "z": header("Z"),
        }});
        let mut mirrors = Mirrors::default();
        mirrors.add(&json!({"tools": [
            {"name": huge, "inputSchema": schema},
            {"name": "t", "inputSchema": schema},
        ]}));
        assert_eq!(held(&mirrors).0, 1);
        assert!(held(&mirrors).1 < 1024);
        let mismatch = [("z".to_owned(), "b".to_owned())];
        let refused = mirrors.check("t", &json!({"z": "a"}), &mismatch);
        assert!(refused.unwrap_err().contains("Mcp-Param-Z"));
    }
}
