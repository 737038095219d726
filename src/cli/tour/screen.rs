//! Shows a line for each step: a spinner while it runs, then its time and its outcome.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The tour's output: stdout, which this command does not use for MCP.
pub(super) struct Screen;

/// A step that is running.
pub(super) struct Running {
    name: &'static str,
    started: Instant,
    bar: ProgressBar,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self
    }

    #[expect(clippy::print_stdout, reason = "this command speaks to a person")]
    pub(super) fn say(&self, text: &str) {
        println!("{text}");
    }

    pub(super) fn begin(&self, name: &'static str) -> Running {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) =
            ProgressStyle::with_template("  {spinner} {prefix:<28} {elapsed:>4}  {wide_msg}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(name);
        bar.enable_steady_tick(Duration::from_millis(100));
        Running {
            name,
            started: Instant::now(),
            bar,
        }
    }
}

impl Running {
    /// A handle for progress reports from other threads.
    pub(super) fn bar(&self) -> ProgressBar {
        self.bar.clone()
    }

    pub(super) fn passed(self, screen: &Screen, outcome: &str) {
        self.ended(screen, "✓", outcome);
    }

    pub(super) fn failed(self, screen: &Screen, why: &str) {
        self.ended(screen, "✗", why);
    }

    fn ended(self, screen: &Screen, mark: &str, outcome: &str) {
        self.bar.finish_and_clear();
        let seconds = self.started.elapsed().as_secs_f64();
        screen.say(&format!(
            "  {mark} {:<28} {seconds:>6.2} s  {outcome}",
            self.name
        ));
    }
}
