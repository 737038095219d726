//! A call that cannot continue reports the true state and the way out.

use serde_json::json;

use crate::next_steps::{SHORT_BUDGET, chunked, start_sleeping};
use crate::other_client::local;
use crate::support::executor::Executor;
use crate::support::home::Home;
use crate::support::stdio::Bridge;

#[test]
fn an_operation_running_in_another_local_client_is_neither_deleted_nor_restarted() {
    let home = Home::new();
    let mut first = local(&home);
    let body = "import os, time\nwhile i == 1 and not os.path.exists('go'): time.sleep(0.02)\ni";
    first.warm("shared");
    let begun = chunked(&mut first, "shared", "", body);
    assert_eq!(begun.facts["state"], "running", "{}", begun.facts);
    let mut second = local(&home);
    let delete = json!({"operation": "shared"});
    let anew = json!({
        "setup_code": "", "loop_code": "i", "n_iterations": 3, "checkpoint_name": "shared", "session": "shared", "restart": true,
    });
    for (tool, arguments) in [
        ("delete_checkpoint", &delete),
        ("run_chunked_operation", &anew),
    ] {
        let refused = second.call(tool, arguments.clone());
        refused.refused("busy");
        assert!(
            refused.fact("error").contains("another client"),
            "{}",
            refused.facts
        );
        assert!(
            refused.fact("hint").contains(begun.fact("job_id")),
            "{}",
            refused.facts
        );
        assert_eq!(refused.facts["retryable"], true);
    }
    let calling = first.begin_call(
        "run_chunked_operation",
        json!({
            "setup_code": "", "loop_code": body, "n_iterations": 3, "checkpoint_name": "shared", "session": "shared",
        }),
    );
    second
        .call("delete_checkpoint", delete.clone())
        .refused("busy");
    first.answer(calling);
    // As the hint says.
    first.call(
        "interrupt_execution",
        json!({"job_id": begun.fact("job_id")}),
    );
    let deleted = second.call("delete_checkpoint", delete);
    assert!(!deleted.is_error, "{}", deleted.facts);
}

#[cfg(unix)]
#[test]
fn an_operation_whose_kernel_was_killed_continues_in_the_same_call() {
    let (executor, home) = (Executor::shared(), Home::new());
    let mut bridge = executor.bridge(&home, &[]);
    let killed = "import os, signal\nfresh = not os.path.exists('next-killed')\nopen('next-killed', 'w').close()";
    let body = "if fresh and i == 1: os.kill(os.getpid(), signal.SIGTERM)\ni";
    let answer = chunked(&mut bridge, "next-killed", killed, body);
    answer.succeeded();
    let notes = answer.facts["notes"].to_string();
    assert!(notes.contains("SIGTERM"), "{notes}");
}

#[test]
fn queued_code_names_the_job_ahead_and_how_to_get_past_it() {
    let home = Home::new();
    let mut bridge = Executor::shared().bridge(&home, &[]);
    let session = "ways-out-queue";
    let running = start_sleeping(&mut bridge, session);
    let running = running.fact("job_id");
    let code = json!({"code": "1", "session": session, "wait_sec": 1});
    let quick = bridge.call("run_code_quick", code.clone());
    let second = bridge.call("run_code_quick", code);
    let looked = bridge.call(
        "get_output",
        json!({"job_id": quick.fact("job_id"), "wait_sec": 0}),
    );
    let operation = bridge.call(
        "run_chunked_operation",
        json!({"loop_code": "i", "n_iterations": 3, "checkpoint_name": session, "session": session, "wait_sec": 5}),
    );
    assert_eq!(operation.facts["completed"], 0, "{}", operation.facts);
    for answer in [&quick, &second, &looked, &operation] {
        assert_eq!(answer.fact("state"), "queued", "{}", answer.facts);
        let hint = answer.fact("hint");
        for word in [
            "has not started",
            running,
            "restart_session",
            "another session",
        ] {
            assert!(hint.contains(word), "{word}: {hint}");
        }
        assert!(!hint.contains("still running"), "{hint}");
    }
    let hint = second.fact("hint");
    assert!(hint.contains("and 1 more before it"), "{hint}");
    assert!(operation.facts["next_command"].is_string());
    bridge.call(
        "restart_session",
        json!({"session": session, "remove": true}),
    );
}

#[test]
fn code_that_was_never_sent_is_not_reported_as_running() {
    let home = Home::new();
    for line in [
        "http://127.0.0.1:9#aaaaaaaaaaaaaaaaaaaaaa",
        "https://no-such-host.invalid#aaaaaaaaaaaaaaaaaaaaaa",
    ] {
        let variables = [SHORT_BUDGET[0], ("COLAB_URL", line)];
        let mut bridge = Bridge::greeted(home.program(&variables));
        for tool in ["run_code_quick", "run_code_long"] {
            let refused = bridge.call(tool, json!({"code": "1"}));
            refused.refused("connection_failed");
            let hint = refused.fact("hint");
            assert!(hint.starts_with("The code did not run."), "{hint}");
            assert!(!hint.contains("goes on"), "{hint}");
            assert!(!hint.contains("keeps running"), "{hint}");
        }
        let refused = chunked(&mut bridge, "ways-out-unsent", "", "i");
        refused.refused("connection_failed");
        let hint = refused.fact("hint");
        assert!(!hint.contains("goes on"), "{hint}");
        assert!(!hint.contains("keeps running"), "{hint}");
    }
}
