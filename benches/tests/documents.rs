//! What docs/load.md says about scenarios, works, peers and flags is compared with the code, and benches/results with its list.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rolegate_bench::chaos::{Plan, told};
use rolegate_bench::client::Subject;
use rolegate_bench::compare::{Cast, GeneratorName, Options, Peer, WorkName, minutes};
use rolegate_bench::fleet::{Activity, Kind, SHIPPED, Scenario};
use rolegate_bench::record::Failure;

fn document() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/load.md")).unwrap()
}

/// The rows of the tables below a heading, up to the next heading: a list of cells each, without the header lines.
fn tables(text: &str, heading: &str) -> Vec<Vec<Vec<String>>> {
    let mut lines = text.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "there is no {heading:?}");
    let mut tables: Vec<Vec<Vec<String>>> = Vec::new();
    let mut inside = false;
    for line in lines.take_while(|line| !line.starts_with('#')) {
        let row = line.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        match (row, inside) {
            (Some(row), true) => {
                let cells = row.split('|').map(|cell| cell.trim().to_owned()).collect();
                tables.last_mut().unwrap().push(cells);
            }
            // Its head.
            (Some(_), false) => tables.push(Vec::new()),
            (None, _) => {}
        }
        inside = row.is_some();
    }
    for table in &mut tables {
        // The line below the head.
        table.remove(0);
    }
    assert!(!tables.is_empty(), "there is no table below {heading:?}");
    tables
}

/// What is between the first backticks of a cell.
fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_else(|| panic!("no code in {cell:?}"))
}

fn sorted(list: impl IntoIterator<Item = impl Into<String>>) -> Vec<String> {
    let mut list: Vec<String> = list.into_iter().map(Into::into).collect();
    list.sort();
    list
}

/// The keys that are possible where `zzzzzzzz` stands in this scenario, as the mistake about it lists them.
fn known_keys(text: &str) -> Vec<String> {
    let mistakes = Scenario::parse(text).unwrap_err();
    let list = mistakes.iter().find_map(|mistake| mistake.what.split_once("is not known here; there are "));
    let (_, list) = list.unwrap_or_else(|| panic!("{text:?} says {mistakes:?}"));
    sorted(list.split(", "))
}

/// More than that every key of every shipped scenario is in the reference: every key that there is, and no other.
#[test]
fn every_key_is_in_the_reference_and_none_that_does_not_exist() {
    let text = document();
    for (heading, scenario) in [
        ("#### The whole scenario", "zzzzzzzz = 1"),
        ("#### `[[groups]]`", "[[groups]]\nzzzzzzzz = 1"),
        ("#### `[[storms]]` and `[start]`", "[[storms]]\nzzzzzzzz = 1"),
        ("#### `[outage]`", "[outage]\nzzzzzzzz = 1"),
        ("#### `[[content]]`", "[[content]]\nzzzzzzzz = 1"),
        ("#### `[notification]`", "[notification]\nzzzzzzzz = 1"),
        ("#### `[tls]`", "[tls]\nzzzzzzzz = 1"),
        ("#### `[plain]`", "[plain]\nzzzzzzzz = 1"),
    ] {
        let rows = tables(&text, heading).swap_remove(0);
        // A row without a key has another value of the one before.
        let written = rows.iter().filter(|row| !row[0].is_empty()).map(|row| code(&row[0]).to_owned());
        assert_eq!(sorted(written), known_keys(scenario), "below {heading:?}");
    }
    let events = tables(&text, "#### `[[storms]]` and `[start]`");
    let of_start = events.iter().flatten().map(|row| code(&row[0]).to_owned()).filter(|key| key != "name");
    assert_eq!(sorted(of_start), known_keys("[start]\nzzzzzzzz = 1"));
    let activities = tables(&text, "#### `[activities.NAME]`");
    for activity in Activity::ALL {
        let of_all = activities[0].iter().map(|row| code(&row[0]));
        let its = activities[2].iter().filter(|row| code(&row[0]) == activity.name()).map(|row| code(&row[1]));
        let scenario = format!("[activities.{activity}]\nzzzzzzzz = 1");
        assert_eq!(sorted(of_all.chain(its)), known_keys(&scenario), "{activity}");
    }
}

/// `key = default` for each key of a table that has a default of its own.
fn defaults(text: &str, heading: &str) -> String {
    let table = &tables(text, heading)[0];
    let whole = |cell: &str| cell.starts_with('`') && cell.ends_with('`') && cell.matches('`').count() == 2;
    let own = table.iter().filter(|row| whole(&row[2]));
    let lines: Vec<String> = own.map(|row| format!("{} = {}\n", code(&row[0]), code(&row[2]))).collect();
    assert!(!lines.is_empty(), "no default below {heading:?}");
    lines.concat()
}

/// What a scenario comes to, but for its content, whose maps have no order.
fn described(text: &str) -> String {
    let mut scenario = Scenario::parse(text).unwrap_or_else(|mistakes| panic!("{text:?} says {mistakes:?}"));
    if let Kind::Fleet(fleet) = &mut scenario.kind {
        fleet.content.clear();
    }
    format!("{} {} {:?}", scenario.name, scenario.about, scenario.kind)
}

#[test]
fn defaults_in_the_reference_are_those_of_the_code() {
    let text = document();
    for (heading, table) in [
        ("#### The whole scenario", ""),
        ("#### `[[groups]]`", "[[groups]]\n"),
        ("#### `[[storms]]` and `[start]`", "[[storms]]\nactivities = [\"policy\"]\n"),
        ("#### `[outage]`", "[outage]\n"),
        ("#### `[notification]`", "[notification]\n"),
        ("#### `[plain]`", "[plain]\n"),
    ] {
        let written = format!("{table}{}", defaults(&text, heading));
        assert_eq!(described(&written), described(table), "below {heading:?}");
    }
    let activities = tables(&text, "#### `[activities.NAME]`");
    assert_eq!(sorted(activities[1].iter().map(|row| code(&row[0]))), sorted(Activity::ALL.map(Activity::name)));
    for row in &activities[1] {
        let activity = Activity::find(code(&row[0])).unwrap();
        let time = |cell: &str| humantime::parse_duration(code(cell)).unwrap();
        let habit = activity.default_habit();
        let period: Option<Duration> = (code(&row[1]) != "never").then(|| time(&row[1]));
        let retry: Vec<_> = code(&row[4]).split(' ').map(|time| humantime::parse_duration(time).unwrap()).collect();
        assert_eq!((period, time(&row[2]), retry), (habit.period, habit.delay, habit.retry), "{activity}");
        let [chance, share] = [&row[3], &row[5]].map(|cell| cell.parse::<f64>().unwrap());
        assert_eq!((chance, share), (habit.chance, habit.share), "{activity}");
    }
    for row in &activities[2] {
        let written = format!("[activities.{}]\n{} = {}\n", code(&row[0]), code(&row[1]), code(&row[3]));
        assert_eq!(described(&written), described(""), "{row:?}");
    }
}

/// Every message type is in the table, and no other, each in a row of its role.
#[test]
fn messages_in_the_document_are_those_of_the_code() {
    let text = document();
    let rows = tables(&text, "### Scenarios").swap_remove(1);
    let activities = rows.iter().filter(|row| row[0].starts_with('`')).map(|row| code(&row[0]));
    assert_eq!(sorted(activities), sorted(Activity::ALL.map(Activity::name)));
    let named = |row: &Vec<String>| row[2].split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let subject = |name: &str| Subject::ALL.iter().find(|subject| subject.name() == name);
    let mut seen = Vec::new();
    for row in &rows {
        let its = named(row);
        for subject in its.iter().filter_map(|name| subject(name)) {
            assert!(row[1].contains(subject.role()), "{subject} in {row:?}");
            seen.push(subject.name());
        }
        let first = Activity::find(row[0].trim_matches('`')).map(|activity| activity.first().name().to_owned());
        // `full-scan` is described by what it has besides.
        assert!(first.is_none_or(|first| its.contains(&first)) || row[0] == "`full-scan`", "{row:?}");
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(sorted(seen), sorted(Subject::ALL.iter().map(|subject| subject.name())));
}

#[test]
fn a_day_in_the_document_is_what_the_formula_gives() {
    for row in &tables(&document(), "#### What clients make in a day")[0] {
        let habit = Activity::find(code(&row[0])).unwrap().default_habit();
        let (each, a_day): (f64, f64) = (row[1].parse().unwrap(), row[2].replace(',', "").parse().unwrap());
        let times = 86_400.0 / habit.period.unwrap().as_secs_f64();
        let expected = 10_000.0 * habit.share * habit.chance * times * each;
        assert_eq!(a_day, expected.round(), "{row:?}");
    }
}

#[test]
fn scenarios_in_the_document_are_fine_and_all_shipped_ones_are_listed() {
    let text = document();
    let mut blocks = text.split("```scenario\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    assert!(blocks.clone().count() > 0);
    assert!(blocks.all(|block| Scenario::parse(block).is_ok()));
    let rows = &tables(&text, "### Scenarios")[0];
    assert_eq!(rows.len(), SHIPPED.len());
    for (row, (name, text)) in rows.iter().zip(SHIPPED) {
        let scenario = Scenario::parse(text).unwrap();
        let (clients, duration, speed) = match scenario.kind {
            Kind::Fleet(fleet) => (fleet.clients, fleet.duration, fleet.speedup.to_string()),
            Kind::Plain(plain) => (plain.connections, plain.duration, String::new()),
        };
        let numbers = (row[2].replace(',', ""), row[3].clone(), row[4].clone());
        assert_eq!(
            (code(&row[0]), numbers),
            (*name, (clients.to_string(), format!("{} s", duration.as_secs()), speed))
        );
    }
}

#[test]
fn all_works_and_peers_are_listed() {
    let text = document();
    let listed = |heading| tables(&text, heading)[0].iter().map(|row| code(&row[0]).to_owned()).collect::<Vec<_>>();
    assert_eq!(listed("### Works"), WorkName::ALL.iter().map(|work| work.name()).collect::<Vec<_>>());
    assert_eq!(listed("### Install the peers"), Peer::ALL.iter().map(|peer| peer.name()).collect::<Vec<_>>());
    assert_eq!(WorkName::DEFAULT, &WorkName::ALL[..9], "the document says so");
    for (row, peer) in tables(&text, "### Install the peers")[0].iter().zip(Peer::ALL) {
        let minimum: Vec<_> = peer.minimum().iter().map(u32::to_string).collect();
        assert_eq!(row[1], minimum.join("."), "{peer}");
    }
}

#[test]
fn all_kinds_of_failures_are_listed() {
    let text = document();
    let rows = &tables(&text, "### How latency is counted")[0];
    let kinds = rows.iter().flat_map(|row| row[0].split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(sorted(kinds), sorted(Failure::ALL.iter().map(ToString::to_string)));
}

#[test]
fn works_take_as_long_as_the_document_says() {
    let text = document();
    let options = Options::new("/bin/compare".into());
    // rolegate, its control, all peers and the forwarder; rolegate, its control, HAProxy and the forwarder have tunnels.
    let cast = Cast { all: Peer::ALL.len() + 3, tunnels: 4, builds: 1 };
    let mut usual = 0;
    for row in &tables(&text, "### Works")[0] {
        let work: WorkName = code(&row[0]).parse().unwrap();
        let takes = minutes(work, &options, cast);
        assert_eq!(row[3], takes.to_string(), "{work}");
        usual += if WorkName::DEFAULT.contains(&work) { takes } else { 0 };
    }
    assert!(text.contains("With the defaults and all peers it takes about two hours"));
    assert!((105..=140).contains(&usual), "{usual} min are not about two hours");
}

#[test]
fn all_generators_are_listed() {
    let text = document();
    let listed = tables(&text, "### Generators")[0].iter().map(|row| code(&row[0]).to_owned()).collect::<Vec<_>>();
    assert_eq!(listed, GeneratorName::ALL.iter().map(|name| name.name()).collect::<Vec<_>>());
}

/// The flags that a program says it has, each with its default, which is empty if it tells none.
fn flags(program: &str, arguments: &[&str]) -> BTreeMap<String, String> {
    let output = Command::new(program).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    let help = String::from_utf8(output.stdout).unwrap();
    let mut flags: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in help.lines().map(str::trim) {
        let words = line.strip_prefix("-h, ").or_else(|| line.strip_prefix("-V, ")).unwrap_or(line);
        if words.starts_with("--") {
            last = words.split([' ', '=']).next().unwrap().to_owned();
            flags.insert(last.clone(), String::new());
        }
        if let Some((_, rest)) = line.split_once("[default: ") {
            rest.trim_end_matches(']').clone_into(flags.get_mut(&last).unwrap());
        }
    }
    flags.remove("--help").unwrap();
    flags.remove("--version");
    flags
}

/// The flag in a cell such as `--peers NAMES`.
fn flag(cell: &str) -> String {
    code(cell).split(' ').next().unwrap().to_owned()
}

#[test]
fn flags_of_compare_are_those_of_the_program() {
    let text = document();
    let program = env!("CARGO_BIN_EXE_compare");
    let known = flags(program, &[]);
    let written = &tables(&text, "## compare")[0];
    assert_eq!(sorted(written.iter().map(|row| flag(&row[0]))), sorted(known.keys()));
    for row in written {
        // Others are told in words.
        let default = &known[&flag(&row[0])];
        assert!(
            default.contains(',') || row[1].trim_matches('`') == default || default.is_empty(),
            "{row:?}: {default}"
        );
    }
    let control = flags(program, &["control"]);
    let own = &tables(&text, "### rolegate beside itself")[0];
    let without = ["--peers", "--before", "--any-build"];
    let others = known.keys().map(String::as_str).filter(|name| !without.contains(name));
    let expected: BTreeSet<String> = others.map(str::to_owned).chain(own.iter().map(|row| flag(&row[0]))).collect();
    assert_eq!(sorted(expected), sorted(control.keys()));
    for row in own {
        let default = &control[&flag(&row[0])];
        assert!(row[1].trim_matches('`') == default || default.is_empty(), "{row:?}: {default}");
    }
}

/// Kinds of faults too, as the program draws them in an hour.
#[test]
fn flags_and_faults_of_chaos_are_those_of_the_program() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reliability.md");
    let text = std::fs::read_to_string(file).unwrap();
    let known = flags(env!("CARGO_BIN_EXE_compare"), &["chaos"]);
    let written = &tables(&text, "## Run it")[0];
    assert_eq!(sorted(written.iter().map(|row| flag(&row[0]))), sorted(known.keys()));
    for row in written {
        let default = &known[&flag(&row[0])];
        assert!(row[1].trim_matches('`') == default || default.is_empty(), "{row:?}: {default}");
    }
    let plan = Plan { seed: 7, duration: Duration::from_secs(3600), clients: 1, program: Vec::new() };
    let rows = &tables(&text, "## What goes wrong")[0];
    let told = told(&plan);
    for row in rows {
        assert!(told.iter().any(|line| line.contains(code(&row[0]))), "{row:?} does not happen");
    }
    for line in told {
        assert!(rows.iter().any(|row| line.contains(code(&row[0]))), "{line} is not listed");
    }
}

#[test]
fn flags_of_hold_are_those_of_the_program() {
    let text = document();
    let rows = &tables(&text, "### Flags of hold")[0];
    for command in &tables(&text, "## hold")[0] {
        let mode = code(&command[0]).strip_prefix("hold ").unwrap();
        let known = flags(env!("CARGO_BIN_EXE_hold"), &[mode]);
        let its: Vec<_> = rows.iter().filter(|row| code(&row[1]).split(' ').any(|word| word == mode)).collect();
        assert_eq!(sorted(its.iter().map(|row| flag(&row[0]))), sorted(known.keys()), "{mode}");
        for row in its {
            let default = &known[&flag(&row[0])];
            assert!(*default == row[2] || default.is_empty(), "{mode}: {row:?}: {default}");
        }
    }
}

/// The commands of the first two blocks below a heading.
fn commands(text: &str, heading: &str) -> Vec<String> {
    let (_, below) = text.split_once(heading).unwrap();
    let blocks = below.split("```sh\n").skip(1).take(2).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// A process that is killed when the test is over.
struct Serving(std::process::Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The commands of the document, with fewer connections for a shorter time, and another port.
#[test]
fn what_the_document_does_with_hold_works_and_says_what_it_says() {
    let text = document();
    let commands = commands(&text, "\n## hold\n");
    let words = |command: &str, port: &str| {
        let small =
            command.replace("127.0.0.1:8301", port).replace(" 2000 ", " 20 ").replace("--hold 5s", "--hold 50ms");
        small.split(' ').skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    let [serve, holds @ ..] = commands.as_slice() else { panic!("{commands:?}") };
    let mut server = Command::new(env!("CARGO_BIN_EXE_hold"));
    let mut server =
        Serving(server.args(words(serve, "127.0.0.1:0")).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut address = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut address).unwrap();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    assert_eq!(holds.len(), 2, "{holds:?}");
    for hold in holds {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hold"));
        command.args(words(hold, address.trim())).args(["--pid", &std::process::id().to_string()]).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut last = serde_json::Value::Null;
        for line in output.stdout.lines() {
            last = serde_json::from_str(&line.unwrap()).unwrap();
            let fields = last.as_object().unwrap().keys().filter(|key| *key != "report").cloned();
            seen.entry(last["report"].as_str().unwrap().to_owned()).or_default().extend(fields);
        }
        assert_eq!(
            (last["report"].as_str(), last["alive"].as_u64(), last["failed"].as_u64()),
            (Some("end"), Some(20), Some(0))
        );
    }
    let rows = &tables(&text, "### What hold says")[0];
    for (report, fields) in seen {
        let row = rows.iter().find(|row| code(&row[0]) == report).unwrap_or_else(|| panic!("{report} is not listed"));
        let missing: Vec<_> = fields.into_iter().filter(|field| !row[1].contains(&format!("`{field}`"))).collect();
        assert_eq!(missing, [""; 0], "{report}");
    }
}

#[test]
fn every_file_of_results_is_listed_and_every_listed_one_is_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    let list = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let listed = tables(&list, "# Measured results")[0].iter().map(|row| code(&row[0]).to_owned()).collect::<Vec<_>>();
    let mut there = BTreeSet::new();
    for day in std::fs::read_dir(&folder).unwrap().map(Result::unwrap).filter(|day| day.path().is_dir()) {
        for file in std::fs::read_dir(day.path()).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
            let stem = file.path().file_stem().unwrap().to_str().unwrap().to_owned();
            there.insert(format!("{}/{stem}", day.file_name().to_str().unwrap()));
        }
    }
    assert_eq!(sorted(listed), sorted(there));
}
