//! How a client learns where its user signs in: RFC 9728, below the function's own path, because the root of a project is not ours.

use serde::Serialize;
use toolbox_api::error::ApiError;
use toolbox_edge::{Answer, RequestContext, reply};

/// Ends the path of a resource's metadata.
const METADATA: &str = "oauth-protected-resource";
const WELL_KNOWN: &str = ".well-known";

#[derive(Serialize)]
struct Metadata {
    resource: String,
    authorization_servers: [String; 1],
    bearer_methods_supported: [&'static str; 1],
    resource_name: &'static str,
}

/// The metadata of the resource that the path names. It is the same for a server that is not there: nothing is looked up.
pub(crate) fn metadata(cx: RequestContext) -> Answer {
    Box::pin(async move { answer(&cx) })
}

fn answer(cx: &RequestContext) -> Result<toolbox_edge::Reply, ApiError> {
    let origin = cx.public_origin();
    reply::json(
        200,
        &Metadata {
            resource: url(cx, &origin, resource(&cx.path)),
            authorization_servers: [format!("{origin}/auth/v1")],
            bearer_methods_supported: ["header"],
            resource_name: "MCP servers of a toolbox",
        },
    )
}

/// Where the metadata of the requested resource is. Clients compare its `resource` with the URL that their user typed, to the slash
/// at the end, so the address of the metadata ends in a slash where that does.
pub(crate) fn metadata_url(cx: &RequestContext) -> String {
    let path = format!("{}/{METADATA}", cx.path);
    url(cx, &cx.public_origin(), &path)
}

fn url(cx: &RequestContext, origin: &str, path: &str) -> String {
    let slash = if cx.has_trailing_slash { "/" } else { "" };
    format!("{origin}/functions/v1/mcp/{path}{slash}")
}

/// The path of the resource in that of its metadata, in each of the forms that clients try.
fn resource(path: &str) -> &str {
    let inserted = path.strip_prefix(WELL_KNOWN).and_then(|rest| {
        rest.strip_prefix('/')?
            .strip_prefix(METADATA)?
            .strip_prefix('/')
    });
    if let Some(path) = inserted {
        return path;
    }
    let path = path.strip_suffix(METADATA).unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.strip_suffix(WELL_KNOWN)
        .and_then(|path| path.strip_suffix('/'))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_names_the_resource() {
        for path in [
            "x/oauth-protected-resource",
            "x/.well-known/oauth-protected-resource",
            ".well-known/oauth-protected-resource/x",
        ] {
            assert_eq!(resource(path), "x", "{path}");
        }
        assert_eq!(resource("toolbox/x/oauth-protected-resource"), "toolbox/x");
    }
}
