//! The web console: the files that its build made, with the headers and the configuration that a host gives them.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use serde_json::json;

use crate::error::StackError;

const INDEX: &str = "index.html";
/// Where the headers are written, beside the folder of the build.
const HEADERS: &str = "headers";

/// A console that serves one project.
pub(crate) struct Console {
    files: PathBuf,
    headers: HeaderMap,
    /// `config.json`.
    config: String,
}

impl Console {
    /// `files` is what `scripts/build-web` built, in a folder of web/.
    pub(crate) fn open(
        files: PathBuf,
        project_url: &str,
        publishable_key: &str,
    ) -> Result<Self, StackError> {
        if !files.join(INDEX).is_file() {
            return Err(StackError::ConsoleMissing(files));
        }
        let said = files.parent().unwrap_or(&files).join(HEADERS);
        let text = std::fs::read_to_string(&said).map_err(StackError::file("read", &said))?;
        let config = json!({ "projectUrl": project_url, "publishableKey": publishable_key });
        Ok(Self {
            files,
            headers: headers(&text.replace("{project}", project_url)),
            config: config.to_string(),
        })
    }

    pub(crate) fn router(self) -> Router {
        let console = Arc::new(self);
        Router::new().fallback(move |request: Request<Body>| {
            let console = Arc::clone(&console);
            async move {
                let path = request.uri().path().to_owned();
                console.answer(request.method().clone(), &path).await
            }
        })
    }

    async fn answer(&self, method: Method, path: &str) -> Response {
        let mut answer = if [Method::GET, Method::HEAD].contains(&method) {
            self.file(path).await
        } else {
            StatusCode::METHOD_NOT_ALLOWED.into_response()
        };
        answer.headers_mut().extend(self.headers.clone());
        answer
    }

    async fn file(&self, path: &str) -> Response {
        if path == "/config.json" {
            return found(Path::new("config.json"), self.config.clone().into());
        }
        let Some(inner) = inside(path) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        // Addresses of pages are no files: the page itself finds out what to show there.
        let wanted = if inner.extension().is_none() {
            PathBuf::from(INDEX)
        } else {
            inner
        };
        match tokio::fs::read(self.files.join(&wanted)).await {
            Ok(bytes) => found(&wanted, bytes),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

fn found(path: &Path, bytes: Vec<u8>) -> Response {
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    // The build names these by their content.
    let kept = if path.starts_with("assets") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, kept)];
    (headers, bytes).into_response()
}

/// A relative path that leads nowhere else; empty for the page itself.
fn inside(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(path.strip_prefix('/')?);
    path.components()
        .all(|part| matches!(part, Component::Normal(_)))
        .then_some(path)
}

/// Lines of a name and a value; those that begin with `#` are for people.
fn headers(text: &str) -> HeaderMap {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, value)| {
            let name = HeaderName::try_from(name).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console() -> (tempfile::TempDir, Console) {
        let folder = tempfile::tempdir().unwrap();
        let files = folder.path().join("dist");
        std::fs::create_dir_all(files.join("assets")).unwrap();
        std::fs::write(files.join(INDEX), "the page").unwrap();
        std::fs::write(files.join("assets/a-1.js"), "a").unwrap();
        std::fs::write(
            folder.path().join(HEADERS),
            "# why\nContent-Security-Policy: connect-src {project}\n",
        )
        .unwrap();
        let console = Console::open(files, "http://127.0.0.1:1", "sb_publishable_x").unwrap();
        (folder, console)
    }

    async fn ask(console: &Console, path: &str) -> (StatusCode, HeaderMap, String) {
        let (head, body) = console.answer(Method::GET, path).await.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        (
            head.status,
            head.headers,
            String::from_utf8(bytes.to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn addresses_of_pages_get_the_page_and_files_get_themselves() {
        let (_folder, console) = console();
        for path in ["/", "/toolboxes", "/toolboxes/1/tools"] {
            let (status, headers, body) = ask(&console, path).await;
            assert_eq!(
                (status, body.as_str()),
                (StatusCode::OK, "the page"),
                "{path}"
            );
            assert_eq!(
                headers["content-security-policy"],
                "connect-src http://127.0.0.1:1"
            );
            assert_eq!(headers["cache-control"], "no-cache");
        }
        let (_, headers, body) = ask(&console, "/assets/a-1.js").await;
        assert_eq!(
            (headers["content-type"].to_str().unwrap(), body.as_str()),
            ("text/javascript; charset=utf-8", "a")
        );
        let (_, _, body) = ask(&console, "/config.json").await;
        assert!(body.contains("sb_publishable_x"), "{body}");
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        let (_folder, console) = console();
        for path in [
            "/assets/gone.js",
            "/../headers",
            "//etc/passwd.txt",
            "/assets/../../headers",
        ] {
            let (status, headers, _) = ask(&console, path).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
            assert!(headers.contains_key("content-security-policy"), "{path}");
        }
    }
}
