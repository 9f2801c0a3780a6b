//! Who the client is when proxies stand between: `X-Forwarded-For`, read from the nearest hop outwards.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// A trusted proxy wrote an entry that is no address.
///
/// Refuse what depends on the client's address (400): the address of the proxy is no stand-in for it, for a key that
/// only works from the proxy's network would then work from everywhere. `last_good` is for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The hop nearest to the client that could still be read; itself a trusted proxy.
    pub last_good: IpAddr,
}

/// Finds the address of the client.
///
/// `values` are the values of all `X-Forwarded-For` lines in the order received. Read from right to left, they tell
/// the way back from `peer`: an entry counts only if the hop that appended it is in `trusted`, and the first one that
/// is not trusted itself is the client (RFC 7239 §7.4 and §8.1 give the reasons). If all are trusted, it is the
/// leftmost. With an untrusted peer, or with nobody in `trusted`, the header is not looked at.
///
/// Entries are `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`; empty list members
/// are skipped (RFC 9110 §5.6.1.2). IPv4-mapped IPv6 addresses are answered, and compared, as IPv4.
/// Cost: one parse per entry, and only for trusted peers; no allocation.
///
/// # Errors
/// [`Malformed`] when a trusted hop appended something else, such as `unknown`. What an untrusted client wrote to the
/// left of its own address never matters.
pub fn client_address<'a>(
    peer: IpAddr,
    values: impl IntoIterator<Item = &'a [u8]>,
    trusted: &[IpNet],
) -> Result<IpAddr, Malformed> {
    let peer = peer.to_canonical();
    let trusts = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
    if !trusts(peer) {
        return Ok(peer);
    }
    // Left to right gives the same as right to left without keeping the entries: everything before an untrusted or
    // broken entry is forgotten when that entry comes.
    let mut client = Ok(peer);
    let (mut nobody_yet, mut broke) = (true, false);
    for entry in values.into_iter().flat_map(entries) {
        let parsed = parse(entry);
        client = match (parsed, client) {
            (None, _) => Err(Malformed { last_good: peer }),
            (Some(address), _) if nobody_yet || !trusts(address) => Ok(address),
            (Some(_), Ok(found)) => Ok(found),
            // The hop to the right of a broken entry is the one that wrote it.
            (Some(address), Err(_)) if broke => Err(Malformed { last_good: address }),
            (Some(_), Err(malformed)) => Err(malformed),
        };
        (nobody_yet, broke) = (false, parsed.is_none());
    }
    client
}

fn entries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty())
}

fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?;
    let bare = || text.parse::<IpAddr>().ok();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    bare().or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ask(peer: &str, lines: &[&str], trusted: &[&str]) -> Result<String, String> {
        client_address(peer.parse().unwrap(), lines.iter().map(|line| line.as_bytes()), &nets(trusted))
            .map(|address| address.to_string())
            .map_err(|malformed| malformed.last_good.to_string())
    }

    #[test]
    fn the_way_back_is_walked_as_far_as_trust_goes() {
        const PROXIES: &[&str] = &["10.0.0.0/8", "fd00::/8"];
        type Case = (
            &'static str,
            &'static [&'static str],
            &'static [&'static str],
            Result<&'static str, &'static str>,
        );
        let cases: &[Case] = &[
            // Nobody is trusted by default.
            ("203.0.113.9", &["198.51.100.1"], &[], Ok("203.0.113.9")),
            ("203.0.113.9", &["rubbish"], &[], Ok("203.0.113.9")),
            ("203.0.113.9", &["198.51.100.1"], PROXIES, Ok("203.0.113.9")),
            // A trusted peer is believed about its own peer, and no further.
            ("10.0.0.1", &[], PROXIES, Ok("10.0.0.1")),
            ("10.0.0.1", &[""], PROXIES, Ok("10.0.0.1")),
            ("10.0.0.1", &["203.0.113.9"], PROXIES, Ok("203.0.113.9")),
            ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], PROXIES, Ok("203.0.113.9")),
            ("10.0.0.1", &["198.51.100.1", "203.0.113.9"], PROXIES, Ok("203.0.113.9")),
            ("10.0.0.1", &["203.0.113.9, 10.2.0.1,10.3.0.1"], PROXIES, Ok("203.0.113.9")),
            ("10.0.0.1", &["203.0.113.9", "10.2.0.1", ", ,"], PROXIES, Ok("203.0.113.9")),
            ("10.0.0.1", &["10.9.0.1, 10.2.0.1"], PROXIES, Ok("10.9.0.1")),
            // Rubbish matters only where a trusted hop wrote it.
            ("10.0.0.1", &["rubbish, 203.0.113.9"], PROXIES, Ok("203.0.113.9")),
            ("10.0.0.1", &["203.0.113.9, unknown"], PROXIES, Err("10.0.0.1")),
            ("10.0.0.1", &["203.0.113.9, unknown, 10.2.0.1, 10.3.0.1"], PROXIES, Err("10.2.0.1")),
            ("10.0.0.1", &["_hidden"], PROXIES, Err("10.0.0.1")),
            ("10.0.0.1", &["203.0.113.9 10.2.0.1"], PROXIES, Err("10.0.0.1")),
            ("10.0.0.1", &["203.0.113.009"], PROXIES, Err("10.0.0.1")),
            // Spellings.
            ("10.0.0.1", &["203.0.113.9:4711"], PROXIES, Ok("203.0.113.9")),
            ("10.0.0.1", &["2001:db8::9"], PROXIES, Ok("2001:db8::9")),
            ("10.0.0.1", &["[2001:db8::9]"], PROXIES, Ok("2001:db8::9")),
            ("10.0.0.1", &["[2001:DB8::9]:443\t"], PROXIES, Ok("2001:db8::9")),
            ("10.0.0.1", &["[203.0.113.9]"], PROXIES, Err("10.0.0.1")),
            ("fd00::1", &["203.0.113.9, 10.2.0.1"], PROXIES, Ok("203.0.113.9")),
            // IPv4 in IPv6 clothes.
            ("::ffff:10.0.0.1", &["203.0.113.9"], PROXIES, Ok("203.0.113.9")),
            ("10.0.0.1", &["203.0.113.9, ::ffff:10.2.0.1"], PROXIES, Ok("203.0.113.9")),
            ("::ffff:203.0.113.9", &[], &[], Ok("203.0.113.9")),
        ];
        for &(peer, lines, trusted, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(ask(peer, lines, trusted), expected, "{peer} {lines:?} {trusted:?}");
        }
    }

    /// The definition, word for word: from right to left.
    fn right_to_left(peer: IpAddr, lines: &[Vec<u8>], trusted: &[IpNet]) -> Result<IpAddr, Malformed> {
        let all: Vec<&[u8]> = lines.iter().flat_map(|line| entries(line)).collect();
        let mut hop = peer.to_canonical();
        for entry in all.into_iter().rev() {
            if !trusted.iter().any(|net| net.contains(&hop)) {
                break;
            }
            hop = parse(entry).ok_or(Malformed { last_good: hop })?;
        }
        Ok(hop)
    }

    fn entry() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("10.0.0.1".to_owned()),
            Just("::ffff:10.0.0.2".to_owned()),
            Just("10.0.0.3:80".to_owned()),
            Just("203.0.113.9".to_owned()),
            Just("[2001:db8::9]:443".to_owned()),
            Just("unknown".to_owned()),
            Just(String::new()),
        ]
    }

    proptest! {
        #[test]
        fn one_pass_answers_what_the_walk_answers(
            peer in prop_oneof![Just("10.0.0.1"), Just("203.0.113.1"), Just("::ffff:10.0.0.9")],
            lines in prop::collection::vec(prop::collection::vec(entry(), 0..4), 0..4),
        ) {
            let lines: Vec<Vec<u8>> = lines.iter().map(|line| line.join(", ").into_bytes()).collect();
            let peer: IpAddr = peer.parse().unwrap();
            let trusted = nets(&["10.0.0.0/8"]);
            let found = client_address(peer, lines.iter().map(Vec::as_slice), &trusted);
            prop_assert_eq!(found, right_to_left(peer, &lines, &trusted));
        }

        #[test]
        fn any_bytes_are_survived_and_what_the_client_writes_changes_nothing(
            forged in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let trusted = nets(&["10.0.0.0/8"]);
            let proxy: IpAddr = "10.0.0.1".parse().unwrap();
            let appended = [forged.as_slice(), b", 203.0.113.9"].concat();
            let found = client_address(proxy, [appended.as_slice()], &trusted);
            prop_assert_eq!(found, Ok("203.0.113.9".parse().unwrap()));
        }
    }
}
