//! Limits the concurrent requests of one transfer to what its [`Pace`] allows, and feeds it their throughput.

use std::sync::MutexGuard;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::pace::{Pace, PaceLimits};
use crate::base::lock::Lock;

/// Measuring window: long enough to average bursts, short enough to find a link's best within seconds.
const WINDOW: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Lanes {
    state: Lock<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    busy: usize,
    since: Instant,
    bytes: u64,
}

impl Lanes {
    pub(super) fn new(limits: PaceLimits) -> Self {
        Self {
            state: Lock::new(State {
                pace: Pace::new(limits),
                busy: 0,
                since: Instant::now(),
                bytes: 0,
            }),
            freed: Notify::new(),
        }
    }

    /// Waits until one more request may be sent.
    pub(super) async fn enter(&self) -> Lane<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state();
                if state.busy < state.pace.streams() {
                    state.busy += 1;
                    return Lane {
                        lanes: self,
                        began: Instant::now(),
                        bytes: 0,
                    };
                }
            }
            freed.await;
        }
    }

    /// Bytes of the next request, with `left` bytes still to be requested.
    pub(super) fn piece(&self, left: u64) -> u64 {
        self.state().pace.piece(left)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn received(&self, bytes: u64) {
        let mut state = self.state();
        state.bytes += bytes;
        let took = state.since.elapsed();
        if took < WINDOW {
            return;
        }
        let (came, streams) = (state.bytes, state.pace.streams());
        // With idle lanes the throughput says nothing about the best number.
        if state.busy >= streams {
            state.pace.window(came, took);
        }
        (state.bytes, state.since) = (0, Instant::now());
        if state.pace.streams() > streams {
            drop(state);
            self.freed.notify_waiters();
        }
    }
}

/// A permit for one request at a time, until it is dropped.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    lanes: &'a Lanes,
    began: Instant,
    bytes: u64,
}

impl Lane<'_> {
    /// Starts measuring a request: a pause or a wait before it says nothing about the link.
    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
        self.bytes = 0;
    }

    pub(super) fn received(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.lanes.received(bytes);
    }

    /// Ends measuring a request, complete or not.
    pub(super) fn end(&self) {
        let took = self.began.elapsed();
        self.lanes.state().pace.request(self.bytes, took);
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.lanes.state().busy -= 1;
        self.lanes.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::advance;

    use super::{Lanes, PaceLimits, WINDOW};

    fn lanes() -> Lanes {
        Lanes::new(PaceLimits {
            first_piece: 4 << 20,
            smallest_piece: 256 << 10,
            largest_piece: 32 << 20,
            first_streams: 2,
            most_streams: 8,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_requests_are_under_way_than_the_pace_allows() {
        let lanes = lanes();
        let first = lanes.enter().await;
        let _second = lanes.enter().await;
        assert!(lanes.enter().now_or_never().is_none());
        drop(first);
        assert!(lanes.enter().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_added_only_while_all_are_busy() {
        for (busy, expected) in [(1, false), (2, true)] {
            let lanes = lanes();
            let mut held = Vec::new();
            for _ in 0..busy {
                held.push(lanes.enter().await);
            }
            for _ in 0..3 {
                advance(WINDOW + Duration::from_millis(1)).await;
                held[0].received(1 << 20);
            }
            for _ in busy..2 {
                held.push(lanes.enter().await);
            }
            let third = lanes.enter().now_or_never();
            assert_eq!(third.is_some(), expected, "{busy} busy");
        }
    }
}
