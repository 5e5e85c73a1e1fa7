//! The addresses of a log's clients in a network that this machine may use.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::mix::mix;

/// Where clients of a log come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// From an address that the system chooses.
    System,
    /// From addresses of this network. Those whose last bits are the same have the same address, so that those of one subnet
    /// stay together: in 127.0.0.0/8 10.1.7.9 is 127.1.7.9.
    Mapped(IpNet),
}

impl Sources {
    /// The address of a client; `None` if the system chooses.
    #[must_use]
    pub fn of(self, client: IpAddr) -> Option<IpAddr> {
        let Self::Mapped(network) = self else { return None };
        let bits = u32::from(network.max_prefix_len() - network.prefix_len());
        let mask = 1_u128.checked_shl(bits).map_or(u128::MAX, |hosts| hosts - 1);
        let number = match (client, network) {
            (IpAddr::V4(client), _) => u128::from(u32::from(client)),
            (IpAddr::V6(client), IpNet::V6(_)) => u128::from(client),
            // No part of it would tell it from others.
            (IpAddr::V6(client), IpNet::V4(_)) => {
                let [high, low] = [64, 0].map(|shift| (u128::from(client) >> shift) as u64);
                u128::from(mix(mix(high) ^ low))
            }
        };
        // The first and the last address of a network are no hosts.
        let place = match number & mask {
            0 if mask > 1 => 1,
            last if last == mask && mask > 1 => mask - 1,
            place => place,
        };
        Some(match network {
            IpNet::V4(network) => {
                IpAddr::V4((u32::from(network.network()) | u32::try_from(place).unwrap_or_default()).into())
            }
            IpNet::V6(network) => IpAddr::V6((u128::from(network.network()) | place).into()),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_last_bits() {
        for (network, client, mapped) in [
            ("127.0.0.0/8", "10.1.7.9", "127.1.7.9"),
            ("127.5.0.0/16", "10.1.7.9", "127.5.7.9"),
            ("127.0.0.0/8", "10.0.0.0", "127.0.0.1"),
            ("127.0.0.0/8", "10.255.255.255", "127.255.255.254"),
            ("127.1.2.3/32", "10.1.7.9", "127.1.2.3"),
            ("fd00::/64", "2001:db8::7", "fd00::7"),
            ("fd00::/64", "10.1.7.9", "fd00::a01:709"),
        ] {
            let sources = Sources::Mapped(network.parse().unwrap());
            assert_eq!(sources.of(client.parse().unwrap()), Some(mapped.parse().unwrap()), "{client} in {network}");
        }
        let sixth = |text: &str| Sources::Mapped("127.0.0.0/8".parse().unwrap()).of(text.parse().unwrap()).unwrap();
        assert_ne!(sixth("2001:db8::7"), sixth("2001:db8:1::7"));
        assert_eq!(Sources::System.of([10, 0, 0, 1].into()), None);
    }
}
