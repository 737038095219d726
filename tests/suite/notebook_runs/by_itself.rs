//! Runs that go on by themselves: without a call, after the bridge's death, until they are interrupted.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{counting, printed, root, runs_of, states, valid};
use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::stdio::{Bridge, PATIENCE};

/// Code that counts its runs and says so, then waits for a file.
fn gated(name: &str) -> String {
    let counted = counting(&format!("{name}.runs"));
    format!(
        "import pathlib, time\nprint('before')\n{counted}\nwhile not pathlib.Path('{name}.go').exists(): time.sleep(0.02)\nprint('after')"
    )
}

/// A notebook of a gated cell between two that are counted.
fn make(bridge: &mut Bridge, name: &str) {
    let file = format!("{name}.ipynb");
    let created = bridge.call("open_notebook", json!({"notebook": file, "create": true}));
    created.succeeded();
    let first = counting(&format!("{name}.first")) + "\nprint('first')";
    let last = counting(&format!("{name}.last")) + "\nprint('last')";
    for code in [first, gated(name), last] {
        bridge
            .call("add_code_cell", json!({"code": code}))
            .succeeded();
    }
}

#[test]
fn a_bridge_killed_in_a_cell_is_followed_by_one_that_goes_on() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    make(&mut bridge, "killed");
    let begun = bridge.call("run_notebook", json!({"wait_sec": 0}));
    begun.succeeded();
    assert_eq!(begun.fact("state"), "running");
    until_there(&root("killed.runs"));

    // Another bridge follows the same run.
    let mut other = Executor::shared().bridge(&home, &[]);
    let same = other.call(
        "run_notebook",
        json!({"notebook": "killed.ipynb", "wait_sec": 0}),
    );
    assert_eq!(same.facts["operation"], begun.facts["operation"]);
    assert_eq!(states(&same), ["0 succeeded", "1 running", "2 not run"]);
    // A cell that has not run yet may be edited.
    let last = counting("killed.last") + "\nprint('edited')";
    let edit = json!({"notebook": "killed.ipynb", "cell_index": 2, "content": last});
    other.call("update_cell", edit).succeeded();
    drop(other);
    drop(bridge);
    fs::write(root("killed.go"), "").unwrap();

    // Nothing asks the next bridge.
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let copy = home.folder("results").join("killed.ipynb");
    let end = Instant::now() + PATIENCE;
    while !copy.exists() {
        assert!(Instant::now() < end, "{}", bridge.stderr());
        std::thread::sleep(Duration::from_millis(50));
    }
    let notebook = valid(&copy);
    let texts = [0, 1, 2].map(|at| printed(&notebook, at));
    assert_eq!(texts, ["first\n", "before\nafter\n", "edited\n"]);
    let ran = ["killed.first", "killed.runs", "killed.last"].map(runs_of);
    assert_eq!(ran, [1, 1, 1]);
    let seen = bridge.call("get_output", json!({"job_id": "killed.ipynb"}));
    seen.succeeded();
    assert_eq!(seen.facts["operation"], begun.facts["operation"]);
    assert!(
        seen.facts["notes"]
            .to_string()
            .contains("cell at index 2 was edited"),
        "{}",
        seen.facts
    );
}

/// Has the record say that the last cell's job was about to be sent to this executor.
fn about_to_send(home: &Home, boot_id: &str) {
    let folder = home.folder("data").join("notebooks");
    let mut files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let path = files
        .find(|path| path.extension().unwrap() == "json")
        .unwrap();
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let job = uuid::Uuid::now_v7().to_string();
    record["state"] = json!("running");
    record["lost_at"] = json!(null);
    record["flight"] = json!({"row": 1, "job_id": job, "boot_id": boot_id, "is_known": false});
    record["rows"][1]["state"] = json!("running");
    record["rows"][1]["is_written"] = json!(false);
    record["rows"][1]["job_id"] = json!(job);
    fs::write(path, record.to_string()).unwrap();
}

#[test]
fn a_job_that_never_arrived_is_sent_unless_the_machine_has_changed() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let cells = json!([{"source": "x = 1"}, {"source": counting("unsent")}]);
    let run = bridge.call("run_notebook", json!({"cells": cells}));
    run.succeeded();
    let job = run.rows()[1]["job_id"].as_str().unwrap().to_owned();
    let noted = home
        .folder("data")
        .join("jobs/parts")
        .join(format!("{job}.json"));
    let noted = fs::read_to_string(noted).unwrap();
    let noted: Value = serde_json::from_str(noted.lines().last().unwrap()).unwrap();
    let id = run.fact("operation").to_owned();
    let boot_id = noted["boot_id"].as_str().unwrap();
    for (boot_id, state, runs) in [(boot_id, "1 succeeded", 2), ("another", "1 lost", 2)] {
        drop(bridge);
        about_to_send(&home, boot_id);
        bridge = Executor::shared().bridge(&home, &[]);
        let end = Instant::now() + PATIENCE;
        let mut seen = bridge.call("get_output", json!({"job_id": id}));
        while seen.facts["state"] == "running" {
            assert!(Instant::now() < end, "{}", seen.facts);
            seen = bridge.call("get_output", json!({"job_id": id}));
        }
        assert_eq!(states(&seen), ["0 succeeded", state]);
        assert_eq!(runs_of("unsent"), runs);
    }
}

#[test]
fn a_run_goes_on_when_its_call_is_cancelled_and_ends_when_it_is_interrupted() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    make(&mut bridge, "stopped");
    let call = bridge.begin_call("run_notebook", json!({}));
    until_there(&root("stopped.runs"));
    let timeout = json!({"requestId": call, "reason": "Request timed out"});
    bridge.notify("notifications/cancelled", timeout);
    let list = bridge.call("list_jobs", json!({"top": 1}));
    assert!(
        list.facts["notebook_runs"]
            .to_string()
            .contains("stopped.ipynb"),
        "{}",
        list.facts
    );
    let seen = bridge.call(
        "get_output",
        json!({"job_id": "stopped.ipynb", "wait_sec": 0}),
    );
    assert_eq!(seen.fact("state"), "running", "{}", seen.facts);
    assert!(
        seen.fact("running").starts_with("cell 1, attempt 1"),
        "{}",
        seen.facts
    );

    let stopped = bridge.call("interrupt_execution", json!({"job_id": "stopped.ipynb"}));
    let end = Instant::now() + PATIENCE;
    let mut seen = stopped;
    while seen.facts["state"] == "running" {
        assert!(Instant::now() < end, "{}", seen.facts);
        seen = bridge.call("get_output", json!({"job_id": seen.fact("operation")}));
    }
    seen.shows_failure("cancelled");
    assert_eq!(states(&seen), ["0 succeeded", "1 interrupted", "2 not run"]);
    let notebook: Value = valid(seen.fact("executed_notebook"));
    assert_eq!(printed(&notebook, 1), "before\n");
    assert_eq!(runs_of("stopped.last"), 0);

    // The user's stop of a call that waits ends the run too.
    let call = bridge.begin_call("run_notebook", json!({"from_cell": "1"}));
    let end = Instant::now() + PATIENCE;
    while runs_of("stopped.runs") < 2 {
        assert!(Instant::now() < end, "{}", bridge.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    let stop = json!({"requestId": call, "reason": "cancelled by the user"});
    bridge.notify("notifications/cancelled", stop);
    let mut seen = bridge.call("get_output", json!({"job_id": "stopped.ipynb"}));
    while seen.facts["state"] == "running" {
        assert!(Instant::now() < end, "{}", seen.facts);
        seen = bridge.call("get_output", json!({"job_id": "stopped.ipynb"}));
    }
    assert_eq!(seen.fact("state"), "interrupted");
}
