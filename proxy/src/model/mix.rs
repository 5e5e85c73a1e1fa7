//! A small hash that is the same in every process and version.
//!
//! Rendezvous hashing promises that several proxies, and one proxy after a restart, pick the same server for the same
//! client. So the hash is written down here (FNV-1a, finished by SplitMix64's mixer) instead of taken from a library that
//! may change it or seed it.

use std::net::IpAddr;

/// Hash of `bytes`, with ASCII letters as lower case: ConfigMgr's paths and names differ only in case between senders.
pub fn hash_ignore_case(seed: u64, bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in bytes {
        hash ^= u64::from(byte.to_ascii_lowercase());
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    mix(hash)
}

/// Spreads every input bit over the whole word.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Hash of a client's address as one may hold it: an IPv4 address, or the first half of an IPv6 address, whose other half a client
/// chooses by itself.
pub fn network_of(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(v4) => mix(u64::from(u32::from(v4))),
        IpAddr::V6(v6) => mix((u128::from(v6) >> 64) as u64 ^ 1 << 63),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_written_down() {
        // A change of these numbers moves every client of every proxy to another server.
        assert_eq!(hash_ignore_case(0, b"ABC00012"), hash_ignore_case(0, b"abc00012"));
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_ne!(hash_ignore_case(0, b"a"), hash_ignore_case(1, b"a"));
    }

    #[test]
    fn an_address_of_ipv6_is_as_good_as_its_network() {
        let hash = |text: &str| network_of(text.parse().expect("an address"));
        assert_eq!(hash("10.1.2.3"), hash("::ffff:10.1.2.3"));
        assert_ne!(hash("10.1.2.3"), hash("10.1.2.4"));
        assert_eq!(hash("2001:db8:0:1::1"), hash("2001:db8:0:1:ffff::2"));
        assert_ne!(hash("2001:db8:0:1::1"), hash("2001:db8:0:2::1"));
    }
}
