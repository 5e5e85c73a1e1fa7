//! What an explanation is asked for: a request in words, the same from a query string and from the command line.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use http::header::{HeaderName, HeaderValue};
use http::{Method, Uri};

use super::Explanation;
use crate::control::director::View;
use crate::lookup;
use crate::model::entry::Security;
use crate::model::facts::Facts;
use crate::model::route::host_without_port;
use crate::model::snapshot::Snapshot;
use crate::model::stay::subject_hash;
use crate::wire::fields::Fields;
use crate::wire::known::Known;

/// What can be said.
const NAMES: [&str; 8] = ["client", "method", "target", "host", "listener", "field", "subject", "why-not"];

/// A request that was not made.
#[derive(Clone, Debug)]
pub struct Question {
    client: IpAddr,
    method: String,
    target: Option<Uri>,
    host: Option<String>,
    listener: Option<String>,
    fields: Fields,
    subject: Option<String>,
    why_not: Option<String>,
}

impl Question {
    /// Reads it from names and values.
    ///
    /// # Errors
    /// Every mistake, one sentence each.
    pub fn parse(pairs: &[(String, String)]) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        for (name, _) in pairs {
            if !NAMES.contains(&name.as_str()) {
                mistakes.push(format!("there is no parameter {name:?}; there are {}", NAMES.join(", ")));
            }
        }
        let mut one = |wanted: &str| {
            let mut values = pairs.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone());
            let first = values.next();
            if values.next().is_some() {
                mistakes.push(format!("{wanted} is given twice"));
            }
            first
        };
        let [client, method, target] = ["client", "method", "target"].map(&mut one);
        let [host, listener, subject, why_not] = ["host", "listener", "subject", "why-not"].map(&mut one);
        let address = client.as_deref().map(str::parse::<IpAddr>);
        match (&client, &address) {
            (Some(text), Some(Err(_))) => {
                mistakes.push(format!("client {text:?} is not an address: write one such as 10.1.2.3"));
            }
            (None, _) => mistakes.push("client is missing: the address of the client, such as 10.1.2.3".to_owned()),
            (Some(_), _) => {}
        }
        let method = method.unwrap_or_else(|| "GET".to_owned());
        if Method::from_bytes(method.as_bytes()).is_err() {
            mistakes.push(format!("method {method:?} is not one: write it as the client sends it, such as GET"));
        }
        let uri = target.as_deref().map(read_target).transpose();
        let uri = uri.unwrap_or_else(|mistake| {
            mistakes.push(mistake);
            None
        });
        let fields = fields(pairs, &mut mistakes);
        match address {
            Some(Ok(client)) if mistakes.is_empty() => {
                Ok(Self { client, method, target: uri, host, listener, fields, subject, why_not })
            }
            Some(_) | None => Err(mistakes),
        }
    }

    /// Explains the request, and adds since when servers are as they are where a view says so.
    ///
    /// # Errors
    /// Every name that does not exist, one sentence each.
    pub fn explain(
        &self,
        snapshot: &Snapshot,
        view: Option<&Mutex<View>>,
        now_ms: u64,
        dice: u64,
    ) -> Result<Explanation, Vec<String>> {
        let mut mistakes = Vec::new();
        let listener = match &self.listener {
            Some(name) => lookup::listener(snapshot, name).unwrap_or_else(|mistake| {
                mistakes.push(mistake);
                0
            }),
            None => self.likely_listener(snapshot),
        };
        let served = &snapshot.site.listeners[usize::from(listener)];
        // Nothing of their requests is seen.
        let opaque = served.tcp.is_some() || matches!(served.entry.security, Security::Passthrough { .. });
        if self.target.is_none() && !opaque {
            mistakes.push("target is missing: path and query, such as /SMS_MP/.sms_aut?MPLIST".to_owned());
        }
        let facts = Facts {
            listener,
            host: self.host(),
            method: &self.method,
            path: self.target.as_ref().map_or(if opaque { "/" } else { "" }, Uri::path),
            query: self.target.as_ref().and_then(Uri::query),
            client: self.client,
            fields: Some(&self.fields),
            subject: self.subject.as_deref().map(subject_hash),
        };
        let mut told = Explanation::new(snapshot, &facts, now_ms, dice);
        if let Some(view) = view {
            told.date(&view.lock().unwrap_or_else(PoisonError::into_inner));
        }
        if let Some(name) = &self.why_not {
            mistakes.extend(told.ask_why_not(snapshot, name).err());
        }
        if mistakes.is_empty() { Ok(told) } else { Err(mistakes) }
    }

    /// As the request path reads it: a host in the target counts more than a field.
    fn host(&self) -> Option<&str> {
        let in_target = self.target.as_ref().and_then(Uri::authority).map(http::uri::Authority::as_str);
        let in_field = || self.fields.get(Known::Host).and_then(|host| std::str::from_utf8(host).ok());
        in_target.or(self.host.as_deref()).or_else(in_field).map(host_without_port)
    }

    /// The first listener that has a role for the target, else the first.
    fn likely_listener(&self, snapshot: &Snapshot) -> u16 {
        let (host, path) = (self.host(), self.target.as_ref().map_or("", Uri::path));
        let mut listeners = snapshot.site.listeners.iter();
        let found = listeners.position(|listener| listener.routes.route(host, path).is_some());
        found.and_then(|place| u16::try_from(place).ok()).unwrap_or(0)
    }
}

fn read_target(text: &str) -> Result<Uri, String> {
    let target = text.parse::<Uri>().ok();
    let whole =
        target.filter(|target| target.path().starts_with('/') && text.starts_with('/') == target.host().is_none());
    whole.ok_or_else(|| format!("target {text:?} is not one: write path and query, such as /SMS_MP/.sms_aut?MPLIST"))
}

fn fields(pairs: &[(String, String)], mistakes: &mut Vec<String>) -> Fields {
    let mut fields = Fields::default();
    for (_, text) in pairs.iter().filter(|(name, _)| name == "field") {
        let field = text.split_once(':').and_then(|(name, value)| {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.trim()).ok()?))
        });
        match field {
            Some((name, value)) => fields.append(name, value),
            None => mistakes.push(format!("field {text:?} is not one: write Name: value")),
        }
    }
    fields
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn all_mistakes_are_named_at_once() {
        let wrong = pairs(&[
            ("client", "10.1.2"),
            ("method", "G T"),
            ("target", "SMS_MP"),
            ("field", "User-Agent"),
            ("field", "A: b"),
            ("hots", "mp1"),
            ("host", "mp1"),
            ("host", "mp2"),
        ]);
        let mistakes = Question::parse(&wrong).unwrap_err();
        for word in ["\"10.1.2\"", "\"G T\"", "\"SMS_MP\"", "\"User-Agent\"", "\"hots\"", "host is given twice"] {
            assert_eq!(mistakes.iter().filter(|mistake| mistake.contains(word)).count(), 1, "{word}: {mistakes:?}");
        }
        assert_eq!(mistakes.len(), 6, "{mistakes:?}");
        assert!(Question::parse(&[]).unwrap_err()[0].starts_with("client is missing"));
    }

    #[test]
    fn a_host_in_the_target_counts_more() {
        let host = |list: &[(&str, &str)]| {
            let mut all = pairs(&[("client", "::1")]);
            all.extend(pairs(list));
            Question::parse(&all).unwrap().host().map(str::to_owned)
        };
        let field = ("field", "Host: field:80");
        assert_eq!(host(&[("target", "http://target:81/x"), ("host", "own"), field]), Some("target".to_owned()));
        assert_eq!(host(&[("target", "/x"), ("host", "own:8530"), field]), Some("own".to_owned()));
        assert_eq!(host(&[("target", "/SMS_DP_SMSPKG$/x?{GUID}"), field]), Some("field".to_owned()));
        assert_eq!(host(&[]), None);
    }
}
