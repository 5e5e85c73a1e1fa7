#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn reads(text: &str, first: &str, last: &str) {
    let expected = range(first.parse().unwrap(), last.parse().unwrap(), "").unwrap();
    assert_eq!(parse_boundary(text), Ok(expected), "{text}");
}

fn refuses(text: &str, message: &str, help: &str) {
    let error = parse_boundary(text).unwrap_err();
    assert!(error.to_string().contains(message), "{text}: {error}");
    assert!(error.help().contains(help), "{text}: {}", error.help());
}

#[test]
fn every_spelling_of_a_boundary() {
    reads("10.1.0.0/16", "10.1.0.0", "10.1.255.255");
    reads(" 0.0.0.0/0 ", "0.0.0.0", "255.255.255.255");
    reads("10.1.2.3/32", "10.1.2.3", "10.1.2.3");
    reads("10.1.0.5-10.1.0.9", "10.1.0.5", "10.1.0.9");
    reads("10.1.0.5 – 10.1.0.5", "10.1.0.5", "10.1.0.5");
    reads("172.16.50.0/255.255.255.0", "172.16.50.0", "172.16.50.255");
    reads("172.16.50.0 255.255.255.0", "172.16.50.0", "172.16.50.255");
    reads("172.16.50.0 \t 255.255.254.0", "172.16.50.0", "172.16.51.255");
    reads("0.0.0.0/0.0.0.0", "0.0.0.0", "255.255.255.255");
    reads("2001:1111:2222:3333", "2001:1111:2222:3333::", "2001:1111:2222:3333:ffff:ffff:ffff:ffff");
    reads("FE80::/64", "fe80::", "fe80::ffff:ffff:ffff:ffff");
    reads("::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
    reads("2001:db8:1:2::5", "2001:db8:1:2::5", "2001:db8:1:2::5");
    reads("2001:db8::1-2001:db8::ff", "2001:db8::1", "2001:db8::ff");
}

#[test]
fn what_could_mean_something_else_is_refused() {
    refuses("", "empty", "10.1.0.0/16");
    refuses("  ", "empty", "10.1.0.0/16");
    refuses("hq", "\"hq\" is not a boundary", "ad_site");
    refuses("10.1.*", "is not a boundary", "10.1.0.0/16");
    refuses("10.1.0.0/16,10.2.0.0/16", "not a prefix length of an IPv4 address", "0 to 32");
    refuses("10.1.0/16", "\"10.1.0\" is not an IP address", "10.1.0.0/16");
    refuses("010.1.0.0/16", "is not an IP address", "10.1.0.0/16");
    refuses("10.1.0.0/33", "\"33\" is not a prefix length of an IPv4", "0 to 32");
    refuses("10.1.0.0/+8", "is not a prefix length", "0 to 32");
    refuses("10.1.0.0/", "is not a prefix length", "0 to 32");
    refuses("2001:db8::/129", "is not a prefix length of an IPv6", "0 to 128");
    refuses("2001:db8::/99999999999", "is not a prefix length", "0 to 128");
    refuses("10.1.2.3/16", "not the first address", "\"10.1.0.0/16\" for the whole network, or \"10.1.2.3/32\"");
    refuses("10.1.2.3/255.255.0.0", "not the first address", "\"10.1.0.0/16\"");
    refuses(
        "2001:db8::1/64",
        "not the first address",
        "\"2001:db8::/64\" for the whole network, or \"2001:db8::1/128\"",
    );
    refuses("10.0.0.0/255.0.255.0", "255.0.255.0 is not a subnet mask", "ones, then zeros");
    refuses("10.0.0.0 0.0.0.255", "0.0.0.255 is not a subnet mask", "255.255.255.0");
    refuses("172.16.50.0", "throws the mask of an IP subnet away", "\"172.16.50.0/24\" (or its real mask)");
    refuses("172.16.50.9", "a single address", "\"172.16.50.9-172.16.50.9\"");
    refuses("2001:db8:1:2::", "without its length", "\"2001:db8:1:2::/64\"");
    refuses("2001:db8:1", "3 groups", "four groups");
    refuses("2001:db8:1:2:3", "5 groups", "four groups");
    refuses("2001:db8:zz:2", "is not a boundary", "2001:db8:1:2::/64");
    refuses("10.0.0.9-10.0.0.1", "after its end", "\"10.0.0.1-10.0.0.9\"");
    refuses("10.0.0.1-::1", "one kind of address", "one for IPv6");
    refuses("10.0.0.1-", "\"\" is not an IP address", "10.1.0.0-");
    refuses("::ffff:10.0.0.0/104", "IPv6 clothes", "IPv4 boundary");
    refuses("::ffff:10.0.0.1", "IPv6 clothes", "IPv4 boundary");
    refuses("::ffff:0:1-::2:0:0:0", "begins or ends within ::ffff:0:0/96", "an IPv4 boundary");
    refuses("::-::ffff:10.0.0.1", "begins or ends within ::ffff:0:0/96", "::fffe:ffff:ffff");
    reads("::/64", "::", "::ffff:ffff:ffff:ffff");
    refuses("2001:db8:: ffff::", "is not a boundary", "2001");
    for vpn in ["Auto:On", "AUTO:ON", "Name:CONTOSO VPN-1", "description: Cisco/Any"] {
        refuses(vpn, "VPN boundary", "as a range");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[0-9a-f:./ \\-*]{0,40}|.{0,30}") {
        if let Err(error) = parse_boundary(&text) {
            prop_assert!(!error.to_string().is_empty() && !error.help().is_empty());
        }
    }

    #[test]
    fn a_range_reads_back(a in any::<u32>(), b in any::<u32>(), c in any::<u128>(), d in any::<u128>()) {
        for range in [
            AddressRange::V4 { first: a.min(b), last: a.max(b) },
            AddressRange::V6 { first: c.min(d), last: c.max(d) },
        ] {
            prop_assert_eq!(parse_boundary(&range.to_string()), Ok(range));
        }
    }

    #[test]
    fn a_network_reads_back(address in any::<u32>(), bits in 0_u32..=32) {
        let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
        let network = Ipv4Addr::from(address & mask);
        let range = AddressRange::V4 { first: address & mask, last: address | !mask };
        prop_assert_eq!(parse_boundary(&format!("{network}/{bits}")), Ok(range));
        let with_mask = format!("{network} {}", Ipv4Addr::from(mask));
        prop_assert_eq!(parse_boundary(&with_mask), Ok(range));
    }
}
