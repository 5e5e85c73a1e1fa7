//! Which clients stay at which site system: `affinity` and what goes with it.

use toml::Spanned;

use super::fields::{number, word};
use super::text;
use crate::control::config::problem::Problems;
use crate::control::config::types::RoleOverrides;
use crate::model::role::{Balance, FallbackRule, Naming, Protocol, Role};

const NAMINGS: [(&str, Naming); 4] = [
    ("first", Naming::First),
    ("first-if-distinct", Naming::FirstIfDistinct),
    ("only", Naming::Only),
    ("ignore", Naming::Ignore),
];

/// To be called when `balance` and `fallback_rule` have been overridden.
pub(super) fn override_staying(role: &mut Role, o: &RoleOverrides, problems: &mut Problems) {
    override_load(role, o.hash_balance_factor.as_ref(), problems);
    override_subnet(role, o.same_subnet_first.as_ref(), problems);
    override_affinity(role, o, problems);
    if role.protocol == Protocol::Tcp {
        refuse_requests(role, o, problems);
        return;
    }
    if let Some(name) = &o.client_field {
        role.client_field = text::one(name, text::field, problems).or(role.client_field.take());
    }
    word(&mut role.named, o.named.as_ref(), "named", &NAMINGS, problems);
    role.upload_affinity = o.upload_affinity.as_ref().map_or(role.upload_affinity, |uploads| *uploads.get_ref());
}

/// The limit is one of shares that a hash of contents gives.
fn override_load(role: &mut Role, written: Option<&Spanned<u32>>, problems: &mut Problems) {
    let factor = &mut role.hash_balance_factor;
    match written.map(|written| (written, *written.get_ref())) {
        Some((_, 0)) => *factor = 0,
        Some((written, 1..100)) => problems.error(
            written.span(),
            format!("`hash_balance_factor` cannot be {}", written.get_ref()),
            "write percent of a fair share from 100 to 1000, or 0 for no limit",
        ),
        Some((written, _)) => number(factor, Some(written), "hash_balance_factor", 100..=1000, problems),
        None => {}
    }
    if role.balance == Balance::Content {
        return;
    }
    role.hash_balance_factor = 0;
    if let Some(written) = written.filter(|written| *written.get_ref() != 0) {
        let message = "`hash_balance_factor` only limits balance = \"content\"";
        problems.warning(written.span(), message, "leave it out");
    }
}

fn override_subnet(role: &mut Role, written: Option<&Spanned<bool>>, problems: &mut Problems) {
    role.same_subnet_first = written.map_or(role.same_subnet_first, |first| *first.get_ref());
    if role.balance != Balance::Device {
        return;
    }
    if let Some(written) = written.filter(|_| role.same_subnet_first) {
        let message = "with balance = \"device\" the hash alone names a client's server, wherever it is";
        problems.warning(written.span(), message, "leave `same_subnet_first` out");
    }
    role.same_subnet_first = false;
}

fn override_affinity(role: &mut Role, o: &RoleOverrides, problems: &mut Problems) {
    if role.fallback_rule == FallbackRule::Shared {
        // What the preset remembers is the last known-good server, and with one database every server is as good.
        role.affinity = None;
    }
    if let Some(written) = &o.affinity {
        role.affinity = written.get_ref().get();
    }
    if role.balance == Balance::Device {
        if let Some(written) = o.affinity.as_ref().filter(|_| role.affinity.is_some()) {
            let message = "with balance = \"device\" a client never moves, so there is nothing to remember";
            problems.warning(written.span(), message, "leave `affinity` out");
        }
        role.affinity = None;
    }
    let written = o.affinity.as_ref().map(Spanned::span).or(o.fallback_rule.as_ref().map(Spanned::span));
    if let (FallbackRule::LastKnownGood, None, Some(at)) = (role.fallback_rule, role.affinity, written) {
        let message = "without `affinity` nobody's last known-good site system is remembered";
        problems.warning(at, message, "write how long it is, such as affinity = \"14days\"");
    }
}

/// Nothing of a connection's bytes is looked at.
fn refuse_requests(role: &Role, o: &RoleOverrides, problems: &mut Problems) {
    let switch = |written: &Option<Spanned<bool>>| written.as_ref().map(Spanned::span);
    let written = [
        ("client_field", o.client_field.as_ref().map(Spanned::span)),
        ("named", o.named.as_ref().map(Spanned::span)),
        ("upload_affinity", switch(&o.upload_affinity)),
    ];
    for (key, span) in written {
        if let Some(span) = span {
            super::no_meaning(role, key, span, problems);
        }
    }
}
