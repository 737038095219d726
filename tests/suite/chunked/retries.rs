//! Skipped iterations that run again, with the real program, executor and kernel.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// Twelve iterations, each of which notes that it ran; those of `FAILING` fail until a file of the operation's name is there.
const FAILING: [u64; 4] = [2, 3, 7, 11];

fn plan(name: &str) -> Value {
    let body = format!(
        "with open('{name}.txt', 'a') as file:\n    print(i, file=file)\n\
         if i in {FAILING:?} and not os.path.exists('{name}-mended'):\n    raise ValueError(f'no {{i}}')\n\
         while i == 7 and os.path.exists('{name}-hold'):\n    time.sleep(0.02)\ni * i"
    );
    json!({
        "setup_code": "import os, time", "loop_code": body, "n_iterations": 12, "batch_size": 5, "on_error": "skip",
        "checkpoint_name": name, "session": name,
    })
}

fn ran(name: &str) -> Vec<u64> {
    let text = fs::read_to_string(Executor::shared().root().join(format!("{name}.txt"))).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn mend(name: &str) {
    fs::write(Executor::shared().root().join(format!("{name}-mended")), "").unwrap();
}

fn retry(name: &str) -> Value {
    json!({"checkpoint_name": name, "retry_skipped": true})
}

/// The last result of each iteration, in the results file.
fn results(answer: &Answer) -> Vec<(u64, Value)> {
    let mut last = std::collections::BTreeMap::new();
    for line in fs::read_to_string(Path::new(answer.fact("results")))
        .unwrap()
        .lines()
    {
        let line: Value = serde_json::from_str(line).unwrap();
        last.insert(line["i"].as_u64().unwrap(), line["result"].clone());
    }
    last.into_iter().collect()
}

fn follow_to_the_end(bridge: &mut Bridge, name: &str) -> Answer {
    loop {
        let answer = bridge.call("get_output", json!({"job_id": name}));
        if answer.facts["state"] != "running" {
            return answer;
        }
    }
}

#[test]
fn skipped_iterations_are_listed_with_their_lines_and_run_again_alone() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let answer = bridge.call("run_chunked_operation", plan("retried"));
    answer.succeeded();
    assert_eq!(answer.facts["skipped_count"], 4, "{}", answer.facts);
    let first = json!({"iteration": 2, "error": "ValueError: no 2", "line": 4});
    assert_eq!(answer.facts["skipped"][0], first);

    // Failing once more, they stay skipped.
    let answer = bridge.call("run_chunked_operation", retry("retried"));
    answer.succeeded();
    assert_eq!(answer.facts["skipped_count"], 4, "{}", answer.facts);
    mend("retried");
    let answer = bridge.call("run_chunked_operation", retry("retried"));
    answer.succeeded();
    assert_eq!(answer.fact("state"), "succeeded");
    assert_eq!(answer.facts["skipped_count"], 0, "{}", answer.facts);
    let expected = [(0..12).collect(), FAILING.to_vec(), FAILING.to_vec()].concat();
    assert_eq!(ran("retried"), expected);
    let all: Vec<_> = (0..12).map(|i: u64| (i, json!(i * i))).collect();
    assert_eq!(results(&answer), all);

    let report = bridge.call("get_checkpoint", json!({"operation": "retried"}));
    assert_eq!(report.facts["state"], "succeeded", "{}", report.whole);
    assert_eq!(report.facts["skipped"], json!([]));
    let history = report.facts["history"].as_array().unwrap();
    assert_eq!(history.len(), 2, "{history:?}");
    assert_eq!(history[0]["changed"][0], "retry_skipped (4 iterations)");

    let answer = bridge.call("run_chunked_operation", retry("retried"));
    answer.succeeded();
    let notes = answer.facts["notes"].to_string();
    assert!(notes.contains("no iteration was skipped"), "{notes}");
    assert_eq!(ran("retried"), expected, "nothing ran");
}

#[test]
fn a_retry_outlives_its_bridge_and_repeats_nothing() {
    let (executor, home) = (Executor::shared(), Home::new());
    let (name, root) = ("retry-killed", executor.root());
    let mut bridge = executor.bridge(&home, &[]);
    bridge.call("run_chunked_operation", plan(name)).succeeded();
    mend(name);
    fs::write(root.join("retry-killed-hold"), "").unwrap();
    bridge.begin_call("run_chunked_operation", retry(name));
    until_there(&root.join("retry-killed.txt"));
    while ran(name).len() < 15 {
        sleep(Duration::from_millis(20));
    }
    drop(bridge);
    fs::remove_file(root.join("retry-killed-hold")).unwrap();
    let mut bridge = executor.bridge(&home, &[]);
    let answer = follow_to_the_end(&mut bridge, name);
    assert_eq!(answer.fact("state"), "succeeded", "{}", answer.whole);
    assert_eq!(answer.facts["skipped_count"], 0);
    assert_eq!(ran(name), [(0..12).collect(), FAILING.to_vec()].concat());
}

#[test]
fn a_fixed_body_runs_the_skipped_iterations_again() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    bridge
        .call("run_chunked_operation", plan("retry-fixed"))
        .succeeded();
    let fixed = json!({
        "checkpoint_name": "retry-fixed", "loop_code": "-i", "keep_done": true, "retry_skipped": true,
    });
    let answer = bridge.call("run_chunked_operation", fixed);
    answer.succeeded();
    assert_eq!(answer.facts["skipped_count"], 0, "{}", answer.facts);
    let result = |i: u64| {
        if FAILING.contains(&i) {
            json!(-i.cast_signed())
        } else {
            json!(i * i)
        }
    };
    let all: Vec<_> = (0..12).map(|i| (i, result(i))).collect();
    assert_eq!(results(&answer), all);
}

#[test]
fn a_retry_that_stops_is_resumed_before_the_operation_goes_on() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let name = "retry-stopped";
    bridge.call("run_chunked_operation", plan(name)).succeeded();
    let mut stopping = retry(name);
    stopping["on_error"] = json!("stop");
    let answer = bridge.call("run_chunked_operation", stopping);
    answer.refused("python_error");
    assert!(
        answer.fact("error").starts_with("iteration 2 failed"),
        "{}",
        answer.facts
    );
    assert!(
        answer.fact("error").ends_with("(line 4 of loop_code)"),
        "{}",
        answer.facts
    );
    assert_eq!(
        (&answer.facts["remaining"], &answer.facts["skipped_count"]),
        (&json!(4), &json!(4))
    );
    mend(name);
    let answer = bridge.call("run_chunked_operation", json!({"checkpoint_name": name}));
    answer.succeeded();
    assert_eq!(answer.facts["skipped_count"], 0, "{}", answer.facts);
    assert_eq!(
        ran(name),
        [(0..12).collect(), vec![2], FAILING.to_vec()].concat()
    );
}

#[test]
fn a_retry_and_a_restart_exclude_each_other() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let mut both = retry("retry-and-restart");
    both["restart"] = json!(true);
    bridge
        .call("run_chunked_operation", both)
        .refused("invalid_argument");
    // There is nothing of that name.
    let answer = bridge.call("run_chunked_operation", retry("retry-of-nothing"));
    answer.refused("invalid_argument");
}
