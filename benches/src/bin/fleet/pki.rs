//! Certificates for tests, in files.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use rolegate_bench::pki::Authority;
use rolegate_bench::say;

/// The files that are made.
const FILES: [&str; 5] = ["root.crt", "server.crt", "server.key", "client.crt", "client.key"];

/// What becomes of files that are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    /// Nothing is written then.
    Refused,
    /// New ones take their place.
    Replaced,
}

/// Makes an authority, a server and a client, and says how they are used.
pub(crate) fn make(folder: &Path, names: &[String], there: There) -> anyhow::Result<ExitCode> {
    let at = folder.display();
    let all = FILES.iter().map(|name| folder.join(name));
    let found: Vec<PathBuf> = all.filter(|file| std::fs::symlink_metadata(file).is_ok()).collect();
    if there == There::Refused && !found.is_empty() {
        let found: Vec<_> = found.iter().map(|file| file.display().to_string()).collect();
        bail!("{} would be replaced: name another folder, or give --force", found.join(", "));
    }
    write(folder, names).with_context(|| format!("certificates cannot be written to {at}"))?;
    for file in found {
        say::out(format_args!("replaced: {}", file.display()));
    }
    say::out(format_args!(
        "written to {at}. For example:\n  site --tls --tls-certificate {at}/server.crt --tls-key {at}/server.key \
         --client-certificate required --client-ca {at}/root.crt --system all=MP+DP+SUP@127.0.0.1:8443 --content \
         PKG00001:4x256KiB\n  fleet run steady --target https://127.0.0.1:8443 --ca {at}/root.crt --certificate \
         {at}/client.crt --key {at}/client.key"
    ));
    Ok(ExitCode::SUCCESS)
}

fn write(folder: &Path, names: &[String]) -> io::Result<()> {
    let authority = Authority::new("Fleet Test Root CA");
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    std::fs::create_dir_all(folder)?;
    authority.write(folder, "root")?;
    authority.server(&names).write(folder, "server")?;
    authority.client("PC00001").write(folder, "client")?;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_there_are_replaced_only_if_that_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("pki");
        make(&at, &["localhost".to_owned()], There::Refused).unwrap();
        let mut written: Vec<_> =
            std::fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        written.sort();
        let mut files = FILES;
        files.sort_unstable();
        assert_eq!(written, files);
        for name in ["root.crt", "client.crt", "client.key"] {
            std::fs::remove_file(at.join(name)).unwrap();
        }
        let read = || std::fs::read(at.join("server.key")).unwrap();
        let before = read();
        let error = make(&at, &["localhost".to_owned()], There::Refused).unwrap_err().to_string();
        let [certificate, key] = ["server.crt", "server.key"].map(|name| at.join(name).display().to_string());
        assert_eq!(error, format!("{certificate}, {key} would be replaced: name another folder, or give --force"));
        assert!(read() == before && !at.join("root.crt").exists(), "nothing was written");
        make(&at, &["localhost".to_owned()], There::Replaced).unwrap();
        assert_ne!(read(), before);
    }
}
