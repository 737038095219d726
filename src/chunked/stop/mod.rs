//! Explains why an operation stopped, and what to do about it.

use crate::base::advice::{Advice, Step};
use crate::checkpoints::checkpoint::{Flight, Stop};
use crate::jobs::body_line::body_line;
use crate::jobs::{death, ending};
use crate::wire::event::PythonError;
use crate::wire::job::{Job, OnError};
use crate::wire::state::{JobState, Reason};

/// Explains a job's end for the operation whose next iteration is `completed`.
pub(super) fn explain(
    flight: &Flight,
    job: &Job,
    completed: u64,
    error: Option<&PythonError>,
) -> Stop {
    let named = |ename| error.is_some_and(|error| error.ename == ename);
    let iteration = (flight.is_looping && !named(SETUP_FAILED)).then_some(completed);
    let is_of_cluster = named(CLUSTER_FAILED) || named(NO_SUCH_CLUSTER) || named(NOT_ON_CLUSTER);
    let is_interrupted = job.state == JobState::Interrupted;
    let place = if is_of_cluster {
        "the work on the cluster".to_owned()
    } else if is_interrupted {
        running_place(flight, iteration)
    } else {
        place(iteration)
    };
    let (code, why, _) = ending::explain(job.reason.unwrap_or(Reason::Unknown), job);
    let by_python = job
        .reason
        .is_none_or(|reason| reason == Reason::PythonError);
    let (code, what, hint, code_must_change) = match error {
        Some(error) if by_python => {
            let must_change = is_unparsed(error)
                || error.ename == NOT_ON_CLUSTER
                || error.ename == UNANSWERED
                || (iteration.is_none() && error.ename == "NameError");
            let part = part(iteration);
            let line = body_line(error).map(|line| format!(" (line {line} of {part})"));
            (
                "python_error",
                format!("failed: {}{}", error.sentence(), line.unwrap_or_default()),
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
        interrupted: is_interrupted,
        iteration,
        job_id: flight.job_id.to_string(),
        code: code.to_owned(),
        error: format!(
            "{place} {what}{}",
            next(flight, iteration.filter(|_| is_interrupted))
        ),
        hint,
        code_must_change,
        retryable: may_succeed_again(job) || named(CLUSTER_FAILED),
    }
}

/// For a job that was interrupted and whose end is not known yet.
pub(super) fn unseen(flight: &Flight, completed: u64) -> Stop {
    let iteration = flight.is_looping.then_some(completed);
    let (place, next) = (running_place(flight, iteration), next(flight, iteration));
    Stop {
        interrupted: true,
        iteration,
        job_id: flight.job_id.to_string(),
        code: "cancelled".to_owned(),
        error: format!("{place} was interrupted, and had not stopped when last heard of{next}"),
        hint: Advice::from(
            "The completed iterations are kept. Call with checkpoint_name alone to go on; if the code does not stop, ",
        ) + Step::RestartSession
            + " ends it and loses the session's variables.",
        code_must_change: false,
        retryable: true,
    }
}

/// What is not known of a job that has ended without a last word.
pub(super) fn unknown_reruns(flight: &Flight) -> Option<String> {
    (flight.is_unordered && flight.is_looping).then(|| {
        format!(
            "job {} ended with its session: iterations that were running on the cluster then run again, and reruns does not count them",
            flight.job_id
        )
    })
}

/// Names what was interrupted. On a cluster it is not known which iterations had begun.
fn running_place(flight: &Flight, iteration: Option<u64>) -> String {
    let is_any = flight.is_unordered && iteration.is_some();
    if is_any {
        "the work on the cluster".to_owned()
    } else {
        place(iteration)
    }
}

/// Says where it goes on.
fn next(flight: &Flight, iteration: Option<u64>) -> String {
    let iteration = iteration.filter(|_| flight.is_unordered);
    iteration.map_or_else(String::new, |iteration| {
        format!("; iteration {iteration} is next")
    })
}

/// Names what did not finish.
fn place(iteration: Option<u64>) -> String {
    iteration.map_or_else(
        || "the setup".to_owned(),
        |iteration| format!("iteration {iteration}"),
    )
}

/// Whether the same call may succeed: a machine's failure or a person's interrupt may not recur, but code that raises, ends its process or
/// exceeds a limit will do so again.
fn may_succeed_again(job: &Job) -> bool {
    match job.reason {
        Some(Reason::KernelDied) => death::may_succeed_again(job.kernel_exit.as_ref()),
        Some(Reason::DiskFull) => true,
        _ => job.state == JobState::Interrupted,
    }
}

/// Raised by the executor: the setup failed on a worker, the cluster did, or the code is not one for a cluster.
const SETUP_FAILED: &str = "SetupFailed";
const CLUSTER_FAILED: &str = "ClusterError";
const NO_SUCH_CLUSTER: &str = "NoSuchCluster";
const NOT_ON_CLUSTER: &str = "NotOnCluster";

/// Raised by `input()`, `getpass()` and debuggers.
const UNANSWERED: &str = "StdinNotImplementedError";

fn skips(job: &Job) -> bool {
    (job.iterations.as_ref()).is_some_and(|iterations| iterations.on_error == OnError::Skip)
}

/// Whether the code itself does not parse. A syntax error in imported or evaluated code has a traceback.
fn is_unparsed(error: &PythonError) -> bool {
    let is_syntax = matches!(
        error.ename.as_str(),
        "SyntaxError" | "IndentationError" | "TabError" | "_IncompleteInputError"
    );
    let has_run = |part: &String| part.contains("Traceback (most recent call last)");
    is_syntax && !error.traceback.iter().any(has_run)
}

/// The argument whose code failed.
fn part(iteration: Option<u64>) -> &'static str {
    if iteration.is_some() {
        "loop_code"
    } else {
        "setup_code"
    }
}

fn after_exception(iteration: Option<u64>, skips: bool, error: &PythonError) -> Advice {
    let part = part(iteration);
    if is_unparsed(error) {
        return format!(
            "{part} is not valid Python, so none of it ran: call with the fixed {part} and keep_done: true."
        )
        .into();
    }
    if error.ename == UNANSWERED {
        return format!(
            "There is no input to answer input() here: put the value in {part}, then call with that and keep_done: true."
        )
        .into();
    }
    if error.ename == NOT_ON_CLUSTER {
        return "Call with the changed loop_code or setup_code and keep_done: true, or with cluster: \"none\" to go on in the session itself."
            .into();
    }
    if error.ename == NO_SUCH_CLUSTER {
        return "Call with checkpoint_name and another cluster: local, local:WORKERS, dask, an address such as tcp://host:8786, or a variable that \
                setup_code makes (with the changed setup_code and keep_done: true)."
            .into();
    }
    if error.ename == CLUSTER_FAILED {
        let done = iteration.map(done_before).unwrap_or_default();
        return Advice::from(done).then(
            "See that the cluster runs and can be reached from the runtime. Then call with checkpoint_name alone, which continues from there; with \
             cluster: \"local\" it runs on the runtime's own processors, with \"none\" in the session itself.",
        );
    }
    let Some(iteration) = iteration else {
        return cause(error, false).then(match error.ename.as_str() {
            "NameError" => "Call with the fixed setup_code and keep_done: true.",
            _ if is_outside(error) => "Then call with checkpoint_name alone: the setup runs again.",
            _ => {
                "If setup_code must change, call with the new one and keep_done: true; if the cause is gone, call with checkpoint_name alone: the \
                 setup runs again."
            }
        });
    };
    let skip = match (skips, error.ename.as_str()) {
        // Not subclasses of `Exception`, so they are never skipped.
        (_, "SystemExit" | "KeyboardInterrupt") => "",
        (true, _) => " on_error: \"skip\" does not skip this kind of error.",
        (false, _) => " on_error: \"skip\" skips failing iterations.",
    };
    let done = Advice::from(done_before(iteration));
    done.then(cause(error, true)).then(format!(
        "If loop_code must change, call with the new one and keep_done: true, which continues at iteration {iteration}; if the cause is \
         gone, call with checkpoint_name alone: it is retried.{skip}"
    ))
}

/// Whether the cause is probably on the machine, and not in the code.
fn is_outside(error: &PythonError) -> bool {
    matches!(
        error.ename.as_str(),
        "ModuleNotFoundError" | "FileNotFoundError"
    ) || ending::is_gpu_lost(error)
        || ending::is_memory_short(error)
}

/// Advises on causes outside of the code.
fn cause(error: &PythonError, is_loop: bool) -> Advice {
    match error.ename.as_str() {
        "ModuleNotFoundError" => {
            Advice::from("If a package is missing on the runtime, install it with ") + Step::RunQuick + " (%pip install NAME)."
        }
        "FileNotFoundError" => {
            Advice::from("If a file is missing on the runtime, ")
                + Step::Upload
                + " sends it; "
                + Step::ListFiles
                + " shows what there is."
        }
        "NameError" if is_loop => {
            Advice::from("setup_code must define everything that loop_code needs; if its variables were cleaned up, run setup_code with ")
                + Step::RunQuick
                + " in the same session."
        }
        "NameError" => {
            "setup_code must define everything that it needs: it runs again on a new kernel.".into()
        }
        "SystemExit" if is_loop => {
            "sys.exit() stops the operation: break ends a loop early, continue ends an iteration early.".into()
        }
        _ if ending::is_gpu_lost(error) => {
            Advice::from("After this error the Python process can no longer use the GPU: call ")
                + Step::RestartSession
                + " first; the setup runs again by itself."
        }
        _ if ending::is_memory_short(error) => {
            Advice::from("Memory is short: free other variables and sessions (")
                + Step::ListVariables
                + ", "
                + Step::RestartSession
                + "), or process less at a time."
        }
        _ => Advice::default(),
    }
}

/// Says which iterations are kept when one did not finish.
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
            Advice::from("The setup has a timeout of 5 minutes. Run longer work with ")
                + Step::RunLong
                + ", which writes a file for the setup to read; then call with the shorter setup_code and keep_done: true."
        }
        (Some(Reason::Timeout), Some(_)) => "A batch has a timeout of 5 minutes. Call again with a smaller batch_size to continue from there; the setup runs \
             again if needed."
            .into(),
        (Some(Reason::Exited), None) => {
            "Remove the exit from setup_code, then call with that and keep_done: true.".into()
        }
        (Some(Reason::Exited), Some(iteration)) => format!(
            "{} A call with checkpoint_name alone runs the setup in a new Python process and iteration {iteration} again. To end a loop early \
             use break: call with the new loop_code and keep_done: true.",
            done_before(iteration)
        )
        .into(),
        (Some(Reason::KernelDied), None) => death::advise(job.kernel_exit.as_ref()).then(
            "If setup_code must change, call with the new one and keep_done: true; otherwise call with checkpoint_name alone: the setup runs again.",
        ),
        (Some(Reason::KernelDied), Some(iteration)) => Advice::from(done_before(iteration))
            .then(death::advise(job.kernel_exit.as_ref()))
            .then(format!(
                "A call with checkpoint_name alone runs the setup and iteration {iteration} again in a new Python process; if loop_code must \
                 change, call with the new one and keep_done: true."
            )),
        (Some(Reason::DiskFull), _) => {
            "Delete files on the machine, then call with checkpoint_name alone to continue from there.".into()
        }
        _ => "Call with checkpoint_name alone to continue from there; the setup runs again if needed.".into(),
    }
}

/// The stop for an executor that violates the protocol.
pub(super) fn incomplete(flight: &Flight, what: &str) -> Stop {
    Stop {
        interrupted: false,
        iteration: None,
        job_id: flight.job_id.to_string(),
        code: "incompatible_executor".to_owned(),
        error: format!("the executor violates its API: {what}"),
        hint: "Run the notebook of this bridge's version, then call again.".into(),
        code_must_change: false,
        retryable: false,
    }
}

#[cfg(test)]
mod tests;
