//! Connections to targets: one resolved address, with time limits.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{
    Fault, FaultKind,
    egress::{Egress, is_forbidden},
};

/// The time limit for each step of a connection: the name and the TCP handshake, the TLS handshake,
/// the sign-in.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// The time limit for the answer to one request.
pub(crate) const OPERATION: Duration = Duration::from_secs(10);

/// Opens a TCP connection to `host`, without Nagle's delay, if the operator allows it.
///
/// The connection goes to the address that was checked: the name is not resolved again.
///
/// The kernel discards bytes that the target has not acknowledged within [`OPERATION`], so that a
/// request cannot arrive long after its deadline.
pub(crate) async fn dial(egress: &Egress, host: &str, port: u16) -> Result<TcpStream, Fault> {
    let unreachable = |error: io::Error| {
        Fault::new(FaultKind::Unreachable, format!("{host}:{port} cannot be reached: {error}"))
            .caused_by(error)
    };
    let connect = async {
        let mut last = unreachable(io::Error::from(io::ErrorKind::NotFound));
        for address in lookup_host((host, port)).await.map_err(unreachable)? {
            last = if is_forbidden(address.ip()) {
                refused(format!("{host} has a link-local or metadata address: rekey reaches none"))
            } else if egress.lets(host, address.ip()) {
                match open(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => unreachable(error),
                }
            } else {
                refused(format!("egress.allow does not let rekey reach {host}: add it there"))
            };
        }
        Err(last)
    };
    match timeout(CONNECT, connect).await {
        Ok(connected) => connected,
        Err(_) => Err(unreachable(io::Error::other("no answer within 5 seconds"))),
    }
}

/// The fault for a host that rekey must not reach.
fn refused(message: String) -> Fault {
    misconfigured(message).about_endpoint()
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_user_timeout(Some(OPERATION))?;
    SockRef::from(&stream).set_keepalive(true)?;
    Ok(stream)
}

/// Checks a configured host: a name or an IPv4 address, without characters that could change a URL.
pub(crate) fn check_host(host: &str) -> Result<(), Fault> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_name = !host.is_empty() && host.len() <= 253 && host.chars().all(is_plain);
    if is_name {
        Ok(())
    } else if host.parse::<IpAddr>().is_ok() {
        Err(misconfigured("host: an IPv6 address is not supported: give a name or an IPv4 address"))
    } else {
        Err(misconfigured("host: give a host name or an IPv4 address, without scheme or port"))
    }
}

/// A fault of the source's configuration.
pub(crate) fn misconfigured(message: impl Into<String>) -> Fault {
    Fault::new(FaultKind::Misconfigured, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for host in ["ldap.example.com", "127.0.0.1", "localhost", "a_b"] {
            check_host(host).unwrap();
        }
        for host in ["", "ldap://x", "x/y", "x:389", "x@y", "a b", "::1", "x?y", "é"] {
            assert_eq!(check_host(host).unwrap_err().kind, FaultKind::Misconfigured, "{host}");
        }
    }

    #[tokio::test]
    async fn only_what_the_operator_lets_through_is_dialled() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for (allowed, host, is_let) in [
            (&[][..], "127.0.0.1", true),
            (&["127.0.0.0/8"], "localhost", true),
            (&["localhost"], "localhost", true),
            (&["localhost"], "127.0.0.1", false),
            (&["10.0.0.0/8", "ldap.example.com"], "localhost", false),
        ] {
            let list: Vec<_> = allowed.iter().map(|&text| text.to_owned()).collect();
            match dial(&Egress::new(&list).unwrap(), host, port).await {
                Ok(_) => assert!(is_let, "{allowed:?} {host}"),
                Err(fault) => {
                    assert!(!is_let, "{allowed:?} {host}: {fault}");
                    let expected =
                        format!("egress.allow does not let rekey reach {host}: add it there");
                    assert_eq!(fault.message, expected);
                    assert_eq!(fault.public(), "the source cannot be reached");
                    assert_eq!(fault.kind, FaultKind::Misconfigured);
                }
            }
        }
    }
}
