//! The next step that an answer advises works.

use std::fs;

use serde_json::json;

use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::{Answer, Bridge};

/// A short call budget, so that calls answer soon.
pub(crate) const SHORT_BUDGET: [(&str, &str); 1] = [("SMART_COLAB_CALL_BUDGET_SEC", "5")];
const UNKNOWN_ID: &str = "0193a000-0000-7000-8000-000000000000";

const SLEEP: &str = "import time\nprint('asleep', flush=True)\ntime.sleep(600)";

fn sleep(bridge: &mut Bridge, session: &str) -> Answer {
    bridge.call("run_code_long", json!({"code": SLEEP, "session": session}))
}

/// Starts sleeping code and waits for its first output, because a kernel may start slowly.
pub(crate) fn start_sleeping(bridge: &mut Bridge, session: &str) -> Answer {
    let code = json!({"code": SLEEP, "session": session, "wait_sec": 0});
    let begun = bridge.call("run_code_long", code);
    let look = json!({"job_id": begun.fact("job_id"), "until": "^asleep"});
    loop {
        let answer = bridge.call("get_output", look.clone());
        if answer.text.contains("asleep") {
            return begun;
        }
        assert_ne!(answer.facts["success"], false, "{}", answer.facts);
    }
}

pub(crate) fn chunked(bridge: &mut Bridge, name: &str, setup: &str, body: &str) -> Answer {
    let plan = json!({
        "setup_code": setup, "loop_code": body, "n_iterations": 3, "checkpoint_name": name, "session": name,
    });
    bridge.call("run_chunked_operation", plan)
}

#[test]
fn an_operation_continues_in_one_call_after_its_session_was_interrupted_or_restarted() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &SHORT_BUDGET);
    for (name, tool) in [
        ("stopped", "interrupt_execution"),
        ("anew", "restart_session"),
    ] {
        let name = format!("next-{name}");
        let body = format!(
            "assert ready\nopen('{name}-began', 'w').close()\nwhile i == 1 and not os.path.exists('{name}-go'): time.sleep(0.02)\ni"
        );
        let setup = "import os, time\nready = True";
        bridge.warm(&name);
        let begun = chunked(&mut bridge, &name, setup, &body);
        assert_eq!(begun.facts["state"], "running", "{}", begun.facts);
        bridge.call(tool, json!({"session": name}));
        let looked = bridge.call("get_output", json!({"job_id": name}));
        assert_eq!(looked.fact("state"), "interrupted", "{}", looked.facts);
        assert!(!looked.is_error, "{}", looked.facts);
        let report = bridge.call("get_checkpoint", json!({"operation": name}));
        let next_step = report.fact("next_step");
        assert!(next_step.contains("checkpoint_name"), "{next_step}");
        fs::write(executor.root().join(format!("{name}-go")), "").unwrap();
        let answer = chunked(&mut bridge, &name, setup, &body);
        answer.succeeded();
        assert_eq!(answer.facts["completed"], 3, "{}", answer.facts);
        let notes = answer.facts["notes"].to_string();
        assert!(notes.contains("interrupted before this call"), "{notes}");
    }
}

#[test]
fn advice_after_a_failed_operation_fits_the_failure() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    fs::write(executor.root().join("next_broken.py"), "a = (\n").unwrap();
    // Setup, body, the hint's words, and whether to repeat the call.
    for (at, (setup, body, advice, can_continue)) in [
        ("", "a = (", "loop_code is not valid Python", false),
        (
            "",
            "if i:\nprint(1)",
            "loop_code is not valid Python",
            false,
        ),
        ("a b", "i", "setup_code is not valid Python", false),
        ("", "import next_broken", "if the cause is gone", true),
        (
            "",
            "__import__('ast').literal_eval('a b')",
            "if the cause is gone",
            true,
        ),
        ("", "input()", "put the value in loop_code", false),
        ("input()", "i", "put the value in setup_code", false),
        ("exit()", "i", "exit from setup_code", false),
        ("", "exit()", "use break", true),
        (
            "",
            "import sys; sys.exit(3)",
            "break ends a loop early",
            true,
        ),
        ("undefined", "i", "setup_code must define everything", false),
        ("", "undefined", "setup_code must define everything", true),
        ("", "import next_absent", "%pip install", true),
        ("import next_absent", "i", "%pip install", true),
        ("", "open('next-absent')", "upload_to_colab", true),
        ("", "raise MemoryError()", "Memory is short", true),
        ("", "1 / 0", "on_error: \"skip\"", true),
        ("", "import os; os._exit(3)", "remove that call", true),
        ("", "import os; os.abort()", "native code crashed", true),
        (
            "import os; os._exit(3)",
            "i",
            "If setup_code must change",
            true,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("next-fails-{at}");
        let answer = chunked(&mut bridge, &name, &format!("{setup}\n"), body);
        let (hint, facts) = (answer.fact("hint"), &answer.facts);
        assert!(hint.contains(advice), "{setup} | {body}: {facts}");
        assert_eq!(facts["can_continue"], can_continue, "{body}: {facts}");
        // The same call would only fail again.
        assert!(facts["next_command"].is_null(), "{facts}");
        assert_eq!(facts["retryable"], false, "{facts}");
        let repeats = hint.contains("checkpoint_name alone");
        assert_eq!(repeats, can_continue, "{facts}");
        assert!(repeats || hint.contains("keep_done: true"), "{facts}");
        assert!(
            !hint.contains("un the setup again"),
            "the setup runs by itself: {facts}"
        );
        let report = bridge.call("get_checkpoint", json!({"operation": name}));
        assert_eq!(report.facts["can_continue"], can_continue);
        assert_eq!(report.fact("next_step"), hint);
        bridge.call("restart_session", json!({"session": name, "remove": true}));
    }
}

#[test]
fn the_first_call_does_not_find_the_session_busy_with_its_own_start() {
    let (executor, home) = (Executor::start(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let cleaned = bridge.call("cleanup_colab", json!({}));
    assert!(!cleaned.is_error, "{}", cleaned.facts);
    assert_eq!(cleaned.facts["cleared_variables"], json!([]));
    for tool in [
        "list_colab_variables",
        "list_colab_files",
        "interrupt_execution",
    ] {
        let answer = bridge.call(tool, json!({}));
        assert!(!answer.is_error, "{tool}: {}", answer.facts);
    }
    let again = bridge.call("restart_session", json!({}));
    assert!(!again.is_error, "{}", again.facts);
}

#[test]
fn interrupting_a_session_ends_code_that_waits_for_its_first_kernel() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let code = json!({"code": "import time; time.sleep(600)", "session": "next-first"});
    let running = bridge.begin_call("run_code_quick", code);
    let ended = bridge.call("interrupt_execution", json!({"session": "next-first"}));
    assert_eq!(ended.facts["state"], "interrupted", "{}", ended.facts);
    Answer::of(&bridge.answer(running)).refused("cancelled");
}

#[test]
fn queued_jobs_are_counted_and_an_interrupted_one_is_reported_as_not_run() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &SHORT_BUDGET);
    let session = "next-queue";
    let running = start_sleeping(&mut bridge, session);
    let [first, second] = [(); 2].map(|()| sleep(&mut bridge, session));
    let check = bridge.call("check_colab_connection", json!({}));
    let sessions = check.facts["sessions"].as_array().unwrap();
    let shown = sessions.iter().find(|one| one["name"] == session).unwrap();
    assert_eq!(shown["queued_jobs"], 2, "{shown}");
    let end = |bridge: &mut Bridge, job: &Answer| {
        bridge.call("interrupt_execution", json!({"job_id": job.fact("job_id")}))
    };
    let taken_out = end(&mut bridge, &second);
    assert_eq!(taken_out.facts["queued_jobs"], 1, "{}", taken_out.facts);
    assert_eq!(taken_out.fact("session"), session);
    assert!(taken_out.fact("message").contains("none of it ran"));
    let stopped = end(&mut bridge, &running);
    assert_eq!(stopped.facts["queued_jobs"], 0, "{}", stopped.facts);
    assert!(stopped.fact("message").contains("variables are kept"));
    end(&mut bridge, &first);
}

#[test]
fn an_unknown_name_is_refused_with_the_known_ones() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &SHORT_BUDGET);
    let gone = json!({"session": "next-gone"});
    bridge.call(
        "run_code_quick",
        json!({"code": "1", "session": "next-gone"}),
    );
    bridge.call(
        "run_code_quick",
        json!({"code": "1", "session": "next-there"}),
    );
    bridge.call(
        "restart_session",
        json!({"session": "next-gone", "remove": true}),
    );
    for arguments in [json!({"session": "next-never"}), gone] {
        for tool in [
            "interrupt_execution",
            "restart_session",
            "list_colab_variables",
            "cleanup_colab",
        ] {
            let refused = bridge.call(tool, arguments.clone());
            refused.refused("not_found");
            let hint = refused.fact("hint");
            assert!(
                hint.contains("main") && hint.contains("next-there"),
                "{tool}: {hint}"
            );
        }
    }
    let none = bridge.call("list_jobs", json!({"session": "next-never"}));
    assert!(
        none.fact("suggestion").contains("Omit session"),
        "{}",
        none.facts
    );
    for tool in ["get_output", "interrupt_execution"] {
        let refused = bridge.call(tool, json!({"job_id": UNKNOWN_ID}));
        refused.refused("not_found");
        let refused = bridge.call(tool, json!({"job_id": "chunked_op"}));
        refused.refused("not_found");
        let refused = bridge.call(tool, json!({"job_id": "a/b"}));
        refused.refused("invalid_argument");
        assert!(
            refused.fact("error").contains("job_id"),
            "{}",
            refused.facts
        );
    }
    for tool in ["get_checkpoint", "delete_checkpoint"] {
        let refused = bridge.call(tool, json!({"operation": UNKNOWN_ID}));
        refused.refused("not_found");
        assert!(
            refused.fact("hint").contains("get_output"),
            "{}",
            refused.facts
        );
    }
    fs::write(Executor::shared().root().join("next.txt"), "x").unwrap();
    let download = bridge.call("download_from_colab", json!({"remote_path": "next.txt"}));
    let ended = bridge.call(
        "interrupt_execution",
        json!({"job_id": download.fact("job_id")}),
    );
    assert_eq!(ended.fact("state"), "succeeded", "it had ended");
}

#[test]
fn a_killed_executor_is_not_reported_as_stopped() {
    let (mut executor, home) = (Executor::start(), Home::new());
    let mut bridge = executor.bridge(&home, &SHORT_BUDGET);
    let begun = sleep(&mut bridge, "main");
    executor.kill();
    executor.restart();
    let answer = bridge.call("get_output", json!({"job_id": begun.fact("job_id")}));
    answer.shows_failure("kernel_died");
    assert!(
        answer.fact("error").contains("was killed"),
        "{}",
        answer.facts
    );
}
