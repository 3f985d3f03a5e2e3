//! The TLS client configuration for connections to PostgreSQL.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// A configuration that verifies against the CA certificates in the file `SSL_CERT_FILE`, or
/// against the system's. Fails with a sentence for the operator.
pub fn client() -> Result<Arc<ClientConfig>, String> {
    let file = std::env::var("SSL_CERT_FILE")
        .unwrap_or_else(|_| "/etc/ssl/certs/ca-certificates.crt".to_owned());
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(&file)
        .map_err(|e| format!("{file}: {e}; set SSL_CERT_FILE to the CA's certificate"))?;
    for certificate in certificates.flatten() {
        let _ = roots.add(certificate);
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
