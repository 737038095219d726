//! Large output, end to end.

use serde_json::json;

use crate::kernel::Kernel;
use crate::peers::Peer;
use crate::server::Server;
use crate::support::executor::Executor;
use crate::table::{Row, in_turn, timed};

const TURNS: usize = 3;
const LINES: f64 = 200_000.0;
const SHORT_LINES: &str = "for i in range(200_000): print('line', i)";
const LONG_LINES: &str = "for i in range(1_000_000): print('y' * 99)";

pub(crate) fn rows(executor: &Executor, _: &[Peer]) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Server::bridge(executor, folder.path());
    let mut kernel = Kernel::start();
    let file = folder.path().join("by-jupyter_client");
    bridge.quick("x = 1");
    kernel.run("x = 1");
    let mut rows = Vec::new();
    for (what, code, bound) in [
        (
            "200,000 short lines / jupyter_client to a file",
            SHORT_LINES,
            None,
        ),
        ("100 MB / jupyter_client to a file", LONG_LINES, Some(3.0)),
    ] {
        let arguments = json!({"code": code});
        let [through, direct] = in_turn(
            TURNS,
            [
                &mut || timed(|| drop(bridge.run("run_code_long", &arguments))),
                &mut || kernel.run_to(code, &file),
            ],
        );
        let row = Row::ratio(what, "s", ("bridge", &through), ("jupyter_client", &direct));
        rows.push(bound.into_iter().fold(row, Row::at_most));
        if bound.is_none() {
            let rates = through.iter().map(|seconds| LINES / seconds).collect();
            rows.push(Row::median("lines a second, end to end", "/s", rates));
        }
    }
    rows.extend(
        bridge
            .peak()
            .map(|peak| Row::median("the bridge's peak memory", "MB", vec![peak]).at_most(40.0)),
    );
    kernel.leave();
    bridge.leave();
    rows
}
