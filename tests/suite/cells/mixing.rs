//! Runs that meet another run, or a new Python process.

use std::fs;

use serde_json::{Value, json};

use super::{Client, printed};
use crate::cells::runs::{gated, root, until_written};
use crate::support::executor::{Executor, until_there};

#[test]
fn cells_after_the_end_of_their_python_process_are_not_run() {
    let mut client = Client::with_new("exits.ipynb");
    client.add("x = 1");
    client.add("print('leaving')\nexit()");
    let third = client.add("print('x' in globals())");
    let run = client.call("run_cells", json!({}));
    run.refused("kernel_died");
    assert!(
        run.fact("error").contains("new Python process"),
        "{}",
        run.facts
    );
    assert_eq!(run.fact("not_run"), format!("id={third}"));
    assert_eq!(client.valid()["cells"][2]["outputs"], json!([]));

    // A process that was replaced between two cells is not taken for the old one, also after the call.
    let mut client = Client::with_new("replaced.ipynb");
    client.add(&gated("replaced"));
    let second = client.add("print('never')");
    let run = client.call("run_cells", json!({"wait_sec": 0}));
    let session = run.fact("session").to_owned();
    until_there(&root("replaced.runs"));
    // It stands in the queue behind the first cell, and before the second one.
    let code = json!({"code": "exit()", "session": session, "wait_sec": 0});
    client.call("run_code_long", code);
    fs::write(root("replaced.go"), "").unwrap();
    until_written(&client, 0, |cell| printed(cell) == "before\nafter\n");
    let shown = client.until_cells(|shown| shown.facts["not_run"].is_string());
    let not_run = shown.fact("not_run");
    assert!(
        not_run.starts_with(&format!("id={second}: ")) && not_run.contains("new Python process"),
        "{not_run}"
    );
    assert_eq!(client.valid()["cells"][1]["outputs"], json!([]));
}

#[test]
fn a_second_run_of_a_notebook_is_refused_while_one_runs() {
    let mut client = Client::with_new("mixed.ipynb");
    let first = client.add(&gated("mixed"));
    client.add("n = 1\nprint('n', n)");
    let run = client.call("run_cells", json!({"wait_sec": 0}));
    let job = run.fact("job_id").to_owned();
    for (tool, arguments) in [
        ("run_cells", json!({})),
        ("run_code_cell", json!({"cell_id": first})),
        ("run_notebook", json!({})),
    ] {
        let refused = client.call(tool, arguments);
        refused.refused("busy");
        assert!(refused.fact("error").contains(&job), "{}", refused.facts);
    }
    fs::write(root("mixed.go"), "").unwrap();
    until_written(&client, 1, |cell| printed(cell) == "n 1\n");
    client.until_cells(|shown| !shown.text.contains(" running"));
    let count = |client: &Client, at: usize| -> Value {
        client.valid()["cells"][at]["execution_count"].clone()
    };
    assert_eq!(count(&client, 1), 2);

    // The other way round.
    fs::remove_file(root("mixed.go")).unwrap();
    client
        .call("run_notebook", json!({"wait_sec": 0}))
        .succeeded();
    client.call("run_cells", json!({})).refused("busy");
    fs::write(root("mixed.go"), "").unwrap();
    client.call("run_notebook", json!({}));
    client.call("run_cells", json!({})).succeeded();
}

#[test]
fn ranges_without_cells_say_so() {
    let mut client = Client::with_new("ranges.ipynb");
    let run = client.call("run_cells", json!({}));
    run.succeeded();
    assert_eq!(run.facts["cells_run"], 0);
    client.add("1");
    client.add("2");
    let refused = client.call("run_cells", json!({"from": 1, "to": 0}));
    refused.refused("invalid_argument");
    assert!(
        refused.fact("error").contains("before its first"),
        "{}",
        refused.facts
    );
}

#[test]
fn a_cell_that_was_ended_from_outside_shows_it() {
    let mut client = Client::with_new("ended.ipynb");
    client.add("print('before', flush=True)\nimport os\nos._exit(3)");
    client
        .call("run_code_cell", json!({"cell_index": 0}))
        .refused("kernel_died");
    let notebook = client.valid();
    let cell = &notebook["cells"][0];
    assert_eq!(cell["execution_count"], 1);
    assert_eq!(printed(cell), "before\n");
    let last = cell["outputs"].as_array().unwrap().last().unwrap();
    assert_eq!(last["ename"], "KernelDied", "{cell}");
}

#[test]
fn a_run_by_another_client_of_this_computer_is_named_and_single_cells_queue() {
    let mut client = Client::with_new("clients.ipynb");
    let first = client.add(&gated("clients"));
    let second = client.add("print('second')");
    let mut other = Executor::shared().bridge(&client.home, &[]);
    let mut other = |tool: &str, cell: Option<&str>| {
        let mut arguments = json!({"notebook": "clients.ipynb", "wait_sec": 0});
        if let Some(cell) = cell {
            arguments["cell_id"] = json!(cell);
        }
        other.call(tool, arguments)
    };
    client.call("run_cells", json!({"wait_sec": 0})).succeeded();
    for (tool, cell) in [
        ("run_cells", None),
        ("run_notebook", None),
        ("run_code_cell", Some(&*second)),
    ] {
        let refused = other(tool, cell);
        refused.refused("busy");
        assert!(
            refused.fact("error").contains("another client"),
            "{}",
            refused.facts
        );
    }
    fs::write(root("clients.go"), "").unwrap();
    until_written(&client, 1, |cell| printed(cell) == "second\n");
    client.until_cells(|shown| !shown.text.contains(" running"));

    // A single cell waits for that of the other client, as one of this client would.
    fs::remove_file(root("clients.go")).unwrap();
    let run = json!({"cell_id": first, "wait_sec": 0});
    client.call("run_code_cell", run).succeeded();
    other("run_code_cell", Some(&second)).succeeded();
    fs::write(root("clients.go"), "").unwrap();
    client.until_cells(|shown| !shown.text.contains(" running"));
}
