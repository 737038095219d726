//! Whether one resource has changed.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep};

use super::address::Address;
use super::subscriptions::Audience;
use super::{Resources, on_disk};
use crate::base::ids::JobId;
use crate::wire::limits::MAX_WAIT;

/// Between two looks at a file.
const LOOK: Duration = Duration::from_secs(2);
/// What changed so shortly before a watch began is told of: whoever read it before may not have seen that.
const JUST_NOW: Duration = Duration::from_secs(10);
/// How long one question about a job may take, which the executor may hold for `MAX_WAIT`.
const ASKING: Duration = Duration::from_secs(40);
/// Between two notifications of a log: short for a young watch; a tunnel's requests are counted, and code may run for hours.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How much longer each pause is than the watch is old.
const PAUSE_SHARE: u32 = 60;
/// While the runtime cannot be asked.
const FIRST_REST: Duration = Duration::from_secs(15);
const LONGEST_REST: Duration = Duration::from_secs(300);

impl Resources {
    /// Tells of each change of a resource, until there can be none any more.
    pub(super) async fn watch(&self, uri: &str, address: &Address, audience: &Audience) {
        match address {
            Address::Log(id, _) => self.watch_log(uri, *id, audience).await,
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

    /// Until the job has ended, or is not known any more. The output itself does not travel.
    async fn watch_log(&self, uri: &str, id: JobId, audience: &Audience) {
        let (begun, mut rest) = (Instant::now(), FIRST_REST);
        let (mut after, mut wait, mut last) = (0, 0.0, None);
        loop {
            let asked = self
                .floors
                .jobs
                .standing(id, after, wait, Instant::now() + ASKING);
            let job = match asked.await {
                Ok(job) => job,
                Err(error) if error.is_not_found() => return,
                Err(error) => {
                    tracing::debug!(job = %id, %error, "a log that is watched cannot be looked at");
                    sleep(rest).await;
                    rest = (rest * 2).min(LONGEST_REST);
                    continue;
                }
            };
            let is_over = job.state.is_final();
            let state = (job.log_bytes, is_over);
            if last != Some(state) && (last.is_some() || !is_over) {
                audience.updated(uri).await;
            }
            if is_over {
                return;
            }
            (after, wait, last, rest) = (
                job.last_seq,
                MAX_WAIT.as_secs_f64(),
                Some(state),
                FIRST_REST,
            );
            let pause = begun.elapsed() / PAUSE_SHARE;
            sleep(pause.clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
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
                None => state.is_some_and(|(at, _)| at.elapsed().is_ok_and(|age| age < JUST_NOW)),
            };
            if is_other {
                audience.updated(uri).await;
            }
            last = Some(state);
        }
        sleep(LOOK).await;
    }
}
