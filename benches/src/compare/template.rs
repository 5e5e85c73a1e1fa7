//! Configurations of proxies with holes in them, and what fills the holes.
//!
//! A hole is a name between two `@`. The files are in `benches/peers/configs`, a folder for each [`Set`], and are part of
//! this program.

use super::options::Set;

/// A file of a configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    /// The file's name.
    pub(super) name: &'static str,
    plain: &'static str,
    full: &'static str,
}

macro_rules! templates {
    ($($constant:ident = $name:literal,)+) => {
        $(pub(super) const $constant: Template = Template {
            name: $name,
            plain: include_str!(concat!("../../peers/configs/plain/", $name)),
            full: include_str!(concat!("../../peers/configs/full/", $name)),
        };)+

        #[cfg(test)]
        const ALL: &[Template] = &[$($constant),+];
    };
}

templates! {
    ROLEGATE = "rolegate.toml",
    HAPROXY = "haproxy.cfg",
    NGINX = "nginx.conf",
    ENVOY = "envoy.yaml",
    PINGORA = "pingora.conf",
    CADDY = "Caddyfile",
    TRAEFIK = "traefik.yaml",
    TRAEFIK_SITE = "traefik-site.yaml",
}

/// What is added to a configuration so that it passes connections of client notification on: they are tunnels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tunnels(&'static str);

pub(super) const ROLEGATE_TUNNELS: Tunnels = Tunnels(include_str!("../../peers/configs/tunnels/rolegate.toml"));
pub(super) const HAPROXY_TUNNELS: Tunnels = Tunnels(include_str!("../../peers/configs/tunnels/haproxy.cfg"));
pub(super) const NGINX_TUNNELS: Tunnels = Tunnels(include_str!("../../peers/configs/tunnels/nginx.conf"));

/// What nginx is told where bodies are large. Its defaults are made for small answers, and there they stay: it reads 4 KiB at
/// a time, into buffers that go to a file if the client is slow.
const NGINX_DOWNLOADS: &str = "proxy_buffering off;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;";

/// For which bodies a proxy is configured, where its user would do that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bodies {
    /// Answers of some KiB: with its defaults.
    Small,
    /// Downloads.
    Large,
}

/// What fills the hole `bodies` of nginx's configuration.
pub(super) const fn bodies(bodies: Bodies) -> &'static str {
    match bodies {
        Bodies::Small => "# Small answers: nginx's defaults.",
        Bodies::Large => NGINX_DOWNLOADS,
    }
}

/// Names of holes, and what goes into them.
pub(super) type Values = Vec<(&'static str, String)>;

impl Template {
    pub(super) const fn text(&self, set: Set) -> &'static str {
        match set {
            Set::Plain => self.plain,
            Set::Full => self.full,
        }
    }

    /// The file with its holes filled, and with tunnels if they are wanted; or the name of a hole that nothing fits.
    pub(super) fn fill(&self, set: Set, tunnels: Option<Tunnels>, values: &Values) -> Result<String, String> {
        let text = [self.text(set), tunnels.map_or("", |Tunnels(text)| text)].concat();
        fill(&text, values).map_err(|hole| format!("{}: nothing for @{hole}@", self.name))
    }
}

/// Fills the holes of a text.
pub(super) fn fill(text: &str, values: &Values) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        filled.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let end = after.find(|letter: char| !letter.is_ascii_lowercase()).unwrap_or(after.len());
        // Something else that has an @, as a key of Envoy's.
        let hole = if end > 0 && after[end..].starts_with('@') { &after[..end] } else { "" };
        if hole.is_empty() {
            filled.push('@');
            rest = after;
            continue;
        }
        let value = values.iter().find(|(name, _)| *name == hole).ok_or(hole)?;
        filled.push_str(&value.1);
        rest = &after[end + 1..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// What a test fills templates with; the origins listen on 7001 and 7002, the proxy on 7003 to 7006, and client notification
/// is on 7007.
#[cfg(test)]
pub(super) fn values_for_tests() -> Values {
    let names = ["one", "two", "http", "https", "admin", "notify", "bgb"];
    let mut values: Values = names.into_iter().zip(7001..).map(|(name, port)| (name, port.to_string())).collect();
    let words = [("threads", "1"), ("probe", "/probe"), ("bodies", bodies(Bodies::Small)), ("connections", "1000")];
    values.extend(words.map(|(name, value)| (name, value.to_owned())));
    let files = ["folder", "certificate", "key", "pem"];
    values.extend(files.map(|name| (name, format!("/somewhere/{name}"))));
    values
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rolegate::control::config::Source;
    use rolegate::control::director;

    use super::*;
    use crate::pki::{Identity, Wanted};

    #[test]
    fn holes_are_filled_and_what_only_looks_like_one_is_left() {
        let values = vec![("port", "80".to_owned()), ("host", "a@b@c".to_owned())];
        assert_eq!(fill("x@host@:@port@ \"@type\" @ @@", &values).unwrap(), "xa@b@c:80 \"@type\" @ @@");
        assert_eq!(fill("@port@@port@@nothing@", &values).unwrap_err(), "nothing");
    }

    #[test]
    fn every_file_is_filled_by_what_a_proxy_is_told() {
        let values = values_for_tests();
        for template in ALL {
            for set in Set::ALL {
                let text = template.fill(*set, None, &values).unwrap();
                assert!(text.contains("7001") || template.name == "traefik.yaml", "{}: no origin", template.name);
                assert!(text.contains("7003") || template.name == "traefik-site.yaml", "{}: no port", template.name);
            }
        }
    }

    #[test]
    fn nginx_has_its_defaults_for_small_answers_and_large_buffers_for_downloads() {
        for set in Set::ALL {
            let told = |kind| {
                let mut values = values_for_tests();
                values.insert(0, ("bodies", bodies(kind).to_owned()));
                NGINX.fill(*set, None, &values).unwrap()
            };
            let (small, large) = (told(Bodies::Small), told(Bodies::Large));
            assert!(!small.contains("proxy_buffer") && large.contains("proxy_buffer_size 64k;"), "{small}{large}");
        }
    }

    #[test]
    fn rolegate_takes_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let files = Identity::self_signed(&Wanted::server(&["mp1.lab.test"])).write(folder.path(), "site").unwrap();
        std::fs::set_permissions(&files.key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let mut values = values_for_tests();
        values.insert(0, ("certificate", files.certificate.display().to_string()));
        values.insert(0, ("key", files.key.display().to_string()));
        for set in Set::ALL {
            for tunnels in [None, Some(ROLEGATE_TUNNELS)] {
                let text = ROLEGATE.fill(*set, tunnels, &values).unwrap();
                let source = Source { name: "rolegate.toml".to_owned(), text };
                let (_, warnings) = director::read(&source, false).unwrap();
                assert_eq!(warnings, None);
            }
        }
    }

    #[test]
    fn tunnels_have_a_port_of_their_own() {
        let values = values_for_tests();
        let all = [
            (ROLEGATE, ROLEGATE_TUNNELS, "BGB"),
            (HAPROXY, HAPROXY_TUNNELS, "mode tcp"),
            (NGINX, NGINX_TUNNELS, "stream {"),
        ];
        for (template, tunnels, word) in all {
            let with = template.fill(Set::Plain, Some(tunnels), &values).unwrap();
            let without = template.fill(Set::Plain, None, &values).unwrap();
            for word in [word, "7006", "7007"] {
                assert!(with.contains(word) && !without.contains(word), "{}: {word}", template.name);
            }
        }
    }
}
