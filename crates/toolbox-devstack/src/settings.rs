//! What of supabase/config.toml and supabase/functions/.env the stack honours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::StackError;

/// The project as its files describe it.
#[derive(Clone, Debug)]
pub(crate) struct Project {
    pub(crate) schemas: Vec<String>,
    pub(crate) extra_search_path: Vec<String>,
    pub(crate) max_rows: u32,
    /// The page of the application on which they let clients in; none when the OAuth server is off.
    pub(crate) consent_path: Option<String>,
    pub(crate) functions: Vec<FunctionSettings>,
}

/// One folder of supabase/functions.
#[derive(Clone, Debug)]
pub(crate) struct FunctionSettings {
    pub(crate) name: String,
    pub(crate) entry_point: PathBuf,
    /// The function's own deno.json or import map.
    pub(crate) deno_config: Option<PathBuf>,
    pub(crate) verify_jwt: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct File {
    api: Api,
    auth: Auth,
    functions: BTreeMap<String, Function>,
}

#[derive(Deserialize)]
#[serde(default)]
struct Api {
    schemas: Vec<String>,
    extra_search_path: Vec<String>,
    max_rows: u32,
}

impl Default for Api {
    fn default() -> Self {
        let owned = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        Self {
            schemas: owned(["public", "graphql_public"]),
            extra_search_path: owned(["public", "extensions"]),
            max_rows: 1000,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    oauth_server: OAuthServer,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OAuthServer {
    enabled: bool,
    authorization_url_path: String,
}

#[derive(Deserialize)]
#[serde(default)]
struct Function {
    enabled: bool,
    verify_jwt: bool,
    entrypoint: Option<PathBuf>,
    import_map: Option<PathBuf>,
}

impl Default for Function {
    fn default() -> Self {
        Self {
            enabled: true,
            verify_jwt: true,
            entrypoint: None,
            import_map: None,
        }
    }
}

impl Project {
    /// Reads config.toml and looks which functions there are.
    pub(crate) fn read(project: &Path) -> Result<Self, StackError> {
        let supabase = project.join("supabase");
        let path = supabase.join("config.toml");
        let text = std::fs::read_to_string(&path).map_err(StackError::file("read", &path))?;
        let file: File = toml::from_str(&text).map_err(|source| StackError::Settings {
            path: path.clone(),
            source: source.into(),
        })?;
        let functions = function_folders(&supabase.join("functions"))?
            .into_iter()
            .filter_map(|(name, folder)| {
                settings_of(&supabase, &name, &folder, file.functions.get(&name))
            })
            .collect();
        let oauth = file.auth.oauth_server;
        Ok(Self {
            schemas: file.api.schemas,
            extra_search_path: file.api.extra_search_path,
            max_rows: file.api.max_rows,
            consent_path: oauth.enabled.then_some(oauth.authorization_url_path),
            functions,
        })
    }
}

fn settings_of(
    supabase: &Path,
    name: &str,
    folder: &Path,
    given: Option<&Function>,
) -> Option<FunctionSettings> {
    let default = Function::default();
    let given = given.unwrap_or(&default);
    // Paths in config.toml are relative to supabase/.
    let entry_point = given
        .entrypoint
        .as_ref()
        .map_or_else(|| folder.join("index.ts"), |path| supabase.join(path));
    let own = folder.join("deno.json");
    let deno_config = given
        .import_map
        .as_ref()
        .map(|path| supabase.join(path))
        .or_else(|| own.is_file().then_some(own));
    (given.enabled && entry_point.is_file()).then(|| FunctionSettings {
        name: name.to_owned(),
        entry_point,
        deno_config,
        verify_jwt: given.verify_jwt,
    })
}

/// Folders that are functions; those that start with `_` are shared code.
fn function_folders(folder: &Path) -> Result<Vec<(String, PathBuf)>, StackError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StackError::file("read", folder)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(StackError::file("read", folder))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

/// The variables of a .env file: `NAME=value`, `export`, quotes and comments as the Supabase CLI reads them.
pub(crate) fn env_file(path: &Path) -> Result<Vec<(String, String)>, StackError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(env_line).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StackError::file("read", path)(error)),
    }
}

fn env_line(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || name.starts_with('#') {
        return None;
    }
    let value = match value.chars().next() {
        Some('\'') => value.get(1..)?.split('\'').next()?.to_owned(),
        Some('"') => value.get(1..)?.split('"').next()?.replace("\\n", "\n"),
        _ => value.split(" #").next()?.trim_end().to_owned(),
    };
    Some((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_lines_are_read_as_people_write_them() {
        let read = |line| env_line(line).map(|(name, value)| format!("{name}|{value}"));
        assert_eq!(read("A=b").as_deref(), Some("A|b"));
        assert_eq!(read("export A = b # why").as_deref(), Some("A|b"));
        assert_eq!(read("A='b # c'").as_deref(), Some("A|b # c"));
        assert_eq!(read(r#"A="b\nc""#).as_deref(), Some("A|b\nc"));
        assert_eq!(read("A=").as_deref(), Some("A|"));
        assert_eq!(read("# A=b"), None);
        assert_eq!(read("nothing"), None);
    }
}
