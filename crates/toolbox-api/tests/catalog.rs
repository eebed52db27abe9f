//! Every entry of the tool catalog is a spec that the agent would accept.

use serde_json::Value;
use toolbox_api::dtma::ToolSpec;
use toolbox_domain::spec::InstanceSpec;

const SOURCES: [&str; 2] = [
    include_str!("../../../supabase/migrations/20261129000100_tool_catalog_content.sql"),
    include_str!("../../../supabase/seed.sql"),
];

/// The string literals of an SQL text, with doubled quotes made single.
fn literals(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = sql;
    while let Some(start) = rest.find(['\'', '-']) {
        if rest[start..].starts_with("--") {
            rest = rest[start..]
                .split_once('\n')
                .map_or("", |(_, after)| after);
        } else if rest[start..].starts_with('-') {
            rest = &rest[start + 1..];
        } else {
            let mut literal = String::new();
            rest = &rest[start + 1..];
            while let Some((text, after)) = rest.split_once('\'') {
                literal.push_str(text);
                rest = after;
                let Some(quoted) = rest.strip_prefix('\'') else {
                    break;
                };
                literal.push('\'');
                rest = quoted;
            }
            found.push(literal);
        }
    }
    found
}

#[test]
fn every_default_spec_is_valid() {
    let mut checked = 0;
    for sql in SOURCES {
        for literal in literals(sql) {
            let Ok(spec) = serde_json::from_str::<Value>(&literal) else {
                continue;
            };
            if spec.get("resources").is_none() {
                continue;
            }
            let mut spec: ToolSpec = serde_json::from_value(spec).unwrap();
            // The generic entry leaves the image to the user.
            if spec.image.is_empty() {
                spec.image = "ghcr.io/x/y:1".to_owned();
            }
            let problems = InstanceSpec::validate(spec.clone()).err();
            assert!(problems.is_none(), "{spec:?}: {problems:?}");
            checked += 1;
        }
    }
    assert!(
        checked >= 11,
        "found only {checked} specs: did the migration change its shape?"
    );
}
