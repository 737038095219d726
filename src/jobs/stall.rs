//! Slows down, and finally stops, polling an executor whose responses make no progress.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::connection::Connection;
use crate::runtime::RuntimeError;

const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// Responses that claim events but contain no new one, after which polling is given up.
const MAX_EMPTY_CLAIMS: u32 = 8;

/// Counts the responses since the last new event.
#[derive(Default)]
pub(super) struct Stall {
    asked: Option<Instant>,
    answers: u32,
    claims: u32,
}

impl Stall {
    /// Counts a response: whether it had a new event, and whether it claims that there are any.
    pub(super) fn count_response(&mut self, is_new: bool, claims: bool) {
        if is_new {
            *self = Self::default();
        } else {
            self.answers += 1;
            self.claims += u32::from(claims);
        }
    }

    /// Whether polling on is useless.
    pub(super) fn is_hopeless(&self) -> bool {
        self.claims >= MAX_EMPTY_CLAIMS
    }

    /// Waits until the next request may be sent, `end` at the latest. A request that was held for long needs no pause.
    pub(super) async fn pause(&mut self, end: Instant) {
        if let (Some(asked), Some(doublings)) = (self.asked, self.answers.checked_sub(1)) {
            let pause = MIN_PAUSE * 2_u32.pow(doublings.min(10));
            sleep_until((asked + pause.min(MAX_PAUSE)).min(end)).await;
        }
        self.asked = Some(Instant::now());
    }
}

/// The error of an executor that claims events after `cursor` and does not send them.
pub(crate) fn fault(connection: &Connection, cursor: u64) -> RuntimeError {
    let url = connection.place().unwrap_or_default();
    let detail = format!("it claims events after {cursor} and does not send them");
    RuntimeError::incompatible(&url, &detail)
}
