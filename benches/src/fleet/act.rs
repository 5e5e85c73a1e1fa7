//! One activity of one client, from its first request to its last.

use std::sync::Arc;

use super::activity::Activity;
use super::crowd::Occasion;
use super::desk::Desk;
use super::details::Poll;
use super::observed::Observed;
use crate::client::{Client, ClientError, Report, Scan};
use crate::content::ContentFile;
use crate::mix::mix;
use crate::spread::Sizes;

/// BITS sends an upload in pieces of this size.
const FRAGMENT: u64 = 256 * 1024;

/// An activity that is over.
pub(super) struct Back {
    pub(super) occasion: Occasion,
    pub(super) succeeded: bool,
    /// The client, if it has a connection to keep.
    pub(super) client: Option<Box<Client>>,
}

/// Does what is due, with the connection that the client has kept or a new one.
pub(super) async fn act(desk: Arc<Desk>, occasion: Occasion, kept: Option<Box<Client>>) -> Back {
    let mut client = kept.unwrap_or_else(|| Box::new(desk.client(occasion.client)));
    let observed = Arc::new(Observed::new(&desk, &occasion));
    client.observed_by(Arc::<Observed>::clone(&observed));
    let unfinished = Unfinished(Arc::clone(&observed));
    let done = perform(&desk, &occasion, &mut client).await;
    // Nothing is left for it to count but what the activity itself has given up.
    observed.is_over();
    drop(unfinished);
    let keep = desk.fleet.keep.is_some() && client.is_connected();
    if keep {
        client.keep_one_connection();
    }
    Back { occasion, succeeded: done.is_ok(), client: keep.then_some(client) }
}

/// Counts what is under way if the activity is given up.
struct Unfinished(Arc<Observed>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.given_up();
    }
}

/// How many policies a poll finds changed.
fn changed(poll: &Poll, dice: u64) -> usize {
    let chance = u32::try_from(dice >> 32).unwrap_or_default();
    let is_changed = f64::from(chance) < poll.changed * f64::from(u32::MAX) + 0.5;
    if is_changed && poll.changed > 0.0 { poll.bodies.draw(mix(dice)) as usize } else { 0 }
}

async fn upload(client: &mut Client, report: Report, sizes: Sizes, dice: u64) -> Result<(), ClientError> {
    let file = ContentFile::new("upload", "upload", sizes.draw(dice));
    client.large_message(report, &file, FRAGMENT).await.map(drop)
}

async fn perform(desk: &Desk, occasion: &Occasion, client: &mut Client) -> Result<(), ClientError> {
    let (fleet, details) = (&desk.fleet, &desk.fleet.details);
    // The same for the same occasion.
    let dice = mix(desk.schedule.seed_of(occasion.client) ^ u64::from(occasion.due.0));
    match occasion.activity {
        Activity::ServiceLocation => {
            client.service_location().await?;
            client.management_point_certificate().await?;
        }
        Activity::Locations => drop(client.locations().await?),
        Activity::Registration => drop(client.registration().await?),
        Activity::Policy => drop(client.policy_of(changed(&details.policy, dice)).await?),
        Activity::FullPolicy => drop(client.policy().await?),
        Activity::UserPolicy => {
            drop(client.user_policy(details.user_access, changed(&details.user_policy, dice)).await?);
        }
        Activity::StateMessage => drop(client.state_message().await?),
        Activity::Heartbeat => drop(client.heartbeat().await?),
        Activity::HardwareInventory => {
            upload(client, Report::HardwareInventory, details.hardware_inventory, dice).await?;
        }
        Activity::SoftwareInventory => {
            upload(client, Report::SoftwareInventory, details.software_inventory, dice).await?;
        }
        Activity::SoftwareMetering => {
            let size = usize::try_from(details.metering.draw(dice)).unwrap_or(usize::MAX);
            drop(client.metering(size).await?);
        }
        Activity::ApplicationEvaluation => {
            client.policy_of(0).await?;
            client.configuration_items(details.items.draw(dice)).await?;
            states(client, details.application_states.draw(mix(dice))).await?;
        }
        Activity::UpdateEvaluation => states(client, details.update_states.draw(dice)).await?,
        Activity::ClientLogs => upload(client, Report::Logs, details.logs, dice).await?,
        Activity::Scan => drop(client.scan(Scan::Again).await?),
        Activity::FullScan => drop(client.scan(Scan::First).await?),
        Activity::Content => {
            let packages = fleet.content.len() as u64;
            let place = usize::try_from(dice % packages.max(1)).unwrap_or_default();
            if let Some(package) = fleet.content.get(place) {
                client.content_location(package.id()).await?;
                client.download(package).await?;
            }
        }
        Activity::FallbackStatus => drop(client.fsp_message().await?),
    }
    Ok(())
}

async fn states(client: &mut Client, number: u32) -> Result<(), ClientError> {
    for _ in 0..number {
        client.state_message().await?;
    }
    Ok(())
}
