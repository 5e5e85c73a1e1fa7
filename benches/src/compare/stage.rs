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
use super::origin::{HOST, Origin, PROBE, SMALL};
use super::probe;
use super::process::Group;
use super::proxies::{Kind, Program};
use super::template::{self, Bodies, Values};
use crate::pki::{Identity, Wanted};

/// What holds for the whole comparison.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) options: Options,
    pub(super) programs: Vec<Program>,
    pub(super) cores: Cores,
    pub(super) folder: TempDir,
    /// The program of `wrk`, if that makes the load.
    pub(super) wrk: Option<PathBuf>,
    keeper: Arc<Keeper>,
}

impl Stage {
    pub(super) fn new(
        options: Options,
        programs: Vec<Program>,
        cores: Cores,
        wrk: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rolegate-compare-").tempdir().context("a folder for files")?;
        let identity = Identity::self_signed(&Wanted::server(&[HOST]));
        let files = identity.write(folder.path(), "site").context("writing a certificate")?;
        let both = std::fs::read_to_string(&files.certificate)? + &std::fs::read_to_string(&files.key)?;
        let pem = folder.path().join("site.pem");
        std::fs::write(&pem, both)?;
        for secret in [&files.key, &pem] {
            std::fs::set_permissions(secret, Permissions::from_mode(0o600))?;
        }
        let keeper =
            Keeper::start(&options.helper, folder.path()).with_context(|| options.helper.display().to_string())?;
        Ok(Self { options, programs, cores, folder, wrk, keeper })
    }

    pub(super) fn program(&self, kind: Kind) -> Option<&Program> {
        self.programs.iter().find(|program| program.kind == kind)
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
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
        let one = Origin::start(stage, "one", one).await.map_err(anyhow::Error::msg)?;
        let two = Origin::start(stage, "two", two).await.map_err(anyhow::Error::msg)?;
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
    /// A configuration instead of the template's, with holes.
    pub(super) text: Option<&'a str>,
}

impl Setup<'_> {
    pub(super) const fn of(set: Set) -> Self {
        Self { set, threads: 1, bodies: Bodies::Small, text: None }
    }
}

/// A proxy that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) kind: Kind,
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) admin: SocketAddr,
    /// Its files.
    pub(super) folder: PathBuf,
    /// What its configuration was filled with.
    pub(super) values: Values,
    /// Records of its access log that it had dropped when it was last asked.
    pub(super) dropped: u64,
    group: Group,
    // After the group, which has been killed then.
    _kept: Kept,
}

impl Running {
    /// Starts a proxy on the proxies' cores, and waits until it answers.
    pub(super) async fn start(
        stage: &Stage,
        program: &Program,
        origins: &Origins,
        setup: Setup<'_>,
    ) -> Result<Self, String> {
        let [http, https, admin] = probe::free::<3>().map_err(|error| error.to_string())?;
        // A folder for each start: nothing is left from the one before.
        let folder = tempfile::Builder::new().prefix(program.name()).tempdir_in(stage.folder.path());
        let folder = folder.map_err(|error| error.to_string())?.keep();
        let mut values = values(stage, origins.addresses(), [http, https, admin], &folder, setup.threads, program.kind);
        values.push(("bodies", template::bodies(setup.bodies).to_owned()));
        program.configure(setup.set, &folder, &values)?;
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
        if let Err(why) = probe::until_ready(http, SMALL, || group.ended().is_some()).await {
            let said =
                ["err.txt", "out.txt"].map(|name| std::fs::read_to_string(folder.join(name)).unwrap_or_default());
            return Err(format!("{} {why}: {}", program.name(), last_lines(&said.concat(), 4)));
        }
        Ok(Self { kind: program.kind, http, https, admin, folder, values, dropped: 0, group, _kept: kept })
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

fn values(
    stage: &Stage,
    [one, two]: [SocketAddr; 2],
    [http, https, admin]: [SocketAddr; 3],
    folder: &Path,
    threads: usize,
    kind: Kind,
) -> Values {
    // The forwarder has no file in which the rest of the address could stand.
    let place = |address: SocketAddr| match kind {
        Kind::Forwarder => address.to_string(),
        _ => address.port().to_string(),
    };
    vec![
        ("one", place(one)),
        ("two", place(two)),
        ("http", place(http)),
        ("https", place(https)),
        ("admin", place(admin)),
        ("threads", threads.to_string()),
        ("probe", PROBE.to_owned()),
        ("folder", folder.display().to_string()),
        ("certificate", stage.file("site.crt")),
        ("key", stage.file("site.key")),
        ("pem", stage.file("site.pem")),
    ]
}

/// Origins and proxies that run side by side.
#[derive(Debug)]
pub(super) struct Bed {
    pub(super) proxies: Vec<Running>,
    pub(super) origins: Origins,
    /// Sentences about those that could not be started.
    pub(super) failed: Vec<String>,
}

impl Bed {
    pub(super) async fn start(stage: &Stage, setup: Setup<'_>, wanted: impl Fn(Kind) -> bool) -> anyhow::Result<Self> {
        let origins = Origins::start(stage).await?;
        let mut bed = Self { proxies: Vec::new(), origins, failed: Vec::new() };
        for program in stage.programs.iter().filter(|program| wanted(program.kind)) {
            match Running::start(stage, program, &bed.origins, setup).await {
                Ok(running) => bed.proxies.push(running),
                Err(why) if program.kind == Kind::Rolegate => anyhow::bail!("{why}"),
                Err(why) => bed.failed.push(why),
            }
        }
        Ok(bed)
    }
}
