//! What a comparison is asked for, and the names that it knows.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::report::comparison::ROUNDS;

/// Declares an enumeration whose values have names that people type.
macro_rules! named {
    ($(#[$about:meta])* $kind:ident, $what:literal: $($(#[$doc:meta])* $value:ident = $name:literal,)+) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind { $($(#[$doc])* $value,)+ }

        impl $kind {
            /// All of them, in their order.
            pub const ALL: &[Self] = &[$(Self::$value),+];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $name),+ }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }

        impl FromStr for $kind {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|known| known.name() == text);
                found.copied().ok_or_else(|| {
                    let names: Vec<_> = Self::ALL.iter().map(|known| known.name()).collect();
                    format!("there is no {} '{text}'; there are: {}", $what, names.join(", "))
                })
            }
        }
    };
}

named! {
    /// A proxy that rolegate is measured against.
    Peer, "peer":
    /// HAProxy.
    Haproxy = "haproxy",
    /// nginx, the open source one.
    Nginx = "nginx",
    /// Envoy.
    Envoy = "envoy",
    /// The small proxy of `benches/peers/pingora`.
    Pingora = "pingora",
    /// Caddy.
    Caddy = "caddy",
    /// Traefik.
    Traefik = "traefik",
}

named! {
    /// Something that proxies are made to do.
    WorkName, "work":
    /// 1 KiB bodies on 64 connections.
    Small = "small",
    /// The same on 1,000 connections.
    Small1000 = "small-1000",
    /// How long a request takes at half and at four fifths of what the slowest can do.
    Latency = "latency",
    /// What a request costs at a quarter, a half and three quarters of what the slowest can do.
    Rates = "rates",
    /// 10 MiB bodies on 8 connections.
    Large = "large",
    /// A connection for each request.
    New = "new",
    /// Memory at rest, and of idle connections.
    Idle = "idle",
    /// Handshakes, and large bodies over TLS.
    Tls = "tls",
    /// One of two origins dies.
    Death = "death",
    /// One of two servers is ill, in one way after the other.
    Faults = "faults",
    /// The routing table is swapped all the time: rolegate only.
    Swap = "swap",
    /// A very large configuration: rolegate only.
    Scale = "scale",
    /// Two data threads: rolegate only.
    Threads = "threads",
    /// What the load generator itself costs.
    Generator = "generator",
}

named! {
    /// Which configurations the proxies have.
    Set, "set":
    /// No access log, and no active health checks but rolegate's.
    Plain = "plain",
    /// An access log to a file, active health checks where there are some, and a second try after a failure.
    Full = "full",
}

named! {
    /// Which builds of peers may be measured.
    Builds, "kind of builds":
    /// Those that a user would run.
    Fit = "fit",
    /// Any: what is wrong with one stands among the doubts.
    Any = "any",
}

named! {
    /// What makes the load.
    GeneratorName, "generator":
    /// That of `fleet plain`.
    Own = "own",
    /// `wrk`, where it can: closed loops without TLS on connections that are kept.
    Wrk = "wrk",
    /// `h2load`, where it can: closed loops over HTTP/1.1.
    H2load = "h2load",
}

impl Peer {
    /// The oldest version that may be measured, as its parts: what distributions and vendors still have.
    #[must_use]
    pub const fn minimum(self) -> &'static [u32] {
        match self {
            Self::Haproxy => &[2, 6],
            Self::Nginx => &[1, 22],
            Self::Envoy => &[1, 35],
            Self::Pingora => &[0, 9],
            Self::Caddy => &[2, 8],
            Self::Traefik => &[3, 3],
        }
    }
}

impl WorkName {
    /// The works of a comparison that asks for none by name.
    pub const DEFAULT: &[Self] = &[
        Self::Small,
        Self::Small1000,
        Self::Latency,
        Self::Rates,
        Self::Large,
        Self::New,
        Self::Idle,
        Self::Tls,
        Self::Death,
    ];
}

/// What to compare, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The peers, in the order of the tables. Those that are not installed are left out.
    pub peers: Vec<Peer>,
    /// The works, in the order of the tables.
    pub works: Vec<WorkName>,
    /// How often each proxy is measured at each work, at least 1.
    pub rounds: usize,
    /// How long one measurement takes, in whole seconds, at least 1.
    pub seconds: u64,
    /// Which configurations.
    pub set: Set,
    /// rolegate's program. `None`: beside this one, or on the path.
    pub rolegate: Option<PathBuf>,
    /// Another build of rolegate, measured beside it.
    pub before: Option<PathBuf>,
    /// Whether rolegate takes part.
    pub with_rolegate: bool,
    /// So many more of rolegate are measured as if they were peers, at most as many as there are [names](crate::report::comparison::SAME).
    pub same: usize,
    /// Which builds of peers may be measured.
    pub builds: Builds,
    /// What makes the load.
    pub generator: GeneratorName,
    /// It decides in which order the proxies are measured.
    pub seed: u64,
    /// Folders in which peers are looked for first.
    pub find: Vec<PathBuf>,
    /// This program, which is also the origin and the forwarder when it is started with other arguments.
    pub helper: PathBuf,
}

impl Options {
    /// What a comparison of all peers is by default; `helper` is the `compare` program.
    #[must_use]
    pub fn new(helper: PathBuf) -> Self {
        Self {
            peers: Peer::ALL.to_vec(),
            works: WorkName::DEFAULT.to_vec(),
            rounds: ROUNDS,
            seconds: 4,
            set: Set::Plain,
            rolegate: None,
            before: None,
            with_rolegate: true,
            same: 0,
            builds: Builds::Fit,
            generator: GeneratorName::Own,
            seed: fastrand::u32(..).into(),
            find: Vec::new(),
            helper,
        }
    }
}

/// The names in a list such as `small,large`; `all` is every one, and a name that comes twice counts once.
///
/// # Errors
/// A name is unknown, or there is none. The sentence is for whoever typed it.
pub fn list<T: FromStr<Err = String> + Copy + PartialEq>(text: &str, all: &[T]) -> Result<Vec<T>, String> {
    let mut found = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        let more = if name == "all" { all.to_vec() } else { vec![name.parse()?] };
        for one in more {
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    if found.is_empty() { Err("at least one name is needed, or 'all'".to_owned()) } else { Ok(found) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_unknown_names_are_refused_with_the_known_ones() {
        assert_eq!(list("small, tls,small", WorkName::ALL).unwrap(), [WorkName::Small, WorkName::Tls]);
        assert_eq!(list("all", Peer::ALL).unwrap(), Peer::ALL);
        assert_eq!(list("nginx,all", Peer::ALL).unwrap()[0], Peer::Nginx);
        assert_eq!(list::<Peer>("nginx,all", Peer::ALL).unwrap().len(), Peer::ALL.len());
        let error = list("squid", Peer::ALL).unwrap_err();
        assert!(error.contains("no peer 'squid'") && error.contains("haproxy, nginx"), "{error}");
        assert!(list::<Peer>(" ,", Peer::ALL).is_err());
    }

    #[test]
    fn names_are_unique_and_read_back() {
        for work in WorkName::ALL {
            assert_eq!(work.name().parse::<WorkName>().unwrap(), *work);
        }
        for peer in Peer::ALL {
            assert_eq!(peer.to_string().parse::<Peer>().unwrap(), *peer);
        }
    }
}
