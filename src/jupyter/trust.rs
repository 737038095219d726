//! Certificates of a server's own, which `SSL_CERT_FILE` names. Those that `openssl req -x509` makes, as Jupyter's documentation has it, are
//! authorities by their own words, and no server's: TLS libraries differ in whether they take them. Here one that is named is trusted as it is.

use std::path::Path;
use std::sync::Arc;

use reqwest::ClientBuilder;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::error::JupyterError;
use crate::edge::env::certificates;

/// Trusts what the system trusts, and these certificates.
#[derive(Debug)]
struct Trust {
    system: Verifier,
    own: Vec<CertificateDer<'static>>,
}

/// Has a client trust the certificates that the environment names, if it names some.
///
/// # Errors
/// [`JupyterError::Untrusted`] if they cannot be read.
pub(super) fn trust_certificates(builder: ClientBuilder) -> Result<ClientBuilder, JupyterError> {
    Ok(match certificates() {
        Some(file) => builder.tls_backend_preconfigured(with_certificates(&file)?),
        None => builder,
    })
}

fn with_certificates(file: &Path) -> Result<ClientConfig, JupyterError> {
    let failed = |error: &dyn std::fmt::Display| {
        JupyterError::Untrusted(format!("SSL_CERT_FILE, {}: {error}", file.display()))
    };
    let own = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let own: Vec<_> = own.map_err(|error| failed(&error))?;
    if own.is_empty() {
        return Err(failed(&"there is no certificate in it"));
    }
    let provider = Arc::new(default_provider());
    let system = Verifier::new_with_extra_roots(own.clone(), provider.clone());
    let system = system.map_err(|error| failed(&error))?;
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| failed(&error))?;
    let trust = Arc::new(Trust { system, own });
    let config = config.dangerous().with_custom_certificate_verifier(trust);
    Ok(config.with_no_client_auth())
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.own.contains(certificate) {
            return Ok(ServerCertVerified::assertion());
        }
        self.system
            .verify_server_cert(certificate, others, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.system
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.system.supported_verify_schemes()
    }
}
