//! Why an operation stopped, and what to do about it.

use crate::base::advice::{Advice, Step};
use crate::checkpoints::checkpoint::{Flight, Stop, Work};
use crate::jobs::{death, ending};
use crate::wire::event::PythonError;
use crate::wire::job::{Job, OnError};
use crate::wire::state::{JobState, Reason};

/// What a job's end means for the operation whose next iteration is `completed`.
pub(super) fn explain(
    flight: &Flight,
    job: &Job,
    completed: u64,
    error: Option<&PythonError>,
) -> Stop {
    let iteration = match flight.work {
        Work::Setup => None,
        Work::Batch { .. } => Some(completed),
    };
    let place = iteration.map_or_else(
        || "the setup".to_owned(),
        |iteration| format!("iteration {iteration}"),
    );
    let (code, why, _) = ending::explain(job.reason.unwrap_or(Reason::Unknown), job);
    let by_python = job
        .reason
        .is_none_or(|reason| reason == Reason::PythonError);
    let (code, what, hint, code_must_change) = match error {
        Some(error) if by_python => {
            let must_change = is_unparsed(error) || error.ename == UNANSWERED;
            (
                "python_error",
                format!("failed: {}", error.sentence()),
                after_exception(iteration, skips(job), error),
                must_change,
            )
        }
        Some(_) | None => (
            code,
            format!("did not finish: {why}"),
            after_end(iteration, job),
            iteration.is_none() && job.reason == Some(Reason::Exited),
        ),
    };
    Stop {
        interrupted: job.state == JobState::Interrupted,
        iteration,
        job_id: flight.job_id.to_string(),
        code: code.to_owned(),
        error: format!("{place} {what}"),
        hint,
        code_must_change,
        retryable: may_pass(job),
    }
}

/// Whether the same call may do better as it is: what befell the machine, or a person did, may not come again. Code that raises or ends its
/// process, and what is too much for the limits, comes again.
fn may_pass(job: &Job) -> bool {
    match job.reason {
        Some(Reason::KernelDied) => death::may_succeed_again(job.kernel_exit.as_ref()),
        Some(Reason::DiskFull) => true,
        _ => job.state == JobState::Interrupted,
    }
}

/// Raised by `input()` and its kin.
const UNANSWERED: &str = "StdinNotImplementedError";

fn skips(job: &Job) -> bool {
    (job.iterations.as_ref()).is_some_and(|iterations| iterations.on_error == OnError::Skip)
}

/// Whether the code itself is no Python. What it imports or evaluates has a traceback.
fn is_unparsed(error: &PythonError) -> bool {
    let is_syntax = matches!(
        error.ename.as_str(),
        "SyntaxError" | "IndentationError" | "TabError" | "_IncompleteInputError"
    );
    let has_run = |part: &String| part.contains("Traceback (most recent call last)");
    is_syntax && !error.traceback.iter().any(has_run)
}

fn after_exception(iteration: Option<u64>, skips: bool, error: &PythonError) -> Advice {
    let part = if iteration.is_some() {
        "loop_code"
    } else {
        "setup_code"
    };
    if is_unparsed(error) {
        return format!(
            "{part} is no valid Python, so none of it ran: mend it, then call with restart: true."
        )
        .into();
    }
    if error.ename == UNANSWERED {
        return format!(
            "Nobody can answer input() here: put the value into {part}, then call with restart: true."
        )
        .into();
    }
    let Some(iteration) = iteration else {
        return cause(error, false).then(
            "If setup_code must change, call with restart: true, which begins anew; if the cause has gone, call again with the same \
             arguments: the setup runs again.",
        );
    };
    let skip = match (skips, error.ename.as_str()) {
        // They are no `Exception`, and skipping is no way out.
        (_, "SystemExit" | "KeyboardInterrupt") => "",
        (true, _) => " It is no error that on_error: \"skip\" passes over.",
        (false, _) => " on_error: \"skip\" passes failing iterations over.",
    };
    let done = Advice::from(done_before(iteration));
    done.then(cause(error, true)).then(format!(
        "If loop_code must change, restart: true begins anew; if the cause has gone, call again with the same arguments: iteration \
         {iteration} is tried again.{skip}"
    ))
}

/// What may have caused it outside of the code.
fn cause(error: &PythonError, is_loop: bool) -> Advice {
    match error.ename.as_str() {
        "ModuleNotFoundError" => {
            Advice::from("If a package is missing there, install it with ") + Step::RunQuick + " (%pip install NAME)."
        }
        "FileNotFoundError" => {
            Advice::from("If a file is missing there, ")
                + Step::Upload
                + " brings it; "
                + Step::ListFiles
                + " shows what there is."
        }
        "NameError" if is_loop => {
            Advice::from("setup_code must make everything that loop_code needs; if its variables were cleaned up, run setup_code with ")
                + Step::RunQuick
                + " in the same session."
        }
        "NameError" => {
            "setup_code must make everything that it needs: it runs again on a new kernel.".into()
        }
        "SystemExit" if is_loop => {
            "sys.exit() stops the operation: break ends a loop early, continue passes an iteration over.".into()
        }
        _ if ending::is_gpu_lost(error) => {
            Advice::from("After this the GPU is of no use to this Python process: call ")
                + Step::RestartSession
                + " first; the setup runs again by itself."
        }
        _ if ending::is_memory_short(error) => {
            Advice::from("Memory is short: free what else is held there (")
                + Step::ListVariables
                + ", "
                + Step::RestartSession
                + " of other sessions), or take less at a time."
        }
        _ => Advice::default(),
    }
}

/// What is kept when an iteration did not finish.
fn done_before(iteration: u64) -> String {
    match iteration {
        0 => "No iteration is done yet.".to_owned(),
        1 => "Iteration 0 is done and kept.".to_owned(),
        _ => format!("Iterations before {iteration} are done and kept."),
    }
}

fn after_end(iteration: Option<u64>, job: &Job) -> Advice {
    match (job.reason, iteration) {
        (Some(Reason::Timeout), None) => {
            Advice::from("The setup has 5 minutes. Do what takes longer with ")
                + Step::RunLong
                + ", into a file that the setup reads; then call again with restart: true."
        }
        (Some(Reason::Timeout), Some(_)) => "A batch has 5 minutes. Call again with a smaller batch_size to go on from there; the setup runs \
             again where it must."
            .into(),
        (Some(Reason::Exited), None) => {
            "Take the exit out of setup_code. Then call again with restart: true.".into()
        }
        (Some(Reason::Exited), Some(iteration)) => format!(
            "{} A call with the same arguments runs the setup in a fresh Python process and iteration {iteration} again. To end a loop early use \
             break; to change loop_code, restart: true begins anew.",
            done_before(iteration)
        )
        .into(),
        (Some(Reason::KernelDied), None) => death::advise(job.kernel_exit.as_ref()).then(
            "If setup_code must change, call with restart: true; else call again with the same arguments: the setup runs again.",
        ),
        (Some(Reason::KernelDied), Some(iteration)) => Advice::from(done_before(iteration))
            .then(death::advise(job.kernel_exit.as_ref()))
            .then(format!(
                "A call with the same arguments runs the setup and iteration {iteration} again in a new Python process; if loop_code must \
                 change, restart: true begins anew."
            )),
        (Some(Reason::DiskFull), _) => {
            "Delete files there, then call again with the same arguments to go on from there.".into()
        }
        _ => "Call again with the same arguments, when it is wanted, to go on from there; the setup runs again where it must.".into(),
    }
}

/// An executor that does not keep to the protocol.
pub(super) fn incomplete(flight: &Flight, what: &str) -> Stop {
    Stop {
        interrupted: false,
        iteration: None,
        job_id: flight.job_id.to_string(),
        code: "incompatible_executor".to_owned(),
        error: format!("the executor does not keep to its API: {what}"),
        hint: "Run the notebook of this bridge's version, then call again.".into(),
        code_must_change: false,
        retryable: false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Advice, after_exception, explain};
    use crate::checkpoints::checkpoint::{Flight, Stop, Work};
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

    fn stop(work: Work, state: &str, reason: &str, ename: Option<&str>) -> Stop {
        let flight = Flight::new(work);
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
        let batch = Work::Batch { start: 5, stop: 10 };
        for (work, state, reason, ename, code, place, advice) in [
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
                Work::Setup,
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
                Work::Setup,
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
                "same arguments",
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
                Work::Setup,
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
                "same arguments",
            ),
        ] {
            let stop = stop(work, state, reason, ename);
            assert_eq!(stop.code, code);
            assert_eq!(stop.interrupted, state == "interrupted");
            assert!(stop.error.starts_with(place), "{stop:?}");
            assert!(format!("{:?}", stop.hint).contains(advice), "{stop:?}");
        }
    }

    #[test]
    fn an_exception_says_what_is_done_and_advises_what_is_not_set_yet() {
        let error = exception("ValueError", "1");
        for (iteration, done) in [
            (0, "No iteration is done yet."),
            (1, "Iteration 0 is done"),
            (7, "Iterations before 7 are done"),
        ] {
            let hint = said(&after_exception(Some(iteration), false, &error));
            assert!(hint.starts_with(done), "{hint}");
            assert!(hint.contains("passes failing iterations over"), "{hint}");
            let hint = said(&after_exception(Some(iteration), true, &error));
            assert!(hint.starts_with(done), "{hint}");
            assert!(!hint.contains("passes failing iterations over"), "{hint}");
        }
    }

    #[test]
    fn what_is_never_skipped_is_not_advised_to_be() {
        for ename in ["KeyboardInterrupt", "SystemExit"] {
            for skips in [false, true] {
                let hint = said(&after_exception(Some(7), skips, &exception(ename, "")));
                assert!(!hint.contains("skip"), "{hint}");
            }
        }
    }

    #[test]
    fn stops_name_what_prevents_resuming() {
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
}
