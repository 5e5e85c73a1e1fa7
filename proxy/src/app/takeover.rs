//! Starts the program anew and gives the successor the listening sockets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use tokio::sync::oneshot;

use super::inherited::{TAKEOVER, give, hears_that_it_serves};
use super::stock::Stock;

/// How long a successor may take until it serves.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one that has given up may take to end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(10);
/// What systemd has told this process alone.
const OWN: [&str; 4] = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID"];

/// How a takeover ends: with the process that serves now, or with why this one goes on.
pub type Outcome = Result<u32, String>;

/// Two ends of a socket that keeps messages apart.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Starts the program from where it is on the disk now, with the arguments of this process. Does not wait for it.
pub(super) fn begin(stock: &Stock) -> io::Result<oneshot::Receiver<Outcome>> {
    if std::process::id() == 1 {
        let text = "this is the first process of its container, which ends with it: replace the container";
        return Err(io::Error::other(text));
    }
    let kept = stock.copy()?;
    let (ours, theirs) = pair()?;
    set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE))?;
    set_socket_timeout(&ours, Timeout::Send, Some(PATIENCE))?;
    let mut arguments = std::env::args_os();
    // As it was called: a link may lead to another program now.
    let program = arguments.next().map_or_else(std::env::current_exe, |program| Ok(PathBuf::from(program)))?;
    let mut command = Command::new(&program);
    command.args(arguments).env(TAKEOVER, "1").stdin(Stdio::from(theirs));
    OWN.iter().for_each(|name| _ = command.env_remove(name));
    let child = command.spawn();
    let child = child.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    // Its end of the socket is its alone, so that its end is heard.
    drop(command);
    let (told, outcome) = oneshot::channel();
    std::thread::Builder::new().name("upgrade".to_owned()).spawn(move || {
        let done = give(ours.as_fd(), &kept).and_then(|()| hears_that_it_serves(ours.as_fd()));
        // Whoever has asked may end meanwhile.
        let _ = told.send(settle(child, done));
    })?;
    Ok(outcome)
}

/// Waits for a process that has given up: it says why before it ends.
fn ends_by_itself(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    while begun.elapsed() < LAST_WORDS {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    Ok(None)
}

fn settle(mut child: Child, done: io::Result<()>) -> Outcome {
    let Err(error) = done else { return Ok(child.id()) };
    let late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
    let status = if late { Ok(None) } else { ends_by_itself(&mut child) };
    let status = status.and_then(|ended| ended.map_or_else(|| child.kill().and_then(|()| child.wait()), Ok));
    Err(match (late, status) {
        (true, _) => format!("it did not serve within {} seconds", PATIENCE.as_secs()),
        (false, Ok(status)) => format!("it has ended before it served ({status})"),
        (false, Err(error)) => error.to_string(),
    })
}
