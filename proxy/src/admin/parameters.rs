//! The parameters of a question to the admin listener.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

/// Names and values, as they were given.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(super) fn read(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub(super) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// A parameter that has a value.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Every parameter that is not one of these, or is given twice, one sentence each.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Vec<String>> {
        let mut mistakes = Vec::new();
        for (place, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let there_are = match known {
                    [] => "there are none here".to_owned(),
                    known => format!("there is {}", known.join(", ")),
                };
                mistakes.push(format!("there is no parameter {name:?}: {there_are}"));
            } else if self.0[..place].iter().any(|(earlier, _)| earlier == name) {
                mistakes.push(format!("{name} is given twice"));
            }
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::read(parts.uri.query()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_refused() {
        let query = Parameters::read(Some("role=DP&group=New%20York+1&content="));
        assert_eq!((query.one("role"), query.one("group")), (Some("DP"), Some("New York 1")));
        assert_eq!((query.one("content"), query.one("x")), (None, None), "an empty value says nothing");
        query.only(&["role", "group", "content"]).unwrap();
        let mistakes = Parameters::read(Some("role=a&role=b&x=1&y")).only(&["role"]).unwrap_err();
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        Parameters::read(None).only(&[]).unwrap();
    }
}
