//! The systems that connectors may reach: a limit set by the operator, which no source can extend.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use ipnet::IpNet;

/// The hosts and networks that connectors may reach. The default allows all of them, except
/// link-local and metadata addresses, which are always refused.
#[derive(Clone, Debug, Default)]
pub struct Egress(Option<Arc<[Rule]>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// A host name in lower case. It matches the name in a source, whatever address that resolves
    /// to.
    Host(String),
    /// A network of addresses, whatever name a source uses for them.
    Network(IpNet),
}

impl Egress {
    /// Parses host names, addresses and networks (`10.0.0.0/8`); an empty list allows every host.
    pub fn new(list: &[String]) -> Result<Self, String> {
        if list.is_empty() {
            return Ok(Self::default());
        }
        let rules: Result<Vec<Rule>, String> = list.iter().map(|text| text.parse()).collect();
        Ok(Self(Some(rules?.into())))
    }

    /// Whether rekey may reach `host`, which resolved to `address`.
    pub(crate) fn lets(&self, host: &str, address: IpAddr) -> bool {
        let Some(rules) = &self.0 else { return true };
        let (host, address) = (plain(host), address.to_canonical());
        rules.iter().any(|rule| match rule {
            Rule::Host(name) => *name == host,
            Rule::Network(network) => network.contains(&address),
        })
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(address.to_canonical().into()));
        }
        if let Ok(network) = text.parse() {
            return Ok(Self::Network(network));
        }
        let name = plain(text);
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        // A resolver reads a name whose last label is a number as an address, and `text` is not a
        // valid one.
        let ends = name.rsplit('.').next().unwrap_or_default();
        let is_address = ends.chars().all(|c| c.is_ascii_digit());
        if name.is_empty() || name.len() > 253 || is_address || !name.chars().all(is_plain) {
            return Err(format!(
                "`{text}` is no host or network: write it like ldap.example.com, 10.0.0.0/8, \
                 2001:db8::/32 or 192.0.2.1"
            ));
        }
        Ok(Self::Host(name))
    }
}

fn plain(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The addresses, beside the link-local ones, at which cloud providers serve credentials to their
/// machines.
const METADATA: [IpAddr; 6] = [
    // Alibaba Cloud: "View instance metadata".
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle Cloud Classic: "Retrieving Instance Metadata"; IANA gives the network to protocols
    // (RFC 6890).
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Azure: "What is IP address 168.63.129.16?"
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // AWS: "Access instance metadata for an EC2 instance".
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    // Google Cloud: "View and query VM metadata", for machines with IPv6 only.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    // Oracle Cloud: "Getting Instance Metadata".
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
];

/// Whether `address` is off limits for every source: one of [`METADATA`], a link-local one (RFC
/// 3927; RFC 4291, section 2.5.6), or an IPv6 address that a router translates to such an address.
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    let address = address.to_canonical();
    METADATA.contains(&address)
        || match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => {
                v6.is_unicast_link_local()
                    || embedded(v6).into_iter().any(|v4| is_forbidden(v4.into()))
            }
        }
}

/// The IPv4 addresses to which a router may translate `v6`.
fn embedded(v6: Ipv6Addr) -> Vec<Ipv4Addr> {
    let octets = v6.octets();
    let at = |positions: [usize; 4]| {
        Ipv4Addr::from(positions.map(|position| octets.get(position).copied().unwrap_or_default()))
    };
    match v6.segments() {
        // 6to4 (RFC 3056, section 2).
        [0x2002, ..] => vec![at([2, 3, 4, 5])],
        // NAT64 with the well-known prefix (RFC 6052, section 2.1).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => vec![at([12, 13, 14, 15])],
        // NAT64 with prefixes for local use (RFC 8215). The operator chooses their length: 48, 56,
        // 64 or 96 bits (RFC 6052, section 2.2), so each of the four embeddings is checked.
        [0x64, 0xff9b, 1, ..] => {
            [[6, 7, 9, 10], [7, 9, 10, 11], [9, 10, 11, 12], [12, 13, 14, 15]].map(at).into()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(list: &[&str]) -> Result<Egress, String> {
        Egress::new(&list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn an_empty_list_lets_everything_pass() {
        assert!(egress(&[]).unwrap().lets("anything", "127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn only_what_is_listed_may_be_reached() {
        let egress = egress(&["LDAP.example.com.", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32"]);
        let egress = egress.unwrap();
        for (host, address, is_let) in [
            ("ldap.example.com", "203.0.113.1", true),
            ("ldap.EXAMPLE.com.", "203.0.113.1", true),
            ("x.ldap.example.com", "203.0.113.1", false),
            ("db", "10.1.255.255", true),
            ("db", "::ffff:10.1.0.1", true),
            ("db", "10.2.0.1", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("db", "192.0.2.8", false),
            ("db", "2001:db8::1", true),
            ("localhost", "127.0.0.1", false),
        ] {
            assert_eq!(egress.lets(host, address.parse().unwrap()), is_let, "{host} {address}");
        }
    }

    #[test]
    fn what_is_neither_host_nor_network_is_an_error() {
        for text in ["", "*", "*.example.com", "10.0.0.0/33", "10.0.0", "a b", "ldap://x", "x:389"]
        {
            assert!(egress(&[text]).unwrap_err().contains("write it like"), "{text}");
        }
    }

    #[test]
    fn metadata_addresses_are_refused() {
        for address in [
            "169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "fd20:ce::254",
            "fd00:c1::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::6464:64c8",
            "64:ff9b:1:a9fe:a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1::a9:fea9:fe00:0",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:2:3:4:a83f:8110",
            "2002:a9fe:a9fe::",
            "2002:a9fe:a9fe:1::1",
            "2002:6464:64c8::1",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
        ] {
            assert!(is_forbidden(address.parse().unwrap()), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "fd00::1",
            "::1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "2002:a00:1::1",
            "2001:db8::a9fe:a9fe",
        ] {
            assert!(!is_forbidden(address.parse().unwrap()), "{address}");
        }
    }
}
