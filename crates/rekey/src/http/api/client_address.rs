//! The address that a request counts for, in rate limits and in the audit trail.
//!
//! A client can write anything into `Forwarded` (RFC 7239) or `X-Forwarded-For`, so these headers
//! count only as far as trusted proxies vouch for them: each proxy appends the address of its own
//! peer, so the addresses are read from the right, and the first one that belongs to no trusted
//! proxy is the client's. Anything further left is the client's own text and has no effect. If a
//! proxy passes on only its client's text and that is no address, the request counts for
//! [`UNKNOWN`] and not for the proxy: that would use up the limits of all its other clients.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::{
    Extensions, HeaderMap, HeaderName, HeaderValue,
    header::{FORWARDED, GetAll},
};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The most addresses that are read, and the most bytes at the header's end that hold them.
const HOPS: usize = 32;
const LENGTH: usize = 4096;
/// The address shared by all clients that a trusted proxy does not identify unambiguously.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// The client's address, an extension of every request that came over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

impl ClientAddress {
    /// The peer's own address, unless the peer is a trusted proxy that forwards for a client.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let peer = peer.to_canonical();
        if !is_within(trusted, peer) {
            return Self(peer);
        }
        let forwarded = headers.get_all(FORWARDED);
        let x_forwarded_for = headers.get_all(X_FORWARDED_FOR);
        let is_given = |values: &GetAll<'_, _>| values.iter().next().is_some();
        let claimed = match (is_given(&forwarded), is_given(&x_forwarded_for)) {
            (false, false) => return Self(peer),
            (true, false) => of_forwarded(&forwarded, trusted),
            (false, true) => of_x_forwarded_for(&x_forwarded_for, trusted),
            // A proxy that sets only one of the two may pass the other on as its client wrote it.
            (true, true) => None,
        };
        Self(claimed.unwrap_or(UNKNOWN))
    }
}

/// The client address of the request with these extensions; `0.0.0.0` if the request came over no
/// connection.
pub(crate) fn client_address(extensions: &Extensions) -> IpAddr {
    let client = extensions.get::<ClientAddress>();
    client.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0)
}

/// Whether one of the networks holds the address.
pub fn is_within(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

fn of_forwarded(values: &GetAll<'_, HeaderValue>, trusted: &[IpNet]) -> Option<IpAddr> {
    // A quotation mark that the client wrote may reach across what proxies append: only a list that
    // is well-formed as a whole counts.
    let text = Some(text(values)).filter(|text| text.len() <= LENGTH)?;
    nearest(hops(&text)?.into_iter().rev(), trusted)
}

fn of_x_forwarded_for(values: &GetAll<'_, HeaderValue>, trusted: &[IpNet]) -> Option<IpAddr> {
    let text = text(values);
    let mut left = LENGTH;
    let hops = text.rsplit(',').map(|hop| {
        left = left.checked_sub(hop.len() + 1)?;
        address(hop)
    });
    nearest(hops, trusted)
}

/// The values of a repeated header as one comma-separated list (RFC 9110, section 5.3).
fn text(values: &GetAll<'_, HeaderValue>) -> String {
    let lines: Vec<_> = values.iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
    lines.join(",")
}

/// The first address that belongs to no trusted proxy, or the last one read if all of them do.
/// `None` if an element before it is no address or lies beyond `HOPS`.
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

/// An address with or without a port; an IPv6 address may be in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(ip.to_canonical())
}

/// The `for=` address of each element of a `Forwarded` header, in order; an element without a
/// readable one is an inner `None`. `None` if any element is malformed.
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

/// The token or quoted string at the start of `text`, unescaped, and the rest of `text`.
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
            map.append(
                HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
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
    fn no_amount_of_junk_hides_what_the_proxy_appended() {
        let junk = ["x".repeat(2 * LENGTH), "9.9.9.9,".repeat(1_000), "\u{e9},\u{202e}".to_owned()];
        for junk in junk {
            let appended = format!("{junk}, 192.0.2.1, 10.0.0.2");
            assert_eq!(of(PEER, &[("x-forwarded-for", &appended)]), "192.0.2.1");
            let lines = [("x-forwarded-for", junk.as_str()), ("x-forwarded-for", "192.0.2.1")];
            assert_eq!(of(PEER, &lines), "192.0.2.1");
        }
    }

    #[test]
    fn what_is_not_plain_counts_for_nobody_known() {
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
            assert_eq!(of(PEER, &[("x-forwarded-for", value)]), UNKNOWN.to_string(), "{value}");
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
            // An opening quote in the client's own text must not hide the part that the proxy
            // appends.
            "for=9.9.9.9;x=\", for=192.0.2.1",
            "for=9.9.9.9;x=\", for=\"[2001:db8::1]\"",
            "for=9.9.9.9;x=\"\\, for=\"[2001:db8::1]\"",
        ] {
            assert_eq!(of(PEER, &[("forwarded", value)]), UNKNOWN.to_string(), "{value}");
        }
        let both = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(of(PEER, &both), UNKNOWN.to_string());
    }

    proptest! {
        #[test]
        fn what_the_client_wrote_before_never_counts(claim in "[ -~]{0,60}") {
            let list = format!("{claim},192.0.2.1");
            prop_assert_eq!(of(PEER, &[("x-forwarded-for", &list)]), "192.0.2.1");
            let client = of(PEER, &[("forwarded", &format!("{claim}, for=192.0.2.1"))]);
            prop_assert!(client == "192.0.2.1" || client == UNKNOWN.to_string(), "{}", client);
            let client = of(PEER, &[("forwarded", &format!("{claim}, for=\"[2001:db8::1]:7\""))]);
            prop_assert!(client == "2001:db8::1" || client == UNKNOWN.to_string(), "{}", client);
        }
    }
}
