//! The address a request counts for, in limits and in the audit trail.
//!
//! Whatever a client writes into `Forwarded` (RFC 7239) or `X-Forwarded-For` is a claim. It counts
//! only as far as trusted proxies vouch for it: each appends the address of its own peer, so the
//! addresses are read from the right, and the first that is no trusted proxy's is the client's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::{
    Extensions, HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, GetAll},
};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Addresses that are read at most, and bytes of the header that hold them.
const HOPS: usize = 32;
const LENGTH: usize = 4096;

/// The client's address, an extension of every request that came over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The peer itself, unless it is trusted and says plainly for whom it asks.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        if !is_within(trusted, peer) {
            return Self(peer);
        }
        Self(claimed(headers, trusted).unwrap_or(peer))
    }
}

/// That of the request with these extensions; unspecified where it came over no connection.
pub(crate) fn client_address(extensions: &Extensions) -> IpAddr {
    let client = extensions.get::<ClientAddress>();
    client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0)
}

/// Whether one of the networks holds the address.
pub fn is_within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// `None` where the headers are missing, or do not say plainly whose address counts.
fn claimed(headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let forwarded = headers.get_all(FORWARDED);
    let x_forwarded_for = headers.get_all(X_FORWARDED_FOR);
    let is_given = |values: &GetAll<'_, _>| values.iter().next().is_some();
    match (is_given(&forwarded), is_given(&x_forwarded_for)) {
        (true, false) => nearest(hops(&text(&forwarded)?)?.into_iter().rev(), trusted),
        (false, true) => nearest(text(&x_forwarded_for)?.rsplit(',').map(address), trusted),
        // A proxy that sets one of them may pass the other on as the client wrote it.
        (true, true) | (false, false) => None,
    }
}

/// The lines of a header as the one list that they are.
fn text(values: &GetAll<'_, HeaderValue>) -> Option<String> {
    let lines: Option<Vec<_>> = values.iter().map(|value| value.to_str().ok()).collect();
    Some(lines?.join(",")).filter(|text| text.len() <= LENGTH)
}

/// The first address that no trusted proxy has; the farthest where all of them are trusted.
fn nearest(hops: impl Iterator<Item = Option<IpAddr>>, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut farthest = None;
    for (number, hop) in hops.enumerate() {
        let hop = hop.filter(|_| number < HOPS)?;
        if !is_within(trusted, hop) {
            return Some(hop);
        }
        farthest = Some(hop);
    }
    farthest
}

/// An address with or without a port; one of IPv6 may stand in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(ip.to_canonical())
}

/// What each element of a `Forwarded` says after `for=`, in order; `None` if any is malformed.
fn hops(text: &str) -> Option<Vec<Option<IpAddr>>> {
    let mut hops = Vec::new();
    let mut hop = None;
    let mut rest = text;
    loop {
        let (name, after) = rest.split_once('=')?;
        let name = name.trim_matches([' ', '\t']);
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return None;
        }
        let (value, after) = value(after)?;
        if name.eq_ignore_ascii_case("for") && hop.replace(address(&value)).is_some() {
            return None;
        }
        let after = after.trim_start_matches([' ', '\t']);
        let is_end_of_pair = after.starts_with(';');
        if !is_end_of_pair {
            hops.push(hop.take().flatten());
        }
        if after.is_empty() {
            return Some(hops);
        }
        rest = after.strip_prefix([';', ','])?;
    }
}

/// The value that `text` begins with, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end)?;
        return Some((value.to_owned(), rest)).filter(|(value, _)| !value.contains('"'));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PEER: &str = "10.0.0.1";

    fn of(peer: &str, headers: &[(&'static str, &str)]) -> String {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).into();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        ClientAddress::of(peer.parse().unwrap(), &map, &trusted).0.to_string()
    }

    #[test]
    fn only_a_trusted_peer_says_for_whom_it_asks() {
        for header in [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1")] {
            assert_eq!(of("198.51.100.7", &[header]), "198.51.100.7");
            assert_eq!(of("::ffff:198.51.100.7", &[header]), "198.51.100.7");
            assert_eq!(of(PEER, &[header]), "192.0.2.1");
            assert_eq!(of("::ffff:10.0.0.1", &[header]), "192.0.2.1");
        }
        assert_eq!(of(PEER, &[]), PEER);
    }

    #[test]
    fn the_nearest_address_that_is_no_trusted_proxy_s_counts() {
        for (value, client) in [
            ("203.0.113.9, 192.0.2.1", "192.0.2.1"),
            ("203.0.113.9,192.0.2.1 ,\t10.0.0.2,10.0.0.3", "192.0.2.1"),
            ("nonsense, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
            ("192.0.2.1:5000", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:5000, fd00::7", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!(of(PEER, &[("x-forwarded-for", value)]), client, "{value}");
        }
        for (value, client) in [
            ("for=203.0.113.9, for=192.0.2.1", "192.0.2.1"),
            ("For=\"[2001:db8::1]:4711\";proto=https , for=10.0.0.2;by=10.0.0.1", "2001:db8::1"),
            ("proto=\"a,b;for=1.1.1.1\";for=192.0.2.1", "192.0.2.1"),
            ("for=unknown, for=192.0.2.1", "192.0.2.1"),
            ("for=\"192\\.0.2.1\"", "192.0.2.1"),
        ] {
            assert_eq!(of(PEER, &[("forwarded", value)]), client, "{value}");
        }
        let lines = [("x-forwarded-for", "203.0.113.9"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(of(PEER, &lines), "192.0.2.1");
    }

    #[test]
    fn what_is_not_plain_counts_for_the_peer() {
        for value in [
            "",
            ",",
            "192.0.2.1,",
            "nonsense",
            "203.0.113.9, nonsense",
            "203.0.113.9, nonsense, 10.0.0.2",
            "[192.0.2.1",
            "192.0.2.256",
            &["10.0.0.2"; HOPS + 1].join(","),
            &format!("192.0.2.1,{}10.0.0.2", " ".repeat(LENGTH)),
        ] {
            assert_eq!(of(PEER, &[("x-forwarded-for", value)]), PEER, "{value}");
        }
        for value in [
            "",
            "192.0.2.1",
            "for=192.0.2.1,",
            "for=192.0.2.1;",
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1, for=_hidden",
            "for=192.0.2.1, for=unknown",
            "for=192.0.2.1, proto=https",
            "for=\"192.0.2.1",
            "for=\"192.0.2.1\"x",
            // A client that opens a quote must not hide what the proxy appends.
            "for=9.9.9.9;x=\", for=192.0.2.1",
            "for=9.9.9.9;x=\", for=\"[2001:db8::1]\"",
            "for=9.9.9.9;x=\"\\, for=\"[2001:db8::1]\"",
        ] {
            assert_eq!(of(PEER, &[("forwarded", value)]), PEER, "{value}");
        }
        let both = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(of(PEER, &both), PEER);
    }

    proptest! {
        #[test]
        fn what_the_client_wrote_before_never_counts(claim in "[ -~]{0,60}") {
            let list = format!("{claim},192.0.2.1");
            prop_assert_eq!(of(PEER, &[("x-forwarded-for", &list)]), "192.0.2.1");
            let client = of(PEER, &[("forwarded", &format!("{claim}, for=192.0.2.1"))]);
            prop_assert!(client == "192.0.2.1" || client == PEER, "{}", client);
            let client = of(PEER, &[("forwarded", &format!("{claim}, for=\"[2001:db8::1]:7\""))]);
            prop_assert!(client == "2001:db8::1" || client == PEER, "{}", client);
        }
    }
}
