//! What the bridge costs, measured beside the thing itself in one run: `cargo bench`, or `cargo bench -- --check` to fail on a missed bound.
//!
//! - from the start of the binary to its answer to `initialize`;
//! - its resident memory after many quick calls (Linux);
//! - a quick call through it, beside the same `PUT /jobs` by a bare HTTP client on one kept-alive connection, turn by turn.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod peers;
#[path = "../tests/support/mod.rs"]
#[allow(dead_code)]
mod support;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use peers::{Bare, Bridge};
use support::executor::Executor;
use table::{Row, median, millis, spread};

const STARTS: usize = 20;
const WARM_UPS: usize = 20;
const CALLS: usize = 200;

fn main() -> ExitCode {
    let executor = Executor::start();
    let mut rows = vec![start(&executor)];
    rows.extend(quick_calls(&executor));

    table::show(&rows)
}

fn start(executor: &Executor) -> Row {
    let folder = tempfile::tempdir().unwrap();
    let times: Vec<f64> = (0..=STARTS)
        .map(|_| {
            let began = Instant::now();
            let bridge = Bridge::start(executor, folder.path());
            let took = began.elapsed();
            bridge.leave();
            millis(took)
        })
        // The first one reads the binary from the disk.
        .skip(1)
        .collect();
    Row {
        what: "start to the answer to initialize",
        measured: median(&times),
        bound: 10.0,
        unit: "ms",
        detail: spread(&times),
    }
}

fn quick_calls(executor: &Executor) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Bridge::start(executor, folder.path());
    let mut bare = Bare::connect(executor);
    for _ in 0..WARM_UPS {
        bridge.run("x = 1");
        bare.run("x = 1");
    }
    let (mut through, mut beside) = (Vec::new(), Vec::new());
    for turn in 0..CALLS {
        // Each goes first in half of the turns.
        for is_bridge in [turn % 2 == 0, turn % 2 == 1] {
            let began = Instant::now();
            if is_bridge {
                bridge.run("x = 1");
                through.push(millis(began.elapsed()));
            } else {
                bare.run("x = 1");
                beside.push(millis(began.elapsed()));
            }
        }
    }
    let ratios: Vec<f64> = through.iter().zip(&beside).map(|(a, b)| a / b).collect();
    let mut rows = vec![Row {
        what: "x = 1 through the bridge / bare PUT /jobs",
        measured: median(&through) / median(&beside),
        bound: 1.3,
        unit: "x",
        detail: format!(
            "{:.2} ms / {:.2} ms; median of the turns' ratios {:.2}; {CALLS} turns",
            median(&through),
            median(&beside),
            median(&ratios)
        ),
    }];
    if let Some(mebibytes) = bridge.resident() {
        rows.insert(
            0,
            Row {
                what: "resident memory after quick calls",
                measured: mebibytes,
                bound: 15.0,
                unit: "MB",
                detail: format!("{} calls", WARM_UPS + CALLS),
            },
        );
    }
    bridge.leave();
    rows
}
