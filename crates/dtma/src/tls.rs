//! The agent's TLS identity: a key and a self-signed certificate, made at the first start.
//!
//! The control plane trusts exactly this certificate, so it stays the same as long as the state folder lives; another
//! one is refused until the toolbox enrols again. Nobody could renew it in time, so it does not expire. It is no
//! authority (`CA:FALSE`): rustls takes no authority's certificate for a server's.
//!
//! It carries the toolbox's own name ([`agent_host`]), by which the control plane verifies it, and the machine's
//! addresses, by which other clients do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use toolbox_domain::ids::ToolboxId;
use toolbox_domain::names::agent_host;

use crate::durable;
use crate::runtime::networks::BRIDGE_START;

/// Key and certificate in one file, so that there is never one without the other.
const FILE: &str = "tls.pem";
/// Most names in the certificate beside the toolbox's own; a machine with more has bridges that nobody calls it by.
const MAX_NAMES: usize = 64;

/// There is no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file system refused.
    #[error("could not read or write '{path}'")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The certificate could not be made.
    #[error("could not make a certificate")]
    Make(#[from] rcgen::Error),
    /// rustls takes it not.
    #[error("the certificate in '{path}' cannot be used; move it away and enrol again")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// Key and certificate.
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// SHA-256 of the certificate (DER), 64 hexadecimal digits.
    pub certificate_sha256: String,
    path: PathBuf,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads the identity of `toolbox` from `state_dir`, or makes it for this machine's addresses and `names`. A file
    /// that holds none, or one without the toolbox's own name, is moved aside. Blocks.
    pub fn load_or_make(
        state_dir: &Path,
        toolbox: ToolboxId,
        names: &[String],
    ) -> Result<Self, TlsError> {
        let path = state_dir.join(FILE);
        let io = |source| TlsError::Io {
            path: path.clone(),
            source,
        };
        if let Some(pem) = durable::read(&path).map_err(io)? {
            let host = agent_host(toolbox);
            let fault = match Self::parse(path.clone(), &pem) {
                Some(identity) if identity.is_for(&host) => {
                    identity.warn_of_missing(names);
                    return Ok(identity);
                }
                Some(_) => "does not carry the toolbox's name",
                None => "could not be read",
            };
            let aside = state_dir.join(format!("{FILE}.unusable"));
            std::fs::rename(&path, &aside).map_err(io)?;
            tracing::error!(name = %host, moved_to = %aside.display(), "the TLS certificate {fault}; made another one, which the control plane refuses until the toolbox is enrolled again with a new token");
        }
        let pem = make(toolbox, names)?;
        durable::write(state_dir, FILE, pem.as_bytes()).map_err(io)?;
        Self::parse(path.clone(), &pem).ok_or_else(|| {
            io(io::Error::new(
                io::ErrorKind::InvalidData,
                "no certificate in it",
            ))
        })
    }

    /// Reads the identity of `toolbox`, and changes nothing; none where there is none that could be used. Blocks.
    pub fn load(state_dir: &Path, toolbox: ToolboxId) -> Result<Option<Self>, TlsError> {
        let path = state_dir.join(FILE);
        let pem = durable::read(&path).map_err(|source| TlsError::Io {
            path: path.clone(),
            source,
        })?;
        let identity = pem.and_then(|pem| Self::parse(path, &pem));
        Ok(identity.filter(|identity| identity.is_for(&agent_host(toolbox))))
    }

    fn parse(path: PathBuf, pem: &str) -> Option<Self> {
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).ok()?;
        let begin = pem.find("-----BEGIN CERTIFICATE-----")?;
        let certificate_sha256 = crate::record::hex(&Sha256::digest(&certificate));
        Some(Self {
            certificate_pem: pem[begin..].to_owned(),
            certificate_sha256,
            path,
            certificate,
            key,
        })
    }

    /// A certificate is not made anew for another name: that would end the trust in it.
    fn warn_of_missing(&self, names: &[String]) {
        for name in names {
            if !self.is_for(name) {
                tracing::warn!(%name, path = %self.path.display(), "the certificate was made without this name; to have it, remove the file and enrol the toolbox again");
            }
        }
    }

    fn is_for(&self, name: &str) -> bool {
        let Ok(certificate) = webpki::EndEntityCert::try_from(&self.certificate) else {
            return false;
        };
        ServerName::try_from(name)
            .is_ok_and(|n| certificate.verify_is_valid_for_subject_name(&n).is_ok())
    }

    /// How the server speaks: TLS 1.3, HTTP/1.1.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let unusable = |source| TlsError::Unusable {
            path: self.path.clone(),
            source,
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// A key and its certificate, as PEM.
fn make(toolbox: ToolboxId, names: &[String]) -> Result<String, rcgen::Error> {
    let mut all: Vec<String> = names.to_vec();
    all.extend(addresses().iter().map(ToString::to_string));
    all.push("localhost".to_owned());
    all.sort();
    all.dedup();
    // What was asked for comes first when there are too many.
    all.sort_by_key(|name| !names.contains(name));
    all.truncate(MAX_NAMES);
    all.insert(0, agent_host(toolbox));
    let mut params = CertificateParams::new(all)?;
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, format!("DTMA {toolbox}"));
    params.distinguished_name = subject;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", key.serialize_pem(), certificate.pem()))
}

/// The addresses of this machine that a caller may use.
fn addresses() -> Vec<IpAddr> {
    // Without them the configured names are all there is.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let elsewhere = interfaces
        .iter()
        .filter(|i| !i.is_loopback() && !i.is_link_local());
    callable(elsewhere.map(|i| (&*i.name, i.ip())))
}

/// Loopback, and the addresses of `interfaces` but for the bridges of tools, of which there may be more than a certificate
/// has names.
fn callable<'a>(interfaces: impl Iterator<Item = (&'a str, IpAddr)>) -> Vec<IpAddr> {
    let mut found = vec![
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
    let callers = interfaces.filter(|(name, _)| !name.starts_with(BRIDGE_START));
    found.extend(callers.map(|(_, ip)| ip));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolbox() -> ToolboxId {
        ToolboxId::new(uuid::Uuid::from_u128(7))
    }

    #[test]
    fn bridges_of_tools_leave_room_for_the_addresses_of_callers() {
        let of = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0ad5_0001 + 8 * n));
        let bridges: Vec<_> = (0..200)
            .map(|n| (format!("tbxaaaaa{n:07}"), of(n)))
            .collect();
        let public = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
        let all = bridges.iter().map(|(name, ip)| (&**name, *ip));
        let found = callable(all.chain([("eth0", public)]));
        assert_eq!(found[2..], [public]);
    }

    #[test]
    fn an_identity_is_made_once_and_names_what_it_is_called_by() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["203.0.113.7".to_owned(), "tools.example.org".to_owned()];
        assert!(Identity::load(dir.path(), toolbox()).unwrap().is_none());
        let first = Identity::load_or_make(dir.path(), toolbox(), &names).unwrap();
        let read = Identity::load(dir.path(), toolbox()).unwrap().unwrap();
        assert_eq!(first.certificate_sha256, read.certificate_sha256);
        let again = Identity::load_or_make(dir.path(), toolbox(), &[]).unwrap();
        assert_eq!(first.certificate_sha256, again.certificate_sha256);
        assert_eq!(first.certificate_pem, again.certificate_pem);
        assert!(!first.certificate_pem.contains("PRIVATE KEY"));
        let certificate = webpki::EndEntityCert::try_from(&first.certificate).unwrap();
        let own = agent_host(toolbox());
        for name in [
            own.as_str(),
            "203.0.113.7",
            "tools.example.org",
            "127.0.0.1",
            "::1",
        ] {
            let name = ServerName::try_from(name).unwrap();
            certificate.verify_is_valid_for_subject_name(&name).unwrap();
        }
        first.server_config().unwrap();
    }

    #[test]
    fn what_is_no_identity_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::load_or_make(dir.path(), toolbox(), &[]).unwrap();
        std::fs::write(dir.path().join(FILE), "garbage").unwrap();
        let second = Identity::load_or_make(dir.path(), toolbox(), &[]).unwrap();
        assert_ne!(first.certificate_sha256, second.certificate_sha256);
        assert!(dir.path().join("tls.pem.unusable").exists());
    }

    #[test]
    fn a_certificate_without_the_toolboxs_name_is_moved_aside() {
        let dir = tempfile::tempdir().unwrap();
        let other = ToolboxId::new(uuid::Uuid::from_u128(8));
        let before = Identity::load_or_make(dir.path(), other, &[]).unwrap();
        let made = Identity::load_or_make(dir.path(), toolbox(), &[]).unwrap();
        assert_ne!(before.certificate_sha256, made.certificate_sha256);
        assert!(made.is_for(&agent_host(toolbox())));
        let aside = std::fs::read_to_string(dir.path().join("tls.pem.unusable")).unwrap();
        assert!(aside.contains(&before.certificate_pem));
        let again = Identity::load_or_make(dir.path(), toolbox(), &[]).unwrap();
        assert_eq!(made.certificate_sha256, again.certificate_sha256);
    }
}
