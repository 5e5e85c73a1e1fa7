//! The cells of docs/boundary-groups.md, role by role, for a client that uses one shared name and for one that uses the
//! servers' own names. The clock is a number that the tests pass in.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)]

mod distribution_points;
mod management_points;
mod other_roles;
mod software_update_points;

use std::collections::BTreeSet;

use rolegate::explain::Explanation;
use rolegate::model::facts::Facts;

use crate::control_support::minutes::{Got, MINUTE, Site, worked_example};
use crate::control_support::world::facts;

pub const SCAN: &str = "/ClientWebService/client.asmx";
pub const LIST: &str = "/SMS_MP/.sms_aut";
/// A time after every fallback time of the tests.
pub const LATE: u64 = 300 * MINUTE;

pub fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Microsoft's example, in which `old` is written as `new`.
pub fn example_with(old: &str, new: &str) -> Site {
    let text = worked_example("");
    assert!(text.contains(old), "{old}");
    Site::new(&text.replace(old, new))
}

/// The servers that serve 32 clients of a network such as `10.1.7`, each with one request in a millisecond of its own.
pub fn used(site: &mut Site, host: Option<&str>, network: &str, path: &str, now_ms: u64) -> BTreeSet<String> {
    let got = (1..=32).map(|client| site.named(host, &format!("{network}.{client}"), path, now_ms + client));
    got.filter_map(|got| match got {
        Got::From(server) => Some(server),
        Got::Missing | Got::Wait(_) | Got::Nobody => None,
    })
    .collect()
}

/// The group of the server that serves, by the first letter of its name; why there is none otherwise.
pub fn group(got: Got) -> String {
    match got {
        Got::From(server) => server[..1].to_owned(),
        Got::Missing | Got::Wait(_) | Got::Nobody => format!("{got:?}"),
    }
}

/// Why a request goes where it goes.
pub fn explain(site: &Site, host: Option<&str>, client: &str, path: &str) -> Explanation {
    let facts = Facts { host, ..facts(client, path) };
    Explanation::new(&site.world.snapshot(), &facts, 0, 1)
}
