//! The files that a configuration names. Each is read once, so that everything made of it is made of the same bytes, and
//! its digest is kept: a renewed certificate changes the configuration although its text is the same.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;

use sha2::{Digest, Sha256};

/// A large bundle of authorities has 250 KB, a revocation list of a large site a few MB.
const LARGEST: u64 = 16 << 20;

/// One file.
pub(super) struct Content {
    /// All of it.
    pub(super) bytes: Vec<u8>,
    /// Permissions, as `chmod` counts them.
    pub(super) mode: u32,
}

/// Reads files and remembers which.
#[derive(Default)]
pub struct Files(RefCell<BTreeMap<String, Result<Rc<Content>, String>>>);

/// Which files were read, and the SHA-256 of each; `None` for one that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named(BTreeMap<String, Option<[u8; 32]>>);

// What files hold never appears in a text: keys are among them.
impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.borrow().keys()).finish()
    }
}

impl Files {
    /// No file was read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file, or why it cannot be read.
    pub(super) fn read(&self, path: &str) -> Result<Rc<Content>, String> {
        if let Some(known) = self.0.borrow().get(path) {
            return known.clone();
        }
        let content = read(path).map(Rc::new).map_err(|error| error.to_string());
        self.0.borrow_mut().insert(path.to_owned(), content.clone());
        content
    }

    /// What was read.
    pub fn named(&self) -> Named {
        let each = self.0.borrow();
        Named(each.iter().map(|(path, content)| (path.clone(), content.as_ref().ok().map(|c| digest(c)))).collect())
    }
}

impl Named {
    /// The paths as they are written.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(Path::new)
    }

    /// Whether one of the files is another one now.
    pub fn changed(&self) -> bool {
        self.0.iter().any(|(path, before)| read(path).ok().map(|content| digest(&content)) != *before)
    }
}

fn digest(content: &Content) -> [u8; 32] {
    Sha256::digest(&content.bytes).into()
}

fn read(path: &str) -> io::Result<Content> {
    // Asked before opening: opening a pipe would wait for somebody to write.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a file"));
    }
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(Content { bytes, mode })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_once_and_a_change_of_it_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a").display().to_string();
        let files = Files::new();
        assert!(files.read(&path).is_err());
        let missing = files.named();
        assert!(!missing.changed());
        std::fs::write(&path, "one").unwrap();
        assert!(missing.changed(), "it is there now");
        assert!(files.read(&path).is_err(), "the same answer for the whole configuration");

        let files = Files::new();
        assert_eq!(files.read(&path).unwrap().bytes, b"one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(files.read(&path).unwrap().bytes, b"one");
        assert!(files.named().changed());
        std::fs::write(&path, "one").unwrap();
        assert!(!files.named().changed(), "written again with the same bytes");
        assert_eq!(files.named().paths().collect::<Vec<_>>(), [Path::new(&path)]);
        assert!(!format!("{files:?}").contains("one"));
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new();
        let of_folder = files.read(folder.path().to_str().unwrap());
        assert!(of_folder.err().unwrap().contains("not a file"));
        let large = folder.path().join("large");
        File::create(&large).unwrap().set_len(LARGEST + 1).unwrap();
        assert!(files.read(large.to_str().unwrap()).err().unwrap().contains("16 MiB"));
    }
}
