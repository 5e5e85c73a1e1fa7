//! How a request ends: who is picked, or what is answered instead.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;
use crate::data::path::outcome::retry_after;
use crate::error::Error;
use crate::model::balance::{Ask, How, Nobody, Pick};
use crate::model::cluster::{Class, EndpointIndex};
use crate::model::decision::Decision;
use crate::model::facts::Facts;
use crate::model::role::{Balance, FallbackRule, Protocol, Role};
use crate::model::stay::Stay;
use crate::model::turned_away::Back;

/// Who serves.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct PickFacts {
    /// Site system.
    pub site_system: String,
    /// Its address.
    pub address: String,
    /// The tier that it was found in.
    pub tier: String,
    /// `drawn`, `spread`, `stays`, `upload`, `named` or `asked-again`.
    pub how: String,
    /// The same in words.
    pub sentence: String,
}

/// What is answered when no server is asked.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct AnswerFacts {
    /// Status of the answer; absent for a TCP role, whose connection is closed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<u16>,
    /// The word in `Proxy-Status`, the access log and the metrics.
    pub reason: String,
    /// The sentence beside it.
    pub details: String,
    /// `Retry-After` in seconds, from and to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<(u64, u64)>,
    /// What lies behind it.
    pub sentence: String,
}

impl AnswerFacts {
    pub(super) fn new(error: Error) -> Self {
        Self {
            status: Some(error.status().as_u16()),
            reason: error.reason().to_owned(),
            details: error.details().to_owned(),
            retry_after: (error.status() == StatusCode::SERVICE_UNAVAILABLE).then(later),
            sentence: String::new(),
        }
    }
}

/// The bounds of `Retry-After` when no tier opens later.
fn later() -> (u64, u64) {
    let soonest = retry_after(0);
    // The dice add less than that.
    (soonest, retry_after(soonest - 1))
}

/// What a client gets when nobody is picked: what the request path answers, without starting a clock.
pub(super) fn nobody(decision: &Decision<'_>, nobody: Nobody) -> AnswerFacts {
    let role = &*decision.cluster.topology.role;
    let turned = decision.turned_away(nobody);
    let tcp = role.protocol == Protocol::Tcp;
    let mut answer = AnswerFacts::new(if tcp { nobody.why.into() } else { turned.error });
    let (soonest, latest) = later();
    match turned.back {
        Back::Usual => {}
        Back::At(seconds) => answer.retry_after = Some((seconds, seconds)),
        Back::By(seconds) => answer.retry_after = Some((seconds.min(soonest), seconds.min(latest))),
    }
    if tcp {
        (answer.status, answer.retry_after) = (None, None);
    }
    answer.sentence = words::nobody(decision, nobody.why, turned.next);
    answer
}

/// Who serves, and why it and no other.
pub(super) fn picked(decision: &Decision<'_>, ask: &Ask<'_>, pick: &Pick, facts: &Facts<'_, '_>) -> PickFacts {
    let endpoint = decision.cluster.endpoint(pick.endpoint);
    let class = match pick.class {
        Class::Well => "",
        Class::Second => "no open tier has a server that is proven well. ",
        Class::Out => "nobody is well, and the role's panic is \"serve\". ",
    };
    PickFacts {
        site_system: endpoint.system.to_string(),
        address: endpoint.address.to_string(),
        tier: pick.tier.kind.as_str().to_owned(),
        how: pick.how.as_str().to_owned(),
        sentence: format!("{class}{}", why(decision, ask, pick, facts)),
    }
}

fn why(decision: &Decision<'_>, ask: &Ask<'_>, pick: &Pick, facts: &Facts<'_, '_>) -> String {
    let role = &*decision.cluster.topology.role;
    let text = match pick.how {
        _ if decision.comes_from(pick.endpoint) => {
            "the request comes from this site system itself, and no other that the client may use can serve it"
        }
        How::Drawn => return drawn_from(decision, ask, pick, facts),
        How::Spread => {
            "the server that the hash names has more to do than its share (hash_balance_factor): this new download \
             begins at the next one"
        }
        How::Stays if role.balance == Balance::Device => return device(role, facts),
        How::Stays if role.fallback_rule == FallbackRule::LastKnownGood => "it is the client's last known-good server",
        How::Stays if decision.content.is_some() => "the client's download is there",
        How::Stays if matches!(decision.stay, Some(Stay::After(_))) => "the client's last upload went there",
        How::Stays => "the client is there",
        How::Upload => "the upload session of the request is there",
        How::Pinned => "the client is signed in there, and its connection goes nowhere else",
        How::Named => "the request names it in its Host, and the client may use it",
        How::LastResort => "all others have refused, and it may be well again",
        How::AskedAgain => {
            "every server of the open tiers has said that it lacks this: one is asked once more, and the client gets its \
             answer"
        }
    };
    text.to_owned()
}

fn device(role: &Role, facts: &Facts<'_, '_>) -> String {
    let sent = role
        .client_field
        .as_ref()
        .filter(|name| facts.fields.is_some_and(|fields| fields.named(name).next().is_some()));
    let by = match (sent, facts.subject) {
        (Some(field), _) => format!("its {field}"),
        (None, Some(_)) => "the subject of its certificate".to_owned(),
        (None, None) => "its address".to_owned(),
    };
    format!(
        "an enrolled device keeps the server that the hash of {by} names among all of the role, whatever its boundary groups"
    )
}

/// What the pick was drawn from, and how.
fn drawn_from(decision: &Decision<'_>, ask: &Ask<'_>, pick: &Pick, facts: &Facts<'_, '_>) -> String {
    let all = choices(decision, ask, pick);
    let subnet = |index: EndpointIndex| decision.cluster.endpoint(index).subnet;
    let near = all.iter().filter(|&&index| subnet(index) == decision.subnet).count();
    let preferred = decision.subnet.is_some() && subnet(pick.endpoint) == decision.subnet && near < all.len();
    match (preferred.then(|| words::network(decision)).flatten(), near, all.len()) {
        (Some(network), 1, _) => {
            format!(
                "of those in its tier that can serve, it alone is in the client's own subnet {network} (same_subnet_first)"
            )
        }
        (Some(network), ..) => format!(
            "those in the client's own subnet {network} come first in their tier (same_subnet_first), and of these {near}: {}",
            drawn(decision, ask, facts)
        ),
        (None, _, 1) => "it is the only one in its tier that can serve".to_owned(),
        (None, ..) => drawn(decision, ask, facts),
    }
}

fn drawn(decision: &Decision<'_>, ask: &Ask<'_>, facts: &Facts<'_, '_>) -> String {
    let role = &*decision.cluster.topology.role;
    let client = match &role.client_field {
        None if role.balance == Balance::Client && facts.subject.is_some() => {
            "the subject of the client's certificate".to_owned()
        }
        Some(field) if role.balance == Balance::Client => {
            format!("the client ({field} where it is sent, else the subject of its certificate, else its address)")
        }
        Some(field) => format!("the client ({field} where it is sent, else its address)"),
        None => "the client's address".to_owned(),
    };
    let same = "the same every time while the same servers can serve";
    let other = "this is a draw, and another request may get another server";
    match role.balance {
        _ if ask.by_hash => format!("an upload goes where the hash of {client} says: {same}"),
        Balance::LeastRequests => {
            format!("of two drawn by weight, the one with fewer requests in flight for its weight: {other}")
        }
        Balance::Random => format!("drawn by weight: {other}"),
        Balance::Client | Balance::Device => format!("the hash of {client} says so: {same}"),
        Balance::Content => format!("the hash of {client} and of the content says so: {same}"),
    }
}

/// The servers of its tier that the pick could have been.
fn choices(decision: &Decision<'_>, ask: &Ask<'_>, pick: &Pick) -> Vec<EndpointIndex> {
    let members = decision.location.members(pick.tier).flatten();
    let eligible = members.filter(|&&index| ask.judge(decision.cluster, index, pick.class).is_ok());
    let mut eligible: Vec<EndpointIndex> = eligible.copied().collect();
    eligible.sort_unstable();
    eligible.dedup();
    eligible
}
