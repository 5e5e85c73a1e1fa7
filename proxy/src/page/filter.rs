//! What the address of a page asks for, and addresses that ask for something else.

use form_urlencoded::Serializer;

use super::Topic;

/// Rows of one page.
pub(super) const ROWS: usize = 100;

/// The parameters of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a>(&'a [(String, String)]);

impl<'a> Asked<'a> {
    pub(super) fn new(pairs: &'a [(String, String)]) -> Self {
        Self(pairs)
    }

    /// A parameter that has a value.
    pub(super) fn one(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The page of a list, from 1.
    pub(super) fn page(&self) -> usize {
        self.one("page").and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
    }
}

/// The address of a page with these parameters; those without a value are left out.
pub(super) fn address(topic: Topic, pairs: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(pairs.iter().filter(|(_, value)| !value.is_empty()));
    match query.finish() {
        query if query.is_empty() => topic.path().to_owned(),
        query => format!("{}?{query}", topic.path()),
    }
}

/// One page of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// Which, from 1.
    pub(super) page: usize,
    /// How many there are, at least 1.
    pub(super) pages: usize,
    /// Rows of all pages.
    pub(super) rows: usize,
}

impl Paging {
    /// The page that was asked for, or the last one.
    pub(super) fn new(rows: usize, page: usize) -> Self {
        let pages = rows.div_ceil(ROWS).max(1);
        Self { page: page.clamp(1, pages), pages, rows }
    }

    /// Its part of the list.
    pub(super) fn cut<'a, T>(&self, all: &'a [T]) -> &'a [T] {
        let begin = ((self.page - 1) * ROWS).min(all.len());
        &all[begin..(begin + ROWS).min(all.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_cut_into_pages() {
        let all: Vec<usize> = (0..250).collect();
        for (asked, page, first, rows) in [(0, 1, 0, 100), (1, 1, 0, 100), (3, 3, 200, 50), (99, 3, 200, 50)] {
            let paging = Paging::new(all.len(), asked);
            let cut = paging.cut(&all);
            assert_eq!((paging.page, paging.pages, cut[0], cut.len()), (page, 3, first, rows));
        }
        assert_eq!(Paging::new(0, 7), Paging { page: 1, pages: 1, rows: 0 });
        assert!(Paging::new(0, 7).cut(&[0; 0]).is_empty());
    }

    #[test]
    fn addresses_say_what_is_asked_for() {
        let pairs = [
            ("role".to_owned(), " DP ".to_owned()),
            ("page".to_owned(), "x".to_owned()),
            ("q".to_owned(), String::new()),
        ];
        let asked = Asked::new(&pairs);
        assert_eq!((asked.one("role"), asked.one("q"), asked.page()), (Some("DP"), None, 1));
        let address = address(Topic::SiteSystems, &[("group", "A & B"), ("role", ""), ("q", "<")]);
        assert_eq!(address, "/page/site-systems?group=A+%26+B&q=%3C");
    }
}
