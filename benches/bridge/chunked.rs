//! A chunked operation of empty iterations, beside the same loop in one cell.

use std::path::Path;

use serde_json::json;

use crate::http::Bare;
use crate::link::{Link, Way};
use crate::peers::Peer;
use crate::server::{Server, bridge, facts};
use crate::support::executor::Executor;
use crate::table::{Row, in_turn, timed};

const TURNS: usize = 5;
pub(crate) const ITERATIONS: u32 = 10_000;
pub(crate) const BATCHES: u32 = 50;
const FAR_BATCHES: u32 = 10;

pub(crate) fn rows(executor: &Executor, _: &[Peer]) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let mut near = Server::bridge(executor, folder.path());
    near.quick("x = 1");
    let side = std::cell::RefCell::new(near);
    let loop_code = format!("for i in range({ITERATIONS}):\n    pass");
    let mut run =
        |iterations, batches| timed(|| operate(&mut side.borrow_mut(), iterations, batches));
    let run = std::cell::RefCell::new(&mut run);
    let [one, batch, batches, plain] = in_turn(
        TURNS,
        [
            &mut || (run.borrow_mut())(1, 1),
            &mut || (run.borrow_mut())(ITERATIONS, 1),
            &mut || (run.borrow_mut())(ITERATIONS, BATCHES),
            &mut || timed(|| side.borrow_mut().quick(&loop_code)),
        ],
    );
    side.into_inner().leave();
    let each = |more: &[f64], less: &[f64], count: u32, unit: f64| -> Vec<f64> {
        let pairs = more.iter().zip(less);
        pairs
            .map(|(more, less)| (more - less) / f64::from(count) * unit)
            .collect()
    };
    vec![
        Row::median(
            "setup and one iteration",
            "ms",
            one.iter().map(|value| value * 1000.0).collect(),
        ),
        Row::median(
            "an iteration, beyond the same loop in one cell",
            "us",
            each(&batch, &plain, ITERATIONS, 1e6),
        )
        .at_most(20.0),
        Row::median("a batch", "ms", each(&batches, &batch, BATCHES - 1, 1e3)).at_most(10.0),
        far_batch(executor, folder.path()),
    ]
}

/// Measures a batch over 80 ms beyond a round trip, which is the cheapest request over the same link.
fn far_batch(executor: &Executor, folder: &Path) -> Row {
    let link = Link::to(executor.address(), Way::FAR);
    let mut far = Server::start(bridge(&link.line(), folder));
    let mut bare = Bare::connect(link.address);
    far.quick("x = 1");
    bare.health();
    let beyond = (0..TURNS).map(|_| {
        let few = timed(|| operate(&mut far, FAR_BATCHES, 1));
        let many = timed(|| operate(&mut far, FAR_BATCHES, FAR_BATCHES));
        let batch = (many - few) / f64::from(FAR_BATCHES - 1);
        (batch - timed(|| bare.health())) * 1000.0
    });
    let beyond = beyond.collect();
    far.leave();
    Row::median("a batch over 80 ms, beyond a round trip", "ms", beyond).at_most(10.0)
}

/// Runs a whole operation under its own name.
pub(crate) fn operate(bridge: &mut Server, iterations: u32, batches: u32) {
    let name = uuid::Uuid::now_v7().to_string();
    let arguments = json!({
        "setup_code": "", "loop_code": "pass", "n_iterations": iterations, "batch_size": iterations / batches, "checkpoint_name": name,
    });
    loop {
        let report = facts(&bridge.call("run_chunked_operation", &arguments));
        if report["completed"] == iterations {
            return;
        }
        assert_eq!(report["can_continue"], true, "{report}");
    }
}
