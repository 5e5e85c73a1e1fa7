//! What installs rolegate, against the rest: the unit, the configuration of the package, the container, and that what is measured is
//! compiled as users get it.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use rolegate::control::config::{Config, Problems, ProxySettings, parse};
use rolegate::limits;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The values of a key of the unit, in order.
fn unit(key: &str) -> Vec<String> {
    let unit = read("packaging/rolegate.service");
    unit.lines().filter_map(|line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned())).collect()
}

#[test]
fn the_unit_in_the_documents_is_the_one_that_is_installed() {
    let written = format!("```ini\n{}```\n", read("packaging/rolegate.service"));
    assert!(read("docs/operations.md").contains(&written), "docs/operations.md should have:\n{written}");
}

#[test]
fn the_unit_allows_the_descriptors_that_it_says() {
    let [limit] = unit("LimitNOFILE").try_into().unwrap();
    let most: u32 = *ProxySettings::default().max_connections.get_ref();
    let lowered = |threads| limits::lowered(limit.parse().unwrap(), threads, most.into());
    assert_eq!(lowered(7), None);
    let said = lowered(8).unwrap();
    assert!(said.contains(&format!("LimitNOFILE={}", 8 * 131_328 + 2_560)), "{said}");
}

#[test]
fn the_unit_gives_a_stop_more_time_than_draining_takes() {
    let [stop] = unit("TimeoutStopSec").try_into().unwrap();
    let drain = ProxySettings::default().drain_timeout.get().unwrap();
    assert!(stop.parse::<u64>().unwrap() >= drain.as_secs() + 5, "{stop} and {drain:?}");
}

#[test]
fn the_unit_leaves_what_rolegate_needs() {
    // Metrics say when the process began, which /proc/stat has.
    assert!(unit("ProcSubset").is_empty());
    for (key, value) in [
        ("User", "rolegate"),
        ("Type", "notify"),
        ("NotifyAccess", "all"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("AmbientCapabilities", "CAP_NET_BIND_SERVICE"),
        ("StateDirectory", "rolegate"),
        ("RuntimeDirectory", "rolegate"),
        ("LogsDirectory", "rolegate"),
    ] {
        assert_eq!(unit(key), [value], "{key}");
    }
    let program = unit("ExecStart").concat();
    let reload = unit("ExecReload");
    assert_eq!(reload, [program.replace(" run ", " check "), "/bin/sh -c \"kill -HUP $MAINPID\"".to_owned()]);
}

#[test]
fn the_configuration_of_the_package_is_accepted_and_reaches_no_client() {
    let path = root().join("packaging/rolegate.toml");
    let mut check = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    let check = check.args(["check", "--elsewhere"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&check.stdout) + String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success() && !said.contains("warning"), "{said}");

    let config: Config = parse(&read("packaging/rolegate.toml"), &mut Problems::new());
    let addresses: Vec<String> = read("packaging/rolegate.toml")
        .lines()
        .filter_map(|line| line.strip_prefix("address = \"")?.strip_suffix('"').map(str::to_owned))
        .collect();
    assert_eq!(config.listeners.len(), addresses.len());
    assert!(addresses.iter().all(|address| address.starts_with("127.0.0.1:")), "{addresses:?}");
}

#[test]
fn everything_in_the_package_is_there() {
    let manifest: toml::Table = read("proxy/Cargo.toml").parse().unwrap();
    let package = &manifest["package"]["metadata"]["deb"];
    let assets = package["assets"].as_array().unwrap().iter().map(|asset| asset[0].as_str().unwrap());
    let written = assets.filter(|source| !source.starts_with("target/"));
    let others = [&package["changelog"], &package["maintainer-scripts"], &package["license-file"][0]];
    for source in written.chain(others.map(|file| file.as_str().unwrap())) {
        // The folder of a pattern.
        let folder = source.split_once('*').map_or(source, |(folder, _)| folder.trim_end_matches('/'));
        assert!(root().join("proxy").join(folder).exists(), "{source}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        read("packaging/debian/changelog").starts_with(&format!("rolegate ({version}-1) ")),
        "the package's changelog"
    );
}

#[test]
fn the_container_copies_what_is_there_and_is_not_ignored() {
    let kept: BTreeSet<String> =
        read(".dockerignore").lines().filter_map(|line| line.strip_prefix('!').map(str::to_owned)).collect();
    let containerfile = read("Containerfile");
    let mut copied = BTreeSet::new();
    for line in containerfile.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        for source in &words[..words.len() - 1] {
            assert!(root().join(source).exists(), "{line}");
            let top = source.split('/').next().unwrap();
            assert!(kept.contains(top), "{top} is ignored by .dockerignore");
            copied.insert(top.to_owned());
        }
    }
    // Cargo wants every member of the workspace.
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    for member in workspace["workspace"]["members"].as_array().unwrap() {
        assert!(copied.contains(member.as_str().unwrap()), "{member} is not copied");
    }
    let minimum = workspace["workspace"]["package"]["rust-version"].as_str().unwrap();
    let (_, image) = containerfile.split_once("rust:").unwrap();
    let number = |text: &str| text.split('.').nth(1).unwrap().split('-').next().unwrap().parse::<u32>().unwrap();
    assert!(number(image) >= number(minimum), "the image's Rust is older than {minimum}");
}

#[test]
fn what_is_measured_is_compiled_as_users_get_it() {
    let workspace: toml::Table = read("Cargo.toml").parse().unwrap();
    let profiles = &workspace["profile"];
    assert_eq!(profiles["release"]["lto"].as_str(), Some("fat"));
    assert_eq!(profiles["release"]["codegen-units"].as_integer(), Some(1));
    assert!(profiles.get("bench").is_none(), "what `cargo bench` measures is of the profile `release`");
    assert_eq!(profiles["lab"]["lto"].as_str(), Some("off"), "the lab compiles fast");
    for name in ["README.md", "CONTRIBUTING.md", "docs/performance.md", "docs/load.md", "benches/peers/README.md"] {
        let text = read(name);
        assert!(text.contains("target/release/compare"), "{name} does not say how to measure");
        assert!(!text.contains("target/lab/compare"), "{name} measures a program that was compiled for trying");
    }
}
