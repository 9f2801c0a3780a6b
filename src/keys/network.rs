//! Networks that clients are in. An IPv4-mapped IPv6 address or network (RFC 4291 §2.5.5.2) is the IPv4 one, everywhere.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

/// How many bits all mapped addresses begin with alike.
const MAPPED_PREFIX: u8 = 96;

/// `network`; where it is of mapped addresses only, as IPv4. A larger one that holds all of them is of IPv6 and holds no client
/// of IPv4.
pub fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let length = mapped.prefix_len().checked_sub(MAPPED_PREFIX);
    match (mapped.addr().to_ipv4_mapped(), length) {
        (Some(address), Some(length)) => Ipv4Net::new(address, length).map_or(network, IpNet::V4),
        (None, _) | (_, None) => network,
    }
}

/// Whether `address` is within one of `networks`.
pub fn any_contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| canonical(*network).contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_networks_are_ipv4() {
        for (written, expected) in [
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.7/128", "192.0.2.7/32"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:0:0/95", "::ffff:0:0/95"),
            ("::/0", "::/0"),
            ("::192.0.2.0/120", "::192.0.2.0/120"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(canonical(written.parse().unwrap()), expected.parse().unwrap(), "{written}");
        }
    }

    #[test]
    fn an_address_is_within_a_network_however_both_are_written() {
        for (networks, address, expected) in [
            (&[][..], "192.0.2.7", false),
            (&["192.0.2.0/24"], "192.0.2.7", true),
            (&["192.0.2.0/24"], "::ffff:192.0.2.7", true),
            (&["::ffff:192.0.2.0/120"], "192.0.2.7", true),
            (&["::ffff:192.0.2.0/120"], "::ffff:192.0.2.7", true),
            (&["::ffff:192.0.2.0/120"], "192.0.3.7", false),
            (&["::/0"], "192.0.2.7", false),
            (&["198.51.100.0/24", "2001:db8::/32"], "2001:db8::7", true),
        ] {
            let networks: Vec<IpNet> = networks.iter().map(|network| network.parse().unwrap()).collect();
            assert_eq!(any_contains(&networks, address.parse().unwrap()), expected, "{networks:?} {address}");
        }
    }
}
