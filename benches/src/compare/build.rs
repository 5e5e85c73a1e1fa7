//! How a peer was built, as it says itself, and whether that is what a user would run.

use super::options::Peer;

/// What a peer says about its build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Build {
    /// The facts that make a difference, in one line.
    pub(super) flags: String,
    /// Its TLS library.
    pub(super) tls: String,
    /// All that it says.
    pub(super) said: String,
}

impl Build {
    /// Takes the facts from what a peer says.
    pub(super) fn read(peer: Peer, said: &str) -> Self {
        let (flags, tls) = match peer {
            Peer::Nginx => nginx(said),
            Peer::Haproxy => haproxy(said),
            Peer::Envoy => envoy(said),
            Peer::Caddy => caddy(said),
            Peer::Traefik => traefik(said),
            Peer::Pingora => (between(said, "(", ")").to_owned(), "rustls".to_owned()),
        };
        Self { flags, tls, said: said.trim().to_owned() }
    }

    /// Whether it says this word about itself.
    pub(super) fn has(&self, word: &str) -> bool {
        self.said.split_whitespace().any(|said| said == word)
    }

    /// Why no user would run this build: it is too old, made for debugging or not made to be fast. In parts of a sentence.
    pub(super) fn faults(&self, peer: Peer, version: &str) -> Vec<String> {
        let mut faults = match peer {
            Peer::Nginx => nginx_faults(&self.said),
            Peer::Haproxy => haproxy_faults(&self.said),
            Peer::Envoy => envoy_faults(&self.said),
            Peer::Caddy | Peer::Traefik => go_faults(&self.said),
            Peer::Pingora => {
                Vec::from_iter(self.flags.contains("debug build").then(|| "it is a debug build".to_owned()))
            }
        };
        let parts: Vec<u32> = version.split('.').map_while(|part| part.parse().ok()).collect();
        if parts.as_slice() < peer.minimum() {
            let minimum: Vec<_> = peer.minimum().iter().map(u32::to_string).collect();
            faults.insert(0, format!("version {version} is older than {}", minimum.join(".")));
        }
        faults
    }
}

/// The text between two others; nothing if one of them is not there.
fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
    text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map_or("", |(middle, _)| middle)
}

/// What follows a word in the first line that has it.
fn after<'a>(said: &'a str, word: &str) -> &'a str {
    said.lines().find_map(|line| line.split_once(word)).map_or("", |(_, rest)| rest.trim())
}

/// A library with its version, without the date: `OpenSSL 3.0.15 3 Sep 2024`.
fn library(text: &str) -> String {
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ").trim_end_matches(')').to_owned()
}

/// The flags of a compiler that decide how fast its program is.
fn for_speed(flags: &str) -> String {
    let counts = |flag: &&str| ["-O", "-f", "-m", "-static", "-D_FORTIFY"].iter().any(|part| flag.starts_with(part));
    let map = |flag: &&str| !flag.starts_with("-ffile-prefix-map") && !flag.starts_with("-fdebug-prefix-map");
    flags.split_whitespace().filter(counts).filter(map).collect::<Vec<_>>().join(" ")
}

/// What the last `-O` of a compiler's flags says: `2`, `s`; empty for a bare `-O`.
fn optimization(flags: &str) -> Option<&str> {
    flags.split_whitespace().filter_map(|flag| flag.strip_prefix("-O")).next_back()
}

fn optimization_fault(flags: &str) -> Option<String> {
    match optimization(flags)? {
        "2" | "3" | "fast" | "" => None,
        "s" | "z" => Some("it is made for size (-Os)".to_owned()),
        level => Some(format!("it is not optimized (-O{level})")),
    }
}

fn nginx(said: &str) -> (String, String) {
    let (compiler, linker) = (between(said, "--with-cc-opt='", "'"), between(said, "--with-ld-opt='", "'"));
    let built = library(after(said, "built with "));
    let running = library(after(said, "(running with "));
    let mut facts = vec![format!("compiler: {}", or_defaults(&for_speed(compiler)))];
    if linker.contains("-static") {
        facts.push("static".to_owned());
    }
    if said.contains("--with-debug") {
        facts.push("with messages for debugging (--with-debug), which are off".to_owned());
    }
    let added = said.matches("--add-module=").count();
    if added > 0 {
        facts.push(format!("{added} modules of others"));
    }
    (facts.join("; "), if running.is_empty() { built } else { running })
}

/// Debian builds all its nginx with `--with-debug`, at `-O2`: their messages are compiled in and off. Without optimization
/// it is a build for debugging.
fn nginx_faults(said: &str) -> Vec<String> {
    let flags = between(said, "--with-cc-opt='", "'");
    let mut faults = Vec::from_iter(optimization_fault(flags));
    let fast = matches!(optimization(flags), Some("2" | "3" | "fast"));
    if said.contains("--with-debug") && !fast {
        faults.push("it is made for debugging (--with-debug without -O2)".to_owned());
    }
    faults
}

fn haproxy(said: &str) -> (String, String) {
    let mut facts = vec![
        format!("compiler: {}", or_defaults(&for_speed(after(said, "CFLAGS  =")))),
        format!("options: {}", after(said, "OPTIONS =")),
        format!("debugging: {}", or_none(after(said, "DEBUG   ="))),
    ];
    if said.contains("replaced memory allocator") {
        facts.push("another memory allocator than the system's".to_owned());
    }
    let running = library(after(said, "Running on OpenSSL version :"));
    (facts.join("; "), running)
}

/// Those that the source has by default cost next to nothing; the others do.
const USUAL_DEBUG: [&str; 5] =
    ["-DDEBUG_STRICT", "-DDEBUG_STRICT=1", "-DDEBUG_MEMORY_POOLS", "-DDEBUG_GLITCHES", "-DDEBUG_COUNTERS"];

fn haproxy_faults(said: &str) -> Vec<String> {
    let mut faults = Vec::from_iter(optimization_fault(after(said, "CFLAGS  =")));
    let flags = after(said, "DEBUG   =").split_whitespace();
    let costly: Vec<_> =
        flags.filter(|flag| flag.starts_with("-DDEBUG_") && !USUAL_DEBUG.contains(flag)).map(str::to_owned).collect();
    if !costly.is_empty() {
        faults.push(format!("it is made for debugging ({})", costly.join(" ")));
    }
    faults
}

/// Its version is `COMMIT/NUMBER/Clean/RELEASE/BoringSSL`.
fn envoy_parts(said: &str) -> Vec<&str> {
    after(said, "version:").split('/').map(str::trim).collect()
}

fn envoy(said: &str) -> (String, String) {
    let parts = envoy_parts(said);
    let kind = parts.get(2..4).unwrap_or_default().join(", ");
    (kind, parts.get(4).copied().unwrap_or_default().to_owned())
}

fn envoy_faults(said: &str) -> Vec<String> {
    match envoy_parts(said).get(3) {
        Some(&"RELEASE") => Vec::new(),
        Some(kind) => vec![format!("it is a build of the kind {kind}, not RELEASE")],
        None => vec!["it does not say how it was built".to_owned()],
    }
}

fn caddy(said: &str) -> (String, String) {
    let go = after(said, "go\t").to_owned();
    let settings = said.lines().filter_map(|line| line.strip_prefix("build\t"));
    let counts = |setting: &&str| {
        ["-tags", "-gcflags", "-race", "CGO_ENABLED", "GOAMD64"].iter().any(|name| setting.starts_with(name))
    };
    let facts: Vec<_> = Some(go.as_str()).into_iter().chain(settings.filter(counts)).collect();
    (facts.join("; "), format!("crypto/tls of {go}"))
}

fn traefik(said: &str) -> (String, String) {
    let go = after(said, "Go version:");
    let facts = [go.to_owned(), format!("built {}", after(said, "Built:")), after(said, "OS/Arch:").to_owned()];
    (facts.join("; "), format!("crypto/tls of {go}"))
}

/// Go has one way to build a program that is not optimized, and one that looks for races.
fn go_faults(said: &str) -> Vec<String> {
    let settings = said.lines().filter_map(|line| line.strip_prefix("build\t"));
    let mut faults = Vec::new();
    for setting in settings {
        if setting.starts_with("-gcflags") && (setting.contains("-N") || setting.contains("-l")) {
            faults.push(format!("it is not optimized ({setting})"));
        }
        if setting == "-race=true" {
            faults.push("it looks for races".to_owned());
        }
    }
    faults
}

fn or_defaults(flags: &str) -> &str {
    if flags.is_empty() { "defaults" } else { flags }
}

fn or_none(flags: &str) -> &str {
    if flags.is_empty() { "none" } else { flags }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const DEBIAN_NGINX: &str = "nginx version: nginx/1.22.1\n\
        built with OpenSSL 3.0.22 25 Aug 2026 (running with OpenSSL 3.0.19 27 Jan 2026)\nTLS SNI support enabled\n\
        configure arguments: --with-cc-opt='-g -O2 -ffile-prefix-map=/build/nginx-1.22.1=. -fstack-protector-strong \
        -Wformat -Werror=format-security -fPIC -Wdate-time -D_FORTIFY_SOURCE=2' \
        --with-ld-opt='-Wl,-z,relro -Wl,-z,now -fPIC' --prefix=/usr/share/nginx --with-compat --with-debug --with-pcre-jit";
    const SMALL_NGINX: &str = "nginx version: nginx/1.31.3\nbuilt by gcc 14.2.0 (Alpine 14.2.0) \n\
        built with OpenSSL 3.3.7 7 Apr 2026\nTLS SNI support enabled\nconfigure arguments: --prefix=. \
        --with-cc-opt='-Os -fomit-frame-pointer -pipe' --with-ld-opt='-static -Wl,--as-needed' --with-debug \
        --add-module=njs-0.9.9/nginx --add-module=echo-nginx-module-0.65";
    const HAPROXY: &str = "HAProxy version 2.8.25-5cf5d0683 2026/06/26 - https://haproxy.org/\nBuild options :\n  \
        TARGET  = linux-glibc\n  CC      = cc\n  CFLAGS  = -O2 -g -Wall -Wextra -fwrapv -Wno-sign-compare\n  \
        OPTIONS = USE_OPENSSL=1 USE_LUA=1\n  DEBUG   = -DDEBUG_STRICT -DDEBUG_MEMORY_POOLS\n\n\
        Built with OpenSSL version : OpenSSL 3.0.15 3 Sep 2024\nRunning on OpenSSL version : OpenSSL 3.0.16 1 Feb 2025\n\
        Running with a replaced memory allocator (e.g. via LD_PRELOAD).";
    const ENVOY: &str =
        "\n/peers/envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL\n";
    const CADDY: &str = "v2.11.7 h1:yj0Y4fYZGPkSvibBJ1sTWE33xC0fxztVyXEW5iIdUT4=\ngo\tgo1.26.8\npath\tcaddy\n\
        dep\tgithub.com/x/y\tv1.0.0\nbuild\t-compiler=gc\nbuild\t-tags=nobadger,nomysql,nopgx\nbuild\tCGO_ENABLED=0\n";
    const TRAEFIK: &str = "Version:      3.7.15\nCodename:     langres\nGo version:   go1.26.9\n\
        Built:        2026-10-15T14:33:48Z\nOS/Arch:      linux/amd64\n";

    fn read(peer: Peer, said: &str) -> [String; 2] {
        let build = Build::read(peer, said);
        [build.flags, build.tls]
    }

    fn faults(peer: Peer, said: &str, version: &str) -> Vec<String> {
        Build::read(peer, said).faults(peer, version)
    }

    #[test]
    fn what_makes_a_difference_is_taken_from_what_peers_say() {
        let flags = "compiler: -O2 -fstack-protector-strong -fPIC -D_FORTIFY_SOURCE=2; with messages for debugging \
                     (--with-debug), which are off";
        assert_eq!(read(Peer::Nginx, DEBIAN_NGINX), [flags, "OpenSSL 3.0.19"]);
        let flags = "compiler: -Os -fomit-frame-pointer; static; with messages for debugging (--with-debug), which are off; \
                     2 modules of others";
        assert_eq!(read(Peer::Nginx, SMALL_NGINX), [flags, "OpenSSL 3.3.7"]);
        let flags = "compiler: -O2 -fwrapv; options: USE_OPENSSL=1 USE_LUA=1; debugging: -DDEBUG_STRICT \
                     -DDEBUG_MEMORY_POOLS; another memory allocator than the system's";
        assert_eq!(read(Peer::Haproxy, HAPROXY), [flags, "OpenSSL 3.0.16"]);
        assert_eq!(read(Peer::Envoy, ENVOY), ["Clean, RELEASE", "BoringSSL"]);
        let flags = "go1.26.8; -tags=nobadger,nomysql,nopgx; CGO_ENABLED=0";
        assert_eq!(read(Peer::Caddy, CADDY), [flags, "crypto/tls of go1.26.8"]);
        let flags = "go1.26.9; built 2026-10-15T14:33:48Z; linux/amd64";
        assert_eq!(read(Peer::Traefik, TRAEFIK), [flags, "crypto/tls of go1.26.9"]);
        let said = "pingora 0.9.1 (release build; mimalloc; rustls)";
        assert_eq!(read(Peer::Pingora, said), ["release build; mimalloc; rustls", "rustls"]);
        assert_eq!(Build::read(Peer::Pingora, said).said, said);
    }

    #[test]
    fn builds_of_distributions_and_vendors_are_fit() {
        for (peer, said, version) in [
            (Peer::Nginx, DEBIAN_NGINX, "1.22.1"),
            (Peer::Nginx, "nginx version: nginx/1.28.0\nconfigure arguments: --prefix=/opt", "1.28.0"),
            (Peer::Haproxy, HAPROXY, "2.8.25"),
            (Peer::Envoy, ENVOY, "1.40.0"),
            (Peer::Caddy, CADDY, "2.11.7"),
            (Peer::Traefik, TRAEFIK, "3.7.15"),
            (Peer::Pingora, "pingora 0.9.1 (release build; mimalloc; rustls)", "0.9.1"),
        ] {
            assert_eq!(faults(peer, said, version), [""; 0], "{peer}");
        }
    }

    #[test]
    fn builds_for_debugging_for_size_or_of_long_ago_are_not() {
        let strict = HAPROXY.replace("-DDEBUG_STRICT ", "-DDEBUG_STRICT=2 -DDEBUG_UAF ");
        for (peer, said, version, words) in [
            (Peer::Nginx, SMALL_NGINX.to_owned(), "1.31.3", "made for size (-Os)"),
            (Peer::Nginx, SMALL_NGINX.to_owned(), "1.31.3", "--with-debug without -O2"),
            (Peer::Nginx, DEBIAN_NGINX.replace("-O2", "-O0"), "1.22.1", "not optimized (-O0)"),
            (Peer::Nginx, DEBIAN_NGINX.to_owned(), "1.18.0", "version 1.18.0 is older than 1.22"),
            (
                Peer::Nginx,
                "nginx version: nginx/1.28.0\nconfigure arguments: --with-debug".to_owned(),
                "1.28.0",
                "debugging",
            ),
            (Peer::Haproxy, strict, "2.8.25", "(-DDEBUG_STRICT=2 -DDEBUG_UAF)"),
            (Peer::Haproxy, HAPROXY.replace("-O2", "-Og"), "2.8.25", "not optimized (-Og)"),
            (Peer::Envoy, ENVOY.replace("RELEASE", "DEBUG"), "1.40.0", "DEBUG, not RELEASE"),
            (Peer::Envoy, "1.40.0".to_owned(), "1.40.0", "does not say"),
            (Peer::Caddy, format!("{CADDY}build\t-gcflags=all=-N -l\n"), "2.11.7", "-gcflags=all=-N -l"),
            (Peer::Caddy, format!("{CADDY}build\t-race=true\n"), "2.11.7", "races"),
            (Peer::Pingora, "pingora 0.9.1 (debug build; mimalloc)".to_owned(), "0.9.1", "debug build"),
        ] {
            let found = faults(peer, &said, version);
            assert!(found.iter().any(|fault| fault.contains(words)), "{words:?}: {found:?}");
        }
        assert_eq!(faults(Peer::Traefik, TRAEFIK, "3.3"), [""; 0], "the oldest that may be");
        assert_eq!(faults(Peer::Traefik, TRAEFIK, "2.11.0").len(), 1);
    }
}
