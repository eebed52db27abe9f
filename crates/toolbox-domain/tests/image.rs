//! Image sources: what is accepted, in which spelling, and what is refused with which code.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use toolbox_domain::address::{AddressError, Allowed, Refusal};
use toolbox_domain::spec::{ImageError, ImageReference, ImageSource};

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 2000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

const HEX: &str = "3a6bc05ddd5c9ef5ff2a1f2ae0dcd3cf7e8a6d9a83b3dc6bd4ad9a1d1b9f0c11";

/// `{hex}` stands for 64 hexadecimal digits.
fn fill(text: &str) -> String {
    text.replace("{hex}", HEX)
}

#[test]
fn references_are_spelled_in_full() {
    for (given, expected) in [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("library/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/nginx", "docker.io/library/nginx:latest"),
        ("docker.io/library/nginx", "docker.io/library/nginx:latest"),
        ("index.docker.io/nginx:1", "docker.io/library/nginx:1"),
        (
            "registry-1.docker.io/mcp/fetch",
            "docker.io/mcp/fetch:latest",
        ),
        ("mcp/context7", "docker.io/mcp/context7:latest"),
        ("mcp/context7:latest", "docker.io/mcp/context7:latest"),
        (
            "ghcr.io/github/github-mcp-server",
            "ghcr.io/github/github-mcp-server:latest",
        ),
        (
            "ghcr.io/github/github-mcp-server:v0.4.0",
            "ghcr.io/github/github-mcp-server:v0.4.0",
        ),
        ("GHCR.io/x/y", "ghcr.io/x/y:latest"),
        ("ghcr.io/x/y@sha256:{hex}", "ghcr.io/x/y@sha256:{hex}"),
        ("ghcr.io/x/y:1@sha256:{hex}", "ghcr.io/x/y:1@sha256:{hex}"),
        (
            "nginx@sha512:{hex}{hex}",
            "docker.io/library/nginx@sha512:{hex}{hex}",
        ),
        ("localhost/x", "localhost/x:latest"),
        ("localhost:5000/x", "localhost:5000/x:latest"),
        ("localhost:5000/x:2", "localhost:5000/x:2"),
        ("127.0.0.1:5000/a/b/c:tag", "127.0.0.1:5000/a/b/c:tag"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        (
            "registry.example.com/deep/er/path",
            "registry.example.com/deep/er/path:latest",
        ),
        (
            "my-registry.example.com:65535/x",
            "my-registry.example.com:65535/x:latest",
        ),
        // Without a dot or a port, the first part is a user of Docker Hub.
        ("myregistry/x", "docker.io/myregistry/x:latest"),
        ("localhost:5000", "docker.io/library/localhost:5000"),
        ("a.b_c__d-e---f", "docker.io/library/a.b_c__d-e---f:latest"),
        ("x:_A.b-C_9", "docker.io/library/x:_A.b-C_9"),
        ("404", "docker.io/library/404:latest"),
    ] {
        let (given, expected) = (fill(given), fill(expected));
        let parsed = ImageSource::parse(&given).unwrap();
        assert!(matches!(parsed, ImageSource::Reference(_)), "{given}");
        assert_eq!(parsed.to_string(), expected, "{given}");
        assert_eq!(ImageSource::parse(&expected).unwrap(), parsed, "{given}");
    }
}

#[test]
fn the_parts_of_a_reference() {
    let reference: ImageReference = fill("localhost:5000/a/b:1@sha256:{hex}").parse().unwrap();
    assert_eq!(reference.registry(), "localhost:5000");
    assert_eq!(reference.repository(), "a/b");
    assert_eq!(reference.name(), "localhost:5000/a/b");
    assert_eq!(reference.tag(), Some("1"));
    assert_eq!(reference.digest(), Some(fill("sha256:{hex}").as_str()));
    let pinned: ImageReference = fill("x@sha256:{hex}").parse().unwrap();
    assert_eq!(pinned.tag(), None, "a digest needs no tag");
}

type Git = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static str,
    &'static str,
    &'static str,
);

/// As given; URL, ref, folder and Dockerfile; in its one spelling.
const GIT: &[Git] = &[
    (
        "https://github.com/upstash/context7/blob/master/Dockerfile",
        "https://github.com/upstash/context7.git",
        Some("master"),
        "",
        "Dockerfile",
        "https://github.com/upstash/context7.git#master",
    ),
    (
        "https://github.com/modelcontextprotocol/servers/blob/main/src/time/Dockerfile",
        "https://github.com/modelcontextprotocol/servers.git",
        Some("main"),
        "src/time",
        "Dockerfile",
        "https://github.com/modelcontextprotocol/servers.git#main:src/time",
    ),
    (
        "https://www.github.com/o/r/blob/v1.2/docker/Dockerfile.alpine",
        "https://github.com/o/r.git",
        Some("v1.2"),
        "docker",
        "Dockerfile.alpine",
        "https://github.com/o/r/blob/v1.2/docker/Dockerfile.alpine",
    ),
    (
        "https://github.com/o/r/blob/HEAD/mcp.dockerfile",
        "https://github.com/o/r.git",
        Some("HEAD"),
        "",
        "mcp.dockerfile",
        "https://github.com/o/r/blob/HEAD/mcp.dockerfile",
    ),
    (
        "https://github.com/o/r",
        "https://github.com/o/r.git",
        None,
        "",
        "Dockerfile",
        "https://github.com/o/r.git",
    ),
    (
        "https://github.com/o/r/",
        "https://github.com/o/r.git",
        None,
        "",
        "Dockerfile",
        "https://github.com/o/r.git",
    ),
    (
        "https://GitHub.com/o/r.git",
        "https://github.com/o/r.git",
        None,
        "",
        "Dockerfile",
        "https://github.com/o/r.git",
    ),
    (
        "https://github.com/o/r#feature/x:sub/dir/",
        "https://github.com/o/r.git",
        Some("feature/x"),
        "sub/dir",
        "Dockerfile",
        "https://github.com/o/r.git#feature/x:sub/dir",
    ),
    (
        "https://git.example.com:8443/group/sub/r.git#:dir",
        "https://git.example.com:8443/group/sub/r.git",
        None,
        "dir",
        "Dockerfile",
        "https://git.example.com:8443/group/sub/r.git#:dir",
    ),
    (
        "https://gitlab.com/g/r.git#3a6bc05ddd5c9ef5ff2a1f2ae0dcd3cf7e8a6d9a",
        "https://gitlab.com/g/r.git",
        Some("3a6bc05ddd5c9ef5ff2a1f2ae0dcd3cf7e8a6d9a"),
        "",
        "Dockerfile",
        "https://gitlab.com/g/r.git#3a6bc05ddd5c9ef5ff2a1f2ae0dcd3cf7e8a6d9a",
    ),
    (
        "https://gitlab.com/g/r.git#",
        "https://gitlab.com/g/r.git",
        None,
        "",
        "Dockerfile",
        "https://gitlab.com/g/r.git",
    ),
];

#[test]
fn git_sources_are_spelled_in_one_way() {
    for (given, url, git_ref, folder, file, expected) in GIT.iter().copied() {
        let parsed = ImageSource::parse(given).unwrap();
        let ImageSource::Git(git) = &parsed else {
            unreachable!("{given}")
        };
        assert_eq!((git.url(), git.git_ref()), (url, git_ref), "{given}");
        assert_eq!(
            (git.context_dir(), git.dockerfile()),
            (folder, file),
            "{given}"
        );
        assert_eq!(parsed.to_string(), expected, "{given}");
        assert_eq!(ImageSource::parse(expected).unwrap(), parsed, "{given}");
        assert!(git.build_remote().starts_with(url), "{given}");
    }
}

use ImageError as E;

const REFUSED: &[(&str, ImageError)] = &[
    ("", E::Empty),
    (" nginx", E::Characters),
    ("nginx latest", E::Characters),
    ("nginx\n", E::Characters),
    ("nginx\0", E::Characters),
    ("ngïnx", E::Characters),
    ("{hex}", E::ImageId),
    ("sha256:{hex}", E::ImageId),
    ("Nginx", E::Repository),
    ("ghcr.io/Owner/name", E::Repository),
    ("ghcr.io/", E::Repository),
    ("ghcr.io//x", E::Repository),
    ("a//b", E::Repository),
    ("/a", E::Repository),
    ("a/", E::Repository),
    ("-a", E::Repository),
    ("a-", E::Repository),
    ("a..b", E::Repository),
    ("a___b", E::Repository),
    ("a._b", E::Repository),
    ("../a", E::Registry),
    ("a;rm", E::Repository),
    ("$(id)", E::Repository),
    ("a/{{b}}", E::Repository),
    ("--privileged", E::Repository),
    ("-host.io/x", E::Registry),
    ("host-.io/x", E::Registry),
    ("host..io/x", E::Registry),
    ("localhost:0/x", E::Registry),
    ("localhost:65536/x", E::Registry),
    ("localhost:/x", E::Registry),
    ("localhost:+5/x", E::Registry),
    ("[::1/x", E::Registry),
    ("127.1:5000/x", E::Registry),
    ("2130706433:5000/x", E::Registry),
    ("0x7f000001:5000/x", E::Registry),
    ("127.0.0.1./x", E::Registry),
    ("[::zz]:5000/x", E::Registry),
    ("nginx:", E::Tag),
    ("nginx:-x", E::Tag),
    ("nginx:.x", E::Tag),
    ("nginx:a+b", E::Tag),
    ("nginx@", E::Digest),
    ("nginx@sha256:abc", E::Digest),
    ("nginx@md5:{hex}", E::Digest),
    ("nginx@sha256:{hex}0", E::Digest),
    ("nginx@sha256:{hex}@sha256:{hex}", E::Digest),
    ("user@host/x", E::Digest),
    ("github.com/o/r", E::SchemeMissing),
    ("git@github.com:o/r.git", E::Source),
    ("docker://nginx", E::Source),
    ("ssh://git@host/r.git", E::Source),
    ("git://host/r.git", E::Source),
    ("file:///etc/passwd", E::Source),
    ("https://", E::Source),
    ("https://github.com", E::Source),
    ("https://github.com/o", E::Source),
    ("https://github.com/o/r/tree/main/src", E::Source),
    ("https://github.com/o/r/blob", E::Source),
    ("https://hub.docker.com/r/mcp/fetch", E::Source),
    ("https://example.com/x", E::Source),
    ("https://example.com/x.git?token=1", E::Source),
    ("http://github.com/o/r", E::Insecure),
    ("http://example.com/r.git", E::Insecure),
    ("https://token@github.com/o/r", E::Credentials),
    ("https://u:p@host.io/r.git", E::Credentials),
    ("https://127.1/r.git", E::GitHost),
    ("https://127.0.0.1./r.git", E::GitHost),
    ("https://0177.0.0.1/r.git", E::GitHost),
    ("https://2130706433/r.git", E::GitHost),
    ("https://0x7f000001/r.git", E::GitHost),
    ("https://host.io/.git", E::GitPath),
    ("https://-x.io/r.git", E::GitHost),
    ("https://host.io/../r.git", E::GitPath),
    ("https://host.io/a/.git", E::GitPath),
    ("https://host.io/a%2Fr.git", E::GitPath),
    ("https://github.com/o/r.git#main:../x", E::GitPath),
    ("https://github.com/o/r.git#main:/etc", E::GitPath),
    ("https://github.com/o/.git", E::GitPath),
    ("https://github.com/o/r.git#--upload-pack=x", E::GitRef),
    ("https://github.com/o/r.git#a..b", E::GitRef),
    ("https://github.com/o/r.git#a//b", E::GitRef),
    ("https://github.com/o/r.git#a.lock", E::GitRef),
    ("https://github.com/o/r.git#@", E::GitRef),
    ("https://github.com/o/r.git#a#b", E::GitRef),
    ("https://github.com/o/r/blob/-x/Dockerfile", E::GitRef),
    ("https://github.com/o/r/blob/main/Dockerfile#L1", E::GitRef),
    ("https://github.com/o/r/blob/main", E::NotADockerfile),
    (
        "https://github.com/o/r/blob/main/README.md",
        E::NotADockerfile,
    ),
];

#[test]
fn what_is_no_image_is_refused_with_its_code() {
    let long = [
        ("a".repeat(3000), E::TooLong),
        (format!("x/{}", "a".repeat(256)), E::Repository),
        (format!("x:{}", "t".repeat(129)), E::Tag),
        (format!("https://{}.io/r.git", "h".repeat(64)), E::GitHost),
        (
            format!("https://host.io/r.git#{}", "r".repeat(256)),
            E::GitRef,
        ),
    ];
    let short = REFUSED.iter().map(|(given, error)| (fill(given), *error));
    for (given, error) in short.chain(long) {
        assert_eq!(ImageSource::parse(&given), Err(error), "{given:?}");
    }
}

/// Both kinds of source at the same host are judged alike.
fn judged(host: &str, allowed: &Allowed) -> Result<(), AddressError> {
    let check = |text: String| ImageSource::parse(&text).unwrap().check_address(allowed);
    let of_image = check(format!("{host}/owner/name:1"));
    let of_git = check(format!("https://{host}/owner/name.git#main"));
    assert_eq!(of_image, of_git, "{host}");
    of_image
}

#[test]
fn registries_and_git_hosts_that_are_not_public_are_refused_alike() {
    let inside = AddressError::NotPublic;
    for (host, refusal) in [
        ("127.0.0.1:5000", inside(Refusal::Loopback)),
        ("127.9.9.9", inside(Refusal::Loopback)),
        ("10.1.2.3:5000", inside(Refusal::Private)),
        ("169.254.169.254", inside(Refusal::LinkLocal)),
        ("0.0.0.0:5000", inside(Refusal::Unspecified)),
        ("[::1]:5000", inside(Refusal::Loopback)),
        ("[::127.0.0.1]:5000", inside(Refusal::Reserved)),
        ("[::ffff:127.0.0.1]", inside(Refusal::Loopback)),
        ("[64:ff9b::7f00:1]", inside(Refusal::Loopback)),
        ("[2002:a9fe:a9fe::1]", inside(Refusal::LinkLocal)),
        ("localhost:5000", AddressError::InnerName),
        ("localhost", AddressError::InnerName),
        ("a.localhost", AddressError::InnerName),
        ("registry:5000", AddressError::InnerName),
        ("metadata.google.internal", AddressError::InnerName),
    ] {
        assert_eq!(judged(host, &Allowed::default()), Err(refusal), "{host}");
        let list: Allowed = host.parse().unwrap();
        assert_eq!(judged(host, &list), Ok(()), "{host}");
    }
    for host in [
        "ghcr.io",
        "registry.example.com:5000",
        "8.8.8.8:443",
        "127.0.0.1.host.io",
    ] {
        assert_eq!(judged(host, &Allowed::default()), Ok(()), "{host}");
    }
    for image in [
        "nginx",
        "owner/name:1",
        "https://github.com/owner/repository",
    ] {
        let source = ImageSource::parse(image).unwrap();
        assert_eq!(source.check_address(&Allowed::default()), Ok(()), "{image}");
    }
}

#[test]
fn git_over_http_is_for_hosts_that_somebody_must_list() {
    for given in [
        "http://127.0.0.1:8080/r.git",
        "http://[::1]:8080/r.git#main:dir",
        "http://localhost/r.git",
        "http://git.lan/r.git",
    ] {
        let source = ImageSource::parse(given).unwrap();
        assert_eq!(source.to_string(), given);
        assert!(
            source.check_address(&Allowed::default()).is_err(),
            "{given}"
        );
    }
    for given in [
        "http://host.io/r.git",
        "http://127.0.0.1.host.io/r.git",
        "http://8.8.8.8/r.git",
    ] {
        assert_eq!(
            ImageSource::parse(given),
            Err(ImageError::Insecure),
            "{given}"
        );
    }
}

#[test]
fn codes_are_stable_words() {
    for error in [
        ImageError::Empty,
        ImageError::Source,
        ImageError::GitRef,
        ImageError::NotADockerfile,
    ] {
        assert!(
            error
                .code()
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(!text.ends_with('.') && !text.contains("  "), "{text:?}");
    }
}

/// Texts near the border between good and bad.
fn near_reference() -> impl Strategy<Value = String> {
    let host =
        "([a-z]{1,3}[.])?[a-zA-Z0-9-]{1,4}[.:][a-z0-9]{1,5}|localhost|\\[::1\\](:[0-9]{1,5})?";
    let path = "[a-z0-9]{1,4}([._-]{1,2}[a-zA-Z0-9]{1,3}){0,2}";
    (
        prop::option::of(host),
        prop::collection::vec(path, 1..4),
        prop::option::weighted(0.5, "[a-zA-Z0-9_.-]{0,6}"),
        prop::option::weighted(0.3, "sha256:([0-9a-f]{64}|[0-9a-fA-F]{63,65})"),
    )
        .prop_map(|(host, path, tag, digest)| {
            let host = host.map_or(String::new(), |host| host + "/");
            let tag = tag.map_or(String::new(), |tag| format!(":{tag}"));
            let digest = digest.map_or(String::new(), |digest| format!("@{digest}"));
            format!("{host}{}{tag}{digest}", path.join("/"))
        })
}

fn near_git() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec![
        "github.com",
        "www.github.com",
        "git.example.com:8443",
        "127.0.0.1",
    ]);
    let path = "[a-zA-Z0-9._~-]{1,5}/[a-zA-Z0-9._-]{1,5}([.]git|/|/blob/[a-z0-9.-]{1,4}(/[a-z.]{1,3})?/[xD]?ockerfile)?";
    let fragment = prop::option::of("[a-zA-Z0-9./@-]{0,6}(:[a-z./]{0,5})?");
    (
        prop::sample::select(vec!["https", "http"]),
        host,
        path,
        fragment,
    )
        .prop_map(|(scheme, host, path, fragment)| {
            let fragment = fragment.map_or(String::new(), |fragment| format!("#{fragment}"));
            format!("{scheme}://{host}/{path}{fragment}")
        })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_printed_parses_to_itself(
        text in prop_oneof![near_reference(), near_git(), any::<String>(), "[ -~]{1,30}"],
    ) {
        let Ok(source) = ImageSource::parse(&text) else { return Ok(()) };
        let printed = source.to_string();
        prop_assert_eq!(ImageSource::parse(&printed), Ok(source), "{} printed as {}", text, printed);
        prop_assert!(printed.bytes().all(|b| b.is_ascii_graphic()));
    }

    #[test]
    fn no_part_of_a_git_source_is_an_option_or_leaves_the_repository(text in near_git()) {
        let Ok(ImageSource::Git(git)) = ImageSource::parse(&text) else { return Ok(()) };
        let is_public = git.target().check(&Allowed::default()).is_ok();
        prop_assert!(git.url().starts_with("https://") || !is_public);
        prop_assert!(git.url().strip_suffix(".git").is_some());
        prop_assert!(git.git_ref().is_none_or(|r| !r.is_empty() && !r.starts_with('-')));
        let inside = |part: &str| !matches!(part, "" | "." | "..");
        prop_assert!(git.context_dir().is_empty() || git.context_dir().split('/').all(inside));
        prop_assert!(!git.dockerfile().contains('/') && inside(git.dockerfile()));
    }

    #[test]
    fn texts_of_the_right_shape_are_accepted_as_they_are(
        repository in prop::collection::vec("[a-z0-9]{1,5}", 1..4),
        tag in "[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,8}",
    ) {
        let text = format!("registry.example.com:5000/{}:{tag}", repository.join("/"));
        prop_assert_eq!(ImageSource::parse(&text).unwrap().to_string(), text);
    }
}
