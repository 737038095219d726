//! Chooses the number of concurrent requests, as many as raise the throughput, and pieces small enough for a slow link.

use std::sync::MutexGuard;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::base::lock::Lock;

/// A piece that takes longer is too large: a broken connection loses at most this much work.
const MAX_PIECE_TIME: Duration = Duration::from_secs(20);
/// Throughput ratio at which another stream is kept.
const MIN_GAIN: f64 = 1.1;

/// The initial values and the bounds of a pace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) piece_bytes: u64,
    pub(super) least_piece_bytes: u64,
    pub(super) streams: usize,
    pub(super) most_streams: usize,
}

/// State shared by all requests of one upload that carry bytes.
#[derive(Debug)]
pub(super) struct Pace {
    turns: Semaphore,
    bounds: Bounds,
    state: Lock<State>,
}

#[derive(Debug)]
struct State {
    piece_bytes: u64,
    streams: usize,
    /// Bytes per second with fewer streams.
    best: f64,
    /// More streams did not raise the throughput.
    settled: bool,
    since: Instant,
    pieces: usize,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            turns: Semaphore::new(bounds.streams),
            bounds,
            state: Lock::new(State {
                piece_bytes: bounds.piece_bytes,
                streams: bounds.streams,
                best: 0.0,
                settled: false,
                since: Instant::now(),
                pieces: 0,
                bytes: 0,
            }),
        }
    }

    /// Waits for the permit to send one request with bytes.
    pub(super) async fn turn(&self) -> SemaphorePermit<'_> {
        match self.turns.acquire().await {
            Ok(turn) => turn,
            // It is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Maximum size of the next piece.
    pub(super) fn piece_bytes(&self) -> u64 {
        self.state().piece_bytes
    }

    /// Measures a request that carried `bytes` and was answered after `took`.
    pub(super) fn completed(&self, turn: SemaphorePermit<'_>, bytes: u64, took: Duration) {
        if took > MAX_PIECE_TIME {
            self.slow_down(turn, 2);
            return;
        }
        let mut state = self.state();
        state.pieces += 1;
        state.bytes += bytes;
        // Two requests per stream: the first ones started before the window opened.
        if state.settled || state.pieces < 2 * state.streams {
            return;
        }
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = state.bytes as f64 / state.since.elapsed().as_secs_f64().max(1e-6);
        if rate < MIN_GAIN * state.best || state.streams >= self.bounds.most_streams {
            state.settled = true;
            return;
        }
        state.best = rate;
        state.streams += 1;
        (state.since, state.pieces, state.bytes) = (Instant::now(), 0, 0);
        self.turns.add_permits(1);
    }

    /// Slows down after a request that carried `bytes` timed out; returns false if smaller pieces are not worth a try.
    pub(super) fn timed_out(&self, turn: SemaphorePermit<'_>, bytes: u64) -> bool {
        self.slow_down(turn, 4);
        bytes > self.bounds.least_piece_bytes
    }

    fn slow_down(&self, turn: SemaphorePermit<'_>, divisor: u64) {
        let mut state = self.state();
        state.settled = true;
        state.piece_bytes = (state.piece_bytes / divisor).max(self.bounds.least_piece_bytes);
        if state.streams > 1 {
            state.streams -= 1;
            turn.forget();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::{Bounds, Pace};

    const BOUNDS: Bounds = Bounds {
        piece_bytes: 4000,
        least_piece_bytes: 500,
        streams: 2,
        most_streams: 4,
    };

    /// Completes `count` pieces over a link that carries `line` streams at once without getting slower.
    async fn pieces(pace: &Pace, count: usize, line: usize) {
        for _ in 0..count {
            let streams = pace.state().streams;
            let each = Duration::from_millis(1000 / streams.min(line) as u64);
            advance(each).await;
            pace.completed(pace.turn().await, 4000, each);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_are_added_while_throughput_rises() {
        for (line, expected) in [(1, 3), (2, 3), (3, 4), (9, 4)] {
            let pace = Pace::new(BOUNDS);
            pieces(&pace, 100, line).await;
            assert_eq!(pace.state().streams, expected, "{line}");
            assert_eq!(pace.turns.available_permits(), expected);
            assert_eq!(pace.piece_bytes(), 4000);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_link_gets_smaller_pieces_and_fewer_streams() {
        let pace = Pace::new(BOUNDS);
        pace.completed(pace.turn().await, 4000, Duration::from_secs(21));
        assert_eq!(
            (pace.piece_bytes(), pace.turns.available_permits()),
            (2000, 1)
        );
        assert!(pace.timed_out(pace.turn().await, 2000));
        assert_eq!(
            (pace.piece_bytes(), pace.turns.available_permits()),
            (500, 1)
        );
        assert!(!pace.timed_out(pace.turn().await, 500));
        pieces(&pace, 100, 9).await;
        assert_eq!(
            (pace.piece_bytes(), pace.turns.available_permits()),
            (500, 1)
        );
    }
}
