//! The program `rolegate` as a shell runs it: closed pipes, mistakes of its user, and what `check` tries.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// An address that is nobody's: the first network for documents.
const NOBODYS: &str = "192.0.2.1";
/// A user without rights.
const NOBODY: u32 = 65_534;

fn rolegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rolegate"));
    command.args(arguments).stdin(Stdio::null()).env("RUST_BACKTRACE", "full").env_remove("RUST_LIB_BACKTRACE");
    command
}

/// The writing end of a pipe that nobody reads.
fn closed() -> Stdio {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer.into()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A configuration in a folder of its own.
struct Written {
    folder: TempDir,
}

impl Written {
    /// A configuration with these lines at its end, and a listener with this address.
    fn new(listener: &str, lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            r#"
site.code = "P01"
[[listeners]]
address = "{listener}"
roles = ["MP"]
[[site_systems]]
name = "mp1"
address = "127.0.0.1"
roles = ["MP"]
[admin]
{lines}
"#
        );
        fs::write(folder.path().join("rolegate.toml"), text).unwrap();
        Self { folder }
    }

    /// One with an access log.
    fn logging(path: &str) -> Self {
        Self::new("127.0.0.1:0", &format!("address = \"127.0.0.1:0\"\n[access_log]\npath = {path:?}\n"))
    }

    fn check(&self, flags: &[&str]) -> Command {
        let mut command = rolegate(&["check"]);
        command.arg("rolegate.toml").args(flags).current_dir(self.folder.path());
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All names in the folder.
    fn names(&self) -> Vec<String> {
        let each = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = each.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn is_refused(&self, why: &[&str]) {
        let output = self.check(&[]).output().unwrap();
        refused(&output, why);
        let json = self.check(&["--json"]).output().unwrap();
        assert_eq!(json.status.code(), Some(1), "{json:?}");
        let records: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        let is_error = |record: &&serde_json::Value| record["severity"] == "error";
        let record = records.as_array().unwrap().iter().find(is_error).unwrap_or_else(|| panic!("{records}"));
        assert!(record["line"].as_u64().unwrap() > 2, "{records}");
        self.is_accepted(&["--elsewhere"]);
    }

    fn is_accepted(&self, flags: &[&str]) {
        let output = self.check(flags).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("can be served"), "{output:?}");
        assert_eq!(text(&output.stderr), "");
    }
}

fn refused(output: &Output, why: &[&str]) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in why.iter().chain(&["--elsewhere"]) {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert!(!text(&output.stdout).contains("can be served"));
}

/// Whether tests run as a user for whom permissions do not count.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
    users.split_whitespace().nth(1) == Some("0")
}

/// Runs it as a user without rights. `None` if that user may not even start it.
fn without_rights(mut command: Command) -> Option<Output> {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            println!("skipped: a user without rights may not start the program");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let written = Written::new("127.0.0.1:0", "address = \"127.0.0.1:0\"");
    let file = written.path("rolegate.toml");
    let file = file.to_str().unwrap();
    let explain = ["explain", "--client", "10.0.0.1", "--file", file, "GET", "/SMS_MP/.sms_aut?MPLIST"];
    for arguments in [
        &["roles"][..],
        &["roles", "MP"],
        &["roles", "--json"],
        &["check", file],
        &["check", file, "--json"],
        &explain,
        &[&explain[..], &["--json"]].concat(),
        &["--help"],
        &["status", "--help"],
        &["--version"],
        &["version", "--json"],
        &["init"],
        &["diff", file, file],
        &["completions", "bash"],
    ] {
        let output = rolegate(arguments).stdout(closed()).output().unwrap();
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn an_output_that_takes_nothing_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = rolegate(&["roles"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("error: cannot write to standard output: No space left"), "{output:?}");
}

#[test]
fn mistakes_that_nobody_hears_are_mistakes_without_a_panic() {
    let wrong = Written::new("127.0.0.1:0", "adress = 1");
    for (command, status) in [
        (&mut wrong.check(&[]), 1),
        (&mut rolegate(&["check", "/nowhere/rolegate.toml"]), 1),
        (&mut rolegate(&["status", "--json", "--admin", "127.0.0.1:1"]), 1),
        (&mut rolegate(&["roles", "XX"]), 2),
        (&mut rolegate(&["statsu", "--json"]), 2),
        (&mut rolegate(&[]), 2),
    ] {
        let output = command.stdout(closed()).stderr(closed()).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "a panic ends with 101");
    }
}

/// The log has a warning before the address cannot be bound.
#[test]
fn a_log_that_nobody_reads_ends_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let unserved = "[[site_systems]]\nname = \"dp1\"\naddress = \"127.0.0.1\"\nroles = [\"DP\"]\n";
    let lines = format!("address = \"127.0.0.1:0\"\n{unserved}");
    let written = Written::new(&taken.local_addr().unwrap().to_string(), &lines);
    let mut run = rolegate(&["run", "rolegate.toml"]);
    let heard = run.current_dir(written.folder.path()).output().unwrap();
    let said = text(&heard.stderr);
    assert!(said.contains(" WARN ") && said.contains("cannot listen on 127.0.0.1:"), "{said}");
    assert_eq!(run.stderr(closed()).status().unwrap().code(), Some(1), "a panic ends with 101");
}

#[test]
fn a_mistake_is_a_sentence_and_never_a_backtrace() {
    // Bound, so that nobody else has it, and not listening.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let free = socket.local_addr().unwrap().as_socket().unwrap().to_string();
    let nowhere = "/nowhere/rolegate.toml";
    for (arguments, begins, lines) in [
        (&["check", nowhere][..], "error: cannot read the configuration /nowhere/rolegate.toml: No such file", 1),
        (&["run", nowhere], "error: cannot read the configuration /nowhere/rolegate.toml: No such file", 1),
        (&["diff", nowhere, nowhere], "error: cannot read the configuration /nowhere/rolegate.toml: No such file", 1),
        (
            &["explain", "--client", "10.0.0.1", "--file", nowhere, "GET", "/"],
            "error: cannot read the configuration /nowhere/rolegate.toml: No such file",
            1,
        ),
        (&["status", "--admin", &free], "error: no rolegate answers at 127.0.0.1:", 2),
        (&["status", "--watch", "--admin", &free], "error: no rolegate answers at 127.0.0.1:", 2),
        (&["ready", "--admin", &free], "error: no rolegate answers at 127.0.0.1:", 2),
        (&["clocks", "--admin", &free], "error: no rolegate answers at 127.0.0.1:", 2),
    ] {
        let output = rolegate(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with(begins), "{said}");
        assert_eq!(said.lines().count(), lines, "{said}");
        assert!(said.lines().skip(1).all(|line| line.starts_with("help: ")), "{said}");
        assert!(!said.to_lowercase().contains("backtrace"), "{said}");
    }
    // A cause is behind the sentence.
    let output = rolegate(&["status", "--admin", &free]).output().unwrap();
    assert!(text(&output.stderr).contains("Connection refused"), "{output:?}");
}

#[test]
fn mistakes_of_a_configuration_have_their_own_layout() {
    let wrong = Written::new("127.0.0.1:0", "adress = 1");
    let explain = ["explain", "--client", "10.0.0.1", "--file", "rolegate.toml", "GET", "/"];
    let explained = rolegate(&explain).current_dir(wrong.folder.path()).output().unwrap();
    for output in [wrong.check(&[]).output().unwrap(), explained] {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("error: ") && !said.starts_with("error: error"), "{said}");
        assert!(said.contains("--> rolegate.toml:11:1") && said.ends_with("1 error\n"), "{said}");
    }
}

#[test]
fn check_refuses_addresses_that_this_machine_does_not_have() {
    let admin = "address = \"127.0.0.1:0\"";
    Written::new(&format!("{NOBODYS}:8080"), admin).is_refused(&["does not have the address 192.0.2.1", "toml:4:11"]);
    let admin = format!("address = \"{NOBODYS}:9180\"\nallow_remote = true");
    let output = Written::new("127.0.0.1:0", &admin).check(&[]).output().unwrap();
    refused(&output, &["does not have the address 192.0.2.1", "toml:11:11"]);
}

#[test]
fn check_refuses_a_port_that_this_user_may_not_have() {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if first.trim().parse::<u16>().unwrap() <= 1 {
        return println!("skipped: every user may have every port");
    }
    let written = Written::new("127.0.0.1:1", "address = \"127.0.0.1:0\"");
    let Some(output) = without_rights(written.check(&[])) else { return };
    refused(&output, &["may not listen on 127.0.0.1:1", "toml:4:11", "CAP_NET_BIND_SERVICE"]);
    written.is_accepted(&["--elsewhere"]);
}

#[test]
fn an_address_in_use_is_no_mistake() {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [listener, admin] = [&taken[0], &taken[1]].map(|socket| socket.local_addr().unwrap());
    Written::new(&listener.to_string(), &format!("address = \"{admin}\"")).is_accepted(&[]);
}

#[test]
fn check_warns_of_source_addresses_that_this_machine_does_not_have() {
    let lines = |address: &str| {
        let role = format!("[roles.MP]\nsource_addresses = [\"127.0.0.1\", \"{address}\"]\n");
        Written::new("127.0.0.1:0", &format!("address = \"127.0.0.1:0\"\n{role}"))
    };
    lines("127.0.0.2").is_accepted(&[]);
    let written = lines(NOBODYS);
    let output = written.check(&[]).output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.success() && said.starts_with("warning: this machine does not have"), "{said}");
    assert!(said.contains("rolegate.toml:13:34"), "{said}");
    written.is_accepted(&["--elsewhere"]);
}

#[test]
fn check_refuses_an_access_log_that_cannot_be_opened() {
    for (path, why) in [
        ("/nowhere/access.log", "No such file"),
        ("folder", "is a directory"),
        ("new/", "is a directory"),
        ("rolegate.toml/access.log", "Not a directory"),
        ("", "not found"),
        ("dangling", "No such file"),
        ("circle", "symbolic links"),
        ("socket", "is a socket"),
    ] {
        let written = Written::logging(path);
        fs::create_dir(written.path("folder")).unwrap();
        symlink("missing/access.log", written.path("dangling")).unwrap();
        symlink("circle", written.path("circle")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(written.path("socket")).unwrap();
        let before = written.names();
        written.is_refused(&["the access log", why, "toml:13:8"]);
        assert_eq!(written.names(), before, "{path:?}");
    }
}

#[test]
fn check_refuses_an_access_log_that_this_user_may_not_write() {
    for (path, mode) in [("folder/access.log", 0o555), ("folder/there.log", 0o755)] {
        let written = Written::logging(path);
        fs::create_dir(written.path("folder")).unwrap();
        fs::write(written.path("folder/there.log"), "").unwrap();
        fs::set_permissions(written.path("folder/there.log"), Permissions::from_mode(0o444)).unwrap();
        fs::set_permissions(written.path("folder"), Permissions::from_mode(mode)).unwrap();
        let Some(output) = without_rights(written.check(&[])) else { return };
        refused(&output, &["the access log", "Permission denied"]);
        written.is_accepted(&["--elsewhere"]);
    }
}

#[test]
fn check_accepts_an_access_log_and_leaves_it_as_it_is() {
    for path in ["-", "new.log", "there.log", "folder/new.log", "link.log", "pipe", "/dev/null"] {
        let written = Written::logging(path);
        fs::create_dir(written.path("folder")).unwrap();
        fs::write(written.path("there.log"), "a line\n").unwrap();
        symlink("folder/made.log", written.path("link.log")).unwrap();
        make_pipe(&written.path("pipe"));
        let before = (written.names(), fs::metadata(written.path("there.log")).unwrap().modified().unwrap());
        written.is_accepted(&[]);
        let after = (written.names(), fs::metadata(written.path("there.log")).unwrap().modified().unwrap());
        assert_eq!(after, before, "{path}");
        assert_eq!(fs::read_to_string(written.path("there.log")).unwrap(), "a line\n");
        assert_eq!(fs::read_dir(written.path("folder")).unwrap().count(), 0, "{path}");
    }
}

#[test]
fn what_cannot_be_opened_is_told_with_all_other_mistakes() {
    let lines = "address = \"127.0.0.1:0\"\n[access_log]\npath = \"/nowhere/access.log\"\n[dns]\nserver = 1\n";
    let output = Written::new(&format!("{NOBODYS}:8080"), lines).check(&[]).output().unwrap();
    let said = text(&output.stderr);
    assert!(said.ends_with("3 errors\n"), "{said}");
}

/// As `mkfifo` does.
fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    assert!(fs::metadata(path).unwrap().file_type().is_fifo());
}

#[test]
fn what_is_checked_may_come_through_a_pipe() {
    let written = Written::new("127.0.0.1:0", "address = \"127.0.0.1:0\"");
    let configuration = fs::read(written.path("rolegate.toml")).unwrap();
    for name in ["/dev/stdin", "-"] {
        let (reader, mut writer) = io::pipe().unwrap();
        let checking = rolegate(&["check", name]).stdin(reader).stdout(Stdio::piped()).spawn().unwrap();
        writer.write_all(&configuration).unwrap();
        drop(writer);
        let output = checking.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(text(&output.stdout).contains(&format!("{name}: site P01")), "{output:?}");
    }
    // A socket, as a remote shell has it, cannot be opened by its name.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let checking =
        rolegate(&["check", "/dev/stdin"]).stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).spawn().unwrap();
    { &ours }.write_all(&configuration).unwrap();
    drop(ours);
    assert!(checking.wait_with_output().unwrap().status.success());
    let pipe = written.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let checking = rolegate(&["check", pipe.to_str().unwrap()]).stdout(Stdio::piped()).spawn().unwrap();
    fs::write(&pipe, &configuration).unwrap();
    assert!(checking.wait_with_output().unwrap().status.success());
    // What is served is read again: it must be there.
    let output = rolegate(&["run", pipe.to_str().unwrap()]).output().unwrap();
    assert!(text(&output.stderr).contains("is not a file"), "{output:?}");
}

#[test]
fn a_command_line_that_is_wrong_is_told_with_what_was_meant() {
    for (arguments, parts) in [
        (&["statsu"][..], &["error: unrecognized subcommand 'statsu'", "help: ", "'status'"][..]),
        (&["status", "--jsn"], &["error: unexpected argument '--jsn'", "help: ", "'--json'"]),
        (&["status", "--watch", "0"], &["error: invalid value '0'"]),
        (&["completions", "bsh"], &["error: invalid value 'bsh'", "help: ", "'bash'"]),
        (&["roles", "distribution-piont"], &["error: there is no role", "help: did you mean \"distribution-point\"?"]),
        (&["roles", "site-database"], &["error: "]),
        (&["init", "--site-code", "TOOLONG"], &["error: "]),
        (&["init", "--boundary-group", "HQ"], &["error: invalid value 'HQ'", "such as HQ=10.1.0.0/16"]),
        (&["clocks", "reset"], &["error: changes need a token", "help: --token-file"]),
        (&[], &["error: a command is missing", "Usage: rolegate"]),
    ] {
        let output = rolegate(arguments).env_remove("ROLEGATE_TOKEN_FILE").output().unwrap();
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{arguments:?}: {said}");
        assert!(said.starts_with("error: "), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part:?} is not in {said}");
        }
    }
}

#[test]
fn who_asks_for_json_gets_errors_as_json_too() {
    for (arguments, status, what) in [
        (&["status", "--admin", "127.0.0.1:1", "--json"][..], 1, "no rolegate answers at 127.0.0.1:1"),
        (&["roles", "--json", "XX"], 2, "there is no role \"XX\""),
        (&["statsu", "--json"], 2, "unrecognized subcommand"),
    ] {
        let output = rolegate(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told["error"].as_str().unwrap().starts_with(what), "{told}");
        assert!(told["exit_status"] == status && text(&output.stderr).starts_with("error: "), "{output:?}");
    }
}

/// A name in a file reaches a terminal as letters.
#[test]
fn nothing_that_is_named_steers_a_terminal() {
    let written = Written::new("127.0.0.1:0", "address = \"127.0.0.1:0\"");
    let hostile = "evil\\u202e";
    let more =
        format!("[[boundary_groups]]\nname = \"{hostile}\"\nboundaries = [\"10.0.0.0/8\"]\nsite_systems = [\"mp1\"]\n");
    let path = written.path("rolegate.toml");
    let before = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{before}{more}")).unwrap();
    fs::write(written.path("old.toml"), &before).unwrap();
    let run = |arguments: &[&str]| {
        let output = rolegate(arguments).current_dir(written.folder.path()).output().unwrap();
        [text(&output.stdout), text(&output.stderr)].concat()
    };
    let explained =
        run(&["explain", "--client", "10.0.0.1", "--file", "rolegate.toml", "GET", "/SMS_MP/.sms_aut?\u{1b}[2J"]);
    let all = [
        explained,
        run(&["explain", "--client", "10.0.0.1", "--file", "rolegate.toml", "GET", "/SMS_MP/.sms_aut?MPLIST"]),
        run(&[
            "explain",
            "--client",
            "10.0.0.1",
            "--file",
            "rolegate.toml",
            "GET",
            "/SMS_MP/.sms_aut?MPLIST",
            "--json",
        ]),
        run(&["diff", "old.toml", "rolegate.toml"]),
        run(&["diff", "old.toml", "rolegate.toml", "--json"]),
        run(&["check", "a\u{1b}[2Jb\u{9b}31m"]),
        run(&["roles", "a\u{1b}[2Jb"]),
        run(&["a\u{1b}[2Jb"]),
    ];
    assert!(all[3].contains("evil\\u{202e}"), "{}", all[3]);
    for said in all {
        assert!(!said.is_empty() && !said.chars().any(|c| c != '\n' && c.is_control() || c == '\u{202e}'), "{said:?}");
    }
}

#[test]
fn output_fits_the_columns_that_there_are() {
    let written = Written::new("127.0.0.1:0", "address = \"127.0.0.1:0\"");
    for columns in [80, 120] {
        for arguments in [
            &["roles"][..],
            &["explain", "--client", "10.0.0.1", "--file", "rolegate.toml", "GET", "/SMS_MP/.sms_aut?MPLIST"],
        ] {
            let mut command = rolegate(arguments);
            let output =
                command.current_dir(written.folder.path()).env("COLUMNS", columns.to_string()).output().unwrap();
            let said = text(&output.stdout);
            let longest = said.lines().map(|line| line.trim_end().chars().count()).max().unwrap();
            assert!(output.status.success() && longest <= columns, "{longest} columns in\n{said}");
        }
    }
}

#[test]
fn a_first_configuration_is_written_once_and_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let init = |output: &str| {
        let flags = ["init", "--mp", "mp1.contoso.com", "--listen", "127.0.0.1:0", "--output", output];
        rolegate(&flags).current_dir(folder.path()).output().unwrap()
    };
    let output = init("first.toml");
    assert!(output.status.success() && text(&output.stdout).contains("rolegate check first.toml"), "{output:?}");
    let checked = rolegate(&["check", "first.toml", "--elsewhere"]).current_dir(folder.path()).output().unwrap();
    assert!(checked.status.success() && text(&checked.stderr).is_empty(), "{checked:?}");
    let before = fs::read(folder.path().join("first.toml")).unwrap();
    let again = init("first.toml");
    let said = text(&again.stderr);
    assert_eq!(again.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: first.toml is there already\nhelp: "), "{said}");
    assert_eq!(fs::read(folder.path().join("first.toml")).unwrap(), before);
    assert_eq!(init("nowhere/first.toml").status.code(), Some(1));
}

#[test]
fn differences_are_an_exit_status_when_that_is_asked_for() {
    let written = Written::new("127.0.0.1:0", "address = \"127.0.0.1:0\"");
    let text_of = fs::read_to_string(written.path("rolegate.toml")).unwrap();
    fs::write(written.path("new.toml"), text_of.replace("mp1", "mp2")).unwrap();
    fs::write(written.path("broken.toml"), "adress = 1").unwrap();
    let diff = |arguments: &[&str]| {
        rolegate(&[&["diff"], arguments].concat()).current_dir(written.folder.path()).output().unwrap()
    };
    let output = diff(&["rolegate.toml", "new.toml"]);
    assert!(output.status.success(), "{output:?}");
    assert!(
        text(&output.stdout).contains("- site system mp1: address 127.0.0.1; roles management-point\n"),
        "{output:?}"
    );
    assert_eq!(diff(&["rolegate.toml", "new.toml", "--exit-code"]).status.code(), Some(1));
    assert_eq!(diff(&["rolegate.toml", "rolegate.toml", "--exit-code"]).status.code(), Some(0));
    let broken = diff(&["rolegate.toml", "broken.toml", "--json"]);
    assert_eq!(broken.status.code(), Some(1));
    assert!(text(&broken.stderr).contains("error: broken.toml cannot be served"), "{broken:?}");
}

/// Each command has a page and is completed.
#[test]
fn manual_pages_and_completions_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("new/man1");
    assert!(rolegate(&["man", pages.to_str().unwrap()]).status().unwrap().success());
    let help = text(&rolegate(&["--help"]).output().unwrap().stdout);
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> = commands
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert!(commands.len() > 10, "{help}");
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = text(&rolegate(&["completions", shell]).output().unwrap().stdout);
        for command in &commands {
            assert!(script.contains(command), "{command} is not in the script for {shell}");
        }
    }
    for command in commands.iter().filter(|command| **command != "help") {
        let page = fs::read_to_string(pages.join(format!("rolegate-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(fs::read_to_string(pages.join("rolegate.1")).unwrap().contains("Exit status"));
}

#[test]
fn check_refuses_an_access_log_that_is_the_configuration() {
    for path in ["rolegate.toml", "./rolegate.toml", "link.toml"] {
        let written = Written::logging(path);
        symlink("rolegate.toml", written.path("link.toml")).unwrap();
        let output = written.check(&[]).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("the access log is the configuration itself") && said.contains("toml:13:8"), "{said}");
    }
}
