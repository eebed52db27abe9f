//! A private registry: `docker-registry` of Debian, on a port of its own.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bollard::query_parameters as q;
use futures_util::StreamExt;
use tempfile::TempDir;

use crate::agent::own_port;
use crate::docker;

/// A user nobody logs in as: an entry must exist for the registry to ask for one.
const HTPASSWD: &str = "ci:$2y$05$abcdefghijklmnopqrstuuJ1zYxWvUtSrQpOnMlKjIhGfEdCbA123\n";

/// A running registry.
pub struct Registry {
    pub port: u16,
    child: Child,
    _folder: TempDir,
}

impl Registry {
    /// A registry that gives to everybody, or only to users.
    pub async fn start(users_only: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = own_port();
        let path = |name: &str| folder.path().join(name);
        let mut config = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\nlog: {{level: error}}\n",
            path("data").display()
        );
        if users_only {
            docker::write(&path("htpasswd"), HTPASSWD.as_bytes());
            writeln!(
                config,
                "auth: {{htpasswd: {{realm: test, path: {}}}}}",
                path("htpasswd").display()
            )
            .unwrap();
        }
        docker::write(&path("config.yml"), config.as_bytes());
        #[allow(clippy::disallowed_methods, reason = "tests bring their own registry")]
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("these tests need docker-registry (package docker-registry)");
        let registry = Self {
            port,
            child,
            _folder: folder,
        };
        docker::eventually("the registry answers", Duration::from_secs(10), || async {
            reqwest::get(format!("http://127.0.0.1:{port}/v2/"))
                .await
                .is_ok()
        })
        .await;
        registry
    }

    /// `127.0.0.1:port/name`.
    pub fn image(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// Pushes the test image, and takes it off the machine again.
    pub async fn push(&self, name: &str, tag: &str) {
        self.push_image(docker::IMAGE, name, tag).await;
        self.forget(name, tag).await;
    }

    /// Pushes the test image with another content, as a newer version of it would have, and takes it off again. What the
    /// tag names on this machine stays.
    pub async fn push_newer(&self, name: &str, tag: &str) {
        self.push_built(name, tag, "").await;
    }

    /// The same with more in its Dockerfile.
    pub async fn push_built(&self, name: &str, tag: &str, instructions: &str) {
        let version = uuid::Uuid::new_v4();
        let local = format!("dtma-test/newer:{}", version.simple());
        let dockerfile = format!(
            "FROM {}\nLABEL version={version}\n{instructions}",
            docker::IMAGE
        );
        docker::build(&local, &[("Dockerfile", dockerfile.as_bytes())]).await;
        let tagged = format!("{}:{tag}", self.image(name));
        let before = docker::connect().inspect_image(&tagged).await;
        let before = before.ok().and_then(|image| image.id);
        self.push_image(&local, name, tag).await;
        if let Some(before) = before {
            self.tag(&before, name, tag).await;
        }
        docker::forget_image(&local).await;
    }

    async fn tag(&self, image: &str, name: &str, tag: &str) {
        let tagging = q::TagImageOptionsBuilder::default()
            .repo(&self.image(name))
            .tag(tag)
            .build();
        let tagged = docker::connect().tag_image(image, Some(tagging)).await;
        tagged.unwrap();
    }

    async fn push_image(&self, image: &str, name: &str, tag: &str) {
        let docker = docker::connect();
        let repository = self.image(name);
        self.tag(image, name, tag).await;
        let options = q::PushImageOptionsBuilder::default().tag(tag).build();
        let credentials = Some(bollard::auth::DockerCredentials::default());
        let mut steps = docker.push_image(&repository, Some(options), credentials);
        while let Some(step) = steps.next().await {
            step.unwrap();
        }
    }

    /// Takes an image off the machine.
    pub async fn forget(&self, name: &str, tag: &str) {
        let image = format!("{}:{tag}", self.image(name));
        let _ = docker::connect()
            .remove_image(&image, None::<q::RemoveImageOptions>, None)
            .await;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
