//! Listening sockets that this process was started with: of the rolegate that it takes over from, or of systemd.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use listenfd::ListenFd;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_type};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    SocketType, recv, recvmsg, send, sendmsg,
};
use serde::{Deserialize, Serialize};

use super::stock::Kept;
use crate::control::compile::Bound;

/// Says that the standard input is a socket to the rolegate that is to be taken over from.
pub(super) const TAKEOVER: &str = "ROLEGATE_TAKEOVER";
/// Sockets in one message; the kernel takes 253.
const SOCKETS: usize = 64;
/// Bytes of a message.
const MESSAGE: usize = 4096;
/// What the successor says when it serves.
const SERVES: &[u8] = b"serves";
/// How long the one that hands over may take with a message.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a message is about.
#[derive(Debug, Deserialize, Serialize)]
enum Parcel {
    /// Sockets of a listener with this name and address in the configuration.
    Listener { name: String, wanted: SocketAddr },
    /// That of the admin listener.
    Admin { wanted: SocketAddr },
    /// These were all.
    End,
}

/// Sockets that were given.
#[derive(Debug)]
struct Given {
    /// `None`: the admin listener's.
    name: Option<String>,
    /// The address in the configuration of who has bound them; systemd tells none.
    wanted: Option<SocketAddr>,
    sockets: Vec<TcpListener>,
}

impl Given {
    fn is_at(&self, address: SocketAddr) -> bool {
        self.sockets.first().and_then(|socket| socket.local_addr().ok()) == Some(address)
    }
}

/// Listening sockets that this process need not bind.
#[derive(Debug, Default)]
pub struct Inherited {
    given: Vec<Given>,
}

/// The rolegate that this process takes over from.
#[derive(Debug)]
pub struct Predecessor(OwnedFd);

impl Inherited {
    /// Looks what there is: from a rolegate that is to be taken over from, or from systemd (`LISTEN_FDS`).
    ///
    /// # Errors
    /// They were announced and cannot be had.
    pub fn receive() -> io::Result<(Self, Option<Predecessor>)> {
        if std::env::var_os(TAKEOVER).is_none() {
            return Ok((Self::from_systemd()?, None));
        }
        let socket = std::io::stdin().as_fd().try_clone_to_owned()?;
        if socket_type(&socket).ok() != Some(SocketType::SEQPACKET) {
            let text = format!("{TAKEOVER} is for a rolegate that another one starts: take it out of the environment");
            return Err(io::Error::other(text));
        }
        // Whoever reads the standard input later finds nothing.
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        let mut inherited = Self::default();
        loop {
            let (parcel, sockets) = read(socket.as_fd())?;
            let (name, wanted) = match parcel {
                Parcel::Listener { name, wanted } => (Some(name), wanted),
                Parcel::Admin { wanted } => (None, wanted),
                Parcel::End => return Ok((inherited, Some(Predecessor(socket)))),
            };
            inherited.add(name, Some(wanted), sockets);
        }
    }

    fn from_systemd() -> io::Result<Self> {
        let (mut fds, mut inherited) = (ListenFd::from_env(), Self::default());
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        for place in 0..fds.len() {
            let name = names.next().unwrap_or_default();
            if let Some(socket) = fds.take_tcp_listener(place)? {
                let name = (name != "admin").then(|| name.to_owned());
                inherited.add(name, None, vec![socket]);
            }
        }
        Ok(inherited)
    }

    /// More sockets of one listener belong together.
    fn add(&mut self, name: Option<String>, wanted: Option<SocketAddr>, sockets: Vec<TcpListener>) {
        let Some(address) = sockets.first().and_then(|socket| socket.local_addr().ok()) else { return };
        let known = self.given.iter_mut().find(|given| given.name == name && given.is_at(address));
        match known {
            Some(known) => known.sockets.extend(sockets),
            None => self.given.push(Given { name, wanted, sockets }),
        }
    }

    /// The sockets of a listener: of its name and address, of its address, or with systemd of its name.
    pub(super) fn take(&mut self, bound: &Bound) -> Option<Vec<TcpListener>> {
        let named = |given: &Given| given.name.as_deref() == Some(&bound.name);
        let wanted = |given: &Given| given.name.is_some() && given.wanted == Some(bound.address);
        let place = None
            .or_else(|| self.given.iter().position(|given| wanted(given) && named(given)))
            .or_else(|| self.given.iter().position(wanted))
            .or_else(|| self.given.iter().position(|given| given.wanted.is_none() && named(given)))
            .or_else(|| self.given.iter().position(|given| given.name.is_some() && given.is_at(bound.address)))?;
        Some(self.given.swap_remove(place).sockets)
    }

    /// The socket of the admin listener.
    pub(super) fn take_admin(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let fits = |given: &Given| {
            given.wanted.map_or(given.name.is_none(), |wanted| wanted == address && given.name.is_none())
        };
        let place = self.given.iter().position(|given| fits(given) || given.is_at(address))?;
        self.given.swap_remove(place).sockets.pop()
    }

    /// Addresses of those that nobody has taken.
    pub(super) fn left(&self) -> Vec<SocketAddr> {
        self.given.iter().filter_map(|given| given.sockets.first()?.local_addr().ok()).collect()
    }
}

impl Predecessor {
    /// This process serves: the other one is to end.
    ///
    /// # Errors
    /// The other one is gone.
    pub fn relieve(self) -> io::Result<()> {
        send(&self.0, SERVES, SendFlags::NOSIGNAL)?;
        Ok(())
    }
}

/// Gives all of these to a successor.
pub(super) fn give(to: BorrowedFd<'_>, kept: &[Kept]) -> io::Result<()> {
    for one in kept {
        for sockets in one.sockets.chunks(SOCKETS) {
            let parcel = match one.id {
                Some(_) => Parcel::Listener { name: one.name.clone(), wanted: one.wanted },
                None => Parcel::Admin { wanted: one.wanted },
            };
            write(to, &parcel, sockets)?;
        }
    }
    write(to, &Parcel::End, &[])
}

/// Waits until the successor serves, for as long as the socket waits. An error: it has ended, or did not say so in time.
pub(super) fn hears_that_it_serves(from: BorrowedFd<'_>) -> io::Result<()> {
    let mut heard = [0; SERVES.len()];
    let (_, length) = recv(from, &mut heard, RecvFlags::empty())?;
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

fn write(to: BorrowedFd<'_>, parcel: &Parcel, sockets: &[TcpListener]) -> io::Result<()> {
    let text = serde_json::to_vec(parcel)?;
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("too many sockets in one message"));
    }
    sendmsg(to, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn read(from: BorrowedFd<'_>) -> io::Result<(Parcel, Vec<TcpListener>)> {
    let mut text = [0; MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(from, &mut [IoSliceMut::new(&mut text)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds.map(TcpListener::from).collect::<Vec<_>>()),
        _ => None,
    });
    let sockets = sockets.flatten().collect();
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((serde_json::from_slice(&text[..received.bytes])?, sockets))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::role::Protocol;
    use crate::model::snapshot::ListenerId;

    fn bound(name: &str, address: SocketAddr) -> Bound {
        Bound { name: name.to_owned(), address, protocol: Protocol::Http }
    }

    fn socket() -> (TcpListener, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (socket, address)
    }

    #[test]
    fn sockets_go_through_a_socket_and_are_the_same() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let ((one, first), (other, second)) = (socket(), socket());
        let kept = |id: Option<u16>, name: &str, socket: &TcpListener| Kept {
            id: id.map(ListenerId),
            name: name.to_owned(),
            wanted: any,
            sockets: (0..70).map(|_| socket.try_clone().unwrap()).collect(),
        };
        let all = [kept(Some(0), "a", &one), kept(Some(1), "b", &other)];
        let (ours, theirs) = super::super::takeover::pair().unwrap();
        let giver = std::thread::spawn(move || give(ours.as_fd(), &all).map(|()| ours).unwrap());
        let mut inherited = Inherited::default();
        while let (Parcel::Listener { name, wanted }, sockets) = read(theirs.as_fd()).unwrap() {
            inherited.add(Some(name), Some(wanted), sockets);
        }
        let ours = giver.join().unwrap();
        for (name, address) in [("b", second), ("a", first)] {
            let sockets = inherited.take(&bound(name, any)).unwrap();
            assert_eq!((sockets.len(), sockets[69].local_addr().unwrap()), (70, address));
        }
        assert!(inherited.take(&bound("a", any)).is_none());
        Predecessor(theirs).relieve().unwrap();
        hears_that_it_serves(ours.as_fd()).unwrap();
        let gone = hears_that_it_serves(ours.as_fd()).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_listener_finds_its_sockets_by_name_or_address() {
        let ((one, first), (other, second)) = (socket(), socket());
        let systemd = || {
            let mut inherited = Inherited::default();
            inherited.add(Some("web".to_owned()), None, vec![one.try_clone().unwrap()]);
            inherited.add(None, None, vec![other.try_clone().unwrap()]);
            inherited
        };
        let elsewhere: SocketAddr = "127.0.0.9:1".parse().unwrap();
        assert!(systemd().take(&bound("web", elsewhere)).is_some(), "with systemd the name is enough");
        assert!(systemd().take(&bound("http", first)).is_some());
        assert!(systemd().take(&bound("http", elsewhere)).is_none());
        let admin = systemd().take_admin(elsewhere).unwrap();
        assert_eq!(admin.local_addr().unwrap(), second);
        let mut taken_over = Inherited::default();
        taken_over.add(Some("web".to_owned()), Some(first), vec![one.try_clone().unwrap()]);
        assert!(taken_over.take(&bound("web", elsewhere)).is_none(), "one that has moved is bound anew");
        assert_eq!(taken_over.left(), [first]);
        assert!(taken_over.take(&bound("other", first)).is_some());
    }
}
