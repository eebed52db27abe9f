//! What is passed on of Docker's sentences, and above all what is not.

use proptest::prelude::*;

use super::super::RuntimeError;
use super::*;

const ALL: [Operation; 7] = [
    Operation::Pull,
    Operation::Build,
    Operation::Create,
    Operation::Start,
    Operation::Stop,
    Operation::Remove,
    Operation::Look,
];

/// Docker's sentences around what a registry, a web server or a token's realm answered.
fn quoting(body: &str) -> Vec<String> {
    vec![
        format!(
            "error parsing HTTP 400 response body: invalid character 'S' looking for beginning of value: \"{body}\""
        ),
        format!("error parsing HTTP 403 response body: unexpected end of JSON input: \"{body}\""),
        format!("denied: {body}"),
        format!("unknown: {body}"),
        format!("received unexpected HTTP status: 500 {body}"),
        format!("Head \"http://127.0.0.1:5000/v2/x/manifests/1?{body}\": unauthorized: {body}"),
        format!(
            "Get \"http://169.254.169.254/{body}\": dial tcp 169.254.169.254:80: connect: connection refused"
        ),
        format!(
            "failed to resolve reference \"127.0.0.1:5000/x:1\": failed to authorize: failed to fetch anonymous token: unexpected status from GET request to http://127.0.0.1:1/{body}: 403 Forbidden - Server message: {body}"
        ),
        format!("failed to GET http://127.0.0.1:1/ with status 404 Not Found: {body}"),
        format!("ADD failed: failed to GET http://127.0.0.1:1/ with status 500: {body}"),
        format!("toomanyrequests: {body}"),
        format!("manifest for 127.0.0.1:5000/x:1 not found: manifest unknown: {body}"),
        format!(
            "error fetching: exit status 128: remote: {body}\nfatal: unable to access 'http://127.0.0.1/{body}/'"
        ),
        format!("dockerfile parse error line 1: unknown instruction: {body}"),
        body.to_owned(),
    ]
}

fn told(operation: Operation, text: &str) -> String {
    let error = RuntimeError::refused(operation, Some(500), text);
    let why = error.why(operation).message;
    assert!(!why.is_empty() && why.len() < 400, "{why}");
    format!("{error}\n{why}")
}

#[test]
fn nothing_that_a_server_answers_reaches_the_user() {
    for text in quoting("SECRET-OF-AN-INNER-SERVICE") {
        for operation in [Operation::Pull, Operation::Build, Operation::Look] {
            let told = told(operation, &text);
            assert!(
                !told.contains("SECRET") && !told.contains("169.254"),
                "{told}"
            );
        }
    }
}

/// What Docker says while it does something, and what users are told of it.
const HELPS: &[(Operation, &str, &str)] = &[
    (
        Operation::Pull,
        "Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host",
        "its name is not known",
    ),
    (
        Operation::Pull,
        "Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused",
        "it refuses connections",
    ),
    (
        Operation::Pull,
        "unexpected status from HEAD request to https://r.example/v2/a/manifests/1: 403 Forbidden",
        "it answered 403",
    ),
    (
        Operation::Pull,
        "Get \"https://r.example/v2/\": x509: certificate signed by unknown authority",
        "certificate is not trusted",
    ),
    (
        Operation::Build,
        "The command '/bin/sh -c make SECRET' returned a non-zero code: 2",
        "a command of it ended with exit code 2",
    ),
    (
        Operation::Build,
        "failed to solve: process \"/bin/sh -c make\" did not complete successfully: exit code: 17",
        "exit code 17",
    ),
    (
        Operation::Build,
        "COPY failed: file not found in build context: stat missing: file does not exist",
        "a file that it copies",
    ),
    (
        Operation::Build,
        "Cannot locate specified Dockerfile: Dockerfile",
        "no such Dockerfile",
    ),
    (
        Operation::Build,
        "error fetching: exit status 128: fatal: couldn't find remote ref nope",
        "no such branch or tag",
    ),
    (
        Operation::Start,
        "OCI runtime create failed: runc create failed: unable to start container process: exec: \"/nope\": stat /nope: no such file or directory: unknown",
        "the program \"/nope\": no such file or directory",
    ),
    (
        Operation::Start,
        "exec: \"serve\": executable file not found in $PATH: unknown",
        "the program \"serve\": executable file not found in $PATH",
    ),
    (
        Operation::Start,
        "chdir to cwd (\"/srv/app\") set in config.json failed: permission denied: unknown",
        "the working folder \"/srv/app\": permission denied",
    ),
    (
        Operation::Create,
        "unable to find user nobody-here: no matching entries in passwd file",
        "there is no user \"nobody-here\"",
    ),
    (
        Operation::Create,
        "No command specified",
        "name one in command",
    ),
    (
        Operation::Start,
        "driver failed programming external connectivity on endpoint x: Bind for 127.0.0.1:31000 failed: port is already allocated",
        "port 31000",
    ),
    (
        Operation::Start,
        "listen tcp4 127.0.0.1:31001: bind: address already in use",
        "port 31001",
    ),
    (
        Operation::Start,
        "failed to bind host port for 0.0.0.0:7148:172.18.0.2:7148/tcp: address already in use",
        "port 7148",
    ),
    (
        Operation::Start,
        "ports are not available: exposing port TCP 0.0.0.0:80 -> 127.0.0.1:0: listen tcp 0.0.0.0:80: bind",
        "port 80",
    ),
    (
        Operation::Start,
        "error mounting \"/var/lib/docker/volumes/x/_data\" to rootfs at \"/etc/passwd\": mount: not a directory: unknown",
        "the mount at \"/etc/passwd\": it is not a directory",
    ),
];

#[test]
fn what_helps_is_told() {
    for &(operation, text, part) in HELPS {
        let told = told(operation, text);
        assert!(told.contains(part), "{told}");
        assert!(
            !told.contains("SECRET") && !told.contains("/var/lib"),
            "{told}"
        );
    }
}

proptest! {
    /// A word of the text that stands in none of our sentences is not told, whatever the text is like. What a container is
    /// given (its program, its folder, its user) is the user's own and may be told.
    #[test]
    fn no_word_of_an_answer_is_passed_on(words in prop::collection::vec("[a-z]{12,20}", 1..6), shape in 0usize..15) {
        let body = words.join(" ");
        let text = &quoting(&body)[shape];
        for operation in ALL {
            let told = told(operation, text);
            for word in &words {
                prop_assert!(!told.contains(word.as_str()), "{}: {}", word, told);
            }
        }
    }

    #[test]
    fn parts_are_short_and_plain(text in "(exec: \"|to rootfs at \"|unable to find user )?\\PC{0,300}(\"|:)?\\PC{0,50}") {
        for operation in ALL {
            if let Some(part) = part(operation, &text) {
                prop_assert!(part.chars().count() < MAX_PART + 80 && !part.contains(char::is_control));
            }
        }
    }
}
