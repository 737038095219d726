//! Jobs after their call: listing and interrupting them, and the first call after a session got a new kernel.

use std::fs;

use serde_json::json;

use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// Returns code that creates `NAME-began`, then waits for `NAME-go`.
fn waiting(name: &str) -> String {
    format!(
        "import os, time\nprint('before', flush=True)\nopen('{name}-began', 'w').close()\n\
         while not os.path.exists('{name}-go'): time.sleep(0.02)\nprint('after')"
    )
}

#[track_caller]
fn run(bridge: &mut Bridge, session: &str, code: &str) -> Answer {
    bridge.call("run_code_quick", json!({"code": code, "session": session}))
}

#[test]
fn a_killed_bridges_job_is_listed_and_read_by_the_next_one() {
    let (executor, home) = (Executor::shared(), Home::new());
    let root = executor.root();
    let mut first = executor.bridge(&home, &[]);
    let arguments = json!({"code": waiting("listed"), "session": "listed"});
    first.begin_call("run_code_long", arguments);
    until_there(&root.join("listed-began"));
    drop(first);

    let mut second = executor.bridge(&home, &[]);
    let list = second.call("list_jobs", json!({"session": "listed"}));
    let [row] = list.rows().try_into().unwrap();
    assert_eq!(row["state"], "running", "{row}");
    assert!(row["source"].is_null(), "{row}");
    assert_eq!(
        row["code"],
        "while not os.path.exists('listed-go'): time.sleep(0.02)"
    );
    fs::write(root.join("listed-go"), "").unwrap();
    let output = second.call("get_output", json!({"job_id": row["job_id"]}));
    output.succeeded();
    assert_eq!(output.text, "before\nafter\n");
    let running = json!({"session": "listed", "state": "running"});
    assert!(second.call("list_jobs", running).rows().is_empty());
    let done = json!({"session": "listed", "state": "succeeded"});
    assert_eq!(second.call("list_jobs", done).rows().len(), 1);
}

#[test]
fn without_its_runtime_list_jobs_shows_what_this_computer_recorded() {
    let (mut executor, home) = (Executor::start(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    run(&mut bridge, "main", "print(1)").succeeded();
    executor.kill();
    let list = bridge.call("list_jobs", json!({}));
    assert_eq!(list.fact("code"), "connection_failed");
    assert!(!list.fact("problem").is_empty() && !list.fact("suggestion").is_empty());
    let [row] = list.rows().try_into().unwrap();
    assert_eq!(row["code"], "print(1)");
    assert_eq!(
        (&row["state"], &row["source"]),
        (&json!("succeeded"), &json!("memory"))
    );

    // Another machine does not know the job: its end stands, but its output is gone.
    let other = Executor::start();
    let mut bridge = other.bridge(&home, &[]);
    let [row] = bridge
        .call("list_jobs", json!({}))
        .rows()
        .try_into()
        .unwrap();
    assert_eq!(
        (&row["state"], &row["source"]),
        (&json!("succeeded"), &json!("memory"))
    );
    let gone = bridge.call("get_output", json!({"job_id": row["job_id"]}));
    gone.refused("not_found");
    assert!(gone.fact("error").contains(&executor.url), "{}", gone.facts);
}

#[test]
fn a_long_running_job_is_listed_however_many_jobs_followed() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let arguments = json!({"code": waiting("behind-many"), "session": "behind-many"});
    let running = bridge.begin_call("run_code_long", arguments);
    until_there(&executor.root().join("behind-many-began"));
    // Each iteration is a job, and they are more than a list covers.
    let many = json!({
        "setup_code": "None", "loop_code": "i", "n_iterations": 201, "batch_size": 1, "checkpoint_name": "many", "session": "many",
    });
    while bridge.call("run_chunked_operation", many.clone()).facts["can_continue"] == true {}
    let list = bridge.call("list_jobs", json!({"state": "running"}));
    // Where it is the only one, its session is a fact.
    let names = list.facts.to_string() + &list.text;
    assert!(names.contains("behind-many"), "{names}");
    fs::write(executor.root().join("behind-many-go"), "").unwrap();
    Answer::of(&bridge.answer(running)).succeeded();
}

#[test]
fn interrupting_a_session_ends_its_job_and_keeps_its_variables() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    run(&mut bridge, "stopped", "x = 5").succeeded();
    let running = bridge.begin_call(
        "run_code_long",
        json!({"code": waiting("stopped"), "session": "stopped"}),
    );
    until_there(&executor.root().join("stopped-began"));
    let report = bridge.call("interrupt_execution", json!({"session": "stopped"}));
    assert_eq!(report.fact("state"), "interrupted", "{}", report.facts);
    assert_eq!(report.fact("session"), "stopped");
    let ended = Answer::of(&bridge.answer(running));
    ended.refused("cancelled");
    assert_eq!(ended.facts["job_id"], report.facts["job_id"]);
    assert!(ended.text.starts_with("before\n"), "{}", ended.text);
    let kept = run(&mut bridge, "stopped", "print(x)");
    assert_eq!(kept.text, "5\n");

    let nothing = bridge.call("interrupt_execution", json!({"session": "stopped"}));
    assert!(
        !nothing.is_error && nothing.facts["job_id"].is_null(),
        "{}",
        nothing.facts
    );
    // An interrupt does not change a job that has ended.
    let job = json!({"job_id": kept.facts["job_id"]});
    assert_eq!(
        bridge.call("interrupt_execution", job).fact("state"),
        "succeeded"
    );
}

#[test]
fn an_interrupted_queued_job_never_runs() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let arguments = json!({"code": waiting("ahead"), "session": "ahead"});
    let ahead = bridge.begin_call("run_code_long", arguments);
    until_there(&executor.root().join("ahead-began"));
    let code = "open('behind-ran', 'w').close()";
    let behind = bridge.begin_call("run_code_long", json!({"code": code, "session": "ahead"}));
    let queued = loop {
        let list = bridge.call("list_jobs", json!({"session": "ahead", "state": "queued"}));
        if let [row] = list.rows().as_slice()
            && row["position"].is_u64()
        {
            break row.clone();
        }
    };
    assert_eq!(queued["position"], 1);
    let report = bridge.call("interrupt_execution", json!({"job_id": queued["job_id"]}));
    assert_eq!(report.fact("state"), "interrupted");
    Answer::of(&bridge.answer(behind)).refused("cancelled");
    fs::write(executor.root().join("ahead-go"), "").unwrap();
    Answer::of(&bridge.answer(ahead)).succeeded();
    run(&mut bridge, "ahead", "None").succeeded();
    assert!(!executor.root().join("behind-ran").exists());
}

#[test]
fn a_restart_ends_jobs_and_variables_and_is_not_reported_again() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    run(&mut bridge, "anew", "x = 5").succeeded();
    let arguments = json!({"code": waiting("anew"), "session": "anew"});
    let running = bridge.begin_call("run_code_long", arguments);
    until_there(&executor.root().join("anew-began"));
    let behind = json!({"code": "print('ran')", "session": "anew"});
    let queued = bridge.begin_call("run_code_long", behind);
    let report = bridge.call("restart_session", json!({"session": "anew"}));
    assert!(!report.is_error, "{}", report.whole);
    assert_eq!(report.facts["session"]["name"], "anew");
    let ended = Answer::of(&bridge.answer(running));
    ended.refused("cancelled");
    assert!(!ended.fact("error").contains("none of it ran"));
    let never = Answer::of(&bridge.answer(queued));
    never.refused("cancelled");
    assert!(never.fact("error").contains("none of it ran"));
    let both = [&ended, &never].map(|answer| &answer.facts["job_id"]);
    assert_eq!(report.facts["ended_jobs"], json!(both));
    let fresh = run(&mut bridge, "anew", "print('x' in dir())");
    assert_eq!(fresh.text, "False\n");
    assert!(
        fresh.facts.get("runtime_replaced").is_none(),
        "{}",
        fresh.facts
    );

    let removed = bridge.call(
        "restart_session",
        json!({"session": "anew", "remove": true}),
    );
    assert!(removed.facts["session"].is_null(), "{}", removed.whole);
    let check = bridge.call("check_colab_connection", json!({}));
    let sessions = check.facts["sessions"].as_array().unwrap();
    assert!(!sessions.iter().any(|session| session["name"] == "anew"));
    bridge
        .call("restart_session", json!({"session": "anew"}))
        .refused("not_found");
}

#[test]
fn a_kernel_death_between_calls_is_reported_once() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let code = "import os, threading, time\nx = 5\n\
        def end():\n    while not os.path.exists('idle-go'): time.sleep(0.02)\n    os._exit(1)\n\
        threading.Thread(target=end, daemon=True).start()";
    run(&mut bridge, "idle", code).succeeded();
    let session = |bridge: &mut Bridge| {
        let check = bridge.call("check_colab_connection", json!({}));
        let sessions = check.facts["sessions"].as_array().unwrap().clone();
        sessions
            .into_iter()
            .find(|one| one["name"] == "idle")
            .unwrap()
    };
    fs::write(executor.root().join("idle-go"), "").unwrap();
    while session(&mut bridge)["state"] == "idle" {}
    let first = run(&mut bridge, "idle", "print('x' in dir())");
    first.succeeded();
    assert_eq!(first.text, "False\n");
    assert_eq!(first.facts["runtime_replaced"], true, "{}", first.facts);
    assert!(first.facts["notes"][0].as_str().unwrap().contains("setup"));
    let second = run(&mut bridge, "idle", "None");
    assert!(
        second.facts.get("runtime_replaced").is_none(),
        "{}",
        second.facts
    );
}

#[test]
fn invalid_and_unknown_ids_and_names_are_refused() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let unknown = "0193d000-0000-7000-8000-000000000000";
    for (tool, arguments, code) in [
        (
            "interrupt_execution",
            json!({"job_id": "that/one"}),
            "invalid_argument",
        ),
        (
            "interrupt_execution",
            json!({"job_id": "that one"}),
            "not_found",
        ),
        (
            "interrupt_execution",
            json!({"job_id": unknown}),
            "not_found",
        ),
        (
            "interrupt_execution",
            json!({"job_id": unknown, "session": "main"}),
            "invalid_argument",
        ),
        (
            "interrupt_execution",
            json!({"session": "../main"}),
            "invalid_argument",
        ),
        (
            "restart_session",
            json!({"session": "a/b"}),
            "invalid_argument",
        ),
        (
            "restart_session",
            json!({"session": "x".repeat(65)}),
            "invalid_argument",
        ),
        (
            "restart_session",
            json!({"session": "never-made"}),
            "not_found",
        ),
        ("list_jobs", json!({"state": "asleep"}), "invalid_argument"),
        ("list_jobs", json!({"top": 0}), "invalid_argument"),
        ("list_jobs", json!({"top": 201}), "invalid_argument"),
        (
            "run_code_quick",
            json!({"code": "1", "session": "ü"}),
            "invalid_argument",
        ),
        ("get_output", json!({"job_id": unknown}), "not_found"),
    ] {
        let answer = bridge.call(tool, arguments.clone());
        assert!(answer.is_error, "{tool} {arguments}");
        answer.refused(code);
    }
}
