//! `/releases`: releases of DTMA, as `scripts/make-release` makes them, from a folder of the stack's data. Anybody may fetch
//! them, as from where a deployed project has them.

use std::path::{Component, Path, PathBuf};

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;

/// The file that the path behind `/releases/` names.
pub(super) async fn file(folder: &Path, path: &str) -> Response {
    let Some(inner) = inside(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    match tokio::fs::read(folder.join(inner)).await {
        Ok(bytes) => Body::from(bytes).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A relative path that leads nowhere else.
fn inside(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(path);
    let is_plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (is_plain && !path.as_os_str().is_empty()).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_files_of_the_folder_are_served() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("latest"), "1.0.0\n").unwrap();
        assert_eq!(file(folder.path(), "latest").await.status(), StatusCode::OK);
        for path in [
            "",
            "other",
            "..",
            "../latest",
            "/etc/hostname",
            "x/../../etc/hostname",
            ".",
        ] {
            let answer = file(folder.path(), path).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
