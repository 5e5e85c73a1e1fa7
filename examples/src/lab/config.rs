//! The configuration that the lab serves, and how it varies from swap to swap.

use std::net::SocketAddr;
use std::time::Duration;

use rolegate::control::config::Source;

use super::site::Site;

const TEMPLATE: &str = include_str!("lab.toml");

/// What a swap of the routing table changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    weights: (u32, u32),
    neighbor: &'static str,
}

/// Swaps go through these in turn.
const TABLES: [Table; 4] = [
    Table { weights: (100, 100), neighbor: "Branch" },
    Table { weights: (300, 100), neighbor: "Branch" },
    Table { weights: (300, 100), neighbor: "Remote" },
    Table { weights: (100, 100), neighbor: "Remote" },
];

impl Table {
    /// The table after so many swaps.
    #[must_use]
    pub fn after(swaps: u64) -> Self {
        TABLES[(swaps % TABLES.len() as u64) as usize]
    }

    /// What differs from the table before.
    #[must_use]
    pub fn difference(self, before: Self) -> String {
        if self.weights == before.weights {
            format!("the neighbor of HQ is {}", self.neighbor)
        } else {
            let (one, two) = self.weights;
            format!("MP1 weighs {one}, MP2 {two}")
        }
    }
}

/// What does not change while the lab runs.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Address of the listener.
    pub listen: SocketAddr,
    /// Address of the admin listener.
    pub admin: SocketAddr,
    /// Data threads.
    pub threads: u16,
    /// How long the run is: probes must be quick enough for it.
    pub duration: Duration,
    /// Ports of the site systems.
    pub ports: Vec<(&'static str, u16)>,
}

impl Frame {
    /// The frame for this site.
    #[must_use]
    pub fn new(listen: SocketAddr, admin: SocketAddr, threads: u16, duration: Duration, site: &Site) -> Self {
        let ports = site.systems().map(|(name, system)| (name, system.address().port())).collect();
        Self { listen, admin, threads, duration, ports }
    }

    /// The configuration.
    #[must_use]
    pub fn render(&self, table: Table) -> Source {
        let part = |divisor: u32, least: u64, most: u64| {
            (self.duration / divisor).clamp(Duration::from_millis(least), Duration::from_millis(most))
        };
        let interval = part(12, 400, 2000);
        let text = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut values = vec![
            ("threads", self.threads.to_string()),
            ("listen", self.listen.to_string()),
            ("admin", self.admin.to_string()),
            ("interval", text(interval)),
            ("timeout", text(interval * 9 / 10)),
            ("fast", text(part(120, 50, 500))),
            ("eject", text(part(30, 500, 5000))),
            ("stay", text(part(120, 200, 1000))),
            ("forget", text(part(60, 300, 3000))),
            ("weight1", table.weights.0.to_string()),
            ("weight2", table.weights.1.to_string()),
            ("neighbor", table.neighbor.to_owned()),
        ];
        values.extend(self.ports.iter().map(|(name, port)| (*name, port.to_string())));
        let fill = |text: String, (name, value): (&str, String)| text.replace(&format!("@{name}@"), &value);
        Source { name: "lab.toml".to_owned(), text: values.into_iter().fold(TEMPLATE.to_owned(), fill) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_table_compiles_and_every_place_is_filled() {
        let ports = super::super::site::NAMES.iter().map(|name| (*name, 8000)).collect();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        for seconds in [4, 60, 36_000] {
            let duration = Duration::from_secs(seconds);
            for table in TABLES {
                let frame = Frame { listen: any, admin: any, threads: 1, duration, ports: Vec::clone(&ports) };
                let source = frame.render(table);
                assert!(!source.text.contains('@'), "{}", source.text);
                let (_, warnings) = rolegate::control::director::read(&source, false).unwrap();
                assert_eq!(warnings, None);
            }
        }
    }

    #[test]
    fn every_swap_changes_something() {
        for swaps in 0..8 {
            assert_ne!(Table::after(swaps), Table::after(swaps + 1));
        }
        assert_eq!(Table::after(1).difference(Table::after(0)), "MP1 weighs 300, MP2 100");
        assert_eq!(Table::after(2).difference(Table::after(1)), "the neighbor of HQ is Remote");
    }
}
