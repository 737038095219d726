//! How many requests side by side, and of how many bytes. It is told of bytes and durations and knows no clock.
//!
//! A link that is capped per connection (most tunnels and distant hosts) is filled by more streams; one that is capped in all, or that
//! is no limit at all, is not: so more streams are tried, and kept only where they pay.

use std::time::Duration;

/// A request is made so large that it takes about so long.
const HELD: f64 = 8.0;
/// And no request is made for less than this, but for the last bytes: its own cost must stay small.
const WORTH_ASKING: f64 = 0.25;
/// Twice the streams must bring so much more to be kept; the rest is noise.
const WORTH_KEEPING: f64 = 1.25;
/// So much a second is more than any connection is capped at: more streams would only cost.
const PLENTY: f64 = 100e6;
/// Windows from a trial that did not pay to the next one; twice as many after each.
const FIRST_REST: u32 = 8;
const MAX_REST: u32 = 128;

/// What a pace keeps to.
#[derive(Debug, Clone, Copy)]
pub struct PaceLimits {
    /// Bytes of a request before anything is known of the link, and at its least and its most.
    pub first_piece: u64,
    pub smallest_piece: u64,
    pub largest_piece: u64,
    /// Requests side by side at first, and at most.
    pub first_streams: usize,
    pub most_streams: usize,
}

#[derive(Debug)]
pub(super) struct Pace {
    limits: PaceLimits,
    streams: usize,
    /// Bytes a second of one request.
    rate: Option<f64>,
    /// Bytes a second in all before there were more streams, while these are on trial.
    before: Option<f64>,
    /// The next window is still mixed with what was before the last change.
    is_settling: bool,
    /// Windows to the next trial, and how many there will be after that.
    rest: u32,
    next_rest: u32,
}

impl Pace {
    pub(super) fn new(limits: PaceLimits) -> Self {
        Self {
            limits,
            streams: limits.first_streams,
            rate: None,
            before: None,
            // Connections are being made.
            is_settling: true,
            rest: 0,
            next_rest: FIRST_REST,
        }
    }

    /// How many requests may be under way.
    pub(super) fn streams(&self) -> usize {
        self.streams
    }

    /// Bytes of the next request, when so many are `left` to be asked for. Towards the end pieces get smaller, so that all streams end together.
    pub(super) fn piece(&self, left: u64) -> u64 {
        let PaceLimits {
            first_piece,
            smallest_piece,
            largest_piece,
            ..
        } = self.limits;
        let (long, short) = match self.rate {
            Some(rate) => ((rate * HELD) as u64, (rate * WORTH_ASKING) as u64),
            None => (first_piece, first_piece / 4),
        };
        let share = left / self.streams.max(1) as u64;
        let bytes = long.min(share.max(short));
        bytes.clamp(smallest_piece, largest_piece)
    }

    /// A request brought so many bytes in so long.
    pub(super) fn request(&mut self, bytes: u64, took: Duration) {
        if bytes < self.limits.smallest_piece {
            return; // It was waiting more than anything else.
        }
        let rate = bytes as f64 / took.as_secs_f64().max(1e-6);
        self.rate = Some(self.rate.map_or(rate, |known| f64::midpoint(known, rate)));
    }

    /// All streams together, each of them busy, brought so many bytes in so long.
    pub(super) fn window(&mut self, bytes: u64, took: Duration) {
        if std::mem::take(&mut self.is_settling) {
            return;
        }
        let rate = bytes as f64 / took.as_secs_f64().max(1e-6);
        match self.before.take() {
            Some(before) if rate < before * WORTH_KEEPING => {
                self.change(self.streams.div_ceil(2));
                self.rest = self.next_rest;
                self.next_rest = (self.next_rest * 2).min(MAX_REST);
            }
            kept => {
                if kept.is_some() {
                    self.next_rest = FIRST_REST;
                }
                if self.rest > 0 {
                    self.rest -= 1;
                } else if rate < PLENTY && self.streams < self.limits.most_streams {
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

    /// A link: each connection brings at most so many bytes a second, all together at most so many, and a request waits so long first.
    struct Link {
        each: f64,
        all: f64,
        wait: f64,
        /// Each window is this much off, up and down in turn.
        noise: f64,
    }

    impl Link {
        fn rate(&self, streams: usize) -> f64 {
            (self.each * streams as f64).min(self.all)
        }

        /// Runs it for so many windows; the most streams that there were.
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

        /// How long the next request will be held.
        fn held(&self, pace: &Pace) -> f64 {
            let one = self.rate(pace.streams()) / pace.streams() as f64;
            self.wait + pace.piece(u64::MAX) as f64 / one
        }
    }

    #[test]
    fn a_link_that_is_capped_per_connection_ends_with_many_streams_within_seconds() {
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
    fn a_link_that_is_capped_in_all_does_not_run_away() {
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
    fn a_link_between_the_two_ends_where_more_brings_nothing() {
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
    fn loopback_pays_for_no_trials_and_few_requests() {
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
    fn no_request_is_held_for_long_on_a_slow_link() {
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
