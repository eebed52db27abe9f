//! TLS from a native program to an agent: exactly the enrolled certificate is accepted, whatever any authority says of
//! another one, and whatever name the agent is called by.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

/// The pinned certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// The text is not a certificate in PEM.
    #[error("the pinned certificate could not be read; enrol the toolbox again")]
    Unreadable(#[source] rustls::pki_types::pem::Error),
    /// rustls cannot be set up.
    #[error("could not set up TLS")]
    Tls(#[from] Error),
}

/// How a client speaks TLS to the agent that enrolled the certificate `pem`, and to nobody else. No ALPN is offered.
pub fn pinned_client_config(pem: &str) -> Result<ClientConfig, PinError> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Pinned {
        certificate: CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(PinError::Unreadable)?,
        algorithms: provider.signature_verification_algorithms,
    };
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pinned {
    /// Neither name nor dates count: the certificate was pinned as it is.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            Ok(ServerCertVerified::assertion())
        } else {
            let refused = CertificateError::ApplicationVerificationFailure;
            Err(Error::InvalidCertificate(refused))
        }
    }

    // These prove that the server has the certificate's key.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use rustls::server::{ClientHello, ResolvesServerCert};
    use rustls::sign::CertifiedKey;
    use rustls::{
        ClientConnection, ServerConfig, ServerConnection, SupportedProtocolVersion, version,
    };

    use super::*;

    fn certificate(key: &KeyPair) -> rcgen::Certificate {
        let params = CertificateParams::new(vec!["agent.invalid".to_owned()]).unwrap();
        params.self_signed(key).unwrap()
    }

    /// Presents a certificate and signs with a key, whether they belong together or not.
    #[derive(Debug)]
    struct Presents(Arc<CertifiedKey>);

    impl ResolvesServerCert for Presents {
        fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            Some(Arc::clone(&self.0))
        }
    }

    fn handshake(
        pin: &str,
        chain: &[&rcgen::Certificate],
        key: &KeyPair,
        version: &'static SupportedProtocolVersion,
    ) -> Result<(), Error> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let key = ring::sign::any_supported_type(&key).unwrap();
        let chain = chain.iter().map(|c| c.der().clone()).collect();
        let presents = Presents(Arc::new(CertifiedKey::new(chain, key)));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(presents));
        let mut server = ServerConnection::new(Arc::new(config)).unwrap();
        let config = Arc::new(pinned_client_config(pin).unwrap());
        let name = ServerName::try_from("192.0.2.1").unwrap();
        let mut client = ClientConnection::new(config, name).unwrap();
        for _ in 0..4 {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            server.write_tls(&mut bytes).unwrap();
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        assert!(!client.is_handshaking() && !server.is_handshaking());
        Ok(())
    }

    #[test]
    fn only_the_pinned_certificate_with_its_key_is_accepted() {
        let [key, other_key] = [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()];
        let own = certificate(&key);
        let again = certificate(&key);
        let other = certificate(&other_key);
        let pin = own.pem();
        let refused = Err(Error::InvalidCertificate(
            CertificateError::ApplicationVerificationFailure,
        ));
        for version in [&version::TLS12, &version::TLS13] {
            assert_eq!(handshake(&pin, &[&own], &key, version), Ok(()));
            // Another one of the same name; one of the same key; another one with the pinned one behind it.
            assert_eq!(handshake(&pin, &[&other], &other_key, version), refused);
            assert_eq!(handshake(&pin, &[&again], &key, version), refused);
            let chain = [&other, &own];
            assert_eq!(handshake(&pin, &chain, &other_key, version), refused);
            // The pinned one, without its key.
            assert_eq!(
                handshake(&pin, &[&own], &other_key, version),
                Err(Error::InvalidCertificate(CertificateError::BadSignature))
            );
        }
    }

    #[test]
    fn what_is_no_certificate_is_not_pinned() {
        for pem in [
            "",
            "PEM",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----",
        ] {
            let error = pinned_client_config(pem).unwrap_err();
            assert!(matches!(error, PinError::Unreadable(_)), "{pem}");
        }
    }
}
