//! Which systems connectors may reach at all: the operator's word, above every source's.

use std::{net::IpAddr, str::FromStr, sync::Arc};

use ipnet::IpNet;

/// Hosts and networks that connectors may reach. The default lets them reach everything; link-local
/// and metadata addresses are out of reach always.
#[derive(Clone, Debug, Default)]
pub struct Egress(Option<Arc<[Rule]>>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Rule {
    /// A name exactly as sources give it, in lower case, wherever it resolves to.
    Host(String),
    /// Addresses, however a source names them.
    Network(IpNet),
}

impl Egress {
    /// From names, addresses and networks (`10.0.0.0/8`); an empty list lets everything pass.
    pub fn new(list: &[String]) -> Result<Self, String> {
        if list.is_empty() {
            return Ok(Self::default());
        }
        let rules: Result<Vec<Rule>, String> = list.iter().map(|text| text.parse()).collect();
        Ok(Self(Some(rules?.into())))
    }

    /// Whether `host`, which resolved to `address`, may be reached.
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
        // What ends in a number is an address to the resolver, and this is none.
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

/// Addresses at which clouds serve their machines' credentials, and link-local ones: no connected
/// system lives there.
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    /// Alibaba Cloud, Oracle Cloud, Azure.
    const METADATA: [[u8; 4]; 3] = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_link_local() || METADATA.contains(&v4.octets()),
        IpAddr::V6(v6) => match v6.segments() {
            // NAT64 (RFC 6052) translates to the IPv4 address at the end.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                is_forbidden(IpAddr::from([a, b, c, d]))
            }
            segments => {
                v6.is_unicast_link_local() || segments == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
            }
        },
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
            "64:ff9b::a9fe:a9fe",
            "100.100.100.200",
        ] {
            assert!(is_forbidden(address.parse().unwrap()), "{address}");
        }
        for address in ["127.0.0.1", "10.0.0.1", "fd00::1", "::1", "64:ff9b::a00:1"] {
            assert!(!is_forbidden(address.parse().unwrap()), "{address}");
        }
    }
}
