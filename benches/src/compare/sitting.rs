//! What holds for a whole comparison, in sentences: a reader could not judge the figures without it.

use super::cores::Cores;
use super::options::{Options, Set};
use super::proxies::Program;
use super::tools::Tool;

/// The sentences.
pub(super) fn facts(options: &Options, programs: &[Program], cores: &Cores, tool: Option<&Tool>) -> Vec<String> {
    let mut facts = vec![
        format!(
            "The order of the proxies in each round is any, by the seed {}. Each is started anew for each round, so that what one \
             start has of luck differs from round to round.",
            options.seed
        ),
        place(cores),
        "The CPU time of a proxy for each request depends on how full it is: nearly idle it may need several times as much, because it \
         is woken for each request."
            .to_owned(),
    ];
    let tls = programs.iter().filter(|program| !program.build.tls.is_empty());
    let tls: Vec<_> = tls.map(|program| format!("{} {}", program.name(), program.build.tls)).collect();
    if !tls.is_empty() {
        facts.push(format!("TLS is not the same library in all: {}.", tls.join(", ")));
    }
    if tls.iter().any(|library| library.contains("OpenSSL 3.0")) {
        facts.push(
            "OpenSSL 3.0 is what distributions of 2022 and 2023 have; a build with a later one, of a newer distribution, may do \
             better and can be measured with --find."
                .to_owned(),
        );
    }
    if options.same > 0 {
        facts.push(
            "The peers are rolegate itself: a winner or a loser that is named is a mistake of the rule.".to_owned(),
        );
    }
    if let Some(Tool { name, version, .. }) = tool {
        facts.push(format!(
            "{} {version} makes the load of {}; the generator of fleet plain makes that of all other works.",
            name.name(),
            name.loads()
        ));
    }
    if options.set == Set::Full {
        facts.push(
            "Access logs are not written alike: rolegate writes 64 KiB at a time by a thread of its own, and what comes too fast \
             is dropped and told; HAProxy, Caddy and Traefik write each record at once; nginx, Envoy and Pingora write many \
             at once."
                .to_owned(),
        );
    }
    facts
}

fn place(cores: &Cores) -> String {
    let list = |cores: &[usize]| cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let proxies = [cores.proxies.as_slice(), cores.spare.as_slice()].concat();
    let (proxies, others) = (list(&proxies), list(&cores.others));
    let shared = "The proxies ran on core";
    match cores.others.as_slice() {
        [_] => format!(
            "{shared} {proxies}; both origins and the load generator share core {others}. So requests a second and latencies are \
             those of all of them together: a proxy may wait for the others and not fill its own core."
        ),
        _ => format!("{shared} {proxies}; the origins and the load generator share cores {others}."),
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::Build;
    use super::super::options::Peer;
    use super::super::proxies::Kind;
    use super::super::tools::ToolName;
    use super::*;

    #[test]
    fn what_experts_would_ask_is_told() {
        let program = |kind, tls: &str| Program {
            kind,
            path: "/bin/proxy".into(),
            version: "1".to_owned(),
            build: Build { tls: tls.to_owned(), ..Build::default() },
        };
        let programs = [
            program(Kind::Rolegate, "rustls with aws-lc"),
            program(Kind::Peer(Peer::Haproxy), "OpenSSL 3.0.15"),
            program(Kind::Forwarder, ""),
        ];
        let options = Options { seed: 7, ..Options::new("/bin/compare".into()) };
        let wrk = Tool::for_tests(ToolName::Wrk, "4.1.0");
        let two = Cores { proxies: vec![0], spare: Vec::new(), others: vec![1] };
        let told = facts(&options, &programs, &two, None).join("\n");
        let tls = "rolegate rustls with aws-lc, haproxy OpenSSL 3.0.15.";
        for fact in [
            "by the seed 7.",
            "OpenSSL 3.0 is what",
            "on core 0; both origins and the load generator share core 1.",
            tls,
        ] {
            assert!(told.contains(fact), "{fact}: {told}");
        }
        assert!(!told.contains("Access logs") && !told.contains("wrk"), "nothing is logged");
        assert!(!told.contains("rolegate itself"), "the peers are others");
        let full = Options { set: Set::Full, same: 1, ..options };
        let many = Cores { others: vec![1, 2, 3], ..two };
        let told = facts(&full, &programs[2..], &many, Some(&wrk)).join("\n");
        assert!(told.contains("share cores 1, 2, 3.") && told.contains("HAProxy, Caddy and Traefik write each record"));
        assert!(told.contains("wrk 4.1.0 makes the load of closed loops"), "{told}");
        assert!(told.contains("The peers are rolegate itself"), "{told}");
        assert!(!told.contains("TLS is not the same") && !told.contains("OpenSSL"), "the forwarder has none");
    }
}
