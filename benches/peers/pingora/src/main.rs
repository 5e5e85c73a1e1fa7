//! The smallest Pingora proxy that does what the other proxies of the comparison do: two origins in turn, connections to
//! them kept, `Via`, `Forwarded` and `X-Forwarded-*` written.
//!
//! Its configuration is lines of a word and its values: `http ADDRESS`, `https ADDRESS CERTIFICATE KEY`, `origin ADDRESS`,
//! `threads NUMBER`, `access_log FILE`, `health TARGET`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pingora::http::RequestHeader;
use pingora::lb::LoadBalancer;
use pingora::lb::health_check::{HealthCheck, HttpHealthCheck};
use pingora::lb::selection::RoundRobin;
use pingora::prelude::{Error, HttpPeer, Result, background_service};
use pingora::proxy::{ProxyHttp, Session, http_proxy_service};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;

// As rolegate has it: the system's allocator would be a handicap.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `--version` says: `compare` refuses a debug build by it.
const VERSION: &str = if cfg!(debug_assertions) {
    "pingora 0.9.1 (debug build; mimalloc; rustls)"
} else {
    "pingora 0.9.1 (release build; mimalloc; rustls)"
};

#[derive(Debug, Default)]
struct Config {
    http: Vec<String>,
    https: Vec<[String; 3]>,
    origins: Vec<String>,
    threads: usize,
    access_log: Option<String>,
    health: Option<String>,
}

fn parse(text: &str) -> std::result::Result<Config, String> {
    let mut config = Config { threads: 1, ..Config::default() };
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["http", address] => config.http.push((*address).to_owned()),
            ["https", address, certificate, key] => {
                config.https.push([*address, *certificate, *key].map(str::to_owned));
            }
            ["origin", address] => config.origins.push((*address).to_owned()),
            ["threads", number] => config.threads = number.parse().map_err(|_| format!("not a number: {number}"))?,
            ["access_log", file] => config.access_log = Some((*file).to_owned()),
            ["health", target] => config.health = Some((*target).to_owned()),
            _ => return Err(format!("not understood: {line}")),
        }
    }
    Ok(config)
}

struct Proxy {
    origins: Arc<LoadBalancer<RoundRobin>>,
    log: Option<Mutex<BufWriter<File>>>,
}

#[async_trait]
impl ProxyHttp for Proxy {
    /// How often it was tried again.
    type CTX = usize;

    fn new_ctx(&self) -> usize {
        0
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        tries: &mut usize,
        mut error: Box<Error>,
    ) -> Box<Error> {
        *tries += 1;
        error.set_retry(*tries <= 2);
        error
    }

    async fn upstream_peer(&self, _session: &mut Session, _tries: &mut usize) -> Result<Box<HttpPeer>> {
        let origin = self.origins.select(b"", 256).ok_or_else(|| Error::new_str("no origin is well"))?;
        let mut peer = HttpPeer::new(origin, false, String::new());
        peer.options.connection_timeout = Some(Duration::from_secs(3));
        peer.options.idle_timeout = Some(Duration::from_secs(60));
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _tries: &mut usize,
    ) -> Result<()> {
        let client =
            session.client_addr().and_then(|address| address.as_inet()).map(|address| address.ip().to_string());
        let client = client.unwrap_or_default();
        let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
        let scheme = if tls { "https" } else { "http" };
        let host = request.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
        request.append_header("X-Forwarded-For", client.as_str())?;
        request.insert_header("X-Forwarded-Proto", scheme)?;
        request.insert_header("X-Forwarded-Host", host.as_str())?;
        request.append_header("Via", "1.1 pingora")?;
        request.append_header("Forwarded", format!("for={client};host=\"{host}\";proto={scheme}"))?;
        Ok(())
    }

    async fn logging(&self, session: &mut Session, _error: Option<&Error>, _tries: &mut usize) {
        let Some(log) = &self.log else { return };
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let line = session.request_summary();
        if let Ok(mut log) = log.lock() {
            // A line that cannot be written is lost: this is a measurement.
            let _ = writeln!(log, "{line} {status} {}", session.body_bytes_sent());
        }
    }
}

fn serve(config: Config) -> std::result::Result<(), String> {
    let conf = ServerConf {
        threads: config.threads,
        upstream_keepalive_pool_size: 1024,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut origins = LoadBalancer::<RoundRobin>::try_from_iter(&config.origins).map_err(|error| error.to_string())?;
    if let Some(target) = &config.health {
        let mut check = HttpHealthCheck::new("127.0.0.1", false);
        check.req.set_uri(target.parse().map_err(|_| format!("not a target: {target}"))?);
        let check: Box<dyn HealthCheck + Send + Sync> = Box::new(check);
        origins.set_health_check(check);
        origins.health_check_frequency = Some(Duration::from_secs(5));
    }
    let origins = background_service("origins", origins);
    let log = config.access_log.map(|file| File::create(&file).map_err(|error| format!("{file}: {error}")));
    let log = log.transpose()?.map(|file| Mutex::new(BufWriter::new(file)));
    let mut proxy = http_proxy_service(&server.configuration, Proxy { origins: origins.task(), log });
    for address in &config.http {
        proxy.add_tcp(address);
    }
    for [address, certificate, key] in &config.https {
        proxy.add_tls(address, certificate, key).map_err(|error| error.to_string())?;
    }
    server.add_service(proxy);
    server.add_service(origins);
    server.run_forever()
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let result = match (arguments.next().as_deref(), arguments.next()) {
        (Some("--version"), None) => {
            let _ = writeln!(std::io::stdout(), "{VERSION}");
            return ExitCode::SUCCESS;
        }
        (Some(file), None) => {
            let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"));
            text.and_then(|text| parse(&text)).and_then(serve)
        }
        _ => Err("usage: pingora-peer FILE".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
