//! Cancelled calls: the user's stop ends the work, a client that waits no longer does not.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use crate::calls::{Held, assert_running, progress, read_on, start_with_short_budget};
use crate::support::executor::{Executor, until_there};
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge, PATIENCE};

const USERS_STOP: &str = "AbortError: remote-cancel";

fn cancel(bridge: &mut Bridge, id: u64, reason: Option<&str>) {
    let mut params = json!({"requestId": id});
    if let Some(reason) = reason {
        params["reason"] = reason.into();
    }
    bridge.notify("notifications/cancelled", params);
}

/// The only job that the runtime has of a session.
fn job_of(bridge: &mut Bridge, session: &str) -> Value {
    let list = bridge.call("list_jobs", json!({"session": session}));
    let rows = list.rows();
    let [job] = rows.as_slice() else {
        panic!("{}", list.whole);
    };
    job.clone()
}

fn until_queued(bridge: &mut Bridge, session: &str) {
    let end = Instant::now() + PATIENCE;
    let queued = json!({"session": session, "state": "queued"});
    while bridge.call("list_jobs", queued.clone()).rows().is_empty() {
        assert!(Instant::now() < end, "nothing is queued");
    }
}

#[test]
fn the_users_stop_interrupts_the_code() {
    for tool in ["run_code_quick", "run_code_long"] {
        let (home, held) = (Home::new(), Held::new(&format!("stopped-{tool}")));
        let mut bridge = Executor::shared().bridge(&home, &[]);
        let id = bridge.begin_call(tool, held.arguments());
        until_there(&held.file("begun"));
        cancel(&mut bridge, id, Some(USERS_STOP));
        until_there(&held.file("interrupted"));
        let after = json!({"code": "count >= 0", "session": held.session()});
        let answer = bridge.call("run_code_quick", after);
        assert_eq!(answer.text.trim_end(), "True", "variables are kept");
        assert!(answer.facts["left_running"].is_null(), "{}", answer.facts);
    }
}

#[test]
fn code_goes_on_when_its_call_is_cancelled_for_another_reason_and_the_next_reply_names_it() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    for (at, (tool, reason)) in [
        ("run_code_quick", Some("SdkError: Request timed out")),
        (
            "run_code_quick",
            Some("McpError: MCP error -32001: Request timed out"),
        ),
        ("run_code_long", Some("MCP request cancelled by caller")),
        ("run_code_long", None),
    ]
    .into_iter()
    .enumerate()
    {
        let held = Held::new(&format!("left-{at}"));
        let id = bridge.begin_call(tool, held.arguments());
        until_there(&held.file("begun"));
        cancel(&mut bridge, id, reason);
        let next = bridge.call("check_colab_connection", json!({}));
        let said = next.fact("left_running").to_owned();
        assert!(said.contains("interrupt_execution"), "{said}");
        let after = bridge.call("check_colab_connection", json!({}));
        assert!(after.facts["left_running"].is_null(), "said once");

        let job = job_of(&mut bridge, held.session());
        assert_eq!(job["state"], "running", "{reason:?}");
        let id = job["job_id"].as_str().unwrap();
        assert!(said.contains(id), "{said}");
        let resources = bridge.request("resources/list", json!({}));
        let resources = resources["resources"].as_array().unwrap();
        let log = resources
            .iter()
            .find(|one| one["uri"].as_str().unwrap().contains(id));
        let log = log.unwrap()["description"].as_str().unwrap();
        assert!(log.contains("interrupt_execution stops it"), "{log}");
        held.release();
        // None of the output was shown.
        Held::assert_whole(&read_on(&mut bridge, id, json!(0)));
        assert!(!held.file("interrupted").exists(), "{reason:?}");
    }
}

#[test]
fn code_that_waits_for_its_turn_runs_although_its_call_was_cancelled() {
    let (home, held) = (Home::new(), Held::new("left-queued"));
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let session = held.session();
    let first = bridge.begin_call("run_code_quick", held.arguments());
    let ran = held.file("ran");
    let code = format!("open({:?}, 'w').close()", ran.display().to_string());
    let second = json!({"code": code, "session": session});
    let second = bridge.begin_call("run_code_quick", second);
    cancel(&mut bridge, second, Some("Request timed out"));
    held.release();
    Answer::of(&bridge.answer(first)).succeeded();
    until_there(&ran);
}

#[test]
fn cancelling_get_output_never_interrupts_the_job() {
    let (home, held) = (Home::new(), Held::new("looked-at"));
    let mut bridge = start_with_short_budget(&home, "looked-at");
    let answer = bridge.call("run_code_quick", held.arguments());
    assert_running(&answer);
    let job = answer.fact("job_id");
    for (token, reason) in [("stopped", Some(USERS_STOP)), ("left", None)] {
        let look = json!({
            "name": "get_output",
            "arguments": {"job_id": job},
            "_meta": {"progressToken": token},
        });
        let id = bridge.begin("tools/call", look);
        bridge.until_heard(progress(token));
        cancel(&mut bridge, id, reason);
        let answer = bridge.call("get_output", json!({"job_id": job, "wait_sec": 1}));
        assert_running(&answer);
    }
    held.release();
    Held::assert_whole(&read_on(&mut bridge, job, json!(0)));
    assert!(!held.file("interrupted").exists());
}

/// Begins an operation that waits in its second iteration.
fn begin_operation(bridge: &mut Bridge, held: &Held) -> u64 {
    let here = held.file("").display().to_string();
    let body = format!(
        "import pathlib, time\nhere = pathlib.Path({here:?})\nprint('at', i)\ntry:\n    while i == 1 and not (here / 'go').exists():\n        \
         (here / 'begun').touch()\n        time.sleep(0.02)\nexcept KeyboardInterrupt:\n    (here / 'interrupted').touch()\n    raise"
    );
    let arguments = json!({
        "loop_code": body, "n_iterations": 3, "checkpoint_name": held.session(), "session": held.session(),
    });
    let id = bridge.begin_call("run_chunked_operation", arguments);
    until_there(&held.file("begun"));
    id
}

#[test]
fn an_operation_goes_on_when_its_call_is_cancelled_and_stops_when_the_user_stops_it() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let left = Held::new("left-operation");
    let id = begin_operation(&mut bridge, &left);
    cancel(&mut bridge, id, Some("MCP request cancelled by caller"));
    let next = bridge.call("check_colab_connection", json!({}));
    assert!(next.fact("left_running").contains("left-operation"));
    left.release();
    let ended = bridge.call("get_output", json!({"job_id": "left-operation"}));
    assert_eq!(ended.fact("state"), "succeeded", "{}", ended.whole);
    assert_eq!(ended.text, "at 0\nat 1\nat 2\n", "nothing was shown before");

    let stopped = Held::new("stopped-operation");
    let id = begin_operation(&mut bridge, &stopped);
    cancel(&mut bridge, id, Some(USERS_STOP));
    until_there(&stopped.file("interrupted"));
    let ended = bridge.call("get_output", json!({"job_id": "stopped-operation"}));
    assert_eq!(ended.fact("state"), "interrupted", "{}", ended.whole);
    assert_eq!(ended.fact("code"), "cancelled");
    assert!(!left.file("interrupted").exists());
    let kept = bridge.call("get_checkpoint", json!({"operation": "stopped-operation"}));
    assert_eq!(kept.fact("state"), "interrupted", "{}", kept.whole);

    stopped.release();
    let again = json!({"checkpoint_name": "stopped-operation"});
    let again = bridge.call("run_chunked_operation", again);
    assert_eq!(again.fact("state"), "succeeded", "{}", again.whole);
    assert_eq!(again.text, "at 1\nat 2\n", "nothing of the stopped job");
}

#[test]
fn an_operation_stopped_in_the_queue_is_interrupted() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let held = Held::new("stopped-queued");
    let first = bridge.begin_call("run_code_quick", held.arguments());
    until_there(&held.file("begun"));
    let ran = held.file("ran").display().to_string();
    let operation = json!({
        "name": "run_chunked_operation",
        "arguments": {
            "loop_code": format!("open({ran:?}, 'w').close()"), "n_iterations": 2,
            "checkpoint_name": "stopped-queued", "session": held.session(),
        },
    });
    let id = bridge.begin("tools/call", operation);
    until_queued(&mut bridge, held.session());
    cancel(&mut bridge, id, Some(USERS_STOP));
    let ended = bridge.call("get_output", json!({"job_id": "stopped-queued"}));
    assert_eq!(ended.fact("state"), "interrupted", "{}", ended.whole);
    assert!(
        ended.fact("error").contains("none of it ran"),
        "{}",
        ended.whole
    );
    let kept = bridge.call("get_checkpoint", json!({"operation": "stopped-queued"}));
    assert_eq!(kept.fact("state"), "interrupted", "{}", kept.whole);
    held.release();
    Answer::of(&bridge.answer(first)).succeeded();
    assert!(!held.file("ran").exists());
}

#[test]
fn cancelling_get_output_never_interrupts_the_operation() {
    let home = Home::new();
    let mut bridge = start_with_short_budget(&home, "looked-at-operation");
    let held = Held::new("looked-at-operation");
    let id = begin_operation(&mut bridge, &held);
    assert_eq!(Answer::of(&bridge.answer(id)).fact("state"), "running");
    for reason in [Some(USERS_STOP), None] {
        let look = json!({"job_id": "looked-at-operation"});
        let id = bridge.begin_call("get_output", look);
        cancel(&mut bridge, id, reason);
        let look = json!({"job_id": "looked-at-operation", "wait_sec": 1});
        let answer = bridge.call("get_output", look);
        assert_eq!(answer.fact("state"), "running", "{}", answer.whole);
    }
    held.release();
    let ended = bridge.call("get_output", json!({"job_id": "looked-at-operation"}));
    assert_eq!(ended.fact("state"), "succeeded", "{}", ended.whole);
    assert!(!held.file("interrupted").exists());
}

#[test]
fn a_download_goes_on_when_its_call_is_cancelled() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    fs::write(executor.root().join("left.bin"), vec![7; 3_000_000]).unwrap();
    let arguments = json!({"remote_path": "left.bin"});
    let id = bridge.begin_call("download_from_colab", arguments.clone());
    cancel(&mut bridge, id, None);
    let answer = bridge.call("download_from_colab", arguments);
    assert_eq!(answer.fact("status"), "complete", "{}", answer.whole);
}
