//! What `run` opens at its start besides the files that are compiled, tried without leaving a trace.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use toml::Spanned;

use crate::access_log;
use crate::control::compile::{Compiled, refuse_circles};
use crate::control::config::{Config, Problems};
use crate::control::doubts;
use crate::control::state_file;
use crate::data::downstream::listener;

/// What helps when the configuration is right, but not here.
const ELSEWHERE: &str = "if it is meant for another machine or user, check it with --elsewhere";

/// Tries all addresses, the Unix socket and the access log. What this machine or this user cannot open is a problem.
pub(super) fn attempt(config: &Config, file: &Path, problems: &mut Problems) {
    let listeners = config.listeners.iter().filter_map(|listener| listener.address.as_ref());
    for address in listeners.chain([&config.admin.address]) {
        listening(address, problems);
    }
    for source in config.roles.values().filter_map(|role| role.source_addresses.as_ref()).flatten() {
        sending(source, problems);
    }
    if let Some(path) = &config.proxy.state_file {
        keeping(path, problems);
    }
    if let Some(socket) = &config.admin.socket {
        placing(socket, problems);
    }
    if let Some(log) = &config.access_log {
        match is_same(log.path.get_ref(), file) {
            true => problems.error(
                log.path.span(),
                "the access log is the configuration itself: its lines would be added to it",
                "name a file of its own for the access log",
            ),
            false => appending(&log.path, problems),
        }
    }
}

fn is_same(log: &str, file: &Path) -> bool {
    let place = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    log != "-" && place(Path::new(log)).is_some_and(|log| place(file) == Some(log))
}

/// Site systems at an address of this machine where we listen ourselves. The compiler knows only those that are so everywhere.
pub(super) fn circles(config: &Config, compiled: &Compiled, problems: &mut Problems) {
    let members = compiled.roles.iter().flat_map(|plan| &plan.members);
    let only_here = |ip: IpAddr| !ip.is_loopback() && doubts::is_ours(ip);
    refuse_circles(config, members, &compiled.listeners, only_here, problems);
}

fn listening(address: &Spanned<SocketAddr>, problems: &mut Problems) {
    let own = address.get_ref();
    let Err(error) = listener::can_bind(*own) else { return };
    let (what, help) = match error.kind() {
        // The rolegate that runs may have it.
        ErrorKind::AddrInUse => return,
        ErrorKind::AddrNotAvailable => (
            format!("this machine does not have the address {}", own.ip()),
            "write one that it has, or 0.0.0.0 or [::] for all that it has",
        ),
        ErrorKind::PermissionDenied => (
            format!("this user may not listen on {own}"),
            "use a port from 1024, or let it have lower ones (CAP_NET_BIND_SERVICE)",
        ),
        _ => (format!("nothing can listen on {own} here: {error}"), "write an address and a port that can be used"),
    };
    problems.error(address.span(), what, format!("{help}; {ELSEWHERE}"));
}

/// `run` starts without them, and then no connection can come from them.
fn sending(source: &Spanned<String>, problems: &mut Problems) {
    // The compiler says what is no address.
    let Ok(ip) = source.get_ref().parse::<IpAddr>() else { return };
    if listener::can_bind(SocketAddr::new(ip, 0)).is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable) {
        let what = format!("this machine does not have the address {ip}: connections from it will fail");
        problems.warning(source.span(), what, format!("write addresses that it has; {ELSEWHERE}"));
    }
}

/// `run` starts without it, and says so.
fn keeping(path: &Spanned<String>, problems: &mut Problems) {
    if let Err(error) = state_file::can_write(Path::new(path.get_ref())) {
        let what = format!("nothing can be kept in the state file {:?}: {error}", path.get_ref());
        let help = format!("name a file in a folder that is there and that this user may write to; {ELSEWHERE}");
        problems.warning(path.span(), what, help);
    }
}

/// The folder of a Unix socket must be there, and nothing else in its place.
fn placing(path: &Spanned<String>, problems: &mut Problems) {
    let place = Path::new(path.get_ref());
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let what = match fs::symlink_metadata(place) {
        Ok(found) if !found.file_type().is_socket() => format!("{:?} is there, and is no socket", path.get_ref()),
        Err(_) if !folder.is_dir() => format!("the folder of the Unix socket {:?} is not there", path.get_ref()),
        Ok(_) | Err(_) => return,
    };
    let help = format!("name a file in a folder that is there and that this user may write to; {ELSEWHERE}");
    problems.error(path.span(), what, help);
}

fn appending(path: &Spanned<String>, problems: &mut Problems) {
    if let Err(error) = access_log::can_open(path.get_ref()) {
        let what = format!("the access log {:?} cannot be opened: {error}", path.get_ref());
        let help = format!("name a file in a folder that is there and that this user may write to; {ELSEWHERE}");
        problems.error(path.span(), what, help);
    }
}
