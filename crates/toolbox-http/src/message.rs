//! Requests and answers.
//!
//! Own types rather than the `http` crate's: a message has a handful of headers whose names are nearly all constants and
//! whose values the host checks, so there is nothing that a conversion could refuse.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// Headers of one message. Names are lower case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Cow<'static, str>, String)>);

impl Headers {
    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| value.as_str())
    }

    /// Sets a header, instead of an earlier value.
    pub fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.put(Cow::Borrowed(name), value.into());
    }

    /// The same for a header whose name is passed on.
    pub fn set_named(&mut self, name: String, value: impl Into<String>) {
        self.put(Cow::Owned(name), value.into());
    }

    fn put(&mut self, name: Cow<'static, str>, value: String) {
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some(header) => header.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// All headers.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, value.as_str()))
    }
}

/// An object, as the host's `fetch` and `Response` take headers.
impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl fmt::Debug for Headers {
    /// Names only: values may be keys and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// A request: to us, or by us.
#[derive(Clone, PartialEq, Eq)]
pub struct Request<B = Vec<u8>> {
    /// `GET`, `POST`, …
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Headers.
    pub headers: Headers,
    /// Body; empty for none.
    pub body: B,
}

impl<B> fmt::Debug for Request<B> {
    /// Without the body, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &self.url)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// A request without headers and body.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        let (method, url) = (method.to_owned(), url.into());
        Self {
            method,
            url,
            headers: Headers::default(),
            body: Vec::new(),
        }
    }
}

impl<B> Request<B> {
    /// The URL's path, still percent-encoded.
    pub fn path(&self) -> &str {
        self.split_url().0
    }

    /// What follows `?`, still percent-encoded.
    pub fn query(&self) -> Option<&str> {
        self.split_url().1
    }

    fn split_url(&self) -> (&str, Option<&str>) {
        let url = self.url.split('#').next().unwrap_or_default();
        let (before, query) = match url.split_once('?') {
            Some((before, query)) => (before, Some(query)),
            None => (url, None),
        };
        let authority = before.find("://").map_or(0, |at| at + 3);
        let path = before[authority..]
            .find('/')
            .map_or("/", |at| &before[authority + at..]);
        (path, query)
    }
}

/// An answer: to us, or by us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response<B = Vec<u8>> {
    /// HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Headers,
    /// Body.
    pub body: B,
}

impl<B> Response<B> {
    /// An answer without headers.
    pub fn new(status: u16, body: B) -> Self {
        Self {
            status,
            headers: Headers::default(),
            body,
        }
    }

    /// 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split() {
        for (url, path, query) in [
            ("http://h", "/", None),
            ("http://h/", "/", None),
            ("http://h:1/a%2Fb/c?x=/y?z#f", "/a%2Fb/c", Some("x=/y?z")),
            ("https://h?x", "/", Some("x")),
        ] {
            let request = Request::new("GET", url);
            assert_eq!((request.path(), request.query()), (path, query), "{url}");
        }
    }

    #[test]
    fn neither_header_values_nor_bodies_are_printed() {
        let mut request = Request::new("GET", "http://h/");
        request.headers.set("authorization", "Bearer SECRET");
        request.body = b"SECRET".to_vec();
        let printed = format!("{request:?}");
        assert!(!printed.contains("SECRET") && !printed.contains("83, 69, 67"));
        request.headers.set("authorization", "other");
        assert_eq!(request.headers.iter().count(), 1);
    }
}
