//! Every proxy of a comparison: where its program is, what its configuration is made of, how it is started.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::build::Build;
use super::find;
use super::options::{Builds, Options, Peer, Set};
use super::template::{self, Template, Tunnels, Values};
use crate::report::comparison;

/// A kind of proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Rolegate,
    /// The same program once more.
    Control,
    /// The same program as a peer: its place in [`comparison::SAME`].
    Same(usize),
    Before,
    Forwarder,
    Peer(Peer),
}

impl Kind {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rolegate => comparison::ROLEGATE,
            Self::Control => comparison::CONTROL,
            // There are as many at most.
            Self::Same(number) => comparison::SAME[number % comparison::SAME.len()],
            Self::Before => comparison::BEFORE,
            Self::Forwarder => comparison::FORWARDER,
            Self::Peer(peer) => peer.name(),
        }
    }

    pub(super) fn is_rolegate(self) -> bool {
        matches!(self, Self::Rolegate | Self::Control | Self::Same(_) | Self::Before)
    }

    /// The files of its configuration, the first of which the program is told.
    const fn templates(self) -> &'static [Template] {
        match self {
            Self::Rolegate | Self::Control | Self::Same(_) | Self::Before => &[template::ROLEGATE],
            Self::Forwarder => &[],
            Self::Peer(Peer::Haproxy) => &[template::HAPROXY],
            Self::Peer(Peer::Nginx) => &[template::NGINX],
            Self::Peer(Peer::Envoy) => &[template::ENVOY],
            Self::Peer(Peer::Pingora) => &[template::PINGORA],
            Self::Peer(Peer::Caddy) => &[template::CADDY],
            Self::Peer(Peer::Traefik) => &[template::TRAEFIK, template::TRAEFIK_SITE],
        }
    }

    /// How the program is asked for its version and its build: one after the other.
    const fn questions(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::Peer(Peer::Haproxy) => &[&["-vv"]],
            Self::Peer(Peer::Nginx) => &[&["-V"]],
            Self::Peer(Peer::Caddy) => &[&["version"], &["build-info"]],
            Self::Peer(Peer::Traefik) => &[&["version"]],
            Self::Peer(Peer::Envoy | Peer::Pingora)
            | Self::Rolegate
            | Self::Control
            | Self::Same(_)
            | Self::Before
            | Self::Forwarder => &[&["--version"]],
        }
    }

    /// What it says about its build.
    fn build(self, said: &str) -> Build {
        match self {
            Self::Peer(peer) => Build::read(peer, said),
            Self::Rolegate | Self::Control | Self::Same(_) | Self::Before => {
                Build { tls: "rustls with aws-lc".to_owned(), said: said.trim().to_owned(), ..Build::default() }
            }
            Self::Forwarder => Build::default(),
        }
    }

    /// What a reader should know about its configuration.
    const fn note(self, set: Set) -> &'static str {
        match (self, set) {
            (Self::Rolegate, _) => "everything on: boundary groups, probes, passive detection, affinity, metrics",
            (Self::Control | Self::Same(_), _) => "configured alike: what differs is chance",
            (Self::Before, _) => "another build, configured like rolegate",
            (Self::Forwarder, _) => "no HTTP at all: bytes are moved, each client connection is one to an origin",
            (Self::Peer(Peer::Haproxy), Set::Plain) => {
                "least connections; looks the client's network up; splices bodies"
            }
            (Self::Peer(Peer::Haproxy), Set::Full) => {
                "least connections; looks the client's network up; splices bodies; writes each record of its access log at once"
            }
            (Self::Peer(Peer::Nginx), _) => {
                "least connections; its default buffers for small answers, 64 KiB without buffering for downloads; no active \
                 health checks"
            }
            (Self::Peer(Peer::Envoy), _) => "least requests",
            (Self::Peer(Peer::Pingora), _) => {
                "the small proxy of benches/peers/pingora with rustls and mimalloc; in turns"
            }
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
    pub(super) build: Build,
}

impl Program {
    fn new(kind: Kind, path: PathBuf) -> Result<Self, String> {
        let answers = kind.questions().iter().map(|arguments| find::said(&path, arguments));
        let said = answers.collect::<Result<Vec<_>, _>>()?.concat();
        let version = find::version(&path, &said)?;
        Ok(Self { kind, path, version, build: kind.build(&said) })
    }

    pub(super) fn name(&self) -> &'static str {
        self.kind.name()
    }

    pub(super) fn describe(&self, set: Set) -> comparison::Proxy {
        comparison::Proxy {
            name: self.name().to_owned(),
            version: self.version.clone(),
            note: self.kind.note(set).to_owned(),
            build: self.build.flags.clone(),
            tls: self.build.tls.clone(),
            said: self.build.said.clone(),
        }
    }

    /// What makes it pass connections of client notification on, besides requests; or why it does not, in parts of a sentence.
    pub(super) fn tunnels(&self) -> Result<Option<Tunnels>, &'static str> {
        match self.kind {
            Kind::Rolegate | Kind::Control | Kind::Same(_) | Kind::Before => Ok(Some(template::ROLEGATE_TUNNELS)),
            // It moves any bytes.
            Kind::Forwarder => Ok(None),
            Kind::Peer(Peer::Haproxy) => Ok(Some(template::HAPROXY_TUNNELS)),
            // As a module of its own, `--with-stream=dynamic`, it may be there or not.
            Kind::Peer(Peer::Nginx) if self.build.has("--with-stream") => Ok(Some(template::NGINX_TUNNELS)),
            Kind::Peer(Peer::Nginx) => Err("its build has no stream module"),
            Kind::Peer(Peer::Envoy | Peer::Pingora | Peer::Caddy | Peer::Traefik) => {
                Err("it has no configuration for that here")
            }
        }
    }

    /// Writes the configuration into a folder. What makes tunnels stands at the end of the first file.
    pub(super) fn configure(
        &self,
        set: Set,
        tunnels: Option<Tunnels>,
        folder: &Path,
        values: &Values,
    ) -> Result<(), String> {
        std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let more = std::iter::once(tunnels).chain(std::iter::repeat(None));
        for (template, tunnels) in self.kind.templates().iter().zip(more) {
            let file = folder.join(template.name);
            let text = template.fill(set, tunnels, values)?;
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
            Kind::Rolegate | Kind::Control | Kind::Same(_) | Kind::Before => {
                command.arg("run").arg(file).env("RUST_LOG", "warn")
            }
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
    /// Peers that no user would run like this, and take part nevertheless.
    pub(super) unfit: Vec<String>,
}

/// Finds the programs of everything that takes part.
pub(super) fn find(options: &Options) -> Result<Found, String> {
    let mut found = Found::default();
    let beside = options.helper.parent().map(Path::to_owned);
    if options.with_rolegate {
        let folders: Vec<_> = beside.into_iter().chain(find::path()).collect();
        let path = options
            .rolegate
            .clone()
            .or_else(|| find::program("rolegate", &folders))
            .ok_or("rolegate's program was not found: cargo build --release, or say where it is with --rolegate")?;
        let rolegate = Program::new(Kind::Rolegate, path)?;
        let copies = (0..options.same).map(Kind::Same);
        let kinds = [Kind::Rolegate, Kind::Control].into_iter().chain(copies);
        found.programs.extend(kinds.map(|kind| Program { kind, ..rolegate.clone() }));
        if let Some(before) = &options.before {
            found.programs.push(Program::new(Kind::Before, before.clone())?);
        }
    }
    let folders = find::folders(options);
    for peer in &options.peers {
        let missing =
            |why: String| format!("{peer} is left out: {why}; install it with benches/peers/install.sh {peer}");
        let Some(path) = find::program(peer.name(), &folders) else {
            found.missing.push(missing("its program was not found".to_owned()));
            continue;
        };
        match Program::new(Kind::Peer(*peer), path) {
            Ok(program) => {
                found.unfit.extend(unfit(*peer, &program));
                found.programs.push(program);
            }
            Err(why) => found.missing.push(missing(why)),
        }
    }
    if options.builds == Builds::Fit && !found.unfit.is_empty() {
        return Err(format!(
            "{} Its figures would say nothing about what users run. Install it with benches/peers/install.sh, name a folder \
             that has a good build with --find, leave it out with --peers, or measure it nevertheless with --any-build",
            found.unfit.join(" ")
        ));
    }
    let ours = found.programs.iter().filter(|program| matches!(program.kind, Kind::Rolegate | Kind::Before));
    let hasty: Vec<String> = ours.filter_map(hasty).collect();
    found.unfit.extend(hasty);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let build = Build::default();
    found.programs.push(Program { kind: Kind::Forwarder, path: options.helper.clone(), version, build });
    Ok(found)
}

/// A sentence about a peer that no user would run like this.
fn unfit(peer: Peer, program: &Program) -> Option<String> {
    let faults = program.build.faults(peer, &program.version);
    (!faults.is_empty())
        .then(|| format!("{peer} ({}) is not what a user would run: {}.", program.path.display(), faults.join(", ")))
}

/// A sentence about a rolegate in a folder of cargo's that was not compiled as users get it.
fn hasty(program: &Program) -> Option<String> {
    let folder = program.path.parent()?;
    let made_here = folder.join(".cargo-lock").exists();
    (made_here && !folder.ends_with("release")).then(|| {
        format!(
            "{} ({}) was compiled for trying, and is slower than what users get: cargo build --release.",
            program.name(),
            program.path.display()
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::template::values_for_tests;
    use super::*;

    #[test]
    fn what_is_missing_is_told_with_how_to_install_it() {
        let (_folder, mut options) =
            with_script(Peer::Haproxy, "echo 'libcrypt.so.9: cannot open shared object file' >&2\nexit 127");
        let found = find(&options).unwrap();
        assert_eq!(found.programs.iter().map(Program::name).collect::<Vec<_>>(), ["forwarder"]);
        let [why] = found.missing.as_slice() else { panic!("{:?}", found.missing) };
        assert!(why.contains("libcrypt.so.9") && why.ends_with("install.sh haproxy"), "{why}");
        options.with_rolegate = true;
        options.rolegate = Some("/nowhere/rolegate".into());
        assert!(find(&options).is_err());
    }

    #[test]
    fn a_rolegate_that_was_compiled_for_trying_is_a_doubt() {
        let target = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| {
            let folder = target.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            std::fs::write(folder.join(".cargo-lock"), "").unwrap();
            let path = folder.join("rolegate");
            Program { kind: Kind::Rolegate, path, version: String::new(), build: Build::default() }
        };
        let (trying, released) = (in_folder("lab"), in_folder("release"));
        assert!(hasty(&trying).is_some_and(|why| why.contains("--release")));
        assert_eq!(hasty(&released), None);
        let installed = Program { path: "/usr/bin/rolegate".into(), ..released };
        assert_eq!(hasty(&installed), None);
    }

    /// Options with one peer, which is a shell script.
    fn with_script(peer: Peer, script: &str) -> (tempfile::TempDir, Options) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(peer.name());
        std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&file, mode).unwrap();
        let mut options = Options::new("/nowhere/compare".into());
        options.find = vec![folder.path().to_owned()];
        options.peers = vec![peer];
        options.with_rolegate = false;
        (folder, options)
    }

    #[test]
    fn a_build_that_no_user_would_run_is_refused_unless_any_will_do() {
        let says = "echo 'nginx version: nginx/1.31.3'\necho \"configure arguments: --with-cc-opt='-Os' --with-debug\"";
        let (folder, mut options) = with_script(Peer::Nginx, says);
        let why = find(&options).unwrap_err();
        let place = folder.path().join("nginx").display().to_string();
        for word in [place.as_str(), "made for size (-Os)", "--with-debug", "install.sh", "--any-build"] {
            assert!(why.contains(word), "{word:?} is not in {why}");
        }
        options.builds = Builds::Any;
        let found = find(&options).unwrap();
        assert_eq!((found.programs.len(), found.unfit.len()), (2, 1));
        let told = found.programs[0].describe(Set::Plain);
        assert!(told.build.contains("-Os") && told.said.contains("1.31.3"), "{told:?}");
    }

    #[test]
    fn only_those_that_can_make_tunnels_are_told_to() {
        let program = |kind, said: &str| Program {
            kind,
            path: "/bin/proxy".into(),
            version: "1".to_owned(),
            build: Build { said: said.to_owned(), ..Build::default() },
        };
        let can = |kind, said| program(kind, said).tunnels().is_ok();
        let nginx = Kind::Peer(Peer::Nginx);
        assert!(can(nginx, "configure arguments: --with-stream --with-stream_ssl_module"));
        for said in ["--with-stream=dynamic", "--with-stream_ssl_module", ""] {
            assert!(!can(nginx, said), "{said}");
        }
        assert!(can(Kind::Peer(Peer::Haproxy), "") && can(Kind::Rolegate, "") && can(Kind::Forwarder, ""));
        assert!(!can(Kind::Peer(Peer::Traefik), ""));
        let folder = tempfile::tempdir().unwrap();
        let haproxy = program(Kind::Peer(Peer::Haproxy), "");
        haproxy.configure(Set::Plain, haproxy.tunnels().unwrap(), folder.path(), &values_for_tests()).unwrap();
        let text = std::fs::read_to_string(folder.path().join("haproxy.cfg")).unwrap();
        assert!(text.contains("mode tcp"), "{text}");
    }

    #[test]
    fn every_peer_is_told_its_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let own = [Kind::Rolegate, Kind::Control, Kind::Same(0), Kind::Before];
        let kinds = Peer::ALL.iter().map(|peer| Kind::Peer(*peer)).chain(own);
        for kind in kinds {
            let program = Program { kind, path: "/bin/proxy".into(), version: "1".to_owned(), build: Build::default() };
            program.configure(Set::Full, None, folder.path(), &values_for_tests()).unwrap();
            let command =
                format!("{:?}", program.command(Path::new("/bin/helper"), folder.path(), &values_for_tests(), 1));
            let file = folder.path().join(kind.templates()[0].name);
            assert!(command.contains(file.to_str().unwrap()) && file.exists(), "{command}");
            assert!(command.contains(r#""/bin/helper" "child" "/bin/proxy""#), "{command}");
        }
    }
}
