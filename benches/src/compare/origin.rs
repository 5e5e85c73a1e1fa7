//! The origins: two site systems, each a process of its own, so that one can die.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use super::cores::Cores;
use super::probe;
use super::process::Group;
use super::targets::SMALL;
use super::{cores, forwarder};
use crate::content::{Content, Package};
use crate::hold::{self, Alive};
use crate::site::{Role, SiteSystem, Spec};

/// Serves as an origin until the process ends.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve(name: &str, address: SocketAddr) -> anyhow::Result<()> {
    let packages = ["PKG00001:1x1KiB", "BIG00001:1x10MiB"].map(Package::parse);
    let packages = packages.into_iter().collect::<Result<Vec<_>, _>>().map_err(anyhow::Error::msg)?;
    let spec = Spec::new(name).address(address).content(&Arc::new(Content::new(packages))).recording(false);
    let spec = spec.role(Role::ManagementPoint).role(Role::DistributionPoint);
    let _site = SiteSystem::start(spec).await?;
    std::future::pending().await
}

/// Serves as what client notification ends at, until the process ends: a line is answered with the line.
///
/// # Errors
/// The address cannot be listened on.
pub async fn serve_lines(address: SocketAddr) -> anyhow::Result<()> {
    hold::serve(forwarder::listen(address)?, Alive::default()).await;
    Ok(())
}

/// What an origin serves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Serves<'a> {
    /// A site's files, under this name.
    Files(&'a str),
    /// Lines of client notification.
    Lines,
}

/// How an origin is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct StartedBy<'a> {
    /// The program that is one when it is started with other arguments.
    pub(super) helper: &'a Path,
    /// It runs on those that are for no proxy.
    pub(super) cores: &'a Cores,
}

/// An origin that runs.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    group: Group,
}

impl Origin {
    /// Starts it and waits until it answers.
    pub(super) async fn start(by: &StartedBy<'_>, serves: Serves<'_>, address: SocketAddr) -> Result<Self, String> {
        let mut command = Command::new(by.helper);
        match serves {
            Serves::Files(name) => command.args(["origin", name]),
            Serves::Lines => command.arg("lines"),
        };
        command.arg(address.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = cores::on(&by.cores.others, || Group::start(&mut command)).and_then(|started| started);
        let mut group = started.map_err(|error| format!("{}: {error}", by.helper.display()))?;
        probe::until_ready(address, SMALL, || group.ended().is_some())
            .await
            .map_err(|why| format!("an origin {why}"))?;
        Ok(Self { address, group })
    }

    /// Its process group.
    pub(super) fn id(&self) -> u32 {
        self.group.id()
    }
}
