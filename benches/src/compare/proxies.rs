//! Every proxy of a comparison: where its program is, what its configuration is made of, how it is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::find;
use super::options::{Options, Peer, Set};
use super::template::{self, Template, Values};
use crate::report::comparison;

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rolegate,
    Before,
    Forwarder,
    Peer(Peer),
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rolegate => comparison::ROLEGATE,
            Self::Before => comparison::BEFORE,
            Self::Forwarder => comparison::FORWARDER,
            Self::Peer(peer) => peer.name(),
        }
    }

    pub(super) fn is_rolegate(self) -> bool {
        matches!(self, Self::Rolegate | Self::Before)
    }

    /// The files of its configuration, the first of which the program is told.
    const fn templates(self) -> &'static [Template] {
        match self {
            Self::Rolegate | Self::Before => &[template::ROLEGATE],
            Self::Forwarder => &[],
            Self::Peer(Peer::Haproxy) => &[template::HAPROXY],
            Self::Peer(Peer::Nginx) => &[template::NGINX],
            Self::Peer(Peer::Envoy) => &[template::ENVOY],
            Self::Peer(Peer::Pingora) => &[template::PINGORA],
            Self::Peer(Peer::Caddy) => &[template::CADDY],
            Self::Peer(Peer::Traefik) => &[template::TRAEFIK, template::TRAEFIK_SITE],
        }
    }

    const fn version_arguments(self) -> &'static [&'static str] {
        match self {
            Self::Peer(Peer::Haproxy | Peer::Nginx) => &["-v"],
            Self::Peer(Peer::Caddy | Peer::Traefik) => &["version"],
            _ => &["--version"],
        }
    }

    /// What a reader should know about its configuration.
    const fn note(self, set: Set) -> &'static str {
        match (self, set) {
            (Self::Rolegate, _) => "everything on: boundary groups, probes, passive detection, affinity, metrics",
            (Self::Before, _) => "another build, configured like rolegate",
            (Self::Forwarder, _) => "no HTTP at all: bytes are moved, each client connection is one to an origin",
            (Self::Peer(Peer::Haproxy), _) => "least connections; looks the client's network up; splices bodies",
            (Self::Peer(Peer::Nginx), _) => "least connections; no buffering of bodies; no active health checks",
            (Self::Peer(Peer::Envoy), _) => "least requests",
            (Self::Peer(Peer::Pingora), _) => "the small proxy of benches/peers/pingora with rustls; in turns",
            (Self::Peer(Peer::Caddy), _) => "least connections",
            (Self::Peer(Peer::Traefik), _) => "power of two choices; its Forwarded does not name the client",
        }
    }
}

/// A program that can be started.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    pub(super) version: String,
}

impl Program {
    fn new(kind: Kind, path: PathBuf) -> Result<Self, String> {
        let version = find::version(&path, kind.version_arguments())?;
        Ok(Self { kind, path, version })
    }

    pub(super) fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub(super) fn describe(&self, set: Set) -> comparison::Proxy {
        comparison::Proxy {
            name: self.name().to_owned(),
            version: self.version.clone(),
            note: self.kind.note(set).to_owned(),
        }
    }

    /// Writes the configuration into a folder.
    pub(super) fn configure(&self, set: Set, folder: &Path, values: &Values) -> Result<(), String> {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for template in self.kind.templates() {
            let file = folder.join(template.name);
            let text = template.fill(set, values)?;
            std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        Ok(())
    }

    /// The command that serves the configuration of a folder with so many threads for data. It is `helper` that becomes the
    /// program, so that it ends with this process whatever happens.
    pub(super) fn command(&self, helper: &Path, folder: &Path, values: &Values, threads: usize) -> Command {
        let mut command = Command::new(helper);
        if self.kind != Kind::Forwarder {
            command.arg("child").arg(&self.path);
        }
        let file = self.kind.templates().first().map(|template| folder.join(template.name)).unwrap_or_default();
        match self.kind {
            Kind::Rolegate | Kind::Before => command.arg("run").arg(file).env("RUST_LOG", "warn"),
            Kind::Forwarder => {
                let value = |name| values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
                command.args(["forwarder", value("http"), value("one"), value("two")])
            }
            Kind::Peer(Peer::Haproxy) => command.arg("-f").arg(file),
            Kind::Peer(Peer::Nginx) => command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(file),
            Kind::Peer(Peer::Envoy) => command
                .args(["--concurrency", &threads.to_string(), "--log-level", "error"])
                .args(["--disable-hot-restart", "-c"])
                .arg(file),
            Kind::Peer(Peer::Pingora) => command.arg(file),
            Kind::Peer(Peer::Caddy) => command.args(["run", "--adapter", "caddyfile", "--config"]).arg(file),
            Kind::Peer(Peer::Traefik) => command.arg(format!("--configFile={}", file.display())),
        };
        // Go's programs take a thread for each core that they may use, which is one, but their own count is exact.
        let homes = ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"].map(|name| (name, folder));
        command.env("GOMAXPROCS", threads.to_string()).envs(homes).current_dir(folder);
        command
    }
}

/// What was found, and sentences about what was not.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) programs: Vec<Program>,
    pub(super) missing: Vec<String>,
}

/// Finds the programs of everything that takes part.
pub(super) fn find(options: &Options) -> Result<Found, String> {
    let mut found = Found::default();
    let beside = options.helper.parent().map(Path::to_owned);
    if options.with_rolegate {
        let folders: Vec<_> = beside.into_iter().chain(find::path()).collect();
        let path = options.rolegate.clone().or_else(|| find::program("rolegate", &folders)).ok_or(
            "rolegate's program was not found: cargo build --release -p rolegate, or say where it is with --rolegate",
        )?;
        found.programs.push(Program::new(Kind::Rolegate, path)?);
        if let Some(before) = &options.before {
            found.programs.push(Program::new(Kind::Before, before.clone())?);
        }
    }
    let mut folders = options.find.clone();
    folders.push(find::installed());
    folders.extend(find::path());
    for peer in &options.peers {
        let missing =
            |why: String| format!("{peer} is left out: {why}; install it with benches/peers/install.sh {peer}");
        let Some(path) = find::program(peer.name(), &folders) else {
            found.missing.push(missing("its program was not found".to_owned()));
            continue;
        };
        match Program::new(Kind::Peer(*peer), path) {
            Ok(program) => found.programs.push(program),
            Err(why) => found.missing.push(missing(why)),
        }
    }
    let version = env!("CARGO_PKG_VERSION").to_owned();
    found.programs.push(Program { kind: Kind::Forwarder, path: options.helper.clone(), version });
    Ok(found)
}

/// What a test fills templates with; the origins listen on 7001 and 7002, the proxy on 7003 to 7005.
#[cfg(test)]
pub(super) fn values_for_tests() -> Values {
    let names = ["one", "two", "http", "https", "admin"];
    let mut values: Values = names.into_iter().zip(7001..).map(|(name, port)| (name, port.to_string())).collect();
    values.extend([("threads", "1"), ("probe", "/probe")].map(|(name, value)| (name, value.to_owned())));
    let files = ["folder", "certificate", "key", "pem"];
    values.extend(files.map(|name| (name, format!("/somewhere/{name}"))));
    values
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_how_to_install_it() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("haproxy");
        std::fs::write(&script, "#!/bin/sh\necho 'libcrypt.so.9: cannot open shared object file' >&2\nexit 127\n")
            .unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let mut options = Options::new("/nowhere/compare".into());
        options.find = vec![folder.path().to_owned()];
        options.peers = vec![Peer::Haproxy];
        options.with_rolegate = false;
        let found = find(&options).unwrap();
        assert_eq!(found.programs.iter().map(Program::name).collect::<Vec<_>>(), ["forwarder"]);
        let [why] = found.missing.as_slice() else { panic!("{:?}", found.missing) };
        assert!(why.contains("libcrypt.so.9") && why.ends_with("install.sh haproxy"), "{why}");
        options.with_rolegate = true;
        options.rolegate = Some("/nowhere/rolegate".into());
        assert!(find(&options).is_err());
    }

    #[test]
    fn every_peer_is_told_its_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let kinds = Peer::ALL.iter().map(|peer| Kind::Peer(*peer)).chain([Kind::Rolegate, Kind::Before]);
        for kind in kinds {
            let program = Program { kind, path: "/bin/proxy".into(), version: "1".to_owned() };
            program.configure(Set::Full, folder.path(), &values_for_tests()).unwrap();
            let command =
                format!("{:?}", program.command(Path::new("/bin/helper"), folder.path(), &values_for_tests(), 1));
            let file = folder.path().join(kind.templates()[0].name);
            assert!(command.contains(file.to_str().unwrap()) && file.exists(), "{command}");
            assert!(command.contains(r#""/bin/helper" "child" "/bin/proxy""#), "{command}");
        }
    }
}
