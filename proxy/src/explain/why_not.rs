//! A short answer for one site system: why it does not serve a request.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Explanation, ServerFacts, TierFacts};
use crate::lookup;
use crate::model::snapshot::Snapshot;
use crate::text::span;

/// Why a site system does not serve a request, or that it does.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema)]
pub struct WhyNot {
    /// The site system.
    pub site_system: String,
    /// The kind of answer.
    pub answer: Answer,
    /// The answer.
    pub sentence: String,
}

/// Kinds of answers.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It does serve it.
    Picked,
    /// It could, and another one was picked.
    AnotherPicked,
    /// Its tier is open, and it cannot.
    CannotServe,
    /// Its tier is closed.
    TierClosed,
    /// It is in no tier of the client.
    InNoTier,
    /// It does not hold the role.
    OtherRole,
    /// No server gets the request.
    Refused,
}

impl Explanation {
    /// Adds the answer for a site system.
    ///
    /// # Errors
    /// A sentence for the person, when there is no such site system.
    pub fn ask_why_not(&mut self, snapshot: &Snapshot, name: &str) -> Result<(), String> {
        let system = lookup::site_system(snapshot, name)?;
        let (answer, sentence) = self.why_not_system(&system);
        self.why_not = Some(WhyNot { site_system: system.to_string(), answer, sentence });
        Ok(())
    }

    fn why_not_system(&self, system: &str) -> (Answer, String) {
        if let Some(refusal) = &self.refusal {
            return (Answer::Refused, format!("no server gets this request: {}", refusal.details));
        }
        if let Some(pick) = self.pick.as_ref().filter(|pick| pick.site_system == system) {
            return (Answer::Picked, format!("{system} is picked: {}", pick.sentence));
        }
        // Of several addresses, the one that is nearest to success.
        let placed = self.tiers.iter().flat_map(|tier| tier.servers.iter().map(move |server| (tier, server)));
        let own = placed.filter(|(_, server)| server.site_system == system);
        if let Some((tier, server)) = own.min_by_key(|(tier, server)| (!tier.open, !server.eligible)) {
            return self.why_not_in_tier(system, tier, server);
        }
        match self.others.iter().find(|server| server.site_system == system) {
            Some(server) => (Answer::InNoTier, in_no_tier(system, &server.boundary_groups)),
            None => {
                let role = self.role.as_ref().map(|role| role.title.as_str()).unwrap_or_default();
                (Answer::OtherRole, format!("{system} does not hold the role {role}"))
            }
        }
    }

    fn why_not_in_tier(&self, system: &str, tier: &TierFacts, server: &ServerFacts) -> (Answer, String) {
        let own = own_reason(server);
        let kind = &tier.kind;
        match (tier.open, own, &self.pick) {
            (true, Some(own), _) => (Answer::CannotServe, format!("{system} cannot serve: {own}")),
            (true, None, Some(pick))
                if matches!(pick.how.as_str(), "drawn" | "spread") && !has(tier, &pick.address) =>
            {
                let (other, earlier) = (&pick.site_system, &pick.tier);
                let text =
                    format!("{system} can serve, but its tier ({kind}) comes after the tier ({earlier}) of {other}");
                (Answer::AnotherPicked, text)
            }
            (true, None, Some(pick)) => {
                let text = format!("{system} can serve, and {} is picked: {}", pick.site_system, pick.sentence);
                (Answer::AnotherPicked, text)
            }
            (true, None, None) => {
                let nobody = self.nobody.as_ref().map(|nobody| nobody.sentence.as_str()).unwrap_or_default();
                (Answer::CannotServe, format!("nobody serves: {nobody}"))
            }
            (false, own, _) => {
                let running = self.clock.as_ref().is_some_and(|clock| clock.minutes.is_some());
                let when = span(tier.opens_in.unwrap_or_default());
                let when = if running { format!("in {when}") } else { format!("{when} after that clock has started") };
                let through = match server.boundary_groups.as_slice() {
                    [] => String::new(),
                    groups => format!(" of {}", groups.join(", ")),
                };
                let minutes = tier.minutes;
                let own = own.map(|own| format!("; besides, it could not serve now: {own}")).unwrap_or_default();
                let opens = format!("opens at {minutes} min of the fallback clock, {when}");
                (Answer::TierClosed, format!("{system} is in the tier {kind}{through}, which {opens}{own}"))
            }
        }
    }
}

fn has(tier: &TierFacts, address: &str) -> bool {
    tier.servers.iter().any(|server| server.address == address)
}

/// What keeps a server from serving, whenever its tier opens.
fn own_reason(server: &ServerFacts) -> Option<String> {
    let why = server.why_not.as_ref()?;
    if server.health == "down" && why == "down" {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let since = server.since.map(|since| format!(" for {}", span(now - since))).unwrap_or_default();
        let failure = server.failure.as_ref().map(|failure| format!(": {failure}")).unwrap_or_default();
        return Some(format!("down{since}{failure}"));
    }
    let down = if server.health == "down" { "; besides, it is down" } else { "" };
    Some(format!("{why}{down}"))
}

fn in_no_tier(system: &str, groups: &[String]) -> String {
    match groups {
        [] => format!("{system} is in no tier of the client: no boundary group names it"),
        groups => {
            let (names, verb) = (groups.join(", "), if groups.len() == 1 { "names" } else { "name" });
            format!(
                "{system} is in no tier of the client: only {names} {verb} it, and the client does not fall back there"
            )
        }
    }
}
