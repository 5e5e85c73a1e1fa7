//! A site in which a client asks for something at a minute of its clock, with servers that are a table: who is up, and who has
//! which content.

use std::collections::BTreeSet;

use http::{Method, StatusCode};
use rolegate::model::balance::{How, Tried};
use rolegate::model::content::Said;
use rolegate::model::decision::Decision;
use rolegate::model::endpoint::Lease;
use rolegate::model::facts::Facts;
use rolegate::model::learn::Unserved;
use rolegate::model::live::Verdict;
use rolegate::wire::fields::Fields;

use super::world::{DOWN, UP, World, facts};

pub const PACKAGE: &str = "/SMS_DP_SMSPKG$/ABC00012";
pub const MINUTE: u64 = 60_000;

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// The content, from this server.
    From(String),
    /// 404.
    Missing,
    /// 503, and the next tier opens after so many seconds.
    Wait(u64),
    /// 503, and nothing opens later.
    Nobody,
}

pub fn from(server: &str) -> Got {
    Got::From(server.to_owned())
}

pub struct Site {
    pub world: World,
    down: BTreeSet<String>,
    lacks: BTreeSet<String>,
    pub fields: Fields,
    /// The subject of the client's certificate, hashed.
    pub subject: Option<u64>,
    /// Servers asked by the last request.
    pub asked: Vec<String>,
}

impl Site {
    pub fn new(text: &str) -> Self {
        let mut world = World::new(text);
        world.all_up();
        let (down, lacks, fields) = Default::default();
        Self { world, down, lacks, fields, subject: None, asked: Vec::new() }
    }

    pub fn down(&mut self, servers: &[&str]) {
        for server in servers {
            self.down.insert((*server).to_owned());
            self.world.stand_system(server, DOWN);
        }
        self.world.publisher.publish();
    }

    pub fn up(&mut self, servers: &[&str]) {
        for server in servers {
            self.down.remove(*server);
            self.world.stand_system(server, UP);
        }
        self.world.publisher.publish();
    }

    /// Takes every place of these distribution points.
    pub fn fill(&self, servers: &[&str]) -> Vec<Lease> {
        let snapshot = self.world.snapshot();
        let points = snapshot.clusters.iter().find(|cluster| cluster.topology.role.short == "DP").unwrap();
        let full = points.topology.endpoints.iter().filter(|endpoint| servers.contains(&&*endpoint.system));
        full.map(|endpoint| Lease::take(&endpoint.state)).collect()
    }

    pub fn lack(&mut self, servers: &[&str]) {
        self.lacks = servers.iter().map(|server| (*server).to_owned()).collect();
    }

    /// A request as the request path serves it.
    pub fn get(&mut self, client: &str, path: &str, now_ms: u64) -> Got {
        self.named(None, client, path, now_ms)
    }

    /// The same with a `Host`.
    pub fn named(&mut self, host: Option<&str>, client: &str, path: &str, now_ms: u64) -> Got {
        let snapshot = self.world.snapshot();
        let method = if path.starts_with("/SMS_DP") { "PROPFIND" } else { "GET" };
        let facts = Facts { host, method, fields: Some(&self.fields), subject: self.subject, ..facts(client, path) };
        let decided = Decision::new(&snapshot, &facts, now_ms);
        self.serve(&decided.unwrap_or_else(|refusal| panic!("{path}: {refusal:?}")), method, now_ms)
    }

    /// A connection to the listener of a TCP role, by its place in the configuration.
    pub fn connect(&mut self, listener: u16, client: &str, now_ms: u64) -> Got {
        let snapshot = self.world.snapshot();
        let role = snapshot.site.listeners[usize::from(listener)].tcp.unwrap();
        let facts = Facts { listener, method: "", ..facts(client, "") };
        self.serve(&Decision::for_cluster(&snapshot, role, &facts, now_ms).unwrap(), "GET", now_ms)
    }

    fn serve(&mut self, decision: &Decision<'_>, method: &str, now_ms: u64) -> Got {
        let mut tried = Tried::new();
        self.asked.clear();
        loop {
            let pick = match decision.pick(&tried, now_ms, now_ms ^ 0x5eed) {
                Ok(pick) => pick,
                Err(nobody) => {
                    let wait = decision.unserved(Unserved::Unable);
                    return match wait {
                        // Whoever was asked has said 404, and nobody else could be asked.
                        _ if !tried.is_empty() && !nobody.unasked => Got::Missing,
                        Some(wait) => Got::Wait(wait.seconds()),
                        None => Got::Nobody,
                    };
                }
            };
            let server = decision.cluster.endpoint(pick.endpoint).system.to_string();
            assert!(!self.down.contains(&server), "{server} is down");
            self.asked.push(server.clone());
            tried.push(pick.endpoint);
            // It is there while it is served.
            let _lease = Lease::take(&decision.cluster.endpoint(pick.endpoint).state);
            let lacks = self.lacks.contains(&server);
            let status = if lacks { StatusCode::NOT_FOUND } else { StatusCode::OK };
            let said = decision.learn(&pick, &Method::from_bytes(method.as_bytes()).unwrap(), status).said;
            if said != Said::Content(Verdict::Lacks) {
                decision.served(&pick, said, status);
                return Got::From(server);
            }
            if pick.how == How::AskedAgain {
                decision.unserved(Unserved::Lacking);
                return Got::Missing;
            }
        }
    }
}

/// A is the client's group, with links to B after 10 and C after 20 minutes; the default group comes after 120.
pub fn worked_example(more: &str) -> String {
    let mut text = format!(
        "[site]\ncode = \"P01\"\n{more}\n[[listeners]]\naddress = \"127.0.0.1:0\"\nroles = [\"DP\", \"MP\", \"SUP\"]\n"
    );
    for (place, name) in ["a1", "a2", "b1", "b2", "c1", "c2", "d1"].iter().enumerate() {
        text += &format!(
            "[[site_systems]]\nname = \"{name}\"\naddress = \"10.9.0.{place}\"\nroles = [\"DP\", \"MP\", \"SUP\"]\n"
        );
    }
    text + "[[boundary_groups]]\nname = \"A\"\nboundaries = [\"10.1.0.0/16\"]\nsite_systems = [\"a1\", \"a2\"]\n\
            neighbors = [{ group = \"B\", fallback = { DP = 10, SUP = 10, MP = 0 } }, \
                         { group = \"C\", fallback = { DP = 20, SUP = 130, MP = \"never\" } }]\n\
            [[boundary_groups]]\nname = \"B\"\nboundaries = [\"10.2.0.0/16\"]\nsite_systems = [\"b1\", \"b2\"]\n\
            neighbors = [{ group = \"C\", fallback = { DP = 0 } }]\n\
            [[boundary_groups]]\nname = \"C\"\nboundaries = [\"10.3.0.0/16\"]\nsite_systems = [\"c1\", \"c2\"]\n\
            [default_boundary_group]\nsite_systems = [\"d1\"]\n"
}
