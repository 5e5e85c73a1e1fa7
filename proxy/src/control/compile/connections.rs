//! The site systems of a boundary group, and how fast the connection to each of them is.

use toml::Spanned;

use super::SpannedName;
use super::fallback::Model;
use super::systems::Systems;
use crate::control::config::fields::word;
use crate::control::config::{GroupEntry, Problems};

const CONNECTIONS: [(&str, bool); 2] = [("fast", false), ("slow", true)];

/// Those with a fast and those with a slow connection, each once.
pub(super) fn read(
    entries: &[Spanned<GroupEntry>],
    model: Model,
    systems: &Systems<'_>,
    problems: &mut Problems,
) -> (Vec<u16>, Vec<u16>) {
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for entry in entries {
        let (name, is_slow) = match entry.get_ref() {
            GroupEntry::Name(name) => (Spanned::new(entry.span(), name.clone()), false),
            GroupEntry::Table(table) => {
                let Some(name) = &table.name else {
                    let help = "write { name = \"dp1\", connection = \"slow\" }";
                    problems.missing(entry.span(), "this entry names no site system", help);
                    continue;
                };
                (name.clone(), is_slow(table.connection.as_ref(), name, model, problems))
            }
        };
        let Some(system) = systems.find(&name, problems) else { continue };
        let (list, other) = if is_slow { (&mut slow, &fast) } else { (&mut fast, &slow) };
        if other.contains(&system) {
            let text = format!("{:?} has a fast and a slow connection in the same group", name.get_ref());
            problems.error(name.span(), text, "write it once");
        } else if !list.contains(&system) {
            list.push(system);
        }
    }
    (fast, slow)
}

fn is_slow(written: Option<&SpannedName>, name: &SpannedName, model: Model, problems: &mut Problems) -> bool {
    let mut slow = false;
    word(&mut slow, written, "connection", &CONNECTIONS, problems);
    if let (Some(written), true, Model::Relationships) = (written, slow, model) {
        problems.error(
            written.span(),
            "slow connections are of the model before ConfigMgr 1610",
            format!(
                "do as ConfigMgr does at the upgrade: put {:?} into a [[boundary_groups]] of its own, without boundaries, \
                 and make that a neighbor of this group with time 0",
                name.get_ref()
            ),
        );
    }
    slow
}
