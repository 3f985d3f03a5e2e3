//! TLS towards targets: AWS-LC, verified names, and the operator's own authority or the system's.

use std::{error::Error, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::{Fault, FaultKind, certificate, net::misconfigured};

/// Builds the TLS client configuration. `authority` is PEM text of one or more certificates, which
/// are then the only trusted ones; without it, the operating system's certificates are trusted.
///
/// The server's certificate must carry the configured host: as a DNS name, or as an IP address if
/// the configuration has one (RFC 6125, RFC 9525).
pub(crate) fn client(authority: Option<&str>) -> Result<Arc<ClientConfig>, Fault> {
    let roots = match authority {
        Some(pem) => given(pem)?,
        None => system()?,
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| {
            misconfigured(format!("TLS is not available: {error}")).caused_by(error)
        })?;
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map(|builder| {
            // `Noting` delegates every decision to this verifier, and records only a date.
            let builder = builder.dangerous();
            let verifier = Arc::new(certificate::Noting(verifier));
            Arc::new(builder.with_custom_certificate_verifier(verifier).with_no_client_auth())
        })
        .map_err(|error| misconfigured(format!("TLS is not available: {error}")).caused_by(error))
}

fn given(pem: &str) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| {
            misconfigured(format!("caCertificate: not a PEM certificate: {error}"))
        })?;
        roots.add(certificate).map_err(|error| {
            misconfigured(format!("caCertificate: not usable as an authority: {error}"))
                .caused_by(error)
        })?;
    }
    if roots.is_empty() {
        return Err(misconfigured("caCertificate: holds no certificate: give it as PEM text"));
    }
    Ok(roots)
}

fn system() -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(misconfigured(
            "this system has no trusted certificates: set caCertificate to the PEM text of the \
             authority that signed the server's certificate",
        ));
    }
    Ok(roots)
}

/// The fault for a failed TLS handshake.
///
/// A certificate that does not verify is a fault of the configuration: nothing is sent until a
/// person has corrected it. Any other failure may be temporary.
pub(crate) fn fault(error: impl Error + Send + Sync + 'static) -> Fault {
    match certificate_error(&error) {
        Some(reason) => misconfigured(format!(
            "the server's certificate was not accepted ({reason}): check host and caCertificate"
        ))
        .caused_by(error)
        .about_endpoint(),
        None => Fault::new(FaultKind::Unreachable, format!("TLS could not be set up: {error}"))
            .caused_by(error),
    }
}

/// Returns the reason why the certificate was refused, if that is why TLS failed.
pub(crate) fn certificate_error(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        // `source` of an `io::Error` skips the error that it wraps: `get_ref` returns that one.
        let inner = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
        let tls = error
            .downcast_ref::<rustls::Error>()
            .or_else(|| inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()));
        if let Some(rustls::Error::InvalidCertificate(reason)) = tls {
            return Some(reason.to_string());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_must_be_a_certificate() {
        for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let fault = client(Some(pem)).unwrap_err();
            assert_eq!(fault.kind, FaultKind::Misconfigured, "{pem}");
            assert!(fault.message.starts_with("caCertificate: "), "{}", fault.message);
        }
    }
}
