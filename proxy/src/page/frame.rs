//! What all pages have around them.

use maud::{DOCTYPE, Markup, html};

use super::parts::moment;
use super::{Made, Refresh, Shown, Topic};

/// The way to the pages that stand in the head of each.
const WAYS: [(Topic, &str); 8] = [
    (Topic::Overview, "Overview"),
    (Topic::SiteSystems, "Site systems"),
    (Topic::BoundaryGroups, "Boundary groups"),
    (Topic::Content, "Content"),
    (Topic::Versions, "Table versions"),
    (Topic::Certificates, "Certificates"),
    (Topic::Explain, "Explain"),
    (Topic::Client, "Client"),
];

pub(super) struct Frame<'a> {
    pub(super) topic: Topic,
    pub(super) shown: &'a Shown,
    pub(super) made: &'a Made,
}

impl Frame<'_> {
    pub(super) fn whole(&self) -> Markup {
        let Self { shown, made, .. } = self;
        let (status, live) = (&shown.status, made.refresh == Refresh::Live);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (made.title) " – " (status.site) " – rolegate" }
                    link rel="icon" type="image/svg+xml" href="/page/icon.svg";
                    link rel="stylesheet" href="/page/page.css";
                    script src="/page/page.js" defer {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header.top {
                        div.brand {
                            a href="/" { "rolegate" }
                            span.site { "site " b { (status.site) } }
                            @if let Some(description) = &status.description { span.quiet { (description) } }
                        }
                        p.fresh #fresh role="status" { span.hidden { "As of " } time datetime=(crate::control::certificates::date(shown.now as i64)) { (moment(shown.now)) } }
                        nav.ways aria-label="Pages" {
                            ul { @for (topic, title) in WAYS { li { (self.way(topic, title)) } } }
                        }
                    }
                    main #main tabindex="-1" {
                        h1 { (made.title) }
                        div #still { (made.still) }
                        div #live data-live=[live.then_some("")] { (self.live()) }
                    }
                    footer {
                        p { "rolegate " (status.rolegate) ", table version " (status.snapshot) ", configuration " (status.generation) ". " "The page reads and changes nothing. The same as JSON: " a href="/status" { "/status" } ", " a href="/metrics" { "/metrics" } "." }
                    }
                }
            }
        }
    }

    pub(super) fn live(&self) -> Markup {
        self.made.live.clone()
    }

    fn way(&self, topic: Topic, title: &str) -> Markup {
        let parent = match self.topic {
            Topic::SiteSystem => Topic::SiteSystems,
            Topic::BoundaryGroup => Topic::BoundaryGroups,
            Topic::Overview | Topic::SiteSystems | Topic::BoundaryGroups | Topic::Content => self.topic,
            Topic::Versions | Topic::Certificates | Topic::Explain | Topic::Client => self.topic,
        };
        let current = match (self.topic == topic, parent == topic) {
            (true, _) => Some("page"),
            (false, true) => Some("true"),
            (false, false) => None,
        };
        html! { a href=(topic.path()) aria-current=[current] { (title) } }
    }
}
