//! Start time and memory.

use std::time::Instant;

use serde_json::json;

use crate::peers::Peer;
use crate::server::{Server, bridge};
use crate::support::executor::Executor;
use crate::table::{Row, in_turn, millis};

const STARTS: usize = 20;
const CALLS: usize = 1000;

pub(crate) fn rows(executor: &Executor, peers: &[Peer]) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let start = || Server::start(bridge(&executor.line(), folder.path()));
    let python = Peer::python_sdk();
    // The first starts read the programs from the disk.
    start().leave();
    python.start().leave();
    let mut listed = Vec::new();
    let [ours, theirs] = in_turn(
        STARTS,
        [
            &mut || {
                let [greeted, then] = started(start);
                listed.push(then);
                greeted
            },
            &mut || started(|| python.start())[0],
        ],
    );
    let mut rows = vec![
        Row::median("spawn to the answer to initialize", "ms", ours.clone()).at_most(5.0),
        Row::ratio(
            "the same / a Python server with one tool",
            "ms",
            ("bridge", &ours),
            ("Python", &theirs),
        )
        .at_most(1.0 / 50.0),
        Row::median("spawn to the answer to tools/list", "ms", listed),
    ];
    for peer in peers {
        let times: Vec<f64> = (0..STARTS).map(|_| started(|| peer.start())[0]).collect();
        rows.push(Row::ratio(
            format!("spawn to initialize / {}", peer.name),
            "ms",
            ("bridge", &ours),
            ("peer", &times),
        ));
    }
    rows.extend(memory(start()));
    rows
}

/// Returns the milliseconds to the answers to `initialize` and to `tools/list`.
pub(crate) fn started(start: impl Fn() -> Server) -> [f64; 2] {
    let (times, server) = ready(start);
    server.leave();
    times
}

/// Starts a server; returns the milliseconds to the answers to `initialize` and to `tools/list`.
pub(crate) fn ready(start: impl Fn() -> Server) -> ([f64; 2], Server) {
    let began = Instant::now();
    let mut server = start();
    let greeted = millis(began.elapsed());
    server.request("tools/list", json!({}));
    let listed = millis(began.elapsed());
    ([greeted, listed], server)
}

fn memory(mut bridge: Server) -> Vec<Row> {
    bridge.request("tools/list", json!({}));
    let Some(idle) = bridge.resident() else {
        return Vec::new(); // Not reported by this system.
    };
    for _ in 0..CALLS {
        bridge.quick("x = 1");
    }
    let busy = bridge.resident().unwrap();
    bridge.leave();
    let row = |what: &str, value, bound| Row::median(what, "MB", vec![value]).at_most(bound);
    vec![
        row("memory idle", idle, 10.0),
        row("memory after 1,000 calls", busy, 12.0),
    ]
}
