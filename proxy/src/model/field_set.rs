//! Names of header fields that a role's servers must not get from a client.

use serde::{Serialize, Serializer};

/// Names of fields, and beginnings of names.
///
/// `-` and `_` are one: a server that turns fields into variables, as IIS does, takes `X_Real_IP` for `X-Real-IP`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    /// As they are written; a `*` at the end stands for anything.
    written: Vec<String>,
    names: Vec<Box<[u8]>>,
    beginnings: Vec<Box<[u8]>>,
    /// A bit for the first byte of each, modulo 64: most fields of a request are none of these, and are told by that.
    firsts: u64,
}

impl FieldSet {
    /// Of names such as `X-Real-IP` and beginnings such as `X-SSL-*`.
    pub fn new<T: AsRef<str>>(written: impl IntoIterator<Item = T>) -> Self {
        let mut set = Self::default();
        for text in written {
            let text = text.as_ref();
            let (stem, list) = match text.strip_suffix('*') {
                Some(stem) => (stem, &mut set.beginnings),
                None => (text, &mut set.names),
            };
            let stem: Box<[u8]> = stem.bytes().map(folded).collect();
            set.firsts |= stem.first().map_or(u64::MAX, |first| bit(*first));
            list.push(stem);
            set.written.push(text.to_owned());
        }
        set
    }

    /// Whether it has this name, in whatever case and spelling.
    pub fn contains(&self, name: &str) -> bool {
        let name = name.as_bytes();
        let Some(first) = name.first() else { return false };
        if self.firsts & bit(folded(*first)) == 0 {
            return false;
        }
        let begins =
            |stem: &[u8]| name.len() >= stem.len() && name.iter().zip(stem).all(|(own, its)| folded(*own) == *its);
        self.names.iter().any(|its| its.len() == name.len() && begins(its))
            || self.beginnings.iter().any(|its| begins(its))
    }

    /// As they were written.
    pub fn written(&self) -> &[String] {
        &self.written
    }
}

impl Serialize for FieldSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written.serialize(serializer)
    }
}

const fn folded(byte: u8) -> u8 {
    match byte {
        b'_' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

const fn bit(byte: u8) -> u64 {
    1 << (byte % 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_in_every_spelling_and_no_other() {
        let set = FieldSet::new(["X-Real-IP", "SSL_CLIENT_*", "Proxy"]);
        for name in
            ["x-real-ip", "X_Real_IP", "x-real_ip", "ssl-client-", "SSL_Client_Verify", "ssl-client-s-dn", "proxy"]
        {
            assert!(set.contains(name), "{name}");
        }
        for name in
            ["", "x-real-i", "x-real-ips", "xreal-ip", "ssl-clien", "ssl-server-name", "proxy-authorization", "host"]
        {
            assert!(!set.contains(name), "{name}");
        }
        assert!(!FieldSet::default().contains("x-real-ip"));
        assert_eq!(set.written(), ["X-Real-IP", "SSL_CLIENT_*", "Proxy"]);
    }
}
