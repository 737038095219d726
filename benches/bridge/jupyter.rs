//! A kernel of a Jupyter Server: through the bridge, by `jupyter_client`, and through peers on the same server.

use std::collections::HashSet;
use std::fs;

use serde_json::{Value, json};

use crate::kernel::Kernel;
use crate::peers::Peer;
use crate::server::{Server, bridge, facts, text};
use crate::start::{ready, started};
use crate::support::executor::Executor;
use crate::support::jupyter::{Jupyter, TOKEN};
use crate::table::{Row, in_turn, timed};

const STARTS: usize = 5;
const WARM_UPS: usize = 20;
const TURNS: usize = 200;
const PEER_TURNS: usize = 10;
const CODE: &str = "x = 1";
/// 3.5 MB.
const LOG: &str = "for i in range(40_000): print(f'{i:087}')";
const LINES: usize = 40_000;

pub(crate) fn rows(_: &Executor, peers: &[Peer]) -> Vec<Row> {
    let server = Jupyter::lab(&[]);
    let kernel = server.open("bench.ipynb");
    let folder = tempfile::tempdir().unwrap();
    let start = || Server::start(bridge(&server.setting(), folder.path()));
    // The first start reads the program from the disk.
    start().leave();
    let mut bridge = start();
    bridge.request("tools/list", json!({}));
    let idle = bridge.resident().zip(bridge.private());
    let there = json!({"code": CODE, "session": format!("kernel:{kernel}")});
    let mut rows = beside_jupyter_client(&server, &kernel, &mut bridge, &there);
    let (read, lost) = log(&mut bridge);
    rows.push(Row::median("of 40,000 lines are lost", "", vec![lost]).at_most(0.0));
    for peer in peers {
        let start_peer = || peer.start_at(&server.url(), TOKEN);
        // Installs it, and reads it from the disk.
        start_peer().end();
        let [ours, theirs] = in_turn(
            STARTS,
            [&mut || started(start)[1], &mut || {
                let ([_, listed], server) = ready(start_peer);
                server.end();
                listed
            }],
        );
        let mut beside = |what: &str, unit, ours: &[f64], theirs: &[f64], bound| {
            let what = format!("{what} / {}", peer.name);
            let row = Row::ratio(what, unit, ("bridge", ours), ("peer", theirs));
            rows.push(row.at_most(bound));
        };
        let what = "spawn to the answer to tools/list";
        beside(what, "ms", &ours, &theirs, 1.0 / 200.0);

        let mut other = start_peer();
        other.request("tools/list", json!({}));
        let beside_idle = other.resident().zip(other.private());
        if let (Some(ours), Some(theirs)) = (idle, beside_idle) {
            let bound = 1.0 / 10.0;
            beside("memory idle", "MB", &[ours.0], &[theirs.0], bound);
            beside(
                "the same without files",
                "MB",
                &[ours.1],
                &[theirs.1],
                bound,
            );
        }
        peer.run(&mut other, CODE);
        let [ours, theirs] = in_turn(
            PEER_TURNS,
            [
                &mut || 1000.0 * timed(|| drop(bridge.run("run_code_quick", &there))),
                &mut || 1000.0 * timed(|| drop(peer.run(&mut other, CODE))),
            ],
        );
        assert!(peer.run(&mut other, "print('x is', x)").contains("x is 1"));
        beside(CODE, "ms", &ours, &theirs, 1.0 / 50.0);

        let shown = peer.run(&mut other, LOG);
        beside(
            "characters read of 3.5 MB",
            "",
            &[read],
            &[length(&shown)],
            1.0 / 50.0,
        );
        let what = format!("of 40,000 lines are lost by {}", peer.name);
        rows.push(Row::median(what, "", vec![lost_of(&shown)]));
        other.end();
    }
    bridge.leave();
    rows
}

fn beside_jupyter_client(
    server: &Jupyter,
    kernel: &str,
    bridge: &mut Server,
    there: &Value,
) -> Vec<Row> {
    let file = server.runtime_dir().join(format!("kernel-{kernel}.json"));
    let mut direct = Kernel::at(&file);
    for _ in 0..WARM_UPS {
        bridge.run("run_code_quick", there);
        bridge.quick(CODE);
        direct.run(CODE);
    }
    let [through, own, theirs] = {
        let side = std::cell::RefCell::new(&mut *bridge);
        in_turn(
            TURNS,
            [
                &mut || 1000.0 * timed(|| drop(side.borrow_mut().run("run_code_quick", there))),
                &mut || 1000.0 * timed(|| side.borrow_mut().quick(CODE)),
                &mut || 1000.0 * direct.run(CODE),
            ],
        )
    };
    direct.leave();
    let row = |what: &str, ours: &[f64]| {
        Row::ratio(what, "ms", ("bridge", ours), ("jupyter_client", &theirs)).at_most(2.5)
    };
    vec![
        row(
            "x = 1 in a notebook's kernel / jupyter_client there",
            &through,
        ),
        row("x = 1 in a session / jupyter_client in that kernel", &own),
    ]
}

/// Returns how many characters of the log a model reads, and how many lines are in no file.
fn log(bridge: &mut Server) -> (f64, f64) {
    let answers = bridge.run("run_code_long", &json!({"code": LOG}));
    let facts = facts(&answers[answers.len() - 1]);
    let kept = fs::read_to_string(facts["log"].as_str().unwrap()).unwrap();
    let read: String = answers.iter().map(text).collect();
    (length(&read), lost_of(&kept))
}

fn length(text: &str) -> f64 {
    text.chars().count() as f64
}

/// Returns how many of the log's lines are not in `text`.
fn lost_of(text: &str) -> f64 {
    let numbers = text.lines().filter(|line| line.len() == 87);
    let kept: HashSet<usize> = numbers.filter_map(|line| line.parse().ok()).collect();
    (LINES - kept.iter().filter(|number| **number < LINES).count()) as f64
}
