//! Whom names are asked of: configured servers, or those of the operating system, whose files are read again when they change.
//! A machine may have its network, and with it its name servers, only after the proxy has started.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup_ip::LookupIp;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::parse_resolv_conf;
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::timeout;

use crate::control::settle::Stamps;

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";
/// How long a server is waited for until the next one is asked too.
const PATIENCE: Duration = Duration::from_millis(500);
/// Name servers that are asked.
const SERVERS: usize = 8;
/// The most of such a file.
const LARGEST: u64 = 4 << 20;

/// One for each family of addresses.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) v4: Arc<Family>,
    pub(super) v6: Arc<Family>,
}

/// For one family of addresses: a resolver for each name server, in their order. One for all would take the refusal of the first
/// server for the answer.
pub(super) struct Family(Vec<TokioResolver>);

impl std::fmt::Debug for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Family").field("servers", &self.0.len()).finish()
    }
}

impl Family {
    /// Asks the first server, and the next one too when it fails or takes long. That a name does not exist is an answer.
    pub(super) async fn ask(&self, name: &str) -> Result<LookupIp, NetError> {
        // Names of Windows servers may have an underscore, which is no letter of a name that people read.
        let name = if name.is_ascii() { Name::from_ascii(name) } else { Name::from_utf8(name) }?;
        let mut rest = self.0.iter();
        let mut asked = FuturesUnordered::new();
        let mut failure = None;
        loop {
            asked.extend(rest.next().map(|resolver| resolver.lookup_ip(name.clone())));
            let answer = if rest.len() == 0 {
                asked.next().await
            } else {
                let Ok(answer) = timeout(PATIENCE, asked.next()).await else { continue };
                answer
            };
            match answer {
                Some(Err(error)) if !error.is_no_records_found() => _ = failure.get_or_insert(error),
                Some(answer) => return answer,
                None => return Err(failure.unwrap_or(NetError::NoConnections)),
            }
        }
    }
}

/// The resolvers of now.
#[derive(Debug)]
pub(super) struct Resolvers {
    servers: Vec<SocketAddr>,
    timeout: Duration,
    resolv_conf: PathBuf,
    hosts: PathBuf,
    made: Mutex<Option<Made>>,
}

#[derive(Debug)]
struct Made {
    of: Stamps,
    resolvers: Result<Pair, String>,
}

impl Resolvers {
    /// Asks these servers, or those of the operating system when there are none.
    pub(super) fn new(servers: &[SocketAddr], timeout: Duration) -> Self {
        Self {
            servers: servers.to_vec(),
            timeout,
            resolv_conf: RESOLV_CONF.into(),
            hosts: HOSTS.into(),
            made: Mutex::default(),
        }
    }

    /// The resolvers, made anew when a file of the operating system has changed.
    pub(super) fn current(&self) -> Result<Pair, String> {
        let stamps = Stamps::of(self.files());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        match &*made {
            Some(made) if made.of == stamps => return made.resolvers.clone(),
            Some(_) | None => {}
        }
        let resolvers = match (self.make(), made.take().map(|made| made.resolvers)) {
            // A file that is half written, or none: whom we know is better than no one.
            (Err(failure), Some(Ok(known))) => {
                tracing::warn!(%failure, "the name servers of before are asked");
                Ok(known)
            }
            (resolvers, _) => resolvers,
        };
        *made = Some(Made { of: stamps, resolvers: resolvers.clone() });
        resolvers
    }

    /// What the resolvers depend on.
    fn files(&self) -> impl Iterator<Item = &Path> {
        let resolv_conf = self.servers.is_empty().then_some(self.resolv_conf.as_path());
        resolv_conf.into_iter().chain([self.hosts.as_path()])
    }

    fn make(&self) -> Result<Pair, String> {
        let (config, options) = if self.servers.is_empty() {
            let said = |error: &dyn std::fmt::Display| format!("{}: {error}", self.resolv_conf.display());
            let text = read(&self.resolv_conf).map_err(|error| said(&error))?;
            parse_resolv_conf(text).map_err(|error| said(&error))?
        } else {
            (ResolverConfig::from_name_servers(self.servers.iter().map(name_server).collect()), ResolverOpts::default())
        };
        let (domain, search) = (config.domain().cloned(), config.search().to_vec());
        let mut hosts = Hosts::default();
        // Without the file there are none.
        if let Ok(text) = read(&self.hosts)
            && let Err(error) = hosts.read_hosts_conf(text.as_slice())
        {
            tracing::warn!(file = %self.hosts.display(), %error, "not all of the file is understood");
        }
        let hosts = Arc::new(hosts);
        let of = |family| {
            let each = config.name_servers().iter().take(SERVERS).map(|server| {
                let alone = ResolverConfig::from_parts(domain.clone(), search.clone(), vec![server.clone()]);
                let provider = TokioRuntimeProvider::default();
                let mut builder = TokioResolver::builder_with_config(alone, provider).with_options(options.clone());
                let options = builder.options_mut();
                options.timeout = self.timeout;
                options.ip_strategy = family;
                // Some old servers refuse it, and a list of addresses needs no long message.
                options.edns0 = false;
                // Every question is asked because its answer has expired: a cache would only hide that from our floor and
                // ceiling.
                options.cache_size = 0;
                let mut resolver = builder.build()?;
                resolver.set_hosts(Arc::clone(&hosts));
                Ok(resolver)
            });
            let resolvers: Result<Vec<TokioResolver>, NetError> = each.collect();
            resolvers.map(|resolvers| Arc::new(Family(resolvers))).map_err(|error| error.to_string())
        };
        Ok(Pair { v4: of(LookupIpStrategy::Ipv4Only)?, v6: of(LookupIpStrategy::Ipv6Only)? })
    }
}

fn name_server(server: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.to_vec())
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn address(resolvers: &Resolvers, name: &str) -> String {
        let found = resolvers.current().unwrap().v4.ask(name).await.unwrap();
        found.iter().next().unwrap().to_string()
    }

    #[tokio::test]
    async fn files_of_the_system_that_change_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut resolvers = Resolvers::new(&[], Duration::from_secs(1));
        (resolvers.resolv_conf, resolvers.hosts) = (folder.path().join("resolv.conf"), folder.path().join("hosts"));
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        assert!(resolvers.current().unwrap_err().contains("resolv.conf"), "it is not there yet");
        write("resolv.conf", "# nothing yet\n");
        assert!(resolvers.current().unwrap_err().contains("resolv.conf"));

        write("resolv.conf", "nameserver 127.0.0.1\n");
        let first = resolvers.current().unwrap();
        assert!(Arc::ptr_eq(&first.v4, &resolvers.current().unwrap().v4), "nothing has changed");
        write("hosts", "127.0.0.7 mp1.lab.test\n");
        assert_eq!(address(&resolvers, "mp1.lab.test").await, "127.0.0.7");
        write("hosts", "127.0.0.80 mp1.lab.test\n");
        assert_eq!(address(&resolvers, "mp1.lab.test").await, "127.0.0.80");

        let before = resolvers.current().unwrap();
        write("resolv.conf", "");
        assert!(Arc::ptr_eq(&before.v4, &resolvers.current().unwrap().v4), "whom we know is better than no one");
        write("resolv.conf", "nameserver 127.0.0.1\nnameserver 127.0.0.2\n");
        assert!(!Arc::ptr_eq(&before.v4, &resolvers.current().unwrap().v4));
    }

    #[tokio::test]
    async fn with_servers_of_its_own_the_system_has_no_say() {
        let mut resolvers = Resolvers::new(&[SocketAddr::from(([127, 0, 0, 1], 53))], Duration::from_secs(1));
        resolvers.resolv_conf = PathBuf::from("/nowhere/resolv.conf");
        assert!(resolvers.current().is_ok());
    }
}
