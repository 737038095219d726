//! Inspecting a full machine.

use serde_json::{Value, json};

use crate::peers::Peer;
use crate::server::Server;
use crate::support::executor::Executor;
use crate::table::{Row, in_turn, timed};

const TURNS: usize = 20;
/// 1,000 variables and an array of 4 GB, which holds no memory before it is written to.
const FILL: &str = "import numpy as np\nfor i in range(1000): globals()[f'v{i}'] = [i]\nbig = np.zeros(500_000_000)";
const FILES: usize = 50_000;

pub(crate) fn rows(executor: &Executor, _: &[Peer]) -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let mut bridge = Server::bridge(executor, folder.path());
    bridge.quick(FILL);
    let files = executor.root().join("files");
    std::fs::create_dir(&files).unwrap();
    for number in 0..FILES {
        std::fs::write(files.join(number.to_string()), "").unwrap();
    }
    let mut rows = Vec::new();
    for (what, tool, arguments) in [
        ("probe", "probe_colab_environment", json!({})),
        (
            "1,000 variables and an array of 4 GB",
            "list_colab_variables",
            json!({}),
        ),
        (
            "a folder of 50,000 files",
            "list_colab_files",
            json!({"path": "files"}),
        ),
    ] {
        let [times] = in_turn(
            TURNS,
            [&mut || 1000.0 * timed(|| answered(&bridge.call(tool, &arguments)))],
        );
        rows.push(Row::median(what, "ms", times));
    }
    bridge.leave();
    rows
}

fn answered(answer: &Value) {
    assert_ne!(answer["isError"], true, "{answer}");
}
