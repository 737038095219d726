//! An executor whose answers do not lead on is asked with pauses, and not forever.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::runtime::RuntimeError;

const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// After so many answers that claim events and have none that is new, no other will.
const MAX_EMPTY_CLAIMS: u32 = 8;

/// The answers since the last new event.
#[derive(Default)]
pub(super) struct Stall {
    asked: Option<Instant>,
    answers: u32,
    claims: u32,
}

impl Stall {
    /// Notes an answer: whether it had a new event, and whether it claims that there are any.
    pub(super) fn heard(&mut self, is_new: bool, claims: bool) {
        if is_new {
            *self = Self::default();
        } else {
            self.answers += 1;
            self.claims += u32::from(claims);
        }
    }

    /// True when asking on is of no use.
    pub(super) fn is_hopeless(&self) -> bool {
        self.claims >= MAX_EMPTY_CLAIMS
    }

    /// Waits until the next question may be asked, `end` at the latest. A question that was held for long needs no pause.
    pub(super) async fn pause(&mut self, end: Instant) {
        if let (Some(asked), Some(doublings)) = (self.asked, self.answers.checked_sub(1)) {
            let pause = MIN_PAUSE * 2_u32.pow(doublings.min(10));
            sleep_until((asked + pause.min(MAX_PAUSE)).min(end)).await;
        }
        self.asked = Some(Instant::now());
    }
}

/// Events after `cursor` are claimed and not given.
pub(crate) fn fault(connection: &Connection, cursor: u64) -> RuntimeError {
    let url = connection.place().unwrap_or_default();
    let detail = format!("it says that there are events after {cursor} and does not give them");
    RuntimeError::incompatible(&url, &detail)
}
