//! Where images may come from: registries and Git hosts at public addresses, and those that whoever runs the machine lists.
//!
//! Docker fetches for whoever names an image, from within the machine's network. So a host is judged before Docker hears
//! of it, by its text and by each address that its name leads to now. Docker resolves the name by itself afterwards: a name
//! whose owner changes it in between leads Docker to another address, and so does a redirect of a host that is public.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use toolbox_domain::address::{AddressError, Allowed, Host, Target};

use super::RuntimeError;
use crate::reason::ReasonCode;

/// How long a name may take to be resolved.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// Most addresses of a name that are looked at; a name with more is refused.
const MAX_ADDRESSES: usize = 64;
/// Where nothing is written.
const HTTPS_PORT: u16 = 443;

/// What is allowed.
#[derive(Debug, Default)]
pub struct Sources {
    allowed: Arc<Allowed>,
}

impl Sources {
    /// Public sources and these.
    pub const fn new(allowed: Arc<Allowed>) -> Self {
        Self { allowed }
    }

    /// Refuses what leads into an inner network.
    pub async fn check(&self, source: &Target) -> Result<(), RuntimeError> {
        self.check_with(source, |host, port| async move {
            let found = tokio::net::lookup_host((host.as_str(), port)).await?;
            Ok(found
                .map(|at: SocketAddr| at.ip())
                .take(MAX_ADDRESSES + 1)
                .collect())
        })
        .await
    }

    async fn check_with<F>(
        &self,
        source: &Target,
        resolve: impl FnOnce(String, u16) -> F,
    ) -> Result<(), RuntimeError>
    where
        F: Future<Output = io::Result<Vec<IpAddr>>>,
    {
        source
            .check(&self.allowed)
            .map_err(|error| refused(refusal(source, error)))?;
        let Host::Name(name) = &source.host else {
            return Ok(());
        };
        if self.allowed.has_target(source) {
            return Ok(());
        }
        let looking = resolve(name.clone(), source.port.unwrap_or(HTTPS_PORT));
        // Docker may know a way that the agent does not, such as a proxy. Where that leads nobody has judged.
        let found = tokio::time::timeout(RESOLVE_LIMIT, looking).await;
        let found = found.ok().and_then(Result::ok).unwrap_or_default();
        if found.is_empty() {
            tracing::info!(%source, "refused a source; its name could not be resolved");
            return Err(RuntimeError::Refused {
                code: ReasonCode::SourceUnresolved,
                message: format!(
                    "The name {source} could not be resolved on the machine, so nobody knows whether it leads into an inner network; check the name, and the machine's name server. Where Docker reaches it by a proxy or a mirror all the same, {WHOM_TO_ASK}"
                ),
            });
        }
        if found.len() > MAX_ADDRESSES {
            return Err(refused(format!("The name {source} has too many addresses")));
        }
        for ip in found {
            if let Err(why) = self.allowed.check_ip(ip, source.port) {
                tracing::info!(%source, %ip, "refused a source; its name leads into an inner network");
                return Err(refused(format!(
                    "The name {source} leads to {why}; {WHOM_TO_ASK}"
                )));
            }
        }
        Ok(())
    }
}

const WHOM_TO_ASK: &str =
    "whoever runs the machine can allow it in the agent's setting DTMA_ALLOW_PRIVATE_SOURCES";

/// The sentence for a source that is refused by its text.
pub fn refusal(source: &Target, error: AddressError) -> String {
    match error {
        AddressError::NotPublic(why) => {
            format!("{source} is {why}, and images come from public ones; {WHOM_TO_ASK}")
        }
        AddressError::InnerName => format!(
            "{source} is a name of an inner network, and images come from public hosts; {WHOM_TO_ASK}"
        ),
        error => error.to_string(),
    }
}

fn refused(message: String) -> RuntimeError {
    RuntimeError::Refused {
        code: ReasonCode::SourceNotPublic,
        message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of `source` when its name leads to the addresses in `found`.
    async fn judged(allowed: &str, source: &str, found: &str) -> Result<(), ReasonCode> {
        let sources = Sources::new(Arc::new(allowed.parse().unwrap()));
        let source: Target = source.parse().unwrap();
        let found: Vec<IpAddr> = found.split(' ').filter_map(|ip| ip.parse().ok()).collect();
        let judged = sources.check_with(&source, |_, _| async { Ok(found) });
        judged.await.map_err(|error| match error {
            RuntimeError::Refused { code, message } => {
                assert!(message.contains("DTMA_ALLOW_PRIVATE_SOURCES"), "{message}");
                assert!(!message.contains("10.0.0."), "{message}");
                code
            }
            other => panic!("{other}"),
        })
    }

    #[tokio::test]
    async fn a_name_is_judged_by_each_address_that_it_leads_to() {
        let no = Err(ReasonCode::SourceNotPublic);
        for (allowed, source, found, judgement) in [
            ("", "r.example.com", "8.8.8.8 2606:4700::1", Ok(())),
            ("", "r.example.com", "127.0.0.1", no),
            ("", "r.example.com", "8.8.8.8 10.0.0.9", no),
            ("", "r.example.com", "8.8.8.8 ::ffff:10.0.0.9", no),
            ("", "r.example.com:5000", "64:ff9b::7f00:1", no),
            ("", "r.example.com", "fd00::1", no),
            ("10.0.0.0/8", "r.example.com", "10.0.0.9", Ok(())),
            ("10.0.0.0/8", "r.example.com", "10.0.0.9 127.0.0.1", no),
            ("10.0.0.9:5000", "r.example.com:5000", "10.0.0.9", Ok(())),
            ("10.0.0.9:5000", "r.example.com:5001", "10.0.0.9", no),
            ("r.example.com", "r.example.com:5000", "127.0.0.1", Ok(())),
            ("", "127.0.0.1:5000", "", no),
            ("", "localhost:5000", "8.8.8.8", no),
            ("127.0.0.1", "127.0.0.1:5000", "", Ok(())),
        ] {
            let given = format!("{allowed} {source} {found}");
            assert_eq!(judged(allowed, source, found).await, judgement, "{given}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_that_cannot_be_resolved_is_refused_unless_it_is_listed() {
        type Answer = std::pin::Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;
        let answers: [fn() -> Answer; 3] = [
            || Box::pin(async { Err(io::Error::other("no such name")) }),
            || Box::pin(async { Ok(Vec::new()) }),
            || Box::pin(std::future::pending()),
        ];
        let source: Target = "r.example.com".parse().unwrap();
        for answer in answers {
            let sources = Sources::default();
            match sources.check_with(&source, |_, _| answer()).await {
                Err(RuntimeError::Refused { code, message }) => {
                    assert_eq!(code, ReasonCode::SourceUnresolved);
                    assert!(code.may_heal());
                    for words in ["r.example.com", "proxy", "DTMA_ALLOW_PRIVATE_SOURCES"] {
                        assert!(message.contains(words), "{message}");
                    }
                }
                other => panic!("{other:?}"),
            }
            let listed = Sources::new(Arc::new("r.example.com".parse().unwrap()));
            let judged = listed.check_with(&source, |_, _| answer()).await;
            assert_eq!(judged, Ok(()));
        }
    }

    #[tokio::test]
    async fn a_name_with_more_addresses_than_are_looked_at_is_refused() {
        let many = (0..=MAX_ADDRESSES)
            .map(|_| IpAddr::from([8, 8, 8, 8]))
            .collect();
        let sources = Sources::default();
        let source: Target = "r.example.com".parse().unwrap();
        let judged = sources.check_with(&source, |_, _| async { Ok(many) }).await;
        assert!(matches!(judged, Err(RuntimeError::Refused { .. })));
    }
}
