use serde_json::Value;

use crate::FUNCTION;

#[test]
fn the_published_document_has_exactly_these_routes() {
    let document = include_str!("../../../docs/api/clock.openapi.json");
    let document: Value = serde_json::from_str(document).unwrap();
    let mut published: Vec<String> = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            published.push(format!("{} {path}", method.to_uppercase()));
        }
    }
    let routes = FUNCTION.routes.iter();
    let mut routes: Vec<String> = routes.map(|r| format!("{} {}", r.method, r.path)).collect();
    published.sort();
    routes.sort();
    assert_eq!(published, routes);
}
