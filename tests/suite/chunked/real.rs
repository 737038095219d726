//! Chunked operations with the real program, executor and kernel.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

fn arguments(session: &str, loop_code: &str, n: u64, batch_size: u64) -> Value {
    json!({
        "setup_code": "import os, time\nready = True",
        "loop_code": loop_code,
        "n_iterations": n,
        "batch_size": batch_size,
        "checkpoint_name": session,
        "session": session,
    })
}

/// Calls until the operation is complete.
fn call_to_the_end(bridge: &mut Bridge, arguments: &Value) -> Answer {
    loop {
        let answer = bridge.call("run_chunked_operation", arguments.clone());
        answer.succeeded();
        if answer.facts["can_continue"] == false {
            return answer;
        }
    }
}

fn lines(path: &Path) -> Vec<u64> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn a_bridge_killed_during_a_batch_is_succeeded_by_one_that_finishes_and_repeats_nothing() {
    let (executor, home) = (Executor::shared(), Home::new());
    let root = executor.root();
    let go = root.join("killed-go");
    // The 13th iteration, in the second batch, waits until the bridge is gone.
    let body = format!(
        "assert ready\nwith open('killed.txt', 'a') as file:\n    print(i, file=file)\n\
         while i == 12 and not os.path.exists({:?}):\n    time.sleep(0.01)\ni * i",
        go.display().to_string()
    );
    let arguments = arguments("killed", &body, 30, 10);
    let mut first = executor.bridge(&home, &[]);
    first.begin_call("run_chunked_operation", arguments.clone());
    until_there(&root.join("killed.txt"));
    while !lines(&root.join("killed.txt")).contains(&12) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(first);
    fs::write(&go, "").unwrap();

    let mut second = executor.bridge(&home, &[]);
    let answer = call_to_the_end(&mut second, &arguments);
    assert_eq!(answer.facts["completed"], 30);
    assert_eq!(lines(&root.join("killed.txt")), (0..30).collect::<Vec<_>>());
    let report = second.call("get_checkpoint", json!({"operation": "killed"}));
    assert_eq!(report.facts["state"], "succeeded");
    assert_eq!(
        report.facts["last_results"][19],
        json!({"i": 29, "result": 841})
    );
}

#[test]
fn after_a_kernel_death_the_operation_is_set_up_again_and_continues() {
    let (executor, home) = (Executor::shared(), Home::new());
    let body = "assert ready\nwith open('dies.txt', 'a') as file:\n    print(i, file=file)\n\
        if i == 7 and not os.path.exists('died'):\n    open('died', 'w').close()\n    os._exit(1)";
    let arguments = arguments("dies", body, 12, 5);
    let mut bridge = executor.bridge(&home, &[]);
    let answer = call_to_the_end(&mut bridge, &arguments);
    assert_eq!(answer.facts["completed"], 12);
    let note = answer.facts["notes"][0].as_str().unwrap();
    assert!(note.contains("did not finish"), "{note}");
    // A process that dies suddenly may lose what it reported last.
    let ran = lines(&executor.root().join("dies.txt"));
    let first = ran.iter().rposition(|i| *i == 7).unwrap();
    let wanted: Vec<u64> = (0..=7).chain(ran[8]..12).collect();
    assert_eq!(ran, wanted);
    assert!((5..=7).contains(&ran[8]) && first > 7, "{ran:?}");
}

#[test]
fn an_operation_on_a_cluster_survives_its_worker_and_goes_on_in_the_session() {
    let (executor, home) = (Executor::shared(), Home::new());
    let body = "if i == 2 and not os.path.exists('worker-died'):\n    open('worker-died', 'w').close()\n    os._exit(1)\n\
        if i == 4 and not os.path.exists('cluster-mended'):\n    raise ValueError('not yet')\nprint('ran', i)\nbase * i";
    let mut plan = arguments("clustered", body, 6, 2);
    plan["setup_code"] = json!("import os\nbase = 10\nprint('set up', flush=True)");
    plan["cluster"] = json!("local:1");
    let mut bridge = executor.bridge(&home, &[]);
    let answer = bridge.call("run_chunked_operation", plan);
    answer.refused("python_error");
    assert_eq!(answer.facts["completed"], 4);
    let error = answer.fact("error");
    assert!(
        error.starts_with("iteration 4 failed: ValueError: not yet (line 5 of loop_code)"),
        "{error}"
    );
    // The worker's end is told of when it is seen.
    let (news, printed): (Vec<&str>, Vec<&str>) =
        (answer.text.lines()).partition(|line| line.starts_with("[cluster: "));
    assert!(
        news[0].starts_with("[cluster: 1 worker with 1 thread at "),
        "{news:?}"
    );
    let end = printed
        .iter()
        .position(|line| line.starts_with("Traceback"))
        .unwrap();
    assert_eq!(printed[0], "set up");
    // In the order in which they finished; the last one may have been running when the one before it failed.
    let ran: BTreeSet<&str> = printed[1..end].iter().copied().collect();
    assert_eq!(ran.len(), end - 1, "{printed:?}");
    assert!(ran.is_superset(&BTreeSet::from(["ran 0", "ran 1", "ran 2", "ran 3"])));
    assert!(!ran.contains("ran 4"));
    let is_missing = !ran.contains("ran 5");
    assert_eq!(answer.facts["ahead"] == 1, !is_missing);

    fs::write(executor.root().join("cluster-mended"), "").unwrap();
    let here = json!({"checkpoint_name": "clustered", "cluster": "none"});
    let answer = call_to_the_end(&mut bridge, &here);
    let rest = if is_missing { "ran 5\n" } else { "" };
    assert_eq!(answer.text, format!("set up\nran 4\n{rest}"));
    let report = bridge.call("get_checkpoint", json!({"operation": "clustered"}));
    let results: Vec<Value> = (0..6).map(|i| json!({"i": i, "result": 10 * i})).collect();
    assert_eq!(report.facts["last_results"], json!(results));
    assert_eq!(report.facts["plan"]["cluster"], "none");
}

#[test]
fn an_answer_about_a_running_operation_says_how_its_cluster_is() {
    let (executor, home) = (Executor::shared(), Home::new());
    let body = "while i and not os.path.exists('watched-on'):\n    time.sleep(0.05)\ni";
    let mut plan = arguments("watched-cluster", body, 3, 2);
    // Workers that are threads of the kernel start at once.
    plan["setup_code"] = json!(
        "import os, time\nfrom distributed import LocalCluster\nif __name__ == '__main__':\n    \
         threads = LocalCluster(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None)"
    );
    plan["cluster"] = json!("threads");
    plan["wait_sec"] = json!(0);
    let mut bridge = executor.bridge(&home, &[]);
    let mut answer = bridge.call("run_chunked_operation", plan);
    let began = Instant::now();
    while answer.facts["cluster"]["tasks_running"] != 1 {
        answer.succeeded();
        assert!(
            began.elapsed() < Duration::from_secs(40),
            "{}",
            answer.facts
        );
        let look = json!({"job_id": "watched-cluster", "wait_sec": 1});
        answer = bridge.call("get_output", look);
    }
    let job = json!({"job_id": answer.facts["job_id"], "wait_sec": 0});
    for facts in [answer.facts, bridge.call("get_output", job).facts] {
        let cluster = &facts["cluster"];
        assert_eq!(cluster["worker_count"], 1);
        assert_eq!(cluster["workers"][0]["threads"], 1);
        assert!(cluster["memory_bytes"].as_u64().unwrap() > 0);
        let scheduler = cluster["scheduler"].as_str().unwrap();
        assert!(scheduler.starts_with("inproc://"), "{scheduler}");
    }
    fs::write(executor.root().join("watched-on"), "").unwrap();
    let end = call_to_the_end(&mut bridge, &json!({"checkpoint_name": "watched-cluster"}));
    assert_eq!(end.facts["cluster"], Value::Null);
}

#[test]
fn a_kernel_that_died_between_calls_is_set_up_before_the_next_batch() {
    let (executor, home) = (Executor::shared(), Home::new());
    let body = "assert ready\nif i == 3 and not os.path.exists('mended'):\n    raise ValueError('not yet')\ni";
    let mut arguments = arguments("anew", body, 6, 2);
    arguments["setup_code"] = json!("import os\nready = True\nprint('set up', flush=True)");
    let mut bridge = executor.bridge(&home, &[]);
    let answer = bridge.call("run_chunked_operation", arguments.clone());
    answer.refused("python_error");
    assert_eq!(answer.facts["completed"], 3);
    fs::write(executor.root().join("mended"), "").unwrap();
    let end = json!({"code": "import os\nos._exit(1)", "session": "anew"});
    bridge.call("run_code_quick", end).refused("kernel_died");
    let answer = call_to_the_end(&mut bridge, &arguments);
    assert_eq!(
        (answer.text.trim(), &answer.facts["completed"]),
        ("set up", &json!(6))
    );
}

#[test]
fn an_iteration_that_exits_stops_the_operation_and_a_new_setup_continues_it() {
    let (executor, home) = (Executor::shared(), Home::new());
    let body = "assert ready\nif i == 3 and not os.path.exists('leaves-once'):\n    open('leaves-once', 'w').close()\n    exit()\nprint('ran', i)\ni";
    let mut arguments = arguments("leaves", body, 6, 2);
    arguments["setup_code"] = json!("import os\nready = True\nprint('set up', flush=True)");
    let mut bridge = executor.bridge(&home, &[]);
    let answer = bridge.call("run_chunked_operation", arguments.clone());
    answer.refused("python_error");
    assert_eq!(answer.facts["completed"], 3);
    let error = answer.fact("error");
    assert!(error.starts_with("iteration 3 "), "{error}");
    assert!(
        error.contains("exit()") && error.contains("variables are gone"),
        "{error}"
    );
    assert!(
        answer.fact("hint").contains("iteration 3 again"),
        "{}",
        answer.facts
    );
    let answer = call_to_the_end(&mut bridge, &arguments);
    assert_eq!(answer.facts["completed"], 6);
    assert_eq!(answer.text, "set up\nran 3\nran 4\nran 5\n");
}

#[test]
fn a_setup_that_exits_is_reported_and_the_loop_does_not_run() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut arguments = arguments("leaves-at-once", "print('ran')", 2, 2);
    arguments["setup_code"] = json!("quit()");
    let mut bridge = executor.bridge(&home, &[]);
    let answer = bridge.call("run_chunked_operation", arguments);
    answer.refused("python_error");
    assert_eq!(
        (answer.text.as_str(), &answer.facts["completed"]),
        ("", &json!(0))
    );
    assert!(
        answer.fact("error").starts_with("the setup "),
        "{}",
        answer.facts
    );
}

#[test]
fn skipped_iterations_and_unserializable_results_are_reported() {
    let (executor, home) = (Executor::shared(), Home::new());
    let body = "import datetime\nclass Thing: pass\nif i == 0:\n    raise ExceptionGroup('both', [ValueError('inner')])\n\
        if i == 1:\n    raise ValueError(10**5000)\n\
        [datetime.date(2026, 1, 2), {3}, float('nan'), Thing()]";
    let mut arguments = arguments("skips", body, 4, 2);
    arguments["on_error"] = json!("skip");
    let mut bridge = executor.bridge(&home, &[]);
    let answer = bridge.call("run_chunked_operation", arguments);
    answer.succeeded();
    let skipped = &answer.facts["skipped"];
    assert_eq!(skipped.as_array().unwrap().len(), 2, "{skipped}");
    let first = skipped[0]["error"].as_str().unwrap();
    assert!(
        first.starts_with("ExceptionGroup: both") && first.contains("ValueError: inner"),
        "{first}"
    );
    assert_eq!(skipped[1]["iteration"], 1);
    let notes = answer.facts["notes"].to_string();
    assert!(
        notes.contains("NaN (2)") && notes.contains("Thing (2)"),
        "{notes}"
    );
    let report = bridge.call("get_checkpoint", json!({"operation": "skips"}));
    let kept = json!(["2026-01-02", [3], "NaN", {"not_json": "Thing"}]);
    assert_eq!(
        report.facts["last_results"][3],
        json!({"i": 3, "result": kept})
    );
    assert!(
        report.facts["notes"].to_string().contains("Thing (2)"),
        "{}",
        report.facts
    );
}

#[test]
fn a_look_at_an_operation_says_when_its_machine_does_not_answer() {
    let (mut executor, home) = (Executor::start(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let mut plan = arguments("unanswered", "time.sleep(600)", 2, 1);
    plan["wait_sec"] = json!(0);
    bridge.call("run_chunked_operation", plan).succeeded();
    executor.kill();
    let look = json!({"job_id": "unanswered", "wait_sec": 1});
    // Until a request has failed; long before the look itself fails.
    loop {
        let answer = bridge.call("get_output", look.clone());
        assert!(!answer.is_error, "{}", answer.facts);
        if answer.facts.to_string().contains("does not answer now") {
            break;
        }
    }
}
