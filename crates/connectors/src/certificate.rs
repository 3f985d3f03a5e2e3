//! The ends of validity of the certificates that servers have presented to this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// The `notAfter` times by requested host name or address, in seconds since 1970.
static ENDS: Mutex<Option<HashMap<String, i64>>> = Mutex::new(None);

/// The end of validity of the certificate that `host` presented last, in seconds since 1970. `None`
/// if no TLS handshake with this host has succeeded yet.
pub fn certificate_end(host: &str) -> Option<i64> {
    ENDS.lock().ok()?.as_ref()?.get(&host.to_ascii_lowercase()).copied()
}

/// Delegates to the standard verifier, and records the end of validity of each accepted
/// certificate.
#[derive(Debug)]
pub(crate) struct Noting(pub(crate) Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.0.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        if let (Some(end), Ok(mut ends)) = (not_after(end_entity), ENDS.lock()) {
            let host = server_name.to_str().to_ascii_lowercase();
            ends.get_or_insert_default().insert(host, end);
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The `notAfter` time of a certificate (RFC 5280, section 4.1), in seconds since 1970.
fn not_after(certificate: &[u8]) -> Option<i64> {
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut rest, _) = element(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if let Some((VERSION, _, after)) = element(rest) {
        rest = after;
    }
    // Skips the serial number, the signature algorithm and the issuer.
    for _ in 0..3 {
        (_, _, rest) = element(rest)?;
    }
    let (_, validity, _) = element(rest)?;
    let (_, _, after_begin) = element(validity)?;
    let (tag, text, _) = element(after_begin)?;
    seconds(tag, std::str::from_utf8(text).ok()?)
}

/// Reads a DER element with a one-byte tag: returns the tag, the content and the remaining bytes.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// Parses a `UTCTime` or `GeneralizedTime`, both in UTC with seconds.
fn seconds(tag: u8, text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            // Two-digit years below 50 are in the 21st century (RFC 5280, section 4.1.2.5.1).
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        0x18 => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let two = |at: usize| rest.get(at..at + 2)?.parse::<i64>().ok();
    let (month, day, hour, minute, second) = (two(0)?, two(2)?, two(4)?, two(6)?, two(8)?);
    // The number of days since 1970 in the Gregorian calendar, for years that begin in March: a
    // leap day is then the last day of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (tag, text, expected) in [
            (0x17, "700101000000Z", 0),
            (0x17, "000229120000Z", 951_825_600),
            (0x17, "491231235959Z", 2_524_607_999),
            (0x18, "20500101000000Z", 2_524_608_000),
            (0x18, "21000301000000Z", 4_107_542_400),
        ] {
            assert_eq!(seconds(tag, text), Some(expected), "{text}");
        }
        for (tag, text) in [(0x17, "7001010000"), (0x18, "2050"), (0x02, "700101000000Z")] {
            assert_eq!(seconds(tag, text), None);
        }
    }

    #[test]
    fn every_certificate_of_this_system_has_an_end() {
        for certificate in rustls_native_certs::load_native_certs().certs {
            let end = not_after(&certificate).unwrap();
            assert!((946_684_800..32_503_680_000).contains(&end), "{end}: from 2000 to 3000");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for bytes in [&[][..], &[0x30], &[0x30, 0x84, 0xff], &[0x30, 0x02, 0x30, 0x00], &[0; 64]] {
            assert_eq!(not_after(bytes), None);
        }
    }
}
