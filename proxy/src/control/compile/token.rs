//! The token that changes of state need.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

use sha2::{Digest, Sha256};

use crate::control::config::{Config, Problems};

const SHORTEST: usize = 16;
const LONGEST: usize = 4096;
/// Enough for a token and the white space around it.
const MOST_READ: u64 = 2 * LONGEST as u64;

/// Its SHA-256, which is all that is kept of it.
pub(super) fn hash(config: &Config, problems: &mut Problems) -> Option<[u8; 32]> {
    let path = config.admin.token_file.as_ref()?;
    let file = path.get_ref();
    let (text, about) = match read(file) {
        Ok(read) => read,
        Err(error) => {
            let what = format!("the token file {file:?} cannot be read: {error}");
            problems.error(path.span(), what, "check the path and its permissions");
            return None;
        }
    };
    if about.permissions().mode() & 0o077 != 0 {
        problems.warning(
            path.span(),
            format!("other users of this machine may read the token in {file:?}"),
            "take their permissions away: chmod 600",
        );
    }
    let token = text.trim_ascii();
    let help = "write 32 random characters or more into it, for example with: openssl rand -hex 32";
    let wrong = match token.len() {
        0 => format!("the token file {file:?} is empty"),
        length if !(SHORTEST..=LONGEST).contains(&length) => {
            format!("the token in {file:?} does not have {SHORTEST} to {LONGEST} characters")
        }
        _ if !token.iter().all(u8::is_ascii_graphic) => {
            format!("the token in {file:?} has characters that cannot stand in a header field")
        }
        _ => return Some(Sha256::digest(token).into()),
    };
    problems.error(path.span(), wrong, help);
    None
}

fn read(path: &str) -> io::Result<(Vec<u8>, Metadata)> {
    // Asked before opening: opening a pipe would wait for somebody to write.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let file = File::open(path)?;
    let about = file.metadata()?;
    let mut text = Vec::new();
    file.take(MOST_READ).read_to_end(&mut text)?;
    Ok((text, about))
}
