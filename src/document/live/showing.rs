//! A running cell in a shared notebook: its outputs appear in it as they come.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::outputs::Frame;
use super::{Places, SETTLE_TIMEOUT};
use crate::document::error::DocumentError;
use crate::document::showing::Showing;
use crate::jupyter::Room;
use crate::notebook::gather::{CellOutputs, CellReader};

/// Code that ends within this time has its outputs written once.
const START_DELAY: Duration = Duration::from_millis(150);
/// Between two updates.
const UPDATE_INTERVAL: Duration = Duration::from_millis(200);
/// The pauses between updates grow by the first one with each of so many bytes: the server keeps all updates, and hours of output must not fill
/// its disk.
const PACE_BYTES: usize = 100_000;
/// Bytes of an update without its content.
const UPDATE_BYTES: usize = 1_000;
/// How many times longer than an update the pause after it is, if that is long: large pictures take time in every client.
const REST_FACTOR: u32 = 3;
/// For one look at the job, which waits for output most of the time.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// For joining a room.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// The first and the longest pause after a failure.
const RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Where a run's outputs are shown, and how much of them was sent.
#[derive(Default)]
struct Screen {
    room: Option<Arc<Room>>,
    bytes: usize,
}

/// What came of showing a state of the outputs.
enum Shown {
    Yes,
    /// The runtime or the server cannot be reached; the next try is in a new room.
    Broken,
    /// The notebook is a file, the cell is gone, or somebody else works on it.
    Over,
}

impl Places {
    /// Shows the outputs of a job until it has ended, or until somebody else works on its cell.
    pub(in crate::document) async fn show(&self, showing: &Showing) {
        let mut reader = CellReader::new(self.connection.clone(), showing.job);
        let mut screen = Screen::default();
        let mut retry_delay = RETRY_DELAY;
        let beginning = async {
            sleep(START_DELAY).await;
            let deadline = Instant::now() + JOIN_TIMEOUT;
            self.place(&showing.path, deadline).await
        };
        let begun = showing.stop.run_until_cancelled(beginning).await;
        if matches!(begun, None | Some(Ok(None))) {
            return;
        }
        loop {
            let next = self.next(showing, &mut reader);
            let Some(next) = showing.stop.run_until_cancelled(next).await else {
                return;
            };
            let begun = Instant::now();
            let shown = match next {
                Some(outputs) if outputs.job.state.is_final() => return,
                Some(outputs) if outputs.job.started_at.is_none() => Shown::Yes,
                Some(outputs) => self.update(showing, &mut screen, &outputs).await,
                None => Shown::Broken,
            };
            let pause = match shown {
                Shown::Over => return,
                Shown::Yes => {
                    retry_delay = RETRY_DELAY;
                    screen.pause().max(begun.elapsed() * REST_FACTOR)
                }
                Shown::Broken => {
                    screen.room = None;
                    retry_delay = (2 * retry_delay).min(MAX_RETRY_DELAY);
                    retry_delay
                }
            };
            if showing
                .stop
                .run_until_cancelled(sleep(pause))
                .await
                .is_none()
            {
                return;
            }
        }
    }

    /// The outputs, once there are more; none if the runtime of the job does not know it yet or cannot be asked.
    async fn next(&self, showing: &Showing, reader: &mut CellReader) -> Option<CellOutputs> {
        let is_there = self.connection.place().as_deref() == Some(&*showing.place);
        let read = match is_there {
            true => reader.next(Instant::now() + READ_TIMEOUT).await,
            false => return None,
        };
        read.inspect_err(|error| tracing::debug!(%error, "the outputs of a cell are not read"))
            .ok()
    }

    async fn update(&self, showing: &Showing, screen: &mut Screen, outputs: &CellOutputs) -> Shown {
        let room = match &screen.room {
            Some(room) if !room.is_closed() => room.clone(),
            _ => {
                let joining = self.room_of(&showing.path);
                match showing.stop.run_until_cancelled(joining).await {
                    Some(Ok(Some(room))) => screen.room.insert(room).clone(),
                    Some(Err(DocumentError::Runtime(_))) => return Shown::Broken,
                    Some(Ok(None) | Err(_)) | None => return Shown::Over,
                }
            }
        };
        let cell = (&showing.cell, Some(&*showing.version));
        let frame = Frame::new(cell, &outputs.values, None, true, &showing.trail);
        match frame.show(&room) {
            Ok(bytes) => screen.bytes += UPDATE_BYTES + bytes,
            Err(why) => {
                tracing::debug!(%why, "the outputs of a cell are no longer shown");
                return Shown::Over;
            }
        }
        // Nothing may be on its way when another room is joined: what is sent there would be added to it.
        match room.settle(SETTLE_TIMEOUT).await {
            Ok(()) => {
                frame.note_received(&room);
                Shown::Yes
            }
            Err(_) => Shown::Broken,
        }
    }

    async fn room_of(&self, path: &str) -> Result<Option<Arc<Room>>, DocumentError> {
        let deadline = Instant::now() + JOIN_TIMEOUT;
        match self.place(path, deadline).await? {
            Some(place) => self.live.join(&place, deadline).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Screen {
    /// Until the next update.
    fn pause(&self) -> Duration {
        let growth = self.bytes / PACE_BYTES;
        UPDATE_INTERVAL * u32::try_from(1 + growth).unwrap_or(u32::MAX)
    }
}
