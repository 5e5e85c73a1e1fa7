//! Why a request goes where it goes: a form, and the answer of [`crate::explain`].

use http::{StatusCode, Uri};
use maud::{Markup, html};

use super::filter::{Asked, address};
use super::parts::{self, Align, State};
use super::{Made, Topic};
use crate::explain::{AnswerFacts, Explanation, ServerFacts, TierFacts};
use crate::text::span;

/// What the form asks for, by its names.
const NAMES: [&str; 6] = ["client", "method", "target", "host", "listener", "why-not"];

/// The question that was asked, if one was. A whole URL says the host besides.
pub(super) fn question(asked: &Asked<'_>) -> Option<Vec<(String, String)>> {
    asked.one("client").or_else(|| asked.one("target"))?;
    let given = NAMES.iter().filter_map(|name| Some(((*name).to_owned(), asked.one(name)?.to_owned())));
    let mut pairs: Vec<(String, String)> = given.collect();
    let url = asked.one("target").and_then(|target| target.parse::<Uri>().ok()).filter(|uri| uri.scheme().is_some());
    if let Some(url) = url {
        if let (None, Some(host)) = (asked.one("host"), url.host()) {
            pairs.push(("host".to_owned(), host.to_owned()));
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        pairs.iter_mut().filter(|(name, _)| name == "target").for_each(|(_, value)| path.clone_into(value));
    }
    Some(pairs)
}

pub(super) fn page(asked: &Asked<'_>, answer: Option<&Result<Explanation, Vec<String>>>) -> Made {
    let (status, live) = match answer {
        None => (StatusCode::OK, html! {}),
        Some(Ok(told)) => (StatusCode::OK, explanation(told)),
        Some(Err(mistakes)) => (StatusCode::BAD_REQUEST, self::mistakes(mistakes)),
    };
    Made::answer(status, "Explain", form(asked), live)
}

/// What is wrong with a question.
pub(super) fn mistakes(all: &[String]) -> Markup {
    html! { div.warning role="alert" { (parts::marked(State::Down, "Not answered")) ul { @for mistake in all { li { (mistake) } } } } }
}

fn form(asked: &Asked<'_>) -> Markup {
    let field = |name: &str, title: &str, example: &str| {
        html! { label { span { (title) } input name=(name) value=(asked.one(name).unwrap_or_default()) placeholder=(example) autocomplete="off" spellcheck="false"; } }
    };
    html! {
        p.lead { "A request that is not made: where would it go, and why? Nothing is changed by asking." }
        form.filter.tall method="get" action=(Topic::Explain.path()) aria-label="Request" {
            (field("client", "Client address", "10.1.2.3"))
            (field("method", "Method", "GET"))
            div.long { (field("target", "URL, or path and query", "/SMS_MP/.sms_aut?MPLIST")) }
            (field("host", "Host", "as in the URL"))
            (field("listener", "Listener", "the likely one"))
            (field("why-not", "Why not this site system", ""))
            div.buttons { button type="submit" { "Explain" } a href=(address(Topic::Explain, &[])) { "Empty the form" } }
        }
    }
}

fn explanation(told: &Explanation) -> Markup {
    let request = &told.request;
    html! {
        section aria-label="Answer" {
            p.quiet { code { (request.method) " " (request.target) } " of " code { (request.client) } " at the listener " (request.listener) @if let Some(host) = &request.host { ", Host " code { (host) } } }
            (outcome(told))
            @if let Some(why_not) = &told.why_not { p.whynot { b { "Why not " (why_not.site_system) "? " } (why_not.sentence) } }
            (facts(told))
            @for (place, tier) in told.tiers.iter().enumerate() { (self::tier(place, tier, told)) }
            @if !told.others.is_empty() { h2 { "In no tier of the client" } (servers("Other site systems", &told.others, told)) }
        }
    }
}

fn outcome(told: &Explanation) -> Markup {
    html! {
        @if let Some(pick) = &told.pick {
            p.headline.up { (parts::marked(State::Up, &format!("{} serves it", pick.site_system))) }
            p { "At " code { (pick.address) } ", from the tier " b { (pick.tier.replace('_', " ")) } ": " (pick.sentence) "." }
        }
        @for answer in told.refusal.iter().chain(&told.nobody) { (answered(answer)) }
    }
}

fn answered(answer: &AnswerFacts) -> Markup {
    let what = match answer.status {
        Some(status) => format!("No site system serves it: {status}"),
        None => "No site system serves it: the connection is closed".to_owned(),
    };
    html! {
        p.headline.down { (parts::marked(State::Down, &what)) }
        p { (answer.details) ": " (answer.sentence) ". " code { (answer.reason) }
            @if let Some((from, to)) = answer.retry_after { " The client may come back after " (from) @if to != from { " to " (to) } " s." } }
    }
}

fn facts(told: &Explanation) -> Markup {
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl.facts {
            @if let Some(site) = &told.site { (fact("Site", html! { b { (site.code) } ": " (site.why) })) }
            @if let Some(role) = &told.role { (fact("Role", html! { (role.title) @if let Some(prefix) = &role.prefix { ", by the path " code { (prefix) } } @if let Some(host) = &role.host { " and the host " code { (host) } } })) }
            @for group in &told.boundary_groups { (fact("Boundary group", html! { (parts::group(&group.name)) ", by " (group.boundaries.join(", ")) })) }
            @if let Some(why) = &told.no_boundary_group { (fact("Boundary groups", html! { (why) })) }
            @if let Some(subnet) = &told.subnet { (fact("Own subnet", html! { (subnet) })) }
            @if let Some(content) = &told.content { (fact("Content", html! { code { (content.id) } ", " (content.part) })) }
            @if let Some(clock) = &told.clock { (fact("Fallback clock", html! { (clock.sentence) })) }
            @if let Some(named) = &told.named { (fact("Named", html! { (named) })) }
            @if let Some(stays) = &told.stays { (fact("Stays", html! { (stays) })) }
        }
    }
}

fn tier(place: usize, tier: &TierFacts, told: &Explanation) -> Markup {
    let kind = tier.kind.replace('_', " ");
    let title = format!("Tier {}: {kind}", place + 1);
    html! {
        h2 { (title) " "
            @if tier.open { (parts::marked(State::Up, "open")) } @else { (parts::marked(State::Unproven, "closed")) }
            @if tier.minutes > 0 { span.when { ", at " (tier.minutes) " min of the fallback clock" @if let Some(opens) = tier.opens_in { ", in " (span(opens)) } } }
        }
        (servers(&title, &tier.servers, told))
    }
}

fn servers(label: &str, servers: &[ServerFacts], told: &Explanation) -> Markup {
    let head = [
        ("Site system", Align::Text),
        ("Health", Align::Text),
        ("Boundary groups", Align::Text),
        ("Under way", Align::Number),
        ("Content", Align::Text),
        ("Can serve", Align::Text),
    ];
    let rows = html! { @for server in servers.iter().take(super::filter::ROWS) { (self::server(server, told)) } };
    html! { (parts::table(label, &head, &rows)) @if servers.len() > super::filter::ROWS { p.quiet { (servers.len() - super::filter::ROWS) " more" } } }
}

fn server(server: &ServerFacts, told: &Explanation) -> Markup {
    let state = if server.ejected && server.health != "down" { State::Ejected } else { State::named(&server.health) };
    let picked =
        told.pick.as_ref().is_some_and(|pick| pick.address == server.address && pick.site_system == server.site_system);
    html! {
        tr class=[picked.then_some("picked")] {
            th scope="row" { (parts::system(&server.site_system)) " " code.quiet { (server.address) } }
            td data-label="Health" { (parts::badge(state)) @if let Some(failure) = &server.failure { " " span.quiet { (failure) } } }
            td data-label="Boundary groups" { (parts::names(&server.boundary_groups, 4, parts::group)) @if server.same_subnet { " " span.quiet { "own subnet" } } }
            td.n data-label="Under way" { (server.in_flight) }
            td data-label="Content" { @if let Some(content) = &server.content { (content.verdict.replace('-', " ")) @if let Some(ago) = content.ago { " (" (span(ago)) " ago)" } } @else { (parts::none()) } }
            td.wide data-label="Can serve" { @if picked { b { "picked" } } @else if server.eligible { "yes" } @else { "no" } @if let Some(why) = &server.why_not { ": " (why) } }
        }
    }
}
