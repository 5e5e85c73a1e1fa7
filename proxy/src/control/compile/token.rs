//! The token that changes of state need.

use sha2::{Digest, Sha256};

use super::files::Files;
use crate::control::config::{Config, Problems};
use crate::control::encoding::utf8;

const SHORTEST: usize = 16;
const LONGEST: usize = 4096;

/// Its SHA-256, which is all that is kept of it.
pub(super) fn hash(config: &Config, files: &Files, problems: &mut Problems) -> Option<[u8; 32]> {
    let path = config.admin.token_file.as_ref()?;
    let file = path.get_ref();
    let content = match files.read(file) {
        Ok(content) => content,
        Err(error) => {
            let what = format!("the token file {file:?} cannot be read: {error}");
            problems.error(path.span(), what, "check the path and its permissions");
            return None;
        }
    };
    if content.mode & 0o077 != 0 {
        problems.warning(
            path.span(),
            format!("other users of this machine may read the token in {file:?}"),
            "take their permissions away: chmod 600",
        );
    }
    let text = match utf8(content.bytes.clone()) {
        Ok(text) => text,
        Err(error) => {
            problems.error(path.span(), format!("the token file {file:?} is not text: {error}"), "save it as ASCII");
            return None;
        }
    };
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use toml::Spanned;

    use super::*;

    #[test]
    fn a_token_is_the_same_whatever_editor_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let mut config = Config::default();
        config.admin.token_file = Some(Spanned::new(0..0, path.display().to_string()));
        let token = "0123456789abcdef";
        let expected: [u8; 32] = Sha256::digest(token).into();
        let utf16 = format!("\u{feff}{token}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect();
        for written in [token.into(), format!("\u{feff}{token}\r\n").into_bytes(), utf16] {
            std::fs::write(&path, &written).unwrap();
            assert_eq!(hash(&config, &Files::new(), &mut Problems::new()), Some(expected), "{written:?}");
        }
        std::fs::write(&path, b"\xff\xfea").unwrap();
        let mut problems = Problems::new();
        assert_eq!(hash(&config, &Files::new(), &mut problems), None);
        assert!(problems.iter().any(|problem| problem.message.contains("UTF-16")), "{problems:?}");
    }
}
