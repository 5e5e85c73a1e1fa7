//! `rolegate init`: a first configuration, with comments, that `rolegate check` accepts.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use self::template::{Group, Site, System};
use super::failure::Mistake;
use super::say;
use crate::control::compile::compile;
use crate::control::config::{Problems, parse};

mod template;

/// What the site has.
#[derive(Args, Debug, Default)]
pub(super) struct Init {
    /// Three-character site code.
    #[arg(long, value_name = "CODE")]
    site_code: Option<String>,
    /// A management point: its name in DNS, or its address; may be given several times, as the others.
    #[arg(long, value_name = "NAME")]
    mp: Vec<String>,
    /// A distribution point.
    #[arg(long, value_name = "NAME")]
    dp: Vec<String>,
    /// A software update point.
    #[arg(long, value_name = "NAME")]
    sup: Vec<String>,
    /// A site system with any roles (`rolegate roles` lists them).
    #[arg(long, value_name = "NAME=ROLE,ROLE")]
    site_system: Vec<Named>,
    /// A boundary group: its boundaries, and after @ its site systems; without @ it has all of them.
    #[arg(long, value_name = "NAME=BOUNDARY,...@SITE SYSTEM,...")]
    boundary_group: Vec<Named>,
    /// Where clients connect: an address, with the usual port of each role, or an address and a port for all.
    #[arg(long, value_name = "ADDRESS[:PORT]", default_value = "0.0.0.0")]
    listen: Option<Listen>,
    /// Write it to this file, which must not be there, instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print JSON: the text of the configuration, and the file if one was written.
    #[arg(long)]
    json: bool,
}

/// A name, and what is said of it.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    rest: String,
}

impl FromStr for Named {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, rest)) if !name.trim().is_empty() && !rest.trim().is_empty() => {
                Ok(Self { name: name.trim().to_owned(), rest: rest.trim().to_owned() })
            }
            Some(_) | None => Err("write a name, = and what belongs to it, such as HQ=10.1.0.0/16"),
        }
    }
}

/// Where listeners are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Listen {
    /// At the usual ports of roles.
    At(IpAddr),
    /// At one port, except those that must have their own.
    On(SocketAddr),
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let address = bare.parse().map(Self::At);
        address.or_else(|_| text.parse().map(Self::On)).map_err(|_| "write an address such as 0.0.0.0 or 10.1.0.5:8080")
    }
}

/// Writes it, or prints it.
pub(super) fn print(args: &Init) -> anyhow::Result<ExitCode> {
    let site = args.site();
    let text = site.text();
    let mut problems = Problems::new();
    let config = parse(&text, &mut problems);
    if compile(&config, &mut problems).is_none() {
        let mistakes: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.message, problem.help)).collect();
        return Err(Mistake::usage(mistakes.join("\n")).into());
    }
    let name = args.output.as_ref().map(|file| file.display().to_string());
    if let Some(file) = &args.output {
        let mut to =
            OpenOptions::new().write(true).create_new(true).open(file).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => anyhow::Error::from(
                    Mistake::refused(format!("{} is there already", file.display()))
                        .help("name another file: nothing is overwritten"),
                ),
                _ => anyhow::Error::from(error).context(format!("cannot write {}", file.display())),
            })?;
        to.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    match &name {
        _ if args.json => say::json(json!({ "configuration": text, "file": name }))?,
        Some(name) => say::out(format_args!("{name} is written. {}", next_steps(name, site.is_example)))?,
        None => {
            say::out(&text)?;
            if say::Channel::Out.is_terminal() {
                say::err(format_args!("\nTo keep it: rolegate init ... --output rolegate.toml"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn next_steps(name: &str, is_example: bool) -> String {
    let first = if is_example { "Put your own names and addresses into it.\n" } else { "" };
    format!(
        "Next:\n{first}  rolegate check {name}    what is wrong with it, and what this user could not open\n  \
         rolegate run {name}      serve it\n  rolegate status              how every server is"
    )
}

impl Init {
    /// The site of the flags, or an example when they name nothing of it.
    fn site(&self) -> Site {
        let listen = self.listen.unwrap_or(Listen::At(IpAddr::from([0, 0, 0, 0])));
        let mut site = Site { code: "P01".to_owned(), listen, ..Site::default() };
        let short = [("MP", &self.mp), ("DP", &self.dp), ("SUP", &self.sup)];
        for (role, names) in short {
            names.iter().for_each(|name| site.give(name, role));
        }
        for Named { name, rest } in &self.site_system {
            rest.split(',').map(str::trim).filter(|role| !role.is_empty()).for_each(|role| site.give(name, role));
        }
        if site.systems.is_empty() {
            site.is_example = true;
            for (name, role) in [("mp1.contoso.com", "MP"), ("dp1.contoso.com", "DP"), ("dp2.contoso.com", "DP")] {
                site.give(name, role);
            }
        }
        if let Some(code) = &self.site_code {
            site.code.clone_from(code);
        }
        site.groups = self.boundary_group.iter().map(Group::read).collect();
        if site.is_example && site.groups.is_empty() {
            site.groups = vec![
                Group::new("HQ", &["10.1.0.0/16"], &["mp1.contoso.com", "dp1.contoso.com"]),
                Group::new("Branch", &["10.2.0.0/16"], &["dp2.contoso.com"]),
            ];
        }
        site
    }
}

impl Group {
    fn read(written: &Named) -> Self {
        let (boundaries, systems) = written.rest.split_once('@').unwrap_or((&written.rest, ""));
        let list = |text: &str| -> Vec<String> {
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        Self { name: written.name.clone(), boundaries: list(boundaries), systems: list(systems) }
    }

    fn new(name: &str, boundaries: &[&str], systems: &[&str]) -> Self {
        let list = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
        Self { name: name.to_owned(), boundaries: list(boundaries), systems: list(systems) }
    }
}

impl System {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), roles: Vec::new() }
    }
}

impl Site {
    /// Gives a role to a site system, which may have others.
    fn give(&mut self, name: &str, role: &str) {
        let place = self.systems.iter().position(|system| system.name.eq_ignore_ascii_case(name));
        let place = place.unwrap_or_else(|| {
            self.systems.push(System::new(name));
            self.systems.len() - 1
        });
        let roles = &mut self.systems[place].roles;
        if !roles.iter().any(|known| known.eq_ignore_ascii_case(role)) {
            roles.push(role.to_owned());
        }
    }
}

#[cfg(test)]
#[path = "init_tests.rs"]
mod tests;
