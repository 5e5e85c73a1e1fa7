//! How much a client does of what it does: numbers and sizes, which are nearly all assumptions.

use super::activity::Activity;
use super::fields::{Fields, Notes};
use crate::client::Access;
use crate::spread::{Counts, Sizes};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// How much a client does of each activity.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// Polls for a machine's policy.
    pub policy: Poll,
    /// Polls for a user's policy.
    pub user_policy: Poll,
    /// How a user is known.
    pub user_access: Access,
    /// The size of a hardware inventory, 1 B to 1 GiB.
    pub hardware_inventory: Sizes,
    /// The size of a software inventory, 1 B to 1 GiB.
    pub software_inventory: Sizes,
    /// The size of a report of software metering before it is packed, 1 B to 1 MiB.
    pub metering: Sizes,
    /// The size of a client's logs, 1 B to 1 GiB.
    pub logs: Sizes,
    /// Configuration items of an evaluation of applications, 0 to 1000.
    pub items: Counts,
    /// State messages of an evaluation of applications, 0 to 1000.
    pub application_states: Counts,
    /// State messages of an evaluation of software updates, 0 to 1000.
    pub update_states: Counts,
    /// Ranges of a file, 1 to 1000.
    pub ranges: u32,
    /// Of them at a time, 1 to 64.
    pub concurrency: usize,
}

/// What a poll for policy finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Poll {
    /// How likely there are changes, 0 to 1.
    pub changed: f64,
    /// Of how many policies, 0 to 1000.
    pub bodies: Counts,
}

impl Default for Details {
    fn default() -> Self {
        let poll = Poll { changed: 0.05, bodies: Counts::new(1, 3) };
        Self {
            policy: poll.clone(),
            user_policy: poll,
            user_access: Access::Windows,
            hardware_inventory: Sizes::between(5 * KIB, 50 * KIB),
            software_inventory: Sizes::between(10 * KIB, 100 * KIB),
            metering: Sizes::between(2 * KIB, 20 * KIB),
            logs: Sizes::between(MIB, 100 * MIB),
            items: Counts::new(1, 10),
            application_states: Counts::new(1, 5),
            update_states: Counts::new(1, 5),
            ranges: 4,
            concurrency: 1,
        }
    }
}

impl Poll {
    fn read(&mut self, fields: &mut Fields<'_>, notes: &mut Notes<'_>) {
        self.changed = fields.share("changed", notes).unwrap_or(self.changed);
        counts(fields, "bodies", &mut self.bodies, notes);
    }
}

fn counts(fields: &mut Fields<'_>, key: &'static str, counts: &mut Counts, notes: &mut Notes<'_>) {
    *counts = fields.read(key, notes, |text| Counts::parse(text, &(0..=1000))).unwrap_or(*counts);
}

fn sizes(fields: &mut Fields<'_>, most: u64, sizes: &mut Sizes, notes: &mut Notes<'_>) {
    *sizes = fields.read("size", notes, |text| Sizes::parse(text, &(1..=most))).unwrap_or(*sizes);
}

impl Details {
    /// Reads what this activity has besides its schedule.
    pub(super) fn read(&mut self, activity: Activity, fields: &mut Fields<'_>, notes: &mut Notes<'_>) {
        match activity {
            Activity::Policy => self.policy.read(fields, notes),
            Activity::UserPolicy => {
                self.user_policy.read(fields, notes);
                let access = fields.read("auth", notes, |text| match text {
                    "windows" => Ok(Access::Windows),
                    "token" => Ok(Access::Token),
                    other => Err(format!("'{other}' is neither 'windows' nor 'token'")),
                });
                self.user_access = access.unwrap_or(self.user_access);
            }
            Activity::HardwareInventory => sizes(fields, 1024 * MIB, &mut self.hardware_inventory, notes),
            Activity::SoftwareInventory => sizes(fields, 1024 * MIB, &mut self.software_inventory, notes),
            Activity::SoftwareMetering => sizes(fields, MIB, &mut self.metering, notes),
            Activity::ClientLogs => sizes(fields, 1024 * MIB, &mut self.logs, notes),
            Activity::ApplicationEvaluation => {
                counts(fields, "items", &mut self.items, notes);
                counts(fields, "states", &mut self.application_states, notes);
            }
            Activity::UpdateEvaluation => counts(fields, "states", &mut self.update_states, notes),
            Activity::Content => {
                let place = fields.place("concurrency");
                self.ranges = fields.number("ranges", &(1..=1000), notes).unwrap_or(self.ranges);
                self.concurrency = fields.number("concurrency", &(1..=64), notes).unwrap_or(self.concurrency);
                if self.concurrency > self.ranges as usize {
                    notes.at(
                        &place,
                        format!(
                            "{} ranges at a time are more than the {} that a file is fetched in: give fewer, or more ranges",
                            self.concurrency, self.ranges
                        ),
                    );
                }
            }
            Activity::ServiceLocation
            | Activity::Locations
            | Activity::Registration
            | Activity::FullPolicy
            | Activity::StateMessage
            | Activity::Heartbeat
            | Activity::Scan
            | Activity::FullScan
            | Activity::FallbackStatus => {}
        }
    }
}
