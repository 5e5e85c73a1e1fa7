//! Why a request was not answered as it should be, and what errors of the system and of TLS come to.

use std::error::Error;
use std::{fmt, io};

use rustls::{AlertDescription, CertificateError};

/// No local port is left for this address.
const NO_ADDRESS: i32 = nix::errno::Errno::EADDRNOTAVAIL as i32;
const ADDRESS_IN_USE: i32 = nix::errno::Errno::EADDRINUSE as i32;
/// This process, or the machine, has too many open files.
const NO_FILE: i32 = nix::errno::Errno::EMFILE as i32;
const NO_FILE_AT_ALL: i32 = nix::errno::Errno::ENFILE as i32;

/// Why a request was not answered as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// No connection could be opened.
    Connect(ConnectFault),
    /// The two sides do not come together over TLS.
    Tls(TlsFault),
    /// It took too long.
    Timeout,
    /// The connection was reset.
    Reset,
    /// The connection ended before the answer began.
    Closed,
    /// The connection ended in the middle of the answer's body.
    Short,
    /// What came is no answer of HTTP, or not to what was asked.
    Protocol,
    /// The content is not what it should be.
    Hash,
    /// The answer has this status.
    Status(u16),
    /// It was under way when the run was over.
    Unfinished,
    /// It was due, and not sent when the run was over.
    Unsent,
}

/// Why no connection could be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConnectFault {
    /// The port is closed.
    Refused,
    /// There is no way to it.
    Unreachable,
    /// This machine lacks a port, an open file, or the address that clients come from.
    Lacking,
    /// Something else.
    Other,
}

/// Why the two sides do not come together over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TlsFault {
    /// The server wants a certificate of its client.
    CertificateRequired,
    /// The server does not take the client's certificate.
    CertificateRefused,
    /// The server's certificate is of an authority that is not trusted.
    UnknownAuthority,
    /// The server's certificate is for other names.
    WrongName,
    /// The server's certificate is no longer valid, or not yet.
    Expired,
    /// The server's certificate is wrong in another way.
    BadCertificate,
    /// There is no version, cipher or protocol that both know.
    NothingInCommon,
    /// The server does not speak TLS.
    NotSpoken,
    /// The server speaks TLS, and was spoken to without.
    Wanted,
    /// The connection was closed in the middle of the handshake.
    Closed,
    /// The connection was reset in the middle of the handshake.
    Reset,
    /// Something else.
    Other,
}

impl Failure {
    /// All kinds, with one status for all of them.
    pub const ALL: [Self; 25] = [
        Self::Connect(ConnectFault::Refused),
        Self::Connect(ConnectFault::Unreachable),
        Self::Connect(ConnectFault::Lacking),
        Self::Connect(ConnectFault::Other),
        Self::Tls(TlsFault::CertificateRequired),
        Self::Tls(TlsFault::CertificateRefused),
        Self::Tls(TlsFault::UnknownAuthority),
        Self::Tls(TlsFault::WrongName),
        Self::Tls(TlsFault::Expired),
        Self::Tls(TlsFault::BadCertificate),
        Self::Tls(TlsFault::NothingInCommon),
        Self::Tls(TlsFault::NotSpoken),
        Self::Tls(TlsFault::Wanted),
        Self::Tls(TlsFault::Closed),
        Self::Tls(TlsFault::Reset),
        Self::Tls(TlsFault::Other),
        Self::Timeout,
        Self::Reset,
        Self::Closed,
        Self::Short,
        Self::Protocol,
        Self::Hash,
        Self::Status(503),
        Self::Unfinished,
        Self::Unsent,
    ];

    /// That a connection could not be opened, or not be secured.
    #[must_use]
    pub fn of_opening(error: &io::Error) -> Self {
        if let Some(Handshake(why)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return match Self::of_stream(why) {
                Self::Tls(fault) => Self::Tls(fault),
                Self::Reset => Self::Tls(TlsFault::Reset),
                _ => Self::Tls(if is_end(why) { TlsFault::Closed } else { TlsFault::Other }),
            };
        }
        if matches!(error.raw_os_error(), Some(NO_ADDRESS | ADDRESS_IN_USE | NO_FILE | NO_FILE_AT_ALL)) {
            return Self::Connect(ConnectFault::Lacking);
        }
        Self::Connect(match error.kind() {
            io::ErrorKind::TimedOut => return Self::Timeout,
            io::ErrorKind::ConnectionRefused => ConnectFault::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => {
                ConnectFault::Unreachable
            }
            _ => ConnectFault::Other,
        })
    }

    /// That an open connection failed. What says only that it ended counts as closed.
    #[must_use]
    pub fn of_stream(error: &io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls(TlsFault::of(tls));
        }
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                Self::Reset
            }
            _ => Self::Closed,
        }
    }

    /// The same, of an error that may have one of the system in it; `None` if it has not.
    #[must_use]
    pub fn within(error: &(dyn Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |error| (*error).source())
            .find_map(|error| error.downcast_ref::<io::Error>())
            .map(Self::of_stream)
    }

    /// What to do about it, if that can be said.
    #[must_use]
    pub const fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::Connect(ConnectFault::Refused) => "the port is closed",
            Self::Connect(ConnectFault::Unreachable) => "there is no way to that address",
            Self::Connect(ConnectFault::Lacking) => {
                "this machine lacks a port, an open file, or the address that clients come from"
            }
            Self::Tls(fault) => return fault.advice(),
            Self::Reset => "the connection was reset before the answer was whole",
            Self::Closed => "the connection was closed without an answer",
            Self::Short => "the connection was closed in the middle of an answer",
            Self::Protocol => "what came is no answer of HTTP, or not to what was asked",
            Self::Connect(ConnectFault::Other)
            | Self::Timeout
            | Self::Hash
            | Self::Status(_)
            | Self::Unfinished
            | Self::Unsent => return None,
        })
    }

    /// What to do about failures of this kind, as reports name it.
    #[must_use]
    pub fn advice_for(kind: &str) -> Option<&'static str> {
        Self::ALL.iter().find(|failure| failure.to_string() == kind).and_then(|failure| failure.advice())
    }
}

fn is_end(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
}

impl TlsFault {
    /// What an error of the library comes to.
    #[must_use]
    pub fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(why) => match why {
                CertificateError::UnknownIssuer => Self::UnknownAuthority,
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::WrongName,
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::Expired,
                _ => Self::BadCertificate,
            },
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::CertificateRequired | AlertDescription::NoCertificate => Self::CertificateRequired,
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => Self::CertificateRefused,
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity
                | AlertDescription::NoApplicationProtocol => Self::NothingInCommon,
                _ => Self::Other,
            },
            rustls::Error::PeerIncompatible(_) | rustls::Error::NoApplicationProtocol => Self::NothingInCommon,
            rustls::Error::InvalidMessage(_) => Self::NotSpoken,
            _ => Self::Other,
        }
    }

    const fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::CertificateRequired => "the server wants a certificate of its clients: --certificate and --key",
            Self::CertificateRefused => "the server does not take the clients' certificate: check --certificate",
            Self::UnknownAuthority => "the server's certificate comes from another authority: check --ca",
            Self::WrongName => "the server's certificate is for other names: check --host",
            Self::Expired => "the server's certificate is not valid now",
            Self::BadCertificate => "the server's certificate cannot be used",
            Self::NothingInCommon => "there is no TLS version or cipher that both know",
            Self::NotSpoken => "no TLS is spoken there: the target may have to begin with http://",
            Self::Wanted => "TLS is spoken there: the target has to begin with https://",
            Self::Closed => "the connection was closed in the handshake",
            Self::Reset => "the connection was reset in the handshake",
            Self::Other => return None,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect(ConnectFault::Refused) => "connect refused",
            Self::Connect(ConnectFault::Unreachable) => "connect unreachable",
            Self::Connect(ConnectFault::Lacking) => "connect lacking",
            Self::Connect(ConnectFault::Other) => "connect",
            Self::Tls(TlsFault::CertificateRequired) => "tls certificate required",
            Self::Tls(TlsFault::CertificateRefused) => "tls certificate refused",
            Self::Tls(TlsFault::UnknownAuthority) => "tls unknown authority",
            Self::Tls(TlsFault::WrongName) => "tls wrong name",
            Self::Tls(TlsFault::Expired) => "tls expired",
            Self::Tls(TlsFault::BadCertificate) => "tls bad certificate",
            Self::Tls(TlsFault::NothingInCommon) => "tls nothing in common",
            Self::Tls(TlsFault::NotSpoken) => "tls not spoken",
            Self::Tls(TlsFault::Wanted) => "tls wanted",
            Self::Tls(TlsFault::Closed) => "tls closed",
            Self::Tls(TlsFault::Reset) => "tls reset",
            Self::Tls(TlsFault::Other) => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Short => "short",
            Self::Protocol => "protocol",
            Self::Hash => "hash",
            Self::Status(status) => return write!(f, "status {status}"),
            Self::Unfinished => "unfinished",
            Self::Unsent => "unsent",
        })
    }
}

/// What went wrong in a handshake of TLS.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {0}")]
pub struct Handshake(pub io::Error);

impl From<Handshake> for io::Error {
    fn from(handshake: Handshake) -> Self {
        Self::new(io::ErrorKind::InvalidData, handshake)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Failure::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(names.len(), Failure::ALL.len());
    }

    #[test]
    fn errors_say_their_reason() {
        let of = |kind: io::ErrorKind| io::Error::from(kind);
        let tls = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        assert_eq!(Failure::of_opening(&of(io::ErrorKind::ConnectionRefused)).to_string(), "connect refused");
        assert_eq!(Failure::of_opening(&io::Error::from_raw_os_error(NO_FILE)).to_string(), "connect lacking");
        assert_eq!(Failure::of_stream(&of(io::ErrorKind::BrokenPipe)), Failure::Reset);
        for (error, kind) in [
            (tls(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)), "tls unknown authority"),
            (tls(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)), "tls certificate required"),
            (of(io::ErrorKind::UnexpectedEof), "tls closed"),
            (of(io::ErrorKind::ConnectionReset), "tls reset"),
        ] {
            assert_eq!(Failure::of_opening(&Handshake(error).into()).to_string(), kind);
        }
        let late = tls(rustls::Error::AlertReceived(AlertDescription::CertificateRequired));
        assert_eq!(Failure::of_stream(&late).to_string(), "tls certificate required");
        let advice = Failure::advice_for("tls certificate required");
        assert!(advice.is_some_and(|advice| advice.contains("--certificate")), "{advice:?}");
    }
}
