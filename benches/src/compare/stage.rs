//! What a comparison runs on: the origins, the proxies that were started, and their files.

use std::fs::{File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use anyhow::Context as _;
use tempfile::TempDir;

use super::cores::{self, Cores};
use super::find::last_lines;
use super::keeper::{Keeper, Kept};
use super::options::{Options, Set};
use super::origin::{Origin, Serves, StartedBy};
use super::probe;
use super::process::Group;
use super::proxies::{Kind, Program};
use super::targets::{HOST, PROBE, SMALL};
use super::template::{self, Bodies, Values};
use super::usage;
use crate::pki::{Algorithm, Identity, Wanted};

/// What holds for the whole comparison.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) options: Options,
    pub(super) programs: Vec<Program>,
    pub(super) cores: Cores,
    pub(super) folder: TempDir,
    keeper: Arc<Keeper>,
}

impl Stage {
    pub(super) fn new(options: Options, programs: Vec<Program>, cores: Cores) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rolegate-compare-").tempdir().context("a folder for files")?;
        for algorithm in [Algorithm::EcdsaP256, Algorithm::Rsa2048] {
            let identity = Identity::self_signed(&Wanted::server(&[HOST]).algorithm(algorithm));
            let files = identity.write(folder.path(), site(algorithm)).context("writing a certificate")?;
            let pem = folder.path().join(site(algorithm)).with_extension("pem");
            std::fs::write(&pem, identity.certificate_pem + &identity.key_pem)?;
            for secret in [&files.key, &pem] {
                std::fs::set_permissions(secret, Permissions::from_mode(0o600))?;
            }
        }
        let keeper =
            Keeper::start(&options.helper, folder.path()).with_context(|| options.helper.display().to_string())?;
        Ok(Self { options, programs, cores, folder, keeper })
    }

    /// How its origins are started.
    pub(super) fn starts(&self) -> StartedBy<'_> {
        StartedBy { helper: &self.options.helper, cores: &self.cores }
    }

    pub(super) fn program(&self, kind: Kind) -> Option<&Program> {
        self.programs.iter().find(|program| program.kind == kind)
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

/// The name of the files of a certificate with a key of this kind.
const fn site(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::EcdsaP256 => "site",
        Algorithm::Rsa2048 => "site-rsa",
    }
}

/// Two origins.
#[derive(Debug)]
pub(super) struct Origins {
    pub(super) one: Origin,
    /// Nothing once it was killed.
    pub(super) two: Option<Origin>,
    addresses: [SocketAddr; 2],
}

impl Origins {
    pub(super) async fn start(stage: &Stage) -> anyhow::Result<Self> {
        let addresses = probe::free::<2>().context("ports for the origins")?;
        let [one, two] = addresses;
        let by = stage.starts();
        let one = Origin::start(&by, Serves::Files("one"), one).await.map_err(anyhow::Error::msg)?;
        let two = Origin::start(&by, Serves::Files("two"), two).await.map_err(anyhow::Error::msg)?;
        Ok(Self { one, two: Some(two), addresses })
    }

    pub(super) const fn addresses(&self) -> [SocketAddr; 2] {
        self.addresses
    }
}

/// How a proxy is to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup<'a> {
    pub(super) set: Set,
    pub(super) threads: usize,
    pub(super) bodies: Bodies,
    /// The kind of the key of its certificate.
    pub(super) key: Algorithm,
    /// Where connections of client notification go, if it is to pass them on.
    pub(super) notification: Option<SocketAddr>,
    /// A configuration instead of the template's, with holes.
    pub(super) text: Option<&'a str>,
}

impl Setup<'_> {
    pub(super) const fn of(set: Set) -> Self {
        let key = Algorithm::EcdsaP256;
        Self { set, threads: 1, bodies: Bodies::Small, key, notification: None, text: None }
    }
}

/// A proxy that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) kind: Kind,
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Where it takes connections of client notification, if it does.
    pub(super) notify: SocketAddr,
    /// Its files.
    pub(super) folder: PathBuf,
    /// What its configuration was filled with.
    pub(super) values: Values,
    /// Records of its access log that it had dropped when it was last asked.
    pub(super) dropped: u64,
    /// What was resident when it had just started, in bytes.
    pub(super) rest: u64,
    group: Group,
    // After the group, which has been killed then.
    _kept: Kept,
}

impl Running {
    /// Starts a proxy on the proxies' cores, and waits until it answers.
    pub(super) async fn start(
        stage: &Stage,
        program: &Program,
        origins: [SocketAddr; 2],
        setup: Setup<'_>,
    ) -> Result<Self, String> {
        let kind = program.kind;
        let [http, https, admin, own] = probe::free::<4>().map_err(|error| error.to_string())?;
        let notify = if kind == Kind::Forwarder { http } else { own };
        // A folder for each start: nothing is left from the one before.
        let folder = tempfile::Builder::new().prefix(program.name()).tempdir_in(stage.folder.path());
        let folder = folder.map_err(|error| error.to_string())?.keep();
        let mut values = values(stage, origins, kind, setup);
        let ports = [("http", http), ("https", https), ("admin", admin), ("notify", notify)];
        values.extend(ports.map(|(name, address)| (name, place(kind, address))));
        values.push(("folder", folder.display().to_string()));
        let tunnels = setup.notification.map_or(Ok(None), |_| program.tunnels())?;
        program.configure(setup.set, tunnels, &folder, &values)?;
        if let Some(text) = setup.text {
            let text = template::fill(text, &values).map_err(|hole| format!("nothing for @{hole}@"))?;
            std::fs::write(folder.join("rolegate.toml"), text).map_err(|error| error.to_string())?;
        }
        let output = |name: &str| File::create(folder.join(name)).map(Stdio::from).map_err(|error| error.to_string());
        let mut command = program.command(&stage.options.helper, &folder, &values, setup.threads);
        command.stdin(Stdio::null()).stdout(output("out.txt")?).stderr(output("err.txt")?);
        let started = cores::on(&stage.cores.of_threads(setup.threads), || Group::start(&mut command))
            .and_then(|started| started);
        let mut group = started.map_err(|error| format!("{}: {error}", program.path.display()))?;
        let kept = Kept::new(&stage.keeper, group.id());
        // What serves client notification answers a GET too, in as many bytes as it likes.
        let to: &[_] = if setup.notification.is_some() { &[http, notify] } else { &[http] };
        for to in to {
            if let Err(why) = probe::until_ready(*to, SMALL, || group.ended().is_some()).await {
                return Err(format!("{} {why}: {}", program.name(), said(&folder)));
            }
        }
        let rest = usage::resident(group.id());
        // Without the right to do so, the peak since the start counts.
        let _ = usage::forget_peak(group.id());
        Ok(Self { kind, http, https, admin, notify, folder, values, dropped: 0, rest, group, _kept: kept })
    }

    pub(super) fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// Its process group.
    pub(super) fn id(&self) -> u32 {
        self.group.id()
    }

    /// Its process.
    pub(super) const fn group(&self) -> &Group {
        &self.group
    }

    /// Whether it still runs.
    pub(super) fn lives(&mut self) -> bool {
        self.group.ended().is_none()
    }
}

/// What a proxy has said that did not get ready.
fn said(folder: &Path) -> String {
    let said = ["err.txt", "out.txt"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap_or_default());
    last_lines(&said.concat(), 4)
}

/// An address as a proxy of this kind is told it. The forwarder has no file in which the rest of it could stand.
fn place(kind: Kind, address: SocketAddr) -> String {
    match kind {
        Kind::Forwarder => address.to_string(),
        Kind::Rolegate | Kind::Control | Kind::Same(_) | Kind::Before | Kind::Peer(_) => address.port().to_string(),
    }
}

/// What fills the holes of a configuration, but for the proxy's own ports and its folder.
fn values(stage: &Stage, [one, two]: [SocketAddr; 2], kind: Kind, setup: Setup<'_>) -> Values {
    let file = |extension: &str| stage.file(&format!("{}.{extension}", site(setup.key)));
    // The forwarder passes everything on to the same.
    let [one, two] = setup.notification.filter(|_| kind == Kind::Forwarder).map_or([one, two], |to| [to, to]);
    // A tunnel has two connections; nginx counts both.
    let connections = if setup.notification.is_some() { "19800" } else { "12000" };
    let mut values = vec![
        ("one", place(kind, one)),
        ("two", place(kind, two)),
        ("threads", setup.threads.to_string()),
        ("connections", connections.to_owned()),
        ("bodies", template::bodies(setup.bodies).to_owned()),
        ("probe", PROBE.to_owned()),
        ("certificate", file("crt")),
        ("key", file("key")),
        ("pem", file("pem")),
    ];
    values.extend(setup.notification.map(|to| ("bgb", place(kind, to))));
    values
}

/// Origins and proxies that run side by side.
#[derive(Debug)]
pub(super) struct Bed<'a> {
    pub(super) proxies: Vec<Running>,
    pub(super) origins: Origins,
    /// Sentences about those that could not be started.
    pub(super) failed: Vec<String>,
    setup: Setup<'a>,
}

impl<'a> Bed<'a> {
    pub(super) async fn start(stage: &Stage, setup: Setup<'a>, wanted: impl Fn(Kind) -> bool) -> anyhow::Result<Self> {
        let origins = Origins::start(stage).await?;
        let mut bed = Self { proxies: Vec::new(), origins, failed: Vec::new(), setup };
        for program in stage.programs.iter().filter(|program| wanted(program.kind)) {
            bed.add(stage, program).await?;
        }
        Ok(bed)
    }

    async fn add(&mut self, stage: &Stage, program: &Program) -> anyhow::Result<()> {
        match Running::start(stage, program, self.origins.addresses(), self.setup).await {
            Ok(running) => self.proxies.push(running),
            Err(why) if program.kind == Kind::Rolegate => anyhow::bail!("{why}"),
            Err(why) => self.failed.push(why),
        }
        Ok(())
    }

    /// Ends the proxies and starts each anew. One start has its own luck, in where its memory lies, and would keep it through
    /// all rounds: that would be no noise between rounds, and so no interval would tell of it.
    pub(super) async fn renew(&mut self, stage: &Stage) -> anyhow::Result<()> {
        for ended in std::mem::take(&mut self.proxies) {
            let kind = ended.kind;
            drop(ended);
            if let Some(program) = stage.program(kind) {
                self.add(stage, program).await?;
            }
        }
        Ok(())
    }
}
