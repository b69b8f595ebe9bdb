//! Which peers a client may reach through the relay.
//!
//! An open relay is a hole through every firewall that trusts the node, so the rule is: this node's own media addresses,
//! other allocations of this server, and what the operator lists. An address is brought into one form first, as IPv4 can
//! hide in IPv6 in many ways (CVE-2020-26262, CVE-2020-4067 and their relatives came from checking only one of them).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network the operator allows clients to reach, such as `10.1.0.0/16` or `2001:db8::/32`; an address alone is one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// A text is not a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address with a prefix length, such as 10.1.0.0/16")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Self, NotANetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        // A list written in a hiding form would never match what is checked against it.
        if canonical(address) != address {
            return Err(NotANetwork);
        }
        let whole = bits(address);
        let prefix = match prefix {
            Some(text) => text.parse().map_err(|_| NotANetwork)?,
            None => whole,
        };
        if prefix > whole { Err(NotANetwork) } else { Ok(Self { address, prefix }) }
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    /// Whether the network has this address.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        match (self.address, ip) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(own) & mask == u32::from(ip) & mask
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(own) & mask == u128::from(ip) & mask
            }
            _ => false,
        }
    }

    /// Whether the network lies wholly within another one.
    fn within(&self, outer: Self) -> bool {
        self.prefix >= outer.prefix && outer.has(self.address)
    }

    /// Whether the network is one single host.
    fn host(&self) -> bool {
        self.prefix == bits(self.address)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The IPv4 address that hides in an IPv6 one, or the address itself.
#[must_use]
pub fn canonical(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    hidden(v6).map_or(ip, IpAddr::V4)
}

fn hidden(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let pair = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match s {
        // ::1 and :: are IPv6's own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-mapped ::ffff:a.b.c.d (RFC 4291 §2.5.5.2), IPv4-compatible ::a.b.c.d (§2.5.5.1),
        // IPv4-translated ::ffff:0:a.b.c.d (RFC 2765).
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => pair(high, low),
        // NAT64 64:ff9b::/96 (RFC 6052) and its local prefix 64:ff9b:1::/48 (RFC 8215), read as /96.
        [0x64, 0xff9b, 0 | 1, _, _, _, high, low] => pair(high, low),
        // 6to4 2002::/16 (RFC 3056).
        [0x2002, high, low, ..] => pair(high, low),
        // Teredo 2001::/32 (RFC 4380): the client's address, inverted.
        [0x2001, 0, .., high, low] => pair(!high, !low),
        // ISATAP …:0:5efe:a.b.c.d (RFC 5214).
        [.., 0 | 0x200, 0x5efe, high, low] => pair(high, low),
        _ => None,
    }
}

/// Ranges that a wide entry such as `0.0.0.0/0` does not open: they must be listed for themselves.
const PRIVATE_TO_THE_HOST: [(IpAddr, u8); 5] = [
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    // Link-local: clouds answer for their secrets at 169.254.169.254.
    (IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
    (IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
    // The cloud's secrets over IPv6.
    (IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0)), 32),
];

/// Whether the operator lets clients reach this (canonical) address outside the node. `own`: an address of this node,
/// which must be listed as one host, as its other ports are nobody's business.
pub(super) fn outside_allowed(allowed: &[Network], ip: IpAddr, own: bool) -> bool {
    if never(ip) {
        return false;
    }
    let special = PRIVATE_TO_THE_HOST
        .iter()
        .map(|(address, prefix)| Network { address: *address, prefix: *prefix })
        .find(|special| special.has(ip));
    allowed.iter().any(|network| {
        network.has(ip) && (!own || network.host()) && special.is_none_or(|special| network.within(special))
    })
}

/// Addresses that nobody relays to: no host, or many.
fn never(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 0 || ip.is_multicast() || ip.octets()[0] >= 240,
        IpAddr::V6(ip) => ip.is_unspecified() || ip.is_multicast(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn networks(list: &[&str]) -> Vec<Network> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn ipv4_is_found_wherever_it_hides() {
        let table = [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("::127.0.0.1", "127.0.0.1"),
            ("::ffff:0:10.0.0.1", "10.0.0.1"),
            ("64:ff9b::a9fe:a9fe", "169.254.169.254"),
            ("64:ff9b:1::7f00:1", "127.0.0.1"),
            ("2002:7f00:1::", "127.0.0.1"),
            ("2002:a00:1:dead:beef::1", "10.0.0.1"),
            ("2001:0:4136:e378:8000:63bf:80ff:fffe", "127.0.0.1"),
            ("fe80::5efe:7f00:1", "127.0.0.1"),
            ("2001:db8::200:5efe:7f00:1", "127.0.0.1"),
            ("::1", "::1"),
            ("::", "::"),
            ("2001:db8::1", "2001:db8::1"),
        ];
        for (form, expected) in table {
            assert_eq!(canonical(ip(form)), ip(expected), "{form}");
        }
    }

    #[test]
    fn networks_are_read_and_hiding_ones_refused() {
        for good in ["10.0.0.0/8", "192.0.2.7", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:db8::1"] {
            assert!(good.parse::<Network>().is_ok(), "{good}");
        }
        for bad in ["", "/8", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/-1", "::ffff:10.0.0.0/104", "a/8"] {
            assert_eq!(bad.parse::<Network>(), Err(NotANetwork), "{bad}");
        }
    }

    #[test]
    fn a_wide_entry_opens_neither_the_host_nor_the_links() {
        let world = networks(&["0.0.0.0/0", "::/0"]);
        for open in ["192.0.2.1", "10.0.0.1", "2001:db8::1"] {
            assert!(outside_allowed(&world, ip(open), false), "{open}");
        }
        for shut in [
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
        ] {
            assert!(!outside_allowed(&world, ip(shut), false), "{shut}");
        }
        assert!(!outside_allowed(&world, ip("192.0.2.1"), true), "the node's own address needs an entry of its own");
        assert!(outside_allowed(&networks(&["192.0.2.1/32"]), ip("192.0.2.1"), true));
        assert!(outside_allowed(&networks(&["127.0.0.1"]), ip("127.0.0.1"), true));
        assert!(outside_allowed(&networks(&["127.0.0.0/8"]), ip("127.0.0.2"), false));
        assert!(!outside_allowed(&networks(&["0.0.0.0/0"]), ip("0.0.0.0"), false));
        assert!(!outside_allowed(&[], ip("192.0.2.1"), false));
    }
}
