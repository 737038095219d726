//! What becomes of each cell.

use serde_json::{Value, json};

use super::{counting, printed, runs_of, states, valid};
use crate::support::executor::Executor;
use crate::support::home::Home;

fn code(source: &str, tags: &[&str]) -> Value {
    json!({"source": source, "tags": tags})
}

#[test]
fn a_failed_cell_keeps_only_its_dependents_from_running() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let cells = json!([
        {"source": "# Title", "type": "markdown"},
        code("n = 1\nname = 'a'", &["parameters"]),
        code("x = n * 2\nprint('x', x, name)", &[]),
        code("y = missing", &[]),
        code("z = y + 1", &[]),
        code("print('independent', x)", &[]),
        code("print('forced', 'y' in globals())\nlater = lambda: y", &["force"]),
        code("print('never')", &["skip-execution"]),
        code("print('tagged')", &["depends_on:cell-4"]),
    ]);
    let parameters = json!({"n": 21, "name": "é'\"", "flag": null});
    let run = bridge.call(
        "run_notebook",
        json!({"cells": cells, "parameters": parameters}),
    );
    run.refused("cell_failed");
    assert!(
        run.fact("error").contains("cell 4: NameError"),
        "{}",
        run.facts
    );
    assert!(
        run.fact("hint").contains("from_cell \"cell-4\""),
        "{}",
        run.facts
    );
    assert_eq!(
        states(&run),
        [
            "1 succeeded",
            "2 succeeded",
            "3 succeeded",
            "4 failed",
            "5 skipped because of cell 4",
            "6 succeeded",
            "7 succeeded",
            "8 skipped",
            "9 skipped because of cell 4",
        ]
    );
    assert_eq!(
        (
            &run.facts["failed"],
            &run.facts["skipped"],
            &run.facts["succeeded"]
        ),
        (&json!(1), &json!(3), &json!(5))
    );
    let copy = run.fact("executed_notebook");
    assert!(
        copy.starts_with(home.folder("results").to_str().unwrap()),
        "{copy}"
    );
    let notebook = valid(copy);
    let tags = &notebook["cells"][2]["metadata"]["tags"];
    assert_eq!(tags, &json!(["injected-parameters"]));
    assert_eq!(
        notebook["cells"][2]["source"],
        "# Parameters\nflag = None\nn = 21\nname = \"é'\\\"\""
    );
    assert_eq!(printed(&notebook, 3), "x 42 é'\"\n");
    assert_eq!(notebook["cells"][4]["outputs"][0]["output_type"], "error");
    assert_eq!(printed(&notebook, 6), "independent 42\n");
    assert_eq!(printed(&notebook, 7), "forced False\n");
    assert_eq!(notebook["cells"][5]["execution_count"], Value::Null);

    // The rest runs once the cell is mended, with the variables that there are; new parameters take the place of the old.
    let fix = json!({"cell_id": "cell-4", "content": "y = x"});
    bridge.call("update_cell", fix).succeeded();
    let rest = json!({"from_cell": "cell-4", "parameters": {"n": 3}});
    let run = bridge.call("run_notebook", rest);
    run.succeeded();
    assert_eq!(
        states(&run)[..3],
        ["4 succeeded", "5 succeeded", "6 succeeded"]
    );
    let notebook = valid(run.fact("notebook"));
    assert_eq!(notebook["cells"].as_array().unwrap().len(), 10);
    assert_eq!(notebook["cells"][2]["source"], "# Parameters\nn = 3");

    // Where the first failure ends it, nothing runs after that, and a new process knows no variables.
    let stopping = json!({"from_cell": "5", "on_error": "stop", "restart": true});
    let run = bridge.call("run_notebook", stopping);
    run.refused("cell_failed");
    assert_eq!(states(&run)[..2], ["5 failed", "6 not run"]);
    bridge
        .call("run_notebook", json!({"from_cell": "nowhere"}))
        .refused("invalid_argument");

    // Without a cell for them, parameters come first, which is said.
    let untagged = json!({"cells": [code("print(n)", &[])], "parameters": {"n": 4}});
    let run = bridge.call("run_notebook", untagged);
    run.succeeded();
    let notes = run.facts["notes"].to_string();
    assert!(notes.contains("no cell is tagged parameters"), "{notes}");
    assert_eq!(printed(&valid(run.fact("executed_notebook")), 1), "4\n");

    // A tag that names no cell before its own is refused, and nothing runs.
    for named in ["cell-9", "cell-3", "load"] {
        let tag = format!("depends_on: {named}");
        let cells = json!([
            code(&counting("untagged"), &["load-all"]),
            code("1", &[]),
            code("2", &[&tag])
        ]);
        let refused = bridge.call("run_notebook", json!({"cells": cells}));
        refused.refused("invalid_argument");
        let error = refused.fact("error");
        assert!(error.contains(&format!("depends_on:{named}")), "{error}");
        assert!(error.contains("cell-2, load-all, cell-1"), "{error}");
    }
    assert_eq!(runs_of("untagged"), 0);
}

#[test]
fn only_errors_that_may_pass_are_tried_again() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let failing = |file: &str, times: usize, error: &str| {
        let counted = counting(file);
        json!({"source": format!("{counted}\nif len(open('{file}').read()) <= {times}: raise {error}\nprint('passed')")})
    };
    let cells = json!([
        failing("passes", 2, "ConnectionError('reset')"),
        failing("stays", 99, "ConnectionError('reset')"),
        failing("wrong", 99, "ValueError('503')"),
        failing("own", 1, "KeyError('come again')"),
        {"source": format!("{}\nimport time\ntime.sleep(600)", counting("slow"))},
        {"source": "print('after')"},
        {"source": format!("{}\nimport weakref\nclass Big: pass\ndef work():\n    big = Big()\n    globals()['seen'] = weakref.ref(big)\n    raise RuntimeError('CUDA out of memory. Tried to allocate 2 GiB')\nif len(open('gpu').read()) < 2: work()\nprint('freed', seen() is None)", counting("gpu"))},
    ]);
    let run = bridge.call(
        "run_notebook",
        json!({"cells": cells, "on_error": "continue", "retry_on": "^KeyError: .*again", "timeout_sec": 6}),
    );
    run.refused("cell_failed");
    assert_eq!(
        states(&run),
        [
            "0 succeeded",
            "1 failed",
            "2 failed",
            "3 succeeded",
            "4 timed_out",
            "5 succeeded",
            "6 succeeded",
        ]
    );
    let attempts: Vec<_> = run
        .rows()
        .iter()
        .map(|row| row["attempts"].clone())
        .collect();
    assert_eq!(json!(attempts), json!([3, 3, 1, 2, 1, 1, 2]));
    let ran = ["passes", "stays", "wrong", "own", "slow"].map(runs_of);
    assert_eq!(ran, [3, 3, 1, 2, 1]);
    let notebook = valid(run.fact("executed_notebook"));
    // The outputs are those of the last attempt.
    assert_eq!(printed(&notebook, 0), "passed\n");
    assert_eq!(
        notebook["cells"][1]["outputs"][0]["ename"],
        "ConnectionError"
    );
    assert_eq!(printed(&notebook, 5), "after\n");
    assert_eq!(printed(&notebook, 6), "freed True\n");
    bridge
        .call(
            "run_notebook",
            json!({"cells": [{"source": "1"}], "retry_on": "("}),
        )
        .refused("invalid_argument");
}
