use toolbox_edge::recorded::assert_published;

use crate::FUNCTION;

#[test]
fn the_published_document_has_exactly_these_routes() {
    let document = include_str!("../../../docs/api/clock.openapi.json");
    assert_published(&FUNCTION, document);
}
