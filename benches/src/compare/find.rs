//! Where the programs are.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::options::Options;
use super::process::Group;

/// The longest that a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// The folder in which `install.sh` leaves the peers: that of the source tree that this program was built from.
#[must_use]
fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/.local")
}

/// The first program of that name in these folders.
pub(super) fn program(name: &str, folders: &[PathBuf]) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|file| is_program(file))
}

/// Where programs of others are looked for, in this order.
pub(super) fn folders(options: &Options) -> Vec<PathBuf> {
    options.find.iter().cloned().chain([installed()]).chain(path()).collect()
}

/// The folders of the environment's `PATH`, and those in which distributions have servers, which are not on every user's path.
pub(super) fn path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let servers = ["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from);
    path.unwrap_or_default().into_iter().chain(servers).collect()
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

/// What a program says when it is started with these arguments, and ends.
pub(super) fn said(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(&mut command).map_err(|error| error.to_string())?;
    let until = Instant::now() + PATIENCE;
    while group.ended().is_none() {
        if Instant::now() > until {
            return Err(format!("{} did not tell about itself within {PATIENCE:?}", program.display()));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(group.said())
}

/// What a program says its version is: the first of its words that has a digit and a dot.
pub(super) fn version(program: &Path, said: &str) -> Result<String, String> {
    number(said).ok_or_else(|| format!("{} tells no version: {}", program.display(), last_lines(said, 3)))
}

/// The version in what a program says.
fn number(said: &str) -> Option<String> {
    let words = said.split(|letter: char| letter.is_whitespace() || letter == '/');
    let words = words.map(|word| word.trim_start_matches('v').trim_end_matches(','));
    let mut numbers = words.filter(|word| word.contains('.') && word.starts_with(|first: char| first.is_ascii_digit()));
    let number = numbers.next()?;
    Some(number.split_once('-').map_or(number, |(number, _)| number).to_owned())
}

/// The last lines of a text that have something in them, in one line.
pub(super) fn last_lines(text: &str, count: usize) -> String {
    let mut lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).rev().take(count).collect();
    lines.reverse();
    lines.join(" | ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_folder_that_has_the_program_counts() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [one.path().to_owned(), two.path().to_owned()];
        assert_eq!(program("proxy", &folders), None);
        std::fs::write(one.path().join("proxy"), "not executable").unwrap();
        assert_eq!(program("proxy", &folders), None);
        std::os::unix::fs::symlink("/bin/sh", two.path().join("proxy")).unwrap();
        assert_eq!(program("proxy", &folders), Some(two.path().join("proxy")));
        assert!(program("sh", &path()).is_some());
    }

    #[test]
    fn versions_are_found_in_what_proxies_say() {
        for (said, version) in [
            ("HAProxy version 2.8.25-5cf5d0683 2026/06/26 - https://haproxy.org/\nStatus: long-term", "2.8.25"),
            ("nginx version: nginx/1.31.3\n", "1.31.3"),
            ("envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL", "1.40.0"),
            ("v2.11.7 h1:yj0Y4fYZGPkSvibBJ1sTWE33xC0fxztVyXEW5iIdUT4=", "2.11.7"),
            ("Version:      3.7.15\nCodename:     langres", "3.7.15"),
            ("pingora 0.9\n", "0.9"),
            ("rolegate 0.1.0", "0.1.0"),
        ] {
            assert_eq!(number(said).as_deref(), Some(version));
        }
        assert_eq!(number("no such option"), None);
    }

    #[test]
    fn a_program_is_asked() {
        let sh = Path::new("/bin/sh");
        let asked = |arguments: &[&str]| version(sh, &said(sh, arguments).unwrap());
        assert_eq!(asked(&["-c", "echo tool version 1.2.3 >&2"]).unwrap(), "1.2.3");
        let error = asked(&["-c", "echo 'libnone.so: not found' >&2; exit 127"]).unwrap_err();
        assert!(error.contains("libnone.so"), "{error}");
        assert!(said(Path::new("/nowhere/at/all"), &[]).is_err());
    }
}
