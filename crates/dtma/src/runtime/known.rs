//! What a user is told of Docker's sentences: what is known of them, in our own words.
//!
//! A sentence of Docker may quote what a registry, a redirect's target or a web server answered, so that whoever names an
//! image would read what only the machine can reach. Such a sentence is never passed on. Of what it says, words that
//! stand in the tables here are recognised, and of sentences about the container itself the parts that the user gave.

use super::Operation;

/// Longest part of a sentence that is passed on, in characters.
const MAX_PART: usize = 120;

/// Words on the way to a registry or a repository, and what they mean.
const NETWORK: &[(&str, &str)] = &[
    ("no such host", "its name is not known"),
    ("server misbehaving", "its name could not be looked up"),
    (
        "temporary failure in name resolution",
        "its name could not be looked up",
    ),
    ("could not resolve host", "its name is not known"),
    ("connection refused", "it refuses connections"),
    ("connection reset", "it ended the connection"),
    ("no route to host", "there is no route to it"),
    ("network is unreachable", "there is no route to it"),
    (
        "server gave http response to https client",
        "it does not speak TLS",
    ),
    ("x509:", "its certificate is not trusted"),
    ("ssl certificate problem", "its certificate is not trusted"),
    ("tls handshake timeout", "it did not answer in time"),
    ("tls: ", "TLS with it failed"),
    ("toomanyrequests", "it limits how often it is asked"),
    ("too many requests", "it limits how often it is asked"),
    ("i/o timeout", "it did not answer in time"),
    ("deadline exceeded", "it did not answer in time"),
    ("client.timeout exceeded", "it did not answer in time"),
    ("request canceled", "it did not answer in time"),
    ("connection timed out", "it did not answer in time"),
    ("unexpected eof", "it ended the connection"),
    (": eof", "it ended the connection"),
    ("broken pipe", "it ended the connection"),
    ("remote branch", "it has no such branch or tag"),
    ("couldn't find remote ref", "it has no such branch or tag"),
    (
        "did not match any file(s) known to git",
        "it has no such branch, tag or commit",
    ),
    ("repository not found", "it has no such repository"),
    ("could not read username", "it asks for a user name"),
];

/// What Docker could not do with a file.
const FILE: &[(&str, &str)] = &[
    (
        "executable file not found in $path",
        "executable file not found in $PATH",
    ),
    ("no such file or directory", "no such file or directory"),
    ("permission denied", "permission denied"),
    ("is a directory", "it is a directory"),
    ("not a directory", "it is not a directory"),
    ("exec format error", "it is for another processor"),
    ("read-only file system", "the file system is read-only"),
];

/// What is known of a sentence, as a part of one of ours.
pub(super) fn part(operation: Operation, text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    match operation {
        Operation::Pull => network(&lower),
        Operation::Build => build(text, &lower).or_else(|| network(&lower)),
        Operation::Create | Operation::Start => container(text, &lower),
        Operation::Stop | Operation::Remove | Operation::Look => None,
    }
}

fn network(lower: &str) -> Option<String> {
    super::error::registry_status(lower)
        .map(|status| format!("it answered {status}"))
        .or_else(|| meaning(NETWORK, lower).map(str::to_owned))
}

/// A step of the repository's own.
fn build(text: &str, lower: &str) -> Option<String> {
    for before in ["returned a non-zero code: ", "exit code: "] {
        if let Some((_, code)) = text.split_once(before)
            && let Ok(code) = digits(code).parse::<i32>()
        {
            return Some(format!("a command of it ended with exit code {code}"));
        }
    }
    let no_dockerfile = lower.contains("dockerfile")
        && (lower.contains("no such file") || lower.contains("cannot locate specified"));
    if no_dockerfile {
        return Some("there is no such Dockerfile".to_owned());
    }
    if lower.contains("dockerfile parse error") || lower.contains("unknown instruction") {
        return Some("its Dockerfile is not valid".to_owned());
    }
    lower
        .contains("copy failed")
        .then(|| "a file that it copies is not there".to_owned())
}

/// What the user gave the container, and what is wrong with it.
fn container(text: &str, lower: &str) -> Option<String> {
    if let Some(port) = port(text) {
        return Some(format!("port {port}"));
    }
    for (before, end, what) in [
        ("exec: \"", '"', "the program"),
        ("chdir to cwd (\"", '"', "the working folder"),
        ("to rootfs at \"", '"', "the mount at"),
        ("unable to find user ", ':', "there is no user"),
        ("unable to find group ", ':', "there is no group"),
    ] {
        if let Some(given) = between(text, before, end) {
            let wrong = text.split_once(before).and_then(|(_, after)| {
                let after = after.strip_prefix(given)?;
                meaning(FILE, &after.to_lowercase())
            });
            return Some(match wrong {
                Some(wrong) => format!("{what} \"{given}\": {wrong}"),
                None => format!("{what} \"{given}\""),
            });
        }
    }
    if lower.contains("storage-opt") {
        return Some("the storage driver takes no storage-opt".to_owned());
    }
    (lower.contains("no command specified") || lower.contains("no command or entrypoint"))
        .then(|| "the image names no program, so name one in command".to_owned())
}

/// The host port of `Bind for 127.0.0.1:31000 failed: …` and its like.
fn port(text: &str) -> Option<u16> {
    [
        "Bind for ",
        "listen tcp",
        "listen udp",
        "failed to bind host port for ",
        "exposing port ",
    ]
    .iter()
    .filter_map(|before| text.split_once(before))
    .filter_map(|(_, after)| after.split(' ').find(|word| word.contains(':')))
    .find_map(|address| {
        let address = address.trim_end_matches(':');
        // Newer engines add the address in the container.
        let parts = address.split(':').nth(1)?;
        parts.parse().ok()
    })
}

fn between<'a>(text: &'a str, before: &str, end: char) -> Option<&'a str> {
    let (_, after) = text.split_once(before)?;
    let (part, _) = after.split_once(end)?;
    let is_plain = |c: char| !c.is_control() && (c.is_ascii() || c.is_alphanumeric());
    (part.chars().count() <= MAX_PART && part.chars().all(is_plain)).then_some(part)
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit());
    &text[..end.unwrap_or(text.len())]
}

fn meaning(table: &[(&str, &'static str)], lower: &str) -> Option<&'static str> {
    let found = table.iter().find(|(words, _)| lower.contains(words));
    found.map(|(_, meaning)| *meaning)
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
