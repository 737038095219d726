//! Running cells.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Client, printed};
use crate::support::executor::{Executor, until_there};
use crate::support::stdio::PATIENCE;

/// Code that says that it runs, then waits for a file, then prints.
pub(super) fn gated(name: &str) -> String {
    format!(
        "import pathlib, time\npathlib.Path('{name}.runs').touch()\nprint('before')\nwhile not pathlib.Path('{name}.go').exists(): time.sleep(0.02)\nprint('after')"
    )
}

pub(super) fn root(name: &str) -> std::path::PathBuf {
    Executor::shared().root().join(name)
}

/// Waits until the file's cell has outputs that suit.
pub(super) fn until_written(client: &Client, cell: usize, suits: impl Fn(&Value) -> bool) {
    let end = Instant::now() + PATIENCE;
    loop {
        let text = fs::read_to_string(&client.path).unwrap();
        let notebook: Value = serde_json::from_str(&text).unwrap();
        if suits(&notebook["cells"][cell]) {
            return;
        }
        assert!(Instant::now() < end, "{notebook}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn outputs_of_a_run_are_shown_and_written_into_the_cell() {
    let mut client = Client::with_new("run.ipynb");
    let id = client.add(
        "import matplotlib.pyplot as plt\nprint('größe')\nplt.plot([1, 2])\nplt.show()\n6 * 7",
    );
    let run = client.call("run_code_cell", json!({"cellId": id}));
    run.succeeded();
    assert!(
        run.text.contains("größe") && run.text.contains("42"),
        "{}",
        run.text
    );
    assert_eq!(run.pictures.len(), 1);
    assert_eq!(run.fact("outputs"), "written into the cell");
    let notebook = client.valid();
    let cell = &notebook["cells"][0];
    assert_eq!(
        (cell["execution_count"].as_u64(), printed(cell)),
        (Some(1), "größe\n".to_owned())
    );
    assert!(cell["outputs"].to_string().contains("image/png"));
    let shown = client.cells();
    assert!(
        shown.text.contains("größe") && shown.text.contains("execution_count=1"),
        "{}",
        shown.text
    );
    assert_eq!(shown.pictures.len(), 1);

    // A long output is written in part.
    let id = client.add("for n in range(40_000): print(n)");
    let run = client.call(
        "run_code_cell",
        json!({"cell_id": id, "expect": "00000000"}),
    );
    run.refused("cell_changed");
    client
        .call("run_code_cell", json!({"cell_id": id}))
        .succeeded();
    let text = printed(&client.valid()["cells"][1]);
    assert!(
        text.starts_with("0\n1\n") && text.ends_with("39999\n") && text.len() < 101_000,
        "{}",
        text.len()
    );
    assert!(
        text.contains("is skipped here (job "),
        "{}",
        &text[text.len() / 2 - 100..text.len() / 2 + 100]
    );
}

#[test]
fn cells_run_in_order_up_to_the_first_error() {
    let mut client = Client::with_new("order.ipynb");
    client.add("x = 1\nprint('first', x)");
    client
        .call("add_text_cell", json!({"content": "between"}))
        .succeeded();
    client.add("x += 1\nprint('second', x)");
    client.add("raise ValueError('no')");
    client.add("print('never')");
    let run = client.call("run_cells", json!({}));
    run.refused("python_error");
    assert!(
        run.text.contains("first 1") && run.text.contains("second 2"),
        "{}",
        run.text
    );
    let id = client.valid()["cells"][4]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        (&run.facts["cells_run"], run.fact("not_run")),
        (&json!(3), &*format!("id={id}"))
    );
    let named = run.whole.to_string().matches(r#"\"session\""#).count();
    assert_eq!(named, 1, "{}", run.whole);
    let notebook = client.valid();
    let counts: Vec<_> = [0, 2, 3, 4]
        .map(|at| notebook["cells"][at]["execution_count"].as_u64())
        .into();
    assert_eq!(counts, [Some(1), Some(2), Some(3), None]);
    assert_eq!(notebook["cells"][3]["outputs"][0]["output_type"], "error");
    let again = client.call("run_cells", json!({"from": 1, "to": 2}));
    again.succeeded();
    assert!(again.text.contains("second 3"), "{}", again.text);
    client
        .call("run_code_cell", json!({"cell_index": 1}))
        .refused("invalid_argument");
}

#[test]
fn runs_that_outlive_their_call_are_finished_in_the_background() {
    let mut client = Client::with_new("later.ipynb");
    client.add(&gated("later"));
    let next = client.add("print('next')");
    let run = client.call("run_cells", json!({"wait_sec": 0}));
    assert!(!run.is_error, "{}", run.whole);
    let state = run.fact("state");
    assert!(["queued", "running"].contains(&state), "{}", run.facts);
    assert!(run.fact("waiting").starts_with(&format!("id={next}")));
    let shown = client.cells();
    let job = run.fact("job_id");
    assert!(
        shown.text.contains(&format!(" running job_id={job} ---"))
            && shown.text.contains(" waiting ---"),
        "{}",
        shown.text
    );
    // Other cells may be edited meanwhile.
    client
        .call("add_text_cell", json!({"content": "new", "cell_index": 0}))
        .succeeded();
    fs::write(root("later.go"), "").unwrap();
    until_written(&client, 2, |cell| printed(cell) == "next\n");
    assert_eq!(printed(&client.valid()["cells"][1]), "before\nafter\n");
}

#[test]
fn outputs_go_only_to_the_source_that_ran() {
    let mut client = Client::with_new("edited.ipynb");
    let id = client.add(&gated("edited"));
    let run = client
        .bridge
        .begin_call("run_code_cell", json!({"cell_id": id}));
    until_there(&root("edited.runs"));
    client
        .call("update_cell", json!({"cell_id": id, "content": "other"}))
        .succeeded();
    fs::write(root("edited.go"), "").unwrap();
    let run = crate::support::stdio::Answer::of(&client.bridge.answer(run));
    run.succeeded();
    assert!(
        run.fact("outputs").contains("edited after its run began"),
        "{}",
        run.facts
    );
    assert_eq!(client.valid()["cells"][0]["outputs"], json!([]));

    // Of a run that outlives its call, its own reply says so.
    let id = client.add(&gated("edited_later"));
    let run = client.call("run_code_cell", json!({"cell_id": id, "wait_sec": 0}));
    until_there(&root("edited_later.runs"));
    client
        .call("update_cell", json!({"cell_id": id, "content": "other"}))
        .succeeded();
    fs::write(root("edited_later.go"), "").unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        let job = json!({"job_id": run.facts["job_id"], "wait_sec": 30});
        let run = client.call("get_output", job);
        if let Some(outputs) = run.facts["outputs"].as_str() {
            assert!(outputs.contains("edited after its run began"), "{outputs}");
            break;
        }
        // Written, or not, a moment after the end.
        assert!(Instant::now() < end, "{}", run.facts);
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_later_bridge_writes_the_outputs_that_a_dead_one_left() {
    let mut client = Client::with_new("left.ipynb");
    let id = client.add(&gated("left"));
    client.call("run_code_cell", json!({"cell_id": id, "wait_sec": 0}));
    until_there(&root("left.runs"));
    let Client { bridge, home, path } = client;
    drop(bridge);
    fs::write(root("left.go"), "").unwrap();
    let bridge = Executor::shared().bridge(&home, &[]);
    let client = Client { bridge, home, path };
    until_written(&client, 0, |cell| printed(cell) == "before\nafter\n");
    let notes = client.home.folder("data").join("cells");
    let end = Instant::now() + PATIENCE;
    while fs::read_dir(&notes).unwrap().next().is_some() {
        assert!(Instant::now() < end, "a note is left");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn notebooks_of_other_languages_are_edited_and_not_run() {
    let text = json!({
        "cells": [{"cell_type": "code", "id": "r1", "metadata": {}, "execution_count": null, "outputs": [], "source": "x <- 1"}],
        "metadata": {"kernelspec": {"display_name": "R", "language": "R", "name": "ir"}}, "nbformat": 4, "nbformat_minor": 5,
    });
    let mut client = Client::with_text("other.ipynb", &text.to_string());
    client
        .call("update_cell", json!({"cell_id": "r1", "content": "x <- 2"}))
        .succeeded();
    let refused = client.call("run_cells", json!({}));
    refused.refused("not_runnable");
    assert!(
        refused.fact("error").contains("notebook in R"),
        "{}",
        refused.facts
    );
    assert_eq!(client.valid()["cells"][0]["source"], "x <- 2");
}
