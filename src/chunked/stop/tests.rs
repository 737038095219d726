use serde_json::json;

use super::{Advice, after_exception, explain};
use crate::checkpoints::checkpoint::{Flight, Stop};
use crate::wire::event::PythonError;
use crate::wire::job::Job;

fn said(advice: &Advice) -> String {
    advice.worded(|step| format!("<{step:?}>").into())
}

fn exception(ename: &str, evalue: &str) -> PythonError {
    PythonError {
        ename: ename.to_owned(),
        evalue: evalue.to_owned(),
        traceback: Vec::new(),
    }
}

fn stop(is_looping: bool, state: &str, reason: &str, ename: Option<&str>) -> Stop {
    let flight = Flight::new(is_looping, false);
    let job: Job = serde_json::from_value(json!({
        "id": flight.job_id, "session": "main", "state": state, "reason": reason, "timeout_sec": 300,
        "created_at": "", "last_seq": 1, "log_bytes": 0,
    }))
    .unwrap();
    let error = ename.map(|ename| exception(ename, "why"));
    explain(&flight, &job, 7, error.as_ref())
}

#[test]
fn each_end_says_where_it_was_and_what_to_do() {
    let (setup, batch) = (false, true);
    for (is_looping, state, reason, ename, code, place, advice) in [
        (
            batch,
            "failed",
            "python_error",
            Some("ValueError"),
            "python_error",
            "iteration 7 ",
            "on_error",
        ),
        (
            batch,
            "failed",
            "python_error",
            Some("NameError"),
            "python_error",
            "iteration 7 ",
            "RunQuick",
        ),
        (
            setup,
            "failed",
            "python_error",
            Some("NameError"),
            "python_error",
            "the setup ",
            "setup_code",
        ),
        (
            batch,
            "timed_out",
            "timeout",
            Some("KeyboardInterrupt"),
            "timed_out",
            "iteration 7 ",
            "smaller batch_size",
        ),
        (
            setup,
            "timed_out",
            "timeout",
            None,
            "timed_out",
            "the setup ",
            "RunLong",
        ),
        (
            batch,
            "failed",
            "kernel_died",
            None,
            "kernel_died",
            "iteration 7 ",
            "checkpoint_name alone",
        ),
        (
            batch,
            "failed",
            "exited",
            Some("ExitCalled"),
            "python_error",
            "iteration 7 ",
            "iteration 7 again",
        ),
        (
            setup,
            "succeeded",
            "exited",
            None,
            "python_error",
            "the setup ",
            "setup_code",
        ),
        (
            batch,
            "interrupted",
            "interrupted",
            Some("KeyboardInterrupt"),
            "cancelled",
            "iteration 7 ",
            "checkpoint_name alone",
        ),
        (
            batch,
            "failed",
            "python_error",
            Some("SetupFailed"),
            "python_error",
            "the setup ",
            "setup_code must change",
        ),
        (
            batch,
            "failed",
            "python_error",
            Some("ClusterError"),
            "python_error",
            "the work on the cluster ",
            "checkpoint_name alone",
        ),
        (
            batch,
            "failed",
            "python_error",
            Some("NoSuchCluster"),
            "python_error",
            "the work on the cluster ",
            "and another cluster",
        ),
        (
            batch,
            "failed",
            "python_error",
            Some("NotOnCluster"),
            "python_error",
            "the work on the cluster ",
            "keep_done",
        ),
    ] {
        let stop = stop(is_looping, state, reason, ename);
        assert_eq!(stop.code, code);
        assert_eq!(stop.interrupted, state == "interrupted");
        assert!(stop.error.starts_with(place), "{stop:?}");
        assert!(format!("{:?}", stop.hint).contains(advice), "{stop:?}");
    }
}

#[test]
fn an_exception_says_what_is_done_and_advises_skip_only_where_unset() {
    let error = exception("ValueError", "1");
    for (iteration, done) in [
        (0, "No iteration is done yet."),
        (1, "Iteration 0 is done"),
        (7, "Iterations before 7 are done"),
    ] {
        let hint = said(&after_exception(Some(iteration), false, &error));
        assert!(hint.starts_with(done), "{hint}");
        assert!(hint.contains("skips failing iterations"), "{hint}");
        let hint = said(&after_exception(Some(iteration), true, &error));
        assert!(hint.starts_with(done), "{hint}");
        assert!(!hint.contains("skips failing iterations"), "{hint}");
    }
}

#[test]
fn skip_is_not_advised_for_exceptions_that_are_never_skipped() {
    for ename in ["KeyboardInterrupt", "SystemExit"] {
        for skips in [false, true] {
            let hint = said(&after_exception(Some(7), skips, &exception(ename, "")));
            assert!(!hint.contains("skip"), "{hint}");
        }
    }
}

#[test]
fn stops_name_what_has_to_be_fixed_before_resuming() {
    let missing = exception("ModuleNotFoundError", "No module named 'x'");
    let lost = exception(
        "AcceleratorError",
        "CUDA error: device-side assert triggered",
    );
    let full = exception("RuntimeError", "CUDA error: out of memory");
    for (iteration, error, advice, is_given) in [
        (None, &missing, "%pip install", true),
        (None, &lost, "<RestartSession>", true),
        (Some(7), &lost, "<RestartSession>", true),
        (Some(7), &full, "call <RestartSession> first", false),
        (Some(7), &full, "Memory is short", true),
    ] {
        let hint = said(&after_exception(iteration, false, error));
        assert_eq!(hint.contains(advice), is_given, "{hint}");
    }
}
