//! Every deployment that ships as an example passes `rolegate check`, and the documents lead to it.
#![allow(clippy::unwrap_used, missing_docs)]

mod deployment_support;

use std::process::Command;

use deployment_support::{Certificates, configuration, folder, read};

/// The deployments, each with what `check` says about it beside that it can be served.
const DEPLOYMENTS: [(&str, &[&str]); 4] =
    [("one-name", &[]), ("own-names", &[]), ("dmz", &[]), ("hierarchy", &["\"Frankfurt DMZ\""])];

#[test]
fn check_has_nothing_to_say_about_them_but_what_they_explain() {
    let certificates = Certificates::new();
    for (name, expected) in DEPLOYMENTS {
        let path = certificates.path().join(format!("{name}.toml"));
        std::fs::write(&path, configuration(name, certificates.path())).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_rolegate"));
        let output = check.args(["check", "--elsewhere"]).arg(&path).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && told.contains("can be served"), "{name}: {told}\n{said}");
        assert_eq!(said.matches("warning: ").count(), expected.len(), "{name}: {said}");
        for words in expected {
            assert!(said.contains(words), "{name}: {words} is not in {said}");
            assert!(read(name, "rolegate.toml").contains(words), "{name} does not explain {words}");
        }
    }
}

#[test]
fn each_is_complete_and_can_be_found() {
    let mut shipped: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    shipped.sort();
    let mut known = DEPLOYMENTS.map(|(name, _)| name);
    known.sort_unstable();
    assert_eq!(shipped, known, "examples/deployments and this test");
    let root = folder().join("../..");
    for name in known {
        let words = read(name, "README.md");
        for heading in ["## DNS", "## Certificates", "## SPNs", "## In the console"] {
            assert!(words.lines().any(|line| line == heading), "{name}/README.md has no {heading}");
        }
        for document in ["README.md", "docs/configuration.md"] {
            let text = std::fs::read_to_string(root.join(document)).unwrap();
            let link = format!("examples/deployments/{name}");
            assert!(text.contains(&link), "{document} does not lead to {link}");
        }
    }
}
