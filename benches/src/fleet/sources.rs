//! Where clients are: networks as the boundaries of boundary groups.

use std::net::IpAddr;

use ipnet::IpNet;

/// Clients of one boundary group.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The boundary group's name.
    pub name: String,
    /// The networks that its clients are in, by turns; one address that the system chooses if there is none.
    pub source: Vec<IpNet>,
    /// The share of the clients, in proportion to those of the other groups.
    pub share: f64,
}

impl Group {
    /// The address of the client with this number in the group; `None` if the system chooses.
    #[must_use]
    pub fn address(&self, number: u32) -> Option<IpAddr> {
        let networks = u32::try_from(self.source.len()).ok().filter(|networks| *networks > 0)?;
        let network = &self.source[(number % networks) as usize];
        Some(host(network, u128::from(number / networks)))
    }
}

/// A host of a network; when there are no more, the first again. Addresses that end in 0 or 255 are hosts too, but for
/// the first and the last of the network.
fn host(network: &IpNet, number: u128) -> IpAddr {
    let bits = u32::from(network.max_prefix_len() - network.prefix_len());
    let hosts = 1_u128.checked_shl(bits).unwrap_or(u128::MAX);
    let place = if hosts > 2 { 1 + number % (hosts - 2) } else { number % hosts };
    match network {
        IpNet::V4(network) => {
            IpAddr::V4((u32::from(network.network()) + u32::try_from(place).unwrap_or_default()).into())
        }
        IpNet::V6(network) => IpAddr::V6((u128::from(network.network()) + place).into()),
    }
}

/// Which clients are in which group: a run of numbers each.
#[derive(Debug, Clone)]
pub(super) struct Places {
    groups: Vec<Group>,
    /// The number of the first client of the next group, group by group.
    until: Vec<u32>,
}

impl Places {
    pub(super) fn new(groups: &[Group], clients: u32) -> Self {
        let total: f64 = groups.iter().map(|group| group.share).sum();
        let mut sum = 0.0;
        let mut until: Vec<u32> = Vec::new();
        for group in groups {
            sum += group.share;
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            until.push((f64::from(clients) * sum / total).round() as u32);
        }
        if let Some(last) = until.last_mut() {
            *last = clients;
        }
        Self { groups: groups.to_vec(), until }
    }

    /// The group that a client is in.
    pub(super) fn group(&self, client: u32) -> usize {
        self.until.partition_point(|until| *until <= client).min(self.groups.len() - 1)
    }

    pub(super) fn address(&self, client: u32) -> Option<IpAddr> {
        let group = self.group(client);
        let first = if group == 0 { 0 } else { self.until[group - 1] };
        self.groups[group].address(client - first)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn group(name: &str, source: &[&str], share: f64) -> Group {
        Group { name: name.to_owned(), source: source.iter().map(|net| net.parse().unwrap()).collect(), share }
    }

    #[test]
    fn clients_are_spread_over_the_networks_of_their_group() {
        let groups = [group("HQ", &["127.1.0.0/16"], 3.0), group("Branch", &["127.2.0.0/24", "127.3.0.0/24"], 1.0)];
        let places = Places::new(&groups, 100);
        assert_eq!((places.group(0), places.group(74), places.group(75), places.group(99)), (0, 0, 1, 1));
        let address = |client| places.address(client).unwrap().to_string();
        assert_eq!(
            [0, 74, 75, 76, 77].map(address),
            ["127.1.0.1", "127.1.0.75", "127.2.0.1", "127.3.0.1", "127.2.0.2"]
        );
    }

    #[test]
    fn a_small_network_is_used_again_and_none_is_left_to_the_system() {
        assert_eq!(group("a", &["127.1.2.3/32"], 1.0).address(9).unwrap().to_string(), "127.1.2.3");
        assert_eq!(group("a", &["127.1.2.0/30"], 1.0).address(2).unwrap().to_string(), "127.1.2.1");
        assert_eq!(group("a", &["fd00::/8"], 1.0).address(1).unwrap().to_string(), "fd00::2");
        assert_eq!(group("a", &[], 1.0).address(7), None);
    }

    #[test]
    fn a_group_without_clients_is_passed_over() {
        let groups = [group("a", &[], 0.0), group("b", &[], 1.0), group("c", &[], 0.0)];
        let places = Places::new(&groups, 10);
        assert_eq!((places.group(0), places.group(9)), (1, 1));
    }
}
