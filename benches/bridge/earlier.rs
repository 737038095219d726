//! Beside an earlier build, both with an executor of their own on this machine. `SMART_COLAB_EARLIER` is the path of its program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::chunked::{BATCHES, ITERATIONS, operate};
use crate::peers::Peer;
use crate::server::Server;
use crate::support::executor::Executor;
use crate::support::python::python;
use crate::table::{Row, in_turn, timed};

const EARLIER: &str = "SMART_COLAB_EARLIER";
const STARTS: usize = 10;
const TURNS: usize = 5;
const QUICK_CALLS: u32 = 100;

pub(crate) fn rows(_: &Executor, _: &[Peer]) -> Vec<Row> {
    let Some(earlier) = std::env::var_os(EARLIER).map(PathBuf::from) else {
        println!("  {EARLIER} names no earlier build");
        return Vec::new();
    };
    let now = PathBuf::from(env!("CARGO_BIN_EXE_smart-colab"));
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let start = |side: usize| Server::start(local([&now, &earlier][side], folders[side].path()));
    let first_result = |side| {
        let mut bridge = None;
        let took = 1000.0
            * timed(|| {
                let mut started = start(side);
                started.quick("x = 1");
                bridge = Some(started);
            });
        bridge.unwrap().leave();
        took
    };
    // The first starts compile the executor's modules.
    for number in 0..2 {
        first_result(number);
    }
    let starts = in_turn(STARTS, [&mut || first_result(0), &mut || first_result(1)]);

    let mut sides = [start(0), start(1)];
    let [ours, theirs] = &mut sides;
    ours.quick("x = 1");
    theirs.quick("x = 1");
    let mut number = 0;
    let mut session = || {
        number += 1;
        format!("s{number}")
    };
    let session = std::cell::RefCell::new(&mut session);
    let sessions = in_turn(
        TURNS,
        [
            &mut || 1000.0 * timed(|| in_session(ours, &(session.borrow_mut())())),
            &mut || 1000.0 * timed(|| in_session(theirs, &(session.borrow_mut())())),
        ],
    );
    let restart = |bridge: &mut Server| {
        1000.0
            * timed(|| {
                bridge.call("restart_session", &json!({"session": "main"}));
                bridge.quick("x = 1");
            })
    };
    let restarts = in_turn(TURNS, [&mut || restart(ours), &mut || restart(theirs)]);
    let batch = |bridge: &mut Server| {
        let one = timed(|| operate(bridge, ITERATIONS, 1));
        let all = timed(|| operate(bridge, ITERATIONS, BATCHES));
        1000.0 * (all - one) / f64::from(BATCHES - 1)
    };
    let batches = in_turn(TURNS, [&mut || batch(ours), &mut || batch(theirs)]);
    let mut rows = vec![
        ratio("spawn to the first result", &starts, 0.6),
        ratio("a new session and a run there", &sessions, 0.3),
        ratio("a restart and a run", &restarts, 0.3),
        ratio("a batch of a chunked operation", &batches, 0.5),
    ];
    if let (Some(our_executor), Some(their_executor)) = (ours.executor(), theirs.executor()) {
        let used = |bridge: &mut Server, executor| {
            let before = processor_ms(executor);
            (0..QUICK_CALLS).for_each(|_| bridge.quick("x = 1"));
            (processor_ms(executor) - before) / f64::from(QUICK_CALLS)
        };
        let quick = in_turn(
            TURNS,
            [&mut || used(ours, our_executor), &mut || {
                used(theirs, their_executor)
            }],
        );
        rows.push(ratio(
            "processor time of the executor, a quick job",
            &quick,
            0.5,
        ));
    }
    sides.into_iter().for_each(Server::leave);
    rows
}

/// Returns a bridge that starts an executor on this machine.
fn local(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env("COLAB_URL", "local")
        .env("SMART_COLAB_PYTHON", python())
        .env("LOCAL_SAVE_DIR", folder.join("results"))
        .env("SMART_COLAB_DATA_DIR", folder.join("data"));
    command
}

fn in_session(bridge: &mut Server, session: &str) {
    bridge.run(
        "run_code_quick",
        &json!({"code": "x = 1", "session": session}),
    );
}

fn ratio(what: &str, [now, earlier]: &[Vec<f64>; 2], bound: f64) -> Row {
    let what = format!("{what} / earlier build");
    Row::ratio(what, "ms", ("now", now), ("earlier", earlier)).at_most(bound)
}

/// Returns the processor time that the threads of a process have used, in ms (Linux).
fn processor_ms(pid: u32) -> f64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let used = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    used.sum::<f64>() / 1e6
}
