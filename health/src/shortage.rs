//! What is our own want and says nothing about a server.

use std::io;

use nix::errno::Errno;

/// Whether an I/O error means that this process or this machine has no descriptor, port, buffer or memory left.
///
/// Such an error is met before a server is asked. To hold it against the server would take a well one out.
pub fn is_own_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM | Errno::EADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_of_ours_is_told_from_the_silence_of_a_server() {
        for (error, ours) in [
            (Errno::EMFILE, true),
            (Errno::ENFILE, true),
            (Errno::ENOBUFS, true),
            (Errno::ENOMEM, true),
            (Errno::EADDRNOTAVAIL, true),
            (Errno::ECONNREFUSED, false),
            (Errno::ENETUNREACH, false),
            (Errno::ETIMEDOUT, false),
        ] {
            assert_eq!(is_own_shortage(&io::Error::from_raw_os_error(error as i32)), ours, "{error}");
        }
        assert!(!is_own_shortage(&io::ErrorKind::UnexpectedEof.into()));
    }
}
