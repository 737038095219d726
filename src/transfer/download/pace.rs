//! Chooses the number and size of concurrent requests from reported bytes and durations. Reads no clock.
//!
//! More streams fill a link that is capped per connection (most tunnels and distant hosts), but not one that is capped in total or not the
//! bottleneck: so more streams are tried, and kept only if they raise the throughput.

use std::time::Duration;

/// Intended duration of a request.
const TARGET_REQUEST_SEC: f64 = 8.0;
/// Minimum duration of a request, except for the last bytes: its overhead must stay small.
const MIN_REQUEST_SEC: f64 = 0.25;
/// Throughput ratio at which doubled streams are kept; less is noise.
const MIN_GAIN: f64 = 1.25;
/// Throughput above any per-connection cap: more streams would only cost.
const MAX_TRIAL_BYTES_PER_SEC: f64 = 100e6;
/// Windows from an unsuccessful trial to the next one; doubled after each.
const FIRST_TRIAL_PAUSE: u32 = 8;
const MAX_TRIAL_PAUSE: u32 = 128;

/// The bounds of a pace.
#[derive(Debug, Clone, Copy)]
pub struct PaceLimits {
    /// Bytes of a request before the first measurement, at least and at most.
    pub first_piece: u64,
    pub smallest_piece: u64,
    pub largest_piece: u64,
    /// Concurrent requests at first and at most.
    pub first_streams: usize,
    pub most_streams: usize,
}

#[derive(Debug)]
pub(super) struct Pace {
    limits: PaceLimits,
    streams: usize,
    /// Bytes per second of one request.
    rate: Option<f64>,
    /// Total bytes per second before more streams were added, during a trial.
    before: Option<f64>,
    /// The next window still includes throughput from before the last change.
    is_settling: bool,
    /// Windows to the next trial, and the pause after that one.
    pause: u32,
    next_pause: u32,
}

impl Pace {
    pub(super) fn new(limits: PaceLimits) -> Self {
        Self {
            limits,
            streams: limits.first_streams,
            rate: None,
            before: None,
            // Connections are being established.
            is_settling: true,
            pause: 0,
            next_pause: FIRST_TRIAL_PAUSE,
        }
    }

    /// Number of concurrent requests allowed.
    pub(super) fn streams(&self) -> usize {
        self.streams
    }

    /// Bytes of the next request, with `left` bytes still to be requested. Pieces get smaller towards the end, so that all streams end together.
    pub(super) fn piece(&self, left: u64) -> u64 {
        let PaceLimits {
            first_piece,
            smallest_piece,
            largest_piece,
            ..
        } = self.limits;
        let (long, short) = match self.rate {
            Some(rate) => (
                (rate * TARGET_REQUEST_SEC) as u64,
                (rate * MIN_REQUEST_SEC) as u64,
            ),
            None => (first_piece, first_piece / 4),
        };
        let share = left / self.streams.max(1) as u64;
        let bytes = long.min(share.max(short));
        bytes.clamp(smallest_piece, largest_piece)
    }

    /// Measures one request.
    pub(super) fn request(&mut self, bytes: u64, took: Duration) {
        if bytes < self.limits.smallest_piece {
            return; // Latency would dominate.
        }
        let rate = bytes as f64 / took.as_secs_f64().max(1e-6);
        self.rate = Some(self.rate.map_or(rate, |known| f64::midpoint(known, rate)));
    }

    /// Measures all streams together, each of them busy, over one window.
    pub(super) fn window(&mut self, bytes: u64, took: Duration) {
        if std::mem::take(&mut self.is_settling) {
            return;
        }
        let rate = bytes as f64 / took.as_secs_f64().max(1e-6);
        match self.before.take() {
            Some(before) if rate < before * MIN_GAIN => {
                self.change(self.streams.div_ceil(2));
                self.pause = self.next_pause;
                self.next_pause = (self.next_pause * 2).min(MAX_TRIAL_PAUSE);
            }
            kept => {
                if kept.is_some() {
                    self.next_pause = FIRST_TRIAL_PAUSE;
                }
                if self.pause > 0 {
                    self.pause -= 1;
                } else if rate < MAX_TRIAL_BYTES_PER_SEC && self.streams < self.limits.most_streams
                {
                    self.before = Some(rate);
                    self.change(self.streams * 2);
                }
            }
        }
    }

    fn change(&mut self, streams: usize) {
        let most = self.limits.most_streams;
        self.streams = streams.clamp(self.limits.first_streams.min(most), most);
        self.is_settling = true;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pace, PaceLimits};

    const WINDOW: Duration = Duration::from_millis(500);

    fn pace() -> Pace {
        Pace::new(PaceLimits {
            first_piece: 4 << 20,
            smallest_piece: 256 << 10,
            largest_piece: 32 << 20,
            first_streams: 2,
            most_streams: 8,
        })
    }

    /// A simulated link.
    struct Link {
        /// Bytes per second of one connection, and of all together.
        each: f64,
        all: f64,
        /// Seconds before the first byte of a request.
        wait: f64,
        /// Relative error of each window, up and down in turn.
        noise: f64,
    }

    impl Link {
        fn rate(&self, streams: usize) -> f64 {
            (self.each * streams as f64).min(self.all)
        }

        /// Runs it for some windows, and returns the highest number of streams.
        fn run(&self, pace: &mut Pace, windows: u32) -> usize {
            let mut most = 0;
            for number in 0..windows {
                let rate = self.rate(pace.streams());
                let off = if number % 2 == 0 {
                    1.0 + self.noise
                } else {
                    1.0 - self.noise
                };
                let one = rate / pace.streams() as f64;
                let piece = pace.piece(u64::MAX);
                let took = self.wait + piece as f64 / one;
                pace.request(piece, Duration::from_secs_f64(took));
                pace.window((rate * off * WINDOW.as_secs_f64()) as u64, WINDOW);
                most = most.max(pace.streams());
            }
            most
        }

        /// Seconds that the next request will take.
        fn held(&self, pace: &Pace) -> f64 {
            let one = self.rate(pace.streams()) / pace.streams() as f64;
            self.wait + pace.piece(u64::MAX) as f64 / one
        }
    }

    #[test]
    fn a_link_capped_per_connection_gets_many_streams_within_seconds() {
        let link = Link {
            each: 5e6,
            all: 1e9,
            wait: 0.08,
            noise: 0.05,
        };
        let mut pace = pace();
        link.run(&mut pace, 8);
        assert_eq!(pace.streams(), 8);
        link.run(&mut pace, 500);
        assert_eq!(pace.streams(), 8, "and it stays so");
    }

    #[test]
    fn a_link_capped_in_total_keeps_few_streams() {
        let link = Link {
            each: 1e9,
            all: 10e6,
            wait: 0.08,
            noise: 0.1,
        };
        let mut pace = pace();
        let mut with_two = 0;
        for _ in 0..1000 {
            assert!(link.run(&mut pace, 1) <= 4);
            with_two += u32::from(pace.streams() == 2);
        }
        assert!(with_two > 900, "{with_two}");
    }

    #[test]
    fn streams_stop_growing_where_more_bring_no_gain() {
        let link = Link {
            each: 5e6,
            all: 20e6,
            wait: 0.08,
            noise: 0.0,
        };
        let mut pace = pace();
        link.run(&mut pace, 10);
        assert_eq!(pace.streams(), 4);
    }

    #[test]
    fn loopback_needs_no_trials_and_few_requests() {
        let link = Link {
            each: 400e6,
            all: 700e6,
            wait: 0.002,
            noise: 0.1,
        };
        let mut pace = pace();
        assert_eq!(link.run(&mut pace, 20), 2);
        let (mut left, mut requests) = (1_u64 << 30, 0);
        while left > 0 {
            left -= pace.piece(left).min(left);
            requests += 1;
        }
        assert!(requests < 40, "{requests} requests for 1 GiB");
    }

    #[test]
    fn requests_on_a_slow_link_stay_short() {
        for each in [30e3, 100e3, 1e6, 20e6] {
            let link = Link {
                each,
                all: each,
                wait: 0.3,
                noise: 0.2,
            };
            let mut pace = pace();
            for _ in 0..200 {
                link.run(&mut pace, 1);
                assert!(link.held(&pace) < 20.0 || pace.piece(u64::MAX) == 256 << 10);
            }
        }
    }

    #[test]
    fn all_streams_share_the_end_of_a_file() {
        let pace = pace();
        assert_eq!(pace.piece(1 << 30), 4 << 20);
        assert_eq!(pace.piece(6 << 20), 3 << 20);
        assert_eq!(pace.piece(1 << 20), 1 << 20);
    }

    #[test]
    fn more_streams_are_tried_again_after_the_link_changes() {
        let link = |all| Link {
            each: 5e6,
            all,
            wait: 0.08,
            noise: 0.0,
        };
        let mut pace = pace();
        link(10e6).run(&mut pace, 20);
        assert_eq!(pace.streams(), 2);
        link(1e9).run(&mut pace, 60);
        assert_eq!(pace.streams(), 8);
    }
}
