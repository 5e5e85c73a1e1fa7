//! One activity of one client, from its first request to its last.

use std::sync::Arc;

use super::activity::Activity;
use super::crowd::Occasion;
use super::desk::{Desk, Observed};
use crate::client::{Client, ClientError};
use crate::content::mix;

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

async fn perform(desk: &Desk, occasion: &Occasion, client: &mut Client) -> Result<(), ClientError> {
    let fleet = &desk.fleet;
    // The same for the same occasion.
    let dice = mix(desk.schedule.seed_of(occasion.client) ^ u64::from(occasion.due.0));
    match occasion.activity {
        Activity::ServiceLocation => {
            client.service_location().await?;
            client.management_point_certificate().await?;
        }
        Activity::Policy => {
            let changed = u32::try_from(dice >> 32).unwrap_or_default();
            let bodies = if f64::from(changed) < fleet.changed * f64::from(u32::MAX) + 0.5 { usize::MAX } else { 0 };
            client.policy_of(bodies).await?;
        }
        Activity::StateMessage => drop(client.state_message().await?),
        Activity::Heartbeat => drop(client.heartbeat().await?),
        Activity::HardwareInventory => drop(client.large_message(&desk.inventories[0], FRAGMENT).await?),
        Activity::SoftwareInventory => drop(client.large_message(&desk.inventories[1], FRAGMENT).await?),
        Activity::Registration => drop(client.registration().await?),
        Activity::Scan => drop(client.scan().await?),
        Activity::Content => {
            let packages = fleet.content.len() as u64;
            let place = usize::try_from(dice % packages.max(1)).unwrap_or_default();
            if let Some(package) = fleet.content.get(place) {
                client.content_location(package.id()).await?;
                client.download(package).await?;
            }
        }
    }
    Ok(())
}
