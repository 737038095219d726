//! Watches one resource for changes.

use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::address::Address;
use super::subscriptions::Audience;
use super::{Resources, on_disk};

/// Interval between two checks of a file.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// A change this shortly before a watch began is notified too: the client may have read the resource before it.
const RECENT_CHANGE_AGE: Duration = Duration::from_secs(10);

impl Resources {
    /// Notifies of each change of a resource, until there can be no more.
    pub(super) async fn watch(&self, uri: &str, address: &Address, audience: &Audience) {
        match address {
            Address::Log(id, _) => {
                let mut changes = self.floors.tasks.changes(*id);
                while changes.next().await {
                    audience.notify_updated(uri).await;
                }
            }
            Address::Checkpoint(name) => {
                let (floors, name) = (self.floors.clone(), name.clone());
                let look = move || floors.checkpoints.changed(&name).map(|at| (at, 0));
                watch_state(uri, look, audience).await;
            }
            Address::File(path) => {
                let (saved, path) = (self.saved.clone(), path.clone());
                watch_state(uri, move || saved.changed(&path), audience).await;
            }
        }
    }
}

/// The time of the last change, and a size.
type State = Option<(SystemTime, u64)>;

async fn watch_state(
    uri: &str,
    look: impl Fn() -> State + Clone + Send + 'static,
    audience: &Audience,
) {
    let mut last: Option<State> = None;
    loop {
        if let Ok(state) = on_disk(look.clone()).await {
            let is_other = match last {
                Some(last) => last != state,
                None => state
                    .is_some_and(|(at, _)| at.elapsed().is_ok_and(|age| age < RECENT_CHANGE_AGE)),
            };
            if is_other {
                audience.notify_updated(uri).await;
            }
            last = Some(state);
        }
        sleep(POLL_INTERVAL).await;
    }
}
